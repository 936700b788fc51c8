"""redis-cli in a terminal of its own, as a person types into it: interactive.py PORT LINE...; prints the screen's text."""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios

PROMPT = re.compile(rb"127\.0\.0\.1:\d+(\[\d+\])?> $")
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\r")


def read_until_prompt(terminal, screen):
    """A line is typed only at the prompt: redis-cli throws away what comes earlier."""
    fresh = b""
    while not PROMPT.search(ESCAPES.sub(b"", fresh)):
        if not select.select([terminal], [], [], 20)[0]:
            raise SystemExit(screen + fresh.decode(errors="replace") + "\nno prompt within 20 seconds")
        fresh += os.read(terminal, 65536)
    return screen + fresh.decode(errors="replace")


def main():
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        os.execvp("redis-cli", ["redis-cli", "-p", sys.argv[1]])
    screen = read_until_prompt(terminal, "")
    for line in sys.argv[2:]:
        os.write(terminal, line.encode() + b"\r")
        screen = read_until_prompt(terminal, screen)
    os.write(terminal, b"quit\r")
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass  # the terminal's other end is closed
    status = os.waitpid(pid, 0)[1]
    print(ESCAPES.sub(b"", screen.encode()).decode())
    return status


sys.exit(main())
