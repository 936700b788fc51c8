/* What takes elements out of lists, one by one or to put them into another list, and the same commands as
 * they wait for an element to be there (BLPOP). */
#include <stdlib.h>
#include <string.h>

#include "shard/value/list.h"
#include "server/command/command.h"
#include "server/commands/shared/pops.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/work.h"

/* Replies `count` elements from an end, in the order in which they are taken, and takes them. */
static void take(struct opened *opened, bool is_front, uint64_t count, struct reply *reply) {
    uint64_t size = list_count(opened->value);
    list_each(opened->value, is_front ? 0 : size - 1, count, !is_front, reply_each, reply);
    list_remove(&opened->value, is_front ? 0 : size - count, count);
    value_close(opened, count, is_front ? EVENT_LPOP : EVENT_RPOP);
}

static void pop(struct write_scope *scope, const struct call *call, bool is_front, struct reply *reply) {
    struct opened opened;
    int64_t count = 1;
    bool has_count = call->count == 3;
    if (call->count > 3) {
        reply_error_format(reply, "ERR wrong number of arguments for '%s' command", call->command->full_name);
        return;
    }
    if (has_count &&
        !argument_integer_within(&call->arguments[2], 0, INT64_MAX, &count, reply, ERROR_NOT_POSITIVE))
        return;
    if (!value_open(scope, &call->keys[0], TYPE_LIST, &opened, reply)) return;
    uint64_t size = opened.value == NULL ? 0 : list_count(opened.value);
    if (size == 0 || count == 0) {
        value_close(&opened, false, EVENT_LPOP);
        if (size > 0)
            reply_array(reply, 0);
        else if (has_count)
            reply_null_array(reply);
        else
            reply_null(reply);
        return;
    }
    uint64_t taken = (uint64_t)count < size ? (uint64_t)count : size;
    if (has_count) reply_array(reply, taken);
    take(&opened, is_front, taken, reply);
}

static void command_lpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop(scope, call, true, reply);
}

static void command_rpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop(scope, call, false, reply);
}

/* ------------------------------------------------------------------ from several keys */

/* Takes up to `count` elements of a list and replies [key, element], or with has_count [key, [element,
 * ...]]. */
static enum popped pop_list(struct write_scope *scope, const struct key *key, bool is_front, uint64_t count,
                            bool has_count, struct reply *reply) {
    struct opened opened;
    if (!value_open(scope, key, TYPE_LIST, &opened, reply)) return POP_REFUSED;
    uint64_t size = opened.value == NULL ? 0 : list_count(opened.value);
    if (size == 0) {
        value_close(&opened, false, EVENT_LPOP);
        return POP_EMPTY;
    }
    reply_array(reply, 2);
    reply_bulk(reply, key->data, key->length);
    if (size < count) count = size;
    if (has_count) reply_array(reply, count);
    take(&opened, is_front, count, reply);
    return POP_DONE;
}

static void command_blpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop_or_wait(scope, call, TYPE_LIST, pop_list, true, reply);
}

static void command_brpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop_or_wait(scope, call, TYPE_LIST, pop_list, false, reply);
}

static const char *const ends[] = {"LEFT", "RIGHT"};

static void command_lmpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    mpop(scope, call, pop_list, ends, reply);
}

static void command_blmpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    mpop_or_wait(scope, call, TYPE_LIST, pop_list, ends, reply);
}

/* ------------------------------------------------------------------ from one list to another */

static bool copy_visited(void *context, const struct packed_text *text) {
    struct text *copy = context;
    char *bytes = malloc(text->length + 1);
    if (bytes != NULL && text->length > 0) memcpy(bytes, text->data, text->length);
    copy->data = bytes;
    copy->length = text->length;
    return false;
}

/* Moves an element from one list's end to another's, and replies it. The element is pushed first: if there is
 * no memory for that, it hasn't left its list. Where both are one list, it is pushed at one end before it
 * leaves the other. */
static enum popped move_element(struct write_scope *scope, const struct key *from, const struct key *to,
                                bool from_front, bool to_front, struct reply *reply) {
    const void *source, *destination;
    if (!value_peek(scope, from, TYPE_LIST, &source, reply)) return POP_REFUSED;
    if (source == NULL) return POP_EMPTY;
    if (!value_peek(scope, to, TYPE_LIST, &destination, reply)) return POP_REFUSED;
    struct text text = {NULL, 0};
    struct opened opened;
    uint64_t size = list_count(source);
    list_each(source, from_front ? 0 : size - 1, 1, false, copy_visited, &text);
    bool is_done = text.data != NULL && value_open(scope, to, TYPE_LIST, &opened, reply);
    if (is_done) {
        if (opened.value == NULL) opened.value = list_create();
        is_done = opened.value != NULL;
        if (is_done) list_expect(&opened.value, text.length, 1);
        is_done = is_done && list_push(&opened.value, to_front, text);
        is_done = value_close(&opened, is_done, to_front ? EVENT_LPUSH : EVENT_RPUSH) && is_done;
    }
    if (is_done && value_open(scope, from, TYPE_LIST, &opened, reply)) {
        /* If both are one list, the element stands at an end whose index may have moved by one. */
        bool is_same = list_count(opened.value) > size;
        uint64_t index = from_front ? (is_same && to_front) : size - 1 + (is_same && to_front);
        list_remove(&opened.value, index, 1);
        value_close(&opened, true, from_front ? EVENT_LPOP : EVENT_RPOP);
        scope_count_more(scope, -1);
    }
    if (is_done)
        reply_bulk(reply, text.data, text.length);
    else
        reply_error(reply, ERROR_NO_MEMORY);
    free((char *)(uintptr_t)text.data);
    return is_done ? POP_DONE : POP_REFUSED;
}

static bool end_parse(const struct bulk *argument, bool *is_front, struct reply *reply) {
    *is_front = argument_is(argument, "LEFT");
    if (*is_front || argument_is(argument, "RIGHT")) return true;
    reply_error(reply, ERROR_SYNTAX);
    return false;
}

static void command_lmove(struct write_scope *scope, const struct call *call, struct reply *reply) {
    bool from_front, to_front;
    if (!end_parse(&call->arguments[3], &from_front, reply) ||
        !end_parse(&call->arguments[4], &to_front, reply))
        return;
    if (move_element(scope, &call->keys[0], &call->keys[1], from_front, to_front, reply) == POP_EMPTY)
        reply_null(reply);
}

static void command_rpoplpush(struct write_scope *scope, const struct call *call, struct reply *reply) {
    if (move_element(scope, &call->keys[0], &call->keys[1], false, true, reply) == POP_EMPTY)
        reply_null(reply);
}

static void move_or_wait(struct write_scope *scope, const struct call *call, bool from_front, bool to_front,
                         struct reply *reply) {
    int64_t timeout;
    if (!timeout_parse(&call->arguments[call->count - 1], call->now, &timeout, reply)) return;
    if (move_element(scope, &call->keys[0], &call->keys[1], from_front, to_front, reply) != POP_EMPTY) return;
    if (call->block == NULL)
        reply_null(reply); /* where time being up is a null array, as in Redis */
    else
        wait_or_reply(call, TYPE_LIST, timeout, 1, reply);
}

static void command_blmove(struct write_scope *scope, const struct call *call, struct reply *reply) {
    bool from_front, to_front;
    if (end_parse(&call->arguments[3], &from_front, reply) &&
        end_parse(&call->arguments[4], &to_front, reply))
        move_or_wait(scope, call, from_front, to_front, reply);
}

static void command_brpoplpush(struct write_scope *scope, const struct call *call, struct reply *reply) {
    move_or_wait(scope, call, false, true, reply);
}

/* ------------------------------------------------------------------ rows */

const struct command list_pops_commands[] = {
    {.name = "rpop",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_count,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}},
     .write = command_rpop,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Takes elements from the end of a list",
     .syntax = "key:key#0 [count:integer@6.2.0]",
     .history = "6.2.0:count"},
    {.name = "lpop",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_count,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}},
     .write = command_lpop,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Takes elements from the front of a list",
     .syntax = "key:key#0 [count:integer@6.2.0]",
     .history = "6.2.0:count"},
    {.name = "rpoplpush",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}, {KEY_RW | KEY_INSERT, 2, 0, 1}},
     .write = command_rpoplpush,
     .categories = "list",
     .since = "1.2.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Moves an element from the end of a list to the front of another",
     .syntax = "source:key#0 destination:key#1",
     .deprecated = "6.2.0:`LMOVE` with the `RIGHT` and `LEFT` arguments"},
    {.name = "lmove",
     .arity = 5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}, {KEY_RW | KEY_INSERT, 2, 0, 1}},
     .write = command_lmove,
     .categories = "list",
     .since = "6.2.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Moves an element from one end of a list to an end of another",
     .syntax = "source:key#0 destination:key#1 wherefrom:oneof(left=LEFT right=RIGHT) "
               "whereto:oneof(left=LEFT right=RIGHT)"},
    {.name = "lmpop",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .work = work_of_last_count,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .is_keynum = true}},
     .write = command_lmpop,
     .categories = "list",
     .since = "7.0.0",
     .group = "list",
     .complexity = "O(N+M)",
     .summary = "Takes elements from the first of several lists that has some",
     .syntax = "numkeys:integer key:key#0... where:oneof(left=LEFT right=RIGHT) "
               "[count:integer=COUNT]"},
    {.name = "blpop",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_NOSCRIPT | COMMAND_BLOCKING | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, -2, 1}},
     .write = command_blpop,
     .categories = "list",
     .since = "2.0.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Takes an element from the front of a list, or waits for one",
     .syntax = "key:key#0... timeout:double",
     .history = "6.0.0:timeout"},
    {.name = "brpop",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_NOSCRIPT | COMMAND_BLOCKING | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, -2, 1}},
     .write = command_brpop,
     .categories = "list",
     .since = "2.0.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Takes an element from the end of a list, or waits for one",
     .syntax = "key:key#0... timeout:double",
     .history = "6.0.0:timeout"},
    {.name = "blmove",
     .arity = 6,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_NOSCRIPT | COMMAND_BLOCKING | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}, {KEY_RW | KEY_INSERT, 2, 0, 1}},
     .write = command_blmove,
     .categories = "list",
     .since = "6.2.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Moves an element from list to list, or waits for one",
     .syntax = "source:key#0 destination:key#1 wherefrom:oneof(left=LEFT right=RIGHT) "
               "whereto:oneof(left=LEFT right=RIGHT) timeout:double"},
    {.name = "brpoplpush",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_NOSCRIPT | COMMAND_BLOCKING | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}, {KEY_RW | KEY_INSERT, 2, 0, 1}},
     .write = command_brpoplpush,
     .categories = "list",
     .since = "2.2.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Moves an element from the end of a list to the front of another, or waits for one",
     .syntax = "source:key#0 destination:key#1 timeout:double",
     .history = "6.0.0:timeout",
     .deprecated = "6.2.0:`BLMOVE` with the `RIGHT` and `LEFT` arguments"},
    {.name = "blmpop",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_BLOCKING | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 2, .step = 1, .is_keynum = true}},
     .write = command_blmpop,
     .categories = "list",
     .since = "7.0.0",
     .group = "list",
     .complexity = "O(N+M)",
     .summary = "Takes elements from the first of several lists that has some, or waits for one",
     .syntax = "timeout:double numkeys:integer key:key#0... where:oneof(left=LEFT right=RIGHT) "
               "[count:integer=COUNT]"},
    {.name = NULL},
};
