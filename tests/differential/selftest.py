#!/usr/bin/python3
"""The harness tested on itself, in about ten seconds: two redis-servers agree, and a reply that is falsified on purpose is found and
shrunk to the one or two commands that matter. A harness that finds nothing is only worth something if it can find."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import exemptions
import resp
from safe import make_safe
from words import Words

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'run.py')


def run(*arguments):
    done = subprocess.run([sys.executable, RUN, '--against-redis', *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
    return done.returncode, done.stdout.decode('utf-8', 'replace')


def two_redis_servers_agree():
    status, text = run('--seeds', '3', '--commands', '15000')
    assert status == 0, text
    assert re.search(r'differential: \d+ commands, 3 seeds, 0 differences', text), text
    assert re.fullmatch(r'\d+ passed, 0 failed', text.splitlines()[-1]), text


def a_falsified_reply_is_found_and_shrunk():
    status, text = run('--seeds', '1', '--commands', '8000', '--families', 'strings', '--plant')
    assert status == 1, text
    sequence = re.search(r'shortest sequence.*?\n(.*?)\nat: ', text, re.DOTALL).group(1).splitlines()
    assert len(sequence) <= 2, text
    assert 'append' in sequence[-1].lower() and '7' in sequence[-1], text
    assert '--seed 1' in text, text
    assert text.splitlines()[-1].endswith(', 1 failed'), text


def what_redis_never_answers_is_no_difference():
    import servers
    from engine import Batch, Pair, Void
    for end in (lambda server: None, lambda server: server.process.kill()):
        pair = Pair(servers.Server('redis-server', 'redis-too', True), servers.Server('redis-server', 'redis', True))
        try:
            assert pair.run([Batch(0, [[b'PING']])], with_keyspace=False) is None
            end(pair.theirs)
            for connection in pair.pair_of(0):
                connection.socket.settimeout(1)
            pair.run([Batch(0, [[b'EVAL', b'while true do end', b'0']])], with_keyspace=False)
            raise AssertionError('a difference, or none')
        except Void as void:
            assert void.args[0][0] == b'EVAL' and not pair.theirs.is_alive()
        finally:
            pair.close_connections()
            for server in (pair.ours, pair.theirs):
                server.kill()
                server.stop()


def the_same_seed_gives_the_same_commands():
    from engine import generate
    first, second = (b''.join(batch.bytes() for batch in generate(5, 500, ['strings', 'bits']) if isinstance(batch.steps[0], list)) for _ in range(2))
    assert first == second and first


def replies_of_every_type_are_read():
    data = (b'+OK\r\n-ERR no\r\n:-5\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n*2\r\n:1\r\n$0\r\n\r\n_\r\n#t\r\n,3.14\r\n(123456789012345678901\r\n=5\r\ntxt:a\r\n'
            b'%1\r\n+a\r\n:1\r\n~1\r\n:2\r\n>1\r\n:3\r\n+after\r\n|1\r\n+k\r\n:1\r\n:9\r\n')
    replies = resp.parse_all(data)
    assert [reply[0] for reply in replies] == ['+', '-', ':', '$', '$', '*', '*', '_', '#', ',', '(', '=', '%', '~', '>', '|'], replies
    for end in range(len(data)):
        assert resp.parse_all(data[:end]) == replies[:len(resp.parse_all(data[:end]))] or resp.parse_all(data[:end])[-1][0] == 'bytes'


def an_integer_is_no_bulk_and_a_null_of_resp2_is_no_null_of_resp3():
    assert resp.parse_all(b':1\r\n') != resp.parse_all(b'$1\r\n1\r\n')
    assert resp.parse_all(b'$-1\r\n') != resp.parse_all(b'_\r\n')
    assert resp.parse_all(b'+a\r\n') != resp.parse_all(b'$1\r\na\r\n')


def an_exemption_never_excuses_an_error():
    assert exemptions.alike([b'TIME'], ('-', b'ERR x'), ('*', (('$', b'1'), ('$', b'2')))) is False
    assert exemptions.alike([b'TTL', b'a'], (':', -1), (':', 100)) is False
    assert exemptions.alike([b'TTL', b'a'], (':', 99), (':', 100)) is True
    assert exemptions.alike([b'GET', b'a'], ('$', b'1'), ('$', b'2')) is False


def near_times_and_huge_offsets_are_made_harmless():
    assert make_safe([b'EXPIRE', b'a', b'1'])[2] != b'1'
    assert make_safe([b'EXPIRE', b'a', b'-1'])[2] == b'-1'
    assert make_safe([b'SETRANGE', b'a', b'536870911', b'x'])[2] != b'536870911'
    assert make_safe([b'SETRANGE', b'a', b'536870912', b'x'])[2] == b'536870912'
    assert make_safe([b'set', b'a', b'b', b'px', b'5'])[4] != b'5'
    assert Words(1).key() == Words(1).key()


TESTS = [replies_of_every_type_are_read, an_integer_is_no_bulk_and_a_null_of_resp2_is_no_null_of_resp3, an_exemption_never_excuses_an_error,
         near_times_and_huge_offsets_are_made_harmless, the_same_seed_gives_the_same_commands, what_redis_never_answers_is_no_difference, two_redis_servers_agree,
         a_falsified_reply_is_found_and_shrunk]


def main():
    failed = 0
    for test in TESTS:
        try:
            test()
            print('ok   ' + test.__name__)
        except Exception as error: # a test that breaks is a test that fails
            failed += 1
            print('FAIL %s: %r' % (test.__name__, error))
    print('%d passed, %d failed' % (len(TESTS) - failed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
