"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: each by itself here. What is between a MULTI and its EXEC comes from all families: the engine puts
runs of a pipeline between the two."""


def watched_loop(words):
    """A key is watched, and perhaps changed, before a transaction on it."""
    key = words.key()
    change = words.pick([], [[b'SET', key, words.value()]], [[b'EXPIRE', key, b'1000']], [[b'GET', key]], [[b'DEL', key]], [[b'FLUSHDB']], [[b'SWAPDB', b'0', b'1']])
    return [[b'WATCH', key]] + change + [[b'MULTI'], [b'SET', key, words.value()], [b'GET', key], [b'EXEC']]


COMMANDS = [
    (3, lambda words: [b'WATCH'] + words.keys(3)),
    (1, lambda words: [b'UNWATCH']),
    (1, lambda words: [b'MULTI']),
    (3, lambda words: [b'EXEC']),
    (1, lambda words: [b'DISCARD']),
    (6, watched_loop),
]
