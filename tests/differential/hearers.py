#!/usr/bin/python3
"""Channels, compared: several clients of Latchkey and of redis-server subscribe, publish, and go, at random; after each request, what
every one of them has been sent is the same.

    hearers.py --latchkey ./latchkey                  6 seeds, 6,000 requests
    hearers.py --latchkey ./latchkey --seed 7         one seed again
    hearers.py --against-redis                        redis-server against itself

A seed is one test. Exit status 1 if any differs.
"""

import argparse
import os
import random
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import resp
from servers import add_options, run_seeds

CLIENTS = 5
# So often all clients go, and others come.
GENERATION = 60
CHANNELS = [b'a', b'b', b'news.x', b'news.y', b'c\xff', b'']
PATTERNS = [b'*', b'a*', b'news.*', b'news.[xy]', b'?', b'n*x', b'\\a', b'']
TEXTS = [b'm', b'x' * 5000, b'', b'\r\n']
SCRIPTS = [b"return redis.call('publish', KEYS[1], ARGV[1])",
           b"redis.call('publish', 'a', 1) redis.call('set', 'k', 2) return redis.call('publish', 'news.x', 3)",
           b"return redis.call('subscribe', 'a')"]


def some(draw, words):
    return [draw.choice(words) for _ in range(draw.randrange(1, 4))]


def single(draw):
    """A request of its own."""
    def leave(command, words):
        return [command] + (some(draw, words) if draw.random() < 0.7 else [])
    kinds = [
        (14, lambda: [b'SUBSCRIBE'] + some(draw, CHANNELS)), (8, lambda: leave(b'UNSUBSCRIBE', CHANNELS)),
        (10, lambda: [b'PSUBSCRIBE'] + some(draw, PATTERNS)), (6, lambda: leave(b'PUNSUBSCRIBE', PATTERNS)),
        (4, lambda: [b'SSUBSCRIBE'] + some(draw, CHANNELS)), (4, lambda: leave(b'SUNSUBSCRIBE', CHANNELS)),
        (20, lambda: [b'PUBLISH', draw.choice(CHANNELS), draw.choice(TEXTS)]), (4, lambda: [b'SPUBLISH', draw.choice(CHANNELS), b's']),
        (3, lambda: [b'PUBSUB', b'NUMSUB'] + some(draw, CHANNELS)), (2, lambda: [b'PUBSUB', b'NUMPAT']),
        (1, lambda: [b'PUBSUB', b'SHARDNUMSUB'] + some(draw, CHANNELS)), (2, lambda: [b'HELLO', draw.choice([b'2', b'3'])]),
        (2, lambda: [b'RESET']), (2, lambda: [b'PING'] + draw.choice([[], [b'x']])), (2, lambda: [b'GET', b'k']),
        (3, lambda: [b'EVAL', draw.choice(SCRIPTS), b'1', draw.choice(CHANNELS), b'e']),
        (2, lambda: draw.choice([[b'PUBLISH', b'a'], [b'SUBSCRIBE'], [b'PUBSUB', b'foo'], [b'PSUBSCRIBE']])),
    ]
    return draw.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]()


def requests(draw):
    """What one client sends at once: a request, several, or a transaction."""
    kind = draw.random()
    if kind > 0.16:
        return [single(draw)]
    if kind > 0.06:
        return [draw.choice([request, [b'PUBLISH', draw.choice(CHANNELS), b'%d' % number]])
                for number, request in enumerate(single(draw) for _ in range(draw.randrange(2, 90 if kind > 0.15 else 8)))]
    inside = [request for request in (single(draw) for _ in range(3)) if request[0] not in (b'RESET', b'HELLO')]
    return [[b'MULTI'], *inside, [b'EXEC']]


class Client:
    def __init__(self, server):
        self.connection = server.connect()

    def exchange(self, data, mark):
        """Everything that it is sent up to the answer to a PING behind that."""
        self.connection.send(data + resp.encode([b'PING', mark]))
        end = b'$%d\r\n%b\r\n' % (len(mark), mark)
        while not self.connection.buffer.endswith(end):
            self.connection.receive()
        received = bytes(self.connection.buffer)
        self.connection.buffer.clear()
        return received


def comparable(received):
    """What is HELLO's own differs."""
    received = re.sub(rb'\$\d+\r\n\d+\.\d+\.\d+\r\n', b'version', received)
    return re.sub(rb'\$2\r\nid\r\n:\d+', b'id', received)


def unordered(received):
    return sorted(line for line in received.split(b'\r\n') if not re.fullmatch(rb':\d+', line))


def by_channel(received):
    """The texts of each channel, in their order."""
    heard = {}
    for channel, text in re.findall(rb'\r\n\$7\r\nmessage\r\n\$\d+\r\n(.*?)\r\n\$\d+\r\n(.*?)\r\n', received, re.DOTALL):
        heard.setdefault(channel, []).append(text)
    return heard


def is_same(ours, theirs):
    """In which order the patterns come that one message matches, and what a client leaves at once, is not promised; and what a client tells
    itself comes behind the reply here, as in Redis 7.2, and before it in 7.0. So it is enough that all is there, and in its channel's order."""
    ours, theirs = comparable(ours), comparable(theirs)
    return ours == theirs or (unordered(ours) == unordered(theirs) and by_channel(ours) == by_channel(theirs))


def is_empty(server):
    asker = server.connect()
    counts = asker.ask('PUBSUB', 'NUMPAT'), asker.ask('PUBSUB', 'CHANNELS'), asker.ask('PUBSUB', 'SHARDCHANNELS')
    asker.close()
    return counts == ((':', 0), ('*', ()), ('*', ()))


def run_seed(pair, seed, count):
    """None, or what differs."""
    draw = random.Random(seed)
    clients = []
    for step in range(count):
        if step % GENERATION == 0:
            for client in (client for both in clients for client in both):
                client.connection.close()
            while not all(is_empty(server) for server in pair):
                pass
            clients = [tuple(Client(server) for server in pair) for _ in range(CLIENTS)]
        who, sent = draw.randrange(CLIENTS), requests(draw)
        data = b''.join(resp.encode(request) for request in sent)
        for other in [who] + [number for number in range(CLIENTS) if number != who]:
            mark = b'mark%d' % (step * CLIENTS + other)
            received = [client.exchange(data if other == who else b'', mark) for client in clients[other]]
            if not is_same(*received):
                return 'seed %d, step %d: client %d sent %r, and client %d was sent\n    %r\n  but by redis-server\n    %r' % (
                    seed, step, who, sent, other, received[0][:2000], received[1][:2000])
    return None


def main():
    parser = argparse.ArgumentParser(description='Compares what clients of Latchkey and of redis-server hear.')
    add_options(parser, seeds=6, commands=6000)
    options = parser.parse_args()
    return run_seeds(options, run_seed) > 0


if __name__ == '__main__':
    sys.exit(main())
