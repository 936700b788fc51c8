/* Making room before something is allocated: the budget is drawn on, and keys go if there is too little. */
#include <assert.h>

#include "../base/memory.h"
#include "inside.h"

/* Keys let go per call, besides one for every 128 bytes asked for: then others have a turn. */
#define VICTIMS_MOST 64
#define VICTIM_BYTES 128
/* Keys let go per tick because the limit was lowered: a millisecond or less. */
#define SHRINK_MOST 512

bool eviction_open(struct keyspace *keyspace) {
    keyspace->evictors = memory_lines(keyspace->gate.lane_count * sizeof *keyspace->evictors);
    return keyspace->evictors != NULL;
}

void eviction_close(struct keyspace *keyspace) {
    free(keyspace->evictors);
}

int64_t eviction_used(const struct keyspace *keyspace) {
    struct ledger ledger = budget_read(&keyspace->budget);
    return ledger.committed - ledger.promised;
}

int64_t eviction_limit_holding(int64_t bytes) {
    return budget_limit_holding(bytes);
}

void eviction_limit(struct keyspace *keyspace, int64_t limit) {
    struct ledger ledger = budget_read(&keyspace->budget);
    budget_limit(&keyspace->budget, limit);
    if (limit == INT64_MAX) return;
    int64_t soft = atomic_load(&keyspace->budget.soft);
    int64_t others = ledger.committed - ledger.promised - ledger.entries;
    int64_t room = soft > others ? soft - others : 0;
    atomic_store(&keyspace->usage.main_most, room / 100 * (100 - SMALL_SHARE));
}

bool eviction_is_limited(const struct lane *lane) {
    return budget_is_limited(lane->budget);
}

bool eviction_has_room(const struct lane *lane, size_t bytes) {
    return !eviction_is_limited(lane) ||
           (lane_credit(lane) >= (int64_t)bytes && account_is_current(lane->budget, lane->account) &&
            !budget_is_exceeded(lane->budget));
}

static int64_t read_relaxed(const _Atomic int64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

enum room eviction_make_room(struct lane *lane, size_t bytes, int64_t now) {
    struct budget *budget = lane->budget;
    struct account *account = lane->account;
    int64_t limit = read_relaxed(&budget->limit), ceiling = read_relaxed(&budget->ceiling);
    assert(lane_is_inside(lane) && lane->scopes == 0);
    if (bytes > (size_t)limit)
        return ROOM_NONE; /* it wouldn't fit if everybody went, and so nobody goes for it */
    account_renew(budget, account);
    while (!eviction_has_room(lane, bytes)) {
        struct ledger ledger = budget_read(budget);
        int64_t excess = account_excess(budget, account, &ledger, (int64_t)bytes);
        bool is_exhausted =
            excess > 0 && !evict(lane, excess, bytes, VICTIMS_MOST + bytes / VICTIM_BYTES, now);
        /* Only where something still goes may a limit be kept by and by. */
        int64_t most = is_exhausted || ceiling < limit ? limit : ceiling;
        ledger = budget_read(budget);
        if (account_draw(budget, account, &ledger, (int64_t)bytes, most)) return ROOM_MADE;
        int64_t committed = account_committed_with(account, &ledger, (int64_t)bytes);
        if (committed <= most) continue; /* others drew as well: once more */
        bool will_be_freed = committed - ledger.retired <= limit;
        return will_be_freed || !is_exhausted ? ROOM_LATER : ROOM_NONE;
    }
    return ROOM_MADE;
}

bool evict_excess(struct lane *lane, int64_t now) {
    struct budget *budget = lane->budget;
    if (!budget_is_limited(budget)) return true;
    struct ledger ledger = budget_read(budget);
    budget_lower_ceiling(budget, ledger.committed);
    int64_t excess = ledger.committed - ledger.promised - ledger.retired - read_relaxed(&budget->soft);
    if (excess <= 0) return true;
    return !evict(lane, excess, 0, SHRINK_MOST, now); /* nothing left that may go is the end, too */
}
