#!/usr/bin/python3
"""CLIENT TRACKING, compared: clients of Latchkey and of redis-server that keep copies of what they read, one that they redirect to, and one
that writes run random commands over all types; after each request, what every one of them has been told is the same, and in the same order.

    trackers.py --latchkey ./latchkey                 20 seeds, 40,000 requests
    trackers.py --latchkey ./latchkey --seed 7        one seed again
    trackers.py --latchkey ./latchkey --survey        lists each kind of difference once, with an example
    trackers.py --against-redis                       redis-server against itself

A seed is one test. Exit status 1 if any differs.
"""

import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.setrecursionlimit(10000)

import events
import resp
from actions import Action
from engine import generate
from servers import add_options, run_seeds
from words import OWN_KEYS, PLAIN_KEYS

FAMILIES = [family for family in events.FAMILIES if family != 'scripts']
# What is about the connection or the process concerns no key.
LEFT_OUT = events.LEFT_OUT + (b'EVAL', b'EVAL_RO', b'EVALSHA', b'EVALSHA_RO', b'FCALL', b'FCALL_RO')
# What can't be compared, since the table of what was read would be another one afterwards. README says which of these are meant to differ.
DIFFERENT = {
    b'SWAPDB': 'Latchkey tells all that every key may have changed, and Redis nothing',
    b'XGROUP': 'what groups do to a stream is a change for Latchkey, and for Redis none',
    b'XREADGROUP': 'likewise', b'XACK': 'likewise', b'XCLAIM': 'likewise', b'XAUTOCLAIM': 'likewise', b'XSETID': 'likewise',
    b'PFCOUNT': 'who has it remember the result in the value is told of that change, since it has been noted before; in Redis behind it',
    b'PFDEBUG': 'its GETREG writes the value in another form, which is a change for Latchkey',
}
# What may differ in how it is told: name, reason. Each is counted where it was needed.
EXEMPTIONS = {
    'broadcast': 'with BCAST all keys of a turn come in one push, in the order of their changes, and each once; in Redis in one of each prefix',
    'redirected': 'who is redirected to, and runs something itself, is told behind its reply; by Redis before it, or in between',
    'several': 'by several at once: key by key, in Redis what is the writer\'s own comes last',
    'null': 'a null that is redirected is one of the receiver\'s protocol, in Redis of the other\'s; two of a pipeline may be one',
    'dead': 'who reads what has expired is told so, whether it had read it before or not',
    'script': 'NOLOOP with BCAST spares a client what its own scripts change, and in Redis only what its commands do',
    'off': 'what was read before OFF is told of no more, and who redirects elsewhere is told that every key may have changed',
}
uses = dict.fromkeys(EXEMPTIONS, 0)

# So often all clients go, and others come.
GENERATION = 120
# So often what a request names has been read by all, and has expired by then.
DYING = 0.01
LIVES = 0.15
LOUD = 5 # seconds to wait for what comes by way of a third worker

READERS = [b'a', b'b']
KEYS = PLAIN_KEYS[:14] + [key for keys in OWN_KEYS.values() for key in keys[:2]]
PREFIXES = [b'', b'k', b'key:', b'key:1', b'key:3', b'lists:', b'sets:', b'hashes:', b'big:', b'{tag}', b'\x00', b'nothing']
# All that is declared is read first: 7.0 notes what is declared, and 7.2 what is read.
READS = b"for i = 1, #KEYS do redis.pcall('type', KEYS[i]) end "
SCRIPTS = [READS + b'return 1', READS + b"redis.pcall('set', KEYS[#KEYS], ARGV[1]) return {1, 2}",
           READS + b"for i = 1, #KEYS do redis.pcall('del', KEYS[i]) end return 'x'",
           b"redis.pcall('set', KEYS[1], ARGV[1]) redis.pcall('del', KEYS[#KEYS]) return 1"]


# ---------------------------------------------------------------- what is asked

def wish(draw, own):
    """CLIENT TRACKING ON, mostly with options that go together."""
    options = draw.choice([[], [], [b'OPTIN'], [b'OPTOUT'], [b'BCAST'], [b'BCAST'], [b'OPTIN', b'OPTOUT'] if draw.random() < 0.1 else []])
    if options == [b'BCAST'] or draw.random() < 0.02:
        prefixes = []
        for prefix in draw.choices(PREFIXES, k=draw.choice([0, 1, 1, 2, 3])):
            # Of one request they don't overlap: that is an error, behind which 7.0 goes on and says OK as well.
            if not any(prefix.startswith(other) or other.startswith(prefix) for other in prefixes):
                prefixes.append(prefix)
                options = options + [b'PREFIX', prefix]
    if draw.random() < 0.3:
        options = options + [b'NOLOOP']
    if draw.random() < 0.45:
        options = options + [b'REDIRECT', draw.choice([b'@c', b'@c', b'@c', b'@c', b'@a', b'@b'] if draw.random() > 0.04 else [b'999999', b'x', b'-1'])]
    if draw.random() < 0.03:
        options = options + [draw.choice([b'NOSUCH', b'REDIRECT', b'PREFIX', b'BCAST', b'OPTIN'])]
    if draw.random() < 0.3:
        parts, rest = [], list(options)
        while rest:
            count = 2 if rest[0] in (b'REDIRECT', b'PREFIX') else 1
            parts.append(rest[:count])
            rest = rest[count:]
        draw.shuffle(parts)
        options = [word for part in parts for word in part]
    return [b'CLIENT', b'TRACKING', b'ON'] + options


def about_tracking(draw, own):
    return draw.choices([
        [b'CLIENT', b'CACHING', draw.choice([b'YES', b'NO', b'YES', b'NO', b'x'])], [b'CLIENT', b'GETREDIR'], [b'CLIENT', b'TRACKINGINFO'],
        wish(draw, own), [b'CLIENT', b'TRACKING', b'OFF'], [b'HELLO', draw.choice([b'2', b'3'])], [b'RESET'],
    ], [30, 6, 8, 10, 4, 5, 1])[0]


def script(draw):
    keys = [draw.choice(KEYS) for _ in range(draw.randrange(1, 4))]
    code = draw.choice(SCRIPTS)
    name = b'EVAL_RO' if code == SCRIPTS[0] and draw.random() < 0.5 else b'EVAL'
    return [name, code, b'%d' % len(keys)] + keys + [b'%d' % draw.randrange(1000)]


def is_dead_from_the_start(step):
    """SET with a time that has passed: it is there, and has expired."""
    return step[0].upper() == b'SET' and any(word.upper() in (b'EXAT', b'PXAT') for word in step[3:])


def is_unbalanced(step):
    """XREAD with other than an id for each key is an error; only Latchkey notes what could be its keys."""
    words = [word.upper() for word in step]
    return words[0] == b'XREAD' and b'STREAMS' in words and (len(words) - words.index(b'STREAMS')) % 2 == 0


def is_compared(step):
    if isinstance(step, Action) or not step or is_unbalanced(step):
        return False
    return step[0].upper() not in LEFT_OUT and step[0].upper() not in DIFFERENT and not is_dead_from_the_start(step)


def turns_of(seed, count):
    """(who, requests that are sent together, key that shall have been read by all and have expired by then, or None)."""
    draw, made = random.Random(seed), 0
    for batch in generate(seed, 4 * count, FAMILIES):
        steps = [step for step in batch.steps if is_compared(step)]
        who = draw.choice([b'a', b'b', b'w', b'w'])
        while steps and made < count:
            if draw.random() < 0.25:
                reader = draw.choice(READERS)
                yield reader, [[draw.choice([b'EXISTS', b'MGET', b'TOUCH'])] + [draw.choice(KEYS) for _ in range(draw.randrange(1, 7))]], None
            if draw.random() < 0.12:
                yield (reader := draw.choice(READERS)), [about_tracking(draw, reader)], None
            if draw.random() < 0.04:
                yield draw.choice(READERS + [b'w']), [script(draw)], None
            if draw.random() < 0.004:
                yield b'c', [], None # goes, and another one comes
            many = draw.choice([1, 1, 1, draw.randrange(1, 9)])
            dies = steps[0][1] if len(steps[0]) > 1 and draw.random() < DYING else None
            together, steps = steps[:many], steps[many:]
            if who != b'w' and draw.random() < 0.1:
                together.insert(draw.randrange(len(together)), [b'CLIENT', b'CACHING', draw.choice([b'YES', b'NO'])])
            yield who, together, dies
            made += many


# ---------------------------------------------------------------- who is told

def flat(tree):
    """Pushes, and the reply behind them. Redis may push in the middle of what EXEC replies."""
    items = []
    while tree[0] == '>':
        items.append(tree[1])
        tree = tree[2]
    if tree[0] == '*' and tree[1] is not None:
        parts = [flat(part) for part in tree[1]]
        items += [item for pushed, _ in parts for item in pushed]
        tree = ('*', tuple(part for _, part in parts))
    return items, tree


class Side:
    """One server and its clients: two that read, one that they may redirect to, one that only writes."""

    def __init__(self, server):
        self.server, self.clients, self.ids, self.names, self.marks = server, {}, {}, {}, 0
        self.admin = server.connect()
        self.admin.ask(b'DEBUG', b'SET-ACTIVE-EXPIRE', b'0')

    def connect(self, name, setting):
        """In place of the one that had that name, which must have gone."""
        if name in self.clients:
            identity = b'%d' % self.ids[b'@' + name]
            self.admin.ask(b'CLIENT', b'KILL', b'ID', identity)
            while self.admin.ask(b'CLIENT', b'LIST', b'ID', identity)[1] != b'':
                pass
            self.clients[name].close()
        self.clients[name] = connection = self.server.connect()
        identity = connection.ask(b'CLIENT', b'ID')[1]
        self.ids[b'@' + name] = identity
        self.names[identity] = '%s, the %d' % (name.decode(), sum(text.startswith(name.decode()) for text in self.names.values()))
        for request in setting:
            connection.send(resp.encode(request))
        return self.fenced(name)

    def begin(self):
        """All clients go; the last that had those names are forgotten."""
        for connection in self.clients.values():
            connection.close()
        self.clients, self.ids, self.names = {}, {}, {}
        self.admin.ask(b'FLUSHALL')
        self.admin.ask(b'SCRIPT', b'FLUSH')

    def send(self, name, steps):
        words = [[b'%d' % self.ids[word] if word in self.ids else word for word in step] for step in steps]
        self.clients[name].send(b''.join(resp.encode(step) for step in words))

    def item(self, pushed):
        """What it was told, without what differs from server to server."""
        kind = pushed[0][1]
        if kind == b'invalidate':
            return ('told', 3, None if pushed[1][1] is None else tuple(key[1] for key in pushed[1][1]), pushed[1][0])
        if kind == b'message':
            return ('told', 2, None if pushed[2][1] is None else tuple(key[1] for key in pushed[2][1]), pushed[2][0], pushed[1][1])
        if kind == b'tracking-redir-broken':
            return ('broken', self.names.get(pushed[1][1], pushed[1][1]))
        return ('other',) + pushed

    def named(self, tree):
        """Ids as names."""
        if tree[0] == ':' and tree[1] in self.names:
            return ('id', self.names[tree[1]])
        if isinstance(tree[1], tuple):
            return (tree[0], tuple(self.named(part) for part in tree[1]))
        return tree

    def replies(self, name, steps):
        """What it is answered and told, in order; of replies only those about tracking are kept."""
        seen, raw = [], []
        for step in steps:
            pushes, reply = flat(self.clients[name].read())
            is_shown = step[0].upper() == b'CLIENT' and step[1].upper() != b'ID'
            seen += [self.item(push) for push in pushes] + [('reply', self.named(reply) if is_shown else None)]
            raw.append(reply)
        return seen, raw

    def fenced(self, name):
        """All that it is told by now."""
        self.marks += 1
        mark, seen = b'mark-%d' % self.marks, []
        self.clients[name].send(resp.encode([b'PING', mark]))
        while True:
            pushes, reply = flat(self.clients[name].read())
            seen += [self.item(push) for push in pushes]
            if reply in (('$', mark), ('*', (('$', b'pong'), ('$', mark))), ('+', b'QUEUED')): # a transaction hears at its end
                return seen
            seen.append(self.item(reply[1]) if reply[0] == '*' and reply[1] and reply[1][0][1] == b'message' else ('other', reply))

    def close(self):
        for connection in [*self.clients.values(), self.admin]:
            connection.close()


class Mode:
    """How a client is told, as far as the comparison has to know: by redis-server's answers."""

    def __init__(self):
        self.is_on = self.is_broadcast = self.spares = False
        self.target = None # a name

    def follow(self, own, step, reply):
        """After a request of its own. Whether what was noted may be another one now on both sides."""
        name = [word.upper() for word in step[:3]]
        if name[0] == b'RESET' or name == [b'CLIENT', b'TRACKING', b'OFF']:
            was_on, self.is_on = self.is_on, False
            return was_on
        if name != [b'CLIENT', b'TRACKING', b'ON'] or reply != ('+', b'OK'):
            return False
        words = [word.upper() for word in step[3:]]
        target = next((step[3 + place + 1][1:] for place, word in enumerate(words) if word == b'REDIRECT'), own)
        is_other = self.is_on and target != self.target
        self.is_on, self.is_broadcast, self.spares, self.target = True, b'BCAST' in words, b'NOLOOP' in words, target
        return is_other


# ---------------------------------------------------------------- the comparison

def without_order(items, is_set):
    """Replies in their order, and what was told as keys."""
    told = [(item[1], key) for item in items if item[0] == 'told' for key in (item[2] if item[2] is not None else [None])]
    rest = [item for item in items if item[0] in ('broken', 'other')]
    replies = [item for item in items if item[0] == 'reply']
    return (replies, set(told), set(rest)) if is_set else (replies, sorted(told, key=repr), sorted(rest, key=repr))


def count_broken(items):
    return sum(item[0] == 'broken' for item in items)


def broken_last(items):
    """That its listener has gone comes by way of that one's worker, and so at any place."""
    return [item for item in items if item[0] != 'broken'] + [item for item in items if item[0] == 'broken']


def about_one(items, key):
    """What tells of that key alone, or that there is nobody to be told."""
    return [item for item in items if item[0] == 'broken' or (item[0] == 'told' and item[2] == (key,))]


def once(items):
    """Without a null right behind the same."""
    return [item for place, item in enumerate(items) if not (place and item[0] == 'told' and item[2] is None and item == items[place - 1])]


def tells(items, key):
    return any(item[0] == 'told' and item[2] is not None and key in item[2] for item in items)


def spares_scripts(mode, steps):
    return mode is not None and mode.is_broadcast and mode.spares and any(step[0].upper() in (b'EVAL', b'EXEC') for step in steps)


def is_same(own, asker, steps, modes, dying, ours, theirs):
    """own: who has seen that; asker: whose requests they were."""
    if ours == theirs:
        return True
    tellers = {name: mode for name, mode in modes.items() if mode.is_on and mode.target == own}
    ways = []
    if asker in modes and modes[asker].is_on and dying is not None and own in (asker, modes[asker].target):
        about, known = about_one(ours, dying), about_one(theirs, dying)
        if len(about) == len(known) + 1 and (known or not tells(theirs, dying)):
            ways.append('dead')
            ours = ours[:(last := len(ours) - 1 - ours[::-1].index(about[-1]))] + ours[last + 1:]
    if ours != theirs and once(ours) == once(theirs):
        ways.append('null')
        ours, theirs = once(ours), once(theirs)
    if ours != theirs and set(tellers) != {own}:
        without = [item[:3] + ('null',) + item[4:] if item[0] == 'told' and item[2] is None else item for item in theirs]
        if without != theirs:
            ways.append('null')
            ours, theirs = ([item[:3] + ('null',) + item[4:] if item[0] == 'told' and item[2] is None else item for item in items] for items in (ours, theirs))
    if ours != theirs:
        is_set = any(mode.is_broadcast for mode in [*tellers.values(), *([modes[own]] if own in modes and modes[own].is_on else [])])
        if is_set:
            ways.append('broadcast')
        elif len(tellers) > 1:
            ways.append('several')
        elif own == asker and own not in tellers:
            ways.append('redirected')
        mine, other = without_order(ours, is_set), without_order(theirs, is_set)
        if ways and is_set and mine != other and mine[1] < other[1] and spares_scripts(tellers.get(asker), steps):
            ways.append('script')
            mine, other = mine[::2], other[::2]
        if not ways or mine != other:
            return False
    for way in ways:
        uses[way] += 1
    return True


class Difference(Exception):
    pass


class Comparison:
    """A seed's clients on both servers."""

    def __init__(self, pair, seed):
        self.sides, self.seed, self.count = [Side(server) for server in pair], seed, 0
        self.modes, self.queues, self.history = {}, set(), []

    def begin(self, draw):
        settings = {
            b'a': [[b'HELLO', b'3' if draw.random() < 0.75 else b'2']], b'b': [[b'HELLO', b'3' if draw.random() < 0.6 else b'2']],
            b'c': self.listener(draw), b'w': [[b'HELLO', b'3' if draw.random() < 0.5 else b'2']]}
        for side in self.sides:
            side.begin()
            for name, setting in settings.items():
                side.connect(name, setting)
        self.modes, self.queues = {name: Mode() for name in READERS}, set()
        self.history = [(name, setting) for name, setting in settings.items()]

    @staticmethod
    def listener(draw):
        """What the one that is redirected to says first."""
        return draw.choice([[[b'SUBSCRIBE', b'__redis__:invalidate']], [[b'SUBSCRIBE', b'x', b'y']], [[b'HELLO', b'3']],
                            [[b'HELLO', b'3'], [b'SUBSCRIBE', b'__redis__:invalidate']], [[b'PING']]])

    def replace_listener(self, draw):
        setting = self.listener(draw)
        self.history.append((b'c', [[b'goes']]))
        for side in self.sides:
            side.connect(b'c', setting)
        for mode in self.modes.values():
            if mode.target == b'c':
                mode.target = b'nobody'

    def seen_by_all(self, asker, steps, lag=0):
        """Per side, what each client has seen of these requests."""
        for side in self.sides:
            side.send(asker, steps)
        answers = [side.replies(asker, steps) for side in self.sides]
        self.follow_queue(asker, steps, answers[1][1])
        seen = [{asker: answer[0]} for answer in answers]
        for side, views in zip(self.sides, seen):
            for name in [asker] + [name for name in side.clients if name != asker]:
                if name not in self.queues:
                    views[name] = views.get(name, []) + side.fenced(name)
        return seen, answers[1][1]

    def follow_queue(self, asker, steps, replies):
        """MULTI within a transaction is refused."""
        for step, reply in zip(steps, replies):
            name = step[0].upper()
            if name == b'MULTI' and reply == ('+', b'OK'):
                self.queues.add(asker)
            elif name in (b'EXEC', b'DISCARD', b'RESET'):
                self.queues.discard(asker)

    def ask(self, asker, steps, dying=None, is_loose=False):
        """Compares what all have seen. Returns redis-server's replies."""
        self.count += len(steps)
        self.history.append((asker, steps))
        seen, replies = self.seen_by_all(asker, steps)
        loses = [asker in self.modes and self.modes[asker].follow(asker, step, reply) for step, reply in zip(steps, replies)]
        for name in seen[1]:
            ours, theirs = seen[0][name], seen[1][name]
            until = time.monotonic() + LOUD
            while count_broken(ours) < count_broken(theirs) and time.monotonic() < until:
                ours = ours + self.sides[0].fenced(name)
            ours, theirs = broken_last(ours), broken_last(theirs)
            if any(loses):
                uses['off'] += ours != theirs
                ours, theirs = ([item for item in items if item[0] == 'reply'] for items in (ours, theirs))
            if not is_loose and not is_same(name, asker, steps, self.modes, dying, ours, theirs):
                raise Difference('client %s: %s\n  client %s has seen\n    %r\n  and of redis-server\n    %r\n  since they came:\n%s' % (
                    asker.decode(), text_of(steps), name.decode(), ours, theirs, self.history_of(steps)))
        if any(loses):
            self.ask(b'w', [[b'FLUSHALL']], is_loose=True)
        return replies

    def history_of(self, steps):
        """What concerns the same words, or the clients themselves."""
        words, lines = {word for step in steps for word in step[1:]}, []
        for who, what in self.history[:-1]:
            shown = [step for step in what if words & set(step[1:]) or step[0].upper() in (b'CLIENT', b'HELLO', b'RESET', b'MULTI', b'EXEC', b'DISCARD', b'GOES')]
            lines += ['    %s: %s' % (who.decode(), text_of(shown))] if shown else []
        recent = ['    %s: %s' % (who.decode(), text_of(what)) for who, what in self.history[-8:-1]]
        return '\n'.join(lines + ['  and last:'] + recent)

    def leave_queues(self):
        for name in sorted(self.queues):
            self.ask(name, [[b'DISCARD']])

    def let_expire(self, key):
        """It has been read by all who may keep it, and is dead. False: this machine was too slow to say so."""
        self.leave_queues()
        began = time.monotonic()
        try:
            self.ask(b'w', [[b'PEXPIRE', key, b'%d' % (LIVES * 1000)]])
            for name in READERS:
                self.ask(name, [[b'CLIENT', b'CACHING', b'YES']])
                self.ask(name, [[b'TYPE', key]])
        except Difference:
            if time.monotonic() - began <= LIVES * 0.8:
                raise
        if time.monotonic() - began > LIVES * 0.8:
            self.ask(b'w', [[b'FLUSHALL']], is_loose=True)
            return False
        time.sleep(LIVES)
        return True

    def close(self):
        for side in self.sides:
            side.close()


def text_of(steps):
    return ' ; '.join(' '.join(repr(word)[1:][:60] for word in step) for step in steps)


def run_seed(pair, seed, count, survey, counts):
    """None, or what differs."""
    comparison, draw = Comparison(pair, seed), random.Random(-seed)
    until = 0
    try:
        for who, steps, dies in turns_of(seed, count):
            try:
                if comparison.count >= until:
                    until = comparison.count + GENERATION
                    comparison.begin(draw)
                    for name in READERS:
                        comparison.ask(name, [wish(draw, name)])
                if who == b'c':
                    comparison.replace_listener(draw)
                    continue
                if steps[0][:2] == [b'CLIENT', b'TRACKING'] or steps[0][0] in (b'RESET', b'HELLO'):
                    comparison.leave_queues()
                if dies is not None and not comparison.let_expire(dies):
                    continue
                comparison.ask(who, steps, dies)
            except Difference as difference:
                if survey is None:
                    return 'seed %d, request %d, %s' % (seed, comparison.count, difference)
                survey.setdefault(b' '.join(step[0].upper() for step in steps), [0, str(difference)])[0] += 1
                until = 0
    finally:
        counts.append(comparison.count)
        comparison.close()
    return None


def main():
    parser = argparse.ArgumentParser(description='Compares what clients of Latchkey and of redis-server that keep copies are told.')
    add_options(parser, seeds=20, commands=40000)
    parser.add_argument('--survey', action='store_true', help='list kinds of differences')
    options = parser.parse_args()
    survey, counts = {} if options.survey else None, []
    failed = run_seeds(options, lambda pair, seed, count: run_seed(pair, seed, count, survey, counts))
    for kind, (times, text) in sorted((survey or {}).items(), key=lambda row: -row[1][0]):
        print('%d times %s\n  %s' % (times, kind, text[:3000]))
    print('%d requests; exemptions, and how often each was needed:' % sum(counts))
    for name, reason in EXEMPTIONS.items():
        print('  %-12s %6d  %s' % (name, uses[name], reason))
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
