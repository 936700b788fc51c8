"""What bench/compare and bench/memory share: servers as child processes, and the load generator."""
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 20


class Failure(Exception):
    """Something that the whole run can't go on without."""


class Programs:
    """Where the programs are, or None for those that are not installed."""

    def __init__(self, build):
        built = os.path.join(ROOT, build)
        self.latchkey = self.executable(os.path.join(built, "latchkey"))
        self.fixed_reply = self.executable(os.path.join(built, "bench", "fixed_reply"))
        self.load = self.executable(os.path.join(built, "bench", "load"))
        self.redis = shutil.which("redis-server")
        self.redis_benchmark = shutil.which("redis-benchmark")
        self.memcached = shutil.which("memcached")
        self.gnuplot = shutil.which("gnuplot")
        if not self.load:
            raise Failure(f"{build}/bench/load is missing: build it with `make bench`")

    @staticmethod
    def executable(path):
        return path if os.access(path, os.X_OK) else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_on_signal():
    """However it is ended, servers are stopped on the way out."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


def open_files_raise():
    """As many as allowed; the servers inherit it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def certify(folder):
    """A certificate that certifies itself."""
    certificate, key = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


class Server:
    """A running server. Its command is a function of (port, unix socket's path, folder)."""

    def __init__(self, name, command, protocol="resp"):
        self.name, self.protocol = name, protocol
        self.folder = tempfile.mkdtemp(prefix="latchkey-bench-")
        self.unix = os.path.join(self.folder, "socket")
        self.port = free_port()
        self.log = open(os.path.join(self.folder, "log"), "w+b")
        self.process = subprocess.Popen(command(self.port, self.unix, self.folder), cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self.await_answer()
        except Failure:
            self.stop()
            raise

    def await_answer(self):
        until = time.monotonic() + START_SECONDS
        question = b"version\r\n" if self.protocol == "memcached" else b"*1\r\n$4\r\nPING\r\n"
        while time.monotonic() < until:
            if self.process.poll() is not None:
                self.log.seek(0)
                tail = self.log.read()[-2000:].decode(errors="replace").strip()
                raise Failure(f"{self.name} ended at once: {tail}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                    client.sendall(question)
                    if client.recv(64):
                        return
            except OSError:
                time.sleep(0.01)
        raise Failure(f"{self.name} doesn't answer")

    @property
    def pid(self):
        return self.process.pid

    def threads_cpu_ns(self):
        """CPU time of each thread by the scheduler's own counters."""
        spent = {}
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/schedstat") as file:
                spent[task] = int(file.read().split()[0])
        return spent

    def cpu_ns(self):
        """Of all of them."""
        return sum(self.threads_cpu_ns().values())

    def resident(self):
        """Bytes of physical memory."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def info(self):
        """INFO's fields, as texts."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(b"*1\r\n$4\r\nINFO\r\n")
            reply = client.makefile("rb")
            text = reply.read(int(reply.readline()[1:])).decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


# Each returns a command for Server.

def latchkey_command(program, threads, backend, *more):
    return lambda port, unix, folder: [
        program, "--port", str(port), "--bind", "127.0.0.1", "--threads", str(threads), "--io-backend", backend,
        "--unixsocket", unix, "--maxclients", "20000", "--tcp-backlog", "4096", "--loglevel", "warning", *more]


def redis_command(program, *more):
    return lambda port, unix, folder: [
        program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder,
        "--unixsocket", unix, "--maxclients", "20000", "--tcp-backlog", "4096", "--loglevel", "warning", *more]


def memcached_command(program):
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    return lambda port, unix, folder: [
        program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "1", "-m", "8192", "-c", "20000", "-b", "4096", *user]


def fixed_command(program, threads, backend, *more):
    return lambda port, unix, folder: [
        program, "--port", str(port), "--threads", str(threads), "--io-backend", backend, "--unix", unix, *more]


def load_run(load, server, *options):
    """One run of the load generator; its figures as a dictionary, or None if there was nothing to measure."""
    command = [load, "--port", str(server.port), "--protocol", server.protocol, "--pid", str(server.pid), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{server.name}: {' '.join(command[1:])}: {done.stderr.strip() or 'failed'}")
    return json.loads(done.stdout) if done.stdout else None


def backends_available(program):
    """The loop's back ends that this machine grants, by trying."""
    found = []
    for backend in ("epoll", "io_uring"):
        try:
            Server(backend, fixed_command(program, 1, backend)).stop()
            found.append(backend)
        except Failure:
            continue
    return found


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip().split("\n")[0]
    except OSError:
        return ""


def machine(programs):
    """What the figures were taken on and with."""
    model = ""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "processor": model or platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "latchkey": first_line(programs.latchkey, "--version") if programs.latchkey else None,
        "redis-server": first_line(programs.redis, "--version") if programs.redis else None,
        "memcached": first_line(programs.memcached, "--version") if programs.memcached else None,
        "began": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def table(rows, right=True):
    """Rows of texts as aligned lines; the first column stands left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [text.rjust(width) if right and i else text.ljust(width) for i, (text, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return lines


def say(text=""):
    print(text, flush=True)


def complain(text):
    print(text, file=sys.stderr, flush=True)
