use strict;
use warnings;
use Test::More;
use RelNotes;

my $notes = RelNotes::parse(
    'pricing: round half cents to even',
    'quote!: refuse empty baskets',
    '',
    'Merge branch main',
    'pricing: count equal articles together ',
    '  tidy up',
);

is_deeply(
    $notes->{package}{pricing},
    ['Round half cents to even', 'Count equal articles together'],
    'effects are filed under their package, in order',
);
is_deeply($notes->{breaking}, ['quote: Refuse empty baskets'], 'an exclamation mark means breaking');
is_deeply($notes->{package}{quote}, ['Refuse empty baskets'], 'a breaking change also stays with its package');
is_deeply($notes->{other}, ['Tidy up'], 'subjects without a package are kept, merges and blanks are not');
is_deeply(RelNotes::parse('see http://x: y')->{other}, ['See http://x: y'], 'a colon alone makes no package');

done_testing;
