/* Sorted sets: adding members and removing them, their scores and ranks, drawing and scanning. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "shard/value/form.h"
#include "additions.h"
#include "server/command/command.h"
#include "ranges.h"
#include "showing.h"
#include "server/commands/shared/drawing.h"
#include "server/commands/shared/scanning.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/work.h"

/* ------------------------------------------------------------------ scores */

/* Reads the words before the scores. Returns the index of the first score. */
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

/* Adds one member. Returns false if no further one is to be added: error says why. */
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

/* Returns false if it fails; then some may have been added. */
static bool add_all(struct write_scope *scope, const struct call *call, const struct additions *additions,
                    struct reply *reply) {
    struct addition addition = {.flags = additions->flags, .is_passed_over = true};
    const double *score = additions->scores;
    struct opened opened;
    if (!value_open(scope, &call->keys[0], TYPE_ZSET, &opened, reply)) return false;
    if (opened.was_there || (addition.flags & ZADD_XX) == 0) {
        if (!opened.was_there) opened.value = sorted_create(1, call->arguments[additions->first].length);
        if (opened.value == NULL) addition.error = ERROR_NO_MEMORY;
        for (uint32_t i = additions->first; i < call->count && addition.error == NULL; i += additions->step)
            if (!add_one(&opened.value, text_of(&call->arguments[i]), *score++, &addition)) break;
    }
    uint64_t changes = addition.error != NULL ? 0 : (uint64_t)(addition.added + addition.changed);
    if (!value_close(&opened, changes, (addition.flags & ZADD_INCR) != 0 ? EVENT_ZINCR : EVENT_ZADD))
        addition.error = ERROR_NO_MEMORY;
    reply_addition(&addition, reply);
    return addition.error == NULL;
}

/* All, or none; a single one is so by itself. */
void sorted_add(struct write_scope *scope, const struct call *call, const struct additions *additions,
                struct reply *reply) {
    struct undo undo;
    if (call->count - additions->first <= additions->step) {
        add_all(scope, call, additions, reply);
        return;
    }
    undo_begin(&undo, scope);
    undo_conclude(&undo, add_all(scope, call, additions, reply));
}

static void add(struct write_scope *scope, const struct call *call, uint32_t flags, struct reply *reply) {
    uint32_t first = zadd_flags(call, &flags);
    const char *error = zadd_error(flags, call->count - first);
    if (error != NULL) {
        reply_error(reply, error);
        return;
    }
    double few[16], *scores = few;
    uint32_t pairs = (call->count - first) / 2;
    assert(pairs > 0 && "or it is an error");
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

static void command_zadd(struct write_scope *scope, const struct call *call, struct reply *reply) {
    add(scope, call, 0, reply);
}

/* As in Redis, a word that is an option of ZADD is one here as well, and then a pair is missing. */
static void command_zincrby(struct write_scope *scope, const struct call *call, struct reply *reply) {
    add(scope, call, ZADD_INCR, reply);
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

/* ------------------------------------------------------------------ drawing */

struct drawing {
    struct showing showing;
    struct selection selection;
};

static bool show_selected(void *context, const struct packed_text *member, double score) {
    struct drawing *drawing = context;
    if (selection_takes(&drawing->selection)) showing_one(&drawing->showing, member, score);
    return drawing->selection.wanted > 0;
}

static void draw_distinct(const void *value, uint64_t count, struct drawing *drawing) {
    uint64_t size = sorted_count(value);
    struct pointers seen;
    struct packed_text member;
    double score;
    if (value_form(value) != VALUE_LARGE || selection_is_small(size, count) || !pointers_init(&seen, count)) {
        drawing->selection = (struct selection){size, count};
        sorted_each(value, 0, size, false, show_selected, drawing);
        return;
    }
    while (count > 0) {
        sorted_random(value, &member, &score);
        if (!pointers_add(&seen, member.data)) continue;
        showing_one(&drawing->showing, &member, score);
        count--;
    }
    pointers_free(&seen);
}

static void command_zrandmember(const struct read_scope *scope, const struct call *call,
                                struct reply *reply) {
    const void *value;
    struct packed_text member;
    struct draw draw;
    double score;
    if (!draw_parse(call, "WITHSCORES", &draw, reply) ||
        !value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply))
        return;
    if (draw.is_one) {
        if (value != NULL) sorted_random(value, &member, &score);
        if (value != NULL)
            reply_element(reply, &member);
        else
            reply_null(reply);
        return;
    }
    struct drawing drawing = {.showing = {.reply = reply, .has_scores = draw.has_more}};
    uint64_t wanted = draw_wanted(&draw, value == NULL ? 0 : sorted_count(value));
    showing_head(&drawing.showing, wanted);
    if (draw.count > 0 && wanted > 0) draw_distinct(value, wanted, &drawing);
    for (; draw.count < 0 && wanted > 0 && !reply->is_broken; wanted--) {
        sorted_random(value, &member, &score);
        showing_one(&drawing.showing, &member, score);
    }
}

/* ------------------------------------------------------------------ scanning */

static bool scan_visit(void *context, const struct packed_text *member, double score) {
    struct value_scan *scan = context;
    if (!value_scan_matches(scan, member)) return true;
    reply_element(&scan->items, member);
    reply_double(&scan->items, score);
    scan->found += 2;
    return true;
}

static void command_zscan(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct value_scan scan;
    const void *value;
    if (!value_scan_begin(scope, call, TYPE_ZSET, &scan, &value, reply)) return;
    scan.items.protocol = 2; /* scores are bulks here, in RESP3 too */
    value_scan_end(&scan, sorted_scan(value, scan.position, (uint64_t)scan.count, scan_visit, &scan), reply);
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
     .work = work_of_scan,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_zscan,
     .categories = "sortedset",
     .since = "2.8.0",
     .group = "sorted-set",
     .complexity = "O(1) for every call",
     .summary = "Goes over the members of a sorted set step by step",
     .syntax = "key:key#0 cursor:integer [pattern:pattern=MATCH] [count:integer=COUNT]",
     .tips = "nondeterministic_output"},
    {.name = "zrandmember",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_count,
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
