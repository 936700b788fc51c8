/* Commands about a range of a sorted set: its members as a reply or as another sorted set, how many they are,
 * and that they go. ranges.h knows how bounds are written. */
#include "shard/value/sorted.h"
#include "server/command/command.h"
#include "server/commands/shared/room.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/work.h"
#include "ranges.h"
#include "showing.h"

struct request {
    struct range range;
    bool is_backwards, has_scores, has_limit;
    int64_t offset, limit;
};

/* What the name of an older command says, and ZRANGE's options say. */
struct form {
    bool is_open; /* BYSCORE, BYLEX and REV may follow */
    enum range_kind kind;
    bool is_backwards;
};

static bool read_limit(const struct call *call, uint32_t at, struct request *request, struct reply *reply) {
    request->has_limit = true;
    return argument_integer(&call->arguments[at + 1], &request->offset, reply, NULL) &&
           argument_integer(&call->arguments[at + 2], &request->limit, reply, NULL);
}

/* Reads bounds, which are at `first` and behind it, and options. */
static bool request_parse_range(const struct call *call, uint32_t first, struct form form, bool stores,
                                struct request *request, struct reply *reply) {
    bool is_kind_open = form.is_open, is_way_open = is_kind_open;
    *request = (struct request){.limit = -1};
    for (uint32_t i = first + 2; i < call->count; i++) {
        const struct bulk *option = &call->arguments[i];
        if (!stores && argument_is(option, "WITHSCORES")) {
            request->has_scores = true;
        } else if (argument_is(option, "LIMIT") && call->count - i > 2) {
            if (!read_limit(call, i, request, reply)) return false;
            i += 2;
        } else if (is_way_open && argument_is(option, "REV")) {
            form.is_backwards = true;
            is_way_open = false;
        } else if (is_kind_open && (argument_is(option, "BYLEX") || argument_is(option, "BYSCORE"))) {
            form.kind = argument_is(option, "BYLEX") ? RANGE_NAME : RANGE_SCORE;
            is_kind_open = false;
        } else {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    if (request->limit != -1 && form.kind == RANGE_RANK) {
        reply_error(reply,
                    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
        return false;
    }
    if (request->has_scores && form.kind == RANGE_NAME) {
        reply_error(reply, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    request->is_backwards = form.is_backwards;
    /* Where the range is backwards, the higher bound is named first. */
    bool is_swapped = form.is_backwards && form.kind != RANGE_RANK;
    const struct bulk *bounds = &call->arguments[first];
    return range_parse(form.kind, &bounds[is_swapped], &bounds[!is_swapped], &request->range, reply);
}

/* Where to begin, in the request's direction, and how many. */
static uint64_t request_resolve(const struct request *request, const void *value, uint64_t *rank) {
    uint64_t size = sorted_count(value), count = range_resolve(&request->range, value, rank);
    if (count == 0) return 0;
    if (request->is_backwards)
        *rank = request->range.kind == RANGE_RANK ? size - 1 - *rank : *rank + count - 1;
    if (request->range.kind == RANGE_RANK) return count;
    if (request->offset < 0 || (uint64_t)request->offset >= count) return 0;
    uint64_t offset = (uint64_t)request->offset;
    *rank = request->is_backwards ? *rank - offset : *rank + offset;
    count -= offset;
    return request->limit >= 0 && (uint64_t)request->limit < count ? (uint64_t)request->limit : count;
}

static void range_reply(const struct read_scope *scope, const struct call *call, struct form form,
                        struct reply *reply) {
    struct request request;
    const void *value;
    uint64_t rank = 0;
    if (!request_parse_range(call, 2, form, false, &request, reply) ||
        !value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply))
        return;
    uint64_t count = value == NULL ? 0 : request_resolve(&request, value, &rank);
    struct showing showing = {.reply = reply, .has_scores = request.has_scores};
    showing_head(&showing, count);
    if (count > 0) sorted_each(value, rank, count, request.is_backwards, showing_one, &showing);
}

static void command_zrange(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    range_reply(scope, call, (struct form){true, RANGE_RANK, false}, reply);
}

static void command_zrevrange(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    range_reply(scope, call, (struct form){false, RANGE_RANK, true}, reply);
}

static void command_zrangebyscore(const struct read_scope *scope, const struct call *call,
                                  struct reply *reply) {
    range_reply(scope, call, (struct form){false, RANGE_SCORE, false}, reply);
}

static void command_zrevrangebyscore(const struct read_scope *scope, const struct call *call,
                                     struct reply *reply) {
    range_reply(scope, call, (struct form){false, RANGE_SCORE, true}, reply);
}

static void command_zrangebylex(const struct read_scope *scope, const struct call *call,
                                struct reply *reply) {
    range_reply(scope, call, (struct form){false, RANGE_NAME, false}, reply);
}

static void command_zrevrangebylex(const struct read_scope *scope, const struct call *call,
                                   struct reply *reply) {
    range_reply(scope, call, (struct form){false, RANGE_NAME, true}, reply);
}

struct making {
    void *value;
    bool is_failed;
};

static bool make_add(void *context, const struct packed_text *member, double score) {
    struct making *making = context;
    making->is_failed =
        sorted_put(&making->value, (struct text){member->data, member->length}, score) == SCORED_FAILED;
    return !making->is_failed;
}

static void command_zrangestore(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct request request;
    const void *source;
    uint64_t rank = 0;
    if (!request_parse_range(call, 3, (struct form){true, RANGE_RANK, false}, true, &request, reply)) return;
    if (!value_view(scope, &call->keys[1], TYPE_ZSET, &source, reply)) return;
    uint64_t count = source == NULL ? 0 : request_resolve(&request, source, &rank);
    struct making making = {sorted_create(request.range.kind == RANGE_RANK ? count : 0, 0), false};
    making.is_failed = making.value == NULL;
    if (!making.is_failed && count > 0)
        sorted_each(source, rank, count, request.is_backwards, make_add, &making);
    if (making.is_failed) {
        if (making.value != NULL) value_free(&zset_kind, making.value);
        reply_error(reply, ERROR_NO_MEMORY);
    } else if (value_store(scope, &call->keys[0], TYPE_ZSET, making.value, 1, EVENT_ZRANGESTORE, reply)) {
        reply_integer(reply, (int64_t)count);
    }
}

static void range_count(const struct read_scope *scope, const struct call *call, enum range_kind kind,
                        struct reply *reply) {
    struct range range;
    const void *value;
    uint64_t rank;
    if (!range_parse(kind, &call->arguments[2], &call->arguments[3], &range, reply)) return;
    if (value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply))
        reply_integer(reply, value == NULL ? 0 : (int64_t)range_resolve(&range, value, &rank));
}

static void command_zcount(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    range_count(scope, call, RANGE_SCORE, reply);
}

static void command_zlexcount(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    range_count(scope, call, RANGE_NAME, reply);
}

static void range_remove(struct write_scope *scope, const struct call *call, enum range_kind kind,
                         enum event event, struct reply *reply) {
    struct range range;
    struct opened opened;
    uint64_t rank = 0;
    if (!range_parse(kind, &call->arguments[2], &call->arguments[3], &range, reply)) return;
    if (!value_open(scope, &call->keys[0], TYPE_ZSET, &opened, reply)) return;
    uint64_t count = opened.value == NULL ? 0 : range_resolve(&range, opened.value, &rank);
    if (count > 0) sorted_remove_range(&opened.value, rank, count);
    value_close(&opened, count, event);
    reply_integer(reply, (int64_t)count);
}

static void command_zremrangebyrank(struct write_scope *scope, const struct call *call, struct reply *reply) {
    range_remove(scope, call, RANGE_RANK, EVENT_ZREMRANGEBYRANK, reply);
}

static void command_zremrangebyscore(struct write_scope *scope, const struct call *call,
                                     struct reply *reply) {
    range_remove(scope, call, RANGE_SCORE, EVENT_ZREMRANGEBYSCORE, reply);
}

static void command_zremrangebylex(struct write_scope *scope, const struct call *call, struct reply *reply) {
    range_remove(scope, call, RANGE_NAME, EVENT_ZREMRANGEBYLEX, reply);
}

/* ------------------------------------------------------------------ rows */

const struct command sorted_set_ranges_commands[] = {
    {.name = "zremrangebyscore",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_zremrangebyscore,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Takes out the members between two scores",
     .syntax = "key:key#0 min:double max:double"},
    {.name = "zremrangebyrank",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .work = work_of_range,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_zremrangebyrank,
     .categories = "sortedset",
     .since = "2.0.0",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Takes out the members between two ranks",
     .syntax = "key:key#0 start:integer stop:integer"},
    {.name = "zremrangebylex",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_zremrangebylex,
     .categories = "sortedset",
     .since = "2.8.9",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Takes out the members between two names",
     .syntax = "key:key#0 min:string max:string"},
    {.name = "zrange",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_zrange,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrange,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Lists the members between two ranks, scores or names",
     .syntax = "key:key#0 start:string stop:string [sortby:oneof@6.2.0(byscore=BYSCORE "
               "bylex=BYLEX)] [rev=REV@6.2.0] [offset_count:block=LIMIT@6.2.0(offset:integer "
               "count:integer)] [withscores=WITHSCORES]",
     .history = "6.2.0:REV and BYSCORE and BYLEX and LIMIT"},
    {.name = "zrangestore",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1}, {KEY_RO | KEY_ACCESS, 2, 0, 1}},
     .write = command_zrangestore,
     .room = room_for_second,
     .categories = "sortedset",
     .since = "6.2.0",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Keeps the members between two ranks, scores or names as a sorted set",
     .syntax = "dst:key#0 src:key#1 min:string max:string [sortby:oneof(byscore=BYSCORE "
               "bylex=BYLEX)] [rev=REV] [offset_count:block=LIMIT(offset:integer count:integer)]"},
    {.name = "zrangebyscore",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_limit,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrangebyscore,
     .categories = "sortedset",
     .since = "1.0.5",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Lists the members between two scores",
     .syntax = "key:key#0 min:double max:double [withscores=WITHSCORES@2.0.0] "
               "[offset_count:block=LIMIT(offset:integer count:integer)]",
     .history = "2.0.0:WITHSCORES",
     .deprecated = "6.2.0:`ZRANGE` with the `BYSCORE` argument"},
    {.name = "zrevrangebyscore",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_limit,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrevrangebyscore,
     .categories = "sortedset",
     .since = "2.2.0",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Lists the members between two scores, highest first",
     .syntax = "key:key#0 max:double min:double [withscores=WITHSCORES] "
               "[offset_count:block=LIMIT(offset:integer count:integer)]",
     .history = "2.1.6:min and max",
     .deprecated = "6.2.0:`ZRANGE` with the `REV` and `BYSCORE` arguments"},
    {.name = "zrangebylex",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_limit,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrangebylex,
     .categories = "sortedset",
     .since = "2.8.9",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Lists the members between two names",
     .syntax = "key:key#0 min:string max:string [offset_count:block=LIMIT(offset:integer "
               "count:integer)]",
     .deprecated = "6.2.0:`ZRANGE` with the `BYLEX` argument"},
    {.name = "zrevrangebylex",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_limit,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrevrangebylex,
     .categories = "sortedset",
     .since = "2.8.9",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Lists the members between two names, last first",
     .syntax = "key:key#0 max:string min:string [offset_count:block=LIMIT(offset:integer "
               "count:integer)]",
     .deprecated = "6.2.0:`ZRANGE` with the `REV` and `BYLEX` arguments"},
    {.name = "zcount",
     .arity = 4,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zcount,
     .categories = "sortedset",
     .since = "2.0.0",
     .group = "sorted-set",
     .complexity = "O(log(N))",
     .summary = "Counts the members between two scores",
     .syntax = "key:key#0 min:double max:double"},
    {.name = "zlexcount",
     .arity = 4,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zlexcount,
     .categories = "sortedset",
     .since = "2.8.9",
     .group = "sorted-set",
     .complexity = "O(log(N))",
     .summary = "Counts the members between two names",
     .syntax = "key:key#0 min:string max:string"},
    {.name = "zrevrange",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_range,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrevrange,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Lists the members between two ranks, highest first",
     .syntax = "key:key#0 start:integer stop:integer [withscores=WITHSCORES]",
     .deprecated = "6.2.0:`ZRANGE` with the `REV` argument"},
    {.name = NULL},
};
