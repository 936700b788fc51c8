#include "room.h"

#include "shard/entry/entry.h"
#include "shard/evict/eviction.h"
#include "shard/base/number.h"
#include "server/config/config.h"

static const struct entry *entry_of(const struct write_scope *scope, const struct key *key) {
    const struct read_scope reading = {scope->scope};
    return scope_peek(&reading, key);
}

static size_t bytes_of(const struct write_scope *scope, const struct call *call, uint32_t key) {
    const struct entry *entry = key < call->key_count ? entry_of(scope, &call->keys[key]) : NULL;
    return entry == NULL ? 0 : entry_bytes(entry);
}

size_t room_for_first(const struct write_scope *scope, const struct call *call) {
    return call->key_count > 1 ? bytes_of(scope, call, 0) : 0;
}

size_t room_for_second(const struct write_scope *scope, const struct call *call) {
    return bytes_of(scope, call, 1);
}

size_t room_for_least(const struct write_scope *scope, const struct call *call) {
    size_t least = bytes_of(scope, call, 1);
    for (uint32_t i = 2; i < call->key_count; i++) {
        size_t bytes = bytes_of(scope, call, i);
        if (bytes < least) least = bytes;
    }
    return least;
}

size_t room_for_sum(const struct write_scope *scope, const struct call *call) {
    size_t sum = 0;
    for (uint32_t i = 1; i < call->key_count; i++) sum += bytes_of(scope, call, i);
    return sum;
}

size_t room_for_longest(const struct write_scope *scope, const struct call *call) {
    size_t longest = 0;
    for (uint32_t i = 1; i < call->key_count; i++) {
        const struct entry *entry = entry_of(scope, &call->keys[i]);
        size_t length = entry != NULL && entry_type(entry) == TYPE_STRING ? entry_string_length(entry) : 0;
        if (length > longest) longest = length;
    }
    return longest == 0 ? 0 : entry_room_for(longest);
}

size_t room_for_append(const struct write_scope *scope, const struct call *call) {
    const struct entry *entry = entry_of(scope, &call->keys[0]);
    if (entry == NULL || entry_type(entry) != TYPE_STRING) return 0;
    return scope_stretch_bytes(scope, &call->keys[0], entry_string_length(entry) + call->arguments[2].length);
}

/* A number of at most so much: a larger one is going to be refused. */
static bool place_of(const struct bulk *argument, int64_t most, int64_t *place) {
    return number_parse(argument->data, argument->length, place) && *place >= 0 && *place <= most;
}

static int64_t length_most(void) {
    return atomic_load_explicit(&config.proto_max_bulk_len, memory_order_relaxed);
}

size_t room_for_setrange(const struct write_scope *scope, const struct call *call) {
    int64_t first;
    if (call->arguments[3].length == 0 || !place_of(&call->arguments[2], length_most(), &first)) return 0;
    return scope_stretch_bytes(scope, &call->keys[0], (size_t)first + call->arguments[3].length);
}

size_t room_for_setbit(const struct write_scope *scope, const struct call *call) {
    int64_t offset;
    if (!place_of(&call->arguments[2], length_most() * 8, &offset)) return 0;
    return scope_stretch_bytes(scope, &call->keys[0], (size_t)offset / 8 + 1);
}
