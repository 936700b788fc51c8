#include "memory.h"

#include "server/broadcast/news.h"
#include "server/config/config.h"
#include "server/task/transaction.h"
#include "maxmemory.h"
#include "park.h"

/* Arguments of more than one part in so many of maxmemory have the limit adapted to them at once. */
#define LARGE_SHARE 256

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

/* Of arguments: what they may become, and what is there already. */
struct room_for {
    size_t needed, apart;
};

static void add_room(struct room_for *room, const struct bulk *arguments, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        if (arguments[i].owner == NULL)
            room->needed += entry_room_for(arguments[i].length);
        else
            room->apart += arguments[i].length;
    }
}

static struct room_for room_for(const struct execution *execution) {
    const struct transaction *transaction = execution->transaction;
    struct room_for room = {0, 0};
    if (transaction == NULL) {
        add_room(&room, execution->call.arguments, execution->call.count);
        return room;
    }
    for (const struct queued *queued = transaction->first; queued != NULL; queued = queued->next)
        if ((queued->command->flags & COMMAND_DENYOOM) != 0 || queued->command->script != NULL)
            add_room(&room, queued->arguments, queued->count);
    return room;
}

size_t room_needed(const struct execution *execution) {
    return room_for(execution).needed;
}

size_t room_within_limit(struct execution *execution) {
    struct room_for room = room_for(execution);
    int64_t maxmemory = atomic_load_explicit(&config.maxmemory, memory_order_relaxed);
    if (room.apart > (uint64_t)maxmemory / LARGE_SHARE) {
        limit_tick(execution->worker->keyspace);
        lane_give_back(execution->frame->lane);
    }
    return room.needed;
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
