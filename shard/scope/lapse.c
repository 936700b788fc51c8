/* The end of an entry whose time is up, by whoever meets it and has its shard for itself. */
#include <assert.h>

#include "../entry/entry_layout.h"
#include "inside.h"
#include "keep.h"
#include "tell.h"
#include "undo.h"

void scope_lapse(struct write_scope *scope, const struct key *key, slot *at) {
    struct lane *lane = scope->scope.lane;
    struct shard *shard = scope_shard_exclusive(&scope->scope, key->hash);
    struct entry *entry = slot_entry(at);
    assert(slot_expires(at) && entry_expiry(entry) <= scope->scope.now);
    shard_assert_shared(shard);
    tell_before(scope, key, entry);
    /* With an undo it goes there, like any other: it may have come with its time up, and then it is the
     * undo's already. Without memory for that it goes for good, as it is absent either way. */
    const struct edit edit = {.scope = scope, .key = key, .shard = shard, .entry = entry};
    bool is_kept = scope->scope.undo != NULL && undo_room(scope) && keep_exchange(&edit, NULL, false, false);
    table_remove(shard_table(shard, key->database), at, key->hash, lane);
    if (!is_kept) entry_retire(lane, entry);
    tell_changed(scope, key, NULL, EVENT_EXPIRED, false);
    counter_add(&lane->expired, 1);
}
