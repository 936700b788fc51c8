"""Whether clients that misbehave cost the others anything: the others' latency beside them, in turn with their latency alone.

`stalled` asks for a gigabyte and reads nothing of it; `dripping` are clients that send a request a byte a second."""
import socket
import statistics
import threading

from side_by_side import load_run

LARGE = 1024 * 1024
OWED = 1024
DRIPPERS = 20
# Two runs without anybody else differ by as much, now and then; a client that held the worker up would make it many times more.
NOISE_LEAST = 1.25


def request(*words):
    parts = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def fill(server):
    with connect(server) as client:
        client.sendall(request("SET", "large", b"v" * LARGE))
        client.recv(16)


class Stalled:
    def __init__(self, server):
        self.client = connect(server)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.client.sendall(request("GET", "large") * OWED)

    def end(self):
        self.client.close()


class Dripping:
    def __init__(self, server):
        self.clients = [connect(server) for _ in range(DRIPPERS)]
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.drip)
        self.thread.start()

    def drip(self):
        text = request("SET", "dripped", "v" * 1000)
        for i in range(len(text)):
            for client in self.clients:
                client.sendall(text[i:i + 1])
            if self.is_over.wait(1):
                return

    def end(self):
        self.is_over.set()
        self.thread.join()
        for client in self.clients:
            client.close()


KINDS = {"stalled": Stalled, "dripping": Dripping}


def measure(server, programs, load_options, rounds, seconds):
    """{kind: [(p99 beside it, p99 alone), ...]}, "alone" among the kinds: what two runs with nobody differ by."""
    fill(server)
    found = {kind: [] for kind in ["alone", *KINDS]}

    def p99(number):
        return load_run(programs.load, server, *load_options, "--seconds", seconds, "--seed", number + 1)["p99_us"]

    for number in range(rounds):
        for kind in found:
            alone = p99(number)
            somebody = KINDS[kind](server) if kind in KINDS else None
            try:
                found[kind].append((p99(number), alone))
            finally:
                if somebody:
                    somebody.end()
    return found


def ratio(pairs):
    return statistics.median(beside / alone for beside, alone in pairs)


def bar_of(found):
    """What counts as within noise: the worst pair of runs with nobody."""
    return max([NOISE_LEAST] + [max(beside / alone, alone / beside) for beside, alone in found["alone"]])
