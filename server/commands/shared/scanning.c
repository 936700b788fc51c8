#include "scanning.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/glob.h"
#include "values.h"

/* Reads what strtoul reads, to which a zero byte is the end. */
bool cursor_parse(const struct bulk *argument, uint64_t *cursor) {
    size_t at = 0, length = strnlen(argument->data, argument->length);
    bool is_negative = false;
    if (length > 0 && (argument->data[0] == '-' || argument->data[0] == '+')) {
        is_negative = argument->data[0] == '-';
        if (++at == length) return false;
    }
    for (*cursor = 0; at < length; at++) {
        if (argument->data[at] < '0' || argument->data[at] > '9') return false;
        if (__builtin_mul_overflow(*cursor, 10, cursor)) return false;
        if (__builtin_add_overflow(*cursor, (uint64_t)(argument->data[at] - '0'), cursor)) return false;
    }
    if (is_negative) *cursor = 0 - *cursor;
    return true;
}

static bool scan_options(const struct call *call, struct value_scan *scan, struct reply *reply) {
    for (uint32_t i = 3; i < call->count; i += 2) {
        const struct bulk *option = &call->arguments[i], *value = option + 1;
        bool has_value = i + 1 < call->count, is_known = false;
        if (has_value && argument_is(option, "COUNT")) {
            if (!argument_integer(value, &scan->count, reply, NULL)) return false;
            is_known = scan->count >= 1;
        } else if (has_value && argument_is(option, "MATCH")) {
            scan->pattern = value->length == 1 && value->data[0] == '*' ? NULL : value;
            is_known = true;
        }
        if (!is_known) {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

bool value_scan_begin(const struct read_scope *scope, const struct call *call, enum type type,
                      struct value_scan *scan, const void **value, struct reply *reply) {
    *scan = (struct value_scan){.count = 10};
    if (!cursor_parse(&call->arguments[2], &scan->position)) {
        reply_error(reply, "ERR invalid cursor");
        return false;
    }
    if (!value_read(scope, &call->keys[0], type, value, reply)) return false;
    if (*value != NULL) {
        reply_init(&scan->items, reply->protocol);
        return scan_options(call, scan, reply);
    }
    reply_array(reply, 2);
    reply_bulk_integer(reply, 0);
    reply_array(reply, 0);
    return false;
}

bool value_scan_matches(const struct value_scan *scan, const struct packed_text *text) {
    return scan->pattern == NULL ||
           glob_matches(scan->pattern->data, scan->pattern->length, text->data, text->length, false);
}

void value_scan_end(struct value_scan *scan, uint64_t next, struct reply *reply) {
    if (scan->items.is_broken) {
        reply_error(reply, ERROR_NO_MEMORY);
    } else {
        reply_array(reply, 2);
        reply_bulk_integer(reply, (int64_t)next);
        reply_array(reply, scan->found);
        reply_raw(reply, scan->items.data, scan->items.length);
    }
    reply_free(&scan->items);
}
