#include "memory.h"

#include "server/broadcast/news.h"
#include "server/task/transaction.h"
#include "park.h"

static void park_for_memory(const struct execution *execution) {
    task_queue_append(&execution->dispatcher->congested, execution->task);
    task_park(execution->task, PARK_ON_MEMORY);
}

bool retire_less(struct execution *execution) {
    struct lane *lane = execution->frame->lane;
    if (lane_is_inside(lane)) lane_leave(lane);
    lane_reclaim(lane);
    if (!must_not_retire(execution)) return true;
    park_for_memory(execution);
    return false;
}

bool may_tell(struct execution *execution) {
    if (!news_is_congested()) return true;
    park_for_memory(execution);
    return false;
}

static size_t room_of(const struct bulk *arguments, uint32_t count) {
    size_t bytes = 0;
    for (uint32_t i = 1; i < count; i++)
        if (arguments[i].owner == NULL) bytes += entry_room_for(arguments[i].length);
    return bytes;
}

size_t room_needed(const struct execution *execution) {
    const struct transaction *transaction = execution->transaction;
    size_t bytes = 0;
    if (transaction == NULL) return room_of(execution->call.arguments, execution->call.count);
    for (const struct queued *queued = transaction->first; queued != NULL; queued = queued->next)
        if ((queued->command->flags & COMMAND_DENYOOM) != 0 || queued->command->script != NULL)
            bytes += room_of(queued->arguments, queued->count);
    return bytes;
}

enum outcome let_go(struct execution *execution, size_t bytes, bool *is_made) {
    struct lane *lane = execution->frame->lane;
    for (int tries = 0; !*is_made; tries++) {
        if (!enter_or_park(execution->worker, execution->task)) return OUTCOME_PARKED;
        enum room room = eviction_make_room(lane, bytes, execution->call.now);
        *is_made = room == ROOM_MADE;
        if (room == ROOM_NONE) {
            reply_error(execution->reply, ERROR_OUT_OF_MEMORY);
            execution->is_rejected = true;
            return OUTCOME_DONE;
        }
        if (room != ROOM_LATER) continue;
        lane_leave(lane);
        lane_reclaim(lane);
        if (tries == 0) continue;
        park_for_memory(execution);
        return OUTCOME_PARKED;
    }
    return OUTCOME_DONE;
}
