#include "pops.h"

#include <math.h>

#include "shard/base/number.h"

bool timeout_parse(const struct bulk *argument, int64_t now, int64_t *timeout, struct reply *reply) {
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

void wait_or_reply(const struct call *call, enum type type, int64_t timeout, uint32_t keys,
                   struct reply *reply) {
    if (call->block == NULL)
        reply_null_array(reply);
    else
        *call->block = (struct block){.wants = true, .type = type, .timeout = timeout, .key_count = keys};
}

struct wanted {
    bool is_first; /* the first of the two ends */
    uint64_t count;
};

/* numkeys key ... end [COUNT count], from argument `first` on. */
static bool mpop_parse(const struct call *call, uint32_t first, const char *const ends[2],
                       struct wanted *wanted, struct reply *reply) {
    int64_t keys, count = 1;
    if (!argument_integer_within(&call->arguments[first], 1, INT64_MAX, &keys, reply,
                                 "ERR numkeys should be greater than 0"))
        return false;
    bool is_fine = keys < (int64_t)call->count - first - 1;
    const struct bulk *end = is_fine ? &call->arguments[first + 1 + (uint32_t)keys] : NULL;
    if (is_fine) {
        wanted->is_first = argument_is(end, ends[0]);
        is_fine = wanted->is_first || argument_is(end, ends[1]);
    }
    bool has_count = false;
    for (uint32_t i = first + 2 + (uint32_t)(is_fine ? keys : 0); is_fine && i < call->count; i += 2) {
        is_fine = !has_count && argument_is(&call->arguments[i], "COUNT") && i + 1 < call->count;
        if (!is_fine) break;
        if (!argument_integer_within(&call->arguments[i + 1], 1, INT64_MAX, &count, reply,
                                     "ERR count should be greater than 0"))
            return false;
        has_count = true;
    }
    wanted->count = (uint64_t)count;
    if (!is_fine) reply_error(reply, ERROR_SYNTAX);
    return is_fine;
}

/* Takes from the first key that has something. Returns false if none has, true if there is a reply. */
static bool pop_any(struct write_scope *scope, const struct call *call, pop_function *pop, bool is_first,
                    uint64_t count, bool is_many, struct reply *reply) {
    for (uint32_t i = 0; i < call->key_count; i++)
        if (pop(scope, &call->keys[i], is_first, count, is_many, reply) != POP_EMPTY) return true;
    return false;
}

void pop_or_wait(struct write_scope *scope, const struct call *call, enum type type, pop_function *pop,
                 bool is_first, struct reply *reply) {
    int64_t timeout;
    if (!timeout_parse(&call->arguments[call->count - 1], call->now, &timeout, reply)) return;
    if (!pop_any(scope, call, pop, is_first, 1, false, reply)) wait_or_reply(call, type, timeout, 0, reply);
}

void mpop(struct write_scope *scope, const struct call *call, pop_function *pop, const char *const ends[2],
          struct reply *reply) {
    struct wanted wanted;
    if (mpop_parse(call, 1, ends, &wanted, reply) &&
        !pop_any(scope, call, pop, wanted.is_first, wanted.count, true, reply))
        reply_null_array(reply);
}

void mpop_or_wait(struct write_scope *scope, const struct call *call, enum type type, pop_function *pop,
                  const char *const ends[2], struct reply *reply) {
    int64_t timeout;
    struct wanted wanted;
    if (!mpop_parse(call, 2, ends, &wanted, reply) ||
        !timeout_parse(&call->arguments[1], call->now, &timeout, reply))
        return;
    if (!pop_any(scope, call, pop, wanted.is_first, wanted.count, true, reply))
        wait_or_reply(call, type, timeout, 0, reply);
}
