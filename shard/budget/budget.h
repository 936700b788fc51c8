/* The budget: how many bytes the keyspace may own, and which lane may spend how many of them.
 *
 * All bytes that the keyspace owns (entries, tables, and what is retired and not yet freed) are charged to
 * the account of the lane that allocates them, and given back to that of the lane that frees them:
 *
 *     spent    by an account: allocated less freed     drawn      by an account: what it may have spent; the
 *                                                                 rest is its credit
 *     used     the sum of what is spent                committed  the sum of what each has drawn or spent,
 *                                                                 whichever is more
 *     live     used - what is retired
 *
 * An account's two numbers are written by nobody but its thread, so that no reader sees a byte counted twice
 * or not at all. A writer makes room before it allocates: it spends its credit, else draws on the budget, a
 * chunk at a time while there is plenty. It draws first and looks at the sum then: of two that draw at once,
 * one at least sees the other, and steps back if that is too much.
 *
 * Above `soft`, a little below the limit, something has to be let go until what is live fits below it again
 * (../evict/eviction.h). What was let go is freed only when nobody can see it any more; until then the room
 * between soft and limit is used, and when that is gone, the writer comes back later. So the limit holds at
 * every moment, whatever the sizes, and no thread works for another. Where the limit is lowered below what is
 * committed, the `ceiling` stands in for it: it goes down as memory is freed, and a writer that has let go
 * what it needs goes on below it. What credit it has from before it gives back first: a thread may owe its
 * credit to having freed what others allocated, and that is not room. Nor is what it frees from then on, as
 * long as more is committed than the limit. */
#ifndef SHARD_BUDGET_BUDGET_H
#define SHARD_BUDGET_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/counter.h"

/* Of one lane, which is the only one to write it. Both of the first two may be below 0, where it frees what
 * others have allocated. */
struct account {
    _Alignas(64) _Atomic int64_t spent;
    _Atomic int64_t drawn;
    /* Sums over all accounts count; one's own may be below 0, modulo 2^64. main: see usage.h */
    counter entry_bytes, main_bytes, entries, expiring;
    counter retired_bytes; /* unlinked and not yet freed */
    uint32_t lowered;      /* the budget's, when its credit was last looked at */
};

/* All atomics, as any thread reads them. */
struct budget {
    _Atomic int64_t limit, soft, chunk; /* bytes; limit INT64_MAX: none */
    /* limit, or more: what was committed when that was lowered, and is on its way down */
    _Atomic int64_t ceiling;
    _Atomic uint32_t lowered;       /* how often the limit was lowered below what was committed */
    _Atomic uint32_t used_accounts; /* those beyond were never anybody's */
    uint32_t account_count;
    struct account *accounts;
};

/* Without a limit. false when out of memory. */
bool budget_open(struct budget *budget, uint32_t accounts);
void budget_close(struct budget *budget);
/* The account of that number counts from here on. Any thread. */
void budget_use_account(struct budget *budget, uint32_t number);

/* What the accounts come to. */
struct ledger {
    int64_t committed; /* what was drawn or spent */
    int64_t promised;  /* drawn and not yet spent */
    int64_t retired;
    int64_t entries, main; /* bytes */
    uint64_t keys, expiring;
};
struct ledger budget_read(const struct budget *budget);

/* What the keyspace may own, in bytes; INT64_MAX: no limit. Any thread, at any time. */
void budget_limit(struct budget *budget, int64_t limit);
/* The least limit under which nobody has to make room for what is used. */
int64_t budget_limit_holding(int64_t used);
static inline bool budget_is_limited(const struct budget *budget) {
    return atomic_load_explicit(&budget->limit, memory_order_relaxed) != INT64_MAX;
}
/* More was committed than the limit when the ceiling was last looked at. */
static inline bool budget_is_exceeded(const struct budget *budget) {
    return atomic_load_explicit(&budget->ceiling, memory_order_relaxed) >
           atomic_load_explicit(&budget->limit, memory_order_relaxed);
}
/* The ceiling follows what is committed by now, but not below the limit. */
void budget_lower_ceiling(struct budget *budget, int64_t committed);

/* Bytes that the account's thread has allocated for the keyspace, or freed if negative. */
static inline void account_charge(struct account *account, int64_t bytes) {
    atomic_store_explicit(&account->spent,
                          atomic_load_explicit(&account->spent, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}
/* What it may still allocate; below 0: it has allocated that much which it has not drawn. */
static inline int64_t account_credit(const struct account *account) {
    return atomic_load_explicit(&account->drawn, memory_order_relaxed) -
           atomic_load_explicit(&account->spent, memory_order_relaxed);
}
/* false: the limit was lowered since its credit was drawn, which counts no more. By its thread. */
static inline bool account_is_current(const struct budget *budget, const struct account *account) {
    return account->lowered == atomic_load_explicit(&budget->lowered, memory_order_relaxed);
}
/* It is current, and gives back all credit if it wasn't. */
void account_renew(struct budget *budget, struct account *account);
/* It has freed a good deal more than it has allocated. */
bool account_has_surplus(const struct budget *budget, const struct account *account);
/* What it has beyond a chunk, which it will soon need, goes to the others; with is_all the chunk as well. */
void account_give_back(const struct budget *budget, struct account *account, bool is_all);

/* Draws what the account lacks to have so many bytes of credit, and some more while there is plenty, if no
 * more than `most` is committed then. ledger: as it was read a moment ago. */
bool account_draw(const struct budget *budget, struct account *account, const struct ledger *ledger,
                  int64_t bytes, int64_t most);
/* What would be committed if it drew so much that it has `bytes`: what it owes is in there already. */
int64_t account_committed_with(const struct account *account, const struct ledger *ledger, int64_t bytes);
/* Bytes that have to go so that `bytes` more fit. */
int64_t account_excess(const struct budget *budget, const struct account *account,
                       const struct ledger *ledger, int64_t bytes);

#endif
