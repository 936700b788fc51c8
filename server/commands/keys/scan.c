/* Commands that go over the keyspace shard by shard: SCAN, KEYS, RANDOMKEY.
 *
 * They move along the order of hashes, of which each shard holds a stretch. A position in that order (the 52
 * high bits of a hash) is what SCAN gives its client as cursor, so changed that it tells nothing of the hash,
 * and what KEYS remembers when it lets go of a large shard for a moment. Position 0 is where everything
 * starts; nothing goes on from there, so that as an answer it can mean the end.
 *
 * Shards without keys are passed over by their published counts, without being taken. */
#include <sys/random.h>

#include "shard/keyspace.h"
#include "server/base/clock.h"
#include "server/base/glob.h"
#include "server/command/command.h"
#include "server/commands/shared/scanning.h"

/* So many entries are looked at while a shard is held; then others may have it before the walk goes on. */
#define STRETCH 4096
/* The same for a pattern that may take long to match each entry: one above that length, for which no way is
 * known to match it in time that is linear in the key's length. */
#define STRETCH_LONG 16
#define PATTERN_LONG 64
#define POSITION_BITS 52
#define POSITIONS (UINT64_C(1) << POSITION_BITS)

static uint64_t entry_position(const struct keyspace *keyspace, const struct entry *entry) {
    size_t length;
    const char *key = entry_key(entry, &length);
    return keyspace_hash(keyspace, key, length) >> (64 - POSITION_BITS);
}

/* The next shard with keys, from `shard` on; the count of shards if there is none. The caller is
 * inside the gate. */
static uint32_t next_shard(const struct call *call, uint32_t shard) {
    uint32_t count = keyspace_shard_count(call->keyspace);
    while (shard < count && keyspace_shard_keys(call->keyspace, shard, call->database) == 0) shard++;
    return shard;
}

static bool pattern_is_any(const struct bulk *pattern) {
    return pattern->length == 1 && pattern->data[0] == '*';
}

static bool pattern_is_long(const struct bulk *pattern) {
    return pattern != NULL && pattern->length > PATTERN_LONG;
}

static void items_reply(struct walk *walk, uint64_t count, struct reply *reply) {
    reply_array(reply, (size_t)count);
    if (count > 0) reply_raw(reply, walk->items.data, walk->items.length);
}

/* ------------------------------------------------------------------ SCAN */

enum { SCAN_POSITION, SCAN_LEFT, SCAN_SHARDS, SCAN_FOUND }; /* of walk->number */

struct scan {
    struct walk *walk;
    uint64_t cursor;
    int64_t count;
    const struct bulk *pattern; /* NULL: any */
    const struct bulk *type;    /* NULL: any */
    uint64_t visited;
};

static bool scan_parse(const struct call *call, struct scan *scan, struct reply *reply) {
    if (!cursor_parse(&call->arguments[1], &scan->cursor)) {
        reply_error(reply, "ERR invalid cursor");
        return false;
    }
    for (uint32_t i = 2; i < call->count; i += 2) {
        const struct bulk *option = &call->arguments[i], *value = option + 1;
        bool has_value = i + 1 < call->count, is_known = true;
        if (has_value && argument_is(option, "COUNT")) {
            if (!argument_integer(value, &scan->count, reply, NULL)) return false;
            is_known = scan->count >= 1;
        } else if (has_value && argument_is(option, "MATCH")) {
            scan->pattern = pattern_is_any(value) ? NULL : value;
        } else if (has_value && argument_is(option, "TYPE")) {
            scan->type = value;
        } else {
            is_known = false;
        }
        if (!is_known) {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void scan_visit(void *context, const struct entry *entry) {
    struct scan *scan = context;
    size_t length;
    const char *key = entry_key(entry, &length);
    scan->visited++;
    if (scan->type != NULL && !argument_is(scan->type, type_name(entry_type(entry)))) return;
    if (scan->pattern != NULL &&
        !glob_matches(scan->pattern->data, scan->pattern->length, key, length, false))
        return;
    reply_bulk(&scan->walk->items, key, length);
    scan->walk->number[SCAN_FOUND]++;
}

/* Of what has expired that is removed, as in Redis, which its client would have been told of. */
static bool scan_wants(void *context, const struct entry *entry) {
    const struct scan *scan = context;
    size_t length;
    const char *key = entry_key(entry, &length);
    return scan->pattern == NULL ||
           glob_matches(scan->pattern->data, scan->pattern->length, key, length, false);
}

static void scan_end(const struct call *call, struct walk *walk, uint64_t position, struct reply *reply) {
    walk->is_done = true;
    if (walk->items.is_broken) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    reply_array(reply, 2);
    reply_bulk_integer(reply, (int64_t)keyspace_position_cursor(call->keyspace, position));
    items_reply(walk, walk->number[SCAN_FOUND], reply);
}

static void scan_begin(const struct call *call, const struct scan *scan, struct reply *reply) {
    struct walk *walk = scan->walk;
    walk->is_long = pattern_is_long(scan->pattern);
    if (scan->cursor >= POSITIONS) { /* none of ours; there is nothing behind the end */
        scan_end(call, walk, 0, reply);
        return;
    }
    walk->number[SCAN_POSITION] = keyspace_cursor_position(call->keyspace, scan->cursor);
    walk->number[SCAN_LEFT] = (uint64_t)scan->count;
    walk->number[SCAN_SHARDS] = scan->count > INT64_MAX / 10 ? INT64_MAX : (uint64_t)scan->count * 10;
    walk->shard = keyspace_position_shard(call->keyspace, walk->number[SCAN_POSITION]);
}

/* Whether one stretch has visited all that the shard has: behind it are only empty buckets. */
static bool scan_is_whole(const struct call *call, const struct scan *scan) {
    uint32_t shard = scan->walk->shard;
    return scan->walk->number[SCAN_POSITION] == keyspace_shard_position(call->keyspace, shard) &&
           scan->visited >= keyspace_shard_keys(call->keyspace, shard, call->database);
}

/* SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]. Looks at about COUNT keys, and takes at
 * most ten times as many shards. */
static void command_scan(const struct read_scope *scope, const struct call *call, struct walk *walk,
                         struct reply *reply) {
    struct scan scan = {.walk = walk, .count = 10};
    if (!scan_parse(call, &scan, reply)) {
        walk->is_done = true;
        return;
    }
    if (scope == NULL) {
        scan_begin(call, &scan, reply);
        return;
    }
    uint64_t left = walk->number[SCAN_LEFT], most = walk->is_long ? STRETCH_LONG : STRETCH,
             stretch = left < most ? left : most;
    uint64_t position = scope_scan(scope, walk->shard, call->database, walk->number[SCAN_POSITION],
                                   (size_t)stretch, scan_visit, &scan);
    uint64_t behind = position;
    if (scan_is_whole(call, &scan)) position = SCOPE_SCAN_END;
    scope_remove_dead(scope, walk->shard, call->database, walk->number[SCAN_POSITION], behind, scan_wants,
                      &scan);
    if (position != SCOPE_SCAN_END) {
        left -= stretch; /* expired entries are looked at, too, though not visited */
    } else {
        left -= scan.visited < left ? scan.visited : left;
        walk->shard = next_shard(call, walk->shard + 1);
        if (walk->shard == keyspace_shard_count(call->keyspace)) {
            scan_end(call, walk, 0, reply);
            return;
        }
        position = keyspace_shard_position(call->keyspace, walk->shard);
    }
    walk->number[SCAN_LEFT] = left;
    walk->number[SCAN_POSITION] = position;
    if (left == 0 || --walk->number[SCAN_SHARDS] == 0) scan_end(call, walk, position, reply);
}

/* ------------------------------------------------------------------ KEYS */

enum { KEYS_POSITION, KEYS_FOUND }; /* of walk->number */

struct keys {
    const struct keyspace *keyspace;
    struct walk *walk;
    const struct bulk *pattern;
    bool is_any;
    bool goes_on; /* in the middle of a shard */
};

/* Between two stretches the table may have changed its size, and the bucket at the position may begin before
 * it: what was visited already is known by its hash, so that no key is listed twice. */
static void keys_visit(void *context, const struct entry *entry) {
    struct keys *keys = context;
    size_t length;
    const char *key = entry_key(entry, &length);
    if (keys->goes_on && entry_position(keys->keyspace, entry) < keys->walk->number[KEYS_POSITION]) return;
    if (!keys->is_any && !glob_matches(keys->pattern->data, keys->pattern->length, key, length, false))
        return;
    reply_bulk(&keys->walk->items, key, length);
    keys->walk->number[KEYS_FOUND]++;
}

static void command_keys(const struct read_scope *scope, const struct call *call, struct walk *walk,
                         struct reply *reply) {
    const struct bulk *pattern = &call->arguments[1];
    if (scope == NULL) { /* from the first shard on */
        walk->is_long = pattern_is_long(pattern);
        return;
    }
    uint64_t *position = &walk->number[KEYS_POSITION];
    struct keys keys = {
        .keyspace = call->keyspace, .walk = walk, .pattern = pattern, .is_any = pattern_is_any(pattern)};
    keys.goes_on = *position != keyspace_shard_position(call->keyspace, walk->shard);
    uint64_t next = scope_scan(scope, walk->shard, call->database, *position,
                               walk->is_long ? STRETCH_LONG : STRETCH, keys_visit, &keys);
    if (next != SCOPE_SCAN_END) {
        *position = next;
        return;
    }
    walk->shard = next_shard(call, walk->shard + 1);
    if (walk->shard < keyspace_shard_count(call->keyspace)) {
        *position = keyspace_shard_position(call->keyspace, walk->shard);
        return;
    }
    walk->is_done = true;
    if (walk->items.is_broken)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        items_reply(walk, walk->number[KEYS_FOUND], reply);
}

/* ------------------------------------------------------------------ RANDOMKEY */

/* A shard is drawn by its number of keys. In it slices of the order of hashes are drawn, narrow
 * enough to hold a few keys each, and a slice is accepted in proportion to how many it holds; then
 * each of these is as likely as any other key of the shard. */

/* Keys that a slice holds on average; most hold fewer than four times as many. */
#define SLICE_KEYS 8
#define SLICE_KEYS_MOST (4 * SLICE_KEYS)
/* After so many empty slices hardly any key of the shard can still live: then all of the shard is looked
 * at. */
#define SLICE_DRAWS 64

enum { RANDOM_STATE, RANDOM_FIRST, RANDOM_PHASE }; /* of walk->number */
enum { PHASE_DRAW, PHASE_LOOK, PHASE_LOOK_ON };

/* Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t random_next(struct walk *walk, uint64_t below) {
    uint64_t word = walk->number[RANDOM_STATE] += UINT64_C(0x9E3779B97F4A7C15);
    word = (word ^ word >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ word >> 27) * UINT64_C(0x94D049BB133111EB);
    return (uint64_t)((unsigned __int128)(word ^ word >> 31) * below >> 64);
}

/* Each thread has a sequence of its own. */
static uint64_t random_seed(void) {
    static _Thread_local uint64_t seed;
    if (seed == 0 && getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) seed = clock_cycles();
    return seed += UINT64_C(0xD1B54A32D192ED03);
}

/* One of the keys visited in a slice, each as likely (Vitter's reservoir of one). */
struct draw {
    const struct keyspace *keyspace;
    struct walk *walk;
    uint64_t first, behind; /* positions */
    uint64_t count;
    const struct entry *entry;
};

static void draw_visit(void *context, const struct entry *entry) {
    struct draw *draw = context;
    uint64_t position = entry_position(draw->keyspace, entry);
    if (position < draw->first || position >= draw->behind) return;
    if (random_next(draw->walk, ++draw->count) == 0) draw->entry = entry;
}

static void draw_slice(const struct read_scope *scope, const struct call *call, struct draw *draw,
                       uint64_t slice, uint64_t slices) {
    uint64_t begin = keyspace_shard_position(call->keyspace, draw->walk->shard);
    unsigned __int128 width = POSITIONS / keyspace_shard_count(call->keyspace);
    draw->count = 0;
    draw->entry = NULL;
    draw->first = begin + (uint64_t)(width * slice / slices);
    draw->behind = begin + (uint64_t)(width * (slice + 1) / slices);
    uint64_t position = draw->first;
    while (position < draw->behind) /* SCOPE_SCAN_END is behind everything */
        position = scope_scan(scope, draw->walk->shard, call->database, position, 1, draw_visit, draw);
    scope_remove_dead(scope, draw->walk->shard, call->database, draw->first, position, NULL, NULL);
}

static const struct entry *draw_entry(const struct read_scope *scope, const struct call *call,
                                      struct walk *walk) {
    struct draw draw = {.keyspace = call->keyspace, .walk = walk};
    uint64_t slices = keyspace_shard_keys(call->keyspace, walk->shard, call->database) / SLICE_KEYS;
    for (int i = 0; i < SLICE_DRAWS && slices > 1; i++) {
        draw_slice(scope, call, &draw, random_next(walk, slices), slices);
        if (random_next(walk, SLICE_KEYS_MOST) < draw.count) return draw.entry;
    }
    draw_slice(scope, call, &draw, 0, 1);
    return draw.entry;
}

/* Draws a shard. false if there are no keys. */
static bool draw_shard(const struct call *call, struct walk *walk) {
    uint32_t count = keyspace_shard_count(call->keyspace);
    uint64_t keys = 0;
    for (uint32_t i = 0; i < count; i++) keys += keyspace_shard_keys(call->keyspace, i, call->database);
    if (keys == 0) return false;
    uint64_t drawn = random_next(walk, keys);
    for (walk->shard = 0; walk->shard < count - 1; walk->shard++) {
        keys = keyspace_shard_keys(call->keyspace, walk->shard, call->database);
        if (drawn < keys) break;
        drawn -= keys;
    }
    walk->number[RANDOM_FIRST] = walk->shard;
    walk->number[RANDOM_PHASE] = PHASE_LOOK;
    return true;
}

/* Where all keys have expired, the next shard is asked, until all have been. */
static void look_on(const struct call *call, struct walk *walk, struct reply *reply) {
    uint32_t count = keyspace_shard_count(call->keyspace), next = next_shard(call, walk->shard + 1);
    bool is_behind = walk->number[RANDOM_PHASE] == PHASE_LOOK_ON;
    if (next == count) {
        next = next_shard(call, 0);
        is_behind = true;
    }
    if (next == count || (is_behind && next >= walk->number[RANDOM_FIRST])) {
        walk->is_done = true;
        reply_null(reply);
        return;
    }
    walk->number[RANDOM_PHASE] = is_behind ? PHASE_LOOK_ON : PHASE_LOOK;
    walk->shard = next;
}

static void command_randomkey(const struct read_scope *scope, const struct call *call, struct walk *walk,
                              struct reply *reply) {
    if (scope == NULL) {
        walk->number[RANDOM_STATE] = random_seed();
        return;
    }
    if (walk->number[RANDOM_PHASE] == PHASE_DRAW) {
        uint32_t held = walk->shard;
        if (!draw_shard(call, walk)) {
            walk->is_done = true;
            reply_null(reply);
            return;
        }
        if (walk->shard != held) return;
    }
    const struct entry *entry = draw_entry(scope, call, walk);
    if (entry == NULL) {
        look_on(call, walk, reply);
        return;
    }
    size_t length;
    const char *key = entry_key(entry, &length);
    reply_bulk(reply, key, length);
    walk->is_done = true;
}

/* ------------------------------------------------------------------ rows */

const struct command scan_commands[] = {
    {.name = "keys",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .walk = command_keys,
     .categories = "keyspace dangerous",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(N) for N keys in the database",
     .summary = "Lists the keys that match a pattern",
     .syntax = "pattern:pattern",
     .tips = "request_policy:all_shards,nondeterministic_output_order"},
    {.name = "scan",
     .arity = -2,
     .flags = COMMAND_READONLY,
     .walk = command_scan,
     .removes_dead = true,
     .categories = "keyspace",
     .since = "2.8.0",
     .group = "generic",
     .complexity = "O(1) per call, O(N) for all N keys of the database",
     .summary = "Goes through the keys step by step",
     .syntax = "cursor:integer [pattern:pattern=MATCH] [count:integer=COUNT] [type:string=TYPE@6.0.0]",
     .tips = "nondeterministic_output,request_policy:special",
     .history = "6.0.0:TYPE"},
    {.name = "randomkey",
     .arity = 1,
     .flags = COMMAND_READONLY,
     .walk = command_randomkey,
     .removes_dead = true,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Names any key of the database",
     .tips = "request_policy:all_shards,nondeterministic_output"},
    {.name = NULL},
};
