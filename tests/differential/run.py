#!/usr/bin/python3
"""The differential test: the same random commands to Latchkey and to redis-server, every reply and the final keyspace compared.

    run.py --latchkey ./latchkey                      20 seeds, 200,000 commands
    run.py --latchkey ./latchkey --seed 7             one seed again
    run.py --latchkey ./latchkey --survey             does not stop at differences: lists each kind once, with an example
    run.py --against-redis [--plant]                  redis-server against itself; with --plant one of its replies is falsified

A seed is one test. A seed that differs is shrunk to the shortest sequence that still does. Exit status 1 if any differs.
"""

import argparse
import multiprocessing
import os
import queue
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.setrecursionlimit(10000)

import differences
import exemptions
import resp
import thresholds
from actions import Action, requests_of
from engine import Batch, Pair, Void, generate
from families import FAMILIES
from servers import Server, add_options, commands_of_one, seeds_of, start_both, start_latchkey
from shrink import Shrinker


def read_options():
    parser = argparse.ArgumentParser(description='Compares Latchkey with redis-server under random commands.')
    add_options(parser, seeds=20, commands=200000)
    parser.add_argument('--jobs', type=int, default=1, help='so many seeds side by side, each with servers of its own')
    parser.add_argument('--families', default=','.join(FAMILIES))
    parser.add_argument('--shrink-seconds', type=float, default=60)
    parser.add_argument('--failures', type=int, default=3, help='stop after so many seeds that differ')
    parser.add_argument('--plant', action='store_true', help='falsify a reply, to see whether it is found')
    parser.add_argument('--survey', action='store_true', help='list kinds of differences, do not shrink')
    options = parser.parse_args()
    unknown = set(options.families.split(',')) - set(FAMILIES)
    if unknown:
        parser.error('no such family: %s (there are %s)' % (', '.join(sorted(unknown)), ', '.join(FAMILIES)))
    return options


def planted(step, reply):
    """What --plant does: APPEND to a key with a 7 in its name is answered one too high."""
    if isinstance(step, list) and len(step) == 3 and step[0].upper() == b'APPEND' and b'7' in step[1] and reply[0] == ':' and reply[1] > 3:
        return (':', reply[1] + 1)
    return reply


def start_pair(options):
    return Pair(*start_both(options), planted if options.plant else None)


def write_argument(argument):
    text = repr(argument)[1:]
    return text if len(text) < 400 else '%s ... %s (%d bytes)' % (text[:100], text[-300:], len(argument))


def write_batches(batches):
    lines = []
    for batch in batches:
        style = ' inline' if batch.style == 'inline' else ' cut (%d)' % batch.style if batch.style is not None else ''
        if len(batch.steps) > 1 or style:
            lines.append('  connection %d, a pipeline of %d%s:' % (batch.connection, len(batch.steps), style))
        for step in batch.steps:
            text = repr(step) if isinstance(step, Action) else ' '.join(write_argument(argument) for argument in step)
            lines.append('  [%d] %s' % (batch.connection, text))
    return '\n'.join(lines)


def write_difference(difference, names=('ours', 'redis')):
    lines = []
    request = difference.request
    if isinstance(request, list):
        lines.append('at: ' + ' '.join(write_argument(argument) for argument in request))
        why = differences.why_tables_differ(request, difference.ours, difference.theirs) if isinstance(difference.ours, tuple) else []
        if why:
            return '\n'.join(lines + ['  differs in: ' + '; '.join(why)])
    else:
        lines.append('at: %s' % (request,))
    ours, theirs = difference.ours, difference.theirs
    if isinstance(request, Action) and isinstance(ours, list) and isinstance(theirs, list):
        for place in range(max(len(ours), len(theirs))):
            mine, other = (side[place] if place < len(side) else 'nothing' for side in (ours, theirs))
            if mine != other:
                asked = requests_of(request) or []
                part = asked[place] if place < len(asked) else ''
                lines += ['  observation %d %s' % (place, part), '  %s:' % names[0], show_cut(mine), '  %s:' % names[1], show_cut(other)]
        return '\n'.join(lines)
    return '\n'.join(lines + ['  %s:' % names[0], show_cut(ours), '  %s:' % names[1], show_cut(theirs)])


def show_cut(reply):
    lines = resp.show(reply).split('\n')
    return '\n'.join(lines[:60] + ['    ... (%d lines)' % len(lines)] if len(lines) > 60 else lines)


def run_seed(pair, seed, options, count):
    """Returns (commands, text of the failure or None)."""
    families = options.families.split(',')
    batches = generate(seed, count, families)
    pair.settings = thresholds.of_seed(seed)
    pair.reset()
    before = pair.commands
    try:
        difference = pair.run(batches)
    except Void as void:
        pair.commands = before
        return 0, 'seed %d is void: redis-server came to no end at\n%s' % (seed, write_batches([Batch(0, [void.args[0]])]))
    done = pair.commands - before
    if difference is None:
        return done, None
    fates = [server.revive() for server in (pair.ours, pair.theirs)]
    shrinker = Shrinker(pair, options.shrink_seconds)
    shortest, again = shrinker.shrink(batches, difference)
    for server in (pair.ours, pair.theirs):
        fates.append(server.revive())
    text = ['seed %d differs; thresholds: %s' % (seed, thresholds.text(pair.settings))]
    if again is None:
        text += ['it did not happen again from an empty keyspace; the request where it was seen:', write_difference(difference)]
    else:
        text += ['shortest sequence (%d tries to shrink it, from %d batches):' % (shrinker.tries, len(batches)), write_batches(shortest),
                 write_difference(again)]
    text += ['%s: %s' % (pair.ours.name, fate) for fate in fates if fate]
    text.append('again: tests/differential/run.py --seed %d --seeds %d --commands %d --families %s' % (seed, options.seeds, options.commands, options.families))
    return done, '\n'.join(text)


class Survey:
    """Kinds of differences, told apart by the command's words and the replies without their particulars."""

    def __init__(self):
        self.kinds = {}

    @staticmethod
    def gist(reply):
        if not isinstance(reply, tuple) or len(reply) < 2:
            return re.sub(r'[0-9]+', 'N', repr(reply))[:80]
        if reply[0] in '-+':
            return re.sub(rb"'[^']*'|[0-9]+", b'N', reply[1])[:60]
        return reply[0]

    def __call__(self, difference):
        request = difference.request
        if isinstance(request, list):
            words = [request[0].upper()]
            if words[0] in (b'CLIENT', b'COMMAND', b'CONFIG', b'DEBUG', b'OBJECT', b'MEMORY', b'SLOWLOG', b'LATENCY') and len(request) > 1:
                words.append(request[1].upper())
            key = (b' '.join(words), self.gist(difference.ours), self.gist(difference.theirs))
            why = differences.why_tables_differ(request, difference.ours, difference.theirs)
            if why:
                key = (b' '.join(words), '; '.join(why), '')
        else:
            key = (str(request)[:10],) + ((self.gist(difference.ours), self.gist(difference.theirs)) if not isinstance(request, Action) else ('', ''))
        entry = self.kinds.setdefault(key, [0, difference])
        entry[0] += 1
        if len(str(request)) < len(str(entry[1].request)):
            entry[1] = difference

    def text(self):
        return '\n'.join('%d times, %s' % (count, write_difference(difference)) for count, difference in sorted(
            self.kinds.values(), key=lambda entry: -entry[0]))


def check_probes(server, is_new):
    """The rows of differences.py by hand. Returns texts of what is not as frozen."""
    wrong = []
    for row in differences.ROWS:
        connection = server.connect()
        connection.ask('FLUSHALL')
        for request, old, new in row.probes:
            words = request if isinstance(request, list) else request.split(b' ')
            connection.send(resp.encode(words))
            reply = read_raw(connection)
            expected = new if is_new else old
            is_right = expected.fullmatch(reply) if hasattr(expected, 'fullmatch') else reply == expected
            if not is_right:
                wrong.append('%s: %s\n    answered %r\n    expected %r' % (row.name, b' '.join(words), reply, getattr(expected, 'pattern', expected)))
        connection.close()
    return wrong


def read_raw(connection):
    """One reply as its bytes."""
    while True:
        try:
            _, end = resp.parse(connection.buffer, connection.position)
            break
        except resp.Incomplete:
            connection.receive()
    data = bytes(connection.buffer[connection.position:end])
    connection.position = end
    return data


def work(options, count, shares, seeds, reports):
    """One job: its own pair of servers, and seed after seed until there are none left."""
    pair = start_pair(options)
    try:
        if options.survey:
            pair.survey = Survey()
        for seed in iter(seeds.get, None):
            began = time.monotonic()
            done, failure = run_seed(pair, seed, options, count)
            reports.put((seed, done, failure, time.monotonic() - began))
    finally:
        pair.close_connections()
        pair.ours.stop()
        pair.theirs.stop()
    shares.put((exemptions.uses, {row.name: row.uses for row in differences.ROWS}, pair.survey.text() if pair.survey else None))


def run_all(options, count):
    """Every seed, several side by side; each is told of when it is done. Returns their (commands, failure or None), and the jobs' shares."""
    seeds, reports, shares = multiprocessing.SimpleQueue(), multiprocessing.Queue(), multiprocessing.Queue()
    left = seeds_of(options)
    jobs = max(1, min(options.jobs, len(left)))
    processes = [multiprocessing.Process(target=work, args=(options, count, shares, seeds, reports), daemon=True) for _ in range(jobs)]
    for process in processes:
        process.start()
    results, handed_out, failures, total = [], min(jobs, len(left)), 0, len(left)
    for seed in left[:handed_out]:
        seeds.put(seed)
    while len(results) < handed_out:
        try:
            seed, done, failure, seconds = reports.get(timeout=5)
        except queue.Empty:
            dead = [process for process in processes if not process.is_alive()]
            if dead:
                raise SystemExit('a job of the comparison ended with status %s' % dead[0].exitcode) from None
            continue
        results.append((done, failure))
        failures += failure is not None
        print('seed %d: %s, %d commands, %.1f s (%d of %d)' % (seed, 'DIFFERS' if failure else 'the same', done, seconds, len(results), total), flush=True)
        if failure:
            print(failure, flush=True)
        if failures < options.failures and handed_out < total:
            seeds.put(left[handed_out])
            handed_out += 1
    for _ in processes:
        seeds.put(None)
    found = [shares.get() for _ in processes]
    for process in processes:
        process.join()
    return results, found


def probe_all(options):
    wrong = []
    sides = [(Server(options.redis, 'redis', True), False)]
    try:
        if not options.against_redis:
            sides.append((start_latchkey(options), True))
        for server, is_new in sides:
            wrong += ['%s: %s' % (server.name, text) for text in check_probes(server, is_new)]
    finally:
        for server, _ in sides:
            server.stop()
    return wrong


def print_tables(uses, row_uses):
    print('\nExemptions: compared by shape when not equal (times needed)')
    for words, _, reason in exemptions.EXEMPTIONS + exemptions.ERRORS:
        print('  %-18s %6d  %s' % (words, uses.get(words, 0), reason))
    print('Differences between 7.0.15 and 7.2 (times met)')
    for row in differences.ROWS:
        print('  %-52s %6d  7.0.15: %s. 7.2: %s.' % (row.name, row_uses.get(row.name, 0), row.old, row.new))
    print()


def main():
    options = read_options()
    count = commands_of_one(options)
    began = time.monotonic()
    wrong = probe_all(options)
    for text in wrong:
        print('probe: ' + text)
    results, shares = run_all(options, count)
    uses, row_uses, surveys = {}, {}, []
    for some_uses, some_rows, survey in shares:
        for name, number in some_uses.items():
            uses[name] = uses.get(name, 0) + number
        for name, number in some_rows.items():
            row_uses[name] = row_uses.get(name, 0) + number
        if survey:
            surveys.append(survey)
    commands, done = sum(number for number, _ in results), len(results)
    failed = sum(failure is not None for _, failure in results)
    print_tables(uses, row_uses)
    for survey in surveys:
        print(survey)
    is_bad = failed or wrong or surveys
    print('differential: %d commands, %d seeds, %d differences, %.1f s' % (commands, done, failed, time.monotonic() - began))
    probes = sum(len(row.probes) for row in differences.ROWS) * (1 if options.against_redis else 2)
    print('%d passed, %d failed' % (done - failed + probes - len(wrong), failed + len(wrong)))
    return 1 if is_bad else 0


if __name__ == '__main__':
    sys.exit(main())
