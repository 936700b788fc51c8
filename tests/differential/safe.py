"""Keeps a generated command from making noise or hurting the machine.

Noise: a key that expires while the two servers are being compared. So relative times of less than some minutes become far ones (past
and invalid ones stay). Hurt: a single SETRANGE or SETBIT may allocate half a gigabyte; such valid but huge offsets become small ones
(the first invalid ones stay). And a SET with a time in the past leaves a dead entry that DBSIZE and DEBUG DIGEST may or may not still
count: such times become future ones, but where the generator takes care of the entry itself (`allows_past`). And a pause would have both
servers wait for as long as it says (the action pause looks at those), as DEBUG SLEEP would. The same function is applied to every
command, whoever made it.
"""

NEAR_SECONDS = 2000
LEAST_HUGE = 1300000

_RELATIVE_SECONDS = {b'EXPIRE': 2, b'SETEX': 2}
_RELATIVE_MILLISECONDS = {b'PEXPIRE': 2, b'PSETEX': 2}
_OFFSETS = {b'SETRANGE': (2, 536870911), b'SETBIT': (2, 4294967295)}


def number(argument):
    """The integer that a server would read, or None."""
    try:
        text = argument.decode('ascii')
        value = int(text)
    except (UnicodeDecodeError, ValueError):
        return None
    return value if str(value) == text else None


def _far(argument, unit):
    value = number(argument)
    if value is not None and 0 < value < NEAR_SECONDS * unit:
        return b'%d' % ((NEAR_SECONDS + 977 * value) * unit)
    return argument


def _offset(argument, most):
    value = number(argument)
    if value is not None and LEAST_HUGE < value <= most:
        return b'%d' % (value % 1000)
    return argument


def _future(argument, unit):
    value = number(argument)
    if value is not None and 0 < value < 4000000000 * unit:
        return b'%d' % (4102444800 * unit + value)
    return argument


def make_safe(arguments, allows_past=False):
    """Changes the list in place and returns it."""
    if not arguments:
        return arguments
    name = arguments[0].upper()
    if name in _RELATIVE_SECONDS and len(arguments) > 2:
        arguments[2] = _far(arguments[2], 1)
    elif name in _RELATIVE_MILLISECONDS and len(arguments) > 2:
        arguments[2] = _far(arguments[2], 1000)
    elif name == b'SET' or name == b'GETEX':
        for place in range(2, len(arguments) - 1):
            option = arguments[place].upper()
            if option == b'EX':
                arguments[place + 1] = _far(arguments[place + 1], 1)
            elif option == b'PX':
                arguments[place + 1] = _far(arguments[place + 1], 1000)
            elif option == b'EXAT' and not allows_past and name == b'SET':
                arguments[place + 1] = _future(arguments[place + 1], 1)
            elif option == b'PXAT' and not allows_past and name == b'SET':
                arguments[place + 1] = _future(arguments[place + 1], 1000)
    elif name in _OFFSETS and len(arguments) > 2:
        place, most = _OFFSETS[name]
        arguments[place] = _offset(arguments[place], most)
    elif name == b'CLIENT' and len(arguments) > 2 and arguments[1].upper() == b'PAUSE' and (number(arguments[2]) or 0) > 0:
        arguments[2] = b'0'
    elif name == b'DEBUG' and len(arguments) > 2 and arguments[1].upper() == b'SLEEP':
        arguments[2] = b'0'
    elif name == b'BITFIELD' or name == b'BITFIELD_RO':
        for place in range(2, len(arguments)):
            argument = arguments[place]
            if argument[:1] == b'#':
                arguments[place] = b'#' + _offset(argument[1:], 4294967295)
            elif argument[:1].isdigit() and len(argument) > 6 and arguments[place - 1][:1] in (b'u', b'i'):
                arguments[place] = _offset(argument, 4294967295)
    return arguments
