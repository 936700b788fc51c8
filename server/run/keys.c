#include "keys.h"

#include "shard/keyspace.h"
#include "server/command/command_table.h"
#include "prepare.h"

bool find_keys(struct execution *execution) {
    struct frame *frame = execution->frame;
    struct call *call = &execution->call;
    if (execution->prepared != NULL && execution->prepared->has_key) {
        const struct bulk *argument = &call->arguments[call->command->only_key];
        execution->key = (struct key){argument->data, argument->length, execution->prepared->hash,
                                      call->database, &execution->prepared->fetch};
        call->keys = &execution->key;
        call->key_count = 1;
        return true;
    }
    if (!frame_reserve_keys(frame, call->count)) return false;
    int found = command_find_keys(call->command, call->arguments, call->count, frame->positions, NULL,
                                  frame->key_capacity);
    call->keys = frame->keys;
    call->key_count = found < 0 ? 0 : (uint32_t)found;
    for (uint32_t i = 0; i < call->key_count; i++) {
        const struct bulk *argument = &call->arguments[frame->positions[i]];
        frame->keys[i] = keyspace_key(frame->keyspace, call->database, argument->data, argument->length);
    }
    /* Many keys at once: their lines are fetched together, not one after the other. */
    if (call->key_count > 1 && lane_is_inside(frame->lane))
        keyspace_prefetch(frame->lane, call->keys, call->key_count);
    return true;
}
