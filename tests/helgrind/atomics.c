/* Atomics that Helgrind understands. It knows pthread's ways to synchronize and takes C11
 * atomics for plain loads and stores, so that everything that is right because of them would be
 * a race. Compiled with -fno-inline-atomics gcc calls these functions instead.
 *
 * What threads agree by without a lock (lanes, the gate, the epoch) are read-modify-writes and
 * sequentially consistent accesses: these order, and don't race. All others are to Helgrind what
 * they would be if nobody looked without the lock: plain accesses, for which the lock must be
 * held. Optimistic reads and prefetching are switched off for that, and what else is meant to be
 * read without a lock is listed in `suppressions`. */
#include <stdbool.h>
#include <stdint.h>

#include <valgrind/helgrind.h>

#include "shard/scope/scope_take.h"
#include "shard/store/fetch.h"

static void before(volatile void *place, bool orders) {
    if (orders) ANNOTATE_HAPPENS_BEFORE(place);
}

static void after(const volatile void *place, bool orders) {
    if (orders) ANNOTATE_HAPPENS_AFTER(place);
}

/* What gcc calls has names that gcc keeps for itself; hence the labels. */
#define CALLED(name, size) __asm__("__atomic_" #name "_" #size)

#define LOAD(type, size)                                                                                     \
    __attribute__((noinline)) static type agreed_load_##size(const volatile type *place) {                   \
        type value = __atomic_load_n(place, __ATOMIC_RELAXED);                                               \
        ANNOTATE_HAPPENS_AFTER(place);                                                                       \
        return value;                                                                                        \
    }                                                                                                        \
    type load_##size(const volatile type *place, int order) CALLED(load, size);                              \
    type load_##size(const volatile type *place, int order) {                                                \
        return order == __ATOMIC_SEQ_CST ? agreed_load_##size(place)                                         \
                                         : __atomic_load_n(place, __ATOMIC_RELAXED);                         \
    }

/* Helgrind takes a locked instruction for a load, so a store must not be made of one. */
#define STORE(type, size)                                                                                    \
    __attribute__((noinline)) static void agreed_store_##size(volatile type *place, type value) {            \
        ANNOTATE_HAPPENS_BEFORE(place);                                                                      \
        __atomic_store_n(place, value, __ATOMIC_RELAXED);                                                    \
    }                                                                                                        \
    void store_##size(volatile type *place, type value, int order) CALLED(store, size);                      \
    void store_##size(volatile type *place, type value, int order) {                                         \
        if (order == __ATOMIC_SEQ_CST)                                                                       \
            agreed_store_##size(place, value);                                                               \
        else                                                                                                 \
            __atomic_store_n(place, value, __ATOMIC_RELAXED);                                                \
    }

#define MODIFY(name, builtin, type, size)                                                                    \
    type name##_##size(volatile type *place, type value, int order) CALLED(name, size);                      \
    type name##_##size(volatile type *place, type value, int order) {                                        \
        before(place, order != __ATOMIC_RELAXED);                                                            \
        type old = builtin(place, value, __ATOMIC_SEQ_CST);                                                  \
        after(place, order != __ATOMIC_RELAXED);                                                             \
        return old;                                                                                          \
    }

#define COMPARE_EXCHANGE(type, size)                                                                         \
    bool compare_exchange_##size(volatile type *place, type *expected, type wanted, int order,               \
                                 int order_of_failure) CALLED(compare_exchange, size);                       \
    bool compare_exchange_##size(volatile type *place, type *expected, type wanted, int order,               \
                                 int order_of_failure) {                                                     \
        before(place, order != __ATOMIC_RELAXED);                                                            \
        bool is_exchanged =                                                                                  \
            __atomic_compare_exchange_n(place, expected, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
        after(place, (is_exchanged ? order : order_of_failure) != __ATOMIC_RELAXED);                         \
        return is_exchanged;                                                                                 \
    }

#define ALL(type, size)                                                                                      \
    LOAD(type, size)                                                                                         \
    STORE(type, size)                                                                                        \
    COMPARE_EXCHANGE(type, size)                                                                             \
    MODIFY(exchange, __atomic_exchange_n, type, size)                                                        \
    MODIFY(fetch_add, __atomic_fetch_add, type, size)                                                        \
    MODIFY(fetch_sub, __atomic_fetch_sub, type, size)                                                        \
    MODIFY(fetch_and, __atomic_fetch_and, type, size)                                                        \
    MODIFY(fetch_or, __atomic_fetch_or, type, size)

ALL(uint8_t, 1)
ALL(uint16_t, 2)
ALL(uint32_t, 4)
ALL(uint64_t, 8)

/* The linker puts these in place of what is called so (--wrap). A scope that has failed before
 * it began looks at nothing. */
void __real_scope_look(struct read_scope *scope, struct lane *lane, struct look *look, int64_t now);
void __wrap_scope_look(struct read_scope *scope, struct lane *lane, struct look *look, int64_t now);
void __wrap_keyspace_prefetch(const struct lane *lane, const struct key *keys, size_t count);
void __wrap_fetch_home(const struct lane *lane, uint64_t hash, uint32_t database, struct fetch *fetch);
void __wrap_scope_glance(struct lane *lane, uint64_t hash, uint32_t database, struct glance *glance);

void __wrap_scope_look(struct read_scope *scope, struct lane *lane, struct look *look, int64_t now) {
    __real_scope_look(scope, lane, look, now);
    look->is_failed = true;
}

void __wrap_scope_glance(struct lane *lane, uint64_t hash, uint32_t database, struct glance *glance) {
    (void)lane, (void)hash, (void)database;
    *glance = (struct glance){.lock = keyspace_lock(lane->keyspace, 0), .is_failed = true};
}

void __wrap_fetch_home(const struct lane *lane, uint64_t hash, uint32_t database, struct fetch *fetch) {
    (void)lane, (void)hash, (void)database;
    *fetch = (struct fetch){.home = {NULL, 0}};
}

void __wrap_keyspace_prefetch(const struct lane *lane, const struct key *keys, size_t count) {
    (void)lane, (void)keys, (void)count;
}
