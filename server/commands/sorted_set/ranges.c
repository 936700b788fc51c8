#include "ranges.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/number.h"

/* No number that is meant as one is longer. */
#define NUMBER_MOST 512

bool score_parse(const struct bulk *argument, double *score) {
    char text[NUMBER_MOST], *end;
    int64_t whole;
    if (argument->length <= 15 && number_parse(argument->data, argument->length, &whole)) {
        *score = (double)whole;
        return true;
    }
    if (argument->length == 0 || argument->length >= sizeof text || isspace((unsigned char)argument->data[0]))
        return false;
    memcpy(text, argument->data, argument->length);
    text[argument->length] = '\0';
    errno = 0;
    *score = strtod(text, &end);
    if ((size_t)(end - text) != argument->length || isnan(*score)) return false;
    return errno != ERANGE || (isfinite(*score) && fpclassify(*score) != FP_ZERO);
}

/* Reads a number as Redis does: what strtod takes, up to a zero byte; an empty text is 0. */
static bool bound_parse(const struct bulk *argument, double *score, bool *is_excluded) {
    char text[NUMBER_MOST], *end;
    *is_excluded = argument->length > 0 && argument->data[0] == '(';
    size_t length = argument->length - *is_excluded;
    if (length >= sizeof text) return false;
    if (length > 0) memcpy(text, argument->data + *is_excluded, length);
    text[length] = '\0';
    *score = strtod(text, &end);
    return *end == '\0' && !isnan(*score);
}

enum name_bound { NAME_BAD, NAME_LEAST, NAME_MOST, NAME_GIVEN };

static enum name_bound name_parse(const struct bulk *argument, struct text *name, bool *is_excluded) {
    *is_excluded = false;
    if (argument->length == 0) return NAME_BAD;
    switch (argument->data[0]) {
    case '-': return argument->length == 1 ? NAME_LEAST : NAME_BAD;
    case '+': return argument->length == 1 ? NAME_MOST : NAME_BAD;
    case '(': *is_excluded = true; break;
    case '[': break;
    default: return NAME_BAD;
    }
    *name = (struct text){argument->data + 1, argument->length - 1};
    return NAME_GIVEN;
}

bool range_parse(enum range_kind kind, const struct bulk *first, const struct bulk *last, struct range *range,
                 struct reply *reply) {
    *range = (struct range){.kind = kind};
    switch (kind) {
    case RANGE_RANK:
        return argument_integer(first, &range->start, reply, NULL) &&
               argument_integer(last, &range->end, reply, NULL);
    case RANGE_SCORE:
        if (bound_parse(first, &range->least, &range->excludes_first) &&
            bound_parse(last, &range->most, &range->excludes_last))
            return true;
        reply_error(reply, "ERR min or max is not a float");
        return false;
    case RANGE_NAME: break;
    }
    enum name_bound from = name_parse(first, &range->first, &range->excludes_first),
                    to = name_parse(last, &range->last, &range->excludes_last);
    if (from == NAME_BAD || to == NAME_BAD) {
        reply_error(reply, "ERR min or max not valid string range item");
        return false;
    }
    range->first_is_all = from == NAME_LEAST;
    range->first_is_none = from == NAME_MOST;
    range->last_is_all = to == NAME_MOST;
    range->last_is_none = to == NAME_LEAST;
    return true;
}

static uint64_t resolve_ranks(const struct range *range, int64_t size, uint64_t *rank) {
    int64_t start = range->start < 0 ? range->start + size : range->start,
            end = range->end < 0 ? range->end + size : range->end;
    if (start < 0) start = 0;
    if (end >= size) end = size - 1;
    *rank = (uint64_t)start;
    return start > end || start >= size ? 0 : (uint64_t)(end - start + 1);
}

uint64_t range_resolve(const struct range *range, const void *value, uint64_t *rank) {
    uint64_t size = sorted_count(value), end;
    if (range->kind == RANGE_RANK) return resolve_ranks(range, (int64_t)size, rank);
    if (range->kind == RANGE_SCORE) {
        *rank = sorted_below(value, range->least, range->excludes_first);
        end = sorted_below(value, range->most, !range->excludes_last);
    } else {
        *rank = range->first_is_all    ? 0
                : range->first_is_none ? size
                                       : sorted_before(value, range->first, range->excludes_first);
        end = range->last_is_all    ? size
              : range->last_is_none ? 0
                                    : sorted_before(value, range->last, !range->excludes_last);
    }
    return *rank < end ? end - *rank : 0;
}
