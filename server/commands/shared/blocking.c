/* Commands that wait: BLPOP and its like. Each takes what is there, like the command it is named after, or
 * says what it would wait for.
 *
 * When a key is filled later, the command is run again for that key alone (blocking.h): so it works through
 * call->keys, and not through its arguments. */
#include <math.h>

#include "shard/base/number.h"
#include "server/command/command.h"
#include "pops.h"

/* Seconds, with fractions, in milliseconds; 0 is for ever. Replies what is wrong and returns false. */
static bool timeout_parse(const struct bulk *argument, int64_t now, int64_t *timeout, struct reply *reply) {
    long double seconds;
    int64_t end;
    const char *error = NULL;
    if (!number_parse_long_double(argument->data, argument->length, &seconds) || isnan(seconds))
        error = "ERR timeout is not a float or out of range";
    else if (seconds > (long double)INT64_MAX / 1000)
        error = "ERR timeout is out of range";
    else if (seconds < 0)
        error = "ERR timeout is negative";
    if (error == NULL) {
        *timeout = (int64_t)ceill(seconds * 1000);
        if (__builtin_add_overflow(*timeout, now, &end)) error = "ERR timeout is out of range";
    }
    if (error != NULL) reply_error(reply, error);
    return error == NULL;
}

/* What is left to do when nothing was there. */
static void wait_or_reply(const struct call *call, enum type type, int64_t timeout, uint32_t keys,
                          struct reply *reply) {
    if (call->block == NULL)
        reply_null_array(reply);
    else
        *call->block = (struct block){.wants = true, .type = type, .timeout = timeout, .key_count = keys};
}

typedef enum popped pop_function(struct write_scope *scope, const struct key *key, bool is_first,
                                 uint64_t count, bool is_many, struct reply *reply);

/* From the first key that has something. Returns false if none has; true if there is a reply. */
static bool pop_any(struct write_scope *scope, const struct call *call, pop_function *pop, bool is_first,
                    uint64_t count, bool is_many, struct reply *reply) {
    for (uint32_t i = 0; i < call->key_count; i++)
        if (pop(scope, &call->keys[i], is_first, count, is_many, reply) != POP_EMPTY) return true;
    return false;
}

static void pop_or_wait(struct write_scope *scope, const struct call *call, enum type type, pop_function *pop,
                        bool is_first, struct reply *reply) {
    int64_t timeout;
    if (!timeout_parse(&call->arguments[call->count - 1], call->now, &timeout, reply)) return;
    if (!pop_any(scope, call, pop, is_first, 1, false, reply)) wait_or_reply(call, type, timeout, 0, reply);
}

static void command_blpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop_or_wait(scope, call, TYPE_LIST, pop_list, true, reply);
}

static void command_brpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop_or_wait(scope, call, TYPE_LIST, pop_list, false, reply);
}

static void command_bzpopmin(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop_or_wait(scope, call, TYPE_ZSET, pop_sorted, true, reply);
}

static void command_bzpopmax(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop_or_wait(scope, call, TYPE_ZSET, pop_sorted, false, reply);
}

static void mpop_or_wait(struct write_scope *scope, const struct call *call, enum type type,
                         pop_function *pop, const char *const ends[2], struct reply *reply) {
    int64_t timeout;
    struct mpop mpop;
    if (!mpop_parse(call, 2, ends, &mpop, reply) ||
        !timeout_parse(&call->arguments[1], call->now, &timeout, reply))
        return;
    if (!pop_any(scope, call, pop, mpop.is_first, mpop.count, true, reply))
        wait_or_reply(call, type, timeout, 0, reply);
}

static void command_blmpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    static const char *const ends[] = {"LEFT", "RIGHT"};
    mpop_or_wait(scope, call, TYPE_LIST, pop_list, ends, reply);
}

static void command_bzmpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    static const char *const ends[] = {"MIN", "MAX"};
    mpop_or_wait(scope, call, TYPE_ZSET, pop_sorted, ends, reply);
}

static void move_or_wait(struct write_scope *scope, const struct call *call, bool from_front, bool to_front,
                         struct reply *reply) {
    int64_t timeout;
    if (!timeout_parse(&call->arguments[call->count - 1], call->now, &timeout, reply)) return;
    if (move_element(scope, &call->keys[0], &call->keys[1], from_front, to_front, reply) == POP_EMPTY)
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

const struct command blocking_commands[] = {
    {.name = "bzpopmin",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_NOSCRIPT | COMMAND_BLOCKING | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, -2, 1}},
     .write = command_bzpopmin,
     .categories = "sortedset",
     .since = "5.0.0",
     .group = "sorted-set",
     .complexity = "O(log(N))",
     .summary = "Takes out the member with the lowest score, or waits for one",
     .syntax = "key:key#0... timeout:double",
     .history = "6.0.0:timeout"},
    {.name = "bzpopmax",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_NOSCRIPT | COMMAND_BLOCKING | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, -2, 1}},
     .write = command_bzpopmax,
     .categories = "sortedset",
     .since = "5.0.0",
     .group = "sorted-set",
     .complexity = "O(log(N))",
     .summary = "Takes out the member with the highest score, or waits for one",
     .syntax = "key:key#0... timeout:double",
     .history = "6.0.0:timeout"},
    {.name = "bzmpop",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_BLOCKING | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 2, .step = 1, .is_keynum = true}},
     .write = command_bzmpop,
     .categories = "sortedset",
     .since = "7.0.0",
     .group = "sorted-set",
     .complexity = "O(K) + O(M*log(N))",
     .summary = "Takes members out of the first of several sorted sets that has some, or waits for "
                "one",
     .syntax = "timeout:double numkeys:integer key:key#0... where:oneof(min=MIN max=MAX) "
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
