#include "frame.h"

#include <stdlib.h>

#include "shard/keyspace.h"

struct frame *frame_create(struct keyspace *keyspace) {
    struct frame *frame = calloc(1, sizeof *frame);
    if (frame == NULL) return NULL;
    frame->keyspace = keyspace;
    shard_set_init(&frame->shards);
    shard_set_init(&frame->more);
    reply_init(&frame->reply, 2);
    frame->lane = lane_attach(keyspace);
    if (frame->lane != NULL) return frame;
    free(frame);
    return NULL;
}

void frame_detach(struct frame *frame) {
    lane_detach(frame->lane);
    frame->lane = NULL;
}

static void forget_keys(struct frame *frame) {
    free(frame->keys);
    free(frame->positions);
    frame->keys = NULL;
    frame->positions = NULL;
    frame->key_capacity = 0;
}

void frame_free(struct frame *frame) {
    if (frame == NULL) return;
    shard_set_free(&frame->shards);
    shard_set_free(&frame->more);
    reply_free(&frame->reply);
    forget_keys(frame);
    free(frame);
}

bool frame_reserve_keys(struct frame *frame, uint32_t count) {
    if (count <= frame->key_capacity) return true;
    uint32_t capacity = count < FRAME_KEYS ? FRAME_KEYS : count;
    struct key *keys = realloc(frame->keys, capacity * sizeof *keys);
    if (keys != NULL) frame->keys = keys;
    uint32_t *positions = realloc(frame->positions, capacity * sizeof *positions);
    if (positions != NULL) frame->positions = positions;
    if (keys == NULL || positions == NULL) return false;
    frame->key_capacity = capacity;
    return true;
}

void frame_trim(struct frame *frame) {
    if (frame->key_capacity > FRAME_KEYS) forget_keys(frame);
}
