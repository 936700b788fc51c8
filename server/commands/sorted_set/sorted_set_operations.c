/* What several sorted sets have in common or not: ZUNION, ZINTER, ZDIFF and what they store or count. Plain
 * sets count as sorted sets whose members all have a score of 1. */
#include <math.h>
#include <stdlib.h>

#include "shard/value/members.h"
#include "server/command/command.h"
#include "ranges.h"
#include "showing.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/room.h"

enum operation { OPERATION_UNION, OPERATION_INTER, OPERATION_DIFF };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

struct source {
    const void *value; /* NULL: the key is absent */
    bool is_set;
    double weight;
};

struct job {
    enum operation operation;
    struct source *sources;
    uint32_t count;
    enum aggregate aggregate;
    bool has_scores;
    bool only_counts; /* ZINTERCARD */
    uint64_t limit;
    /* While it runs: */
    void *result;
    uint64_t found;
    double weight;
    bool is_failed;
};

/* ------------------------------------------------------------------ sources */

static uint64_t source_count(const struct source *source) {
    if (source->value == NULL) return 0;
    return source->is_set ? members_count(source->value) : sorted_count(source->value);
}

static bool source_score(const struct source *source, struct text member, double *score) {
    if (source->value == NULL) return false;
    if (!source->is_set) return sorted_score(source->value, member, score);
    *score = 1;
    return members_has(source->value, member);
}

struct visit {
    sorted_visitor *visit;
    void *context;
};

static bool visit_member(void *context, const struct packed_text *member) {
    const struct visit *visit = context;
    return visit->visit(visit->context, member, 1);
}

static void source_each(const struct source *source, sorted_visitor *visit, void *context) {
    struct visit members = {visit, context};
    if (source->value == NULL) return;
    if (source->is_set)
        members_each(source->value, visit_member, &members);
    else
        sorted_each(source->value, 0, UINT64_MAX, false, visit, context);
}

static bool source_take(const struct entry *entry, struct source *source, struct reply *reply) {
    *source = (struct source){.weight = 1};
    if (entry == NULL) return true;
    source->is_set = entry_type(entry) == TYPE_SET;
    if (!source->is_set && !check_type(entry, TYPE_ZSET, reply)) return false;
    source->value = entry_value(entry);
    return true;
}

static int compare_counts(const void *one, const void *other) {
    uint64_t first = source_count(one), second = source_count(other);
    return first < second ? -1 : first > second;
}

/* ------------------------------------------------------------------ the operations */

static double aggregate(enum aggregate aggregate, double one, double other) {
    double sum = one + other;
    switch (aggregate) {
    case AGGREGATE_SUM: return isnan(sum) ? 0 : sum;      /* of two infinities */
    case AGGREGATE_MIN: return other < one ? other : one; /* of 0 and -0, the one that was first */
    case AGGREGATE_MAX: return other > one ? other : one;
    }
    return sum;
}

static double weighted(double score, double weight) {
    double product = score * weight;
    return isnan(product) ? 0 : product;
}

static bool job_put(struct job *job, struct text member, double score) {
    job->is_failed = sorted_put(&job->result, member, score) == SCORED_FAILED;
    return !job->is_failed;
}

static bool unite(void *context, const struct packed_text *text, double score) {
    struct job *job = context;
    struct text member = {text->data, text->length};
    double present;
    score = weighted(score, job->weight);
    if (sorted_score(job->result, member, &present)) {
        score = aggregate(job->aggregate, present, score);
        if (score == present && signbit(score) != signbit(present))
            sorted_remove(&job->result, member); /* it would stay -0 */
    }
    return job_put(job, member, score);
}

static bool intersect(void *context, const struct packed_text *text, double score) {
    struct job *job = context;
    struct text member = {text->data, text->length};
    double other;
    score = weighted(score, job->sources[0].weight);
    for (uint32_t i = 1; i < job->count; i++) {
        if (!source_score(&job->sources[i], member, &other)) return true;
        score = aggregate(job->aggregate, score, other * job->sources[i].weight);
    }
    if (job->only_counts) return ++job->found < job->limit;
    return job_put(job, member, score);
}

static bool put(void *context, const struct packed_text *text, double score) {
    return job_put(context, (struct text){text->data, text->length}, score);
}

static bool take_out(void *context, const struct packed_text *text, double score) {
    struct job *job = context;
    (void)score;
    sorted_remove(&job->result, (struct text){text->data, text->length});
    return sorted_count(job->result) > 0;
}

static bool put_if_nowhere_else(void *context, const struct packed_text *text, double score) {
    struct job *job = context;
    struct text member = {text->data, text->length};
    double other;
    for (uint32_t i = 1; i < job->count; i++)
        if (source_score(&job->sources[i], member, &other)) return true;
    return job_put(job, member, score);
}

/* As in SDIFF. */
static void subtract(struct job *job) {
    uint64_t looks = 0, members = 0;
    for (uint32_t i = 0; i < job->count; i++) {
        if (job->sources[i].value == NULL) continue;
        looks += source_count(&job->sources[0]);
        members += source_count(&job->sources[i]);
    }
    if (looks / 2 <= members) {
        source_each(&job->sources[0], put_if_nowhere_else, job);
        return;
    }
    source_each(&job->sources[0], put, job);
    for (uint32_t i = 1; i < job->count && !job->is_failed && sorted_count(job->result) > 0; i++)
        source_each(&job->sources[i], take_out, job);
}

static void job_run(struct job *job) {
    if (job->operation != OPERATION_DIFF)
        qsort(job->sources, job->count, sizeof *job->sources, compare_counts);
    switch (job->operation) {
    case OPERATION_UNION:
        for (uint32_t i = 0; i < job->count && !job->is_failed; i++) {
            job->weight = job->sources[i].weight;
            source_each(&job->sources[i], unite, job);
        }
        break;
    case OPERATION_INTER: source_each(&job->sources[0], intersect, job); break;
    case OPERATION_DIFF: subtract(job); break;
    }
}

/* ------------------------------------------------------------------ arguments */

static bool weights_parse(struct job *job, const struct call *call, uint32_t at, struct reply *reply) {
    for (uint32_t i = 0; i < job->count; i++)
        if (!score_parse(&call->arguments[at + i], &job->sources[i].weight)) {
            reply_error(reply, "ERR weight value is not a float");
            return false;
        }
    return true;
}

static bool aggregate_parse(struct job *job, const struct bulk *argument) {
    if (argument_is(argument, "SUM"))
        job->aggregate = AGGREGATE_SUM;
    else if (argument_is(argument, "MIN"))
        job->aggregate = AGGREGATE_MIN;
    else if (argument_is(argument, "MAX"))
        job->aggregate = AGGREGATE_MAX;
    else
        return false;
    return true;
}

static bool limit_parse(struct job *job, const struct bulk *argument, struct reply *reply) {
    int64_t limit;
    if (!argument_integer_within(argument, 0, INT64_MAX, &limit, reply, "ERR LIMIT can't be negative"))
        return false;
    job->limit = limit == 0 ? UINT64_MAX : (uint64_t)limit;
    return true;
}

static bool options_parse(struct job *job, const struct call *call, uint32_t at, bool stores,
                          struct reply *reply) {
    for (; at < call->count; at++) {
        const struct bulk *option = &call->arguments[at];
        uint32_t left = call->count - at - 1;
        bool takes_weights = job->operation != OPERATION_DIFF && !job->only_counts;
        if (takes_weights && left >= job->count && argument_is(option, "WEIGHTS")) {
            if (!weights_parse(job, call, at + 1, reply)) return false;
            at += job->count;
        } else if (takes_weights && left >= 1 && argument_is(option, "AGGREGATE") &&
                   aggregate_parse(job, option + 1)) {
            at++;
        } else if (!stores && !job->only_counts && argument_is(option, "WITHSCORES")) {
            job->has_scores = true;
        } else if (job->only_counts && left >= 1 && argument_is(option, "LIMIT")) {
            if (!limit_parse(job, option + 1, reply)) return false;
            at++;
        } else {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Reads the number of keys, at argument `first`, the keys, their values and the options behind them. One of
 * the two scopes is NULL. Replies what is wrong and returns false; the caller ends with job_free in any
 * case. */
static bool job_begin(struct job *job, const struct read_scope *reading, const struct write_scope *writing,
                      const struct call *call, uint32_t first, struct reply *reply) {
    int64_t keys;
    job->sources = NULL;
    job->result = NULL;
    job->limit = UINT64_MAX;
    if (!argument_integer(&call->arguments[first], &keys, reply, NULL)) return false;
    if (keys < 1) {
        reply_error_format(reply, "ERR at least 1 input key is needed for '%s' command",
                           call->command->full_name);
        return false;
    }
    if (keys > (int64_t)call->count - first - 1) {
        reply_error(reply, ERROR_SYNTAX);
        return false;
    }
    job->count = (uint32_t)keys;
    job->sources = malloc(job->count * sizeof *job->sources);
    job->result = sorted_create(UINT64_MAX, 0); /* a large sorted set keeps a -0 */
    if (job->sources == NULL || job->result == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return false;
    }
    const struct key *names = call->keys + (call->key_count - job->count);
    for (uint32_t i = 0; i < job->count; i++) {
        const struct entry *entry =
            reading != NULL ? scope_read(reading, &names[i]) : scope_read(&writing->reading, &names[i]);
        if (!source_take(entry, &job->sources[i], reply)) return false;
    }
    return options_parse(job, call, first + 1 + job->count, writing != NULL, reply);
}

static void job_free(struct job *job) {
    free(job->sources);
    if (job->result != NULL) value_free(&zset_kind, job->result);
}

/* ------------------------------------------------------------------ commands */

static void operate_reply(const struct read_scope *scope, const struct call *call, enum operation operation,
                          struct reply *reply) {
    struct job job = {.operation = operation};
    if (job_begin(&job, scope, NULL, call, 1, reply)) {
        job_run(&job);
        if (job.is_failed)
            reply_error(reply, ERROR_NO_MEMORY);
        else
            reply_sorted(job.result, job.has_scores, reply);
    }
    job_free(&job);
}

static void operate_store(struct write_scope *scope, const struct call *call, enum operation operation,
                          enum event event, struct reply *reply) {
    struct job job = {.operation = operation};
    if (job_begin(&job, NULL, scope, call, 2, reply)) {
        job_run(&job);
        sorted_pack(&job.result);
        void *result = job.result;
        int64_t count = (int64_t)sorted_count(result);
        if (job.is_failed) {
            reply_error(reply, ERROR_NO_MEMORY);
        } else {
            job.result = NULL;
            if (value_store(scope, &call->keys[0], TYPE_ZSET, result, 1, event, reply))
                reply_integer(reply, count);
        }
    }
    job_free(&job);
}

static void command_zunion(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    operate_reply(scope, call, OPERATION_UNION, reply);
}

static void command_zinter(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    operate_reply(scope, call, OPERATION_INTER, reply);
}

static void command_zdiff(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    operate_reply(scope, call, OPERATION_DIFF, reply);
}

static void command_zintercard(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct job job = {.operation = OPERATION_INTER, .only_counts = true};
    if (job_begin(&job, scope, NULL, call, 1, reply)) {
        job_run(&job);
        reply_integer(reply, (int64_t)job.found);
    }
    job_free(&job);
}

static void command_zunionstore(struct write_scope *scope, const struct call *call, struct reply *reply) {
    operate_store(scope, call, OPERATION_UNION, EVENT_ZUNIONSTORE, reply);
}

static void command_zinterstore(struct write_scope *scope, const struct call *call, struct reply *reply) {
    operate_store(scope, call, OPERATION_INTER, EVENT_ZINTERSTORE, reply);
}

static void command_zdiffstore(struct write_scope *scope, const struct call *call, struct reply *reply) {
    operate_store(scope, call, OPERATION_DIFF, EVENT_ZDIFFSTORE, reply);
}

/* ------------------------------------------------------------------ rows */

const struct command sorted_set_operations_commands[] = {
    {.name = "zunionstore",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1},
              {.flags = KEY_RO | KEY_ACCESS, .first = 2, .step = 1, .is_keynum = true}},
     .write = command_zunionstore,
     .room = room_for_sum,
     .categories = "sortedset",
     .since = "2.0.0",
     .group = "sorted-set",
     .complexity = "O(N)+O(M log(M))",
     .summary = "Keeps what is in any of several sorted sets as one",
     .syntax = "destination:key#0 numkeys:integer key:key#1... [weight:integer=WEIGHTS...] "
               "[aggregate:oneof=AGGREGATE(sum=SUM min=MIN max=MAX)]"},
    {.name = "zinterstore",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1},
              {.flags = KEY_RO | KEY_ACCESS, .first = 2, .step = 1, .is_keynum = true}},
     .write = command_zinterstore,
     .room = room_for_least,
     .categories = "sortedset",
     .since = "2.0.0",
     .group = "sorted-set",
     .complexity = "O(N*K)+O(M*log(M))",
     .summary = "Keeps what several sorted sets have in common as one",
     .syntax = "destination:key#0 numkeys:integer key:key#1... [weight:integer=WEIGHTS...] "
               "[aggregate:oneof=AGGREGATE(sum=SUM min=MIN max=MAX)]"},
    {.name = "zdiffstore",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1},
              {.flags = KEY_RO | KEY_ACCESS, .first = 2, .step = 1, .is_keynum = true}},
     .write = command_zdiffstore,
     .room = room_for_second,
     .categories = "sortedset",
     .since = "6.2.0",
     .group = "sorted-set",
     .complexity = "O(L + (N-K)log(N))",
     .summary = "Keeps what the first of several sorted sets has alone as one",
     .syntax = "destination:key#0 numkeys:integer key:key#1..."},
    {.name = "zunion",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .is_keynum = true}},
     .read = command_zunion,
     .categories = "sortedset",
     .since = "6.2.0",
     .group = "sorted-set",
     .complexity = "O(N)+O(M*log(M))",
     .summary = "Lists what is in any of several sorted sets",
     .syntax = "numkeys:integer key:key#0... [weight:integer=WEIGHTS...] "
               "[aggregate:oneof=AGGREGATE(sum=SUM min=MIN max=MAX)] [withscores=WITHSCORES]"},
    {.name = "zinter",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .is_keynum = true}},
     .read = command_zinter,
     .categories = "sortedset",
     .since = "6.2.0",
     .group = "sorted-set",
     .complexity = "O(N*K)+O(M*log(M))",
     .summary = "Lists what several sorted sets have in common",
     .syntax = "numkeys:integer key:key#0... [weight:integer=WEIGHTS...] "
               "[aggregate:oneof=AGGREGATE(sum=SUM min=MIN max=MAX)] [withscores=WITHSCORES]"},
    {.name = "zintercard",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .is_keynum = true}},
     .read = command_zintercard,
     .categories = "sortedset",
     .since = "7.0.0",
     .group = "sorted-set",
     .complexity = "O(N*K)",
     .summary = "Counts what several sorted sets have in common",
     .syntax = "numkeys:integer key:key#0... [limit:integer=LIMIT]"},
    {.name = "zdiff",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .is_keynum = true}},
     .read = command_zdiff,
     .categories = "sortedset",
     .since = "6.2.0",
     .group = "sorted-set",
     .complexity = "O(L + (N-K)log(N))",
     .summary = "Lists what the first of several sorted sets has alone",
     .syntax = "numkeys:integer key:key#0... [withscores=WITHSCORES]"},
    {.name = NULL},
};
