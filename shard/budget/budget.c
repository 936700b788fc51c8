#include "budget.h"

#include <assert.h>
#include <stdlib.h>

#include "../base/memory.h"

#define CHUNK_LEAST 512
#define CHUNK_MOST 65536
#define SLACK_LEAST 2048
#define SLACK_MOST (INT64_C(8) << 20)

static int64_t read_relaxed(const _Atomic int64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

bool budget_open(struct budget *budget, uint32_t accounts) {
    atomic_init(&budget->limit, INT64_MAX);
    atomic_init(&budget->soft, INT64_MAX);
    atomic_init(&budget->ceiling, INT64_MAX);
    atomic_init(&budget->chunk, CHUNK_MOST);
    atomic_init(&budget->lowered, 0);
    atomic_init(&budget->used_accounts, 0);
    budget->account_count = accounts;
    budget->accounts = memory_lines(accounts * sizeof *budget->accounts);
    return budget->accounts != NULL;
}

void budget_close(struct budget *budget) {
    free(budget->accounts);
}

void budget_use_account(struct budget *budget, uint32_t number) {
    uint32_t used = atomic_load(&budget->used_accounts);
    assert(number < budget->account_count);
    while (used <= number && !atomic_compare_exchange_weak(&budget->used_accounts, &used, number + 1))
        continue;
}

struct ledger budget_read(const struct budget *budget) {
    struct ledger ledger = {0};
    uint32_t used = atomic_load_explicit(&budget->used_accounts, memory_order_acquire);
    for (uint32_t i = 0; i < used; i++) {
        const struct account *account = &budget->accounts[i];
        int64_t drawn = atomic_load(&account->drawn), spent = read_relaxed(&account->spent);
        ledger.committed += drawn > spent ? drawn : spent;
#ifdef PLANT_DEBT_TWICE
        ledger.committed += spent > drawn ? spent - drawn : 0;
#endif
        ledger.promised += drawn > spent ? drawn - spent : 0;
        ledger.retired += (int64_t)counter_read(&account->retired_bytes);
        ledger.entries += (int64_t)counter_read(&account->entry_bytes);
        ledger.main += (int64_t)counter_read(&account->main_bytes);
        ledger.keys += counter_read(&account->entries);
        ledger.expiring += counter_read(&account->expiring);
    }
    return ledger;
}

static int64_t clamp(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

static void ceiling_lower(struct budget *budget, int64_t least) {
    int64_t ceiling = atomic_load(&budget->ceiling);
    while (ceiling > least && !atomic_compare_exchange_weak(&budget->ceiling, &ceiling, least)) continue;
}

void budget_lower_ceiling(struct budget *budget, int64_t committed) {
    int64_t limit = read_relaxed(&budget->limit);
    ceiling_lower(budget, committed > limit ? committed : limit);
}

int64_t budget_limit_holding(int64_t used) {
    return used + clamp(used / 31 + 1, SLACK_LEAST, SLACK_MOST);
}

void budget_limit(struct budget *budget, int64_t limit) {
    if (limit == INT64_MAX) {
        atomic_store(&budget->ceiling, INT64_MAX);
        atomic_store(&budget->limit, INT64_MAX);
        atomic_store(&budget->chunk, CHUNK_MOST);
        return;
    }
    int64_t accounts = atomic_load(&budget->used_accounts), committed = budget_read(budget).committed;
    int64_t soft = limit - clamp(limit / 32, SLACK_LEAST, SLACK_MOST);
    atomic_store(&budget->chunk, clamp(limit / 256 / (accounts + 1), CHUNK_LEAST, CHUNK_MOST));
    atomic_store(&budget->soft, soft);
    /* A part of the way is left for what nobody makes room for: tables that grow, and what is rounded up. */
    limit -= (limit - soft) / 4 * 3;
    ceiling_lower(budget, committed > limit ? committed : limit);
    atomic_store(&budget->limit, limit);
    if (committed > limit) atomic_fetch_add(&budget->lowered, 1);
}

/* ------------------------------------------------------------------ one account */

bool account_has_surplus(const struct budget *budget, const struct account *account) {
    return account_credit(account) > 2 * read_relaxed(&budget->chunk);
}

void account_give_back(const struct budget *budget, struct account *account, bool is_all) {
    int64_t kept = is_all ? 0 : read_relaxed(&budget->chunk);
    atomic_store_explicit(&account->drawn, read_relaxed(&account->spent) + kept, memory_order_release);
}

void account_renew(struct budget *budget, struct account *account) {
    if (account_is_current(budget, account)) return;
    account->lowered = atomic_load(&budget->lowered);
    account_give_back(budget, account, true);
    budget_lower_ceiling(budget, budget_read(budget).committed); /* what is given back is nobody's to draw */
}

int64_t account_committed_with(const struct account *account, const struct ledger *ledger, int64_t bytes) {
    int64_t credit = account_credit(account);
    return ledger->committed + bytes - (credit > 0 ? credit : 0);
}

/* Announced before it is looked at: the store and the loads of what others have drawn are sequentially
 * consistent. */
bool account_draw(const struct budget *budget, struct account *account, const struct ledger *ledger,
                  int64_t bytes, int64_t most) {
    int64_t chunk = read_relaxed(&budget->chunk), with = account_committed_with(account, ledger, bytes),
            before = read_relaxed(&account->drawn);
    if (with > most) return false;
    if (with + chunk <= read_relaxed(&budget->soft)) bytes += chunk;
    atomic_store(&account->drawn, read_relaxed(&account->spent) + bytes);
    if (budget_read(budget).committed <= most) return true;
    atomic_store(&account->drawn, before);
    return false;
}

int64_t account_excess(const struct budget *budget, const struct account *account,
                       const struct ledger *ledger, int64_t bytes) {
    int64_t live = ledger->committed - ledger->promised - ledger->retired;
    int64_t excess = live + bytes - read_relaxed(&budget->soft);
    /* Even when all that is retired is freed. */
    int64_t beyond =
        account_committed_with(account, ledger, bytes) - ledger->retired - read_relaxed(&budget->limit);
    return excess > beyond ? excess : beyond;
}
