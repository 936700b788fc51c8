/* Sets: members without order, and what several sets have in common.
 *
 * The commands on several sets read their sources first; what is stored is made apart and then takes the
 * destination's place in one edit, so that the destination may be a source as well. */
#include <stdlib.h>

#include "shard/value/form.h"
#include "shard/value/members.h"
#include "server/command/command.h"
#include "server/commands/shared/drawing.h"
#include "server/commands/shared/scanning.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/room.h"
#include "server/commands/shared/work.h"

static struct text text_from(const struct packed_text *text) {
    return (struct text){text->data, text->length};
}

/* ------------------------------------------------------------------ single members */

/* Adds the arguments from the second on: all of them, or none if memory runs out, for which it keeps note of
 * those that are new. Returns how many are new, or -1. */
static int64_t add_all(void **value, const struct call *call) {
    int64_t added = 0;
    unsigned char few[256], *is_new = call->count <= sizeof few ? few : malloc(call->count);
    uint32_t i = 2;
    for (int result; is_new != NULL && i < call->count; i++) {
        result = members_add(value, text_of(&call->arguments[i]));
        if (result < 0) break;
        is_new[i] = result == 1;
        added += result;
    }
    bool is_done = i == call->count;
    while (!is_done && i-- > 2)
        if (is_new[i]) members_remove(value, text_of(&call->arguments[i]));
    if (is_new != few) free(is_new);
    return is_done ? added : -1;
}

static void command_sadd(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    if (!value_open(scope, &call->keys[0], TYPE_SET, &opened, reply)) return;
    if (opened.value == NULL) opened.value = members_create(text_of(&call->arguments[2]), call->count - 2);
    int64_t added = opened.value == NULL ? -1 : add_all(&opened.value, call);
    if (!value_close(&opened, added > 0 ? (uint64_t)added : 0, EVENT_SADD) || added < 0)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_integer(reply, added);
}

static void command_srem(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    int64_t removed = 0;
    if (!value_open(scope, &call->keys[0], TYPE_SET, &opened, reply)) return;
    for (uint32_t i = 2; i < call->count && opened.value != NULL && members_count(opened.value) > 0; i++)
        removed += members_remove(&opened.value, text_of(&call->arguments[i]));
    value_close(&opened, (uint64_t)removed, EVENT_SREM);
    reply_integer(reply, removed);
}

/* The member is added first: if that fails, it hasn't left its set. Redis does it the other way round, and so
 * that is how it is told. */
static void move(struct write_scope *scope, const struct call *call, struct text member,
                 struct reply *reply) {
    struct opened opened;
    if (!value_open(scope, &call->keys[1], TYPE_SET, &opened, reply)) return;
    bool is_new = !opened.was_there;
    if (opened.value == NULL) opened.value = members_create(member, 1);
    int added = opened.value == NULL ? -1 : members_add(&opened.value, member);
    if (!value_close(&opened, added == 1, EVENT_SMOVE_TO) || added < 0) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    if (!value_open(scope, &call->keys[0], TYPE_SET, &opened, reply)) return;
    members_remove(&opened.value, member);
    value_close(&opened, true, EVENT_SREM);
    if (is_new) scope_mention(&scope->scope, &call->keys[1], EVENT_NEW);
    if (added == 1) scope_mention(&scope->scope, &call->keys[1], EVENT_SADD);
    reply_integer(reply, 1);
}

static void command_smove(struct write_scope *scope, const struct call *call, struct reply *reply) {
    const void *source, *destination;
    const struct entry *entry = scope_view(scope, &call->keys[0]);
    struct text member = text_of(&call->arguments[3]);
    (void)scope_view(scope, &call->keys[1]); /* whether there is a source or not */
    if (entry == NULL) {
        reply_integer(reply, 0);
        return;
    }
    if (!check_type(entry, TYPE_SET, reply) ||
        !value_peek(scope, &call->keys[1], TYPE_SET, &destination, reply))
        return;
    source = entry_value(entry);
    bool is_there = members_has(source, member);
    if (!is_there || key_equals(&call->keys[0], &call->keys[1]))
        reply_integer(reply, is_there);
    else
        move(scope, call, member, reply);
}

static void command_sismember(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_SET, &value, reply))
        reply_integer(reply, value != NULL && members_has(value, text_of(&call->arguments[2])));
}

static void command_smismember(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[0], TYPE_SET, &value, reply)) return;
    reply_array(reply, call->count - 2);
    for (uint32_t i = 2; i < call->count; i++)
        reply_integer(reply, value != NULL && members_has(value, text_of(&call->arguments[i])));
}

static void command_scard(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_SET, &value, reply))
        reply_integer(reply, value == NULL ? 0 : (int64_t)members_count(value));
}

static void reply_members(const void *value, struct reply *reply) {
    reply_set(reply, value == NULL ? 0 : members_count(value));
    if (value != NULL) members_each(value, reply_each, reply);
}

static void command_smembers(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_SET, &value, reply)) reply_members(value, reply);
}

/* ------------------------------------------------------------------ drawing */

struct drawing {
    struct reply *reply;
    struct selection selection;
};

static bool reply_selected(void *context, const struct packed_text *member) {
    struct drawing *drawing = context;
    if (selection_takes(&drawing->selection)) reply_element(drawing->reply, member);
    return drawing->selection.wanted > 0;
}

static void draw_distinct(const void *value, uint64_t count, struct reply *reply) {
    uint64_t size = members_count(value);
    struct pointers seen;
    struct packed_text member;
    if (value_form(value) != VALUE_LARGE || selection_is_small(size, count) || !pointers_init(&seen, count)) {
        struct drawing drawing = {reply, {size, count}};
        members_each(value, reply_selected, &drawing);
        return;
    }
    while (count > 0) {
        members_random(value, &member);
        if (!pointers_add(&seen, member.data)) continue;
        reply_element(reply, &member);
        count--;
    }
    pointers_free(&seen);
}

static void command_srandmember(const struct read_scope *scope, const struct call *call,
                                struct reply *reply) {
    const void *value;
    struct packed_text member;
    struct draw draw;
    if (!draw_parse(call, NULL, &draw, reply) || !value_read(scope, &call->keys[0], TYPE_SET, &value, reply))
        return;
    if (draw.is_one) {
        if (value != NULL) members_random(value, &member);
        if (value != NULL)
            reply_element(reply, &member);
        else
            reply_null(reply);
        return;
    }
    uint64_t wanted = draw_wanted(&draw, value == NULL ? 0 : members_count(value));
    reply_array(reply, wanted);
    if (draw.count > 0 && wanted > 0) draw_distinct(value, wanted, reply);
    for (; draw.count < 0 && wanted > 0 && !reply->is_broken; wanted--) {
        members_random(value, &member);
        reply_element(reply, &member);
    }
}

/* Takes a member out, after replying it: its text stands in memory of the set, which may go with it, so that
 * the text to remove is the reply's copy. If there was no memory for that copy, the member stays. */
static void pop_one(struct opened *opened, struct reply *reply) {
    struct packed_text member;
    members_random(opened->value, &member);
    reply_element(reply, &member);
    if (reply->is_broken) return;
    members_remove(&opened->value,
                   (struct text){reply->data + reply->length - 2 - member.length, member.length});
}

static void command_spop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    int64_t count = 1;
    bool has_count = call->count == 3;
    if (call->count > 3) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (has_count &&
        !argument_integer_within(&call->arguments[2], 0, INT64_MAX, &count, reply, ERROR_NOT_POSITIVE))
        return;
    if (!value_open(scope, &call->keys[0], TYPE_SET, &opened, reply)) return;
    uint64_t size = opened.value == NULL ? 0 : members_count(opened.value),
             wanted = (uint64_t)count < size ? (uint64_t)count : size;
    if (has_count)
        reply_set(reply, wanted);
    else if (size == 0)
        reply_null(reply);
    if (wanted == size && size > 1) {
        members_each(opened.value, reply_each, reply);
        edit_close_value(&opened.edit, opened.value, true);
        edit_remove(&opened.edit);
        scope_changed(&opened.edit, EVENT_SPOP);
        scope_count_more(scope, (int64_t)size - 1);
        return;
    }
    for (uint64_t left = wanted; left > 0 && !reply->is_broken; left--) pop_one(&opened, reply);
    value_close(&opened, wanted, EVENT_SPOP);
}

/* ------------------------------------------------------------------ several sets */

/* The values of some keys, NULL where one is absent. */
struct sources {
    const void **values;
    uint32_t count;
    bool has_absent;
};

static void sources_free(struct sources *sources) {
    free(sources->values);
}

/* Opens the sources; one of the two scopes is NULL. Replies and returns false if a key is of another type, or
 * when out of memory. */
static bool sources_read(const struct read_scope *reading, const struct write_scope *writing,
                         const struct key *keys, uint32_t count, struct sources *sources,
                         struct reply *reply) {
    *sources = (struct sources){malloc((count + 1) * sizeof(void *)), count, false};
    if (sources->values == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const void **value = &sources->values[i];
        bool is_set = reading != NULL ? value_read(reading, &keys[i], TYPE_SET, value, reply)
                                      : value_view(writing, &keys[i], TYPE_SET, value, reply);
        if (!is_set) {
            sources_free(sources);
            return false;
        }
        sources->has_absent = sources->has_absent || *value == NULL;
    }
    return true;
}

static int compare_counts(const void *one, const void *other) {
    uint64_t first = members_count(*(const void *const *)one),
             second = members_count(*(const void *const *)other);
    return first < second ? -1 : first > second;
}

typedef bool found_function(void *context, const struct packed_text *member);

struct search {
    const struct sources *sources;
    bool is_wanted; /* in all of the others, or in none */
    found_function *found;
    void *context;
};

static bool look_in_others(void *context, const struct packed_text *member) {
    const struct search *search = context;
    for (uint32_t i = 1; i < search->sources->count; i++) {
        const void *other = search->sources->values[i];
        if ((other != NULL && members_has(other, text_from(member))) != search->is_wanted) return true;
    }
    return search->found(search->context, member);
}

/* Finds the members that all sets have, going through the smallest set. */
static void intersect(struct sources *sources, found_function *found, void *context) {
    if (sources->has_absent) return;
    qsort(sources->values, sources->count, sizeof *sources->values, compare_counts);
    struct search search = {sources, true, found, context};
    members_each(sources->values[0], look_in_others, &search);
}

static void unite(const struct sources *sources, found_function *found, void *context) {
    for (uint32_t i = 0; i < sources->count; i++)
        if (sources->values[i] != NULL) members_each(sources->values[i], found, context);
}

/* A set that is being made. */
struct making {
    void *value;
    bool is_failed;
};

static bool make_add(void *context, const struct packed_text *member) {
    struct making *making = context;
    if (making->is_failed) return false; /* of a source before this one */
    if (making->value == NULL) making->value = members_create(text_from(member), 1);
    making->is_failed = making->value == NULL || members_add(&making->value, text_from(member)) < 0;
    return !making->is_failed;
}

static bool make_remove(void *context, const struct packed_text *member) {
    struct making *making = context;
    members_remove(&making->value, text_from(member));
    return members_count(making->value) > 0;
}

/* Either each member of the first is looked for in the others, until it is found in one, or the others' are
 * taken out of a copy: whichever is less work, as Redis reckons it. */
static void subtract(const struct sources *sources, struct making *making) {
    const void *first = sources->values[0];
    if (first == NULL) return;
    uint64_t looks = 0, members = 0;
    for (uint32_t i = 0; i < sources->count; i++) {
        if (sources->values[i] == NULL) continue;
        looks += members_count(first);
        members += members_count(sources->values[i]);
    }
    if (looks / 2 <= members) {
        struct search search = {sources, false, make_add, making};
        members_each(first, look_in_others, &search);
        return;
    }
    members_each(first, make_add, making);
    for (uint32_t i = 1; i < sources->count && !making->is_failed && members_count(making->value) > 0; i++)
        if (sources->values[i] != NULL) members_each(sources->values[i], make_remove, making);
}

enum operation { OPERATION_INTER, OPERATION_UNION, OPERATION_DIFF };

/* The result as a set of its own, NULL if it is empty. Replies and returns false when out of memory. */
static bool operate(enum operation operation, struct sources *sources, void **value, struct reply *reply) {
    struct making making = {NULL, false};
    switch (operation) {
    case OPERATION_INTER: intersect(sources, make_add, &making); break;
    case OPERATION_UNION: unite(sources, make_add, &making); break;
    case OPERATION_DIFF: subtract(sources, &making); break;
    }
    *value = making.value;
    if (!making.is_failed) return true;
    if (making.value != NULL) value_free(&set_kind, making.value);
    reply_error(reply, ERROR_NO_MEMORY);
    return false;
}

static void operate_reply(const struct read_scope *scope, const struct call *call, enum operation operation,
                          struct reply *reply) {
    struct sources sources;
    void *value;
    if (!sources_read(scope, NULL, call->keys, call->key_count, &sources, reply)) return;
    if (operate(operation, &sources, &value, reply)) {
        reply_members(value, reply);
        if (value != NULL) value_free(&set_kind, value);
    }
    sources_free(&sources);
}

static void operate_store(struct write_scope *scope, const struct call *call, enum operation operation,
                          enum event event, struct reply *reply) {
    struct sources sources;
    void *value;
    if (!sources_read(NULL, scope, call->keys + 1, call->key_count - 1, &sources, reply)) return;
    bool is_done = operate(operation, &sources, &value, reply);
    sources_free(&sources);
    int64_t count = is_done && value != NULL ? (int64_t)members_count(value) : 0;
    if (is_done && value_store(scope, &call->keys[0], TYPE_SET, value, 1, event, reply))
        reply_integer(reply, count);
}

static bool reply_found(void *context, const struct packed_text *member) {
    struct drawing *drawing = context;
    reply_element(drawing->reply, member);
    drawing->selection.wanted++;
    return true;
}

/* An intersection, unlike other operations, finds no member twice: nothing has to be kept. */
static void command_sinter(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct sources sources;
    if (!sources_read(scope, NULL, call->keys, call->key_count, &sources, reply)) return;
    struct drawing found = {.reply = reply};
    size_t mark = reply_defer(reply);
    intersect(&sources, reply_found, &found);
    reply_defer_set(reply, mark, found.selection.wanted);
    sources_free(&sources);
}

static void command_sunion(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    operate_reply(scope, call, OPERATION_UNION, reply);
}

static void command_sdiff(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    operate_reply(scope, call, OPERATION_DIFF, reply);
}

static void command_sinterstore(struct write_scope *scope, const struct call *call, struct reply *reply) {
    operate_store(scope, call, OPERATION_INTER, EVENT_SINTERSTORE, reply);
}

static void command_sunionstore(struct write_scope *scope, const struct call *call, struct reply *reply) {
    operate_store(scope, call, OPERATION_UNION, EVENT_SUNIONSTORE, reply);
}

static void command_sdiffstore(struct write_scope *scope, const struct call *call, struct reply *reply) {
    operate_store(scope, call, OPERATION_DIFF, EVENT_SDIFFSTORE, reply);
}

static bool count_found(void *context, const struct packed_text *member) {
    struct selection *counted = context; /* left: the limit */
    (void)member;
    return ++counted->wanted < counted->left;
}

static void command_sintercard(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    int64_t keys, limit = 0;
    if (!argument_integer_within(&call->arguments[1], 1, INT64_MAX, &keys, reply,
                                 "ERR numkeys should be greater than 0"))
        return;
    if (keys > (int64_t)call->count - 2) {
        reply_error(reply, "ERR Number of keys can't be greater than number of args");
        return;
    }
    for (uint32_t i = 2 + (uint32_t)keys; i < call->count; i += 2) {
        if (!argument_is(&call->arguments[i], "LIMIT") || i + 1 == call->count) {
            reply_error(reply, ERROR_SYNTAX);
            return;
        }
        if (!argument_integer_within(&call->arguments[i + 1], 0, INT64_MAX, &limit, reply,
                                     "ERR LIMIT can't be negative"))
            return;
    }
    struct sources sources;
    if (!sources_read(scope, NULL, call->keys, call->key_count, &sources, reply)) return;
    struct selection counted = {limit == 0 ? UINT64_MAX : (uint64_t)limit, 0};
    intersect(&sources, count_found, &counted);
    reply_integer(reply, (int64_t)counted.wanted);
    sources_free(&sources);
}

/* ------------------------------------------------------------------ SSCAN */

static bool scan_visit(void *context, const struct packed_text *member) {
    struct value_scan *scan = context;
    if (!value_scan_matches(scan, member)) return true;
    reply_element(&scan->items, member);
    scan->found++;
    return true;
}

static void command_sscan(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct value_scan scan;
    const void *value;
    if (!value_scan_begin(scope, call, TYPE_SET, &scan, &value, reply)) return;
    value_scan_end(&scan, members_scan(value, scan.position, (uint64_t)scan.count, scan_visit, &scan), reply);
}

/* ------------------------------------------------------------------ rows */

const struct command sets_commands[] = {
    {.name = "sadd",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_sadd,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(1)",
     .summary = "Puts members into a set",
     .syntax = "key:key#0 member:string...",
     .history = "2.4.0:member"},
    {.name = "srem",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_srem,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(N)",
     .summary = "Takes members out of a set",
     .syntax = "key:key#0 member:string...",
     .history = "2.4.0:member"},
    {.name = "smove",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}, {KEY_RW | KEY_INSERT, 2, 0, 1}},
     .write = command_smove,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(1)",
     .summary = "Moves a member from one set to another",
     .syntax = "source:key#0 destination:key#1 member:string"},
    {.name = "sismember",
     .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_sismember,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(1)",
     .summary = "Tells whether a set has a member",
     .syntax = "key:key#0 member:string"},
    {.name = "smismember",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_smismember,
     .categories = "set",
     .since = "6.2.0",
     .group = "set",
     .complexity = "O(N)",
     .summary = "Tells which of several members a set has",
     .syntax = "key:key#0 member:string..."},
    {.name = "scard",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_scard,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(1)",
     .summary = "Counts the members of a set",
     .syntax = "key:key#0"},
    {.name = "spop",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_count,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}},
     .write = command_spop,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "Without the count argument O(1), otherwise O(N)",
     .summary = "Takes members out of a set by chance",
     .syntax = "key:key#0 [count:integer@3.2.0]",
     .tips = "nondeterministic_output",
     .history = "3.2.0:count"},
    {.name = "srandmember",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_count,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_srandmember,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "Without the count argument O(1), otherwise O(N)",
     .summary = "Draws members of a set",
     .syntax = "key:key#0 [count:integer@2.6.0]",
     .tips = "nondeterministic_output",
     .history = "2.6.0:count"},
    {.name = "sinter",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, -1, 1}},
     .read = command_sinter,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(N*M)",
     .summary = "Lists what several sets have in common",
     .syntax = "key:key#0...",
     .tips = "nondeterministic_output_order"},
    {.name = "sintercard",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RO | KEY_ACCESS, .first = 1, .step = 1, .is_keynum = true}},
     .read = command_sintercard,
     .categories = "set",
     .since = "7.0.0",
     .group = "set",
     .complexity = "O(N*M)",
     .summary = "Counts what several sets have in common",
     .syntax = "numkeys:integer key:key#0... [limit:integer=LIMIT]"},
    {.name = "sinterstore",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}, {KEY_RO | KEY_ACCESS, 2, -1, 1}},
     .write = command_sinterstore,
     .room = room_for_least,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(N*M)",
     .summary = "Keeps what several sets have in common as a set",
     .syntax = "destination:key#0 key:key#1..."},
    {.name = "sunion",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, -1, 1}},
     .read = command_sunion,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(N)",
     .summary = "Lists what is in any of several sets",
     .syntax = "key:key#0...",
     .tips = "nondeterministic_output_order"},
    {.name = "sunionstore",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1}, {KEY_RO | KEY_ACCESS, 2, -1, 1}},
     .write = command_sunionstore,
     .room = room_for_sum,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(N)",
     .summary = "Keeps what is in any of several sets as a set",
     .syntax = "destination:key#0 key:key#1..."},
    {.name = "sdiff",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, -1, 1}},
     .read = command_sdiff,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(N)",
     .summary = "Lists what the first of several sets has alone",
     .syntax = "key:key#0...",
     .tips = "nondeterministic_output_order"},
    {.name = "sdiffstore",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1}, {KEY_RO | KEY_ACCESS, 2, -1, 1}},
     .write = command_sdiffstore,
     .room = room_for_second,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(N)",
     .summary = "Keeps what the first of several sets has alone as a set",
     .syntax = "destination:key#0 key:key#1..."},
    {.name = "smembers",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_smembers,
     .categories = "set",
     .since = "1.0.0",
     .group = "set",
     .complexity = "O(N)",
     .summary = "Lists the members of a set",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output_order"},
    {.name = "sscan",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_scan,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_sscan,
     .categories = "set",
     .since = "2.8.0",
     .group = "set",
     .complexity = "O(1) for every call",
     .summary = "Goes over the members of a set step by step",
     .syntax = "key:key#0 cursor:integer [pattern:pattern=MATCH] [count:integer=COUNT]",
     .tips = "nondeterministic_output"},
    {.name = NULL},
};
