/* What takes members with the lowest or highest scores out of sorted sets, and the same commands as they wait
 * for a member to be there (BZPOPMIN). */
#include "shard/value/sorted.h"
#include "server/command/command.h"
#include "server/commands/shared/pops.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/work.h"

struct taking {
    struct reply *reply;
    bool has_pairs; /* pairs of their own, or one flat row */
};

static bool reply_popped(void *context, const struct packed_text *member, double score) {
    const struct taking *taking = context;
    if (taking->has_pairs) reply_array(taking->reply, 2);
    reply_element(taking->reply, member);
    reply_double(taking->reply, score);
    return true;
}

static void take(struct opened *opened, bool is_lowest, uint64_t count, bool has_pairs, struct reply *reply) {
    struct taking taking = {.reply = reply, .has_pairs = has_pairs};
    uint64_t size = sorted_count(opened->value);
    sorted_each(opened->value, is_lowest ? 0 : size - 1, count, !is_lowest, reply_popped, &taking);
    sorted_remove_range(&opened->value, is_lowest ? 0 : size - count, count);
    value_close(opened, count, is_lowest ? EVENT_ZPOPMIN : EVENT_ZPOPMAX);
}

static void pop(struct write_scope *scope, const struct call *call, bool is_lowest, struct reply *reply) {
    struct opened opened;
    int64_t count = 1;
    bool has_count = call->count == 3, has_pairs = has_count && reply->protocol == 3;
    if (call->count > 3) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (has_count &&
        !argument_integer_within(&call->arguments[2], 0, INT64_MAX, &count, reply, ERROR_NOT_POSITIVE))
        return;
    if (!value_open(scope, &call->keys[0], TYPE_ZSET, &opened, reply)) return;
    uint64_t size = opened.value == NULL ? 0 : sorted_count(opened.value),
             taken = (uint64_t)count < size ? (uint64_t)count : size;
    reply_array(reply, has_pairs ? taken : taken * 2);
    if (taken > 0)
        take(&opened, is_lowest, taken, has_pairs, reply);
    else
        value_close(&opened, false, EVENT_ZPOPMIN);
}

static void command_zpopmin(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop(scope, call, true, reply);
}

static void command_zpopmax(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop(scope, call, false, reply);
}

/* ------------------------------------------------------------------ from several keys */

/* Takes up to `count` members and replies [key, member, score], or with has_pairs [key, [[member, score],
 * ...]]. */
static enum popped pop_sorted(struct write_scope *scope, const struct key *key, bool is_lowest,
                              uint64_t count, bool has_pairs, struct reply *reply) {
    struct opened opened;
    if (!value_open(scope, key, TYPE_ZSET, &opened, reply)) return POP_REFUSED;
    uint64_t size = opened.value == NULL ? 0 : sorted_count(opened.value);
    if (size == 0) {
        value_close(&opened, false, EVENT_ZPOPMIN);
        return POP_EMPTY;
    }
    if (size < count) count = size;
    reply_array(reply, has_pairs ? 2 : 3);
    reply_bulk(reply, key->data, key->length);
    if (has_pairs) reply_array(reply, count);
    take(&opened, is_lowest, count, has_pairs, reply);
    return POP_DONE;
}

static void command_bzpopmin(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop_or_wait(scope, call, TYPE_ZSET, pop_sorted, true, reply);
}

static void command_bzpopmax(struct write_scope *scope, const struct call *call, struct reply *reply) {
    pop_or_wait(scope, call, TYPE_ZSET, pop_sorted, false, reply);
}

static const char *const ends[] = {"MIN", "MAX"};

static void command_zmpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    mpop(scope, call, pop_sorted, ends, reply);
}

static void command_bzmpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    mpop_or_wait(scope, call, TYPE_ZSET, pop_sorted, ends, reply);
}

/* ------------------------------------------------------------------ rows */

const struct command sorted_set_pops_commands[] = {
    {.name = "zpopmin",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_count,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}},
     .write = command_zpopmin,
     .categories = "sortedset",
     .since = "5.0.0",
     .group = "sorted-set",
     .complexity = "O(log(N)*M)",
     .summary = "Takes out the members with the lowest scores",
     .syntax = "key:key#0 [count:integer]"},
    {.name = "zpopmax",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_count,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}},
     .write = command_zpopmax,
     .categories = "sortedset",
     .since = "5.0.0",
     .group = "sorted-set",
     .complexity = "O(log(N)*M)",
     .summary = "Takes out the members with the highest scores",
     .syntax = "key:key#0 [count:integer]"},
    {.name = "zmpop",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .work = work_of_last_count,
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .is_keynum = true}},
     .write = command_zmpop,
     .categories = "sortedset",
     .since = "7.0.0",
     .group = "sorted-set",
     .complexity = "O(K) + O(M*log(N))",
     .summary = "Takes members out of the first of several sorted sets that has some",
     .syntax = "numkeys:integer key:key#0... where:oneof(min=MIN max=MAX) [count:integer=COUNT]"},
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
    {.name = NULL},
};
