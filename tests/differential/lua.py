"""Lua for random scripts: literals, values of every type that a script can return, commands as calls, and texts that use the libraries.

What is made here says the same on two servers: no time, no addresses, no order of hashes. HELPERS are functions that a script may begin
with; `S` gives a reply that has no order one, `D` writes any value down.
"""

from safe import make_safe

HELPERS = {
    'S': b"local function S(r) if type(r)~='table' or r.err or r.ok then return r end local o={} if r.map then for k,v in pairs(r.map) do o[#o+1]=tostring(k)..'='..tostring(v) end "
         b"elseif r.set then for k in pairs(r.set) do o[#o+1]=tostring(k) end else for i=1,#r do o[i]=tostring(r[i]) end end table.sort(o) return o end ",
    'D': b"local function D(v,n) n=n or 0 local t=type(v) if t=='number' then return string.format('%.17g',v) elseif t=='string' then return string.format('%q',v) "
         b"elseif t=='boolean' or t=='nil' then return tostring(v) elseif t~='table' or n>20 then return v==cjson.null and 'null' or t end local o={} "
         b"for k,x in pairs(v) do o[#o+1]='['..D(k,n+1)..']='..D(x,n+1) end table.sort(o) return '{'..table.concat(o,',')..'}' end ",
}


def text(value):
    """A literal of any bytes."""
    parts = []
    for byte in value:
        parts.append(chr(byte) if 32 <= byte < 127 and byte not in (39, 92) else '\\%03d' % byte)
    return ("'%s'" % ''.join(parts)).encode()


def begin(body):
    """The body with the helpers that it names in front."""
    used = b''.join(helper for name, helper in HELPERS.items() if name.encode() + b'(' in body)
    return used + body


# ------------------------------------------------------------------ values

NUMBERS = [b'0', b'1', b'-1', b'3.7', b'-3.7', b'3.99', b'0.5', b'-0.5', b'1e15', b'2^53', b'-2^53', b'2^31', b'-2^31', b'2^62', b'-2^63', b'1e300', b'-1e300', b'0/0', b'-(0/0)', b'1/0',
           b'-1/0', b'-0', b'0x10', b'12345678901', b'9007199254740993', b'0.1', b'1e-300', b'100', b'42', b'1e17', b'1e21']


def number(words):
    return words.one_of(NUMBERS) if words.chance(0.6) else b'%d' % words.between(-1000, 1000)


def scalar(words):
    return words.pick(b'nil', b'false', b'true', number(words), number(words), text(words.value()), text(words.bytes(words.below(12))), b"''")


def reply_table(words, depth):
    """A table that means one reply, or nearly."""
    line = text(words.pick(b'OK', b'fine', b'', b'two words', b'line\r\nend', b'nul\x00inside', b'-dash', b'+plus', b'MY code', b'ERR said', b'-ERR said', b'\xff'))
    return words.pick(
        b'{ok=%b}' % line, b'{err=%b}' % line, b'{double=%b}' % number(words), b'{double=%b}' % line, b'{ok=%b}' % number(words), b'{err=%b}' % number(words),
        b"{big_number=%b}" % words.pick(b"'123456789012345678901234567890'", b"'12\\r\\n3'", b"''", b'12', b"'-5'"),
        b'{verbatim_string={string=%b,format=%b}}' % (line, words.pick(b"'txt'", b"'mkd'", b"'t'", b"'long form'", b"''")),
        b'{verbatim_string={string=%b}}' % line, b"{verbatim_string={format='txt'}}", b'{verbatim_string=%b}' % line,
        b'{map={%b}}' % pairs(words, depth), b'{map={}}', b'{map=%b}' % line, b'{set={%b}}' % members(words), b'{set={}}', b'{set=%b}' % number(words),
        b'{ok=%b,err=%b}' % (line, line), b'{err=%b,1,2}' % line, b'{1,2,ok=%b}' % line, b'{map={a=1},set={b=true}}', b'{double=1.5,map={a=1}}')


def short(words):
    """A text for a table's key. Of longer ones than these Redis's Lua hashes every byte, so that they come in another order (differences.py)."""
    return text(words.value()[:31])


def pairs(words, depth):
    """For a map. Keys are texts and numbers, so that the order is Lua's alone."""
    return b','.join(b'[%b]=%b' % (words.pick(short(words), b'%d' % words.below(9), b"'a'", b"'b'", b'true', b'1.5'), value(words, depth - 1)) for _ in range(words.below(5)))


def members(words):
    return b','.join(b'[%b]=%b' % (words.pick(short(words), b'%d' % words.below(9), b"'a'", b"'b'", b'false'), words.pick(b'true', b'true', b'1', b'false', b"'x'"))
                     for _ in range(words.below(5)))


def value(words, depth=3):
    """What a script may return."""
    if depth <= 0 or words.chance(0.45):
        return scalar(words)
    if words.chance(0.35):
        return reply_table(words, depth)
    if words.chance(0.08):
        return words.pick(b'function() end', b'coroutine.create(function() end)', b'redis', b'string', b'KEYS', b'ARGV', b'cjson.null', b'{{{{}}}}', b'{nil}', b'{[2]=2}', b'{[0]=0,1}',
                          b"setmetatable({},{__index=function(t,i) if i<4 then return i end end})", b'{n=1,a=2}')
    return b'{%b}' % b','.join(value(words, depth - 1) for _ in range(words.below(6)))


def plain(words, depth=3):
    """A value for the libraries that write values down: no functions, and tables that are arrays or maps of texts."""
    draw = words.below(10)
    if depth <= 0 or draw < 4:
        return words.pick(b'true', b'false', text(words.value()), text(words.bytes(words.below(40))), b'%d' % words.between(-100000, 100000), words.pick(b'0.5', b'-1.25', b'1e10', b'2^40', b'-2^31', b'2^31',
                          b'2^32', b'2^53', b'-2^53', b'1e300', b'255', b'256', b'65535', b'65536', b'-32', b'-33', b'-128', b'-129', b'-32768', b'-32769', b'127', b'128', b'0', b'3.14159', b'1e-7'), b'nil')
    if draw < 7:
        return b'{%b}' % b','.join(plain(words, depth - 1) for _ in range(words.pick(0, 1, 2, 3, 17)))
    return b'{%b}' % b','.join(b'[%b]=%b' % (words.pick(b"'a'", b"'b'", b"'c'", b"'key'", short(words)), plain(words, depth - 1)) for _ in range(words.below(5)))


# ------------------------------------------------------------------ commands

def argument(words, argument_bytes, arguments):
    """One argument of a call: a literal, a number, or one of ARGV, which `arguments` becomes."""
    draw = words.random.random()
    if draw < 0.2 and len(argument_bytes) < 10 and argument_bytes.isdigit() and not argument_bytes.startswith(b'0'):
        return argument_bytes
    if draw < 0.5:
        arguments.append(argument_bytes)
        return b'A[%d]' % len(arguments)
    return text(argument_bytes)


def call(words, request, keys, arguments, how=None):
    """redis.call or pcall of a request. Its first argument is often one of KEYS; others may be as well: whether a key is declared makes no
    difference to what comes back."""
    parts = [text(request[0])]
    for place, one in enumerate(make_safe(list(request))[1:], 1):
        if place == 1 and words.chance(0.6) and len(keys) < 6:
            keys.append(one)
            parts.append(b'K[%d]' % len(keys))
        elif place < 4 and one in keys and words.chance(0.8):
            parts.append(b'K[%d]' % (keys.index(one) + 1))
        else:
            parts.append(argument(words, one, arguments))
    how = how or words.pick(b'call', b'call', b'pcall')
    table = b'server' if how == b'valkey' else b'redis'
    return b'%b.%b(%b)' % (table, how, b','.join(parts))


# ------------------------------------------------------------------ libraries

JSON = [b'{}', b'[]', b'null', b'true', b'1', b'"a"', b'{"a":1,"b":[1,2,{"c":null}]}', b'[1,2.5,-3e2,"x"]', b'"\\u00e9\\ud83d\\ude00"', b'"\\ud800"', b'[1,]', b'{"a"}', b'{a:1}', b'nan', b'-inf', b'Infinity',
        b'0x10', b'01', b'1e999', b'-', b'"\x01"', b'"unterminated', b'[[[[[[]]]]]]', b'{"a":{"a":{"a":{}}}}', b' [ 1 , 2 ] ', b'[1] x', b'', b' ', b'\xff', b'"\\x"', b'12345678901234567890', b'[null,null]',
        b'{"1":1}', b'{"":""}', b'"\\/\\b\\f\\n\\r\\t"', b'tru', b'nul', b'{"a":1,"a":2}', b'\x00', b'[1\x00]']


def mangled(words, data):
    data = bytearray(data)
    for _ in range(words.below(3)):
        if data and words.chance(0.5):
            data[words.below(len(data))] = words.pick(words.below(256), 34, 44, 91, 93, 123, 125, 92, 48, 0)
        elif data and words.chance(0.5):
            del data[words.below(len(data))]
        else:
            data.insert(words.below(len(data) + 1), words.pick(words.below(256), 34, 44, 91, 93))
    return bytes(data)


def json(words):
    draw = words.below(6)
    if draw < 3:
        return b'return cjson.encode(%b)' % plain(words, 4)
    if draw < 5:
        return b'return D(cjson.decode(%b))' % text(mangled(words, words.one_of(JSON)))
    return words.pick(b'return D(cjson.decode(cjson.encode(%b)))' % plain(words), b'return cjson.encode(%b)' % value(words, 2), b'return D({pcall(cjson.decode,%b)})' % scalar(words),
                      b'return cjson.encode({[%b]=1})' % number(words), b'return cjson.encode({1,2,nil,4})', b'return cjson.encode({[1]=1,[%d]=2})' % words.between(2, 30),
                      b'local t={} local r=t for i=1,%d do t[1]={} t=t[1] end return #cjson.encode(r)' % words.pick(10, 999, 1000, 1001, 1100),
                      b"return D(cjson.decode(string.rep('[',%d)..string.rep(']',%d)))" % ((words.pick(5, 999, 1000, 1001, 1100),) * 2),
                      b'local t={} t.t=t return cjson.encode(t)', json_settings(words), b"return cjson.decode('[]')==nil", b'return {cjson._NAME,cjson._VERSION,type(cjson.new)}',
                      b"return tostring(cjson.null)")


def json_settings(words):
    """What cjson is set to, and back: Redis keeps it, a run here begins with what it was at first."""
    name, first, tried = words.pick((b'encode_max_depth', b'1000', words.pick(b'1', b'2', b'3', b'0')), (b'decode_max_depth', b'1000', words.pick(b'1', b'2', b'3', b'0')),
                                    (b'encode_number_precision', b'14', words.pick(b'1', b'3', b'14', b'0', b'15', b'17')), (b'encode_invalid_numbers', b'false', words.pick(b'true', b"'null'", b"'on'")),
                                    (b'decode_invalid_numbers', b'true', words.pick(b'false', b"'off'", b"'on'")), (b'encode_sparse_array', b'false,2,10', words.pick(b'true', b'true,1,2', b'false,0,0', b'-1')),
                                    (b'encode_keep_buffer', b'true', words.pick(b'false', b"'on'")))
    use = words.pick(b'cjson.encode(%b)' % plain(words, 3), b'cjson.encode({0/0,1})', b'cjson.encode(1/3)', b'cjson.encode({[1]=1,[%d]=2})' % words.between(2, 40),
                     b"D(cjson.decode('[[[[1]]]]'))", b"D(cjson.decode('[nan,0x10,1e5]'))", b'cjson.encode({{{{}}}})')
    return b'local a={pcall(cjson.%b,%b)} local r={pcall(function() return %b end)} cjson.%b(%b) return {D(a),r}' % (name, tried, use, name, first)


def message_pack(words):
    draw = words.below(6)
    if draw < 2:
        return b'return cmsgpack.pack(%b)' % b','.join(plain(words, 4) for _ in range(words.pick(1, 1, 1, 2, 3)))
    if draw < 4:
        return b'return D({cmsgpack.unpack(%b)})' % text(words.bytes(words.below(24)) if words.chance(0.3) else packed(words))
    return words.pick(b'return D({cmsgpack.unpack(cmsgpack.pack(%b))})' % plain(words), b'return cmsgpack.pack()', b'return D({cmsgpack.unpack_one(%b,%b)})' % (text(packed(words)), b'%d' % words.between(-1, 4)),
                      b'return D({cmsgpack.unpack_limit(%b,%d,%d)})' % (text(packed(words) + packed(words)), words.between(-1, 3), words.between(-1, 3)),
                      b'return cmsgpack.pack(%b)' % number(words), b'return cmsgpack.pack(%b)' % value(words, 1), b'local t={} t[1]=t return #cmsgpack.pack(t)',
                      b'return D({pcall(cmsgpack.unpack,%b)})' % scalar(words), b'return {cmsgpack._NAME,cmsgpack._VERSION,cmsgpack._COPYRIGHT,cmsgpack._DESCRIPTION}',
                      b"local a={} for i=1,%d do a[i]=i end return cmsgpack.pack(a)" % words.pick(15, 16, 17, 65535, 65536), b"return #cmsgpack.pack(string.rep('x',%d))" % words.pick(31, 32, 255, 256, 65535, 65536))


def packed(words):
    """A message, by hand: one of each kind of head."""
    def one(depth):
        draw = words.below(16)
        if draw < 3:
            return bytes([words.pick(words.below(128), 0xe0 + words.below(32), 0xc0, 0xc2, 0xc3)])
        if draw < 6:
            size = words.below(5)
            return words.pick(bytes([0xa0 + size]), bytes([0xd9, size]), bytes([0xc4, size]), bytes([0xda, 0, size]), bytes([0xdb, 0, 0, 0, size]), bytes([0xc5, 0, size])) + words.bytes(size)
        if draw < 9:
            head, size = words.pick((0xcc, 1), (0xcd, 2), (0xce, 4), (0xcf, 8), (0xd0, 1), (0xd1, 2), (0xd2, 4), (0xd3, 8), (0xca, 4), (0xcb, 8), (0xd4, 2), (0xc1, 0))
            return bytes([head]) + words.bytes(size)
        size = words.below(3) if depth else 0
        if draw < 13:
            return words.pick(bytes([0x90 + size]), bytes([0xdc, 0, size]), bytes([0xdd, 0, 0, 0, size])) + b''.join(one(depth - 1) for _ in range(size))
        return words.pick(bytes([0x80 + size]), bytes([0xde, 0, size]), bytes([0xdf, 0, 0, 0, size])) + b''.join(b'\xa1' + bytes([97 + number_]) + one(depth - 1) for number_ in range(size))
    return mangled(words, one(3)) if words.chance(0.2) else one(3)


def struct(words):
    """Formats and what fits them, mostly."""
    letters, values = b'', []
    for _ in range(words.below(6)):
        letter = words.pick(b'b', b'B', b'h', b'H', b'l', b'L', b'i', b'I', b'i2', b'I3', b'i8', b'I4', b'f', b'd', b's', b'c3', b'c0', b'x', b'>', b'<', b'=', b'!', b'!4', b'!2', b' ', b'T')
        if letter == b'c0' and (b'f' in letters or b'd' in letters):
            letter = b'c3' # C doesn't say what becomes of a length beyond all integers
        letters += letter
        if letter[:1] in b'bBhHlLiIT':
            values.append(b'%d' % words.between(0 if letter[:1].isupper() else -100, 100))
        elif letter in (b'f', b'd'):
            values.append(words.pick(b'0.5', b'-2.25', b'1e10', b'0'))
        elif letter[:1] in b'sc':
            values.append(text(words.pick(b'abc', b'xyz12', b'', b'a\x00b', b'abcd')))
    if words.chance(0.1):
        letters += words.pick(b'z', b'i33', b'i0', b'!3', b'c', b'I16', b'!16', b'%', b'i99999999999')
    fmt = text(letters)
    return words.pick(b'return struct.pack(%b)' % b','.join([fmt] + values), b'return D({struct.unpack(%b,struct.pack(%b))})' % (fmt, b','.join([fmt] + values)),
                      b'return struct.size(%b)' % fmt, b'return D({struct.unpack(%b,%b)})' % (fmt, text(words.bytes(words.below(30)))),
                      b'return D({struct.unpack(%b,%b,%d)})' % (fmt, text(words.bytes(20)), words.between(-1, 22)), b'return struct.pack(%b)' % fmt)


def bits(words):
    def operand():
        return words.pick(b'0', b'1', b'-1', b'255', b'2^31', b'-2^31', b'2^32', b'2^32-1', b'1.5', b'2^40', b'-1.5', b'0x7fffffff', b"'12'", b'%d' % words.between(-10 ** 6, 10 ** 9))
    return b'return ' + words.pick(
        b'bit.%b(%b)' % (words.pick(b'tobit', b'bnot', b'bswap', b'tohex'), operand()), b'bit.%b(%b)' % (words.pick(b'band', b'bor', b'bxor'), b','.join(operand() for _ in range(words.between(1, 4)))),
        b'bit.%b(%b,%d)' % (words.pick(b'lshift', b'rshift', b'arshift', b'rol', b'ror'), operand(), words.between(-40, 40)), b'bit.tohex(%b,%d)' % (operand(), words.between(-10, 10)),
        b'bit.%b(%b)' % (words.pick(b'tobit', b'band', b'lshift', b'tohex', b'bnot'), words.pick(b'', b'nil', b"'x'", b'{}', b'true')), b'D(bit)')


PATTERN_PARTS = [b'a', b'b', b'.', b'%a', b'%d', b'%s', b'%w', b'%p', b'%c', b'%x', b'%u', b'%l', b'%z', b'%A', b'%D', b'%W', b'[ab]', b'[^a]', b'[a-c]', b'[%a_]', b'[]]', b'[^]]', b'[a-]', b'[', b']', b'%', b'%%',
                 b'(', b')', b'()', b'(a)', b'(.-)', b'%1', b'%2', b'%b()', b'%bxy', b'%b', b'%f[%a]', b'%f', b'^', b'$', b'*', b'+', b'-', b'?', b'a*', b'a-', b'a+', b'.-', b'x', b'%.', b'\x00']


def pattern(words):
    return text(b''.join(words.one_of(PATTERN_PARTS) for _ in range(words.between(0, 6))))


def subject(words):
    return text(words.pick(b'', b'a', b'abc', b'aaaa', b'hello world', b'key = value', b'(a(b)c)', b'x123y', b'aab', b'THE (quick) fox', b'a\x00b', b'  trim  ', b'xaybz', words.value()[:40]))


def strings(words):
    replacement = words.pick(text(words.pick(b'x', b'%0', b'%1', b'<%1>', b'%%', b'%2', b'%', b'', b'%9', b'%a')), b"{a='1',abc=2,b=false}", b'function(a,b) return b or a end', b'string.upper', b'7', b'nil', b'true',
                             b'function() return nil end', b'function() return {} end', b'function() return false end')
    index = b'%d' % words.between(-8, 8)
    return words.pick(
        b'return D({string.find(%b,%b)})' % (subject(words), pattern(words)), b'return D({string.find(%b,%b,%b,%b)})' % (subject(words), pattern(words), index, words.pick(b'true', b'false', b'nil')),
        b'return D({string.match(%b,%b,%b)})' % (subject(words), pattern(words), index), b'return D({string.gsub(%b,%b,%b)})' % (subject(words), pattern(words), replacement),
        b'return D({string.gsub(%b,%b,%b,%b)})' % (subject(words), pattern(words), replacement, index),
        b'local o={} for a,b in string.gmatch(%b,%b) do o[#o+1]={a,b} if #o>50 then break end end return D(o)' % (subject(words), pattern(words)),
        b'return string.format(%b)' % formatted(words), b'return string.format(%b)' % formatted(words), b'return D({string.byte(%b,%b,%b)})' % (subject(words), index, b'%d' % words.between(-8, 8)),
        b'return D({(%b):sub(%b,%d),(%b):rep(%d),(%b):reverse(),(%b):upper(),(%b):lower(),#%b})' % (subject(words), index, words.between(-8, 8), subject(words), words.between(-1, 5), subject(words),
                                                                                                  subject(words), subject(words), subject(words)),
        b'return string.char(%b)' % b','.join(b'%d' % words.pick(65, 0, 255, words.below(260), words.below(256)) for _ in range(words.below(4))),
        b'return D({tonumber(%b),tonumber(%b,%d)})' % (text(words.pick(words.integer(), words.float())), text(words.pick(b'ff', b'zz', b'10', b'-10', b'', b' 7 ', b'8')), words.pick(2, 8, 10, 16, 36, 1, 37)),
        b'return tostring(%b)' % number(words), b'return %b .. %b' % (subject(words), number(words)), b"return D({%b < %b, 'a' < 'b'})" % (subject(words), subject(words)))


def formatted(words):
    parts, values = b'', []
    for _ in range(words.between(1, 3)):
        kind = words.pick(b'd', b'i', b's', b's', b'q', b'f', b'g', b'e', b'x', b'X', b'o', b'u', b'c', b'%', b'G', b'E')
        flags = words.pick(b'', b'', b'-', b'0', b'+', b' ', b'#') + words.pick(b'', b'', b'5', b'12') + words.pick(b'', b'', b'.2', b'.0', b'.10')
        parts += words.pick(b'', b'<', b'a\x00b') + b'%' + (b'' if kind in b'%q' else flags) + kind
        if kind in b'dixXouc':
            values.append(b'%d' % words.between(0, 255))
        elif kind in b'fgeGE':
            values.append(words.pick(b'0.5', b'1e10', b'-2.25', b'0', b'1e-5', b'123456789', b'0.1', b'1/0'))
        elif kind in b'sq':
            values.append(words.pick(subject(words), b'%d' % words.below(100)))
    if words.chance(0.1):
        parts += words.pick(b'%', b'%y', b'%123d', b'%.123d', b'%d', b'%s', b'%-+ #05d', b'%-+ #0#5d', b'%p', b'%a', b'%n')
    return b','.join([text(parts)] + values)


def tables(words):
    items = b'{%b}' % b','.join(words.pick(b'%d' % words.below(20), b'%d' % words.below(20), b"'a'", b"'b'") if words.chance(0.8) else b'%d' % words.below(9) for _ in range(words.below(9)))
    numbers = b'{%b}' % b','.join(b'%d' % words.below(50) for _ in range(words.below(20)))
    index = b'%d' % words.between(-2, 8)
    return words.pick(
        b'return table.concat(%b,%b)' % (items, text(words.pick(b',', b'', b'--'))), b'return table.concat(%b,%b,%b,%d)' % (items, text(b','), index, words.between(-1, 10)),
        b'local t=%b table.insert(t,%b) return t' % (items, scalar(words)), b'local t=%b table.insert(t,%b,9) return D(t)' % (items, index), b'local t=%b return D({table.remove(t,%b),t})' % (items, index),
        b'local t=%b return D({table.remove(t),t,table.maxn(t),table.getn(t)})' % items, b'local t=%b table.sort(t) return t' % numbers, b'local t=%b table.sort(t,function(a,b) return a>b end) return t' % numbers,
        b'local t=%b table.sort(t) return t' % items, b'local n=0 table.foreach(%b,function(k,v) n=n+1 end) return n' % items, b'local n=0 table.foreachi(%b,function(i,v) n=n+i if n>20 then return n end end) return n' % items,
        b'return D({unpack(%b,%b,%d)})' % (items, index, words.between(-2, 12)), b'return D({select(%b,1,2,3)})' % words.pick(b"'#'", index), b'return table.concat(%b)' % value(words, 1),
        b'local o={} for i,v in ipairs(%b) do o[i]=v end return o' % items, b'return D({next(%b)})' % items, b'return table.setn({},1)', b'return D({rawequal(1,1),rawget({5},1),#%b})' % items,
        b'local t=%b rawset(t,1,2) return t' % items, b'return table.insert(%b)' % items, b'return table.insert(%b,1,2,3)' % items)


# ------------------------------------------------------------------ errors, sandbox

FAILURES = [b"error('%s')", b"error('%s',0)", b"error('%s',2)", b"error({err='%s'})", b"error({err='MY %s'})", b"error({err='-MY %s'})", b'error()', b'error(nil)', b'error(12)', b'error(true)', b'local x=nil x.y=1',
            b'local x=nil return x.y', b'return nosuch', b'nosuch=1', b'return 1+{}', b"return 'a'+1", b'return #nil', b'return nil..1', b'return {}<{}', b'return 1<\'a\'', b'local f=5 f()', b'redis.nosuch()',
            b'string.nosuch()', b"assert(false,'%s')", b'assert(false)', b'assert(nil,5)', b"return redis.error_reply('%s')", b"return redis.error_reply('MY %s')", b"return redis.error_reply('-MY %s')",
            b"return redis.status_reply('%s')", b"return {err='%s'}", b"return {ok='%s'}", b'local function f() return f() + 1 end return f()', b"for i='a',2 do end", b'for i=1,2,0 do break end return 1', b"return ('x')()",
            b'return setmetatable({},{__index=function() error(\'%s\') end}).a', b'return 1 +', b'return (', b'local x <const> = 1', b'goto a', b'x = = 1', b"return 'unfinished", b'return 1 return 2', b'}', b'break',
            b'return string.rep', b'return coroutine.yield(1)', b"return redis.call('incr')", b"return redis.pcall('incr')", b"return redis.pcall('nosuch','%s')", b"redis.call('nosuch','%s')",
            b'return redis.call()', b'return redis.pcall()', b'return redis.call(nil)', b'return redis.call({})', b"return redis.pcall('get',{})", b"return redis.call('get',true)", b"return redis.call('get',nil)",
            b'return redis.sha1hex()', b"return redis.sha1hex('%s')", b'return redis.sha1hex(5)', b'return redis.sha1hex(nil)', b'return redis.error_reply()', b'return redis.error_reply(5)', b"return redis.error_reply('')",
            b"return redis.error_reply('a','b')", b'return redis.status_reply(5)', b'redis.setresp()', b'redis.setresp(4)', b"redis.setresp('x')", b'redis.setresp(3)', b'redis.setresp(2.5)', b'return redis.setresp(1)',
            b'redis.log()', b"redis.log('x','y')", b"redis.log(9,'y')", b"redis.log(redis.LOG_DEBUG,'%s')", b"redis.log(redis.LOG_DEBUG,'a',5,nil,{})", b'redis.log(redis.LOG_DEBUG)', b'return redis.set_repl(99)',
            b'return redis.set_repl(redis.REPL_ALL)', b'return redis.set_repl(-1)', b'return redis.replicate_commands()', b'return redis.breakpoint()', b"return redis.debug('x')",
            b"return redis.acl_check_cmd('set','a','b')", b"return redis.acl_check_cmd('nosuch')", b'return redis.acl_check_cmd()', b"return redis.acl_check_cmd({})",
            b'return {redis.LOG_DEBUG,redis.LOG_VERBOSE,redis.LOG_NOTICE,redis.LOG_WARNING,redis.REPL_NONE,redis.REPL_AOF,redis.REPL_SLAVE,redis.REPL_REPLICA,redis.REPL_ALL}',
            b"return redis.register_function('f',function() end)", b'math.randomseed(7) return {math.random(1000),math.random(5,9)}', b'math.randomseed(-1) return {math.random(10),math.random(10),tostring(math.random())}',
            b'return {math.floor(3.7),math.ceil(3.2),math.max(1,5,2),math.min(3,1),math.abs(-4),math.fmod(7,3),math.sqrt(16),math.pow(2,10),math.huge}', b'return math.random(0)', b'return math.random(5,1)',
            b'return {7%%3,-7%%3,7%%-3,2^10,7/2,-7/2}', b"return {tostring(1e15),tostring(1e16),tostring(123456.789),tostring(-0),tostring(2^53),tostring(0.1)}", b'return type(os.clock())',
            b'return {pcall(error)}', b"return {pcall(error,'%s')}", b"return {pcall(error,{err='%s'})}", b"return {pcall(error,{code='%s'})}", b'return {pcall(nil)}',
            b"return {pcall(redis.call,'nosuch')}", b"return {pcall(redis.call,'incr')}", b"return {pcall(redis.call,'set','key:1')}", b"return {pcall(redis.pcall,'lpush','key:1')}",
            b"return {xpcall(function() error('%s') end,function(e) return 'handled '..tostring(e) end)}", b'return {xpcall(function() return 1,2 end,print)}', b'return {xpcall(nil,nil)}',
            b"local ok,e=pcall(redis.call,'lpush') return {ok and 1 or 0,type(e),e}", b"local r=redis.pcall('lpush') return {type(r),r.err,r.ok or 'none'}", b"local r=redis.pcall('lpush') error(r)",
            b"local r=redis.pcall('set','key:1') return r", b"local r=redis.pcall('nosuch') r.err='%s' return r", b"local ok,e=pcall(error,{err='%s'}) return e",
            b"local c=coroutine.wrap(function(a) local b=coroutine.yield(a+1) return b*2 end) return {c(1),c(5)}", b"local c=coroutine.create(function() error('%s') end) return {coroutine.resume(c)}",
            b"local c=coroutine.create(function() return redis.call('ping') end) return {coroutine.resume(c)}", b"local c=coroutine.wrap(function() error('%s') end) return c()",
            b'local c=coroutine.create(function() end) coroutine.resume(c) return {coroutine.resume(c)}', b'return {coroutine.status(coroutine.create(function() end)),coroutine.running() and 1 or 0}',
            b"local c=coroutine.wrap(function() redis.call('incr') end) return {pcall(c)}", b"return coroutine.resume(5)", b'return loadstring(\'return 1+1\')()', b"return {loadstring('return +')}", b"return {loadstring('x','=name')}",
            b"local n=0 return {load(function() n=n+1 return ({'return ','7'})[n] end)()}", b"return loadstring('return KEYS')()", b"return {pcall(loadstring('nosuch()'))}", b"return {pcall(loadstring('error(\"%s\")','@chunk'))}"]

ESCAPES = [b'_G.x=1', b'rawset(_G,\'x\',1)', b'setmetatable(_G,nil)', b'setmetatable(_G,{})', b'getmetatable(_G).__index=nil', b'getmetatable(_G).__newindex=nil', b'return type(getmetatable(_G))', b"getmetatable('').__index=nil",
           b"getmetatable('').x=1", b'string.rep=nil', b'table.insert(redis,1)', b'redis.call=nil', b"rawset(redis,'call',nil)", b'table.remove(redis)', b'table.sort(redis)', b"rawset(string,'rep',nil)", b'math.random=nil',
           b'cjson.encode=nil', b'cmsgpack.pack=nil', b'struct.pack=nil', b'bit.band=nil', b"setmetatable(string,{})", b'setmetatable(redis,nil)', b"return print and 1 or 0", b'print(1)', b'return loadfile(\'/etc/passwd\')',
           b"dofile('/etc/passwd')", b"require('os')", b'return io', b'return os.time()', b"os.execute('true')", b"return os.getenv('HOME')", b"os.exit(1)", b'return package', b'return module', b'return debug', b'return newproxy',
           b'return getfenv', b'setfenv(1,{})', b'return setfenv(function() end,{})', b'return type(getfenv)', b"return {type(loadstring),type(load),type(collectgarbage),type(gcinfo)}", b'return string.dump',
           b"local t=setmetatable({},{__metatable='locked'}) return getmetatable(t)", b"local t=setmetatable({},{__metatable='locked'}) return setmetatable(t,{})", b'return _G._G==_G', b'return rawget(_G,\'redis\')==redis',
           b'return rawequal(_G,_G._G)', b'return #_G', b'return next({})', b"return type(next(redis))", b'local o={} for k in pairs(redis) do o[#o+1]=k end table.sort(o) return o',
           b'local o={} for k in pairs(string) do o[#o+1]=k end table.sort(o) return o', b'local o={} for k in pairs(table) do o[#o+1]=k end table.sort(o) return o',
           b'local o={} for k in pairs(math) do o[#o+1]=k end table.sort(o) return o', b'local o={} for k in pairs(os) do o[#o+1]=k end table.sort(o) return o',
           b'local o={} for k in pairs(coroutine) do o[#o+1]=k end table.sort(o) return o', b'local o={} for k in pairs(cjson) do o[#o+1]=k end table.sort(o) return o',
           b'local o={} for k in pairs(cmsgpack) do o[#o+1]=k end table.sort(o) return o', b'local o={} for k in pairs(struct) do o[#o+1]=k end table.sort(o) return o',
           b'local o={} for k in pairs(bit) do o[#o+1]=k end table.sort(o) return o', b'local o={} for k in pairs(_G) do if k~="server" then o[#o+1]=k end end table.sort(o) return o', b'KEYS[1]=\'x\' return KEYS', b'ARGV={} return ARGV', b'KEYS=nil',
           b'local KEYS={} return KEYS', b'_VERSION=1', b'return _VERSION', b'function f() end', b'local function f() return 1 end return f()', b'return type(redis.call)', b'return collectgarbage(\'count\')>0', b'return gcinfo()>0',
           b"collectgarbage('nosuch')", b'return tostring(setmetatable({},{__tostring=function() return \'mine\' end}))', b"return setmetatable({},{__tostring=function() return 1 end})..''",
           b'local t=setmetatable({},{__newindex=function(t,k,v) rawset(t,k,v*2) end}) t.a=2 return t.a', b"local t=setmetatable({},{__call=function(self,a) return a end}) return t(5)", b"return ('x'):rep(3)",
           b"local t=setmetatable({},{__index=_G}) t.x=1 return t.x", b"local t=setmetatable({},{__index=_G}) return t.nosuch", b'redis.x=1', b'return string.gfind and 1 or 0', b'return math.mod and 1 or 0',
           b'return table.getn({1,2})', b'return unpack({1,2,3})', b'return ipairs(redis)', b'return {pcall(pairs)}', b'return {pcall(next,{},\'nokey\')}', b'return {pcall(setmetatable,1,{})}', b"return {pcall(rawset,redis,'a',1)}",
           b'return {pcall(ipairs)}', b'return {pcall(tostring)}', b'return {pcall(tonumber)}', b'return {pcall(type)}', b'return {pcall(unpack,{},1,1e8)}', b"return {pcall(string.rep)}"]


def failure(words):
    body = words.one_of(FAILURES if words.chance(0.6) else ESCAPES)
    body = body.replace(b'%%', b'%').replace(b'%s', words.pick(b'boom', b'two words', b'', b'CODE text', b'-x', b'line\\r\\nend', b'\\000', b'%d' % words.below(100)))
    draw = words.below(10)
    if draw < 5:
        return body
    if draw < 7:
        return b'return {pcall(function() %b end)}' % body
    if draw < 8:
        return b'local r={pcall(function() %b end)} return {#r,r[1],type(r[2])}' % body
    if draw < 9:
        return b'\n\nlocal function inner()\n%b\nend\nreturn inner()' % body
    return b"if #KEYS>=0 then redis.call('set','script:mark','%d') end %b" % (words.below(1000), body)
