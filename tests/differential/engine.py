"""The engine: a seed's requests are sent to both servers in the same pieces, and every reply is compared.

A batch is what is outstanding at one moment: a pipeline of 1 to 64 requests on one connection, or one action. Several connections
per server take turns, one batch at a time, so that the order of everything is defined and the same on both sides.
"""

import time

import differences
import exemptions
import resp
import thresholds
from actions import ACTIONS, Action, cut_places, requests_of
from families import FAMILIES
from safe import make_safe
from servers import Gone
from words import Words

CONNECTIONS = 4
# These speak RESP3 from the start, the others RESP2, until a HELLO or a RESET among the requests says otherwise.
NEWER = (2, 3)
# HELLO: see differences.py. SHUTDOWN: without its bad argument it would do it. LOLWUT: which arguments a picture takes is its own matter.
# CONFIG: all there is to configure isn't the same. COMMAND: GETKEYS takes '1 ' for a number, which the command itself refuses.
UNMUTATED = (b'HELLO', b'SHUTDOWN', b'LOLWUT', b'CONFIG', b'COMMAND')


class Batch:
    """Requests for one connection. style: None, 'inline', or a number that tells where the bytes are cut."""

    __slots__ = ('connection', 'steps', 'style')

    def __init__(self, connection, steps, style=None):
        self.connection, self.steps, self.style = connection, steps, style

    def bytes(self):
        if self.style == 'inline':
            return b''.join(resp.encode_inline(step, b'\r\n' if len(step) % 2 else b'\n') for step in self.steps)
        return b''.join([resp.encode(step) for step in self.steps])


def enclosed(words, steps):
    """Some of the requests of a pipeline between a MULTI and its end."""
    if len(steps) < 2 or not words.chance(0.2):
        return steps
    first = words.below(len(steps))
    last = words.between(first, len(steps))
    end = [b'DISCARD'] if words.chance(0.05) else [b'EXEC']
    return steps[:first] + [[b'MULTI']] + steps[first:last] + [end] + steps[last:]


def is_newer(step):
    """Redis 7.0 refuses it before it would be queued, where 7.2 queues it."""
    name = step[0].upper() if step else b''
    return (name == b'CLIENT' and len(step) > 1 and step[1].upper() in (b'NO-TOUCH', b'SETINFO')) or (name in (b'ZRANK', b'ZREVRANK') and len(step) > 3)


class Void(Exception):
    """Redis itself gave no answer: it didn't come to an end, or died. There is nothing to compare with."""


class Difference:
    """Where two servers disagree."""

    def __init__(self, batch, step, request, ours, theirs):
        self.batch, self.step, self.request, self.ours, self.theirs = batch, step, request, ours, theirs


def generate(seed, count, family_names):
    """The batches of a seed, about `count` requests."""
    words = Words(seed)
    table = []
    for name in family_names:
        weight, commands = FAMILIES[name]
        total = sum(row[0] for row in commands)
        table += [(weight * row[0] / total, (name, row[1])) for row in commands]
    weights, functions = [row[0] for row in table], [row[1] for row in table]
    batches, made = [Batch(connection, [[b'HELLO', b'3']]) for connection in NEWER], 0
    while made < count:
        connection = words.below(CONNECTIONS)
        size = words.pick(1, words.between(1, 8), words.between(1, 64), 64)
        steps, after = [], []
        for family, function in words.random.choices(functions, weights, k=size):
            words.choose_pool(family)
            result = function(words)
            if isinstance(result, Action):
                after.append(Batch(connection, [result]))
                continue
            if isinstance(result[0], list): # belongs together as it is
                steps += [make_safe([words.cased(step[0])] + step[1:], allows_past=True) for step in result]
            else:
                if words.chance(0.03) and result[0] not in UNMUTATED:
                    result = words.mutated(result)
                steps.append(make_safe([words.cased(result[0])] + result[1:]))
        style = None
        draw = words.random.random()
        if draw < 0.05 and all(sum(map(len, step)) < 2000 for step in steps):
            style = 'inline'
        elif draw < 0.25:
            style = words.below(1 << 30)
        if seed % 2 == 0 and words.chance(0.2):
            steps.append(thresholds.change(words))
        if steps:
            if 'transactions' in family_names:
                steps = [part for step in enclosed(words, steps) for part in ([[b'DISCARD'], step] if is_newer(step) else [step])]
            batches.append(Batch(connection, steps, style))
        batches += after
        made += len(steps) + len(after)
    return batches


class Pair:
    """Both servers and the connections in use. `plant` is for the self test: a function that may falsify one of our replies."""

    def __init__(self, ours, theirs, plant=None):
        self.ours, self.theirs, self.plant = ours, theirs, plant
        self.connections = {}
        self.queues = {} # of connections with an open transaction: what they have queued
        self.commands = 0
        self.survey = None
        self.settings = thresholds.DEFAULTS

    def close_connections(self):
        for mine, other in self.connections.values():
            mine.close()
            other.close()
        self.connections = {}
        self.queues = {}

    def reset(self):
        """Empty servers, fresh connections. Returns what became of a server that had to be started again, or None."""
        self.close_connections()
        fate = None
        for server in (self.ours, self.theirs):
            fate = server.revive() or fate
            connection = server.connect()
            try:
                replies = [connection.ask(b'FLUSHALL'), connection.ask(b'CONFIG', b'SET', b'requirepass', b'')]
                if any(reply[0] == '-' for reply in replies):
                    server.stop_process()
                    server.start()
            finally:
                connection.close()
            connection = server.connect()
            for name in (b'SCRIPT', b'FUNCTION'):
                connection.ask(name, b'FLUSH')
            thresholds.apply(connection, self.settings)
            connection.close()
        return fate

    def pair_of(self, number):
        pair = self.connections.get(number)
        if pair is None:
            pair = self.connections[number] = (self.ours.connect(), self.theirs.connect())
        return pair

    def run(self, batches, with_keyspace=True):
        """Returns the first Difference or None."""
        for place, batch in enumerate(batches):
            difference = self.run_batch(place, batch)
            if difference:
                return difference
        if with_keyspace:
            return self.compare_keyspaces(len(batches))
        return None

    def run_batch(self, place, batch):
        if isinstance(batch.steps[0], Action):
            return self.run_action(place, batch)
        try:
            mine, other = self.pair_of(batch.connection)
        except Gone as gone:
            return Difference(place, 0, 'a new connection', str(gone), 'both should accept it')
        data = batch.bytes()
        pieces = [data]
        if isinstance(batch.style, int):
            cuts = [0] + cut_places(len(data), batch.style) + [len(data)]
            pieces = [data[start:end] for start, end in zip(cuts, cuts[1:])]
        failure = {}
        for number, piece in enumerate(pieces):
            for connection in (mine, other):
                try:
                    connection.send(piece)
                except Gone as gone:
                    failure[connection] = str(gone)
            if number and batch.style % 8 == 0:
                time.sleep(0.0005) # lets the server see a piece alone; nothing depends on it
        for number, step in enumerate(batch.steps):
            if not step:
                continue # an empty request has no reply
            results = []
            for connection in (mine, other):
                try:
                    results.append(connection.read())
                except (Gone, resp.Malformed) as gone:
                    results.append(('lost', failure.get(connection, str(gone))))
            left, right = results
            if right[0] == 'lost' and (right[1].startswith('no reply') or (left != right and self.theirs.has_ended())):
                self.theirs.kill()
                raise Void(step)
            self.commands += 1
            if self.plant:
                left = self.plant(step, left)
            queued = self.follow(batch.connection, step, right)
            if left != right and not self.is_same(step, left, right) and not self.is_same_transaction(queued, left, right):
                difference = Difference(place, number, step, left, right)
                if self.survey is None or 'lost' in (left[0], right[0]):
                    return difference
                self.survey(difference)
        return None

    def follow(self, connection, step, reply):
        """What the connection queues. Returns what an EXEC has just run."""
        name, queue = step[0].upper(), self.queues.get(connection)
        if reply == ('+', b'QUEUED') and queue is not None:
            queue.append(step)
        elif name == b'MULTI' and reply == ('+', b'OK'):
            self.queues[connection] = []
        elif queue is not None and (name == b'RESET' or (name in (b'EXEC', b'DISCARD') and (reply[0] != '-' or b'without MULTI' not in reply[1]))):
            return self.queues.pop(connection)
        return None

    def is_same_transaction(self, queued, left, right):
        """Reply by reply."""
        if queued is None or left[0] != '*' or right[0] != '*' or left[1] is None or right[1] is None or len(left[1]) != len(right[1]):
            return False
        return len(queued) == len(left[1]) and all(mine == other or self.is_same(differences.as_queued(step), mine, other)
                                                   for step, mine, other in zip(queued, left[1], right[1]))

    @staticmethod
    def is_same(step, left, right):
        return exemptions.alike(step, left, right) or differences.accepts(step, left, right)

    def run_action(self, place, batch):
        action = batch.steps[0]
        self.commands += 1
        if self.queues.pop(batch.connection, None) is not None: # what it does isn't for a queue
            for connection in self.pair_of(batch.connection):
                connection.ask(b'DISCARD')
        results = []
        for server, which in ((self.ours, 0), (self.theirs, 1)):
            try:
                results.append(ACTIONS[action.name](server, self.pair_of(batch.connection)[which], action.arguments))
            except (Gone, resp.Malformed) as gone:
                results.append(('lost', str(gone)))
        left, right = results
        if left == right and left[:1] != ('lost',): # nobody answered: that is nothing to agree on
            return None
        if requests_of(action) is not None and self.is_same_talk(requests_of(action), left, right):
            return None
        difference = Difference(place, 0, action, left, right)
        if self.survey is not None:
            self.survey(difference)
            return None
        return difference

    def is_same_talk(self, parts, left, right):
        """Reply by reply, as long as there is one per request."""
        if not isinstance(left, list) or not isinstance(right, list) or len(left) != len(right):
            return False
        if any(part[:1] and part[0].upper() == b'CLIENT' and len(part) > 1 and part[1].upper() == b'REPLY' for part in parts):
            return False
        queue = []
        for part, mine, other in zip(parts, left, right):
            if other == ('+', b'QUEUED'):
                queue.append(part)
            is_exec = part[:1] and part[0].upper() == b'EXEC'
            if mine != other and not self.is_same(part, mine, other) and not (is_exec and self.is_same_transaction(queue, mine, other)):
                return False
            if is_exec or (part[:1] and part[0].upper() == b'MULTI'):
                queue = []
        return True

    def compare_keyspaces(self, place):
        try:
            left, right = (ACTIONS['keyspace'](server, None, None) for server in (self.ours, self.theirs))
        except (Gone, resp.Malformed) as gone:
            return Difference(place, 0, 'the keyspace at the end', str(gone), '')
        for key in sorted(set(left) | set(right), key=lambda key: (key == 'DEBUG DIGEST', repr(key))): # the sum of all comes last
            mine, other = left.get(key), right.get(key)
            if mine == other:
                continue
            if mine and other and len(mine) == 5 and all(
                    a == b or (index == 0 and exemptions.is_newer_encoding(a, b)) or (index == 2 and exemptions.near(3000)(None, a, b)) for index, (a, b) in enumerate(zip(mine, other))):
                continue
            name = 'the keyspace at the end: %r (OBJECT ENCODING, TYPE, PEXPIRETIME, GET, DEBUG DIGEST-VALUE)' % (key,)
            difference = Difference(place, 0, name, mine, other)
            if self.survey is None:
                return difference
            self.survey(difference)
        return None
