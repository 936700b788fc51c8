<?php
// PHP's extension for Redis, unmodified, subscribing: subscriber.php PORT DATABASE. What it hears is told by a process of its own.
[$self, $port, $database] = $argv;
$failed = 0;
function check(string $name, bool $is_so): void
{
    global $failed;
    $failed += !$is_so;
    echo $is_so ? "ok" : "not ok", " - php-redis: $name\n";
}

function connect(): Redis
{
    global $port, $database;
    $redis = new Redis();
    $redis->connect("127.0.0.1", (int)$port);
    $redis->select((int)$database);
    return $redis;
}

// The extension listens until its connection ends: so the other process ends it, once all has been heard.
function listen(string $how, array $to, callable $hear): void
{
    $redis = connect();
    $redis->setOption(Redis::OPT_READ_TIMEOUT, 60);
    $redis->setOption(Redis::OPT_MAX_RETRIES, 0); // else it may come back, and listens to nothing
    try {
        $redis->$how($to, $hear);
    } catch (RedisException) {
    }
}

function end_listening(Redis $redis, int $heard): void
{
    while ((int)$redis->get("ends heard") < $heard) usleep(1000);
    $redis->rawCommand("CLIENT", "KILL", "TYPE", "pubsub");
}

if (isset($argv[3])) { // the one that tells, once there is somebody to hear it
    $redis = connect();
    while (array_sum($redis->pubsub("numsub", ["news", "weather"])) < 2) usleep(1000);
    for ($i = 0; $i < 100; $i++) $redis->publish($i % 2 ? "news" : "weather", "$i");
    $redis->publish("news", "end");
    end_listening($redis, 1);
    while ($redis->pubsub("numpat") < 1) usleep(1000);
    $redis->publish("news", "by pattern");
    end_listening($redis, 2);
    exit(0);
}

$teller = proc_open([PHP_BINARY, $self, $port, $database, "tell"], [], $pipes);
$heard = [];
listen("subscribe", ["news", "weather"], function ($redis, $channel, $text) use (&$heard) {
    if ($text === "end") connect()->incr("ends heard");
    else $heard[] = "$channel $text";
});
$expected = array_map(fn ($i) => ($i % 2 ? "news " : "weather ") . $i, range(0, 99));
check("all that is told on two channels is heard in its order", $heard === $expected);
listen("psubscribe", ["n?ws"], function ($redis, $pattern, $channel, $text) use (&$heard) {
    $heard[] = "$pattern $channel $text";
    connect()->incr("ends heard");
});
check("and by a pattern", end($heard) === "n?ws news by pattern");
check("the one that tells ends well", proc_close($teller) === 0);
connect()->rPush("heard", ...$heard);
exit($failed > 0 ? 1 : 0);
