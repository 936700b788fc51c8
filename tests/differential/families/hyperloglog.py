"""HyperLogLogs: what is counted, and the bytes it is kept in."""


def key(words):
    """Keys of their own: what becomes of bytes that are none is another matter."""
    return words.pick(b'hll:1', b'hll:2', b'hll:3', b'hll:4')


def elements(words):
    start = words.below(100000)
    count = words.pick(0, 1, 2, 5, 30, 30, 300, 1000)
    return [b'%d' % (start + number) for number in range(count)] if words.chance(0.8) else [words.value() for _ in range(count % 40)]


COMMANDS = [
    (30, lambda words: [b'PFADD', key(words)] + elements(words)),
    (12, lambda words: [b'PFCOUNT'] + [key(words) for _ in range(words.pick(1, 1, 2, 4))]),
    (8, lambda words: [b'PFMERGE', key(words)] + [key(words) for _ in range(words.between(0, 3))]),
    (8, lambda words: [b'GET', key(words)]),
    (5, lambda words: [b'PFDEBUG', words.cased(words.pick(b'ENCODING', b'DECODE', b'GETREG', b'TODENSE', b'foo')), key(words)]),
    (1, lambda words: [b'DEL', key(words)]),
]
