"""Two builds of Latchkey against each other: what a change costs. Both serve the same case at the same time, and are asked in turn, first the one and then
the other, so that what the machine does meanwhile meets both; a figure is the median of the rounds' ratios of CPU time per request."""
import os
import statistics

from side_by_side import Failure, Programs, Server, latchkey_command, load_run, say, table

MOST = 1.02


def start(name, program, backend, load, options):
    server = Server(name, latchkey_command(program, 1, backend))
    try:
        load_run(load, server, *options, "--prefill", "--seconds", 0)
    except Failure:
        server.stop()
        raise
    return server


def measure_case(case, pair, backend, load, rounds, seconds):
    """[(CPU of the other, ours), ...]"""
    servers, found = [], []
    options = case.load_options()
    try:
        for name, program in pair:
            servers.append(start(name, program, backend, load, options))
        for number in range(rounds):
            cpu = {}
            for i in (0, 1) if number % 2 == 0 else (1, 0):
                cpu[i] = load_run(load, servers[i], *options, "--seconds", seconds, "--seed", number + 1)["server_ns"]
            found.append((cpu[0], cpu[1]))
    finally:
        for server in servers:
            server.stop()
    return found


def program_find(build):
    """The server of a build: its folder, or the program itself."""
    for path in (build, os.path.join(build, "latchkey"), os.path.join(build, "build", "release", "latchkey")):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise Failure(f"there is no latchkey in {build}")


def run(cases, against, build, backend, rounds, seconds):
    """Prints the table and whether each case is within the bar; false if one isn't."""
    programs = Programs(build)
    if not programs.latchkey:
        raise Failure(f"there is no latchkey in {build}")
    pair = [("other", program_find(against)), ("ours", programs.latchkey)]
    say(f"{programs.latchkey} against {pair[0][1]}, {backend}, {rounds} rounds of {seconds} s")
    rows = [["case", "other, CPU ns", "ours, CPU ns", "ratio", "least", "most", f"<= {MOST}"]]
    is_met = True
    for case in cases:
        found = measure_case(case, pair, backend, programs.load, rounds, seconds)
        ratios = [ours / other for other, ours in found]
        median = statistics.median(ratios)
        is_met = is_met and median <= MOST
        other, ours = (statistics.median(column) for column in zip(*found))
        rows.append([case.name, f"{other:,.0f}", f"{ours:,.0f}", f"{median:.3f}", f"{min(ratios):.3f}", f"{max(ratios):.3f}", "met" if median <= MOST else "NOT MET"])
        say(f"  {case.name}: {median:.3f}")
    say()
    say("\n".join(table(rows)))
    return is_met
