"""RESP2 and RESP3 as trees that compare byte for byte.

A reply is a tuple whose first element is the type byte of the wire, so that an integer never equals a bulk with the same digits and
a RESP2 null bulk never equals a RESP3 null:

    ('+', b'OK')  ('-', b'ERR ...')  (':', 5)  ('$', b'...' or None)  ('*', (...) or None)
    ('_', None)  ('#', True)  (',', b'3.14')  ('(', b'123...')  ('=', b'txt:...')  ('!', b'...')
    ('%', (key, value, key, value ...))  ('~', (...))  ('|', (key, value ...), reply)  ('>', (...), reply)

A push is no reply, so it is joined, as an attribute is, to the reply that follows it.
Doubles and big numbers stay text: their spelling is part of the protocol.
"""


class Incomplete(Exception):
    """The bytes so far end inside a reply."""


class Malformed(Exception):
    """The bytes are no reply."""


def encode(arguments):
    """One request as an array of bulks."""
    parts = [b'*%d\r\n' % len(arguments)]
    for argument in arguments:
        parts.append(b'$%d\r\n%b\r\n' % (len(argument), argument))
    return b''.join(parts)


_INLINE_PLAIN = frozenset(b'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:.-+*?{}[]()@/')


def encode_inline(arguments, end=b'\r\n'):
    """One request as an inline line; what can't stand bare is quoted, so any bytes can be said."""
    words = []
    for argument in arguments:
        if argument and all(byte in _INLINE_PLAIN for byte in argument):
            words.append(argument)
        elif all(32 <= byte < 127 and byte != 39 and byte != 92 for byte in argument) and len(argument) % 2:
            words.append(b"'%b'" % argument)
        else:
            text = []
            for byte in argument:
                if byte in b'"\\':
                    text.append('\\' + chr(byte))
                elif 32 <= byte < 127:
                    text.append(chr(byte))
                elif byte in b'\n\r\t\a\b':
                    text.append({10: '\\n', 13: '\\r', 9: '\\t', 7: '\\a', 8: '\\b'}[byte])
                else:
                    text.append('\\x%02x' % byte)
            words.append(b'"%b"' % ''.join(text).encode())
    return b' '.join(words) + end


def parse(data, position):
    """Returns (reply, position behind it). Raises Incomplete or Malformed."""
    end = data.find(b'\r\n', position)
    if end < 0:
        raise Incomplete
    kind = chr(data[position])
    line = bytes(data[position + 1:end])
    position = end + 2
    if kind == '$' or kind == '=' or kind == '!':
        length = _length(line, kind)
        if length < 0:
            return (kind, None), position
        end = position + length
        if len(data) < end + 2:
            raise Incomplete
        if data[end:end + 2] != b'\r\n':
            raise Malformed('bulk without its line end')
        return (kind, bytes(data[position:end])), end + 2
    if kind == ':':
        if str(_integer(line)).encode() != line:
            raise Malformed('integer %r' % line)
        return (kind, int(line)), position
    if kind == '+' or kind == '-' or kind == ',' or kind == '(':
        return (kind, line), position
    if kind == '*' or kind == '~' or kind == '>' or kind == '%' or kind == '|':
        count = _length(line, kind)
        if count < 0:
            return (kind, None), position
        if kind == '%' or kind == '|':
            count *= 2
        items = []
        for _ in range(count):
            item, position = parse(data, position)
            items.append(item)
        if kind == '|' or kind == '>':
            reply, position = parse(data, position)
            return (kind, tuple(items), reply), position
        return (kind, tuple(items)), position
    if kind == '_' and not line:
        return (kind, None), position
    if kind == '#' and line in (b't', b'f'):
        return (kind, line == b't'), position
    raise Malformed('reply of type %r: %r' % (kind, line[:60]))


def _integer(line):
    try:
        return int(line)
    except ValueError:
        raise Malformed('number %r' % line[:60]) from None


def _length(line, kind):
    length = _integer(line)
    if length < -1 or (length == -1 and kind not in '$*'):
        raise Malformed('length %d of type %s' % (length, kind))
    return length


def parse_all(data):
    """Every reply in data; bytes that are none end the list as ('bytes', rest)."""
    replies, position = [], 0
    while position < len(data):
        try:
            reply, position = parse(data, position)
        except (Incomplete, Malformed):
            replies.append(('bytes', bytes(data[position:])))
            break
        replies.append(reply)
    return replies


def show(reply, indent='    '):
    """A reply as lines that a person can read and tell apart."""
    if not isinstance(reply, tuple) or not reply or not isinstance(reply[0], str):
        return indent + repr(reply)
    kind, value = reply[0], reply[1] if len(reply) > 1 else None
    if len(reply) == 3:
        return '%s%s before the reply\n%s\n%s' % (indent, kind, show(('*', value), indent + '    '), show(reply[2], indent))
    if isinstance(value, (tuple, list)):
        head = '%s%s %d' % (indent, kind, len(value))
        lines = [show(item, indent + '    ') for item in value[:200]]
        if len(value) > 200:
            lines.append(indent + '    ...')
        return '\n'.join([head] + lines)
    text = repr(value)
    return '%s%s %s' % (indent, kind, text if len(text) < 600 else '%s... (%d bytes)' % (text[:600], len(value)))
