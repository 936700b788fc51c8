"""Thresholds: where a value turns from a packed form into a large one. Half of the seeds run with Redis's own, the others with tiny ones, so
that a handful of commands brings every value over every edge, and back over it where there is a way back.
"""

import random

# Redis 7.0 packs no small set of texts and has no settings for it: it refuses those rows.
DEFAULTS = {
    b'hash-max-listpack-entries': b'128', b'hash-max-listpack-value': b'64',
    b'list-max-listpack-size': b'-2',
    b'set-max-intset-entries': b'512', b'set-max-listpack-entries': b'128', b'set-max-listpack-value': b'64',
    b'zset-max-listpack-entries': b'128', b'zset-max-listpack-value': b'64',
    b'hll-sparse-max-bytes': b'3000',
}
_TINY = {
    b'hash-max-listpack-entries': (b'0', b'1', b'3', b'8'), b'hash-max-listpack-value': (b'0', b'3', b'10', b'64'),
    b'list-max-listpack-size': (b'1', b'2', b'3', b'7', b'-1'),
    b'set-max-intset-entries': (b'0', b'1', b'3', b'8'), b'set-max-listpack-entries': (b'0', b'2', b'5', b'9'),
    b'set-max-listpack-value': (b'0', b'2', b'10', b'64'),
    b'zset-max-listpack-entries': (b'0', b'1', b'3', b'8'), b'zset-max-listpack-value': (b'0', b'2', b'10', b'64'),
    b'hll-sparse-max-bytes': (b'0', b'16', b'40', b'300'),
}


def of_seed(seed):
    """The settings that a seed runs with."""
    if seed % 2:
        return DEFAULTS
    draw = random.Random('thresholds of %d' % seed)
    return {name: draw.choice(_TINY[name]) for name in DEFAULTS}


def change(words):
    """One of them anew, in the middle: values that exist are converted when they are next written to, if at all. Both versions know these."""
    name = words.one_of([name for name in _TINY if not name.startswith(b'set-max-listpack')])
    return [b'CONFIG', b'SET', name, words.one_of(_TINY[name])]


def apply(connection, settings):
    for name, value in settings.items():
        connection.ask(b'CONFIG', b'SET', name, value)


def text(settings):
    return ' '.join('%s %s' % (name.decode(), value.decode()) for name, value in settings.items() if value != DEFAULTS[name]) or "Redis's own"
