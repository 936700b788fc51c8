#include "audience.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 2
#define NO_PLACE UINT32_MAX

static struct part *part_of(struct audience *audience, const struct worker *worker) {
    struct part *part = audience->parts;
    while (part != NULL && part->worker != worker) part = part->next;
    return part;
}

static struct part *part_add(struct audience *audience, struct worker *worker, const struct head *head) {
    struct part *part = malloc(sizeof *part + head->length);
    if (part == NULL) return NULL;
    *part = (struct part){.next = audience->parts,
                          .worker = worker,
                          .pad = {.desk = audience->desk, .worker = worker},
                          .has_name = head->has_name,
                          .head_length = head->length};
    if (head->length > 0) memcpy(part->head, head->bytes, head->length);
    audience->parts = part;
    return part;
}

static void part_close(struct audience *audience, struct part *part) {
    struct part **place = &audience->parts;
    while (*place != part) place = &(*place)->next;
    *place = part->next;
    pad_end(&part->pad);
    part->is_closed = true;
}

/* Nobody can reach it any more, or will. */
static void part_free_unused(struct part *part) {
    if (!part->is_closed || part->count > 0 || atomic_load(&part->flights) > 0) return;
    free(part->hearers);
    free(part);
}

/* For as many as are counted: those that have still to enter find room. */
static bool part_reserve(struct part *part) {
    uint32_t needed = (part->counted > part->count ? part->counted : part->count) + 1;
    if (needed <= part->capacity) return true;
    if (part->capacity > UINT32_MAX / 4) return false;
    uint32_t capacity = part->capacity == 0 ? CAPACITY_FIRST : part->capacity * 2;
    struct hearer **hearers = realloc(part->hearers, capacity * sizeof(struct hearer *));
    if (hearers == NULL) return false;
    part->hearers = hearers;
    part->capacity = capacity;
    return true;
}

bool audience_count(struct audience *audience, struct worker *worker, struct hearer *hearer,
                    const struct head *head) {
    struct part *part = part_of(audience, worker);
    if (part == NULL) part = part_add(audience, worker, head);
    if (part == NULL) return false;
    if (!part_reserve(part)) {
        if (part->counted > 0) return false;
        part_close(audience, part);
        part_free_unused(part);
        return false;
    }
    part->counted++;
    hearer->part = part;
    hearer->place = NO_PLACE;
    return true;
}

void audience_discount(struct audience *audience, struct hearer *hearer) {
    struct part *part = hearer->part;
    assert(part->counted > 0 && worker_self() == part->worker);
    if (--part->counted == 0) part_close(audience, part);
}

uint64_t audience_size(const struct audience *audience) {
    uint64_t size = 0;
    for (const struct part *part = audience->parts; part != NULL; part = part->next) size += part->counted;
    return size;
}

void hearer_enter(struct hearer *hearer) {
    struct part *part = hearer->part;
    assert(hearer->place == NO_PLACE && part->count < part->capacity);
    hearer->place = part->count;
    part->hearers[part->count++] = hearer;
}

/* The last one takes its place. */
void hearer_leave(struct hearer *hearer) {
    struct part *part = hearer->part;
    if (hearer->place != NO_PLACE) {
        struct hearer *last = part->hearers[--part->count];
        part->hearers[hearer->place] = last;
        last->place = hearer->place;
        hearer->place = NO_PLACE;
    }
    part_free_unused(part);
}

void part_landed(struct part *part) {
    atomic_fetch_sub(&part->flights, 1);
    part_free_unused(part);
}
