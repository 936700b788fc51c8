"""The checks of one program, as TAP."""
import os
import sys

program = os.path.basename(sys.argv[0]).rsplit('.', 1)[0]
results = []


def check(name, is_so):
    results.append(bool(is_so))
    print('%s - %s: %s' % ('ok' if is_so else 'not ok', program, name), flush=True)


def finish():
    sys.exit(0 if results and all(results) else 1)
