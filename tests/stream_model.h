/* A stream and its groups, beside plain arrays that say what should be in them. What is done next is drawn
 * from a source of small numbers: chance in the unit test, bytes in the fuzzer. Every step is checked by what
 * it returns; stream_model_check compares everything. */
#ifndef TESTS_STREAM_MODEL_H
#define TESTS_STREAM_MODEL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/memory.h"
#include "shard/value/stream_groups.h"
#include "check.h"

#define MODEL_ENTRIES 20000
#define MODEL_GROUPS 3
#define MODEL_CONSUMERS 4

/* A number below the given one. */
typedef uint32_t stream_draw(void *context, uint32_t below);

struct model_entry {
    struct stream_id id;
    uint32_t shape; /* decides upon its fields */
    bool is_there;
};

struct model_group {
    bool is_there, has_consumer[MODEL_CONSUMERS];
    uint8_t owner[MODEL_ENTRIES]; /* of a pending entry: its consumer + 1 */
    uint8_t count[MODEL_ENTRIES];
};

struct stream_model {
    struct stream *stream;
    stream_draw *draw;
    void *context;
    uint32_t entries;
    uint64_t present;
    struct stream_id deleted;
    struct model_entry entry[MODEL_ENTRIES];
    struct model_group group[MODEL_GROUPS];
};

static inline uint32_t model_draw(struct stream_model *model, uint32_t below) {
    return model->draw(model->context, below);
}

/* ------------------------------------------------------------------ what entries hold */

static inline uint32_t model_fields(uint32_t shape) {
    return shape % 7 == 6 ? 40 : 1 + shape % 3;
}

static inline struct text model_text(char buffer[160], uint32_t shape, uint32_t index, bool is_value) {
    int length;
    if (!is_value)
        length = snprintf(buffer, 160, shape % 5 == 4 ? "other%u" : "field%u", index);
    else if (shape % 4 == 1)
        length = snprintf(buffer, 160, "%d", (int)(shape * 7001u) - 100000 * (int)index);
    else if (shape % 11 == 3)
        length = snprintf(buffer, 160, "%0150u", shape + index);
    else
        length = snprintf(buffer, 160, "v%u-%u", shape, index);
    return (struct text){buffer, (size_t)length};
}

static inline void model_check_text(const struct packed_text *text, uint32_t shape, uint32_t index,
                                    bool is_value) {
    char buffer[160];
    struct text wanted = model_text(buffer, shape, index, is_value);
    CHECK(text->length == wanted.length && memcmp(text->data, wanted.data, wanted.length) == 0);
}

static inline struct text model_name(uint32_t number) {
    static const char *const names[] = {"a", "b2", "", "consumer with a name"};
    return (struct text){names[number], strlen(names[number])};
}

/* ------------------------------------------------------------------ steps */

static inline void model_append(struct stream_model *model) {
    static char buffers[80][160];
    struct text texts[80];
    struct stream_id id = model->stream->last;
    uint32_t shape = model_draw(model, 60), fields = model_fields(shape);
    if (model->entries == MODEL_ENTRIES) return;
    if (model_draw(model, 3) == 0)
        id = (struct stream_id){id.ms + 1 + model_draw(model, 5) * 1000, model_draw(model, 3)};
    else
        id.seq += 1 + model_draw(model, 3);
    for (uint32_t i = 0; i < fields * 2; i++) texts[i] = model_text(buffers[i], shape, i / 2, i % 2 == 1);
    CHECK(stream_append(model->stream, id, texts, fields));
    model->entry[model->entries++] = (struct model_entry){id, shape, true};
    model->present++;
}

static inline void model_remove(struct stream_model *model) {
    if (model->entries == 0) return;
    struct model_entry *entry = &model->entry[model_draw(model, model->entries)];
    CHECK(stream_remove(model->stream, entry->id) == entry->is_there);
    if (!entry->is_there) return;
    if (stream_id_compare(entry->id, model->deleted) > 0) model->deleted = entry->id;
    entry->is_there = false;
    model->present--;
}

static inline void model_trim(struct stream_model *model) {
    struct stream_trim trim = {.by = model_draw(model, 2) == 0 ? STREAM_TRIM_LENGTH : STREAM_TRIM_ID,
                               .is_approximate = model_draw(model, 2) == 0};
    uint64_t before = model->present;
    trim.length = before == 0 ? 0 : before - model_draw(model, before < 300 ? (uint32_t)before : 300);
    if (model->entries > 0) trim.id = model->entry[model_draw(model, model->entries)].id;
    if (trim.by == STREAM_TRIM_ID && model_draw(model, 2) == 0 && model->stream->count > 0) {
        trim.id = model->stream->first;
        trim.id.ms += model_draw(model, 9) * 500;
    }
    if (trim.is_approximate) trim.limit = model_draw(model, 2) * 150;
    uint64_t removed = stream_trim(model->stream, &trim), left = removed, most = 0;
    for (uint32_t i = 0; i < model->entries && (trim.by == STREAM_TRIM_LENGTH ||
                                                stream_id_compare(model->entry[i].id, trim.id) < 0);
         i++)
        most += model->entry[i].is_there;
    if (trim.by == STREAM_TRIM_LENGTH) most = before > trim.length ? before - trim.length : 0;
    CHECK(trim.is_approximate ? removed <= most : removed == most);
    CHECK(trim.limit == 0 || removed <= trim.limit);
    for (uint32_t i = 0; left > 0; i++) {
        left -= model->entry[i].is_there;
        model->entry[i].is_there = false;
    }
    model->present -= removed;
}

static inline void model_read(struct stream_model *model) {
    struct stream_reader reader;
    if (model->entries == 0) return;
    uint32_t low = model_draw(model, model->entries), high = model_draw(model, model->entries),
             most = 1 + model_draw(model, 30);
    bool is_backwards = model_draw(model, 2) == 0;
    struct stream_id start = model->entry[low].id, end = model->entry[high].id;
    stream_read(&reader, model->stream, start, end, is_backwards);
    for (uint32_t at = is_backwards ? high : low; most > 0; at += is_backwards ? UINT32_MAX : 1) {
        if (low > high || at > high || at < low || at >= model->entries) {
            CHECK(!stream_next(&reader));
            return;
        }
        if (!model->entry[at].is_there) continue;
        CHECK(stream_next(&reader));
        CHECK(stream_id_compare(reader.id, model->entry[at].id) == 0);
        most--;
    }
}

static inline void model_group(struct stream_model *model) {
    uint32_t number = model_draw(model, MODEL_GROUPS);
    struct model_group *group = &model->group[number];
    struct stream_group *found = group_find(model->stream, model_name(number));
    CHECK((found != NULL) == group->is_there);
    if (found == NULL) {
        CHECK(group_create(model->stream, model_name(number), STREAM_ID_LEAST, STREAM_UNKNOWN) != NULL);
        group->is_there = true;
    } else if (model_draw(model, 20) == 0) {
        group_destroy(model->stream, found);
        memset(group, 0, sizeof *group);
    }
}

static inline void model_consumer(struct stream_model *model) {
    uint32_t number = model_draw(model, MODEL_GROUPS), which = model_draw(model, MODEL_CONSUMERS);
    struct model_group *group = &model->group[number];
    struct stream_group *found = group_find(model->stream, model_name(number));
    if (found == NULL) return;
    struct stream_consumer *consumer = consumer_find(found, model_name(which));
    CHECK((consumer != NULL) == group->has_consumer[which]);
    if (consumer == NULL) {
        CHECK(consumer_create(model->stream, found, model_name(which), 1000 + which) != NULL);
        group->has_consumer[which] = true;
    } else if (model_draw(model, 10) == 0) {
        consumer_destroy(model->stream, found, consumer);
        group->has_consumer[which] = false;
        for (uint32_t i = 0; i < model->entries; i++)
            if (group->owner[i] == which + 1) group->owner[i] = group->count[i] = 0;
    }
}

/* Several in a row, as groups read them. */
static inline void model_deliver(struct stream_model *model) {
    uint32_t number = model_draw(model, MODEL_GROUPS), which = model_draw(model, MODEL_CONSUMERS),
             many = 1 + model_draw(model, 40);
    struct model_group *group = &model->group[number];
    if (!group->has_consumer[which] || model->entries == 0) return;
    struct stream_group *found = group_find(model->stream, model_name(number));
    struct stream_consumer *consumer = consumer_find(found, model_name(which));
    for (uint32_t at = model_draw(model, model->entries); many > 0 && at < model->entries; at++, many--) {
        struct stream_delivery *delivery = delivery_put(model->stream, found, consumer, model->entry[at].id);
        CHECK(delivery != NULL && delivery->consumer == consumer && delivery->count == group->count[at]);
        if (delivery->count < 255) delivery->count++;
        group->count[at] = (uint8_t)delivery->count;
        group->owner[at] = (uint8_t)(which + 1);
    }
}

static inline void model_acknowledge(struct stream_model *model) {
    uint32_t number = model_draw(model, MODEL_GROUPS), many = 1 + model_draw(model, 40);
    struct model_group *group = &model->group[number];
    struct stream_group *found = group_find(model->stream, model_name(number));
    if (found == NULL || model->entries == 0) return;
    for (uint32_t at = model_draw(model, model->entries); many > 0 && at < model->entries; at++, many--) {
        CHECK(delivery_remove(model->stream, found, model->entry[at].id) == (group->owner[at] != 0));
        group->owner[at] = group->count[at] = 0;
    }
}

static inline void model_free(struct stream *stream) {
    uint32_t slices = 1;
    for (; !stream_kind.free_some(stream, 7); slices++) continue;
    CHECK(slices > 0);
}

/* The copy takes its place. */
static inline void model_copy(struct stream_model *model) {
    struct stream *copy = stream_kind.copy(model->stream);
    CHECK(copy != NULL);
    model_free(model->stream);
    model->stream = copy;
}

static inline void stream_model_step(struct stream_model *model) {
    uint32_t step = model_draw(model, 32);
    if (step < 14)
        model_append(model);
    else if (step < 17)
        model_remove(model);
    else if (step < 18)
        model_trim(model);
    else if (step < 22)
        model_read(model);
    else if (step < 23)
        model_group(model);
    else if (step < 25)
        model_consumer(model);
    else if (step < 28)
        model_deliver(model);
    else if (step < 31)
        model_acknowledge(model);
    else if (model_draw(model, 30) == 0)
        model_copy(model);
}

/* ------------------------------------------------------------------ everything */

static inline void model_check_entries(const struct stream_model *model) {
    struct stream_reader reader;
    stream_read(&reader, model->stream, STREAM_ID_LEAST, STREAM_ID_MOST, false);
    struct stream_id first = STREAM_ID_LEAST;
    for (uint32_t i = 0; i < model->entries; i++) {
        const struct model_entry *entry = &model->entry[i];
        CHECK(stream_has(model->stream, entry->id) == entry->is_there);
        if (!entry->is_there) continue;
        if (stream_id_compare(first, STREAM_ID_LEAST) == 0) first = entry->id;
        CHECK(stream_next(&reader) && stream_id_compare(reader.id, entry->id) == 0);
        CHECK(reader.field_count == model_fields(entry->shape));
        for (uint32_t k = 0; k < reader.field_count; k++) {
            struct packed_text name, value;
            stream_field(&reader, &name, &value);
            model_check_text(&name, entry->shape, k, false);
            model_check_text(&value, entry->shape, k, true);
        }
    }
    CHECK(!stream_next(&reader));
    CHECK(stream_id_compare(first, model->stream->first) == 0);
}

static inline void model_check_group(const struct stream_model *model, uint32_t number) {
    const struct model_group *group = &model->group[number];
    const struct stream_group *found = group_find(model->stream, model_name(number));
    CHECK((found != NULL) == group->is_there);
    if (found == NULL) return;
    uint64_t pending = 0, of_consumer[MODEL_CONSUMERS] = {0};
    for (uint32_t i = 0; i < model->entries; i++) {
        const struct stream_delivery *delivery = tree_get(&found->pending, model->entry[i].id);
        CHECK((delivery != NULL) == (group->owner[i] != 0));
        if (delivery == NULL) continue;
        const struct stream_consumer *consumer = consumer_find(found, model_name(group->owner[i] - 1u));
        CHECK(delivery->consumer == consumer && delivery->count == group->count[i]);
        CHECK(tree_get(&consumer->pending, model->entry[i].id) == delivery);
        of_consumer[group->owner[i] - 1]++;
        pending++;
    }
    CHECK(found->pending.count == pending);
    for (uint32_t i = 0; i < MODEL_CONSUMERS; i++) {
        const struct stream_consumer *consumer = consumer_find(found, model_name(i));
        CHECK((consumer != NULL) == group->has_consumer[i]);
        CHECK(consumer == NULL || (consumer->pending.count == of_consumer[i] && consumer->seen == 1000 + i));
    }
}

static inline size_t model_node_bytes(const struct tree_node *node, uint32_t level) {
    size_t bytes = node == NULL ? 0 : memory_size(node);
    for (uint32_t i = 0; level > 0 && i < node->count; i++)
        bytes += model_node_bytes(node->slots[i].to, level - 1);
    return bytes;
}

static inline size_t model_names_bytes(const struct names *names) {
    return names->items == NULL ? 0 : memory_size(names->items);
}

/* Every allocation, asked for its size. */
static inline size_t model_bytes(const struct stream *stream) {
    size_t bytes = memory_size(stream) + model_node_bytes(stream->nodes.root, stream->nodes.height) +
                   model_names_bytes(&stream->groups);
    for (struct tree_place place = tree_first(&stream->nodes); place.node != NULL; place = tree_next(place))
        bytes += packed_bytes(tree_slot(place)->to);
    for (uint32_t i = 0; i < stream->groups.count; i++) {
        const struct stream_group *group = stream->groups.items[i];
        bytes += memory_size(group) + model_node_bytes(group->pending.root, group->pending.height) +
                 model_names_bytes(&group->consumers);
        for (struct tree_place place = tree_first(&group->pending); place.node != NULL;
             place = tree_next(place))
            bytes += memory_size(tree_slot(place)->to);
        for (uint32_t k = 0; k < group->consumers.count; k++) {
            const struct stream_consumer *consumer = group->consumers.items[k];
            bytes +=
                memory_size(consumer) + model_node_bytes(consumer->pending.root, consumer->pending.height);
        }
    }
    return bytes;
}

static inline void stream_model_check(const struct stream_model *model) {
    const struct stream *stream = model->stream;
    uint64_t deliveries = 0;
    CHECK(stream->count == model->present);
    CHECK(stream->added == model->entries);
    CHECK(stream_id_compare(stream->deleted, model->deleted) == 0);
    model_check_entries(model);
    for (uint32_t i = 0; i < MODEL_GROUPS; i++) model_check_group(model, i);
    for (uint32_t i = 0; i < stream->groups.count; i++)
        deliveries += ((struct stream_group *)stream->groups.items[i])->pending.count;
    CHECK(stream->deliveries == deliveries);
    CHECK(stream_kind.count(stream) == stream->count + deliveries);
    CHECK(stream_kind.bytes(stream) == model_bytes(stream));
}

/* NULL when out of memory. */
static inline struct stream_model *stream_model_create(stream_draw *draw, void *context) {
    struct stream_model *model = calloc(1, sizeof *model);
    if (model == NULL) return NULL;
    model->draw = draw;
    model->context = context;
    model->stream = stream_create();
    CHECK(model->stream != NULL);
    return model;
}

static inline void stream_model_free(struct stream_model *model) {
    model_free(model->stream);
    free(model);
}

#endif
