#!/usr/bin/python3
"""Keyspace notifications, compared: random commands over all types to Latchkey and to redis-server, and after each one the events that a
client hears which has subscribed to all of them, byte for byte and in order.

    events.py --latchkey ./latchkey                   20 seeds, 200,000 commands
    events.py --latchkey ./latchkey --seed 7          one seed again
    events.py --latchkey ./latchkey --survey          lists each kind of difference once, with an example
    events.py --against-redis                         redis-server against itself

A seed is one test. Exit status 1 if any differs.
"""

import argparse
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.setrecursionlimit(10000)

import resp
from actions import Action
from engine import generate
from servers import add_options, run_seeds

# In the order of their weights: each has the commands of a type.
FAMILIES = ['strings', 'bits', 'keys', 'hashes', 'lists', 'sets', 'sorted_sets', 'streams', 'hyperloglog', 'geo', 'sort', 'scripts', 'transactions']
# What is about the connection or the process tells of no key; and what draws at random leaves other keys on each side.
LEFT_OUT = (b'HELLO', b'RESET', b'QUIT', b'CLIENT', b'CONFIG', b'SHUTDOWN', b'DEBUG', b'MONITOR', b'SUBSCRIBE', b'PSUBSCRIBE', b'SSUBSCRIBE', b'INFO',
            b'SCRIPT', b'FUNCTION', b'AUTH', b'COMMAND', b'LOLWUT', b'WATCH')


# So often what a request names has expired by then.
DYING = 0.02
# Of these, so often it is met by a walk.
WALKED = 0.2
# Latchkey forgets what came by EVAL and is used least, as later versions of Redis do: before it does, both forget all.
SCRIPTS = 400


def steps_of(seed, count):
    """Requests, one after the other, and the key that shall have expired by then, or None."""
    draw, steps = random.Random(seed), []
    for batch in generate(seed, count, FAMILIES):
        for step in batch.steps:
            if isinstance(step, Action) or not step or step[0].upper() in LEFT_OUT:
                continue
            dies = len(step) > 1 and draw.random() < DYING
            if dies and draw.random() < WALKED:
                steps.append(([b'SCAN', b'0', b'COUNT', b'1000000', b'MATCH', re.sub(rb'([^a-zA-Z0-9])', rb'\\\1', step[1])], step[1]))
                dies = False
            steps.append((step, step[1] if dies else None))
    return steps[:count]


def is_same(request, ours, theirs):
    """Redis walks the elements of a set or a sorted set as they stand in a table, and so SORT asks for their keys in no order that is
    promised."""
    return ours == theirs or (b'sort' in b' '.join(request).lower() and sorted(ours) == sorted(theirs))


class Side:
    """One server, a client that asks, and one that hears."""

    def __init__(self, server):
        self.server, self.asker, self.hearer = server, server.connect(), server.connect()
        self.ask(b'DEBUG', b'SET-ACTIVE-EXPIRE', b'0')
        self.ask(b'CONFIG', b'SET', b'notify-keyspace-events', b'KEAnm')
        self.ask(b'FLUSHALL')
        self.ask(b'SCRIPT', b'FLUSH')
        self.hearer.send(resp.encode([b'PSUBSCRIBE', b'__key*__:*']))
        self.hearer.read()

    def ask(self, *arguments):
        self.asker.send(resp.encode(arguments))
        return self.asker.read()

    def send(self, step):
        self.asker.send(resp.encode(step))

    def answer(self):
        reply = self.asker.read()
        self.fence()
        return reply

    def fence(self):
        self.hearer.send(resp.encode([b'PING', b'fence']))

    def heard(self):
        """All until the fence."""
        events = []
        while True:
            message = self.hearer.read()
            if message == ('*', (('$', b'pong'), ('$', b'fence'))):
                return events
            events.append((message[1][2][1], message[1][3][1]))

    def expire(self, key):
        self.ask(b'PEXPIRE', key, b'5')
        self.fence()
        self.heard()

    def close(self):
        self.asker.close()
        self.hearer.close()


def run_seed(pair, seed, count, survey):
    """None, or what differs."""
    sides, queued, queues, scripts = [Side(server) for server in pair], [], False, 0
    try:
        for number, (step, dead) in enumerate(steps_of(seed, count)):
            if dead is not None and not queues:
                for side in sides:
                    side.expire(dead)
                time.sleep(0.008)
            scripts += step[0].upper().startswith(b'EVAL')
            if scripts >= SCRIPTS and not queues:
                for side in sides:
                    side.ask(b'SCRIPT', b'FLUSH')
                scripts = 0
            for side in sides:
                side.send(step)
            replies = [side.answer() for side in sides]
            ours, theirs = [side.heard() for side in sides]
            queued = queued + [step] if replies[1] == ('+', b'QUEUED') else queued
            queues, request = queues or step[0].upper() == b'MULTI', step
            if step[0].upper() in (b'EXEC', b'DISCARD'):
                request, queued, queues = [word for part in queued + [step] for word in part + [b';']], [], False
            if is_same(request, ours, theirs):
                continue
            text = 'seed %d, request %d: %s\n  ours:  %r\n    %r\n  redis: %r\n    %r' % (
                seed, number, ' '.join(repr(word)[1:][:60] for word in request), replies[0], ours, replies[1], theirs)
            if survey is None:
                return text
            kind = (step[0].upper(), tuple(name.split(b':', 1)[1] for name, _ in ours if b'keyevent' in name),
                    tuple(name.split(b':', 1)[1] for name, _ in theirs if b'keyevent' in name))
            survey.setdefault(kind, [0, text])[0] += 1
    finally:
        for side in sides:
            side.close()
    return None


def main():
    parser = argparse.ArgumentParser(description='Compares the keyspace events of Latchkey and of redis-server.')
    add_options(parser, seeds=20, commands=200000)
    parser.add_argument('--survey', action='store_true', help='list kinds of differences')
    options = parser.parse_args()
    survey = {} if options.survey else None
    failed = run_seeds(options, lambda pair, seed, count: run_seed(pair, seed, count, survey))
    for kind, (times, text) in sorted((survey or {}).items(), key=lambda row: -row[1][0]):
        print('%d times %s\n  ours  %s\n  redis %s\n  %s' % (times, kind[0], kind[1], kind[2], text[:1500]))
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
