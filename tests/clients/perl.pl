# libredis-perl, unmodified: perl.pl PORT
use strict;
use warnings;
use Redis;

my ($passed, $failed) = (0, 0);

sub check {
    my ($name, $condition) = @_;
    $condition ? $passed++ : $failed++;
    print(($condition ? "ok" : "not ok") . " - perl: $name\n");
}

my $redis = Redis->new(server => "127.0.0.1:$ARGV[0]", reconnect => 5, every => 1000);
$redis->flushall;
check("ping", $redis->ping eq "PONG");
check("set and get", $redis->set("k", "v") eq "OK" && $redis->get("k") eq "v");
check("absent is undef", !defined $redis->get("absent"));
check("expiry", $redis->expire("k", 30) == 1 && $redis->ttl("k") > 0);
$redis->mset("a", 1, "b", 2);
check("mget", join(",", $redis->mget("a", "b")) eq "1,2");
my @answers;
for my $i (1 .. 300) {
    $redis->incr("counter", sub { push @answers, $_[0] });
}
$redis->wait_all_responses;
check("pipeline of 300", @answers == 300 && $answers[-1] == 300);
check("keys", join(",", sort $redis->keys("[ab]")) eq "a,b");
eval { $redis->incr("k") };
check("an error is an exception", $@ =~ /not an integer/);
check("info", $redis->info->{redis_mode} eq "standalone");
my $id = $redis->client("id");
Redis->new(server => "127.0.0.1:$ARGV[0]")->client("kill", "id", $id);
check("reconnects after it was killed", $redis->get("a") == 1 && $redis->client("id") != $id);
my $subscriber = Redis->new(server => "127.0.0.1:$ARGV[0]");
my @heard;
$subscriber->subscribe("news", "weather", sub { push @heard, "$_[1]: $_[0]" });
$subscriber->psubscribe("n*", sub { push @heard, "$_[2] $_[1]: $_[0]" });
my @counts = map { $redis->publish("news", $_) } 1 .. 100;
$subscriber->wait_for_messages(0.05) while @heard < 200; # it goes on until nothing has come for that long
check("subscribes", "@counts" eq join(" ", (2) x 100) && "@heard" eq join(" ", map { ("news: $_", "n* news: $_") } 1 .. 100));
print "perl: $passed passed, $failed failed\n";
exit($failed || !$passed ? 1 : 0);
