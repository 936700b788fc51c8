"""Whether any command takes more than in proportion to its arguments, the values that it reads and its reply: each with a large input, and with sixteen
times that. A part of bench/complexity.

Told is the CPU time of both and their ratio: 16 is in proportion, 256 is a square. One of more than 64 fails (what no longer fits into the processor's
caches takes some times as long), but for those that docs/complexity.md names. What takes less than a few milliseconds is tried with more."""
import socket

from side_by_side import Failure, say

TIMES = 16
RATIO_MOST = 64
LEAST_MS = 2
SIZE_MOST = 800_000
PRODUCTS = {"LCS"}


def request(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def do(client, words):
    """Sends it, and reads whatever comes up to an ECHO's answer."""
    client.sendall(request(*words) + request("ECHO", "the-end-of-it"))
    last, first = b"", None
    while not last.endswith(b"the-end-of-it\r\n"):
        got = client.recv(1 << 20)
        if not got:
            raise Failure(f"the server closed the connection of {words[0]}")
        first = first or got[:100]
        last = (last + got)[-64:]
    return first


def each(prefix, n):
    return [f"{prefix}{i}" for i in range(n)]


def pairs(prefix, n, value=lambda i: i):
    return [word for i in range(n) for word in (f"{prefix}{i}", value(i))]


def scored(n, score=lambda i: i):
    return [word for i in range(n) for word in (score(i), f"m{i}")]


def filled(*commands):
    return lambda n: [command(n) for command in commands]


LIST = lambda n: ("RPUSH", "l", *range(n))
TEXTS = lambda n: ("RPUSH", "l", *each("element:", n))
SET = lambda n: ("SADD", "s", *each("m", n))
OTHER = lambda n: ("SADD", "t", *each("m", n // 2), *each("o", n // 2))
HASH = lambda n: ("HSET", "h", *pairs("f", n))
SORTED = lambda n: ("ZADD", "z", *scored(n))
EVEN = lambda n: ("ZADD", "z", *scored(n, lambda i: 0))
OTHER_SORTED = lambda n: ("ZADD", "y", *scored(n, lambda i: n - i))
PLACES = lambda n: ("GEOADD", "g", *(word for i in range(n) for word in (i % 360 - 180, i % 160 - 80, f"m{i}")))
BYTES = lambda n: ("SETRANGE", "b", n * 200, "x")
KEYS = lambda n: ("MSET", *pairs("k", n))
SMALL_SETS = lambda n: ("EACH", [("SADD", f"s{i}", "a", i) for i in range(n)])
SMALL_SORTED = lambda n: ("EACH", [("ZADD", f"z{i}", 1, "a", 2, i) for i in range(n)])
SKETCHES = lambda n: ("EACH", [("PFADD", f"p{i}", *range(i, i + 50)) for i in range(n // 40)])
ENTRIES = lambda n: ("EACH", [("XADD", "x", f"{i + 1}-0", "f", i) for i in range(n)])
STREAMS = lambda n: ("EACH", [("XADD", f"x{i}", "1-0", "f", i) for i in range(n)])
GROUP = lambda n: ("XGROUP", "CREATE", "x", "g", 0)
PENDING = lambda n: ("XREADGROUP", "GROUP", "g", "c", "COUNT", n, "STREAMS", "x", ">")
IDS = lambda n: [f"{i + 1}-0" for i in range(n)]
WEIGHTS = lambda n: ("MSET", *pairs("w_", n, lambda i: i * 7919 % n))

CASES = {
    "MSET": (filled(), lambda n: ("MSET", *pairs("k", n))),
    "MSET of one key": (filled(), lambda n: ("MSET", *["k", "v"] * n)),
    "MSETNX": (filled(), lambda n: ("MSETNX", *pairs("k", n))),
    "MGET": (filled(KEYS), lambda n: ("MGET", *each("k", n))),
    "DEL": (filled(KEYS), lambda n: ("DEL", *each("k", n))),
    "UNLINK": (filled(KEYS), lambda n: ("UNLINK", *each("k", n))),
    "EXISTS": (filled(KEYS), lambda n: ("EXISTS", *each("k", n))),
    "TOUCH": (filled(KEYS), lambda n: ("TOUCH", *each("k", n))),
    "KEYS": (filled(KEYS), lambda n: ("KEYS", "*")),
    "KEYS of many stars": (filled(KEYS), lambda n: ("KEYS", "*0*1*2*3*4*")),
    "KEYS of a long name": (filled(lambda n: ("SET", "a" * (n * 10), 1)), lambda n: ("KEYS", "*a" * 100 + "b")),
    "SCAN": (filled(KEYS), lambda n: ("SCAN", 0, "COUNT", n)),
    "SETRANGE": (filled(), lambda n: ("SETRANGE", "b", n * 1000, "x")),
    "APPEND": (filled(BYTES), lambda n: ("APPEND", "b", b"x" * n * 100)),
    "GETRANGE": (filled(BYTES), lambda n: ("GETRANGE", "b", 0, -1)),
    "LCS": (filled(lambda n: ("MSET", "a", b"ab" * (n // 40), "b", b"ba" * (n // 40))), lambda n: ("LCS", "a", "b")),
    "BITCOUNT": (filled(BYTES), lambda n: ("BITCOUNT", "b")),
    "BITPOS": (filled(BYTES), lambda n: ("BITPOS", "b", 1)),
    "BITOP": (filled(BYTES), lambda n: ("BITOP", "XOR", "d", *["b"] * 10)),
    "BITOP of many": (filled(KEYS), lambda n: ("BITOP", "OR", "d", *each("k", n))),
    "BITFIELD": (filled(), lambda n: ("BITFIELD", "b", *["INCRBY", "u8", "#5", 1] * n)),
    "BITFIELD far out": (filled(), lambda n: ("BITFIELD", "b", *(word for i in range(n) for word in ("SET", "u8", f"#{i}", 1)))),
    "RPUSH": (filled(), lambda n: ("RPUSH", "l", *each("e", n))),
    "LRANGE": (filled(LIST), lambda n: ("LRANGE", "l", 0, -1)),
    "LINSERT": (filled(TEXTS), lambda n: ("LINSERT", "l", "BEFORE", f"element:{n // 2}", "x")),
    "LREM": (filled(lambda n: ("RPUSH", "l", *["a", "b"] * (n // 2))), lambda n: ("LREM", "l", 0, "a")),
    "LREM backwards": (filled(lambda n: ("RPUSH", "l", *["a", "b"] * (n // 2))), lambda n: ("LREM", "l", -n, "a")),
    "LPOS": (filled(LIST), lambda n: ("LPOS", "l", n - 1)),
    "LPOS of all": (filled(lambda n: ("RPUSH", "l", *["a"] * n)), lambda n: ("LPOS", "l", "a", "COUNT", 0)),
    "LINDEX": (filled(TEXTS), lambda n: ("LINDEX", "l", n // 2)),
    "LTRIM": (filled(TEXTS), lambda n: ("LTRIM", "l", n // 2, n // 2)),
    "LPOP": (filled(TEXTS), lambda n: ("LPOP", "l", n)),
    "LMPOP": (filled(TEXTS), lambda n: ("LMPOP", n, *each("absent", n - 1), "l", "LEFT", "COUNT", n)),
    "SORT": (filled(LIST), lambda n: ("SORT", "l", "DESC")),
    "SORT ALPHA": (filled(SET), lambda n: ("SORT", "s", "ALPHA")),
    "SORT BY": (filled(LIST, WEIGHTS), lambda n: ("SORT", "l", "BY", "w_*", "GET", "#", "GET", "w_*")),
    "SORT STORE": (filled(SET, WEIGHTS), lambda n: ("SORT", "s", "BY", "w_*", "ALPHA", "STORE", "d")),
    "SORT with many GETs": (filled(lambda n: ("RPUSH", "l", 1, 2, 3)), lambda n: ("SORT", "l", *["GET", "w_*"] * n)),
    "SADD": (filled(), lambda n: ("SADD", "s", *each("m", n))),
    "SADD of numbers backwards": (filled(), lambda n: ("SADD", "s", *range(n, 0, -1))),
    "SMISMEMBER": (filled(SET), lambda n: ("SMISMEMBER", "s", *each("m", n))),
    "SREM": (filled(SET), lambda n: ("SREM", "s", *each("m", n))),
    "SPOP": (filled(SET), lambda n: ("SPOP", "s", n - n // 10)),
    "SRANDMEMBER": (filled(SET), lambda n: ("SRANDMEMBER", "s", n - n // 10)),
    "SRANDMEMBER again and again": (filled(SET), lambda n: ("SRANDMEMBER", "s", -n)),
    "SINTER": (filled(SET, OTHER), lambda n: ("SINTER", "s", "t")),
    "SINTER of many": (filled(SMALL_SETS), lambda n: ("SINTER", *each("s", n))),
    "SINTERCARD": (filled(SET, OTHER), lambda n: ("SINTERCARD", 2, "s", "t")),
    "SINTERSTORE": (filled(SET, OTHER), lambda n: ("SINTERSTORE", "d", "s", "t")),
    "SUNION": (filled(SMALL_SETS), lambda n: ("SUNION", *each("s", n))),
    "SUNIONSTORE": (filled(SET, OTHER), lambda n: ("SUNIONSTORE", "d", "s", "t")),
    "SDIFF": (filled(SET, OTHER), lambda n: ("SDIFF", "s", "t")),
    "SDIFF of many": (filled(SET, SMALL_SETS), lambda n: ("SDIFF", "s", *each("s", n))),
    "HSET": (filled(), lambda n: ("HSET", "h", *pairs("f", n))),
    "HMGET": (filled(HASH), lambda n: ("HMGET", "h", *each("f", n))),
    "HDEL": (filled(HASH), lambda n: ("HDEL", "h", *each("f", n))),
    "HGETALL": (filled(HASH), lambda n: ("HGETALL", "h")),
    "HRANDFIELD": (filled(HASH), lambda n: ("HRANDFIELD", "h", n - n // 10, "WITHVALUES")),
    "HSCAN": (filled(HASH), lambda n: ("HSCAN", "h", 0, "COUNT", n)),
    "ZADD": (filled(), lambda n: ("ZADD", "z", *scored(n))),
    "ZADD of one score": (filled(), lambda n: ("ZADD", "z", *scored(n, lambda i: 0))),
    "ZRANGE": (filled(SORTED), lambda n: ("ZRANGE", "z", 0, -1, "WITHSCORES")),
    "ZRANGE BYLEX": (filled(EVEN), lambda n: ("ZRANGE", "z", "-", "+", "BYLEX")),
    "ZRANGESTORE": (filled(SORTED), lambda n: ("ZRANGESTORE", "d", "z", 0, -1)),
    "ZMSCORE": (filled(SORTED), lambda n: ("ZMSCORE", "z", *each("m", n))),
    "ZREM": (filled(SORTED), lambda n: ("ZREM", "z", *each("m", n))),
    "ZREMRANGEBYRANK": (filled(SORTED), lambda n: ("ZREMRANGEBYRANK", "z", 0, -2)),
    "ZPOPMIN": (filled(SORTED), lambda n: ("ZPOPMIN", "z", n)),
    "ZRANDMEMBER": (filled(SORTED), lambda n: ("ZRANDMEMBER", "z", -n)),
    "ZUNIONSTORE": (filled(SORTED, OTHER_SORTED), lambda n: ("ZUNIONSTORE", "d", 2, "z", "y")),
    "ZINTERSTORE": (filled(SORTED, OTHER_SORTED), lambda n: ("ZINTERSTORE", "d", 2, "z", "y")),
    "ZDIFFSTORE": (filled(SORTED, OTHER_SORTED), lambda n: ("ZDIFFSTORE", "d", 2, "z", "y")),
    "ZUNION of many": (filled(SMALL_SORTED), lambda n: ("ZUNION", n, *each("z", n), "WEIGHTS", *range(n))),
    "ZINTERCARD": (filled(SMALL_SORTED), lambda n: ("ZINTERCARD", n, *each("z", n))),
    "ZDIFF of many": (filled(SORTED, SMALL_SORTED), lambda n: ("ZDIFF", n + 1, "z", *each("z", n))),
    "GEOADD": (filled(), PLACES),
    "GEOPOS": (filled(PLACES), lambda n: ("GEOPOS", "g", *each("m", n))),
    "GEOSEARCH": (filled(PLACES), lambda n: ("GEOSEARCH", "g", "FROMLONLAT", 0, 0, "BYRADIUS", 30000, "km", "ASC", "WITHDIST")),
    "GEOSEARCH of some": (filled(PLACES), lambda n: ("GEOSEARCH", "g", "FROMLONLAT", 0, 0, "BYRADIUS", 30000, "km", "ASC", "COUNT", 10)),
    "PFADD": (filled(), lambda n: ("PFADD", "p", *range(n))),
    "PFCOUNT": (filled(SKETCHES), lambda n: ("PFCOUNT", *each("p", n // 40))),
    "PFMERGE": (filled(SKETCHES), lambda n: ("PFMERGE", "d", *each("p", n // 40))),
    "XADD": (filled(), lambda n: ("XADD", "x", "*", *pairs("f", n))),
    "XRANGE": (filled(ENTRIES), lambda n: ("XRANGE", "x", "-", "+")),
    "XREAD": (filled(STREAMS), lambda n: ("XREAD", "STREAMS", *each("x", n), *["0"] * n)),
    "XDEL": (filled(ENTRIES), lambda n: ("XDEL", "x", *IDS(n))),
    "XTRIM": (filled(ENTRIES), lambda n: ("XTRIM", "x", "MAXLEN", 1)),
    "XREADGROUP": (filled(ENTRIES, GROUP), PENDING),
    "XACK": (filled(ENTRIES, GROUP, PENDING), lambda n: ("XACK", "x", "g", *IDS(n))),
    "XCLAIM": (filled(ENTRIES, GROUP, PENDING), lambda n: ("XCLAIM", "x", "g", "d", 0, *IDS(n))),
    "XAUTOCLAIM": (filled(ENTRIES, GROUP, PENDING), lambda n: ("XAUTOCLAIM", "x", "g", "d", 0, 0, "COUNT", n)),
    "XPENDING": (filled(ENTRIES, GROUP, PENDING), lambda n: ("XPENDING", "x", "g", "-", "+", n)),
    "XINFO STREAM FULL": (filled(ENTRIES, GROUP, PENDING), lambda n: ("XINFO", "STREAM", "x", "FULL", "COUNT", 0)),
    "XGROUP DESTROY": (filled(ENTRIES, GROUP, PENDING), lambda n: ("XGROUP", "DESTROY", "x", "g")),
    "COPY": (filled(HASH), lambda n: ("COPY", "h", "d")),
    "MEMORY USAGE": (filled(HASH), lambda n: ("MEMORY", "USAGE", "h", "SAMPLES", 0)),
    "BLPOP": (filled(lambda n: ("RPUSH", "l", 1)), lambda n: ("BLPOP", *each("absent", n), "l", 0)),
    "BLPOP in vain": (filled(), lambda n: ("BLPOP", *each("absent", n), "0.001")),
    "BLPOP of one key": (filled(), lambda n: ("BLPOP", *["absent"] * n, "0.001")),
    "CONFIG GET": (filled(), lambda n: ("CONFIG", "GET", *each("maxmem*", n // 20))),
    "CONFIG GET of all": (filled(), lambda n: ("CONFIG", "GET", *["*"] * (n // 20))),
    "COMMAND INFO": (filled(), lambda n: ("COMMAND", "INFO", *each("absent", n))),
    "COMMAND GETKEYS": (filled(), lambda n: ("COMMAND", "GETKEYS", "MSET", *pairs("k", n))),
    "COMMAND DOCS": (filled(), lambda n: ("COMMAND", "DOCS", *each("absent", n))),
    "CLIENT LIST": (filled(), lambda n: ("CLIENT", "LIST", "ID", *range(1, n))),
    "LATENCY HISTOGRAM": (filled(), lambda n: ("LATENCY", "HISTOGRAM", *["get"] * n)),
    "LATENCY RESET": (filled(), lambda n: ("LATENCY", "RESET", *each("absent", n))),
    "ECHO": (filled(), lambda n: ("ECHO", b"x" * n * 500)),
}


def fill(client, commands):
    for command in commands:
        if command[0] != "EACH":
            do(client, command)
            continue
        for i in range(0, len(command[1]), 500):
            part = command[1][i:i + 500]
            client.sendall(b"".join(request(*words) for words in part[:-1]))
            do(client, part[-1])


def cost(server, client, case, n):
    """Milliseconds of CPU."""
    before, command = CASES[case]
    do(client, ("FLUSHALL",))
    fill(client, before(n))
    words = command(n)
    do(client, ("ECHO", b"x" * 100))
    from_ns = server.cpu_ns()
    answer = do(client, words)
    took = (server.cpu_ns() - from_ns) / 1e6
    if answer.startswith(b"-"):
        raise Failure(f"{case}: {answer.decode(errors='replace').splitlines()[0]}")
    return took


def ratio_of(server, client, case, size):
    """(size, milliseconds, milliseconds of TIMES as much)"""
    once = cost(server, client, case, size)
    while once < LEAST_MS and size * 4 * TIMES <= SIZE_MOST and case not in PRODUCTS:
        size *= 4
        once = cost(server, client, case, size)
    return size, once, cost(server, client, case, size * TIMES)


def measure_proportion(server, size, cases):
    """cases: only those whose names begin with one of these, comma-separated; None: all."""
    wanted = [name for name in CASES if cases is None or name.lower().startswith(tuple(cases.lower().split(",")))]
    failed = []
    say(f"{'':30}{'size':>10}{'ms':>10}{f'{TIMES} times':>10}{'ratio':>8}")
    client = socket.create_connection(("127.0.0.1", server.port), timeout=300)
    for case in wanted:
        tried, once, more = ratio_of(server, client, case, size)
        say(f"{case:30}{tried:10,}{once:10.1f}{more:10.1f}{more / once:8.1f}")
        if more / once > RATIO_MOST and more > LEAST_MS and case not in PRODUCTS:
            failed.append(case)
    if failed:
        raise Failure("more than in proportion: " + ", ".join(failed))
