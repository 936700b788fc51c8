"""Hashes: fields, counters in them, drawing and iterating."""

from actions import Action


def field(words):
    draw = words.below(20)
    if draw < 14:
        return b'f%d' % words.below(8)
    if draw < 16:
        return b'%d' % words.below(300)
    return words.pick(b'', b'0', b'-1', b'long field ' * 7, words.value())


def fields(words, most=4):
    return [field(words) for _ in range(words.between(1, most))]


def put(words):
    name = words.pick(b'HSET', b'HSET', b'HMSET')
    pairs = []
    for _ in range(words.pick(1, 1, 2, 5, words.between(1, 30))):
        pairs += [field(words), words.value()]
    if words.chance(0.03):
        pairs.pop()
    return [name, words.key()] + pairs


def many(words):
    """Enough fields that a packed hash becomes a large one."""
    pairs = []
    for number in range(words.pick(20, 130, 520)):
        pairs += [b'm%d' % number, words.pick(b'%d' % number, b'x', words.value())]
    return [b'HSET', words.key()] + pairs


def draw(words):
    key = words.key()
    arguments = [b'HRANDFIELD', key]
    if words.chance(0.8):
        arguments.append(words.pick(b'1', b'3', b'-5', b'1000', b'0', b'-1', b'-40', b'x'))
        if words.chance(0.5):
            arguments.append(words.pick(words.cased(b'WITHVALUES'), b'foo'))
    return Action('drawn', [b'HGETALL', key, b'|'] + arguments)


def scan(words):
    options = []
    if words.chance(0.4):
        options += [words.cased(b'MATCH'), words.pick(b'f*', b'*', b'm1*', b'nothing', b'f[0-3]')]
    if words.chance(0.5):
        options += [words.cased(b'COUNT'), words.pick(b'1', b'3', b'10', b'1000')]
    return Action('scan_value', [b'HSCAN', words.key(), b'2'] + options)


COMMANDS = [
    (30, put),
    (2, many),
    (6, lambda words: [b'HSETNX', words.key(), field(words), words.value()]),
    (12, lambda words: [b'HGET', words.key(), field(words)]),
    (8, lambda words: [b'HMGET', words.key()] + fields(words)),
    (14, lambda words: [b'HDEL', words.key()] + fields(words, 10)),
    (6, lambda words: [b'HLEN', words.key()]),
    (4, lambda words: [b'HSTRLEN', words.key(), field(words)]),
    (5, lambda words: [b'HEXISTS', words.key(), field(words)]),
    (4, lambda words: [b'HKEYS', words.key()]),
    (4, lambda words: [b'HVALS', words.key()]),
    (6, lambda words: [b'HGETALL', words.key()]),
    (8, lambda words: [b'HINCRBY', words.key(), field(words), words.integer()]),
    (5, lambda words: [b'HINCRBYFLOAT', words.key(), field(words), words.float()]),
    (5, draw),
    (5, scan),
    (2, lambda words: [b'HSCAN', words.key(), words.pick(b'0', b'abc', b'', b'-1')] + words.pick([], [b'COUNT', b'0'], [b'foo'], [b'MATCH'], [b'COUNT', b'x'])),
    (4, lambda words: [b'OBJECT', b'ENCODING', words.key()]),
]
