/* The skip list is Pugh's (CACM 33/6, 1990), with the distance that each link covers beside it, which makes ranks. */
#include "sorted.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../memory.h"
#include "../number.h"
#include "dictionary.h"
#include "form.h"

#define LEVELS_MOST 32
/* One of so many has a further level. */
#define LEVEL_ODDS 4

struct member;

struct link {
    struct member *next;
    uint64_t span; /* members from here to there; to the end, if next is NULL */
};

struct member {
    double score;
    struct member *previous; /* NULL: the first */
    uint32_t length;         /* of the name */
    uint32_t levels;
    struct link links[]; /* then the name */
};

struct large {
    struct dictionary *dictionary;
    struct member *head; /* of the list: has all levels and no name */
    struct member *tail;
    uint64_t count;
    uint32_t levels; /* in use */
    size_t bytes;    /* of members, the head included */
};

static struct large *large_of(const void *value) {
    return value_untag(value);
}
static bool is_large(const void *value) {
    return value_form(value) == VALUE_LARGE;
}

static const char *name_of(const struct member *member) {
    return (const char *)&member->links[member->levels];
}

static const char *member_name(const void *item, size_t *length) {
    const struct member *member = item;
    *length = member->length;
    return name_of(member);
}

size_t score_format(char *out, double score) {
    /* Numbers that are whole are the most common, and quickly made. */
    if (score >= -1e15 && score <= 1e15 && score == (double)(int64_t)score && !(score == 0 && signbit(score)))
        return number_format(out, (int64_t)score);
    return (size_t)snprintf(out, 32, "%.17g", score);
}

/* ------------------------------------------------------------------ order */

static int compare_names(const char *one, size_t one_length, const char *other, size_t other_length) {
    size_t common = one_length < other_length ? one_length : other_length;
    int order = common == 0 ? 0 : memcmp(one, other, common);
    if (order != 0) return order;
    return one_length < other_length ? -1 : one_length > other_length;
}

/* What is searched for: a place in the order, before or behind all that is equal to it. */
struct bound {
    bool has_score, has_name;
    double score;
    struct text name;
    bool or_equal;
};

static bool is_below(const struct bound *bound, double score, const char *name, size_t length) {
    if (bound->has_score && score != bound->score) return score < bound->score;
    if (!bound->has_name) return bound->or_equal;
    int order = compare_names(name, length, bound->name.data, bound->name.length);
    return order < 0 || (order == 0 && bound->or_equal);
}

/* ------------------------------------------------------------------ the skip list */

static uint32_t levels_draw(void) {
    uint32_t levels = 1;
    while (levels < LEVELS_MOST && value_random(LEVEL_ODDS) == 0) levels++;
    return levels;
}

static struct member *member_create(uint32_t levels, double score, struct text name) {
    if (name.length > UINT32_MAX) return NULL;
    struct member *member = malloc(sizeof *member + levels * sizeof(struct link) + name.length);
    if (member == NULL) return NULL;
    member->score = score;
    member->previous = NULL;
    member->length = (uint32_t)name.length;
    member->levels = levels;
    for (uint32_t i = 0; i < levels; i++) member->links[i] = (struct link){NULL, 0};
    if (name.length > 0) memcpy(&member->links[levels], name.data, name.length);
    return member;
}

/* On each level the last member below the bound, and its rank, counted from 1 (0: the head). Returns how many are below. */
struct path {
    struct member *before[LEVELS_MOST];
    uint64_t rank[LEVELS_MOST];
};

static uint64_t path_to(const struct large *large, const struct bound *bound, struct path *path) {
    struct member *at = large->head;
    uint64_t rank = 0;
    for (uint32_t i = large->levels; i-- > 0;) {
        for (struct member *next; (next = at->links[i].next) != NULL && is_below(bound, next->score, name_of(next), next->length); at = next)
            rank += at->links[i].span;
        path->before[i] = at;
        path->rank[i] = rank;
    }
    return rank;
}

static void list_insert(struct large *large, struct member *member) {
    struct bound bound = {true, true, member->score, {name_of(member), member->length}, false};
    struct path path;
    uint64_t rank = path_to(large, &bound, &path);
    for (; large->levels < member->levels; large->levels++) {
        path.before[large->levels] = large->head;
        path.rank[large->levels] = 0;
        large->head->links[large->levels] = (struct link){NULL, large->count};
    }
    for (uint32_t i = 0; i < large->levels; i++) {
        struct link *link = &path.before[i]->links[i];
        if (i >= member->levels) {
            link->span++;
            continue;
        }
        uint64_t ahead = rank - path.rank[i];
        member->links[i] = (struct link){link->next, link->span - ahead};
        *link = (struct link){member, ahead + 1};
    }
    struct member *next = member->links[0].next;
    member->previous = path.before[0] == large->head ? NULL : path.before[0];
    if (next != NULL) next->previous = member;
    else large->tail = member;
    large->count++;
}

/* Takes out the member that the path leads to. */
static void list_unlink(struct large *large, struct member *member, struct path *path) {
    for (uint32_t i = 0; i < large->levels; i++) {
        struct link *link = &path->before[i]->links[i];
        if (link->next == member) *link = (struct link){member->links[i].next, link->span + member->links[i].span - 1};
        else link->span--;
    }
    struct member *next = member->links[0].next;
    if (next != NULL) next->previous = member->previous;
    else large->tail = member->previous;
    while (large->levels > 1 && large->head->links[large->levels - 1].next == NULL) large->levels--;
    large->count--;
}

static void list_remove(struct large *large, struct member *member) {
    struct bound bound = {true, true, member->score, {name_of(member), member->length}, false};
    struct path path;
    path_to(large, &bound, &path);
    list_unlink(large, member, &path);
}

static struct member *list_at(const struct large *large, uint64_t rank) {
    struct member *at = large->head;
    uint64_t left = rank + 1;
    for (uint32_t i = large->levels; i-- > 0;)
        while (at->links[i].next != NULL && at->links[i].span <= left) {
            left -= at->links[i].span;
            at = at->links[i].next;
        }
    return at;
}

/* ------------------------------------------------------------------ the large form */

static struct large *large_create(void) {
    struct large *large = calloc(1, sizeof *large);
    if (large == NULL) return NULL;
    large->levels = 1;
    large->head = member_create(LEVELS_MOST, 0, (struct text){NULL, 0});
    large->dictionary = dictionary_create(member_name);
    if (large->head != NULL && large->dictionary != NULL) {
        large->bytes = memory_size(large->head);
        return large;
    }
    if (large->dictionary != NULL) dictionary_free(large->dictionary);
    free(large->head);
    free(large);
    return NULL;
}

static bool large_free_some(struct large *large, size_t budget) {
    for (struct member *member; budget > 0; budget--) {
        if ((member = dictionary_take_any(large->dictionary)) == NULL) {
            dictionary_free(large->dictionary);
            free(large->head);
            free(large);
            return true;
        }
        free(member); /* the list that it is in is of no use any more */
    }
    return false;
}

static bool large_add(struct large *large, struct text name, double score) {
    struct member *member = member_create(levels_draw(), score, name);
    if (member == NULL) return false;
    if (!dictionary_insert(large->dictionary, value_hash(name.data, name.length), member)) {
        free(member);
        return false;
    }
    list_insert(large, member);
    large->bytes += memory_size(member);
    return true;
}

static struct member *large_find(const struct large *large, struct text name) {
    return dictionary_find(large->dictionary, value_hash(name.data, name.length), name.data, name.length);
}

static enum scored large_put(struct large *large, struct text name, double score) {
    struct member *present = large_find(large, name);
    if (present == NULL) return large_add(large, name, score) ? SCORED_NEW : SCORED_FAILED;
    if (present->score == score) return SCORED_SAME;
    /* Where its neighbours stay the same, so does its place. */
    struct member *next = present->links[0].next;
    if ((present->previous == NULL || present->previous->score < score) && (next == NULL || next->score > score)) {
        present->score = score;
        return SCORED_OTHERWISE;
    }
    list_remove(large, present);
    present->score = score;
    list_insert(large, present);
    return SCORED_OTHERWISE;
}

static void large_forget(struct large *large, struct member *member) {
    dictionary_remove(large->dictionary, value_hash(name_of(member), member->length), name_of(member), member->length);
    large->bytes -= memory_size(member);
    free(member);
}

static void large_remove_range(struct large *large, uint64_t rank, uint64_t count) {
    struct member *at = list_at(large, rank);
    for (; count > 0 && at != NULL; count--) {
        struct member *next = at->links[0].next;
        list_remove(large, at);
        large_forget(large, at);
        at = next;
    }
}

/* ------------------------------------------------------------------ the packed form */

static double score_at(const struct packed *packed, uint32_t at) {
    struct packed_text text;
    int64_t whole;
    char digits[40];
    if (packed_integer(packed, at, &whole)) return (double)whole;
    packed_get(packed, at, &text);
    size_t length = text.length < sizeof digits ? text.length : sizeof digits - 1;
    memcpy(digits, text.data, length);
    digits[length] = '\0';
    return strtod(digits, NULL);
}

static uint32_t find_packed(const struct packed *packed, struct text name) {
    return packed_find(packed, packed_first(packed), name.data, name.length, 1);
}

/* The first pair that is not below the bound, and how many pairs are. */
static uint32_t packed_bound(const struct packed *packed, const struct bound *bound, uint64_t *rank) {
    struct packed_text text;
    *rank = 0;
    for (uint32_t at = packed_first(packed), score; at != PACKED_END; at = packed_next(packed, score), ++*rank) {
        score = packed_next(packed, at);
        packed_get(packed, at, &text);
        if (!is_below(bound, bound->has_score ? score_at(packed, score) : 0, text.data, text.length)) return at;
    }
    return PACKED_END;
}

static bool packed_add(struct packed **packed, struct text name, double score) {
    struct bound bound = {true, true, score, name, false};
    char digits[40];
    uint64_t rank;
    uint32_t at = packed_bound(*packed, &bound, &rank);
    struct text pair[] = {name, {digits, score_format(digits, score == 0 ? 0 : score)}};
    return packed_insert_many(packed, at, pair, 2);
}

static enum scored packed_put(struct packed **packed, struct text name, double score) {
    uint32_t at = find_packed(*packed, name);
    if (at == PACKED_END) return packed_add(packed, name, score) ? SCORED_NEW : SCORED_FAILED;
    if (score_at(*packed, packed_next(*packed, at)) == score) return SCORED_SAME;
    struct packed *copy = packed_copy(*packed); /* to fall back on: a failure must change nothing */
    if (copy == NULL) return SCORED_FAILED;
    packed_remove(packed, at, 2);
    if (packed_add(packed, name, score)) {
        free(copy);
        return SCORED_OTHERWISE;
    }
    free(*packed);
    *packed = copy;
    return SCORED_FAILED;
}

/* ------------------------------------------------------------------ from form to form */

static bool large_take(void *context, const struct packed_text *member, double score) {
    struct large **large = context;
    if (large_add(*large, (struct text){member->data, member->length}, score)) return true;
    large_free_some(*large, SIZE_MAX);
    *large = NULL;
    return false;
}

static struct large *large_from(const void *value) {
    struct large *large = large_create();
    if (large != NULL) sorted_each(value, 0, UINT64_MAX, false, large_take, &large);
    return large;
}

static bool enlarge(void **value) {
    struct large *large = large_from(*value);
    if (large == NULL) return false;
    free(*value);
    *value = value_tag(large, VALUE_LARGE);
    return true;
}

void *sorted_create(uint64_t expected, size_t longest) {
    if (expected <= value_limit(&value_limits.zset_listpack_entries) && longest <= value_limit(&value_limits.zset_listpack_value))
        return packed_create();
    struct large *large = large_create();
    return large == NULL ? NULL : value_tag(large, VALUE_LARGE);
}

struct packing {
    struct packed *packed;
    bool is_done;
};

static bool packed_take(void *context, const struct packed_text *member, double score) {
    struct packing *packing = context;
    packing->is_done = member->length <= value_limit(&value_limits.zset_listpack_value) &&
                       packed_add(&packing->packed, (struct text){member->data, member->length}, score);
    return packing->is_done;
}

void sorted_pack(void **value) {
    if (!is_large(*value) || large_of(*value)->count > value_limit(&value_limits.zset_listpack_entries)) return;
    struct packing packing = {packed_create(), true};
    if (packing.packed == NULL) return;
    sorted_each(*value, 0, UINT64_MAX, false, packed_take, &packing);
    if (!packing.is_done) {
        free(packing.packed);
        return;
    }
    large_free_some(large_of(*value), SIZE_MAX);
    *value = packing.packed;
}

/* ------------------------------------------------------------------ single members */

uint64_t sorted_count(const void *value) {
    return is_large(value) ? large_of(value)->count : packed_count(value) / 2;
}

bool sorted_score(const void *value, struct text member, double *score) {
    if (is_large(value)) {
        const struct member *found = large_find(large_of(value), member);
        if (found != NULL) *score = found->score;
        return found != NULL;
    }
    uint32_t at = find_packed(value, member);
    if (at != PACKED_END) *score = score_at(value, packed_next(value, at));
    return at != PACKED_END;
}

bool sorted_rank(const void *value, struct text member, uint64_t *rank, double *score) {
    if (!sorted_score(value, member, score)) return false;
    struct bound bound = {true, true, *score, member, false};
    struct path path;
    if (is_large(value)) *rank = path_to(large_of(value), &bound, &path);
    else packed_bound(value, &bound, rank);
    return true;
}

enum scored sorted_put(void **value, struct text member, double score) {
    assert(!isnan(score));
    if (!is_large(*value)) {
        /* One that is there stays as it is held, even if the limits have become lower. */
        bool fits = member.length <= value_limit(&value_limits.zset_listpack_value) &&
                    packed_count(*value) / 2 < value_limit(&value_limits.zset_listpack_entries);
        if (fits || find_packed(*value, member) != PACKED_END) {
            struct packed *packed = *value;
            enum scored scored = packed_put(&packed, member, score);
            *value = packed;
            return scored;
        }
        if (!enlarge(value)) return SCORED_FAILED;
    }
    return large_put(large_of(*value), member, score);
}

bool sorted_remove(void **value, struct text member) {
    if (is_large(*value)) {
        struct large *large = large_of(*value);
        struct member *found = large_find(large, member);
        if (found == NULL) return false;
        list_remove(large, found);
        large_forget(large, found);
        return true;
    }
    struct packed *packed = *value;
    uint32_t at = find_packed(packed, member);
    if (at == PACKED_END) return false;
    packed_remove(&packed, at, 2);
    *value = packed;
    return true;
}

void sorted_remove_range(void **value, uint64_t rank, uint64_t count) {
    if (count == 0) return;
    if (is_large(*value)) {
        large_remove_range(large_of(*value), rank, count);
        return;
    }
    struct packed *packed = *value;
    packed_remove(&packed, packed_at(packed, (int64_t)rank * 2), (uint32_t)count * 2);
    *value = packed;
}

/* ------------------------------------------------------------------ ranges */

static uint64_t count_below(const void *value, const struct bound *bound) {
    struct path path;
    uint64_t rank;
    if (is_large(value)) return path_to(large_of(value), bound, &path);
    packed_bound(value, bound, &rank);
    return rank;
}

uint64_t sorted_below(const void *value, double score, bool or_equal) {
    return count_below(value, &(struct bound){.has_score = true, .score = score, .or_equal = or_equal});
}

uint64_t sorted_before(const void *value, struct text name, bool or_equal) {
    return count_below(value, &(struct bound){.has_name = true, .name = name, .or_equal = or_equal});
}

static void member_text(const struct member *member, struct packed_text *text) {
    text->is_integer = false;
    text->data = name_of(member);
    text->length = member->length;
}

static void packed_each(const struct packed *packed, uint64_t rank, uint64_t count, bool is_backwards, sorted_visitor *visit, void *context) {
    struct packed_text text;
    for (uint32_t at = packed_at(packed, (int64_t)rank * 2); at != PACKED_END && count > 0; count--) {
        uint32_t score = packed_next(packed, at);
        packed_get(packed, at, &text);
        if (!visit(context, &text, score_at(packed, score))) return;
        if (!is_backwards) at = packed_next(packed, score);
        else if ((at = packed_previous(packed, at)) != PACKED_END) at = packed_previous(packed, at);
    }
}

void sorted_each(const void *value, uint64_t rank, uint64_t count, bool is_backwards, sorted_visitor *visit, void *context) {
    if (count == 0) return;
    if (!is_large(value)) {
        packed_each(value, rank, count, is_backwards, visit, context);
        return;
    }
    const struct member *at = rank == 0 ? large_of(value)->head->links[0].next : list_at(large_of(value), rank);
    struct packed_text text;
    for (; at != NULL && count > 0; count--) {
        const struct member *next = is_backwards ? at->previous : at->links[0].next;
        member_text(at, &text);
        if (!visit(context, &text, at->score)) return;
        at = next;
    }
}

struct scan {
    sorted_visitor *visit;
    void *context;
};

static void scan_member(void *context, void *item) {
    const struct scan *scan = context;
    const struct member *member = item;
    struct packed_text text;
    member_text(member, &text);
    scan->visit(scan->context, &text, member->score);
}

uint64_t sorted_scan(const void *value, uint64_t position, uint64_t count, sorted_visitor *visit, void *context) {
    struct scan scan = {visit, context};
    if (is_large(value)) return dictionary_scan(large_of(value)->dictionary, position, count, scan_member, &scan);
    packed_each(value, 0, UINT64_MAX, false, visit, context);
    return 0;
}

void sorted_random(const void *value, struct packed_text *member, double *score) {
    if (is_large(value)) {
        const struct member *drawn = dictionary_random(large_of(value)->dictionary);
        member_text(drawn, member);
        *score = drawn->score;
        return;
    }
    uint32_t at = packed_at(value, (int64_t)value_random(sorted_count(value)) * 2);
    packed_get(value, at, member);
    *score = score_at(value, packed_next(value, at));
}

/* ------------------------------------------------------------------ what the keyspace must know */

static const char *encoding_name(const void *value) {
    return is_large(value) ? "skiplist" : "listpack";
}

static size_t bytes(const void *value) {
    if (!is_large(value)) return packed_bytes(value);
    const struct large *large = large_of(value);
    return memory_size(large) + dictionary_bytes(large->dictionary) + large->bytes;
}

static void *copy(const void *value) {
    if (!is_large(value)) return packed_copy(value);
    struct large *large = large_from(value);
    return large == NULL ? NULL : value_tag(large, VALUE_LARGE);
}

static bool free_some(void *value, size_t budget) {
    if (is_large(value)) return large_free_some(large_of(value), budget);
    free(value);
    return true;
}

const struct value_kind zset_kind = {encoding_name, bytes, sorted_count, copy, free_some};
