"""The families of commands, one file each, as one table: a new collection type is a new file and a row here.

A family is a list of (weight, function). The function takes the Words of the seed and returns one of
    a list of bytes            one command
    an Action                  something that takes more than one command to ask (see actions.py)
    a list of these lists      several commands in this order
"""

from . import bits, connection, functions, geo, hashes, hyperloglog, keys, lists, scripts, server, sets, sort, sorted_sets, streams, strings, transactions

FAMILIES = {
    'strings': (40, strings.COMMANDS),
    'bits': (14, bits.COMMANDS),
    'keys': (30, keys.COMMANDS),
    'hashes': (20, hashes.COMMANDS),
    'lists': (20, lists.COMMANDS),
    'sets': (20, sets.COMMANDS),
    'sorted_sets': (25, sorted_sets.COMMANDS),
    'streams': (25, streams.COMMANDS),
    'sort': (8, sort.COMMANDS),
    'geo': (15, geo.COMMANDS),
    'hyperloglog': (8, hyperloglog.COMMANDS),
    'connection': (8, connection.COMMANDS),
    'server': (8, server.COMMANDS),
    'transactions': (10, transactions.COMMANDS),
    'scripts': (40, scripts.COMMANDS),
    'functions': (12, functions.COMMANDS),
}
