#include "sorted.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"
#include "../base/number.h"
#include "dictionary.h"
#include "form.h"
#include "ranking.h"

struct large {
    struct dictionary *dictionary; /* of the same items */
    struct ranking ranking;
    size_t bytes; /* of items */
};

static struct large *large_of(const void *value) {
    return value_untag(value);
}
static bool is_large(const void *value) {
    return value_form(value) == VALUE_LARGE;
}

static const char *item_name_of(const void *item, size_t *length) {
    struct text name = ranked_name(item);
    *length = name.length;
    return name.data;
}

size_t score_format(char *out, double score) {
    /* Numbers that are whole are the most common, and quickly made. */
    if (score >= -1e15 && score <= 1e15 && score == (double)(int64_t)score && !(score == 0 && signbit(score)))
        return number_format(out, (int64_t)score);
    return (size_t)snprintf(out, 32, "%.17g", score);
}

/* ------------------------------------------------------------------ the large form */

static struct large *large_create(void) {
    struct large *large = calloc(1, sizeof *large);
    if (large != NULL && (large->dictionary = dictionary_create(item_name_of)) != NULL) return large;
    free(large);
    return NULL;
}

/* First the items, then the nodes. */
static bool large_free_some(struct large *large, size_t budget) {
    for (struct ranked *item; budget > 0 && (item = dictionary_take_any(large->dictionary)) != NULL; budget--)
        free(item);
    if (budget == 0 || !ranking_free_some(&large->ranking, &budget)) return false;
    dictionary_free(large->dictionary);
    free(large);
    return true;
}

static bool large_add(struct large *large, struct text name, double score) {
    if (!ranking_room(&large->ranking)) return false;
    struct ranked *item = ranked_create(score, name);
    if (item == NULL) return false;
    if (!ranking_insert(&large->ranking, score, item)) {
        journal_free(item);
        return false;
    }
    if (!dictionary_insert(large->dictionary, value_hash(name.data, name.length), item)) {
        ranking_remove(&large->ranking, score, item);
        journal_free(item);
        return false;
    }
    journal_keep(&large->bytes, sizeof large->bytes);
    large->bytes += memory_size(item);
    return true;
}

static struct ranked *large_find(const struct large *large, struct text name) {
    return dictionary_find(large->dictionary, value_hash(name.data, name.length), name.data, name.length);
}

static enum scored large_put(struct large *large, struct text name, double score) {
    struct ranked *present = large_find(large, name);
    if (present == NULL) return large_add(large, name, score) ? SCORED_NEW : SCORED_FAILED;
    if (present->score == score) return SCORED_SAME;
    if (!ranking_insert(&large->ranking, score, present)) return SCORED_FAILED;
    ranking_remove(&large->ranking, present->score, present);
    journal_keep(&present->score, sizeof present->score);
    present->score = score;
    return SCORED_OTHERWISE;
}

static void large_forget(struct large *large, struct ranked *item) {
    struct text name = ranked_name(item);
    ranking_remove(&large->ranking, item->score, item);
    dictionary_remove(large->dictionary, value_hash(name.data, name.length), name.data, name.length);
    journal_keep(&large->bytes, sizeof large->bytes);
    large->bytes -= memory_size(item);
    journal_free(item);
}

static void large_remove_range(struct large *large, uint64_t rank, uint64_t count) {
    while (count-- > 0 && rank < large->ranking.count)
        large_forget(large, standing_item(ranking_at(&large->ranking, rank)));
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
    for (uint32_t at = packed_first(packed), score; at != PACKED_END;
         at = packed_next(packed, score), ++*rank) {
        score = packed_next(packed, at);
        packed_get(packed, at, &text);
        if (!bound_is_behind(bound, bound->has_score ? score_at(packed, score) : 0,
                             (struct text){text.data, text.length}))
            return at;
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

/* With another score it comes in before the old one goes, which can't fail: so a failure changes nothing. */
static enum scored packed_put(struct packed **packed, struct text name, double score) {
    uint32_t at = find_packed(*packed, name);
    if (at == PACKED_END) return packed_add(packed, name, score) ? SCORED_NEW : SCORED_FAILED;
    double present = score_at(*packed, packed_next(*packed, at));
    if (present == score) return SCORED_SAME;
    if (!packed_add(packed, name, score)) return SCORED_FAILED;
    at = find_packed(*packed, name);
    if (present > score) { /* the old one is the second */
        uint32_t behind = packed_next(*packed, packed_next(*packed, at));
        at = packed_find(*packed, behind, name.data, name.length, 1);
    }
    packed_remove(packed, at, 2);
    return SCORED_OTHERWISE;
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
    struct journal *paused = journal_pause();
    struct large *large = large_from(*value);
    journal_resume(paused);
    if (large == NULL || !value_made(&zset_kind, value_tag(large, VALUE_LARGE))) return false;
    journal_free(*value);
    *value = value_tag(large, VALUE_LARGE);
    return true;
}

void *sorted_create(uint64_t expected, size_t longest) {
    if (expected <= value_limit(&value_limits.zset_listpack_entries) &&
        longest <= value_limit(&value_limits.zset_listpack_value))
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
    if (!is_large(*value) ||
        large_of(*value)->ranking.count > value_limit(&value_limits.zset_listpack_entries))
        return;
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
    return is_large(value) ? large_of(value)->ranking.count : packed_count(value) / 2;
}

bool sorted_score(const void *value, struct text member, double *score) {
    if (is_large(value)) {
        const struct ranked *found = large_find(large_of(value), member);
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
    if (is_large(value))
        *rank = ranking_below(&large_of(value)->ranking, &bound);
    else
        packed_bound(value, &bound, rank);
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
        struct ranked *found = large_find(large, member);
        if (found == NULL) return false;
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
    uint64_t rank;
    if (is_large(value)) return ranking_below(&large_of(value)->ranking, bound);
    packed_bound(value, bound, &rank);
    return rank;
}

uint64_t sorted_below(const void *value, double score, bool or_equal) {
    return count_below(value, &(struct bound){.has_score = true, .score = score, .or_equal = or_equal});
}

uint64_t sorted_before(const void *value, struct text name, bool or_equal) {
    return count_below(value, &(struct bound){.has_name = true, .name = name, .or_equal = or_equal});
}

static void item_text(const struct ranked *item, struct packed_text *text) {
    struct text name = ranked_name(item);
    text->is_integer = false;
    text->data = name.data;
    text->length = name.length;
}

static void packed_each(const struct packed *packed, uint64_t rank, uint64_t count, bool is_backwards,
                        sorted_visitor *visit, void *context) {
    struct packed_text text;
    for (uint32_t at = packed_at(packed, (int64_t)rank * 2); at != PACKED_END && count > 0; count--) {
        uint32_t score = packed_next(packed, at);
        packed_get(packed, at, &text);
        if (!visit(context, &text, score_at(packed, score))) return;
        if (!is_backwards)
            at = packed_next(packed, score);
        else if ((at = packed_previous(packed, at)) != PACKED_END)
            at = packed_previous(packed, at);
    }
}

void sorted_each(const void *value, uint64_t rank, uint64_t count, bool is_backwards, sorted_visitor *visit,
                 void *context) {
    if (count == 0) return;
    if (!is_large(value)) {
        packed_each(value, rank, count, is_backwards, visit, context);
        return;
    }
    const struct large *large = large_of(value);
    if (rank >= large->ranking.count) return;
    struct standing standing = ranking_at(&large->ranking, rank);
    struct packed_text text;
    const void *leaf = NULL;
    for (; standing.leaf != NULL && count > 0; count--) {
        if (standing.leaf != leaf) standing_prefetch(standing, count, is_backwards);
        leaf = standing.leaf;
        const struct ranked *item = standing_item(standing);
        item_text(item, &text);
        if (!visit(context, &text, item->score)) return;
        standing = is_backwards ? standing_previous(standing) : standing_next(standing);
    }
}

struct scan {
    sorted_visitor *visit;
    void *context;
};

static void scan_item(void *context, void *item) {
    const struct scan *scan = context;
    const struct ranked *ranked = item;
    struct packed_text text;
    item_text(ranked, &text);
    scan->visit(scan->context, &text, ranked->score);
}

uint64_t sorted_scan(const void *value, uint64_t position, uint64_t count, sorted_visitor *visit,
                     void *context) {
    struct scan scan = {visit, context};
    if (is_large(value))
        return dictionary_scan(large_of(value)->dictionary, position, count, scan_item, &scan);
    packed_each(value, 0, UINT64_MAX, false, visit, context);
    return 0;
}

void sorted_random(const void *value, struct packed_text *member, double *score) {
    if (is_large(value)) {
        const struct ranked *drawn = dictionary_random(large_of(value)->dictionary);
        item_text(drawn, member);
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
    return memory_size(large) + dictionary_bytes(large->dictionary) + large->ranking.bytes + large->bytes;
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
