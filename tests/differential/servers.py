"""The two servers under comparison: started on free ports, spoken to over raw sockets, restarted if they die."""

import ctypes
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import resp

REPLY_SECONDS = 15
# Redis's Lua has no bound of its own: a script that builds without end shall end its server, not the machine.
REDIS_BYTES = 4 << 30
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Gone(Exception):
    """The connection ended, or no reply came in time; the text says which."""


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def _bounded(is_redis):
    """What a server's process does before it is one. Nobody is left to end a server whose harness was killed, and one that is in a script
    spins for ever: so it goes with it."""
    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if is_redis:
            resource.setrlimit(resource.RLIMIT_AS, (REDIS_BYTES, REDIS_BYTES))
    return prepare


def add_options(parser, seeds, commands):
    """Whom to compare, and with how much."""
    parser.add_argument('--latchkey', default=os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'latchkey'))
    parser.add_argument('--redis', default='redis-server')
    parser.add_argument('--seeds', type=int, default=seeds)
    parser.add_argument('--first-seed', type=int, default=1)
    parser.add_argument('--seed', type=int, help='only this seed')
    parser.add_argument('--commands', type=int, default=commands, help='of all seeds together')
    parser.add_argument('--against-redis', action='store_true', help='redis-server on both sides')


def seeds_of(options):
    return [options.seed] if options.seed is not None else list(range(options.first_seed, options.first_seed + options.seeds))


def commands_of_one(options):
    return max(1, options.commands // max(1, options.seeds))


def latchkey_path(options):
    return options.latchkey if '/' not in options.latchkey else os.path.abspath(options.latchkey)


def start_latchkey(options):
    return Server(latchkey_path(options), 'latchkey', False)


def start_both(options):
    """Latchkey, or what stands for it, and redis-server."""
    ours = Server(options.redis, 'redis-too', True) if options.against_redis else start_latchkey(options)
    return ours, Server(options.redis, 'redis', True)


class Connection:
    """One client connection: bytes out, reply trees in."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=REPLY_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.position = 0

    def send(self, data):
        """Sends all of data. Replies that come meanwhile are taken in: a server may stop reading a client that doesn't read."""
        if len(data) < 65536:
            try:
                self.socket.sendall(data)
            except OSError as error:
                raise Gone('connection broke while sending: %s' % error.strerror) from None
            return
        view = memoryview(data)
        while view:
            readable, writable, _ = select.select([self.socket], [self.socket], [], REPLY_SECONDS)
            if not readable and not writable:
                raise Gone('no bytes taken within %d seconds' % REPLY_SECONDS)
            if readable:
                self.receive()
            if writable:
                try:
                    view = view[self.socket.send(view[:65536]):]
                except OSError as error:
                    raise Gone('connection broke while sending: %s' % error.strerror) from None

    def receive(self):
        try:
            data = self.socket.recv(1 << 18)
        except socket.timeout:
            raise Gone('no reply within %d seconds' % REPLY_SECONDS) from None
        except OSError as error:
            raise Gone('connection broke: %s' % error.strerror) from None
        if not data:
            raise Gone('connection was closed')
        self.buffer += data

    def read(self):
        """The next reply."""
        while True:
            try:
                reply, self.position = resp.parse(self.buffer, self.position)
                break
            except resp.Incomplete:
                self.receive()
        if self.position == len(self.buffer):
            self.buffer = bytearray()
            self.position = 0
        return reply

    def read_to_end(self, seconds=REPLY_SECONDS):
        """Every byte until the server closes, and whether it did."""
        data = self.buffer[self.position:]
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return bytes(data), 'open'
            self.socket.settimeout(left)
            try:
                chunk = self.socket.recv(1 << 18)
            except socket.timeout:
                return bytes(data), 'open'
            except OSError:
                return bytes(data), 'closed'
            if not chunk:
                return bytes(data), 'closed'
            data += chunk

    def ask(self, *arguments):
        self.send(resp.encode([argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments]))
        return self.read()

    def half_close(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.socket.close()


class Server:
    """A server process of ours. first: what its command line begins with, a file of configuration or options."""

    def __init__(self, path, name, is_redis, first=()):
        self.path, self.name, self.is_redis, self.first = path, name, is_redis, first
        self.directory = tempfile.mkdtemp(prefix='differential-%s-' % name)
        self.process = None
        self.port = 0
        self.restarts = -1
        self.start()

    def start(self):
        """Starts it on a free port and waits until it answers. Another may take the port in between: then once more."""
        self.restarts += 1
        for _ in range(5):
            self.port = free_port()
            command = [self.path, *self.first, '--port', str(self.port), '--bind', '127.0.0.1', '--save', '', '--enable-debug-command', 'yes',
                       '--databases', '16', '--dir', self.directory]
            if os.environ.get('IO_BACKEND') and not self.is_redis:
                command += ['--io-backend', os.environ['IO_BACKEND']]
            with open(os.path.join(self.directory, 'output'), 'ab') as output:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                                cwd=self.directory, preexec_fn=_bounded(self.is_redis))
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    connection = Connection(self.port)
                    try:
                        if connection.ask('PING') == ('+', b'PONG'):
                            return
                    finally:
                        connection.close()
                except (OSError, Gone, resp.Malformed):
                    time.sleep(0.02)
            self.stop_process()
        raise SystemExit('%s (%s) did not start; its output ends:\n%s' % (self.name, self.path, self.output()))

    def output(self):
        try:
            with open(os.path.join(self.directory, 'output'), 'rb') as output:
                return output.read()[-1500:].decode('utf-8', 'replace')
        except OSError:
            return ''

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def revive(self):
        """A new process if the old one died or hangs. Returns what became of the old one, or None."""
        if self.is_alive():
            try:
                connection = Connection(self.port)
                connection.socket.settimeout(5)
                try:
                    connection.ask('CLIENT', 'UNPAUSE')
                    return None
                finally:
                    connection.close()
            except (OSError, Gone, resp.Malformed):
                fate = 'it answers no new connection'
        else:
            code = self.process.returncode
            fate = 'it died of signal %s' % signal.Signals(-code).name if code < 0 else 'it ended with status %d' % code
        fate += '; its output ends:\n' + self.output()
        self.stop_process()
        self.start()
        return fate

    def has_ended(self):
        """Whether it is gone, or about to be."""
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self):
        """For a server that is busy with what it will never end."""
        if self.is_alive():
            self.process.kill()
            self.process.wait()

    def stop_process(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def stop(self):
        self.stop_process()
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self):
        try:
            return Connection(self.port)
        except OSError as error:
            raise Gone('no connection: %s' % error.strerror) from None


def run_seeds(options, run_seed):
    """Each seed is a test: run_seed(pair, seed, commands) returns what differs, or None. How many differ."""
    seeds, pair, failed = seeds_of(options), start_both(options), 0
    try:
        for seed in seeds:
            try:
                difference = run_seed(pair, seed, commands_of_one(options))
            except Gone as gone:
                difference = 'seed %d: %s' % (seed, gone)
            failed += difference is not None
            print('seed %d: %s' % (seed, difference or 'the same'), flush=True)
    finally:
        for server in pair:
            server.stop()
    print('%d passed, %d failed' % (len(seeds) - failed, failed))
    return failed
