/* The checker goes through invocations and responses in the order of time, and keeps every state
 * that the keys may be in, each with the set of those pending operations that must have happened
 * to reach it: a configuration.
 *
 *     invocation   the operation is pending from now on
 *     response     every configuration in which it has not happened yet is left for all that can
 *                  be reached from it by letting pending operations happen, this one last. None
 *                  can be reached: the history is not linearizable.
 *
 * The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993) with Lowe's
 * two cures ("Testing for linearizability", 2017): nothing is ordered before it has to be
 * (just-in-time linearization), and no configuration is looked at twice. As it goes breadth
 * first it needs no end of the history, and no window: what it knows at any moment is the set of
 * configurations.
 *
 * A third cure makes that set small, usually one. What only reads, given its answer, happens as
 * soon as its answer is right: it could not be better off later, and changes nothing for the
 * others. So only writes that overlap make choices.
 *
 * A configuration has one number per key. A string is its own, and a list or a set has one that
 * stands for what is in it (contents.h). None is ever empty: then the key is absent. */
#include "history.h"

#include "contents.h"

#include <stdlib.h>
#include <string.h>

/* Beyond that many configurations a history counts as undecided. */
#define CONFIGURATIONS_MOST (1u << 20)
/* How far back the smallest window is looked for, and how many states it may have begun in. */
#define WINDOW_MOST 200
#define STATES_MOST 20000
#define CONTENTS_WORTH_FORGETTING 1000
/* Lines that are written of a long one. */
#define LINES_FIRST 12
#define LINES_LAST 28

struct configuration {
    int64_t values[HISTORY_KEYS];
    uint64_t done; /* slots of pending operations that have happened */
};

/* A set of them, in the order of arrival. An index word is a generation and a number, so that
 * emptying costs nothing. */
struct set {
    struct configuration *items;
    uint32_t count, capacity;
    uint64_t *index; /* 4 * capacity words */
    uint32_t generation;
};

struct log {
    struct operation *operations;
    size_t count;
};

/* An invocation or a response. */
struct moment {
    struct operation *operation;
    uint32_t client;
    bool is_response;
};

struct history {
    const char *const *names;
    size_t keys, clients, capacity;
    struct contents *contents; /* of lists and sets */
    struct log *logs;          /* by client */
    uint64_t checked;
    /* Of the check under way. */
    struct moment *moments;
    size_t moment_count, moment_capacity;
    struct set possible, next, visited, start;
    struct operation *pending[HISTORY_PENDING]; /* by slot */
    uint64_t before[HISTORY_PENDING];           /* pending ones of the same client that were asked first */
    uint64_t live, reading;                     /* slots in use; those of operations that only read */
    uint64_t *live_of;                          /* by client */
    bool is_of_strings;                         /* for explaining */
};

static void *must(void *memory) {
    if (memory != NULL) return memory;
    fputs("history: out of memory\n", stderr);
    exit(1);
}

static uint64_t bit(unsigned slot) {
    return UINT64_C(1) << slot;
}

/* ------------------------------------------------------------------ sets */

static void set_init(struct set *set) {
    *set = (struct set){.capacity = 64, .generation = 1};
    set->items = must(malloc(set->capacity * sizeof *set->items));
    set->index = must(calloc(set->capacity * 4, sizeof *set->index));
}

static void set_free(struct set *set) {
    free(set->items);
    free(set->index);
}

static void set_clear(struct set *set) {
    set->count = 0;
    set->generation++;
}

static uint64_t hash_of(const struct configuration *configuration) {
    uint64_t hash = configuration->done;
    for (size_t i = 0; i < HISTORY_KEYS; i++) {
        hash = (hash ^ (uint64_t)configuration->values[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    return hash;
}

/* Where it is, or belongs. */
static uint64_t *set_place(const struct set *set, const struct configuration *configuration) {
    uint64_t mask = (uint64_t)set->capacity * 4 - 1;
    for (uint64_t at = hash_of(configuration) & mask;; at = (at + 1) & mask) {
        uint64_t word = set->index[at];
        if (word >> 32 != set->generation) return &set->index[at];
        if (memcmp(&set->items[(uint32_t)word], configuration, sizeof *configuration) == 0)
            return &set->index[at];
    }
}

static void set_grow(struct set *set) {
    set->capacity *= 2;
    set->items = must(realloc(set->items, set->capacity * sizeof *set->items));
    free(set->index);
    set->index = must(calloc((size_t)set->capacity * 4, sizeof *set->index));
    set->generation = 1;
    for (uint32_t i = 0; i < set->count; i++) *set_place(set, &set->items[i]) = UINT64_C(1) << 32 | i;
}

/* Returns whether it is new. */
static bool set_add(struct set *set, const struct configuration *configuration) {
    if (set->count == set->capacity) set_grow(set);
    uint64_t *place = set_place(set, configuration);
    if (*place >> 32 == set->generation) return false;
    *place = (uint64_t)set->generation << 32 | set->count;
    set->items[set->count++] = *configuration;
    return true;
}

/* Items may be changed after they were added, so the copy's index is made anew. */
static void set_copy(struct set *to, const struct set *from) {
    set_clear(to);
    for (uint32_t i = 0; i < from->count; i++) set_add(to, &from->items[i]);
}

static void set_swap(struct set *a, struct set *b) {
    struct set third = *a;
    *a = *b;
    *b = third;
}

/* ------------------------------------------------------------------ what operations mean */

static bool becomes(int64_t *value, int64_t other) {
    *value = other;
    return true;
}

static bool increment(const struct operation *operation, int64_t *value) {
    bool is_number = *value == HISTORY_ABSENT || history_is_number(*value);
    if (!is_number || operation->result == HISTORY_REFUSED)
        return !is_number && operation->result == HISTORY_REFUSED;
    int64_t sum = *value == HISTORY_ABSENT ? 1 : *value + 1;
    return sum == operation->result && becomes(value, sum);
}

static bool delete_keys(const struct operation *operation, int64_t *values) {
    int64_t found = 0;
    for (unsigned i = 0; i < HISTORY_KEYS; i++) {
        if ((operation->keys & bit(i)) == 0) continue;
        found += values[i] != HISTORY_ABSENT;
        values[i] = HISTORY_ABSENT;
    }
    return found == operation->result;
}

static bool write_keys(const struct operation *operation, int64_t *values) {
    for (unsigned i = 0; i < HISTORY_KEYS; i++)
        if ((operation->keys & bit(i)) != 0) values[i] = operation->argument;
    return true;
}

static bool read_keys(const struct operation *operation, const int64_t *values) {
    for (unsigned i = 0; i < HISTORY_KEYS; i++)
        if ((operation->keys & bit(i)) != 0 && values[i] != operation->values[i]) return false;
    return true;
}

static bool rename_key(const struct operation *operation, int64_t *value, int64_t *target) {
    bool is_absent = *value == HISTORY_ABSENT;
    if (is_absent || operation->result == 0) return is_absent && operation->result == 0;
    *target = *value;
    return becomes(value, HISTORY_ABSENT);
}

/* The elements of a list or a set, apart, with room for one more. */
struct row {
    int64_t elements[CONTENTS_MOST + 1];
    size_t count;
};

static void row_load(const struct contents *contents, int64_t value, struct row *row) {
    row->count = 0;
    if (value == HISTORY_ABSENT) return;
    const int64_t *elements = contents_elements(contents, value, &row->count);
    memcpy(row->elements, elements, row->count * sizeof *elements);
}

static int64_t row_store(struct contents *contents, const struct row *row) {
    return row->count == 0 ? HISTORY_ABSENT : contents_number(contents, row->elements, row->count);
}

static void row_insert(struct row *row, size_t place, int64_t element) {
    memmove(row->elements + place + 1, row->elements + place, (row->count - place) * sizeof element);
    row->elements[place] = element;
    row->count++;
}

static int64_t row_remove(struct row *row, size_t place) {
    int64_t element = row->elements[place];
    row->count--;
    memmove(row->elements + place, row->elements + place + 1, (row->count - place) * sizeof element);
    return element;
}

/* Where a set's member is, or belongs: they are in ascending order. */
static size_t place_of(const struct row *row, int64_t member, bool *is_there) {
    size_t place = 0;
    while (place < row->count && row->elements[place] < member) place++;
    *is_there = place < row->count && row->elements[place] == member;
    return place;
}

static bool push(struct contents *contents, const struct operation *operation, int64_t *value) {
    static _Thread_local struct row row;
    row_load(contents, *value, &row);
    if ((int64_t)row.count + 1 != operation->result) return false;
    row_insert(&row, operation->kind == OPERATION_LPUSH ? 0 : row.count, operation->argument);
    return becomes(value, row_store(contents, &row));
}

/* From LPOP, RPOP and LMOVE. */
static bool pop(struct contents *contents, bool is_at_end, int64_t expected, int64_t *value) {
    static _Thread_local struct row row;
    row_load(contents, *value, &row);
    if (row.count == 0 || expected == HISTORY_ABSENT) return row.count == 0 && expected == HISTORY_ABSENT;
    return row_remove(&row, is_at_end ? row.count - 1 : 0) == expected &&
           becomes(value, row_store(contents, &row));
}

static bool move(struct contents *contents, const struct operation *operation, int64_t *from, int64_t *to) {
    static _Thread_local struct row row;
    if (!pop(contents, (operation->argument & HISTORY_FROM_END) != 0, operation->result, from)) return false;
    if (operation->result == HISTORY_ABSENT) return true;
    row_load(contents, *to, &row);
    row_insert(&row, (operation->argument & HISTORY_TO_END) != 0 ? row.count : 0, operation->result);
    return becomes(to, row_store(contents, &row));
}

/* Makes it a member or not. Returns whether it was. */
static bool set_member(struct contents *contents, int64_t member, bool is_wanted, int64_t *value) {
    static _Thread_local struct row row;
    bool is_there;
    row_load(contents, *value, &row);
    size_t place = place_of(&row, member, &is_there);
    if (is_there == is_wanted) return is_there;
    if (is_wanted)
        row_insert(&row, place, member);
    else
        row_remove(&row, place);
    *value = row_store(contents, &row);
    return is_there;
}

static bool is_member(const struct contents *contents, int64_t member, int64_t value) {
    size_t count = 0;
    const int64_t *elements = value == HISTORY_ABSENT ? NULL : contents_elements(contents, value, &count);
    for (size_t i = 0; i < count; i++)
        if (elements[i] == member) return true;
    return false;
}

static bool move_member(struct contents *contents, const struct operation *operation, int64_t *from,
                        int64_t *to) {
    if (is_member(contents, operation->argument, *from) != (operation->result == 1)) return false;
    if (operation->result == 0) return true;
    set_member(contents, operation->argument, false, from);
    set_member(contents, operation->argument, true, to);
    return true;
}

static bool happen(const struct history *history, const struct operation *operation, int64_t *values);

static bool happen_in_row(const struct history *history, const struct operation *operation, int64_t *values) {
    for (int64_t i = 0; i < operation->argument; i++)
        if (!happen(history, &operation->steps[i], values)) return false;
    return true;
}

/* Lets it happen. Returns whether that gives its answer; if not, the values are of no use any
 * more. */
static bool happen(const struct history *history, const struct operation *operation, int64_t *values) {
    if (operation->kind == OPERATION_TRANSACTION) return happen_in_row(history, operation, values);
    int64_t *value = &values[__builtin_ctz(operation->keys)], result = operation->result;
    int64_t argument = operation->argument;
    struct contents *contents = history->contents;
    bool is_absent = *value == HISTORY_ABSENT;
    switch ((enum operation_kind)operation->kind) {
    case OPERATION_GET: return *value == result;
    case OPERATION_SET: return becomes(value, argument);
    case OPERATION_SET_NX: return is_absent == (result == 1) && (!is_absent || becomes(value, argument));
    case OPERATION_SET_XX: return is_absent == (result == 0) && (is_absent || becomes(value, argument));
    case OPERATION_SET_GET: return *value == result && becomes(value, argument);
    case OPERATION_SET_NX_GET: return *value == result && (!is_absent || becomes(value, argument));
    case OPERATION_INCR: return increment(operation, value);
    case OPERATION_DEL:
    case OPERATION_EXPIRE: return delete_keys(operation, values);
    case OPERATION_MSET: return write_keys(operation, values);
    case OPERATION_MGET: return read_keys(operation, values);
    case OPERATION_RENAME: return rename_key(operation, value, &values[operation->target]);
    case OPERATION_LPUSH:
    case OPERATION_RPUSH: return push(contents, operation, value);
    case OPERATION_LPOP:
    case OPERATION_RPOP: return pop(contents, operation->kind == OPERATION_RPOP, result, value);
    case OPERATION_LMOVE: return move(contents, operation, value, &values[operation->target]);
    case OPERATION_SADD: return set_member(contents, argument, true, value) == (result == 0);
    case OPERATION_SREM: return set_member(contents, argument, false, value) == (result == 1);
    case OPERATION_SISMEMBER: return is_member(contents, argument, *value) == (result == 1);
    case OPERATION_SPOP:
        if (is_absent || result == HISTORY_ABSENT) return is_absent && result == HISTORY_ABSENT;
        return set_member(contents, result, false, value);
    case OPERATION_SMOVE: return move_member(contents, operation, value, &values[operation->target]);
    case OPERATION_TRANSACTION:
    case OPERATION_KINDS: break;
    }
    abort();
}

/* With this answer, it has changed nothing. */
static bool only_reads(const struct operation *operation) {
    bool do_only_read = true;
    switch (operation->kind) {
    case OPERATION_TRANSACTION:
        for (int64_t i = 0; i < operation->argument && do_only_read; i++)
            do_only_read = only_reads(&operation->steps[i]);
        return do_only_read;
    case OPERATION_GET:
    case OPERATION_MGET:
    case OPERATION_SISMEMBER: return true;
    case OPERATION_SET_NX:
    case OPERATION_SET_XX:
    case OPERATION_DEL:
    case OPERATION_EXPIRE:
    case OPERATION_RENAME:
    case OPERATION_SADD:
    case OPERATION_SREM:
    case OPERATION_SMOVE: return operation->result == 0;
    case OPERATION_LPOP:
    case OPERATION_RPOP:
    case OPERATION_LMOVE:
    case OPERATION_SPOP: return operation->result == HISTORY_ABSENT;
    case OPERATION_SET_NX_GET: return operation->result != HISTORY_ABSENT;
    case OPERATION_INCR: return operation->result == HISTORY_REFUSED;
    default: return false;
    }
}

/* ------------------------------------------------------------------ the search */

static bool may_happen(const struct history *history, const struct configuration *configuration,
                       unsigned slot) {
    return (history->before[slot] & ~configuration->done) == 0;
}

/* Reads whose answer is right happen. One that does may have kept another of its client's back. */
static void settle(const struct history *history, struct configuration *configuration) {
    uint64_t tried = 0, left;
    while ((left = history->reading & ~configuration->done & ~tried) != 0) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        struct configuration after = *configuration;
        tried |= bit(slot);
        if (!may_happen(history, configuration, slot)) continue;
        if (!happen(history, history->pending[slot], after.values)) continue;
        configuration->done |= bit(slot);
        tried = 0;
    }
}

/* Adds to `next` what can be reached by letting pending operations happen, that of `last` at the
 * end. */
static void expand(struct history *history, const struct configuration *from, unsigned last) {
    for (uint64_t left = history->live & ~from->done; left != 0; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        struct configuration after = *from;
        if (!may_happen(history, from, slot)) continue;
        if (!happen(history, history->pending[slot], after.values)) continue;
        after.done |= bit(slot);
        settle(history, &after);
        if ((after.done & bit(last)) != 0) {
            after.done &= ~bit(last);
            set_add(&history->next, &after);
        } else if (history->visited.count < CONFIGURATIONS_MOST && set_add(&history->visited, &after)) {
            expand(history, &after, last);
        }
    }
}

static void invoke(struct history *history, const struct moment *moment) {
    struct operation *operation = moment->operation;
    if (history->live == UINT64_MAX) {
        fprintf(stderr, "history: more than %d operations are pending\n", HISTORY_PENDING);
        abort();
    }
    unsigned slot = (unsigned)__builtin_ctzll(~history->live);
    operation->slot = (uint8_t)slot;
    history->pending[slot] = operation;
    history->before[slot] = history->live_of[moment->client];
    history->live |= bit(slot);
    history->live_of[moment->client] |= bit(slot);
    if (!only_reads(operation)) return;
    history->reading |= bit(slot);
    for (uint32_t i = 0; i < history->possible.count; i++) settle(history, &history->possible.items[i]);
}

static void forget(struct history *history, uint32_t client, unsigned slot) {
    history->live &= ~bit(slot);
    history->reading &= ~bit(slot);
    history->live_of[client] &= ~bit(slot);
    for (uint64_t left = history->live_of[client]; left != 0; left &= left - 1)
        history->before[__builtin_ctzll(left)] &= ~bit(slot);
}

/* Returns whether there was a way for it to have happened by now. */
static bool respond(struct history *history, const struct moment *moment) {
    struct set *possible = &history->possible;
    unsigned slot = moment->operation->slot;
    uint32_t happened = 0;
    for (uint32_t i = 0; i < possible->count; i++) happened += (possible->items[i].done & bit(slot)) != 0;
    if (happened == possible->count) {
        for (uint32_t i = 0; i < possible->count; i++) possible->items[i].done &= ~bit(slot);
    } else {
        set_clear(&history->next);
        set_clear(&history->visited);
        for (uint32_t i = 0; i < possible->count; i++) {
            struct configuration configuration = possible->items[i];
            if ((configuration.done & bit(slot)) == 0) {
                expand(history, &configuration, slot);
                continue;
            }
            configuration.done &= ~bit(slot);
            set_add(&history->next, &configuration);
        }
        set_swap(possible, &history->next);
    }
    forget(history, moment->client, slot);
    return possible->count > 0;
}

static bool is_too_much(const struct history *history) {
    return history->visited.count >= CONFIGURATIONS_MOST || history->possible.count >= CONFIGURATIONS_MOST;
}

/* Goes through the moments [from, to). Returns the first one that can't have been, or `to`. */
static size_t run(struct history *history, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        const struct moment *moment = &history->moments[i];
        if (!moment->is_response)
            invoke(history, moment);
        else if (!respond(history, moment) || is_too_much(history))
            return i;
    }
    return to;
}

static void start_over(struct history *history) {
    history->live = history->reading = 0;
    memset(history->live_of, 0, history->clients * sizeof *history->live_of);
    set_clear(&history->visited);
}

/* ------------------------------------------------------------------ recording */

struct history *history_open(const char *const *names, size_t keys, size_t clients, size_t capacity) {
    struct history *history = must(calloc(1, sizeof *history));
    history->names = names;
    history->keys = keys;
    history->clients = clients;
    history->capacity = capacity;
    history->contents = contents_open();
    history->logs = must(calloc(clients, sizeof *history->logs));
    history->live_of = must(calloc(clients, sizeof *history->live_of));
    for (size_t i = 0; i < clients; i++)
        history->logs[i].operations = must(calloc(capacity, sizeof(struct operation)));
    set_init(&history->possible);
    set_init(&history->next);
    set_init(&history->visited);
    set_init(&history->start);
    struct configuration nothing = {.done = 0};
    for (size_t i = 0; i < HISTORY_KEYS; i++) nothing.values[i] = HISTORY_ABSENT;
    set_add(&history->possible, &nothing);
    return history;
}

void history_close(struct history *history) {
    for (size_t i = 0; i < history->clients; i++) free(history->logs[i].operations);
    set_free(&history->possible);
    set_free(&history->next);
    set_free(&history->visited);
    set_free(&history->start);
    contents_close(history->contents);
    free(history->logs);
    free(history->live_of);
    free(history->moments);
    free(history);
}

uint64_t history_checked(const struct history *history) {
    return history->checked;
}

static struct operation *append(struct history *history, size_t client, const struct operation *what) {
    struct log *log = &history->logs[client];
    if (log->count == history->capacity) {
        fputs("history: more operations than it was opened for\n", stderr);
        abort();
    }
    struct operation *operation = &log->operations[log->count++];
    *operation = *what;
    return operation;
}

struct operation *history_begin(struct history *history, size_t client, const struct operation *what) {
    struct operation *operation = append(history, client, what);
    operation->invoked = history_now();
    return operation;
}

void history_add(struct history *history, size_t client, const struct operation *what) {
    append(history, client, what);
}

/* ------------------------------------------------------------------ the order of time */

/* How far a client's log has been merged. */
struct cursor {
    size_t invoked, returned;
};

/* The client whose next invocation, or response, comes first, or `clients` if there is none. */
static size_t earliest(const struct history *history, const struct cursor *cursors, bool is_response,
                       int64_t *time) {
    size_t first = history->clients;
    for (size_t i = 0; i < history->clients; i++) {
        const struct log *log = &history->logs[i];
        const struct cursor *cursor = &cursors[i];
        if (is_response ? cursor->returned == cursor->invoked : cursor->invoked == log->count) continue;
        int64_t its = is_response ? log->operations[cursor->returned].returned
                                  : log->operations[cursor->invoked].invoked;
        if (first != history->clients && its >= *time) continue;
        first = i;
        *time = its;
    }
    return first;
}

/* What happened in the same nanosecond overlaps: invocations go first. */
static void merge(struct history *history) {
    struct cursor *cursors = must(calloc(history->clients, sizeof *cursors));
    size_t count = 0;
    for (size_t i = 0; i < history->clients; i++) count += history->logs[i].count * 2;
    if (count > history->moment_capacity) {
        history->moments = must(realloc(history->moments, count * sizeof *history->moments));
        history->moment_capacity = count;
    }
    for (history->moment_count = 0; history->moment_count < count; history->moment_count++) {
        int64_t invoked = INT64_MAX, returned = INT64_MAX;
        size_t caller = earliest(history, cursors, false, &invoked);
        size_t client = earliest(history, cursors, true, &returned);
        bool is_response = caller == history->clients || returned < invoked;
        if (!is_response) client = caller;
        size_t *cursor = is_response ? &cursors[client].returned : &cursors[client].invoked;
        history->moments[history->moment_count] =
            (struct moment){&history->logs[client].operations[(*cursor)++], (uint32_t)client, is_response};
    }
    free(cursors);
}

/* ------------------------------------------------------------------ explaining */

/* The last moment at or before `end` when nothing was pending. */
static size_t last_quiescence(const struct history *history, size_t end) {
    size_t pending = 0, quiescence = 0;
    for (size_t i = 0; i < end; i++) {
        if (pending == 0) quiescence = i;
        if (history->moments[i].is_response)
            pending--;
        else
            pending++;
    }
    return quiescence;
}

/* Values that a key may have had before a window: those that answers in it tell of, and one of
 * each kind that none does. */
struct candidates {
    int64_t values[4 * WINDOW_MOST];
    size_t count;
};

static bool has_room(const struct candidates *candidates) {
    return candidates->count < sizeof candidates->values / sizeof candidates->values[0];
}

static void add_candidate(struct candidates *candidates, int64_t value) {
    for (size_t i = 0; i < candidates->count; i++)
        if (candidates->values[i] == value) return;
    if (has_room(candidates)) candidates->values[candidates->count++] = value;
}

static void add_answer(struct candidates *candidates, const struct operation *operation, unsigned key) {
    switch (operation->kind) {
    case OPERATION_GET:
    case OPERATION_SET_GET:
    case OPERATION_SET_NX_GET: add_candidate(candidates, operation->result); break;
    case OPERATION_INCR: add_candidate(candidates, operation->result - 1); break;
    case OPERATION_MGET: add_candidate(candidates, operation->values[key]); break;
    case OPERATION_TRANSACTION:
        for (int64_t i = 0; i < operation->argument; i++) add_answer(candidates, &operation->steps[i], key);
        break;
    default: break;
    }
}

/* RENAME moves values, so a value that is told of one key may have been another's. */
static void find_candidates(const struct history *history, size_t from, size_t to, unsigned key,
                            struct candidates *candidates) {
    candidates->count = 0;
    add_candidate(candidates, HISTORY_ABSENT);
    add_candidate(candidates, INT64_MAX - 0x7FFFF - key * 0x80000); /* a number */
    add_candidate(candidates, INT64_MAX - key * 0x80000);           /* a text */
    for (unsigned each = 0; each < history->keys; each++) {
        for (size_t i = from; i <= to; i++) add_answer(candidates, history->moments[i].operation, each);
        for (uint64_t left = history->live; left != 0; left &= left - 1)
            add_answer(candidates, history->pending[__builtin_ctzll(left)], each);
    }
}

/* The n-th state made of candidates, with every subset of the pending operations done. */
static void add_start(struct history *history, const struct candidates *candidates, size_t n) {
    struct configuration start;
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        size_t count = key < history->keys ? candidates[key].count : 1;
        start.values[key] = key < history->keys ? candidates[key].values[n % count] : HISTORY_ABSENT;
        n /= count;
    }
    uint64_t done = history->live;
    for (bool is_last = false; !is_last; done = (done - 1) & history->live) {
        struct configuration settled = start;
        settled.done = done;
        settle(history, &settled);
        set_add(&history->possible, &settled);
        is_last = done == 0;
    }
}

static bool is_of_strings(const struct history *history) {
    for (size_t i = 0; i < history->moment_count; i++)
        if (history->moments[i].operation->kind >= OPERATION_LPUSH) return false;
    return true;
}

/* Is the history between these two moments impossible even if nothing is known of what was
 * before? Of lists and sets, not to be told. */
static bool fails_whatever_was_before(struct history *history, size_t quiescence, size_t from, size_t to) {
    struct candidates candidates[HISTORY_KEYS];
    if (!history->is_of_strings) return false;
    start_over(history);
    set_clear(&history->possible);
    for (size_t i = quiescence; i < from; i++) {
        const struct moment *moment = &history->moments[i];
        if (moment->is_response)
            forget(history, moment->client, moment->operation->slot);
        else
            invoke(history, moment);
    }
    int pending = __builtin_popcountll(history->live);
    size_t states = 1;
    if (pending > 12) return false;
    for (unsigned key = 0; key < history->keys; key++) {
        find_candidates(history, from, to, key, &candidates[key]);
        states *= candidates[key].count;
        if (!has_room(&candidates[key]) || states << pending > STATES_MOST) return false;
    }
    for (size_t n = 0; n < states; n++) add_start(history, candidates, n);
    return run(history, from, to + 1) <= to;
}

static const char *value_text(int64_t value, char *text, size_t size) {
    if (value == HISTORY_ABSENT)
        snprintf(text, size, "(absent)");
    else if (value == HISTORY_REFUSED)
        snprintf(text, size, "(refused)");
    else if (value == HISTORY_GARBAGE)
        snprintf(text, size, "(garbage)");
    else
        snprintf(text, size, "%lld%s", (long long)value, history_is_number(value) ? "" : "t");
    return text;
}

/* What a key holds, by the type of its history. */
static void write_value(const struct history *history, int64_t value, FILE *out) {
    char text[32];
    size_t count;
    if (history->is_of_strings || value == HISTORY_ABSENT) {
        fputs(value_text(value, text, sizeof text), out);
        return;
    }
    const int64_t *elements = contents_elements(history->contents, value, &count);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%s", i == 0 ? "[" : " ", value_text(elements[i], text, sizeof text));
    fputs("]", out);
}

static void write_operation(const struct history *history, const struct operation *operation, FILE *out) {
    static const struct {
        const char *name;
        bool has_argument, has_answer;
    } kinds[OPERATION_KINDS] = {
        [OPERATION_GET] = {"GET", false, true},
        [OPERATION_SET] = {"SET", true, false},
        [OPERATION_SET_NX] = {"SET NX", true, true},
        [OPERATION_SET_XX] = {"SET XX", true, true},
        [OPERATION_SET_GET] = {"SET GET", true, true},
        [OPERATION_SET_NX_GET] = {"SET NX GET", true, true},
        [OPERATION_INCR] = {"INCR", false, true},
        [OPERATION_DEL] = {"DEL", false, true},
        [OPERATION_EXPIRE] = {"EXPIRE", false, true},
        [OPERATION_MSET] = {"MSET", true, false},
        [OPERATION_MGET] = {"MGET", false, false},
        [OPERATION_RENAME] = {"RENAME", false, true},
        [OPERATION_TRANSACTION] = {"EXEC", false, false},
        [OPERATION_LPUSH] = {"LPUSH", true, true},
        [OPERATION_RPUSH] = {"RPUSH", true, true},
        [OPERATION_LPOP] = {"LPOP", false, true},
        [OPERATION_RPOP] = {"RPOP", false, true},
        [OPERATION_LMOVE] = {"LMOVE", false, true},
        [OPERATION_SADD] = {"SADD", true, true},
        [OPERATION_SREM] = {"SREM", true, true},
        [OPERATION_SISMEMBER] = {"SISMEMBER", true, true},
        [OPERATION_SPOP] = {"SPOP", false, true},
        [OPERATION_SMOVE] = {"SMOVE", true, true},
    };
    bool is_lmove = operation->kind == OPERATION_LMOVE;
    bool is_mget = operation->kind == OPERATION_MGET;
    char text[32];
    fprintf(out, " %s", kinds[operation->kind].name);
    if (operation->kind == OPERATION_TRANSACTION) {
        for (int64_t i = 0; i < operation->argument; i++) {
            fputs(i == 0 ? " {" : ";", out);
            write_operation(history, &operation->steps[i], out);
        }
        fputs(" }", out);
        return;
    }
    for (unsigned key = 0; key < history->keys; key++) {
        if ((operation->keys & bit(key)) == 0) continue;
        fprintf(out, " %s", history->names[key]);
        if (is_mget) fprintf(out, "=%s", value_text(operation->values[key], text, sizeof text));
    }
    if (is_lmove || operation->kind == OPERATION_RENAME || operation->kind == OPERATION_SMOVE)
        fprintf(out, " %s", history->names[operation->target]);
    if (is_lmove)
        fprintf(out, " %s %s", operation->argument & HISTORY_FROM_END ? "RIGHT" : "LEFT",
                operation->argument & HISTORY_TO_END ? "RIGHT" : "LEFT");
    if (kinds[operation->kind].has_argument)
        fprintf(out, " %s", value_text(operation->argument, text, sizeof text));
    if (kinds[operation->kind].has_answer)
        fprintf(out, " -> %s", value_text(operation->result, text, sizeof text));
}

static bool has_ended_before(const struct history *history, size_t invocation, size_t end) {
    for (size_t i = invocation + 1; i < end; i++)
        if (history->moments[i].operation == history->moments[invocation].operation) return true;
    return false;
}

/* Operations that were under way in [from, to], in the order of their invocations; of very many,
 * the first and the last. */
static void write_window(const struct history *history, size_t quiescence, size_t from, size_t to,
                         FILE *out) {
    const struct operation *last = history->moments[to].operation;
    int64_t since = INT64_MIN;
    size_t count = 0, number = 0;
    for (int is_writing = 0; is_writing < 2; is_writing++) {
        for (size_t i = quiescence; i <= to; i++) {
            const struct moment *moment = &history->moments[i];
            if (moment->is_response || (i < from && has_ended_before(history, i, from))) continue;
            if (since == INT64_MIN) since = moment->operation->invoked;
            if (!is_writing) {
                count++;
                continue;
            }
            bool is_left_out = number >= LINES_FIRST && number + LINES_LAST < count;
            if (number++ == LINES_FIRST && is_left_out)
                fprintf(out, "  (and %zu more)\n", count - LINES_FIRST - LINES_LAST);
            if (is_left_out && moment->operation != last) continue;
            fprintf(out, "  %10.3f to %10.3f us  client %-2u",
                    (double)(moment->operation->invoked - since) / 1e3,
                    (double)(moment->operation->returned - since) / 1e3, moment->client);
            write_operation(history, moment->operation, out);
            fputs(moment->operation == last ? "   <-- can't be\n" : "\n", out);
        }
    }
}

static void write_states(const struct history *history, FILE *out) {
    for (uint32_t i = 0; i < history->possible.count && i < 8; i++) {
        fputs("  before:", out);
        for (unsigned key = 0; key < history->keys; key++) {
            fprintf(out, " %s=", history->names[key]);
            write_value(history, history->possible.items[i].values[key], out);
        }
        fputs("\n", out);
    }
    if (history->possible.count > 8) fprintf(out, "  (or %u more)\n", history->possible.count - 8);
}

/* The window ends with the answer that can't be. It is the shortest one that needs nothing of
 * what was before; failing that, it begins where nothing was pending, with the states of that
 * moment. */
static void explain(struct history *history, size_t failed, FILE *out) {
    size_t quiescence = last_quiescence(history, failed);
    size_t least = failed > WINDOW_MOST ? failed - WINDOW_MOST : 0, from = failed;
    history->is_of_strings = is_of_strings(history);
    if (least < quiescence) least = quiescence;
    fputs("not linearizable:", out);
    for (size_t i = 0; i < history->keys; i++) fprintf(out, " %s", history->names[i]);
    fputs("\n", out);
    while (from > least && !fails_whatever_was_before(history, quiescence, from, failed)) from--;
    if (!fails_whatever_was_before(history, quiescence, from, failed)) {
        start_over(history);
        set_copy(&history->possible, &history->start);
        run(history, 0, quiescence);
        write_states(history, out);
        from = quiescence;
    }
    write_window(history, quiescence, from, failed, out);
    fflush(out);
}

/* Contents that no state holds any more go, now and then. */
static void forget_contents(struct history *history) {
    if (contents_count(history->contents) < CONTENTS_WORTH_FORGETTING) return;
    struct contents *kept = contents_open();
    set_clear(&history->next);
    for (uint32_t i = 0; i < history->possible.count; i++) {
        struct configuration configuration = history->possible.items[i];
        for (unsigned key = 0; key < history->keys; key++) {
            size_t count;
            if (configuration.values[key] == HISTORY_ABSENT) continue;
            const int64_t *elements = contents_elements(history->contents, configuration.values[key], &count);
            configuration.values[key] = contents_number(kept, elements, count);
        }
        set_add(&history->next, &configuration);
    }
    set_swap(&history->possible, &history->next);
    contents_close(history->contents);
    history->contents = kept;
}

enum verdict history_check(struct history *history, FILE *out) {
    merge(history);
    start_over(history);
    set_copy(&history->start, &history->possible);
    size_t reached = run(history, 0, history->moment_count);
    if (reached < history->moment_count) {
        bool is_undecided = is_too_much(history);
        if (is_undecided)
            fprintf(out, "undecided: %s\n", history->names[0]);
        else
            explain(history, reached, out);
        return is_undecided ? HISTORY_UNDECIDED : HISTORY_VIOLATED;
    }
    forget_contents(history);
    history->checked += history->moment_count / 2;
    for (size_t i = 0; i < history->clients; i++) history->logs[i].count = 0;
    return HISTORY_LINEARIZABLE;
}
