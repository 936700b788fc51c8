"""Words: the random keys, values and numbers that commands are made of. One instance per seed; the same seed gives the same words.

Two pools of keys: `plain`, whose values stay small so that LCS and full comparisons are cheap, and `big`, whose values may reach a
few hundred kilobytes. The types have pools of their own besides, where a command meets the type that it is for more often than another.
A command draws from one pool. Times are either far away or in the past (see `safe.py`).
"""

import random

PLAIN_KEYS = [b'key:%d' % number for number in range(14)] + [
    b'', b'0', b'-1', b'a', b'KEY:1', b'{tag}one', b'{tag}two', b'\x00', b'nul\x00inside', b'line\r\nend', b'sp ace', b'\xff\xfe\x80',
    b'glob*[x]?', b'back\\slash', b'k' * 100, b'"quoted"', b'$5\r\nhello\r\n']
BIG_KEYS = [b'big:%d' % number for number in range(4)]
OWN_KEYS = {family: [b'%b:%d' % (family.encode(), number) for number in range(5)] for family in ('hashes', 'lists', 'sets', 'sorted_sets')}
EDGE_INTEGERS = [
    b'0', b'1', b'-1', b'2', b'9', b'10', b'100', b'-100', b'9223372036854775807', b'-9223372036854775808', b'9223372036854775806',
    b'9223372036854775808', b'-9223372036854775809', b'18446744073709551615', b'18446744073709551616', b'99999999999999999999',
    b'2147483647', b'2147483648', b'-2147483648', b'-2147483649', b'4294967295', b'4294967296', b'536870911', b'536870912',
    b'007', b'-0', b'+1', b' 1', b'1 ', b'', b'1e5', b'1.0', b'0x10', b'inf', b'nan', b'abc', b'--1', b'-', b'1\x00', b'\x001',
    b'9223372036854775', b'9223372036854776', b'-9223372036854775', b'-9223372036854776', b'12345678901234567890123', b'one']
EDGE_FLOATS = [
    b'0', b'1', b'-1', b'0.1', b'-0.1', b'3.0e3', b'1e5', b'1e-5', b'1e17', b'1e18', b'1e-17', b'1e-18', b'5e-324', b'1e300', b'1e308',
    b'1e309', b'1e4932', b'1e4933', b'1e99999', b'1e-99999', b'-1e4932', b'inf', b'-inf', b'+inf', b'infinity', b'INF', b'nan', b'NaN',
    b'-nan', b'0x10', b'0x1p-3', b'0x1.8p1', b'-0x.8p0', b'.5', b'5.', b'.', b'', b' 1', b'1 ', b'+1', b'+1.5', b'-0', b'-0.0', b'00.10',
    b'1_000', b'1,5', b'1e', b'e1', b'1e+2', b'1E2', b'9007199254740993', b'123456789.123456789', b'0.3333333333333333333333333',
    b'100000000000000000000', b'9223372036854775807', b'1\x00', b'abc', b'1.5\r\n', b'99999999999999999', b'3.14159265358979323846']
NONSENSE = [b'NX', b'XX', b'GET', b'EX', b'PX', b'KEEPTTL', b'GT', b'LT', b'REPLACE', b'DB', b'MATCH', b'COUNT', b'PERSIST', b'ASYNC', b'BIT',
            b'BYTE', b'foo', b'', b'*', b'0', b'-1']


class Words:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pool = PLAIN_KEYS
        self.unique = 0

    # Draws.
    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, *choices):
        return choices[int(self.random.random() * len(choices))]

    def one_of(self, sequence):
        return sequence[int(self.random.random() * len(sequence))]

    def below(self, limit):
        return int(self.random.random() * limit)

    def between(self, least, most):
        return least + int(self.random.random() * (most - least + 1))

    # Keys.
    def choose_pool(self, family):
        if family in OWN_KEYS and self.chance(0.6):
            self.pool = OWN_KEYS[family]
        elif family == 'keys' and self.chance(0.1):
            self.pool = self.pick(*OWN_KEYS.values())
        else:
            self.pool = BIG_KEYS if self.chance(0.06) else PLAIN_KEYS

    def choose_small(self):
        """For requests on connections that end: their replies have to fit into a socket."""
        self.pool = PLAIN_KEYS

    def key(self):
        pool = self.pool
        if pool is PLAIN_KEYS and self.chance(0.6):
            return pool[self.below(14)]
        return self.one_of(pool)

    def keys(self, most=4):
        return [self.key() for _ in range(self.between(1, most))]

    def pattern(self):
        return self.pick(b'*', b'key:*', b'key:?', b'key:1*', b'key:[0-4]', b'key:[^0-4]', b'k*', b'*1*', b'', b'?', b'??', b'big:*', b'nothing',
                         b'\\*', b'*\\*', b'glob\\*\\[x\\]\\?', b'glob*', b'[', b'[a', b'[a-', b'[^', b'[]a]', b'key:[9-0]', b'\\', b'a\\', b'***',
                         b'*k*e*y*', b'K*', b'{tag}*', b'*\x00*', b'*\r\n*', b'\xff*', b'key:[\\0-4]', b'*[x]*', self.key())

    # Values.
    def value(self):
        draw = self.random.random()
        if draw < 0.30:
            return b'%d' % self.below(20000)
        if draw < 0.38:
            return self.one_of(EDGE_INTEGERS)
        if draw < 0.44:
            return self.one_of(EDGE_FLOATS)
        if draw < 0.60:
            self.unique += 1
            return b'value-%d' % self.unique
        if draw < 0.75:
            return self.bytes(self.below(24))
        if draw < 0.85: # around the limits of the encodings
            return b'e' * self.between(40, 48)
        if draw < 0.90:
            return self.bytes(self.below(300))
        if draw < 0.97:
            return bytes(self.pick(97, 98, 99) for _ in range(self.below(60)))
        if self.pool is BIG_KEYS:
            return self.large()
        return self.bytes(self.below(1200))

    def bytes(self, length):
        return self.random.randbytes(length)

    def large(self):
        length = self.pick(1000, 4096, 16383, 16384, 16385, 17000, 32768, 65536, 100000, 200000)
        return self.bytes(16) * (length // 16) + self.bytes(length % 16)

    # Numbers.
    def integer(self):
        draw = self.random.random()
        if draw < 0.6:
            return b'%d' % self.between(-20, 20)
        if draw < 0.8:
            return b'%d' % self.between(-10 ** 12, 10 ** 12)
        return self.one_of(EDGE_INTEGERS)

    def integer_small(self):
        return b'%d' % self.between(-6, 12) if self.chance(0.85) else self.one_of(EDGE_INTEGERS)

    def count(self):
        """Mostly a small natural number, now and then an odd one."""
        return b'%d' % self.between(0, 40) if self.chance(0.85) else self.one_of(EDGE_INTEGERS)

    def float(self):
        draw = self.random.random()
        if draw < 0.3:
            return b'%d' % self.between(-1000, 1000)
        if draw < 0.6:
            return b'%.*f' % (self.below(8), self.random.uniform(-1000, 1000))
        if draw < 0.7:
            return b'%.*g' % (self.between(1, 17), self.random.uniform(-1, 1) * 10.0 ** self.between(-20, 20))
        return self.one_of(EDGE_FLOATS)

    def index(self):
        draw = self.random.random()
        if draw < 0.8:
            return b'%d' % self.between(-30, 60)
        if draw < 0.9:
            return b'%d' % self.between(-2000, 2000)
        return self.one_of(EDGE_INTEGERS)

    def offset(self):
        """A byte offset that can be written to."""
        if self.pool is BIG_KEYS:
            return b'%d' % self.below(150000)
        return b'%d' % self.below(60) if self.chance(0.93) else self.one_of(EDGE_INTEGERS)

    def bit_offset(self):
        if self.pool is BIG_KEYS:
            return b'%d' % self.below(1200000)
        return b'%d' % self.below(300) if self.chance(0.93) else self.one_of(EDGE_INTEGERS)

    # Times: never near now, and relative ones never twice the same, so that GT and LT decide alike on both servers.
    def seconds(self):
        draw = self.random.random()
        if draw < 0.8:
            return b'%d' % self.between(2000, 10 ** 9)
        return self.one_of(EDGE_INTEGERS)

    def milliseconds(self):
        return b'%d' % self.between(2000000, 10 ** 12) if self.chance(0.8) else self.one_of(EDGE_INTEGERS)

    def unix_seconds(self):
        draw = self.random.random()
        if draw < 0.6:
            return b'%d' % (4102444800 + 100 * self.below(8))
        if draw < 0.75:
            return b'%d' % self.between(1, 1000)
        if draw < 0.85:
            return b'%d' % self.between(4102444800, 9000000000)
        return self.one_of(EDGE_INTEGERS)

    def unix_milliseconds(self):
        draw = self.random.random()
        if draw < 0.6:
            return b'%d' % (4102444800000 + 100000 * self.below(8))
        if draw < 0.75:
            return b'%d' % self.between(1, 1000000)
        if draw < 0.85:
            return b'%d' % self.between(4102444800000, 9000000000000)
        return self.one_of(EDGE_INTEGERS)

    # Spelling.
    def cased(self, word):
        """A command or option name in one of the spellings that clients use."""
        draw = self.random.random()
        if draw < 0.6:
            return word
        if draw < 0.9:
            return word.lower()
        return bytes(byte ^ 32 if 65 <= byte & 95 <= 90 and self.chance(0.5) else byte for byte in word)

    def mutated(self, arguments):
        """The command with something wrong or odd in it."""
        arguments = list(arguments)
        for _ in range(self.pick(1, 1, 1, 2)):
            draw = self.below(7)
            place = self.between(1, len(arguments) - 1) if len(arguments) > 1 else 0
            if draw == 0 and place:
                del arguments[place]
            elif draw == 1:
                arguments.append(self.one_of(NONSENSE))
            elif draw == 2 and place:
                arguments[place] = self.one_of(EDGE_INTEGERS)
            elif draw == 3 and place:
                arguments.insert(place, self.one_of(NONSENSE))
            elif draw == 4 and place:
                arguments.append(arguments[place])
            elif draw == 5 and place:
                other = self.between(1, len(arguments) - 1)
                arguments[place], arguments[other] = arguments[other], arguments[place]
            else:
                del arguments[max(1, place):]
        return arguments
