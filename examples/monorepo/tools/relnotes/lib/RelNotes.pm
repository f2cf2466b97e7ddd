# RelNotes - from commit subjects to release notes. `package: effect` files the effect under the package;
# `package!: effect` breaks something for users and is told first.
package RelNotes;

use strict;
use warnings;

# Reads subjects; returns { breaking => [..], other => [..], package => { name => [effect, ..] } }.
sub parse {
    my @subjects = @_;
    my %notes = (breaking => [], other => [], package => {});
    for my $subject (@subjects) {
        next if $subject =~ /^\s*$/ || $subject =~ /^Merge /;
        if ($subject =~ /^([a-z][a-z0-9-]*)(!?): +(.*\S)/) {
            my ($package, $breaks, $effect) = ($1, $2, ucfirst $3);
            push @{ $notes{package}{$package} }, $effect;
            push @{ $notes{breaking} }, "$package: $effect" if $breaks;
        }
        else {
            $subject =~ s/^\s+|\s+$//g;
            push @{ $notes{other} }, ucfirst $subject;
        }
    }
    return \%notes;
}

# Writes notes as Markdown. Packages come in alphabetical order, their effects in the order of commits.
sub render {
    my ($title, $notes) = @_;
    my $text = "# $title\n";
    my $section = sub {
        my ($heading, $items) = @_;
        $text .= "\n## $heading\n\n" . join('', map {"- $_\n"} @$items) if @$items;
    };
    $section->('Breaking changes', $notes->{breaking});
    $section->($_, $notes->{package}{$_}) for sort keys %{ $notes->{package} };
    $section->('Everything else', $notes->{other});
    $text .= "\nNothing changed.\n" if $text !~ /^- /m;
    return $text;
}

1;
