/* SORT: a list, a set or a sorted set in another order, by itself or by what other keys say of its elements.
 *
 * Patterns name keys that can't be known before: those whose shards aren't held are found first, and asked
 * for (struct further). Then what is needed of them is copied, and the sorting itself is done when no shard
 * is held any more, unless the result is stored, or only a part of it is wanted and the rest need not be
 * fetched.
 *
 * Such keys may lie in all shards, and everybody waits while these are held. So whatever can be done before
 * is: memory is allocated, the elements are copied and their keys hashed when no more than their own shard is
 * held, and if they are still the same afterwards, all that is left to do is to fetch the weights. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shard/keyspace.h"
#include "shard/store/fetch.h"
#include "shard/value/fields.h"
#include "shard/value/kinds.h"
#include "shard/value/list.h"
#include "shard/value/members.h"
#include "shard/value/sorted.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/room.h"

#define NUMBER_MOST 512 /* characters of a number */
/* Keys whose lines are sent for together, and how long their names may be. */
#define WINDOW 32
#define NAME_FEW 128

struct element {
    struct packed_text text;
    struct packed_text by; /* what it is sorted by, if has_by */
    bool has_by;
    double score;
};

struct chunk {
    struct chunk *next;
    size_t used, capacity;
    char bytes[];
};
#define CHUNK_LEAST 65000

struct sorting {
    const struct call *call;
    const struct read_scope *reading; /* or */
    const struct write_scope *writing;
    struct reply *reply;
    /* Options. */
    const struct bulk *by; /* NULL: by themselves */
    bool keeps_order, is_descending, is_alphabetical;
    int64_t offset, limit;
    uint32_t gets; /* how many GETs there are */
    const struct key *store;
    /* Elements, and what they are called by while they are sorted. */
    struct element *elements;
    struct element **order;
    char *copies, *copies_end; /* of a list's elements, which are good for their visit only */
    struct chunk *chunks;      /* of whatever is needed when no shard is held any more */
    uint64_t *hashes;          /* of the keys that BY names, in the order of elements; NULL: not known yet */
    size_t bytes;              /* that these take */
    bool owns_texts;           /* the elements' bytes have been copied */
    bool finishes_later, is_out_of_memory, wants_shards;
    /* for each element what each GET says, if it finishes later; without data: nothing */
    struct packed_text *got;
    uint64_t count, first, end; /* first to end - 1 are wanted */
    bool is_bad_number;
};

static bool has_star(const struct bulk *pattern) {
    return pattern->length > 0 && memchr(pattern->data, '*', pattern->length) != NULL;
}

/* ------------------------------------------------------------------ what dispatch must know */

static int sort_find_keys(const struct bulk *arguments, uint32_t count, uint32_t *positions, uint32_t *flags,
                          uint32_t capacity) {
    uint32_t store = 0, found = 0;
    for (uint32_t i = 2; i < count; i++) {
        if (argument_is(&arguments[i], "LIMIT"))
            i += 2;
        else if (argument_is(&arguments[i], "GET") || argument_is(&arguments[i], "BY"))
            i++;
        else if (argument_is(&arguments[i], "STORE") && i + 1 < count)
            store = ++i; /* the last one counts */
    }
    const uint32_t at[] = {1, store}, what[] = {KEY_RO | KEY_ACCESS, KEY_OW | KEY_UPDATE};
    for (int k = 0; k < 2 && at[k] > 0 && found < capacity; k++) {
        positions[found] = at[k];
        if (flags != NULL) flags[found] = what[k];
        found++;
    }
    return (int)found;
}

/* ------------------------------------------------------------------ options */

/* The next GET's pattern from *at on, or NULL. */
static const struct bulk *next_get(const struct call *call, uint32_t *at) {
    for (; *at < call->count; ++*at) {
        const struct bulk *option = &call->arguments[*at];
        if (argument_is(option, "LIMIT"))
            *at += 2;
        else if (argument_is(option, "BY") || argument_is(option, "STORE"))
            ++*at;
        else if (argument_is(option, "GET")) {
            *at += 2;
            return option + 1;
        }
    }
    return NULL;
}

static bool parse(struct sorting *sorting) {
    const struct call *call = sorting->call;
    for (uint32_t i = 2; i < call->count; i++) {
        const struct bulk *option = &call->arguments[i];
        uint32_t left = call->count - i - 1;
        if (argument_is(option, "ASC")) {
            sorting->is_descending = false;
        } else if (argument_is(option, "DESC")) {
            sorting->is_descending = true;
        } else if (argument_is(option, "ALPHA")) {
            sorting->is_alphabetical = true;
        } else if (argument_is(option, "LIMIT") && left >= 2) {
            if (!argument_integer(option + 1, &sorting->offset, sorting->reply, NULL)) return false;
            if (!argument_integer(option + 2, &sorting->limit, sorting->reply, NULL)) return false;
            i += 2;
        } else if (argument_is(option, "STORE") && left >= 1 && sorting->writing != NULL) {
            sorting->store = &call->keys[1];
            i++;
        } else if (argument_is(option, "BY") && left >= 1) {
            sorting->by = option + 1;
            if (!has_star(sorting->by)) sorting->keeps_order = true;
            i++;
        } else if (argument_is(option, "GET") && left >= 1) {
            sorting->gets++;
            i++;
        } else {
            reply_error(sorting->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ other keys */

static const struct scope *scope_of(const struct sorting *sorting) {
    return sorting->reading != NULL ? &sorting->reading->scope : &sorting->writing->scope;
}

/* The key's shard is asked for, if it isn't held. */
static void want(struct sorting *sorting, uint64_t hash) {
    if (scope_holds(scope_of(sorting), hash)) return;
    struct further *further = sorting->call->further;
    assert(further != NULL && "a scope that may not ask for shards holds them all");
    sorting->wants_shards = true;
    if (further->shards->count == keyspace_shard_count(sorting->call->keyspace)) return; /* all are */
    if (!shard_set_add(further->shards, keyspace_shard_of(sorting->call->keyspace, hash)))
        sorting->is_out_of_memory = true;
}

static const struct entry *look_up(const struct sorting *sorting, const struct key *key) {
    return sorting->reading != NULL ? scope_read(sorting->reading, key)
                                    : scope_read(&sorting->writing->reading, key);
}

/* Points the text to its own digits: those of a copied struct are the other one's. */
static void text_settle(struct packed_text *text) {
    if (text->is_integer) text->data = text->digits;
}

static bool entry_text(const struct entry *entry, struct packed_text *text) {
    struct string_view view;
    int64_t integer;
    if (entry == NULL || entry_type(entry) != TYPE_STRING) return false;
    entry_string(entry, &view);
    text->is_integer = entry_integer(entry, &integer);
    text->integer = text->is_integer ? integer : 0;
    text->length = view.length;
    text->data = view.data;
    if (!text->is_integer) return true;
    memcpy(text->digits, view.digits, sizeof text->digits);
    text_settle(text);
    return true;
}

/* "#" is the element itself, "w_*" a string, "h_*->f" the field of a hash; anything else is nothing. */
struct pattern {
    bool is_element, is_key;
    struct text before, behind; /* the star, in the key's name */
    struct text field;          /* data NULL: none */
};

static struct pattern pattern_of(const struct bulk *text) {
    struct pattern pattern = {.is_element = text->length == 1 && text->data[0] == '#',
                              .is_key = has_star(text)};
    if (!pattern.is_key) return pattern;
    const char *star = memchr(text->data, '*', text->length), *end = text->data + text->length;
    const char *arrow = memmem(star + 1, (size_t)(end - star - 1), "->", 2);
    if (arrow != NULL && arrow + 2 < end) {
        pattern.field = (struct text){arrow + 2, (size_t)(end - arrow - 2)};
        end = arrow;
    }
    pattern.before = (struct text){text->data, (size_t)(star - text->data)};
    pattern.behind = (struct text){star + 1, (size_t)(end - star - 1)};
    return pattern;
}

/* The name of an element's key, in `few` if it has room there; else it is to be freed. */
struct name {
    char *data;
    size_t length;
    char few[NAME_FEW];
};

static bool name_of(struct sorting *sorting, const struct pattern *pattern, const struct packed_text *element,
                    struct name *name) {
    size_t before = pattern->before.length, behind = pattern->behind.length;
    name->length = before + element->length + behind;
    name->data = name->length <= sizeof name->few ? name->few : malloc(name->length);
    if (name->data == NULL) {
        sorting->is_out_of_memory = true;
        return false;
    }
    memcpy(name->data, pattern->before.data, before);
    if (element->length > 0) memcpy(name->data + before, element->data, element->length);
    memcpy(name->data + before + element->length, pattern->behind.data, behind);
    return true;
}

static void name_free(struct name *name) {
    if (name->data != name->few) free(name->data);
}

static bool key_value(struct sorting *sorting, const struct pattern *pattern, const struct key *key,
                      struct packed_text *text) {
    const struct entry *entry = look_up(sorting, key);
    if (pattern->field.data == NULL) return entry_text(entry, text);
    return entry != NULL && entry_type(entry) == TYPE_HASH &&
           fields_get(entry_value(entry), pattern->field, text);
}

/* false if there is no such thing. */
static bool pattern_value(struct sorting *sorting, const struct pattern *pattern,
                          const struct packed_text *element, struct packed_text *text) {
    struct name name;
    if (pattern->is_element) {
        *text = *element;
        text_settle(text);
        return true;
    }
    if (!pattern->is_key || !name_of(sorting, pattern, element, &name)) return false;
    const struct key key =
        keyspace_key(sorting->call->keyspace, sorting->call->database, name.data, name.length);
    bool is_there = key_value(sorting, pattern, &key, text);
    name_free(&name);
    return is_there;
}

/* ------------------------------------------------------------------ copies */

/* The text's bytes become the sorting's own. */
static void keep_text(struct sorting *sorting, struct packed_text *text) {
    struct chunk *chunk = sorting->chunks;
    if (text->length == 0) text->data = "";
    text_settle(text);
    if (text->is_integer || text->length == 0) return;
    if (chunk == NULL || chunk->capacity - chunk->used < text->length) {
        size_t capacity = text->length > CHUNK_LEAST ? text->length : CHUNK_LEAST;
        chunk = malloc(sizeof *chunk + capacity);
        if (chunk == NULL) {
            sorting->is_out_of_memory = true;
            return;
        }
        *chunk = (struct chunk){.next = sorting->chunks, .capacity = capacity};
        sorting->chunks = chunk;
        sorting->bytes += sizeof *chunk + capacity;
    }
    memcpy(chunk->bytes + chunk->used, text->data, text->length);
    text->data = chunk->bytes + chunk->used;
    chunk->used += text->length;
}

/* ------------------------------------------------------------------ elements */

typedef bool visit_text(void *context, const struct packed_text *text);

struct scored_visit {
    visit_text *visit;
    void *context;
};

static bool visit_scored(void *context, const struct packed_text *text, double score) {
    const struct scored_visit *scored = context;
    (void)score;
    return scored->visit(scored->context, text);
}

/* Visits the elements in the order in which they are, until `visit` returns false. */
static void each_element(const struct sorting *sorting, const struct entry *entry, visit_text *visit,
                         void *context) {
    const void *value = entry_value(entry);
    bool is_backwards = sorting->keeps_order && sorting->is_descending;
    uint64_t count = value_kind(entry_type(entry))->count(value), first = is_backwards ? count - 1 : 0;
    struct scored_visit scored = {visit, context};
    switch (entry_type(entry)) {
    case TYPE_LIST: list_each(value, first, count, is_backwards, visit, context); break;
    case TYPE_SET: members_each(value, visit, context); break;
    default: sorted_each(value, first, count, is_backwards, visit_scored, &scored);
    }
}

static bool load_one(void *context, const struct packed_text *text) {
    struct sorting *sorting = context;
    struct element *element = &sorting->elements[sorting->count];
    *element = (struct element){.text = *text};
    text_settle(&element->text);
    sorting->order[sorting->count++] = element;
    return true;
}

static bool add_length(void *context, const struct packed_text *text) {
    *(size_t *)context += text->length;
    return true;
}

static bool load_copy(void *context, const struct packed_text *text) {
    struct sorting *sorting = context;
    struct packed_text copy = *text;
    if (!text->is_integer) {
        copy.data = sorting->copies_end;
        if (text->length > 0) memcpy(sorting->copies_end, text->data, text->length);
        sorting->copies_end += text->length;
    }
    return load_one(sorting, &copy);
}

static void forget_elements(struct sorting *sorting) {
    for (struct chunk *chunk = sorting->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(sorting->elements);
    free(sorting->copies);
    free(sorting->order);
    free(sorting->hashes);
    sorting->chunks = NULL;
    sorting->elements = NULL;
    sorting->copies = sorting->copies_end = NULL;
    sorting->order = NULL;
    sorting->hashes = NULL;
    sorting->count = 0;
    sorting->bytes = 0;
    sorting->owns_texts = false;
}

static bool load(struct sorting *sorting, const struct entry *entry) {
    uint64_t count = entry == NULL ? 0 : value_kind(entry_type(entry))->count(entry_value(entry));
    bool is_list = entry != NULL && entry_type(entry) == TYPE_LIST;
    size_t bytes = 1;
    if (is_list) each_element(sorting, entry, add_length, &bytes);
    sorting->elements = calloc(count + 1, sizeof *sorting->elements);
    sorting->order = malloc((count + 1) * sizeof(struct element *));
    if (is_list) sorting->copies = sorting->copies_end = malloc(bytes);
    if (sorting->elements == NULL || sorting->order == NULL || (is_list && sorting->copies == NULL)) {
        reply_error(sorting->reply, ERROR_NO_MEMORY);
        return false;
    }
    sorting->bytes = (count + 1) * (sizeof *sorting->elements + sizeof(struct element *)) + bytes;
    sorting->owns_texts = is_list;
    if (count > 0) each_element(sorting, entry, is_list ? load_copy : load_one, sorting);
    return true;
}

struct comparison {
    const struct sorting *sorting;
    uint64_t count; /* that are the same */
};

static bool compare_one(void *context, const struct packed_text *text) {
    struct comparison *comparison = context;
    if (comparison->count == comparison->sorting->count) return false;
    const struct packed_text *known = &comparison->sorting->elements[comparison->count].text;
    bool is_same = text->is_integer && known->is_integer
                       ? text->integer == known->integer
                       : text->length == known->length &&
                             (text->length == 0 || memcmp(text->data, known->data, text->length) == 0);
    if (is_same) comparison->count++;
    return is_same;
}

/* Whether these are still the elements, in this order. */
static bool is_current(const struct sorting *sorting, const struct entry *entry) {
    struct comparison comparison = {sorting, 0};
    if (entry == NULL || value_kind(entry_type(entry))->count(entry_value(entry)) != sorting->count)
        return false;
    each_element(sorting, entry, compare_one, &comparison);
    return comparison.count == sorting->count;
}

static double number_of(const struct packed_text *text, bool *is_bad) {
    char digits[NUMBER_MOST], *end;
    if (text->is_integer) return (double)text->integer;
    size_t length = text->length < sizeof digits ? text->length : sizeof digits - 1;
    if (length > 0) memcpy(digits, text->data, length);
    digits[length] = '\0';
    errno = 0;
    double score = strtod(digits, &end);
    if (*end != '\0' || errno == ERANGE || isnan(score) || length < text->length) *is_bad = true;
    return score;
}

static void find_by(struct sorting *sorting) {
    const struct pattern pattern = pattern_of(sorting->by);
    if (!pattern.is_key || sorting->count == 0) return;
    sorting->hashes = malloc(sorting->count * sizeof *sorting->hashes);
    if (sorting->hashes == NULL) {
        sorting->is_out_of_memory = true;
        return;
    }
    sorting->bytes += sorting->count * sizeof *sorting->hashes;
    for (uint64_t i = 0; i < sorting->count; i++) {
        struct name name;
        if (!name_of(sorting, &pattern, &sorting->elements[i].text, &name)) return;
        sorting->hashes[i] = keyspace_hash(sorting->call->keyspace, name.data, name.length);
        name_free(&name);
        want(sorting, sorting->hashes[i]);
    }
}

static void find_gets(struct sorting *sorting, const struct packed_text *element) {
    uint32_t at = 2;
    for (const struct bulk *get; (get = next_get(sorting->call, &at)) != NULL;) {
        const struct pattern pattern = pattern_of(get);
        struct name name;
        if (!pattern.is_key || !name_of(sorting, &pattern, element, &name)) continue;
        want(sorting, keyspace_hash(sorting->call->keyspace, name.data, name.length));
        name_free(&name);
    }
}

/* What has been prepared is kept for the next run. */
static bool keep_elements(struct sorting *sorting) {
    for (uint64_t i = 0; !sorting->owns_texts && i < sorting->count && !sorting->is_out_of_memory; i++)
        keep_text(sorting, &sorting->elements[i].text);
    sorting->owns_texts = true;
    return !sorting->is_out_of_memory;
}

/* Asks for the shards of all keys that the patterns name. Returns whether all are held. */
static bool find(struct sorting *sorting) {
    uint32_t shards = keyspace_shard_count(sorting->call->keyspace);
    const struct scope *scope = scope_of(sorting);
    if (scope->held == NULL || scope->held->count == shards) return true;
    if (sorting->by != NULL && sorting->hashes == NULL) find_by(sorting);
    for (uint64_t i = 0; sorting->gets > 0 && i < sorting->count && !sorting->is_out_of_memory; i++) {
        find_gets(sorting, &sorting->elements[i].text);
        if (sorting->wants_shards && sorting->call->further->shards->count == shards) break;
    }
    if (!sorting->wants_shards && !sorting->is_out_of_memory) return true;
    if (sorting->is_out_of_memory || !keep_elements(sorting))
        reply_error(sorting->reply, ERROR_NO_MEMORY);
    else
        sorting->call->further->wants_shards = true;
    return false;
}

/* With what it is to be sorted by, if there is that. */
static void weigh_one(struct sorting *sorting, struct element *element) {
    if (!sorting->is_alphabetical)
        element->score = number_of(&element->by, &sorting->is_bad_number);
    else if (sorting->finishes_later && sorting->by != NULL)
        keep_text(sorting, &element->by);
}

static void weigh_by_keys(struct sorting *sorting, const struct pattern *pattern) {
    const struct call *call = sorting->call;
    struct name names[WINDOW];
    struct key keys[WINDOW];
    for (uint64_t from = 0; from < sorting->count && !sorting->is_out_of_memory;) {
        uint32_t count = 0;
        for (; count < WINDOW && from + count < sorting->count; count++) {
            uint64_t at = from + count;
            struct name *name = &names[count];
            if (!name_of(sorting, pattern, &sorting->elements[at].text, name)) break;
            uint64_t hash = sorting->hashes != NULL ? sorting->hashes[at]
                                                    : keyspace_hash(call->keyspace, name->data, name->length);
            keys[count] = (struct key){name->data, name->length, hash, call->database, NULL};
        }
        keyspace_prefetch(scope_of(sorting)->lane, keys, count);
        for (uint32_t i = 0; i < count; i++, from++) {
            struct element *element = &sorting->elements[from];
            element->has_by = key_value(sorting, pattern, &keys[i], &element->by);
            if (element->has_by) weigh_one(sorting, element);
            name_free(&names[i]);
        }
    }
}

static void weigh(struct sorting *sorting) {
    struct pattern pattern = {.is_element = true};
    if (sorting->by != NULL) pattern = pattern_of(sorting->by);
    if (pattern.is_key) {
        weigh_by_keys(sorting, &pattern);
        return;
    }
    for (uint64_t i = 0; i < sorting->count; i++) {
        struct element *element = &sorting->elements[i];
        element->has_by = pattern_value(sorting, &pattern, &element->text, &element->by);
        if (element->has_by) weigh_one(sorting, element);
    }
}

static int compare_texts(const struct packed_text *one, const struct packed_text *other) {
    size_t common = one->length < other->length ? one->length : other->length;
    int order = common == 0 ? 0 : memcmp(one->data, other->data, common);
    if (order != 0) return order;
    return one->length < other->length ? -1 : one->length > other->length;
}

static int compare(const void *left, const void *right, void *context) {
    const struct sorting *sorting = context;
    const struct element *one = *(struct element *const *)left, *other = *(struct element *const *)right;
    int order;
    if (!sorting->is_alphabetical)
        order = one->score < other->score   ? -1
                : one->score > other->score ? 1
                                            : compare_texts(&one->text, &other->text);
    else if (!one->has_by || !other->has_by)
        order = one->has_by - other->has_by;
    else
        order = compare_texts(&one->by, &other->by);
    return sorting->is_descending ? -order : order;
}

static void cut(struct sorting *sorting) {
    uint64_t offset = sorting->offset < 0 ? 0 : (uint64_t)sorting->offset;
    sorting->first = offset < sorting->count ? offset : sorting->count;
    sorting->end = sorting->count;
    if (sorting->limit >= 0 && (uint64_t)sorting->limit < sorting->count - sorting->first)
        sorting->end = sorting->first + (uint64_t)sorting->limit;
}

/* ------------------------------------------------------------------ results */

static uint64_t result_count(const struct sorting *sorting) {
    return (sorting->end - sorting->first) * (sorting->gets == 0 ? 1 : sorting->gets);
}

/* What GETs say of an element. */
static void keep_gets(struct sorting *sorting, uint64_t element) {
    uint32_t at = 2, k = 0;
    for (const struct bulk *get; (get = next_get(sorting->call, &at)) != NULL; k++) {
        struct packed_text *text = &sorting->got[element * sorting->gets + k];
        const struct pattern pattern = pattern_of(get);
        if (pattern_value(sorting, &pattern, &sorting->elements[element].text, text))
            keep_text(sorting, text);
        else
            text->data = NULL;
    }
}

/* What is needed of other keys, and the elements themselves. */
static bool keep(struct sorting *sorting) {
    if (!keep_elements(sorting)) return false;
    if (sorting->gets > 0) {
        sorting->got = calloc(sorting->count * sorting->gets + 1, sizeof *sorting->got);
        if (sorting->got == NULL) return false;
    }
    for (uint64_t i = 0; sorting->gets > 0 && i < sorting->count && !sorting->is_out_of_memory; i++)
        keep_gets(sorting, i);
    for (uint64_t i = 0; sorting->by == NULL && i < sorting->count; i++) {
        struct element *element = &sorting->elements[i];
        element->by = element->text;
        text_settle(&element->by);
    }
    return !sorting->is_out_of_memory;
}

typedef bool take_function(void *context, const struct packed_text *text); /* NULL: there is none */

static bool each_kept(const struct sorting *sorting, take_function *take, void *context) {
    for (uint64_t i = sorting->first; i < sorting->end; i++) {
        const struct element *element = sorting->order[i];
        if (sorting->gets == 0) { /* then there is nothing at sorting->got */
            if (!take(context, &element->text)) return false;
            continue;
        }
        const struct packed_text *got =
            sorting->got + (uint64_t)(element - sorting->elements) * sorting->gets;
        for (uint32_t k = 0; k < sorting->gets; k++)
            if (!take(context, got[k].data == NULL ? NULL : &got[k])) return false;
    }
    return true;
}

static bool each_result(struct sorting *sorting, take_function *take, void *context) {
    if (sorting->finishes_later) return each_kept(sorting, take, context);
    for (uint64_t i = sorting->first; i < sorting->end; i++) {
        const struct packed_text *element = &sorting->order[i]->text;
        if (sorting->gets == 0 && !take(context, element)) return false;
        uint32_t at = 2;
        struct packed_text text;
        for (const struct bulk *get; (get = next_get(sorting->call, &at)) != NULL;) {
            const struct pattern pattern = pattern_of(get);
            if (!take(context, pattern_value(sorting, &pattern, element, &text) ? &text : NULL)) return false;
        }
    }
    return true;
}

static bool reply_result(void *context, const struct packed_text *text) {
    if (text != NULL)
        reply_element(context, text);
    else
        reply_null(context);
    return true;
}

static bool push_result(void *context, const struct packed_text *text) {
    struct text pushed = text == NULL ? (struct text){"", 0} : (struct text){text->data, text->length};
    list_expect(context, pushed.length, 1);
    return list_push(context, false, pushed);
}

static void store(struct write_scope *scope, struct sorting *sorting) {
    void *list = list_create();
    uint64_t count = result_count(sorting);
    if (list == NULL || !each_result(sorting, push_result, &list)) {
        if (list != NULL) value_free(&list_kind, list);
        reply_error(sorting->reply, ERROR_NO_MEMORY);
        return;
    }
    if (value_store(scope, sorting->store, TYPE_LIST, list, count, EVENT_SORTSTORE, sorting->reply))
        reply_integer(sorting->reply, (int64_t)count);
}

static bool is_sortable(const struct entry *entry) {
    return entry == NULL || entry_type(entry) == TYPE_LIST || entry_type(entry) == TYPE_SET ||
           entry_type(entry) == TYPE_ZSET;
}

/* Returns whether there is a result. */
static bool sort(struct sorting *sorting) {
    const struct entry *entry = look_up(sorting, &sorting->call->keys[0]);
    if (!is_sortable(entry)) {
        reply_error(sorting->reply, ERROR_WRONG_TYPE);
        return false;
    }
    /* A set has no order to keep; what is stored is to have one. */
    if (sorting->keeps_order && entry != NULL && entry_type(entry) == TYPE_SET && sorting->store != NULL) {
        sorting->keeps_order = false;
        sorting->is_alphabetical = true;
        sorting->by = NULL;
    }
    if (sorting->elements == NULL || !is_current(sorting, entry)) {
        forget_elements(sorting);
        if (!load(sorting, entry)) return false;
    }
    cut(sorting);
    if (!find(sorting)) return false;
    /* GETs for elements that are not wanted are not worth copying; nor may they come early if it is told. */
    bool may_get =
        sorting->end - sorting->first == sorting->count && !keyspace_tells_dead(sorting->call->keyspace);
    sorting->finishes_later = sorting->call->further != NULL && sorting->store == NULL &&
                              !sorting->keeps_order && (sorting->gets == 0 || may_get);
    if (!sorting->keeps_order) weigh(sorting);
    if (sorting->finishes_later && !keep(sorting)) sorting->is_out_of_memory = true;
    if (sorting->is_out_of_memory) {
        reply_error(sorting->reply, ERROR_NO_MEMORY);
        return false;
    }
    if (sorting->is_bad_number) {
        reply_error(sorting->reply, "ERR One or more scores can't be converted into double");
        return false;
    }
    if (!sorting->keeps_order && !sorting->finishes_later)
        qsort_r(sorting->order, sorting->count, sizeof(struct element *), compare, sorting);
    return true;
}

static void sorting_end(void *ended) {
    struct sorting *sorting = ended;
    forget_elements(sorting);
    free(sorting->got);
    free(sorting);
}

static void reply_results(struct sorting *sorting) {
    reply_array(sorting->reply, result_count(sorting));
    each_result(sorting, reply_result, sorting->reply);
}

static void finish(void *context, const struct call *call, struct reply *reply) {
    struct sorting *sorting = context;
    sorting->call = call;
    sorting->reply = reply;
    qsort_r(sorting->order, sorting->count, sizeof(struct element *), compare, sorting);
    reply_results(sorting);
    sorting_end(sorting);
}

/* A new one, with what the run before has prepared, if there was one. */
static struct sorting *sorting_begin(const struct call *call) {
    struct sorting *sorting = call->further == NULL ? NULL : call->further->kept;
    if (sorting == NULL) return calloc(1, sizeof *sorting);
    call->further->kept = NULL;
    call->further->kept_bytes = 0;
    *sorting = (struct sorting){.elements = sorting->elements,
                                .order = sorting->order,
                                .copies = sorting->copies,
                                .copies_end = sorting->copies_end,
                                .chunks = sorting->chunks,
                                .hashes = sorting->hashes,
                                .bytes = sorting->bytes,
                                .owns_texts = sorting->owns_texts,
                                .count = sorting->count};
    return sorting;
}

static void run(const struct read_scope *reading, struct write_scope *writing, const struct call *call,
                struct reply *reply) {
    struct sorting *sorting = sorting_begin(call);
    if (sorting == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    sorting->call = call;
    sorting->reading = reading;
    sorting->writing = writing;
    sorting->reply = reply;
    sorting->limit = -1;
    if (parse(sorting) && sort(sorting)) {
        if (sorting->finishes_later) {
            call->further->finish = finish;
            call->further->context = sorting;
            return;
        }
        if (sorting->store != NULL)
            store(writing, sorting);
        else
            reply_results(sorting);
    }
    if (call->further != NULL && call->further->wants_shards) {
        call->further->kept = sorting;
        call->further->kept_bytes = sizeof *sorting + sorting->bytes;
        call->further->forget = sorting_end;
        return;
    }
    sorting_end(sorting);
}

void command_sort(struct write_scope *scope, const struct call *call, struct reply *reply) {
    run(NULL, scope, call, reply);
}

static void command_sort_ro(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    run(scope, NULL, call, reply);
}

/* ------------------------------------------------------------------ rows */

#define PATTERN_KEYS {.flags = KEY_RO | KEY_ACCESS, .is_unknown = true, .notes = "Made by BY and GET"}
#define SYNTAX                                                                                               \
    "key:key#0 [pattern:pattern#1=BY] [offset_count:block=LIMIT(offset:integer count:integer)] "             \
    "[pattern:pattern#1=\"GET\"+...] [order:oneof(asc=ASC desc=DESC)] [sorting=ALPHA]"
const struct command sort_commands[] = {
    {.name = "sort",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLE_KEYS | COMMAND_LONG | COMMAND_FINDS,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1},
              PATTERN_KEYS,
              {.flags = KEY_OW | KEY_UPDATE, .is_unknown = true, .notes = "Of STORE, wherever it stands"}},
     .read = command_sort_ro, /* without STORE */
     .write = command_sort,
     .room = room_for_first,
     .find_keys = sort_find_keys,
     .categories = "set sortedset list dangerous",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(N+M*log(M))",
     .summary = "Sorts a list, a set or a sorted set, and may keep the result",
     .syntax = SYNTAX " [destination:key#2=STORE]"},
    {.name = "sort_ro",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_MOVABLE_KEYS | COMMAND_LONG | COMMAND_FINDS,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}, PATTERN_KEYS},
     .read = command_sort_ro,
     .categories = "set sortedset list dangerous",
     .since = "7.0.0",
     .group = "generic",
     .complexity = "O(N+M*log(M))",
     .summary = "Sorts a list, a set or a sorted set",
     .syntax = SYNTAX},
    {.name = NULL},
};
