<?php
// PHP's extension for Redis, unmodified: php.php PORT [CA]; by TLS with whom that file certifies
[$self, $port] = $argv;
$authority = $argv[2] ?? null;
$passed = $failed = 0;
function check(string $name, bool $is_so): void
{
    global $passed, $failed, $authority;
    $is_so ? $passed++ : $failed++;
    echo $is_so ? "ok" : "not ok", " - php-redis", $authority ? " by TLS" : "", ": $name\n";
}

function connect(): Redis
{
    global $port, $authority;
    $redis = new Redis();
    if ($authority) {
        $redis->connect("tls://127.0.0.1", (int)$port, 5, null, 0, 5, ["stream" => ["cafile" => $authority, "verify_peer" => true]]);
    } else {
        $redis->connect("127.0.0.1", (int)$port, 5, null, 0, 5);
    }
    return $redis;
}

function refused(callable $what, string $words): bool
{
    try {
        $what();
        return false;
    } catch (RedisException $exception) {
        return str_contains($exception->getMessage(), $words);
    }
}

$redis = connect();
$redis->del("php:count");
check("strings", $redis->set("php", "a b") && $redis->get("php") === "a b");
check("a value larger than a record", $redis->set("php:large", str_repeat("x", 300000)) && $redis->strlen("php:large") === 300000
    && $redis->get("php:large") === str_repeat("x", 300000));
check("hashes", $redis->hMSet("php:hash", ["f" => 1, "g" => 2]) && $redis->hGetAll("php:hash") == ["f" => "1", "g" => "2"]);
$redis->multi(Redis::PIPELINE);
for ($i = 0; $i < 1000; $i++) $redis->incr("php:count");
check("a pipeline", $redis->exec() === range(1, 1000));
check("a transaction", $redis->multi()->set("php:t", 1)->incrBy("php:t", 2)->exec() === [true, 3]);
check("a script", $redis->eval("return {KEYS[1], ARGV[1]}", ["k", "v"], 1) === ["k", "v"]);
if ($authority) {
    $redis->close();
    check("who certifies itself isn't believed", @(new Redis())->connect("tls://127.0.0.1", (int)$port, 5) === false);
    $redis = connect();
}

// Who may read one key and no more.
$redis->rawCommand("ACL", "SETUSER", "reader", "reset", "on", ">p", "~php*", "+@read");
$reader = connect();
check("a user is let in by its name and password", $reader->auth(["reader", "p"]) === true && $reader->get("php") === "a b");
check("a denied command is refused", refused(fn () => $reader->set("php", 1) ?: throw new RedisException($reader->getLastError()), "NOPERM User reader has no permissions to run the 'set' command"));
check("a denied key is refused", refused(fn () => $reader->get("other") ?: throw new RedisException($reader->getLastError()), "NOPERM No permissions to access a key"));
check("a wrong password is refused", refused(fn () => connect()->auth(["reader", "q"]) ?: throw new RedisException("WRONGPASS by its value"), "WRONGPASS"));
$redis->rawCommand("ACL", "DELUSER", "reader");
check("who is deleted is closed", refused(fn () => $reader->get("php") ?: throw new RedisException("NOAUTH or closed"), ""));
echo "php-redis: $passed passed, $failed failed\n";
exit($failed > 0 || $passed === 0 ? 1 : 0);
