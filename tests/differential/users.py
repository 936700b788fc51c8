#!/usr/bin/python3
"""Users, compared: random rules are given to Latchkey and to redis-server, and both are asked by ACL DRYRUN what that user may run. What
they print of the user is given to redis-server, which must make the same rules of it. Users with any names are written to a configuration and
to an aclfile by either, and read by both.

    users.py --latchkey ./latchkey                    20 seeds, 5,000 sequences of SETUSER, 20,000 commands
    users.py --latchkey ./latchkey --seed 7           one seed again
    users.py --against-redis                          redis-server against itself

A seed is one test. Exit status 1 if any differs.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from servers import Server, add_options, latchkey_path, run_seeds, seeds_of

# Of each sequence of rules so many commands are asked.
ASKED = 4
FILES_EACH = 2
KEYS = ['a', 'b', 'ab', 'a:1', 'b:22', 'x*y', 'k[1]', '\\', '', 'A', 'tmp:1', 'long' * 20]
PATTERNS = ['a*', 'a', '*', 'a:*', '*b', '[ab]*', '?', 'a\\*', '*:*', '', 'tmp:?', 'k\\[1\\]', 'x\\*y', '[^a]', 'long*', '**', 'a*b']
CHANNELS = ['news', 'news.1', 'n', '', 'x*']
CHANNEL_PATTERNS = ['news*', 'n?', '*', 'x*', '', 'news.[12]']
PASSWORDS = ['p', 'q', '', 'a b']
HASHES = ['148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940', '0' * 64, 'f' * 63, 'F' * 64]

COMMANDS = [
    'get K', 'set K v', 'set K v GET', 'set K v XX KEEPTTL', 'getset K v', 'getdel K', 'getex K', 'mget K K K', 'mset K v K v', 'append K v',
    'del K K', 'unlink K', 'exists K K', 'type K', 'rename K K', 'copy K K', 'copy K K REPLACE', 'expire K 1', 'ttl K', 'touch K',
    'object encoding K', 'object help', 'keys P', 'scan 0', 'randomkey', 'dbsize', 'flushall', 'swapdb 0 1', 'move K 1', 'sort K', 'sort K STORE K',
    'sort K BY w_* GET x* STORE K', 'sort_ro K', 'lpush K v', 'rpop K', 'lmove K K LEFT RIGHT', 'blpop K K 1', 'blmove K K LEFT LEFT 1', 'lmpop 2 K K LEFT',
    'blmpop 1 2 K K LEFT', 'lrange K 0 1', 'sadd K v', 'smembers K', 'sinter K K', 'sinterstore K K K', 'sintercard 2 K K', 'smove K K v', 'spop K',
    'zadd K 1 v', 'zrange K 0 1', 'zrangestore K K 0 1', 'zunionstore K 2 K K', 'zinter 2 K K', 'zmpop 2 K K MIN', 'bzpopmin K K 1', 'zrem K v', 'zscore K v',
    'hset K f v', 'hget K f', 'hgetall K', 'hdel K f', 'hincrby K f 1', 'incr K', 'setbit K 1 1', 'getbit K 1', 'bitcount K', 'bitop AND K K K',
    'bitfield K GET u8 0', 'bitfield K SET u8 0 1', 'bitfield_ro K GET u8 0', 'pfadd K v', 'pfcount K K', 'pfmerge K K', 'geoadd K 1 1 v', 'geosearch K FROMMEMBER v',
    'geosearchstore K K FROMMEMBER v', 'georadius K 1 1 1 m', 'georadius K 1 1 1 m STORE K', 'georadius_ro K 1 1 1 m', 'xadd K * f v', 'xread STREAMS K K 0 0',
    'xreadgroup GROUP g c STREAMS K >', 'xlen K', 'xgroup create K g $', 'xinfo stream K', 'xdel K 1-1', 'lcs K K', 'setrange K 0 v', 'getrange K 0 1',
    'publish C v', 'spublish C v', 'subscribe C C', 'psubscribe D D', 'ssubscribe C', 'unsubscribe C', 'punsubscribe D', 'sunsubscribe C', 'pubsub channels',
    'pubsub numsub C', 'eval x 0', 'eval x 2 K K v', 'eval x 5 K', 'eval_ro x 1 K', 'evalsha x 1 K', 'fcall f 1 K', 'fcall_ro f 2 K K', 'script load x', 'function list',
    'script flush', 'multi', 'exec', 'discard', 'watch K K', 'unwatch', 'ping', 'echo v', 'select 0', 'select 1', 'auth p', 'hello', 'quit', 'reset', 'client id',
    'client list', 'client kill v', 'client setname v', 'config get v', 'config set v v', 'config rewrite', 'info', 'command', 'command count', 'command docs',
    'acl whoami', 'acl setuser v', 'acl list', 'acl dryrun v v v', 'slowlog get', 'latency latest', 'memory usage K', 'memory doctor', 'debug jmap', 'debug object K',
    'monitor', 'shutdown', 'time', 'lolwut', 'wrong', 'get', 'config nosuch', 'get K K',
]
NAMES = ['get', 'set', 'mget', 'config', 'config|get', 'config|set', 'client', 'client|id', 'client|list', 'select', 'select|0', 'select|1', 'debug|jmap', 'debug',
         'acl', 'acl|whoami', 'object|encoding', 'object', 'eval', 'sort', 'sort_ro', 'bitfield', 'publish', 'subscribe', 'psubscribe', 'ping', 'flushall', 'GET', 'Config|Get',
         'nosuch', 'config|nosuch', 'config|get|x', 'get|', '', 'info', 'memory|usage', 'xgroup|create', 'xinfo|stream', 'copy', 'georadius', 'lcs', 'command', 'command|docs']
CATEGORIES = ['keyspace', 'read', 'write', 'set', 'sortedset', 'list', 'hash', 'string', 'bitmap', 'hyperloglog', 'geo', 'stream', 'pubsub', 'admin', 'fast', 'slow',
              'blocking', 'dangerous', 'connection', 'transaction', 'scripting', 'all', 'nosuch', 'READ', 'All']


def selector_word(draw):
    """A word about commands, keys or channels."""
    sign = draw.choice('+++-')
    kinds = [
        (8, lambda: draw.choice(['~', '~', '~', '%R~', '%W~', '%RW~', '%w~', '%RR~', '%', '%~']) + draw.choice(PATTERNS)),
        (6, lambda: sign + '@' + draw.choice(CATEGORIES)), (8, lambda: sign + draw.choice(NAMES)),
        (3, lambda: '&' + draw.choice(CHANNEL_PATTERNS)), (2, lambda: draw.choice(['+@all', 'allcommands', '-@all', 'nocommands'])),
        (2, lambda: draw.choice(['allkeys', 'resetkeys', 'allchannels', 'resetchannels', '~*', '&*', 'ResetKeys'])),
    ]
    return draw.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]()


def word(draw):
    kinds = [
        (20, lambda: selector_word(draw)),
        (2, lambda: draw.choice('>><') + draw.choice(PASSWORDS)), (1, lambda: draw.choice('##!') + draw.choice(HASHES)),
        (2, lambda: draw.choice(['on', 'off', 'nopass', 'resetpass', 'skip-sanitize-payload', 'sanitize-payload', 'ON'])),
        (1, lambda: draw.choice(['reset', 'clearselectors', '', 'frob', '(', ')', '()', '(~a'])),
        (3, lambda: '(' + ' '.join(selector_word(draw) for _ in range(draw.randrange(1, 4))) + ')'),
    ]
    return draw.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]()


def words(draw):
    """A selector may be one word or several."""
    result = []
    for _ in range(draw.randrange(1, 7)):
        made = word(draw)
        result += made.split(' ') if made.startswith('(') and draw.random() < 0.5 else [made]
    # 7.0 begins a selector anew where another parenthesis opens in one; later versions take it as one of its words, and find it wrong.
    opened = [number for number, made in enumerate(result) if made.startswith('(') and not made.endswith(')')]
    return result if len(opened) < 2 else words(draw)


def command(draw):
    choices = {'K': KEYS, 'P': PATTERNS, 'C': CHANNELS, 'D': CHANNEL_PATTERNS}
    return [draw.choice(choices[part]) if part in choices else part for part in draw.choice(COMMANDS).split(' ')]


def text_of(reply):
    return reply[1].decode('latin-1') if isinstance(reply[1], bytes) else str(reply[1])


def is_same(ours, theirs):
    """7.0 says "This user" where 7.2 names it."""
    return ours[0] == theirs[0] and text_of(ours).replace('User u has', 'This user has') == text_of(theirs).replace('User u has', 'This user has')


def described(connection, name):
    """What ACL LIST has of the user, as words; 7.0 doesn't show the flag of payloads where it is as it was made."""
    for line in connection.ask('ACL', 'LIST')[1]:
        parts = line[1].decode('latin-1').split(' ', 2)
        if parts[1] == name:
            return parts[2].split(' ')
    return None


def run_seed(pair, seed, count):
    """None, or what differs."""
    draw, sides = random.Random(seed), [server.connect() for server in pair]
    ours, theirs = sides
    try:
        for _ in range(max(1, count // ASKED)):
            if draw.random() < 0.5:
                for side in sides:
                    side.ask('ACL', 'DELUSER', 'u')
            history = []
            for _ in range(draw.randrange(1, 4)):
                rules = words(draw)
                replies = [side.ask('ACL', 'SETUSER', 'u', *rules) for side in sides]
                history.append(' '.join(repr(rule) for rule in rules))
                if not is_same(*replies):
                    return 'seed %d: SETUSER u %s\n  ours:  %r\n  redis: %r' % (seed, history[-1], *replies)
            printed = described(ours, 'u')
            copy = printed is not None
            if copy:
                made = theirs.ask('ACL', 'SETUSER', 'copy', 'reset', *printed)
                if made != ('+', b'OK'):
                    return 'seed %d: what is printed of %s is no user to redis-server: %r, %r' % (seed, ' / '.join(history), printed, made)
            for _ in range(ASKED):
                asked = command(draw)
                replies = [side.ask('ACL', 'DRYRUN', 'u', *asked) for side in sides]
                if copy:
                    replies.append(theirs.ask('ACL', 'DRYRUN', 'copy', *asked))
                if not is_same(*replies[:2]) or (copy and replies[1] != replies[2]):
                    return 'seed %d: after SETUSER u %s, DRYRUN u %s\n  ours:  %r\n  redis: %r\n  redis, of what ours prints: %r' % (
                        seed, ' / '.join(history), ' '.join(repr(part) for part in asked), replies[0], replies[1], replies[-1])
    finally:
        for side in sides:
            side.ask('ACL', 'DELUSER', 'u', 'copy')
            side.close()
    return categories_differ(*pair)


# ---------------------------------------------------------------- files

LETTERS = ['a', 'b', '"', "'", '\\', '#', '(', ')', '~', '|', '\x01', '\x7f', '\xe4', '\xff', '\\x41', '%']
FILE_COMMANDS = ['get K', 'set K v', 'mget K K', 'del K', 'publish C v', 'select 0', 'config get v', 'lpush K v']


def any_name(draw):
    return ''.join(draw.choice(LETTERS) for _ in range(draw.randrange(5)))


def quoted(text):
    return '"%s"' % text.replace('\\', '\\\\').replace('"', '\\"')


def file_rules(draw, known):
    """Of one user; the names that its patterns have are added to those that are known."""
    def pattern(signs, within):
        name = any_name(draw)
        known.append(name)
        text = draw.choice(signs) + name
        return quoted(text) if within else text
    rules = ['on', '>p', 'resetchannels'] + [pattern(['~', '%R~', '%W~', '&'], False) for _ in range(draw.randrange(4))]
    rules += [draw.choice(['+@all', '+@read', '+@write', '+get', '+config|get', '+publish', '+select|0'])]
    for _ in range(draw.randrange(3)):
        parts = [pattern(['~', '%R~', '&'], True) for _ in range(draw.randrange(1, 3))]
        rules.append('(%s %s)' % (' '.join(parts), draw.choice(['+@all', '+@write', '+get', '+publish'])))
    return rules


def encoded(words):
    return [part.encode('latin-1') for part in words]


def answers(server, users, known, seed):
    """What each user may do, the same commands each time."""
    draw, connection, result = random.Random(seed), server.connect(), []
    try:
        for name in users:
            for _ in range(12):
                chosen = [draw.choice(known) if part in ('K', 'C') else part for part in draw.choice(FILE_COMMANDS).split(' ')]
                reply = connection.ask(*encoded(['ACL', 'DRYRUN', name] + chosen))
                result.append((name, chosen, reply[0] + (text_of(reply) if reply[0] == '-' else 'OK' if text_of(reply) == 'OK' else 'denied')))
    finally:
        connection.close()
    return result


def files_differ(options, seed):
    """None, or what comes of users otherwise when a file that one has written is read by the other."""
    folder, draw = tempfile.mkdtemp(prefix='differential-users-'), random.Random(seed)
    try:
        for writer_is_redis in (False, True):
            for is_configuration in (False, True):
                if is_configuration and (writer_is_redis or options.against_redis):
                    continue # redis-server writes names with quotes as they are, and can't read them again
                difference = file_differs(options, draw, folder, writer_is_redis, is_configuration, seed)
                if difference:
                    return difference
    finally:
        shutil.rmtree(folder)
    return None


def file_differs(options, draw, folder, writer_is_redis, is_configuration, seed):
    users, known, path = sorted({any_name(draw) for _ in range(12)}), ['a'], os.path.join(folder, 'file')
    programs = [(options.redis, 'redis', True), (options.redis, 'redis-too', True) if options.against_redis else (latchkey_path(options), 'latchkey', False)]
    with open(path, 'w', encoding='latin-1') as file:
        file.write('# nothing\n' if is_configuration else 'user default on nopass ~* &* +@all\n')
    first = [path] if is_configuration else ['--aclfile', path]
    writer = Server(*programs[not writer_is_redis], first)
    try:
        connection = writer.connect()
        for name in users:
            rules = file_rules(draw, known)
            if writer.is_redis: # which writes what a selector has without the quotes that it would have to be read with
                rules = [rule for rule in rules if not rule.startswith('(')]
            reply = connection.ask(*encoded(['ACL', 'SETUSER', name] + rules))
            if reply != ('+', b'OK'):
                return 'seed %d: SETUSER %r %r: %r' % (seed, name, rules, reply)
        reply = connection.ask(*(('CONFIG', 'REWRITE') if is_configuration else ('ACL', 'SAVE')))
        connection.close()
        if reply != ('+', b'OK'):
            return 'seed %d: %r' % (seed, reply)
        wanted = answers(writer, users, known, seed)
    finally:
        writer.stop()
    if is_configuration: # the writer's folder is gone, and the loop's back is Latchkey's
        with open(path, encoding='latin-1', newline='') as file:
            kept = [line for line in file if not line.startswith(('dir ', 'io-backend '))]
        with open(path, 'w', encoding='latin-1', newline='') as file:
            file.write(''.join(kept))
    for program in programs:
        reader = Server(*program, first)
        try:
            found = answers(reader, users, known, seed)
        finally:
            reader.stop()
        for one, other in zip(wanted, found):
            if one != other:
                return 'seed %d: %s has written of %r: DRYRUN %r %s; %s has read: %s' % (
                    seed, writer.name, one[0], one[1], one[2], reader.name, other[2])
    return None


# ---------------------------------------------------------------- categories

def names(connection):
    known = set()
    for row in connection.ask('COMMAND')[1]:
        known |= {row[1][0][1]} | {sub[1][0][1] for sub in row[1][9][1]}
    return known


def categories_differ(*pair):
    """Of the commands that both have, each category has the same."""
    ours, theirs = sides = [server.connect() for server in pair]
    common = names(ours) & names(theirs)
    try:
        listed = [side.ask('ACL', 'CAT') for side in sides]
        if listed[0] != listed[1]:
            return 'ACL CAT\n  ours:  %r\n  redis: %r' % tuple(listed)
        for category in listed[0][1]:
            members = [{name[1] for name in side.ask('ACL', 'CAT', category[1])[1]} & common for side in sides]
            if members[0] != members[1]:
                return 'ACL CAT %r\n  only ours:  %r\n  only redis: %r' % (category[1], members[0] - members[1], members[1] - members[0])
    finally:
        for side in sides:
            side.close()
    return None


def main():
    parser = argparse.ArgumentParser(description='Compares what users of Latchkey and of redis-server may do.')
    add_options(parser, seeds=20, commands=20000)
    options = parser.parse_args()
    failed = run_seeds(options, run_seed)
    # Each is a few servers: one in so many seeds does.
    for seed in seeds_of(options)[::FILES_EACH]:
        difference = files_differ(options, seed)
        failed += difference is not None
        print('files of seed %d: %s' % (seed, difference or 'the same'), flush=True)
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
