use strict;
use warnings;
use Test::More;

open my $file, '>', 'subjects.txt' or die "subjects.txt: $!";
print {$file} "quote: speak HTTP/1.1\n";
close $file;

my $relnotes = "$^X -Ilib bin/relnotes";

is(`$relnotes --title "Release 2" < subjects.txt`, "# Release 2\n\n## quote\n\n- Speak HTTP/1.1\n", 'subjects in, notes out');
is($? >> 8, 0, 'exit code 0');

my $complaint = `$relnotes --colour 2>&1 < subjects.txt`;
like($complaint, qr/usage: relnotes/, 'an unknown option prints the usage');
isnt($? >> 8, 0, 'and fails');

done_testing;
