"""What a program leaves in a server, as lines that can be compared: types, contents, order, and which key has an end."""
import re

# What differs between two runs of one program against one server, and the word that it becomes.
DRAWN = [(re.compile(pattern, re.ASCII), word) for pattern, word in (
    (rb'[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+]00:00)?)?', b'<date>'),
    (rb'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', b'<uuid>'),
    (rb'(?<![0-9a-f])[0-9a-f]{24,}(?![0-9a-f])', b'<hex>'),
    (rb'(?<![0-9.])[12][0-9]{12}(?![0-9])', b'<ms>'),
    (rb'(?<![0-9.])[12][0-9]{9}([.][0-9]+)?(?![0-9])', b'<s>'),
    (rb'(?<![0-9.])[0-9]{16}[.]0 ', b'<4096 ms> '),
    (rb'gen[0-9]+@', b'gen<pid>@'),
    (rb':[0-9]+:[0-9a-f]{12}\b', b':<pid>:<hex>'),
    (rb'"pid":[0-9]+', b'"pid":<pid>'),
    (rb'^(offset|rss|rtt_us|pid|ip_address|total_working_time|quiet) = .*', rb'\1 = <of this run>'),
)]

# What hinges on who came first: BullMQ's word to a worker that sleeps, how often a queue ran dry, and bee-queue's lock against looking for
# stalled jobs too often, which ends by itself.
FLEETING_KEY = re.compile(rb'bull:[a-z]+:marker|bq:[a-z]+:stallBlock')
FLEETING_EVENT = b'event drained'


def liken(value):
    for pattern, word in DRAWN:
        value = pattern.sub(word, value)
    return value


def read_value(server, kind, key):
    """A key's contents as lines. Those of sets, hashes and streams are sorted: what is done at once may end in either order."""
    if kind == 'string':
        return [liken(server.get(key))]
    if kind == 'list':
        return [liken(value) for value in server.lrange(key, 0, -1)]
    if kind == 'set':
        return sorted(liken(value) for value in server.smembers(key))
    if kind == 'hash':
        return sorted(liken(field + b' = ' + value) for field, value in server.hgetall(key).items())
    if kind == 'zset':
        return sorted(liken(b'%r %s' % (score, value)) for value, score in server.zrange(key, 0, -1, withscores=True))
    assert kind == 'stream', kind
    events = (b' '.join(part for pair in fields.items() for part in pair) for _, fields in server.xrange(key))
    return sorted(liken(event) for event in events if event != FLEETING_EVENT)


def describe(server):
    """What is left, as sorted lines."""
    left = []
    for key in server.scan_iter(count=1000):
        if FLEETING_KEY.fullmatch(key):
            continue
        kind = server.type(key).decode()
        end = 'ends' if server.pttl(key) >= 0 else 'stays'
        left.append('%s %s %s' % (liken(key).decode(errors='backslashreplace'), kind, end) + ''.join(
            '\n    ' + line.decode(errors='backslashreplace') for line in read_value(server, kind, key)))
    return '\n'.join(sorted(left)).split('\n') if left else []
