/* The rows of commands about places. command.h tells what a row is. */
#include "commands.h"
#include "room.h"
#include "rows.h"

struct command geo_rows[] = {
    {.name = "geoadd",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_geoadd,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(log(N))",
     .summary = "Adds places, or moves them",
     .syntax = "key:key#0 [condition:oneof@6.2.0(nx=NX xx=XX)] [change=CH@6.2.0] "
               "longitude_latitude_member:block(longitude:double latitude:double member:string)...",
     .history = "6.2.0:CH, NX and XX"},
    {.name = "geodist",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_geodist,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(log(N))",
     .summary = "Tells how far two places are from each other",
     .syntax = "key:key#0 member1:string member2:string [unit:oneof(m=M km=KM ft=FT mi=MI)]"},
    {.name = "geohash",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_geohash,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(log(N))",
     .summary = "Tells the standard geohash texts of places",
     .syntax = "key:key#0 [member:string...]"},
    {.name = "geopos",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_geopos,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(N)",
     .summary = "Tells longitude and latitude of places",
     .syntax = "key:key#0 [member:string...]"},
    {.name = "georadius",
     .arity = -6,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys =
         {{KEY_RO | KEY_ACCESS, 1, 0, 1},
          {.flags = KEY_OW | KEY_UPDATE, .first = 6, .keyword = "STORE", .last = 0, .step = 1},
          {.flags = KEY_OW | KEY_UPDATE, .first = 6, .keyword = "STOREDIST", .last = 0, .step = 1}},
     .write = command_georadius,
     .room = room_for_first,
     .find_keys = georadius_find_keys,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places within a distance from a point, and may keep them",
     .syntax = "key:key#0 longitude:double latitude:double radius:double unit:oneof(m=M km=KM "
               "ft=FT mi=MI) [withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
               "[count:block(count:integer=COUNT [any=ANY@6.2.0])] [order:oneof(asc=ASC "
               "desc=DESC)] [key:key#1=STORE] [key:key#2=STOREDIST]",
     .history = "6.2.0:ANY;7.0.0:units in upper case",
     .deprecated = "6.2.0:`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"},
    {.name = "georadius_ro",
     .arity = -6,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_georadius_ro,
     .categories = "geo",
     .since = "3.2.10",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places within a distance from a point",
     .syntax = "key:key#0 longitude:double latitude:double radius:double unit:oneof(m=M km=KM "
               "ft=FT mi=MI) [withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
               "[count:block(count:integer=COUNT [any=ANY@6.2.0])] [order:oneof(asc=ASC "
               "desc=DESC)]",
     .history = "6.2.0:ANY",
     .deprecated = "6.2.0:`GEOSEARCH` with the `BYRADIUS` argument"},
    {.name = "georadiusbymember",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys =
         {{KEY_RO | KEY_ACCESS, 1, 0, 1},
          {.flags = KEY_OW | KEY_UPDATE, .first = 5, .keyword = "STORE", .last = 0, .step = 1},
          {.flags = KEY_OW | KEY_UPDATE, .first = 5, .keyword = "STOREDIST", .last = 0, .step = 1}},
     .write = command_georadiusbymember,
     .room = room_for_first,
     .find_keys = georadius_find_keys,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places within a distance from another one, and may keep them",
     .syntax = "key:key#0 member:string radius:double unit:oneof(m=M km=KM ft=FT mi=MI) "
               "[withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
               "[count:block(count:integer=COUNT [any=ANY])] [order:oneof(asc=ASC desc=DESC)] "
               "[key:key#1=STORE] [key:key#2=STOREDIST]",
     .history = "7.0.0:units in upper case",
     .deprecated =
         "6.2.0:`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"},
    {.name = "georadiusbymember_ro",
     .arity = -5,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_georadiusbymember_ro,
     .categories = "geo",
     .since = "3.2.10",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places within a distance from another one",
     .syntax = "key:key#0 member:string radius:double unit:oneof(m=M km=KM ft=FT mi=MI) "
               "[withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
               "[count:block(count:integer=COUNT [any=ANY])] [order:oneof(asc=ASC desc=DESC)]",
     .deprecated = "6.2.0:`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"},
    {.name = "geosearch",
     .arity = -7,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_geosearch,
     .categories = "geo",
     .since = "6.2.0",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places in a circle or a box",
     .syntax = "key:key#0 from:oneof(member:string=FROMMEMBER "
               "longitude_latitude:block=FROMLONLAT(longitude:double latitude:double)) "
               "by:oneof(circle:block(radius:double=BYRADIUS unit:oneof(m=M km=KM ft=FT mi=MI)) "
               "box:block(width:double=BYBOX height:double unit:oneof(m=M km=KM ft=FT mi=MI))) "
               "[order:oneof(asc=ASC desc=DESC)] [count:block(count:integer=COUNT [any=ANY])] "
               "[withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH]",
     .history = "7.0.0:units in upper case"},
    {.name = "geosearchstore",
     .arity = -8,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1}, {KEY_RO | KEY_ACCESS, 2, 0, 1}},
     .write = command_geosearchstore,
     .room = room_for_second,
     .categories = "geo",
     .since = "6.2.0",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Keeps the places in a circle or a box",
     .syntax = "destination:key#0 source:key#1 from:oneof(member:string=FROMMEMBER "
               "longitude_latitude:block=FROMLONLAT(longitude:double latitude:double)) "
               "by:oneof(circle:block(radius:double=BYRADIUS unit:oneof(m=M km=KM ft=FT mi=MI)) "
               "box:block(width:double=BYBOX height:double unit:oneof(m=M km=KM ft=FT mi=MI))) "
               "[order:oneof(asc=ASC desc=DESC)] [count:block(count:integer=COUNT [any=ANY])] "
               "[storedist=STOREDIST]",
     .history = "7.0.0:units in upper case"},
    {.name = NULL},
};
