/* The end of an entry whose time is up, by whoever meets it and has its shard for itself. */
#include <assert.h>

#include "../entry/entry_layout.h"
#include "inside.h"
#include "tell.h"

void scope_lapse(struct write_scope *scope, const struct key *key, slot *at) {
    struct lane *lane = scope->scope.lane;
    struct shard *shard = scope_shard_exclusive(&scope->scope, key->hash);
    struct entry *entry = slot_entry(at);
    assert(slot_expires(at) && entry_expiry(entry) <= scope->scope.now);
    shard_assert_shared(shard);
    tell_before(scope, key, entry);
    table_remove(shard_table(shard, key->database), at, key->hash, lane);
    entry_retire(lane, entry); /* for good, whatever an undo takes back: it is absent either way */
    tell_changed(scope, key, NULL, EVENT_EXPIRED, false);
    counter_add(&lane->expired, 1);
}
