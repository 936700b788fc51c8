/* Memory: what a command needs is made room for before its first lock, and a command waits that would leave
 * more to be freed than is good. */
#ifndef SERVER_RUN_MEMORY_H
#define SERVER_RUN_MEMORY_H

#include "shard/evict/eviction.h"
#include "shard/keyspace.h"
#include "dispatcher.h"

/* A write may retire what it replaces. Where that can't be freed for long, since somebody else stays inside,
 * its task is parked, and this is false: what waits to be freed is bounded. */
bool retire_less(struct execution *execution);
static inline bool must_not_retire(const struct execution *execution) {
    const struct lane *lane = execution->frame->lane;
    return lane_is_congested(lane) || (execution->task->has_discarded && lane_is_littered(lane));
}
static inline bool may_retire(struct execution *execution) {
    return !must_not_retire(execution) || retire_less(execution);
}
/* Likewise what publishes, while workers haven't read what was published before. */
bool may_tell(struct execution *execution);

/* Room for what the arguments may become: their bytes, and an entry around each. Large ones are in memory of
 * their own already, which they keep. */
size_t room_needed(const struct execution *execution);
/* That, before the first lock; 0 without a limit. Large arguments were let in whether anything could go for
 * them or not: the limit is adapted to them, and nothing that was drawn on it before counts. */
size_t room_within_limit(struct execution *execution);
static inline size_t room_to_make(struct execution *execution) {
    return eviction_is_limited(execution->frame->lane) ? room_within_limit(execution) : 0;
}
/* Makes room for so many bytes, if there isn't, by letting go what the policy says. If *is_made is false
 * afterwards, that was not possible: the task is parked, or Redis's error is replied. No shard is held. */
enum outcome let_go(struct execution *execution, size_t bytes, bool *is_made);
static inline enum outcome make_room(struct execution *execution, size_t bytes, bool *is_made) {
    *is_made = eviction_has_room(execution->frame->lane, bytes);
    return *is_made ? OUTCOME_DONE : let_go(execution, bytes, is_made);
}

#endif
