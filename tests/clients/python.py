"""python3-redis, unmodified, doing a service's work: python.py PORT UNIXSOCKET [CA]; by TLS with whom that file certifies"""
import sys
import threading

import redis

port = int(sys.argv[1])
tls = {"ssl": True, "ssl_ca_certs": sys.argv[3]} if len(sys.argv) > 3 else {}
passed = failed = 0


def check(name, condition):
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
    print(("ok - " if condition else "not ok - ") + ("python by TLS: " if tls else "python: ") + name)


client = redis.Redis(host="127.0.0.1", port=port, **tls, decode_responses=True)
client.flushall()
check("ping", client.ping())
check("set and get", client.set("k", "v") and client.get("k") == "v")
check("set with options", client.set("k", "w", nx=True) is None and client.set("k", "w", xx=True, ex=100))
check("ttl", 0 < client.ttl("k") <= 100)
check("binary values", client.set("b", b"\x00\xff\r\n") and redis.Redis(port=port, **tls).get("b") == b"\x00\xff\r\n")
check("mset and mget", client.mset({"a": 1, "c": 3}) and client.mget("a", "x", "c") == ["1", None, "3"])
check("incr", client.incr("n", 5) == 5 and client.incrbyfloat("f", 0.5) == 0.5)
with client.pipeline(transaction=False) as pipe:
    for i in range(1000):
        pipe.set(f"p{i}", i).get(f"p{i}")
    answers = pipe.execute()
check("pipeline of 2000", answers[1::2] == [str(i) for i in range(1000)])
# Written to the last byte before the first answer is read.
for name, by in (("TCP", redis.Redis(port=port, **tls)), ("a unix socket", redis.Redis(unix_socket_path=sys.argv[2]))):
    value = b"v" * 1024
    with by.pipeline(transaction=False) as pipe:
        for i in range(10000):
            pipe.set(f"large{i % 100}", value).get(f"large{i % 100}")
        answers = pipe.execute()
    check(f"pipeline of 20000 with 1 KB each by {name}", answers == [True, value] * 10000)
client.delete(*(f"large{i}" for i in range(100)))
check("scan_iter", len({key for key in client.scan_iter(match="p*", count=100)}) == 1000)
check("keys", sorted(client.keys("p99?")) == [f"p99{i}" for i in range(10)])
try:
    client.incr("k")
    check("an error is an exception", False)
except redis.ResponseError as error:
    check("an error is an exception", "not an integer" in str(error))
check("info", client.info()["redis_mode"] == "standalone" and client.info("keyspace")["db0"]["keys"] > 1000)
check("config", client.config_get("maxclients")["maxclients"].isdigit())
check("client name", client.client_setname("worker-1") and client.client_getname() == "worker-1")
check("client list", any(entry["name"] == "worker-1" for entry in client.client_list()))
check("bits", client.setbit("bits", 7, 1) == 0 and client.bitcount("bits") == 1 and client.getbit("bits", 7) == 1)
check("databases", redis.Redis(port=port, **tls, db=3).set("only-there", 1) and client.get("only-there") is None)
check("object encoding", client.object("encoding", "a") == "int")

# A cut connection is made anew by the client itself.
other = redis.Redis(host="127.0.0.1", port=port, **tls, retry_on_error=[redis.ConnectionError], decode_responses=True)
victim = other.client_id()
client.client_kill_filter(_id=victim)
check("reconnects after it was killed", other.get("k") == "w" and other.client_id() != victim)

counts = []


def count():
    own = redis.Redis(host="127.0.0.1", port=port, **tls)
    for _ in range(500):
        own.incr("shared")
    counts.append(1)


threads = [threading.Thread(target=count) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
check("eight threads lose no increment", client.get("shared") == "4000" and len(counts) == 8)
big = "x" * 3_000_000
check("a value of 3 MB", client.set("big", big) and client.get("big") == big)



def hear(subscriber, n):
    """Its next messages, None for one that doesn't come."""
    heard = []
    for _ in range(n):
        message = subscriber.get_message(timeout=60)
        heard.append((message["type"], message["channel"], message["data"]) if message else None)
    return heard


with client.pubsub() as news:
    news.subscribe("weather", "sport")
    news.psubscribe("s*")
    check("subscriptions are confirmed", hear(news, 3) == [("subscribe", "weather", 1), ("subscribe", "sport", 2), ("psubscribe", "s*", 3)])
    check("subscribers are counted", sorted(client.pubsub_channels()) == ["sport", "weather"] and client.pubsub_numsub("sport", "nothing")
          == [("sport", 1), ("nothing", 0)] and client.pubsub_numpat() == 1)
    check("listed as a subscriber", [(entry["sub"], entry["psub"]) for entry in client.client_list(_type="pubsub")] == [("2", "1")])
    check("receivers are counted", [client.publish(channel, "goal") for channel in ("sport", "stocks", "nothing")] == [2, 1, 0])
    check("heard by channel and by pattern", hear(news, 3) == [("message", "sport", "goal"), ("pmessage", "sport", "goal"), ("pmessage", "stocks", "goal")])
    for transaction in False, True:
        with client.pipeline(transaction=transaction) as pipe:
            for i in range(1000):
                pipe.publish("weather", i)
            counted = pipe.execute()
        heard = hear(news, 1000)
        check("1000 in order by a " + ("transaction" if transaction else "pipeline"), counted == [1] * 1000 and heard
              == [("message", "weather", str(i)) for i in range(1000)])
    check("a message of 3 MB", client.publish("weather", big) == 1 and hear(news, 1) == [("message", "weather", big)])
    news.ping("are you there")
    check("a subscriber pings", hear(news, 1) == [("pong", None, "are you there")])
    # A cut subscriber is told so, and subscribes anew by itself when it listens again.
    client.client_kill_filter(_type="pubsub")
    try:
        hear(news, 1)
        check("a subscriber is cut", False)
    except redis.ConnectionError:
        check("a subscriber is cut", True)
    check("it subscribes anew", sorted(hear(news, 3)) == [("psubscribe", "s*", 3), ("subscribe", "sport", 2), ("subscribe", "weather", 1)])
    check("and hears again", client.publish("weather", "sun") == 1 and hear(news, 1) == [("message", "weather", "sun")])
    news.unsubscribe()
    news.punsubscribe()
    check("it unsubscribes", sorted(kind for kind, _, _ in hear(news, 3)) == ["punsubscribe", "unsubscribe", "unsubscribe"]
          and not news.subscribed and client.publish("sport", "goal") == 0)

# Subscribers on threads of their own, which call a function for each message, binary ones too.
everything, all_heard = [], threading.Event()


def note(message):
    everything.append((message["channel"], message["data"]))
    if len(everything) == 8 * 100:
        all_heard.set()


raw = redis.Redis(host="127.0.0.1", port=port, **tls)
listeners = []
for i in range(8):
    subscriber = raw.pubsub()
    subscriber.subscribe(**{"binary": note})
    subscriber.get_message(timeout=60)
    listeners.append(subscriber.run_in_thread(sleep_time=60))
receivers = {raw.publish(b"binary", bytes([i, 0, 13, 10, 255])) for i in range(100)}
check("eight threads hear all", receivers == {8} and all_heard.wait(60) and sorted(everything)
      == sorted([(b"binary", bytes([i, 0, 13, 10, 255])) for i in range(100)] * 8))
for listener in listeners:
    listener.stop()
raw.publish("binary", "the end")  # a thread looks whether it shall stop when it has heard something
for listener in listeners:
    listener.join()

# Who may read one key and no more.
client.acl_setuser("reader", enabled=True, reset=True, passwords=["+p"], categories=["+@read"], keys=["a*"])
reader = redis.Redis(host="127.0.0.1", port=port, **tls, username="reader", password="p", decode_responses=True)


def refused(what, error, words):
    try:
        what()
    except error as reason:
        return words in str(reason)
    return False


check("a user is let in by its name and password", reader.get("a") == client.get("a"))
check("a denied command is its own kind of error", refused(lambda: reader.set("a", 1), redis.exceptions.NoPermissionError, "no permissions to run the 'set' command"))
check("and so is a denied key", refused(lambda: reader.get("b"), redis.exceptions.NoPermissionError, "No permissions to access a key"))
wrong = redis.Redis(host="127.0.0.1", port=port, **tls, username="reader", password="q")
check("a wrong password is refused", refused(wrong.ping, (redis.exceptions.AuthenticationError, redis.exceptions.ResponseError), "invalid username-password pair"))
user = client.acl_getuser("reader")
check("what a user may do is read", "~a*" in user["keys"] and "on" in user["flags"])
check("what was denied is told", {entry["object"] for entry in client.acl_log()} >= {"set", "b"})
client.acl_deluser("reader")
check("who is deleted is closed, and not let in again", refused(lambda: reader.get("a"), (redis.exceptions.ConnectionError, redis.exceptions.ResponseError), ""))

print(f"python: {passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
