use strict;
use warnings;
use Test::More;
use RelNotes;

my $notes = {
    breaking => ['quote: Refuse empty baskets'],
    other    => ['Tidy up'],
    package  => { quote => ['Refuse empty baskets'], pricing => ['Round to even'] },
};

is(RelNotes::render('Release 1.4.0', $notes), <<'MARKDOWN', 'breaking first, packages sorted, the rest last');
# Release 1.4.0

## Breaking changes

- quote: Refuse empty baskets

## pricing

- Round to even

## quote

- Refuse empty baskets

## Everything else

- Tidy up
MARKDOWN

is(
    RelNotes::render('Release 1.4.1', { breaking => [], other => [], package => {} }),
    "# Release 1.4.1\n\nNothing changed.\n",
    'an empty release says so',
);

done_testing;
