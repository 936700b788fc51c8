#include "stream_groups.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"

/* ------------------------------------------------------------------ names */

static int text_compare(struct text one, struct text other) {
    size_t length = one.length < other.length ? one.length : other.length;
    int order = length == 0 ? 0 : memcmp(one.data, other.data, length);
    return order != 0 ? order : (one.length > other.length) - (one.length < other.length);
}

static struct text name_of(const struct names *names, uint32_t index) {
    return *(const struct text *)names->items[index];
}

/* Its place, or the one it would have. */
static uint32_t names_index(const struct names *names, struct text name, bool *is_there) {
    uint32_t low = 0, high = names->count;
    *is_there = false;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = text_compare(name_of(names, middle), name);
        if (order == 0) {
            *is_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void *names_find(const struct names *names, struct text name) {
    bool is_there;
    uint32_t index = names_index(names, name, &is_there);
    return is_there ? names->items[index] : NULL;
}

static size_t names_bytes(const struct names *names) {
    return names->items == NULL ? 0 : memory_size(names->items);
}

static void keep(struct stream *stream) {
    journal_keep(stream, sizeof *stream);
}

/* From that one on, and what stands behind the last. */
static void names_keep(struct names *names, uint32_t index) {
    uint32_t end = names->count < names->capacity ? names->count + 1 : names->count;
    journal_keep(names, sizeof *names);
    if (index < end) journal_keep(&names->items[index], (end - index) * sizeof(void *));
}

static bool names_add(struct stream *stream, struct names *names, void *item) {
    bool is_there;
    if (!journal_room(8, sizeof *stream + 2 * sizeof *names + (names->count + 1) * sizeof(void *)))
        return false;
    keep(stream);
    journal_keep(names, sizeof *names);
    if (names->count == names->capacity) {
        uint32_t capacity = names->capacity == 0 ? 1 : names->capacity * 2;
        size_t before = names_bytes(names);
        void **items = journal_realloc(names->items, capacity * sizeof(void *));
        if (items == NULL) return false;
        names->items = items;
        names->capacity = capacity;
        stream->bytes = stream->bytes - before + names_bytes(names);
    }
    uint32_t index = names_index(names, *(struct text *)item, &is_there);
    assert(!is_there);
    names_keep(names, index);
    memmove(&names->items[index + 1], &names->items[index], (names->count - index) * sizeof(void *));
    names->items[index] = item;
    names->count++;
    return true;
}

static void names_clear(struct stream *stream, struct names *names) {
    stream->bytes -= names_bytes(names);
    journal_free(names->items);
    *names = (struct names){0};
}

static void names_remove(struct stream *stream, struct names *names, const void *item) {
    bool is_there;
    uint32_t index = names_index(names, *(const struct text *)item, &is_there);
    assert(is_there);
    keep(stream);
    names_keep(names, index);
    names->count--;
    memmove(&names->items[index], &names->items[index + 1], (names->count - index) * sizeof(void *));
    if (names->count == 0) names_clear(stream, names);
}

/* ------------------------------------------------------------------ groups and consumers */

struct stream_group *group_find(const struct stream *stream, struct text name) {
    return names_find(&stream->groups, name);
}

struct stream_consumer *consumer_find(const struct stream_group *group, struct text name) {
    return names_find(&group->consumers, name);
}

static void name_put(struct text *name, char *bytes, struct text from) {
    if (from.length > 0) memcpy(bytes, from.data, from.length);
    *name = (struct text){bytes, from.length};
}

struct stream_group *group_create(struct stream *stream, struct text name, struct stream_id last,
                                  int64_t entries_read) {
    struct stream_group *group = journal_calloc(1, sizeof *group + name.length);
    if (group == NULL) return NULL;
    name_put(&group->name, group->bytes, name);
    group->last = last;
    group->entries_read = entries_read;
    if (!names_add(stream, &stream->groups, group)) {
        journal_free(group);
        return NULL;
    }
    stream->bytes += memory_size(group);
    return group;
}

struct stream_consumer *consumer_create(struct stream *stream, struct stream_group *group, struct text name,
                                        int64_t now) {
    struct stream_consumer *consumer = journal_calloc(1, sizeof *consumer + name.length);
    if (consumer == NULL) return NULL;
    name_put(&consumer->name, consumer->bytes, name);
    consumer->seen = now;
    consumer->active = -1;
    if (!names_add(stream, &group->consumers, consumer)) {
        journal_free(consumer);
        return NULL;
    }
    stream->bytes += memory_size(consumer);
    return consumer;
}

static void item_free(struct stream *stream, void *item) {
    keep(stream);
    stream->bytes -= memory_size(item);
    journal_free(item);
}

/* Frees about `budget` of what is pending, and of consumers. Returns true when the group has nothing left. */
static bool group_empty(struct stream *stream, struct stream_group *group, size_t *budget) {
    struct stream_delivery *delivery;
    size_t before = group->pending.bytes;
    keep(stream);
    group_prepare(group);
    for (; *budget > 0 && (delivery = tree_drain(&group->pending)) != NULL; --*budget) {
        item_free(stream, delivery);
        stream->deliveries--;
    }
    stream->bytes -= before - group->pending.bytes;
    while (group->consumers.count > 0) {
        struct stream_consumer *consumer = group->consumers.items[group->consumers.count - 1];
        before = consumer->pending.bytes;
        while (*budget > 0 && tree_drain(&consumer->pending) != NULL) --*budget;
        stream->bytes -= before - consumer->pending.bytes;
        if (*budget == 0) return false;
        group->consumers.count--;
        item_free(stream, consumer);
        --*budget;
    }
    return *budget > 0;
}

static void group_free(struct stream *stream, struct stream_group *group) {
    names_clear(stream, &group->consumers);
    item_free(stream, group);
}

void group_destroy(struct stream *stream, struct stream_group *group) {
    size_t budget = SIZE_MAX;
    names_remove(stream, &stream->groups, group);
    group_empty(stream, group, &budget);
    group_free(stream, group);
}

bool groups_free_some(struct stream *stream, size_t budget) {
    while (stream->groups.count > 0) {
        struct stream_group *group = stream->groups.items[stream->groups.count - 1];
        if (!group_empty(stream, group, &budget)) return false;
        stream->groups.count--;
        group_free(stream, group);
    }
    names_clear(stream, &stream->groups);
    return true;
}

/* ------------------------------------------------------------------ what is pending */

static bool pending_add(struct stream *stream, struct tree *pending, struct stream_id id,
                        struct stream_delivery *delivery) {
    size_t before = pending->bytes;
    if (!journal_room(2, sizeof *stream)) return false;
    keep(stream);
    bool is_done = tree_add(pending, id, delivery);
    stream->bytes += pending->bytes - before; /* nodes may have grown, even if it failed */
    return is_done;
}

static struct stream_delivery *pending_remove(struct stream *stream, struct tree *pending,
                                              struct stream_id id) {
    size_t before = pending->bytes;
    struct stream_delivery *delivery = tree_remove(pending, id);
    keep(stream);
    stream->bytes -= before - pending->bytes;
    return delivery;
}

static bool delivery_move(struct stream *stream, struct stream_delivery *delivery, struct stream_consumer *to,
                          struct stream_id id) {
    if (delivery->consumer == to) return true;
    if (!pending_add(stream, &to->pending, id, delivery)) return false;
    pending_remove(stream, &delivery->consumer->pending, id);
    delivery_prepare(delivery);
    delivery->consumer = to;
    return true;
}

static struct stream_delivery *delivery_create(struct stream *stream, struct stream_group *group,
                                               struct stream_consumer *consumer, struct stream_id id) {
    struct stream_delivery *delivery = journal_calloc(1, sizeof *delivery);
    if (delivery == NULL) return NULL;
    delivery->consumer = consumer;
    if (!pending_add(stream, &group->pending, id, delivery)) {
        journal_free(delivery);
        return NULL;
    }
    if (!pending_add(stream, &consumer->pending, id, delivery)) {
        pending_remove(stream, &group->pending, id);
        journal_free(delivery);
        return NULL;
    }
    stream->deliveries++;
    stream->bytes += memory_size(delivery);
    return delivery;
}

struct stream_delivery *delivery_put(struct stream *stream, struct stream_group *group,
                                     struct stream_consumer *consumer, struct stream_id id) {
    struct stream_delivery *delivery = tree_get(&group->pending, id);
    if (delivery == NULL) return delivery_create(stream, group, consumer, id);
    return delivery_move(stream, delivery, consumer, id) ? delivery : NULL;
}

bool delivery_remove(struct stream *stream, struct stream_group *group, struct stream_id id) {
    struct stream_delivery *delivery = pending_remove(stream, &group->pending, id);
    if (delivery == NULL) return false;
    pending_remove(stream, &delivery->consumer->pending, id);
    stream->deliveries--;
    item_free(stream, delivery);
    return true;
}

void consumer_destroy(struct stream *stream, struct stream_group *group, struct stream_consumer *consumer) {
    for (struct tree_place place; (place = tree_last(&consumer->pending)).node != NULL;)
        delivery_remove(stream, group, tree_slot(place)->id);
    names_remove(stream, &group->consumers, consumer);
    item_free(stream, consumer);
}

/* ------------------------------------------------------------------ how far it has come */

void group_advance(const struct stream *stream, struct stream_group *group, struct stream_id id) {
    group_prepare(group);
    if (group->entries_read != STREAM_UNKNOWN && !stream_has_gap(stream, id))
        group->entries_read++;
    else if (stream->added > 0)
        group->entries_read = stream_added_until(stream, id);
    group->last = id;
}

void group_prepare(struct stream_group *group) {
    journal_keep(group, sizeof *group);
}

void consumer_prepare(struct stream_consumer *consumer) {
    journal_keep(consumer, sizeof *consumer);
}

void delivery_prepare(struct stream_delivery *delivery) {
    journal_keep(delivery, sizeof *delivery);
}

bool delivery_room(void) {
    return journal_room(8, 2 * sizeof(struct stream_group) + 2 * sizeof(struct stream_consumer) +
                               2 * sizeof(struct stream_delivery));
}

bool group_lag(const struct stream *stream, const struct stream_group *group, int64_t *lag) {
    int64_t read = group->entries_read;
    *lag = 0;
    if (stream->added == 0) return true;
    if (read == STREAM_UNKNOWN || stream_has_gap(stream, group->last))
        read = stream_added_until(stream, group->last);
    *lag = (int64_t)stream->added - read;
    return read != STREAM_UNKNOWN;
}

/* ------------------------------------------------------------------ copying */

static bool copy_pending(struct stream *stream, struct stream_group *to, const struct stream_group *from) {
    for (struct tree_place place = tree_first(&from->pending); place.node != NULL; place = tree_next(place)) {
        const struct stream_delivery *delivery = tree_slot(place)->to;
        struct stream_consumer *consumer = consumer_find(to, delivery->consumer->name);
        struct stream_delivery *copy = delivery_create(stream, to, consumer, tree_slot(place)->id);
        if (copy == NULL) return false;
        copy->time = delivery->time;
        copy->count = delivery->count;
    }
    return true;
}

static bool copy_group(struct stream *stream, const struct stream_group *from) {
    struct stream_group *to = group_create(stream, from->name, from->last, from->entries_read);
    if (to == NULL) return false;
    for (uint32_t i = 0; i < from->consumers.count; i++) {
        const struct stream_consumer *consumer = from->consumers.items[i];
        struct stream_consumer *copy = consumer_create(stream, to, consumer->name, consumer->seen);
        if (copy == NULL) return false;
        copy->active = consumer->active;
    }
    return copy_pending(stream, to, from);
}

bool groups_copy(struct stream *to, const struct stream *from) {
    for (uint32_t i = 0; i < from->groups.count; i++)
        if (!copy_group(to, from->groups.items[i])) return false;
    return true;
}
