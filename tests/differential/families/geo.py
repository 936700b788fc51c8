"""Places: adding them, asking for them, and searching circles and boxes of every size at every latitude.

Which of several places at the same distance are the COUNT nearest is chance in Redis. COUNT without ANY is asked of geo:lone only, where no two places
are the same.
"""

from words import EDGE_FLOATS

CENTERS = [(13.361389, 38.115556), (15.087269, 37.502669), (0, 0), (180, 85.05112878), (-180, -85.05112878), (179.9999, 0.0001), (-179.9999, -0.0001),
           (2.35, 48.85), (-122.4, 37.8), (30, 70), (-60, -84), (151.2, -33.9), (10, 84.9), (0, 66.5), (100, -66.5), (45, 45), (-90, 0), (90, 85)]


def place(words):
    """Two numbers as text: anywhere, near a place that others are near to as well, or wrong."""
    draw = words.below(40)
    if draw < 14:
        return [b'%.6f' % words.random.uniform(-180, 180), b'%.6f' % words.random.uniform(-85.05, 85.05)]
    longitude, latitude = words.one_of(CENTERS)
    if draw < 36:
        spread = 10.0 ** words.between(-5, 1)
        longitude = max(-180, min(180, longitude + words.random.uniform(-spread, spread)))
        latitude = max(-85.05112878, min(85.05112878, latitude + words.random.uniform(-spread, spread)))
        return [b'%.9f' % longitude, b'%.9f' % latitude]
    if draw < 39:
        return [repr(longitude).encode(), repr(latitude).encode()]
    return [words.one_of(EDGE_FLOATS), words.pick(b'1', b'86', b'-85.06', words.one_of(EDGE_FLOATS))]


def member(words):
    return words.pick(b'%d' % words.below(30), b'm%d' % words.below(60), b'm%d' % words.below(60), b'm%d' % words.below(60), b'', b'a place with a long name ' * 3)


def key(words):
    return words.pick(b'geo:1', b'geo:1', b'geo:2', b'geo:lone', b'geo:lone', b'geo:stored', words.key())


def add(words):
    command = [b'GEOADD', words.pick(b'geo:1', b'geo:1', b'geo:2', words.key())]
    for option in (b'NX', b'XX', b'CH'):
        if words.chance(0.1):
            command.append(words.cased(option))
    for _ in range(words.pick(1, 1, 3, 10, 40)):
        command += place(words) + [member(words)]
    if words.chance(0.02):
        command.pop()
    return command


def add_lone(words):
    """A member has its own piece of the world, so that no two are equally far from anywhere."""
    number = words.below(200)
    return [b'GEOADD', b'geo:lone', b'%.7f' % (number * 0.0931 + words.random.uniform(0, 0.09)), b'%.7f' % (number % 7 * 10 + words.random.uniform(-5, 5)), b'n%d' % number]


def unit(words):
    return words.cased(words.pick(b'M', b'KM', b'KM', b'FT', b'MI')) if words.chance(0.98) else words.pick(b'', b'meters', b'k')


def length(words):
    """Of anything from a hand to the earth."""
    if words.chance(0.03):
        return words.one_of(EDGE_FLOATS)
    if words.chance(0.05):
        return b'0'
    return b'%.3f' % (10 ** words.random.uniform(-1, 7.5))


def center_member(words):
    return words.pick(member(words), b'm%d' % words.below(20), b'n%d' % words.below(200))


def finish(words, command, extras):
    """The options that all searches have, in any order."""
    options = [[extra] for extra in (b'WITHDIST', b'WITHHASH', b'WITHCOORD') if words.chance(extras)]
    if words.chance(0.4):
        options.append([words.pick(b'ASC', b'DESC')])
    if words.chance(0.3):
        count = words.pick(b'1', b'2', b'5', b'20', b'1000', b'1000', words.integer_small())
        if b'geo:lone' in command[1:3]:
            options.append([b'COUNT', count] + words.pick([], [b'ANY']))
        else:
            options.append([b'COUNT', count, b'ANY'])
    elif words.chance(0.02):
        options.append(words.pick([b'ANY'], [b'COUNT'], [b'foo'], [b'STORE', b'geo:stored'], [b'STOREDIST']))
    words.random.shuffle(options)
    return command + [words.cased(part) if part.isalpha() else part for option in options for part in option]


def radius(words):
    name = words.pick(b'GEORADIUS', b'GEORADIUS_RO', b'GEORADIUSBYMEMBER', b'GEORADIUSBYMEMBER_RO')
    command = [name, key(words)] + ([center_member(words)] if b'MEMBER' in name else place(words)) + [length(words), unit(words)]
    stores = words.chance(0.25)
    command = finish(words, command, 0.02 if stores else 0.3)
    if stores:
        command += [words.cased(words.pick(b'STORE', b'STOREDIST')), words.pick(b'geo:stored', b'geo:stored', words.key())]
    return command


def search(words):
    stores = words.chance(0.25)
    command = [b'GEOSEARCHSTORE', words.pick(b'geo:stored', b'geo:stored', words.key()), key(words)] if stores else [b'GEOSEARCH', key(words)]
    where = [b'FROMMEMBER', center_member(words)] if words.chance(0.5) else [b'FROMLONLAT'] + place(words)
    what = [b'BYRADIUS', length(words), unit(words)] if words.chance(0.4) else [b'BYBOX', length(words), length(words), unit(words)]
    parts = [where, what]
    if words.chance(0.04):
        parts = words.pick([where], [what], [where, where], [what, what], [where, what, [b'FROMLONLAT', b'1', b'1']], [where, what, [b'BYRADIUS', b'1', b'm']], [what, [b'FROMMEMBER', b'm1'], where])
    words.random.shuffle(parts)
    command = finish(words, command + [part for each in parts for part in each], 0.02 if stores else 0.3)
    if stores and words.chance(0.4):
        command.append(words.cased(b'STOREDIST'))
    return command


def distance(words):
    return [b'GEODIST', key(words), center_member(words), center_member(words)] + words.pick([], [], [unit(words)], [unit(words)], [b'm', b'km'])


def keys(words):
    """Where the destination is: an argument like any other, to be found."""
    return [b'COMMAND', words.pick(b'GETKEYS', b'GETKEYSANDFLAGS')] + words.pick(
        radius(words), search(words), [b'GEORADIUS', b'a', b'1', b'1', b'1', b'm', b'STORE', b'b', b'STOREDIST', b'c'],
        [b'GEORADIUSBYMEMBER', b'a', b'store', b'1', b'm', b'storedist', b'b'], [b'GEOADD', b'a', b'1', b'1', b'm'])


COMMANDS = [
    (20, add),
    (15, add_lone),
    (20, radius),
    (30, search),
    (6, distance),
    (5, lambda words: [b'GEOPOS', key(words)] + [center_member(words) for _ in range(words.below(5))]),
    (5, lambda words: [b'GEOHASH', key(words)] + [center_member(words) for _ in range(words.below(5))]),
    (4, lambda words: [b'ZRANGE', words.pick(b'geo:stored', b'geo:stored', b'geo:1', b'geo:lone'), b'0', b'-1', b'WITHSCORES']),
    (3, lambda words: [b'ZREM', key(words)] + [center_member(words) for _ in range(words.between(1, 4))]),
    (2, keys),
    (1, lambda words: [b'DEL', words.pick(b'geo:1', b'geo:2', b'geo:stored')]),
]
