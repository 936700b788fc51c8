"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: each by itself here. What is between a MULTI and its EXEC comes from all families: the engine puts
runs of a pipeline between the two."""

from . import functions, scripts


def watched_loop(words):
    """A key is watched, and perhaps changed, before a transaction on it."""
    key = words.key()
    change = words.pick([], [[b'SET', key, words.value()]], [[b'EXPIRE', key, b'1000']], [[b'GET', key]], [[b'DEL', key]], [[b'FLUSHDB']], [[b'SWAPDB', b'0', b'1']])
    return [[b'WATCH', key]] + change + [[b'MULTI'], [b'SET', key, words.value()], [b'GET', key], [b'EXEC']]


def scripted_loop(words):
    """The same, where it is a script that changes the key, or that the transaction runs."""
    key = words.key()
    call = words.pick(b"redis.call('set',KEYS[1],ARGV[1])", b"redis.pcall('append',KEYS[1],ARGV[1])", b"redis.call('del',KEYS[1])", b"redis.call('get',KEYS[1])",
                      b"redis.call('select',1) redis.call('set',KEYS[1],ARGV[1])", b"redis.call('set',ARGV[1],1)", b"redis.call('expire',KEYS[1],1000)",
                      b"redis.call('set',KEYS[1],ARGV[1]) error('late')", b"redis.call('flushdb')", b"redis.pcall('incr',KEYS[1])", b'')
    change = words.pick([], [[b'EVAL', call, b'1', key, words.value()]], [[b'EVAL', call, b'0', key]], scripts.eval_(words), functions.called(words))
    inside = words.pick([[b'EVAL', b"return redis.call('get',KEYS[1])", b'1', key]], scripts.eval_(words), scripts.loaded(words), functions.load(words), functions.called(words))
    return [[b'WATCH', key]] + change + [[b'MULTI']] + inside + [[b'GET', key], [b'EXEC']]


COMMANDS = [
    (3, lambda words: [b'WATCH'] + words.keys(3)),
    (1, lambda words: [b'UNWATCH']),
    (1, lambda words: [b'MULTI']),
    (3, lambda words: [b'EXEC']),
    (1, lambda words: [b'DISCARD']),
    (6, watched_loop),
    (6, scripted_loop),
]
