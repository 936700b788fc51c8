/* Sorted sets: members by score. Commands on several of them are in sorted_set_operations.c. */
#include <math.h>
#include <stdlib.h>

#include "shard/value/form.h"
#include "additions.h"
#include "server/command/command.h"
#include "server/commands/shared/pops.h"
#include "ranges.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/room.h"

/* ------------------------------------------------------------------ scores */

/* Returns the index of the first score. */
static uint32_t zadd_flags(const struct call *call, uint32_t *flags) {
    static const struct {
        const char *name;
        uint32_t flag;
    } options[] = {{"NX", ZADD_NX}, {"XX", ZADD_XX}, {"GT", ZADD_GT},
                   {"LT", ZADD_LT}, {"CH", ZADD_CH}, {"INCR", ZADD_INCR}};
    for (uint32_t i = 2; i < call->count; i++) {
        uint32_t before = *flags, found = 0;
        for (size_t k = 0; k < sizeof options / sizeof options[0]; k++)
            if (argument_is(&call->arguments[i], options[k].name)) found = options[k].flag;
        if (found == 0) return i;
        *flags = before | found;
    }
    return call->count;
}

static const char *zadd_error(uint32_t flags, uint32_t left) {
    if (left == 0 || left % 2 != 0) return ERROR_SYNTAX;
    if ((flags & ZADD_NX) != 0 && (flags & ZADD_XX) != 0)
        return "ERR XX and NX options at the same time are not compatible";
    uint32_t exclusive = flags & (ZADD_NX | ZADD_GT | ZADD_LT);
    if ((exclusive & (exclusive - 1)) != 0)
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    if ((flags & ZADD_INCR) != 0 && left > 2)
        return "ERR INCR option supports a single increment-element pair";
    return NULL;
}

struct addition {
    uint32_t flags;
    int64_t added, changed;
    bool is_passed_over; /* the last one, because of a flag */
    double score;        /* of the last one, as it is now */
    const char *error;
};

/* One member. Returns false if it is to be the last: error says why. */
static bool add_one(void **value, struct text member, double score, struct addition *addition) {
    double present;
    bool is_there = sorted_score(*value, member, &present);
    addition->is_passed_over = true;
    if ((is_there && (addition->flags & ZADD_NX) != 0) || (!is_there && (addition->flags & ZADD_XX) != 0))
        return true;
    if (is_there && (addition->flags & ZADD_INCR) != 0) score += present;
    if (isnan(score)) {
        addition->error = "ERR resulting score is not a number (NaN)";
        return false;
    }
    if (is_there && (((addition->flags & ZADD_LT) != 0 && score >= present) ||
                     ((addition->flags & ZADD_GT) != 0 && score <= present)))
        return true;
    enum scored scored = sorted_put(value, member, score);
    addition->is_passed_over = false;
    addition->score = score;
    addition->added += scored == SCORED_NEW;
    addition->changed += scored == SCORED_OTHERWISE;
    if (scored == SCORED_FAILED) addition->error = ERROR_NO_MEMORY;
    return scored != SCORED_FAILED;
}

static void reply_addition(const struct addition *addition, struct reply *reply) {
    if (addition->error != NULL)
        reply_error(reply, addition->error);
    else if ((addition->flags & ZADD_INCR) == 0)
        reply_integer(reply, addition->added + ((addition->flags & ZADD_CH) != 0 ? addition->changed : 0));
    else if (addition->is_passed_over)
        reply_null(reply);
    else
        reply_double(reply, addition->score);
}

void sorted_add(struct write_scope *scope, const struct call *call, const struct additions *additions,
                struct reply *reply) {
    struct addition addition = {.flags = additions->flags, .is_passed_over = true};
    const double *score = additions->scores;
    struct opened opened;
    if (!value_open(scope, &call->keys[0], TYPE_ZSET, &opened, reply)) return;
    if (opened.was_there || (addition.flags & ZADD_XX) == 0) {
        if (!opened.was_there) opened.value = sorted_create(1, call->arguments[additions->first].length);
        if (opened.value == NULL) addition.error = ERROR_NO_MEMORY;
        for (uint32_t i = additions->first; i < call->count && addition.error == NULL; i += additions->step)
            if (!add_one(&opened.value, text_of(&call->arguments[i]), *score++, &addition)) break;
    }
    uint64_t changes = (uint64_t)(addition.added + addition.changed);
    if (!value_close(&opened, changes, (addition.flags & ZADD_INCR) != 0 ? EVENT_ZINCR : EVENT_ZADD))
        addition.error = ERROR_NO_MEMORY;
    reply_addition(&addition, reply);
}

static void command_zadd(struct write_scope *scope, const struct call *call, struct reply *reply) {
    uint32_t flags = 0, first = zadd_flags(call, &flags);
    const char *error = zadd_error(flags, call->count - first);
    if (error != NULL) {
        reply_error(reply, error);
        return;
    }
    double few[16], *scores = few;
    uint32_t pairs = (call->count - first) / 2;
    if (pairs > sizeof few / sizeof few[0] && (scores = malloc(pairs * sizeof *scores)) == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    uint32_t read = 0;
    while (read < pairs && score_parse(&call->arguments[first + 2 * read], &scores[read])) read++;
    if (read < pairs)
        reply_error(reply, ERROR_NOT_FLOAT);
    else
        sorted_add(scope, call, &(struct additions){flags, first + 1, 2, scores}, reply);
    if (scores != few) free(scores);
}

static void command_zincrby(struct write_scope *scope, const struct call *call, struct reply *reply) {
    double by;
    if (score_parse(&call->arguments[2], &by))
        sorted_add(scope, call, &(struct additions){ZADD_INCR, 3, 2, &by}, reply);
    else
        reply_error(reply, ERROR_NOT_FLOAT);
}

static void command_zrem(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    int64_t removed = 0;
    if (!value_open(scope, &call->keys[0], TYPE_ZSET, &opened, reply)) return;
    for (uint32_t i = 2; i < call->count && opened.value != NULL && sorted_count(opened.value) > 0; i++)
        removed += sorted_remove(&opened.value, text_of(&call->arguments[i]));
    value_close(&opened, (uint64_t)removed, EVENT_ZREM);
    reply_integer(reply, removed);
}

static void command_zcard(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply))
        reply_integer(reply, value == NULL ? 0 : (int64_t)sorted_count(value));
}

static void reply_score(const void *value, const struct bulk *member, struct reply *reply) {
    double score;
    if (value != NULL && sorted_score(value, text_of(member), &score))
        reply_double(reply, score);
    else
        reply_null(reply);
}

static void command_zscore(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply))
        reply_score(value, &call->arguments[2], reply);
}

static void command_zmscore(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply)) return;
    reply_array(reply, call->count - 2);
    for (uint32_t i = 2; i < call->count; i++) reply_score(value, &call->arguments[i], reply);
}

static void reply_rank(const struct read_scope *scope, const struct call *call, bool is_backwards,
                       struct reply *reply) {
    const void *value;
    uint64_t rank;
    double score;
    bool has_score = call->count == 4;
    if (call->count > 4 || (has_score && !argument_is(&call->arguments[3], "WITHSCORE"))) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (!value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply)) return;
    if (value == NULL || !sorted_rank(value, text_of(&call->arguments[2]), &rank, &score)) {
        if (has_score)
            reply_null_array(reply);
        else
            reply_null(reply);
        return;
    }
    if (has_score) reply_array(reply, 2);
    reply_integer(reply, (int64_t)(is_backwards ? sorted_count(value) - 1 - rank : rank));
    if (has_score) reply_double(reply, score);
}

static void command_zrank(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    reply_rank(scope, call, false, reply);
}

static void command_zrevrank(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    reply_rank(scope, call, true, reply);
}

/* ------------------------------------------------------------------ members as replies */

/* With scores, a pair of its own in RESP3, two elements in RESP2. */
struct showing {
    struct reply *reply;
    bool has_scores;
    struct selection selection;
};

static void reply_head(const struct showing *showing, uint64_t count) {
    reply_array(showing->reply, showing->has_scores && showing->reply->protocol == 2 ? count * 2 : count);
}

static bool reply_one(void *context, const struct packed_text *member, double score) {
    const struct showing *showing = context;
    if (showing->has_scores && showing->reply->protocol == 3) reply_array(showing->reply, 2);
    reply_element(showing->reply, member);
    if (showing->has_scores) reply_double(showing->reply, score);
    return true;
}

void reply_sorted(const void *value, bool has_scores, struct reply *reply) {
    struct showing showing = {.reply = reply, .has_scores = has_scores};
    reply_head(&showing, value == NULL ? 0 : sorted_count(value));
    if (value != NULL) sorted_each(value, 0, UINT64_MAX, false, reply_one, &showing);
}

/* ------------------------------------------------------------------ ranges */

struct request {
    struct range range;
    bool is_backwards, has_scores, has_limit;
    int64_t offset, limit;
};

/* What the older commands leave open, ZRANGE's options say. */
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

/* The bounds are at `first` and behind it. */
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
    /* The other way round, the higher bound is named first. */
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
    reply_head(&showing, count);
    if (count > 0) sorted_each(value, rank, count, request.is_backwards, reply_one, &showing);
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

/* ------------------------------------------------------------------ popping */

/* Pairs of their own, or one flat row. */
static bool reply_popped(void *context, const struct packed_text *member, double score) {
    const struct showing *showing = context;
    if (showing->has_scores) reply_array(showing->reply, 2);
    reply_element(showing->reply, member);
    reply_double(showing->reply, score);
    return true;
}

static void take(struct opened *opened, bool is_lowest, uint64_t count, bool has_pairs, struct reply *reply) {
    struct showing showing = {.reply = reply, .has_scores = has_pairs};
    uint64_t size = sorted_count(opened->value);
    sorted_each(opened->value, is_lowest ? 0 : size - 1, count, !is_lowest, reply_popped, &showing);
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

enum popped pop_sorted(struct write_scope *scope, const struct key *key, bool is_lowest, uint64_t count,
                       bool has_pairs, struct reply *reply) {
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

static void command_zmpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    static const char *const ends[] = {"MIN", "MAX"};
    struct mpop mpop;
    if (!mpop_parse(call, 1, ends, &mpop, reply)) return;
    for (uint32_t i = 0; i < call->key_count; i++)
        if (pop_sorted(scope, &call->keys[i], mpop.is_first, mpop.count, true, reply) != POP_EMPTY) return;
    reply_null_array(reply);
}

/* ------------------------------------------------------------------ drawing */

static bool reply_selected(void *context, const struct packed_text *member, double score) {
    struct showing *showing = context;
    if (selection_takes(&showing->selection)) reply_one(showing, member, score);
    return showing->selection.wanted > 0;
}

static void draw_distinct(const void *value, uint64_t count, struct showing *showing) {
    uint64_t size = sorted_count(value);
    struct pointers seen;
    struct packed_text member;
    double score;
    if (value_form(value) != VALUE_LARGE || selection_is_small(size, count) || !pointers_init(&seen, count)) {
        showing->selection = (struct selection){size, count};
        sorted_each(value, 0, size, false, reply_selected, showing);
        return;
    }
    while (count > 0) {
        sorted_random(value, &member, &score);
        if (!pointers_add(&seen, member.data)) continue;
        reply_one(showing, &member, score);
        count--;
    }
    pointers_free(&seen);
}

static void draw(const void *value, int64_t count, bool has_scores, struct reply *reply) {
    struct showing showing = {.reply = reply, .has_scores = has_scores};
    struct packed_text member;
    double score;
    uint64_t size = value == NULL ? 0 : sorted_count(value),
             wanted = count < 0 ? (uint64_t)-count : (uint64_t)count;
    if (size == 0 || (count > 0 && wanted > size)) wanted = size;
    reply_head(&showing, wanted);
    if (count > 0 && wanted > 0) draw_distinct(value, wanted, &showing);
    for (; count < 0 && wanted > 0 && !reply->is_broken; wanted--) {
        sorted_random(value, &member, &score);
        reply_one(&showing, &member, score);
    }
}

static void command_zrandmember(const struct read_scope *scope, const struct call *call,
                                struct reply *reply) {
    const void *value;
    struct packed_text member;
    double score;
    int64_t count;
    bool has_scores = call->count == 4;
    if (call->count == 2) {
        if (!value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply)) return;
        if (value != NULL) sorted_random(value, &member, &score);
        if (value != NULL)
            reply_element(reply, &member);
        else
            reply_null(reply);
        return;
    }
    if (!argument_integer_within(&call->arguments[2], -INT64_MAX, INT64_MAX, &count, reply, NULL)) return;
    if (call->count > 4 || (has_scores && !argument_is(&call->arguments[3], "WITHSCORES"))) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (has_scores && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
        reply_error(reply, "ERR value is out of range");
        return;
    }
    if (value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply)) draw(value, count, has_scores, reply);
}

/* ------------------------------------------------------------------ ZSCAN */

struct scanning {
    const struct value_scan *scan;
    struct reply *reply;
    size_t found;
};

/* Scores are bulks here, in RESP3 too. */
static bool scan_visit(void *context, const struct packed_text *member, double score) {
    struct scanning *scanning = context;
    if (!value_scan_matches(scanning->scan, member)) return true;
    reply_element(scanning->reply, member);
    reply_double(scanning->reply, score);
    scanning->found += 2;
    return true;
}

static void command_zscan(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct value_scan scan;
    const void *value;
    if (!value_scan_begin(scope, call, TYPE_ZSET, &scan, &value, reply)) return;
    struct reply items;
    reply_init(&items, 2);
    struct scanning scanning = {&scan, &items, 0};
    uint64_t next = sorted_scan(value, scan.position, (uint64_t)scan.count, scan_visit, &scanning);
    value_scan_reply(reply, next, &items, scanning.found);
}

/* ------------------------------------------------------------------ rows */

const struct command sorted_sets_commands[] = {
    {.name = "zadd",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_zadd,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(log(N))",
     .summary = "Puts members into a sorted set, or changes their scores",
     .syntax = "key:key#0 [condition:oneof@3.0.2(nx=NX xx=XX)] [comparison:oneof@6.2.0(gt=GT "
               "lt=LT)] [change=CH@3.0.2] [increment=INCR@3.0.2] score_member:block(score:double "
               "member:string)...",
     .history = "2.4.0:several at once;3.0.2:XX and NX and CH and INCR;6.2.0:GT and LT"},
    {.name = "zincrby",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_zincrby,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(log(N))",
     .summary = "Adds to a member's score",
     .syntax = "key:key#0 increment:integer member:string"},
    {.name = "zrem",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_zrem,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(M*log(N))",
     .summary = "Takes members out of a sorted set",
     .syntax = "key:key#0 member:string...",
     .history = "2.4.0:several at once"},
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
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrevrange,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(log(N)+M)",
     .summary = "Lists the members between two ranks, highest first",
     .syntax = "key:key#0 start:integer stop:integer [withscores=WITHSCORES]",
     .deprecated = "6.2.0:`ZRANGE` with the `REV` argument"},
    {.name = "zcard",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_zcard,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(1)",
     .summary = "Counts the members of a sorted set",
     .syntax = "key:key#0"},
    {.name = "zscore",
     .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zscore,
     .categories = "sortedset",
     .since = "1.2.0",
     .group = "sorted-set",
     .complexity = "O(1)",
     .summary = "Reads a member's score",
     .syntax = "key:key#0 member:string"},
    {.name = "zmscore",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zmscore,
     .categories = "sortedset",
     .since = "6.2.0",
     .group = "sorted-set",
     .complexity = "O(N)",
     .summary = "Reads the scores of members",
     .syntax = "key:key#0 member:string..."},
    {.name = "zrank",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrank,
     .categories = "sortedset",
     .since = "2.0.0",
     .group = "sorted-set",
     .complexity = "O(log(N))",
     .summary = "Tells a member's rank",
     .syntax = "key:key#0 member:string [withscore=WITHSCORE]",
     .history = "7.2.0:WITHSCORE"},
    {.name = "zrevrank",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrevrank,
     .categories = "sortedset",
     .since = "2.0.0",
     .group = "sorted-set",
     .complexity = "O(log(N))",
     .summary = "Tells a member's rank from the highest score on",
     .syntax = "key:key#0 member:string [withscore=WITHSCORE]",
     .history = "7.2.0:WITHSCORE"},
    {.name = "zscan",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zscan,
     .categories = "sortedset",
     .since = "2.8.0",
     .group = "sorted-set",
     .complexity = "O(1) for every call",
     .summary = "Goes over the members of a sorted set step by step",
     .syntax = "key:key#0 cursor:integer [pattern:pattern=MATCH] [count:integer=COUNT]",
     .tips = "nondeterministic_output"},
    {.name = "zpopmin",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST,
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
     .flags = COMMAND_WRITE | COMMAND_FAST,
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
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .is_keynum = true}},
     .write = command_zmpop,
     .categories = "sortedset",
     .since = "7.0.0",
     .group = "sorted-set",
     .complexity = "O(K) + O(M*log(N))",
     .summary = "Takes members out of the first of several sorted sets that has some",
     .syntax = "numkeys:integer key:key#0... where:oneof(min=MIN max=MAX) [count:integer=COUNT]"},
    {.name = "zrandmember",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zrandmember,
     .categories = "sortedset",
     .since = "6.2.0",
     .group = "sorted-set",
     .complexity = "O(N)",
     .summary = "Draws members of a sorted set",
     .syntax = "key:key#0 [options:block(count:integer [withscores=WITHSCORES])]",
     .tips = "nondeterministic_output"},
    {.name = NULL},
};
