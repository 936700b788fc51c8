/* What a write is going to need beside its arguments, judged by its operands while their shards are held. A
 * row names one of these functions (command->room). */
#ifndef SERVER_COMMANDS_SHARED_ROOM_H
#define SERVER_COMMANDS_SHARED_ROOM_H

#include "server/command/command.h"

room_function
    /* as much as the first key's value takes, if there is a second to put it at: COPY, SORT ... STORE */
    room_for_first,
    room_for_second,  /* as the second's: what is derived from it goes to the first */
    room_for_least,   /* as the smallest of all but the first: an intersection */
    room_for_sum,     /* as all but the first: a union */
    room_for_longest, /* a string as long as the longest of all but the first */
    room_for_append, room_for_setrange, room_for_setbit;

#endif
