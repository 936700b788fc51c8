# ruby-redis, unmodified: ruby.rb PORT
require "redis"

$passed = 0
$failed = 0
def check(name, condition)
  condition ? $passed += 1 : $failed += 1
  puts "#{condition ? 'ok' : 'not ok'} - ruby: #{name}"
end

redis = Redis.new(host: "127.0.0.1", port: ARGV[0].to_i, reconnect_attempts: 3)
redis.flushall
check "ping", redis.ping == "PONG"
check "set and get", redis.set("k", "v") == "OK" && redis.get("k") == "v"
check "set with options", redis.set("k", "w", nx: true) == false && redis.set("k", "w", ex: 50)
check "ttl", redis.ttl("k").between?(1, 50)
check "mapped mset and mget", redis.mapped_mset("a" => "1", "b" => "2") == "OK" && redis.mapped_mget("a", "b") == { "a" => "1", "b" => "2" }
futures = []
redis.pipelined { |pipe| 500.times { |i| pipe.set("r#{i}", i); futures << pipe.incr("r#{i}") } }
check "pipeline of 1000", futures.map(&:value) == (1..500).to_a
check "scan_each", redis.scan_each(match: "r*").to_a.uniq.size == 500
begin
  redis.incr("k")
  check "an error is an exception", false
rescue Redis::CommandError => e
  check "an error is an exception", e.message.include?("not an integer")
end
check "info", redis.info["redis_mode"] == "standalone"
id = redis.call("CLIENT", "ID")
Redis.new(host: "127.0.0.1", port: ARGV[0].to_i).call("CLIENT", "KILL", "ID", id.to_s)
check "reconnects after it was killed", redis.get("a") == "1" && redis.call("CLIENT", "ID") != id
check "bitfield", redis.call("BITFIELD", "bf", "INCRBY", "u8", "0", "200", "OVERFLOW", "SAT", "INCRBY", "u8", "0", "100") == [200, 255]
heard = []
listener = Redis.new(host: "127.0.0.1", port: ARGV[0].to_i)
listener.subscribe("news", "weather") do |on|
  on.subscribe { |_, n| redis.multi { |all| 100.times { |i| all.publish("news", i) } } if n == 2 }
  on.message do |channel, message|
    heard << "#{channel}: #{message}"
    listener.unsubscribe if heard.size == 100
  end
end
check "subscribes", heard == Array.new(100) { |i| "news: #{i}" }
check "goes on when it has unsubscribed", listener.get("a") == "1"
puts "ruby: #{$passed} passed, #{$failed} failed"
exit($failed.zero? && $passed > 0)
