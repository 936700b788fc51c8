#include "prefix_list.h"

#include <stdlib.h>
#include <string.h>

static int compare(const char *one, size_t one_length, const char *other, size_t other_length) {
    size_t common = one_length < other_length ? one_length : other_length;
    int order = common == 0 ? 0 : memcmp(one, other, common);
    return order != 0 ? order : (one_length > other_length) - (one_length < other_length);
}

static int compare_bulks(const void *one, const void *other) {
    const struct bulk *first = one, *second = other;
    return compare(first->data, first->length, second->data, second->length);
}

/* One is a prefix of the other. */
static bool do_overlap(const char *one, size_t one_length, const char *other, size_t other_length) {
    size_t common = one_length < other_length ? one_length : other_length;
    return common == 0 || memcmp(one, other, common) == 0;
}

/* How many are not behind these bytes. */
static uint32_t count_up_to(const struct prefix_list *list, const char *bytes, size_t length) {
    uint32_t from = 0, to = list->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (compare(prefix_at(list, middle), list->at[middle].length, bytes, length) <= 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* ------------------------------------------------------------------ lists */

struct prefix_list *prefix_list_copy(const struct prefix_list *list) {
    struct prefix_list *copy = malloc(list->bytes);
    if (copy != NULL) memcpy(copy, list, list->bytes);
    return copy;
}

static struct prefix_list *list_of(const struct bulk *sorted, uint32_t count) {
    size_t bytes = sizeof(struct prefix_list) + count * sizeof((struct prefix_list *)0)->at[0];
    size_t offset = bytes;
    for (uint32_t i = 0; i < count; i++) bytes += sorted[i].length;
    struct prefix_list *list = malloc(bytes);
    if (list == NULL) return NULL;
    list->bytes = bytes;
    list->count = count;
    for (uint32_t i = 0; i < count; i++) {
        list->at[i].offset = offset;
        list->at[i].length = (uint32_t)sorted[i].length;
        if (sorted[i].length > 0) memcpy((char *)list + offset, sorted[i].data, sorted[i].length);
        offset += sorted[i].length;
    }
    return list;
}

struct prefix_list *prefix_list_with(const struct prefix_list *list, const struct bulk *more,
                                     uint32_t count) {
    uint32_t listed = list == NULL ? 0 : list->count, all = 0;
    struct bulk *sorted = malloc((listed + count + 1) * sizeof *sorted);
    if (sorted == NULL) return NULL;
    for (uint32_t i = 0; i < listed; i++)
        sorted[all++] =
            (struct bulk){.data = (char *)(uintptr_t)prefix_at(list, i), .length = list->at[i].length};
    for (uint32_t i = 0; i < count; i++)
        if (list == NULL || !prefix_list_has(list, more[i].data, more[i].length)) sorted[all++] = more[i];
    qsort(sorted, all, sizeof *sorted, compare_bulks);
    struct prefix_list *larger = list_of(sorted, all);
    free(sorted);
    return larger;
}

bool prefix_list_is_same(const struct prefix_list *one, const struct prefix_list *other) {
    if (one->count != other->count || one->bytes != other->bytes) return false;
    for (uint32_t i = 0; i < one->count; i++)
        if (one->at[i].length != other->at[i].length ||
            memcmp(prefix_at(one, i), prefix_at(other, i), one->at[i].length) != 0)
            return false;
    return true;
}

bool prefix_list_has(const struct prefix_list *list, const char *bytes, size_t length) {
    uint32_t up_to = count_up_to(list, bytes, length);
    return up_to > 0 && compare(prefix_at(list, up_to - 1), list->at[up_to - 1].length, bytes, length) == 0;
}

/* What begins like the key and stands between it and its prefix would overlap with that. */
bool prefix_list_matches(const struct prefix_list *list, const char *key, size_t length) {
    if (list->at[0].length == 0) return true;
    uint32_t up_to = count_up_to(list, key, length);
    return up_to > 0 && list->at[up_to - 1].length <= length &&
           memcmp(prefix_at(list, up_to - 1), key, list->at[up_to - 1].length) == 0;
}

static int compare_keys(const void *one, const void *other) {
    const struct prefix_key *first = one, *second = other;
    return compare(first->bytes, first->length, second->bytes, second->length);
}

void prefix_keys_sort(struct prefix_key *keys, uint32_t count) {
    qsort(keys, count, sizeof *keys, compare_keys);
}

/* The first one that is not before these bytes. */
static uint32_t first_from(const struct prefix_key *keys, uint32_t count, const char *bytes, size_t length) {
    uint32_t from = 0, to = count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (compare(keys[middle].bytes, keys[middle].length, bytes, length) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Those that begin alike stand together, the prefix itself in front; none is found twice, since prefixes do
 * not overlap. */
uint32_t prefix_list_pick(const struct prefix_list *list, const struct prefix_key *keys, uint32_t count,
                          uint32_t *places) {
    uint32_t picked = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const char *bytes = prefix_at(list, i);
        size_t length = list->at[i].length;
        for (uint32_t at = first_from(keys, count, bytes, length);
             at < count && keys[at].length >= length && memcmp(keys[at].bytes, bytes, length) == 0; at++)
            places[picked++] = keys[at].place;
    }
    return picked;
}

/* ------------------------------------------------------------------ overlaps */

/* Of those of the list that overlap with it, the first; its count, if none does. */
static uint32_t first_overlapping(const struct prefix_list *list, const struct bulk *prefix) {
    uint32_t up_to = count_up_to(list, prefix->data, prefix->length);
    if (list->count > 0 && list->at[0].length == 0) return 0;
    for (uint32_t i = up_to == 0 ? 0 : up_to - 1; i < list->count && i <= up_to; i++)
        if (do_overlap(prefix_at(list, i), list->at[i].length, prefix->data, prefix->length)) return i;
    return list->count;
}

/* Sorted, what overlaps stands together, behind the shortest of it. Marks in `more`'s order who overlaps with
 * any other. */
static bool mark_overlapping(const struct bulk *more, uint32_t count, bool *marks) {
    struct bulk *sorted = malloc(count * sizeof *sorted);
    if (sorted == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        sorted[i] = more[i];
        sorted[i].owner = &marks[i];
        marks[i] = false;
    }
    qsort(sorted, count, sizeof *sorted, compare_bulks);
    for (uint32_t i = 1, shortest = 0; i < count; i++) {
        if (do_overlap(sorted[shortest].data, sorted[shortest].length, sorted[i].data, sorted[i].length))
            *(bool *)sorted[shortest].owner = *(bool *)sorted[i].owner = true;
        else
            shortest = i;
    }
    free(sorted);
    return true;
}

static bool with_itself(const struct bulk *more, uint32_t count, uint32_t index,
                        struct prefix_overlap *overlap) {
    for (uint32_t i = index + 1; i < count; i++) {
        if (!do_overlap(more[index].data, more[index].length, more[i].data, more[i].length)) continue;
        *overlap = (struct prefix_overlap){.is_any = true, .prefix = more[index], .other = more[i]};
        return true;
    }
    return false;
}

bool prefix_list_overlap(const struct prefix_list *list, const struct bulk *more, uint32_t count,
                         struct prefix_overlap *overlap) {
    *overlap = (struct prefix_overlap){.is_any = false};
    if (count == 0) return true;
    bool *marks = malloc(count * sizeof *marks), is_marked = false;
    if (marks != NULL) is_marked = mark_overlapping(more, count, marks);
    for (uint32_t i = 0; is_marked && i < count && !overlap->is_any; i++) {
        uint32_t listed = list == NULL ? 0 : first_overlapping(list, &more[i]);
        if (list != NULL && listed < list->count)
            *overlap = (struct prefix_overlap){.is_any = true,
                                               .is_listed = true,
                                               .prefix = more[i],
                                               .other = {.data = (char *)(uintptr_t)prefix_at(list, listed),
                                                         .length = list->at[listed].length}};
        else if (marks[i])
            (void)with_itself(more, count, i, overlap);
    }
    free(marks);
    return is_marked;
}
