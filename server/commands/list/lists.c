/* Lists. LMOVE and LMPOP are made of what single pops and pushes are: those functions are shared with the
 * commands that wait for an element (pops.h). */
#include <stdlib.h>
#include <string.h>

#include "shard/value/list.h"
#include "server/command/command.h"
#include "server/commands/shared/pops.h"
#include "server/commands/shared/values.h"

/* ------------------------------------------------------------------ pushing */

static size_t bytes_of(const struct call *call, uint32_t first) {
    size_t bytes = 0;
    for (uint32_t i = first; i < call->count; i++) bytes += call->arguments[i].length;
    return bytes;
}

static void push(struct write_scope *scope, const struct call *call, bool is_front, bool only_if_present,
                 struct reply *reply) {
    struct opened opened;
    if (!value_open(scope, &call->keys[0], TYPE_LIST, &opened, reply)) return;
    if (!opened.was_there && only_if_present) {
        scope_unchanged(&opened.edit);
        reply_integer(reply, 0);
        return;
    }
    if (!opened.was_there) opened.value = list_create();
    bool is_done = opened.value != NULL;
    uint32_t pushed = 0;
    if (is_done) list_expect(&opened.value, bytes_of(call, 2), call->count - 2);
    for (uint32_t i = 2; i < call->count && is_done; i++, pushed += is_done)
        is_done = list_push(&opened.value, is_front, text_of(&call->arguments[i]));
    if (!is_done && pushed > 0) { /* all or none */
        list_remove(&opened.value, is_front ? 0 : list_count(opened.value) - pushed, pushed);
        pushed = 0;
    }
    int64_t count = opened.value == NULL ? 0 : (int64_t)list_count(opened.value);
    if (!value_close(&opened, pushed, is_front ? EVENT_LPUSH : EVENT_RPUSH) || !is_done)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_integer(reply, count);
}

static void command_lpush(struct write_scope *scope, const struct call *call, struct reply *reply) {
    push(scope, call, true, false, reply);
}

static void command_rpush(struct write_scope *scope, const struct call *call, struct reply *reply) {
    push(scope, call, false, false, reply);
}

static void command_lpushx(struct write_scope *scope, const struct call *call, struct reply *reply) {
    push(scope, call, true, true, reply);
}

static void command_rpushx(struct write_scope *scope, const struct call *call, struct reply *reply) {
    push(scope, call, false, true, reply);
}

/* ------------------------------------------------------------------ popping */

static bool reply_visited(void *context, const struct packed_text *text) {
    reply_element(context, text);
    return true;
}

/* Replies `count` elements from an end, in the order in which they are taken, and takes them. */
static void take(struct opened *opened, bool is_front, uint64_t count, struct reply *reply) {
    uint64_t size = list_count(opened->value);
    list_each(opened->value, is_front ? 0 : size - 1, count, !is_front, reply_visited, reply);
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

enum popped pop_list(struct write_scope *scope, const struct key *key, bool is_front, uint64_t count,
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

bool mpop_parse(const struct call *call, uint32_t first, const char *const ends[2], struct mpop *mpop,
                struct reply *reply) {
    int64_t keys, count = 1;
    if (!argument_integer_within(&call->arguments[first], 1, INT64_MAX, &keys, reply,
                                 "ERR numkeys should be greater than 0"))
        return false;
    bool is_fine = keys < (int64_t)call->count - first - 1;
    const struct bulk *end = is_fine ? &call->arguments[first + 1 + (uint32_t)keys] : NULL;
    if (is_fine) {
        mpop->is_first = argument_is(end, ends[0]);
        is_fine = mpop->is_first || argument_is(end, ends[1]);
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
    mpop->count = (uint64_t)count;
    if (!is_fine) reply_error(reply, ERROR_SYNTAX);
    return is_fine;
}

static void command_lmpop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    static const char *const ends[] = {"LEFT", "RIGHT"};
    struct mpop mpop;
    if (!mpop_parse(call, 1, ends, &mpop, reply)) return;
    for (uint32_t i = 0; i < call->key_count; i++)
        if (pop_list(scope, &call->keys[i], mpop.is_first, mpop.count, true, reply) != POP_EMPTY) return;
    reply_null_array(reply);
}

/* ------------------------------------------------------------------ moving */

static bool copy_visited(void *context, const struct packed_text *text) {
    struct text *copy = context;
    char *bytes = malloc(text->length + 1);
    if (bytes != NULL && text->length > 0) memcpy(bytes, text->data, text->length);
    copy->data = bytes;
    copy->length = text->length;
    return false;
}

/* The element is pushed first: if there is no memory for that, it hasn't left its list. Of one and the same
 * list it leaves one end first. */
enum popped move_element(struct write_scope *scope, const struct key *from, const struct key *to,
                         bool from_front, bool to_front, struct reply *reply) {
    const void *source, *destination;
    if (!value_view(scope, from, TYPE_LIST, &source, reply)) return POP_REFUSED;
    if (source == NULL) return POP_EMPTY;
    if (!value_view(scope, to, TYPE_LIST, &destination, reply)) return POP_REFUSED;
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
        /* In its own list it stands at an end that may have moved by one. */
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

bool end_parse(const struct bulk *argument, bool *is_front, struct reply *reply) {
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

/* ------------------------------------------------------------------ reading */

static void command_llen(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_LIST, &value, reply))
        reply_integer(reply, value == NULL ? 0 : (int64_t)list_count(value));
}

/* An index that may be counted from the end. false if there is no such element. */
static bool index_of(int64_t index, uint64_t count, uint64_t *place) {
    if (index < 0) index += (int64_t)count;
    *place = (uint64_t)index;
    return index >= 0 && *place < count;
}

static void command_lindex(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    struct packed_text text;
    int64_t index;
    uint64_t place;
    if (!value_read(scope, &call->keys[0], TYPE_LIST, &value, reply)) return;
    if (value == NULL) {
        reply_null(reply);
        return;
    }
    if (!argument_integer(&call->arguments[2], &index, reply, NULL)) return;
    if (!index_of(index, list_count(value), &place)) {
        reply_null(reply);
        return;
    }
    list_get(value, place, &text);
    reply_element(reply, &text);
}

/* The stretch between two indexes, both included; empty if there is none. */
static uint64_t stretch_of(int64_t start, int64_t end, uint64_t count, uint64_t *first) {
    int64_t size = (int64_t)count;
    if (start < 0) start += size;
    if (end < 0) end += size;
    if (start < 0) start = 0;
    if (end >= size) end = size - 1;
    *first = (uint64_t)start;
    return start > end || start >= size ? 0 : (uint64_t)(end - start + 1);
}

static void command_lrange(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    int64_t start, end;
    uint64_t first;
    if (!argument_integer(&call->arguments[2], &start, reply, NULL) ||
        !argument_integer(&call->arguments[3], &end, reply, NULL))
        return;
    if (!value_read(scope, &call->keys[0], TYPE_LIST, &value, reply)) return;
    uint64_t count = value == NULL ? 0 : stretch_of(start, end, list_count(value), &first);
    reply_array(reply, count);
    if (count > 0) list_each(value, first, count, false, reply_visited, reply);
}

struct search {
    struct text wanted;
    int64_t index, step; /* of the element at hand, and from one to the next */
    uint64_t skip;       /* matches to pass over */
    uint64_t most;       /* matches to reply; UINT64_MAX: all */
    uint64_t found;
    struct reply *reply;
};

static bool search_visit(void *context, const struct packed_text *text) {
    struct search *search = context;
    int64_t index = search->index;
    search->index += search->step;
    if (text->length != search->wanted.length ||
        (text->length > 0 && memcmp(text->data, search->wanted.data, text->length) != 0))
        return true;
    if (search->skip > 0) {
        search->skip--;
        return true;
    }
    reply_integer(search->reply, index);
    return ++search->found < search->most;
}

struct lpos {
    int64_t rank, count, longest;
    bool has_count;
};

static bool lpos_parse(const struct call *call, struct lpos *lpos, struct reply *reply) {
    for (uint32_t i = 3; i < call->count; i += 2) {
        const struct bulk *option = &call->arguments[i], *value = option + 1;
        if (i + 1 == call->count) {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
        if (argument_is(option, "RANK")) {
            static const char *const out_of_range =
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
            if (!argument_integer(value, &lpos->rank, reply, NULL)) return false;
            if (lpos->rank == INT64_MIN) {
                reply_error(reply, out_of_range);
                return false;
            }
            if (lpos->rank == 0) {
                reply_error(
                    reply,
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
                    "or use negative to start from the end of the list");
                return false;
            }
        } else if (argument_is(option, "COUNT")) {
            if (!argument_integer_within(value, 0, INT64_MAX, &lpos->count, reply,
                                         "ERR COUNT can't be negative"))
                return false;
            lpos->has_count = true;
        } else if (argument_is(option, "MAXLEN")) {
            if (!argument_integer_within(value, 0, INT64_MAX, &lpos->longest, reply,
                                         "ERR MAXLEN can't be negative"))
                return false;
        } else {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void command_lpos(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct lpos lpos = {.rank = 1, .count = 1};
    const void *value;
    if (!lpos_parse(call, &lpos, reply) || !value_read(scope, &call->keys[0], TYPE_LIST, &value, reply))
        return;
    uint64_t size = value == NULL ? 0 : list_count(value);
    bool is_backwards = lpos.rank < 0;
    struct search search = {
        .wanted = text_of(&call->arguments[2]),
        .index = is_backwards ? (int64_t)size - 1 : 0,
        .step = is_backwards ? -1 : 1,
        .skip = (uint64_t)(is_backwards ? -lpos.rank : lpos.rank) - 1,
        .most = lpos.count == 0 ? UINT64_MAX : (uint64_t)lpos.count,
        .reply = reply,
    };
    size_t mark = lpos.has_count ? reply_defer(reply) : 0;
    uint64_t looked = lpos.longest == 0 || (uint64_t)lpos.longest > size ? size : (uint64_t)lpos.longest;
    if (size > 0) list_each(value, is_backwards ? size - 1 : 0, looked, is_backwards, search_visit, &search);
    if (lpos.has_count)
        reply_defer_array(reply, mark, search.found);
    else if (search.found == 0)
        reply_null(reply);
}

/* ------------------------------------------------------------------ changing in the middle */

static void command_lset(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    int64_t index = 0;
    uint64_t place;
    if (!value_open(scope, &call->keys[0], TYPE_LIST, &opened, reply)) return;
    bool is_done = false;
    if (!opened.was_there)
        reply_error(reply, ERROR_NO_KEY);
    else if (!argument_integer(&call->arguments[2], &index, reply, NULL))
        is_done = false;
    else if (!index_of(index, list_count(opened.value), &place))
        reply_error(reply, ERROR_INDEX_RANGE);
    else if (!(is_done = list_set(&opened.value, place, text_of(&call->arguments[3]))))
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_ok(reply);
    value_close(&opened, is_done, EVENT_LSET);
}

static bool find_visit(void *context, const struct packed_text *text) {
    struct search *search = context;
    if (text->length == search->wanted.length &&
        (text->length == 0 || memcmp(text->data, search->wanted.data, text->length) == 0)) {
        search->found = 1;
        return false;
    }
    search->index++;
    return true;
}

static void command_linsert(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    bool is_before = argument_is(&call->arguments[2], "BEFORE"), is_done = true;
    if (!is_before && !argument_is(&call->arguments[2], "AFTER")) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (!value_open(scope, &call->keys[0], TYPE_LIST, &opened, reply)) return;
    struct search search = {.wanted = text_of(&call->arguments[3])};
    if (opened.was_there) list_each(opened.value, 0, list_count(opened.value), false, find_visit, &search);
    if (search.found > 0)
        is_done =
            list_insert(&opened.value, (uint64_t)search.index + !is_before, text_of(&call->arguments[4]));
    int64_t count = search.found > 0 ? (int64_t)list_count(opened.value) : opened.was_there ? -1 : 0;
    value_close(&opened, search.found > 0 && is_done, EVENT_LINSERT);
    if (is_done)
        reply_integer(reply, count);
    else
        reply_error(reply, ERROR_NO_MEMORY);
}

static void command_lrem(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    int64_t count;
    if (!argument_integer(&call->arguments[2], &count, reply, NULL)) return;
    if (count == INT64_MIN) count++;
    if (!value_open(scope, &call->keys[0], TYPE_LIST, &opened, reply)) return;
    uint64_t removed =
        opened.was_there ? list_remove_equal(&opened.value, text_of(&call->arguments[3]), count) : 0;
    value_close(&opened, removed, EVENT_LREM);
    reply_integer(reply, (int64_t)removed);
}

static void command_ltrim(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    int64_t start, end;
    uint64_t first, removed = 0;
    if (!argument_integer(&call->arguments[2], &start, reply, NULL) ||
        !argument_integer(&call->arguments[3], &end, reply, NULL))
        return;
    if (!value_open(scope, &call->keys[0], TYPE_LIST, &opened, reply)) return;
    if (opened.was_there) {
        uint64_t size = list_count(opened.value), kept = stretch_of(start, end, size, &first);
        removed = size - kept;
        if (kept == 0) {
            list_remove(&opened.value, 0, size);
        } else {
            list_remove(&opened.value, first + kept, size - first - kept);
            list_remove(&opened.value, 0, first);
        }
    }
    value_close(&opened, opened.was_there, EVENT_LTRIM);
    if (opened.was_there)
        scope_count_more(scope, (int64_t)removed - 1); /* also that nothing was to be removed is told */
    reply_ok(reply);
}

/* ------------------------------------------------------------------ rows */

const struct command lists_commands[] = {
    {.name = "rpush",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_rpush,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Appends elements to a list",
     .syntax = "key:key#0 element:string...",
     .history = "2.4.0:element"},
    {.name = "lpush",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_lpush,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Puts elements in front of a list",
     .syntax = "key:key#0 element:string...",
     .history = "2.4.0:element"},
    {.name = "rpushx",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_rpushx,
     .categories = "list",
     .since = "2.2.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Appends elements to a list if it is there",
     .syntax = "key:key#0 element:string...",
     .history = "4.0.0:element"},
    {.name = "lpushx",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_lpushx,
     .categories = "list",
     .since = "2.2.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Puts elements in front of a list if it is there",
     .syntax = "key:key#0 element:string...",
     .history = "4.0.0:element"},
    {.name = "linsert",
     .arity = 5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_linsert,
     .categories = "list",
     .since = "2.2.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Puts an element before or behind another one",
     .syntax = "key:key#0 where:oneof(before=BEFORE after=AFTER) pivot:string element:string"},
    {.name = "rpop",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST,
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
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}},
     .write = command_lpop,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Takes elements from the front of a list",
     .syntax = "key:key#0 [count:integer@6.2.0]",
     .history = "6.2.0:count"},
    {.name = "llen",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_llen,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(1)",
     .summary = "Counts the elements of a list",
     .syntax = "key:key#0"},
    {.name = "lindex",
     .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_lindex,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Reads an element by its place",
     .syntax = "key:key#0 index:integer"},
    {.name = "lset",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_lset,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Replaces an element by its place",
     .syntax = "key:key#0 index:integer element:string"},
    {.name = "lrange",
     .arity = 4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_lrange,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(S+N)",
     .summary = "Lists the elements between two places",
     .syntax = "key:key#0 start:integer stop:integer"},
    {.name = "ltrim",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_ltrim,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Keeps the elements between two places only",
     .syntax = "key:key#0 start:integer stop:integer"},
    {.name = "lpos",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_lpos,
     .categories = "list",
     .since = "6.0.6",
     .group = "list",
     .complexity = "O(N)",
     .summary = "Finds the places of an element",
     .syntax = "key:key#0 element:string [rank:integer=RANK] [num-matches:integer=COUNT] "
               "[len:integer=MAXLEN]"},
    {.name = "lrem",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_lrem,
     .categories = "list",
     .since = "1.0.0",
     .group = "list",
     .complexity = "O(N+M)",
     .summary = "Removes elements that are equal to a value",
     .syntax = "key:key#0 count:integer element:string"},
    {.name = "rpoplpush",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
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
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
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
     .keys = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .first = 1, .step = 1, .is_keynum = true}},
     .write = command_lmpop,
     .categories = "list",
     .since = "7.0.0",
     .group = "list",
     .complexity = "O(N+M)",
     .summary = "Takes elements from the first of several lists that has some",
     .syntax = "numkeys:integer key:key#0... where:oneof(left=LEFT right=RIGHT) "
               "[count:integer=COUNT]"},
    {.name = NULL},
};
