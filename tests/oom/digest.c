#include "digest.h"

#include "tests/engine.h"

#include "shard/value/fields.h"
#include "shard/value/kinds.h"
#include "shard/value/list.h"
#include "shard/value/members.h"
#include "shard/value/sorted.h"
#include "shard/value/stream_groups.h"

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static uint64_t mix_bytes(uint64_t hash, const char *data, size_t length) {
    hash = mix(hash, length);
    for (; length >= sizeof(uint64_t); length -= sizeof(uint64_t), data += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        hash = mix(hash, word);
    }
    while (length-- > 0) hash = mix(hash, (unsigned char)*data++);
    return hash;
}

static uint64_t mix_text(uint64_t hash, const struct packed_text *text) {
    return mix_bytes(hash, text->data, text->length);
}

/* What is found by walking is found by its name, too. */
struct walk_through {
    const void *value;
    uint64_t hash;
};

static struct text plain(const struct packed_text *text) {
    return (struct text){text->data, text->length};
}

static bool add_element(void *context, const struct packed_text *text) {
    struct walk_through *walk = context;
    walk->hash = mix_text(walk->hash, text);
    return true;
}

static bool add_member(void *context, const struct packed_text *text) {
    struct walk_through *walk = context;
    CHECK(members_has(walk->value, plain(text)));
    walk->hash += mix_text(1, text);
    return true;
}

static void add_pair(void *context, const struct packed_text *field, const struct packed_text *text) {
    struct walk_through *walk = context;
    struct packed_text found;
    CHECK(fields_get(walk->value, plain(field), &found));
    walk->hash += mix_text(mix_text(1, field), text);
}

static bool add_scored(void *context, const struct packed_text *text, double score) {
    struct walk_through *walk = context;
    double found;
    uint64_t bits;
    CHECK(sorted_score(walk->value, plain(text), &found) && found == score);
    memcpy(&bits, &score, sizeof bits);
    walk->hash = mix(mix_text(walk->hash, text), bits);
    return true;
}

static uint64_t mix_id(uint64_t hash, struct stream_id id) {
    return mix(mix(hash, id.ms), id.seq);
}

static uint64_t mix_pending(uint64_t hash, const struct tree *pending) {
    hash = mix(hash, pending->count);
    for (struct tree_place place = tree_first(pending); place.node != NULL; place = tree_next(place)) {
        const struct stream_delivery *delivery = tree_slot(place)->to;
        hash = mix_id(hash, tree_slot(place)->id);
        hash = mix_bytes(hash, delivery->consumer->name.data, delivery->consumer->name.length);
        hash = mix(mix(hash, (uint64_t)delivery->time), delivery->count);
    }
    return hash;
}

static uint64_t mix_group(uint64_t hash, const struct stream_group *group) {
    hash = mix_bytes(hash, group->name.data, group->name.length);
    hash = mix(mix_id(hash, group->last), (uint64_t)group->entries_read);
    hash = mix_pending(hash, &group->pending);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = group->consumers.items[i];
        hash = mix_bytes(hash, consumer->name.data, consumer->name.length);
        hash = mix(mix(hash, (uint64_t)consumer->seen), (uint64_t)consumer->active);
        hash = mix_pending(hash, &consumer->pending);
    }
    return hash;
}

static uint64_t mix_stream(uint64_t hash, const struct stream *stream) {
    struct stream_reader reader;
    struct packed_text field, text;
    hash = mix(mix(mix(hash, stream->count), stream->added), stream->deliveries);
    hash = mix_id(mix_id(mix_id(hash, stream->first), stream->last), stream->deleted);
    stream_read(&reader, stream, STREAM_ID_LEAST, STREAM_ID_MOST, false);
    while (stream_next(&reader)) {
        hash = mix_id(hash, reader.id);
        for (uint32_t i = 0; i < reader.field_count; i++) {
            stream_field(&reader, &field, &text);
            hash = mix_text(mix_text(hash, &field), &text);
        }
    }
    for (uint32_t i = 0; i < stream->groups.count; i++) hash = mix_group(hash, stream->groups.items[i]);
    return hash;
}

static uint64_t value_digest(const struct entry *entry) {
    struct string_view view;
    if (entry_type(entry) == TYPE_STRING) {
        entry_string(entry, &view);
        return mix_bytes(7, view.data, view.length);
    }
    struct walk_through walk = {entry_value(entry), 7};
    switch (entry_type(entry)) {
    case TYPE_LIST: list_each(walk.value, 0, UINT64_MAX, false, add_element, &walk); break;
    case TYPE_SET: members_each(walk.value, add_member, &walk); break;
    case TYPE_HASH: fields_each(walk.value, add_pair, &walk); break;
    case TYPE_ZSET: sorted_each(walk.value, 0, UINT64_MAX, false, add_scored, &walk); break;
    default: return mix_stream(7, walk.value);
    }
    return walk.hash;
}

static void add_entry(void *context, const struct entry *entry) {
    uint64_t *sum = context, hash = 3;
    size_t length;
    const char *name = entry_key(entry, &length);
    hash = mix_bytes(hash, name, length);
    hash = mix(mix(hash, (uint64_t)entry_type(entry)), (uint64_t)entry_expiry(entry));
    /* A value counts as many elements as it gives. */
    if (entry_type(entry) != TYPE_STRING)
        hash = mix(hash, value_kind(entry_type(entry))->count(entry_value(entry)));
    *sum += mix(hash, value_digest(entry));
}

uint64_t digest_of(struct lane *lane) {
    uint64_t digest = 0;
    for (uint32_t database = 0; database < keyspace_database_count(lane->keyspace); database++) {
        uint64_t sum = 0;
        walk_all(lane, database, add_entry, &sum);
        digest = mix(digest, sum);
    }
    return digest;
}
