/* Lists: pushing, reading, and changing in the middle. What takes elements out is in list_pops.c. */
#include <string.h>

#include "shard/value/list.h"
#include "server/command/command.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/work.h"

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

/* ------------------------------------------------------------------ reading */

static void command_llen(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_LIST, &value, reply))
        reply_integer(reply, value == NULL ? 0 : (int64_t)list_count(value));
}

/* Finds the place of an index that may be counted from the end. false if there is no such element. */
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
    if (count > 0) list_each(value, first, count, false, reply_each, reply);
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
     .flags = COMMAND_READONLY,
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
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
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
     .work = work_of_range,
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
     .work = work_of_trim,
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
    {.name = NULL},
};
