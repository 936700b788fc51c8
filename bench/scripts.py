"""Transactions and scripts beside redis-server: CPU time of the server per transaction, or per script.

`multi` is MULTI, four SETs of 64 bytes and EXEC; `plain` are the same six commands with nothing around them: the SETs, and two PINGs for
the brackets. `evalsha-get` is a script that gets its key, `evalsha-bucket` a token bucket. Many clients send pipelines of them and read
what they are answered before they send more."""
import socket
import time

from bystanders import request
from side_by_side import Failure

CLIENTS, PIPELINE, KEYS = 50, 16, 1000
KINDS = ["multi", "plain", "evalsha-get", "evalsha-bucket"]
GET = "return redis.call('get', KEYS[1])"
BUCKET = """
local bucket = redis.call('hmget', KEYS[1], 'tokens', 'time')
local most, rate, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens, time = tonumber(bucket[1]) or most, tonumber(bucket[2]) or now
tokens = math.min(most, tokens + math.max(0, now - time) * rate)
local is_granted = 0
if tokens >= 1 then
    tokens = tokens - 1
    is_granted = 1
end
redis.call('hset', KEYS[1], 'tokens', tokens, 'time', now)
redis.call('pexpire', KEYS[1], math.ceil(most / rate) * 2000)
return is_granted
"""


class Client:
    def __init__(self, server):
        self.server = server
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.replies = self.socket.makefile("rb")

    def answer_length(self):
        """Reads one reply."""
        line = self.replies.readline()
        if not line or line[:1] == b"-":
            raise Failure(f"{self.server.name}: {line.decode(errors='replace').strip() or 'no answer'}")
        if line[:1] == b"$" and line[1:2] != b"-":
            return len(line) + len(self.replies.read(int(line[1:]) + 2))
        return len(line) + (sum(self.answer_length() for _ in range(int(line[1:]))) if line[:1] == b"*" else 0)

    def skip(self, length):
        if len(self.replies.read(length)) < length:
            raise Failure(f"{self.server.name}: no answer")

    def ask(self, *words):
        self.socket.sendall(request(*words))
        line = self.replies.readline()
        return self.replies.read(int(line[1:]) + 2)[:-2].decode() if line[:1] == b"$" else line


def commands(kind, number, shas):
    keys = [f"key:{(number + i * 37) % KEYS:012d}" for i in range(4)]
    sets = [request("SET", key, "v" * 64) for key in keys]
    if kind == "multi":
        return [request("MULTI"), *sets, request("EXEC")]
    if kind == "plain":
        return [request("PING"), *sets, request("PING")]
    if kind == "evalsha-get":
        return [request("EVALSHA", shas["get"], "1", keys[0])]
    return [request("EVALSHA", shas["bucket"], "1", f"bucket:{number % KEYS}", "10", "100", str(1000 + number))]


def run_once(server, kind, shas, seconds):
    clients = [Client(server) for _ in range(CLIENTS)]
    try:
        pipelines, lengths = [], []
        for i, client in enumerate(clients):
            requests = [text for j in range(PIPELINE) for text in commands(kind, i * PIPELINE + j, shas)]
            pipelines.append(b"".join(requests))
            for _ in range(2):  # what answers are like once all is there
                client.socket.sendall(pipelines[i])
                length = sum(client.answer_length() for _ in requests)
            lengths.append(length)
        rounds, began, before = 0, time.monotonic(), server.cpu_ns()
        while time.monotonic() - began < seconds:
            for client, pipeline in zip(clients, pipelines):
                client.socket.sendall(pipeline)
            for client, length in zip(clients, lengths):
                client.skip(length)
            rounds += 1
        count, took = rounds * CLIENTS * PIPELINE, time.monotonic() - began
        return {"per_second": count / took, "server_ns": (server.cpu_ns() - before) / count, "p50_us": None, "p99_us": None, "p999_us": None}
    finally:
        for client in clients:
            client.socket.close()


def measure(servers, kinds, rounds, seconds):
    """{"scripts-KIND": {server: [run, ...]}}; servers are in turn, and the other way round every second time."""
    shas = {}
    for server in servers.values():
        client = Client(server)
        for i in range(KEYS):
            client.ask("SET", f"key:{i:012d}", "v" * 64)
        shas = {"get": client.ask("SCRIPT", "LOAD", GET), "bucket": client.ask("SCRIPT", "LOAD", BUCKET)}
        client.socket.close()
    runs = {f"scripts-{kind}": {name: [] for name in servers} for kind in kinds}
    for number in range(rounds):
        order = list(servers)
        for name in reversed(order) if number % 2 else order:
            for kind in kinds:
                runs[f"scripts-{kind}"][name].append(run_once(servers[name], kind, shas, seconds))
    return runs
