/* Taking scopes: for dispatch and for embedding programs. Commands only see what scope.h shows.
 *
 * The lane is inside the gate (lane_enter) while it takes, holds and releases scopes; for a scope of all
 * shards it is outside, and has closed the gate instead. */
#ifndef SHARD_SCOPE_SCOPE_TAKE_H
#define SHARD_SCOPE_SCOPE_TAKE_H

#include <sys/types.h>

#include "../lock/gate.h"
#include "../lock/reclaim.h"
#include "../store/fetch.h"
#include "../store/place.h"
#include "scope.h"

/* Tries to take every shard of the set. On failure nothing is held, and *busy is the lock that was refused,
 * to be parked on (rwlock_park). The set must stay as it is while the scope lasts. now: unix time in
 * milliseconds. */
bool scope_try_read(struct read_scope *scope, struct lane *lane, const struct shard_set *set, int64_t now,
                    struct rwlock **busy);
bool scope_try_write(struct write_scope *scope, struct lane *lane, const struct shard_set *set, int64_t now,
                     struct rwlock **busy);
/* Takes one more shard while the scope lasts, if it can be had at once; all that it has is held to the end.
 * set is the one that the scope was taken with. false: nothing has changed, and the shard is not the scope's
 * to touch. */
bool scope_try_grow(struct write_scope *scope, struct shard_set *set, uint32_t number);
/* The same of a shared one. */
bool scope_try_grow_read(struct read_scope *scope, struct shard_set *set, uint32_t number);
void scope_end_read(struct read_scope *scope);
void scope_end_write(struct write_scope *scope);

/* An optimistic scope for the keys of any shards (at most LOOK_SHARDS). The end says whether all that was
 * read through it was there at one moment; if not, the answer is to be thrown away. look is the thread's, any
 * content. Never busy, never fails otherwise. */
void scope_look(struct read_scope *scope, struct lane *lane, struct look *look, int64_t now);
bool scope_end_look(struct read_scope *scope);

/* A glance: one string, in the same way but without a scope, and without a copy in between. It is begun when
 * the key's hash is known, and ended when the lines it needs have had time to come. The lane is inside the
 * gate all the while. */
struct glance {
    const struct rwlock *lock;
    struct home home;
    uint32_t version;
    bool is_failed, is_spilled;
};
void scope_glance(struct lane *lane, uint64_t hash, uint32_t database, struct glance *glance);
/* Between the two: sends for the entry's lines, or the spill's; and later, in that case, for those of an
 * entry in the spill. */
static inline void glance_fetch(struct glance *glance, uint64_t hash) {
    glance->is_spilled = glance->home.bucket != NULL && !home_prefetch(glance->home, hash);
}
static inline void glance_fetch_spilled(const struct glance *glance, uint64_t hash) {
    if (glance->is_spilled) home_prefetch_spilled(glance->home, hash);
}
/* What is known of the time, in milliseconds; for most keys it makes no difference how much that is. latest
 * 0: nothing, but it can be asked for. */
struct moment {
    int64_t earliest, latest;
};
/* At most `size` bytes of the value go to `out`; *length is its whole length, or -1 if the key is absent or
 * no string. Counts like scope_read. false if the lock must be taken, and the time read: then `out` may hold
 * anything. */
bool scope_glance_end(struct lane *lane, const struct glance *glance, const struct key *key,
                      struct moment *moment, char *out, size_t size, ssize_t *length);

/* A glance that ends in a change: the value of a string becomes `data` in place, if that is all there is to
 * do. false if the key is absent or its value of another length or kind, or has an expiry; or if somebody
 * listens to changes, the shard is busy, or anything in it has changed since the glance began: then nothing
 * has happened, and a write scope is the way. Counts like an edit. */
bool scope_overwrite(struct lane *lane, const struct glance *glance, const struct key *key, const char *data,
                     size_t length);

/* Every shard exclusively, by the closed gate (gate_try_close returned true for this lane). scope_end_* ends
 * them; the gate stays closed. */
void scope_all(struct write_scope *scope, struct lane *lane, int64_t now);
void scope_all_read(struct read_scope *scope, struct lane *lane, int64_t now);

/* For a thread that may sleep: leaves the gate, sleeps until the lock is released, and enters again. */
void scope_wait(struct lane *lane, struct rwlock *busy, bool is_exclusive);
/* Enters the gate, sleeping while it is closed; closes it, sleeping until all are out. */
void lane_enter_waiting(struct lane *lane);
void gate_close_waiting(struct lane *lane);

#endif
