/* shard/table/table.c: what is in it is found, what isn't is not, whatever sizes it goes through; it moves a
 * bounded handful of entries per operation; and a walk by places meets everything that stays. */
#include "tests/engine.h"

#include "shard/evict/eviction.h"
#include "shard/base/crowd.h"
#include "shard/entry/entry_layout.h"
#include "shard/base/memory.h"
#include "shard/store/shard.h"
#include "shard/table/table.h"

static struct keyspace *keyspace;
static struct lane *lane;

/* A table of its own, with hashes of its own choosing for lookups; numbers are keys. */
struct numbered {
    struct table *table;
    uint64_t count;
    struct entry **entries; /* by number; NULL: absent */
    char (*names)[32];
};

static int open_keyspace(void **state) {
    (void)state;
    keyspace = keyspace_with(1, 1, 7);
    lane = lane_attach(keyspace);
    return 0;
}

static int close_keyspace(void **state) {
    (void)state;
    lane_detach(lane);
    keyspace_close(keyspace);
    return 0;
}

static void numbered_init(struct numbered *numbered, uint64_t count, uint32_t shard) {
    numbered->table = table_create(shard, 0, lane);
    assert_non_null(numbered->table);
    numbered->count = count;
    numbered->entries = calloc(count, sizeof *numbered->entries);
    numbered->names = calloc(count, sizeof *numbered->names);
    for (uint64_t i = 0; i < count; i++)
        snprintf(numbered->names[i], sizeof *numbered->names, "number:%llu", (unsigned long long)i);
}

static struct key numbered_key(const struct numbered *numbered, uint64_t number) {
    return keyspace_key(keyspace, 0, numbered->names[number], strlen(numbered->names[number]));
}

static void numbered_insert(struct numbered *numbered, uint64_t number) {
    struct key key = numbered_key(numbered, number);
    struct entry *entry =
        entry_create_integer(&key, number % 3 == 0 ? (int64_t)number : ENTRY_NO_EXPIRY, (int64_t)number);
    assert_true(table_reserve(numbered->table, lane));
    slot *at = table_insert(numbered->table, key.hash, entry, lane);
    assert_ptr_equal(slot_entry(at), entry);
    assert_int_equal(slot_expires(at), number % 3 == 0);
    numbered->entries[number] = entry;
}

static void numbered_remove(struct numbered *numbered, uint64_t number) {
    struct key key = numbered_key(numbered, number);
    slot *at = table_find(numbered->table, &key);
    assert_non_null(at);
    table_remove(numbered->table, at, key.hash, lane);
    entry_free(numbered->entries[number]);
    numbered->entries[number] = NULL;
}

static void check_found(const struct numbered *numbered, uint64_t number) {
    struct key key = numbered_key(numbered, number);
    slot *at = table_find(numbered->table, &key);
    if (numbered->entries[number] == NULL) {
        assert_null(at);
        return;
    }
    assert_non_null(at);
    assert_ptr_equal(slot_entry(at), numbered->entries[number]);
    assert_int_equal(slot_expires(at), number % 3 == 0);
}

struct walk {
    const struct numbered *numbered;
    uint32_t *visits; /* by number */
};

static uint64_t number_of(const struct entry *entry) {
    int64_t number;
    assert_true(entry_integer(entry, &number));
    return (uint64_t)number;
}

static void count_visit(void *context, slot *at) {
    struct walk *walk = context;
    walk->visits[number_of(slot_entry(at))]++;
}

/* A walk of a table at rest, in whatever state of moving, meets each entry exactly once: table_bury depends
 * on it. */
static void check_walk(const struct numbered *numbered) {
    struct walk walk = {numbered, calloc(numbered->count, sizeof *walk.visits)};
    uint64_t place = 0, last;
    do {
        last = place;
        place = table_visit(numbered->table, place, count_visit, &walk);
        assert_true(place == 0 || place > last);
        assert_int_equal(place & 0xFFF, 0); /* 52 bits */
    } while (place != 0);
    for (uint64_t i = 0; i < numbered->count; i++)
        assert_int_equal(walk.visits[i], numbered->entries[i] != NULL);
    free(walk.visits);
}

static void check_sums(const struct numbered *numbered) {
    uint64_t keys = 0, expiring = 0, sum = 0, bytes = 0;
    for (uint64_t i = 0; i < numbered->count; i++) {
        if (numbered->entries[i] == NULL) continue;
        keys++;
        bytes += entry_bytes(numbered->entries[i]);
        expiring += i % 3 == 0;
        sum += i % 3 == 0 ? i : 0;
    }
    assert_int_equal(counter_read(&numbered->table->keys), keys);
    assert_int_equal(counter_read(&numbered->table->expiring), expiring);
    assert_int_equal(counter_read(&numbered->table->expiry_sum), sum);
    assert_int_equal(counter_read(&numbered->table->bytes), bytes);
    assert_true(atomic_load(&numbered->table->moves_most) <= TABLE_MOVES_MOST);
}

static void numbered_free(struct numbered *numbered) {
    table_destroy(numbered->table); /* a sanitizer would see what it forgets */
    free(numbered->entries);
    free(numbered->names);
    keyspace_reclaim(lane);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
}

/* ------------------------------------------------------------------ tests */

static void an_empty_table_has_nothing(void **state) {
    (void)state;
    struct numbered numbered;
    numbered_init(&numbered, 10, 0);
    for (uint64_t i = 0; i < 10; i++) check_found(&numbered, i);
    check_walk(&numbered);
    numbered_free(&numbered);
}

static void keys_are_found_at_every_size_on_the_way_up_and_down(void **state) {
    (void)state;
    const uint64_t count = SCALED(4000, 1500);
    struct numbered numbered;
    numbered_init(&numbered, count, 3);
    for (uint64_t i = 0; i < count; i++) {
        numbered_insert(&numbered, i);
        for (uint64_t j = i > 20 ? i - 20 : 0; j <= i; j++) check_found(&numbered, j);
        if (i % 64 == 0) {
            for (uint64_t j = 0; j < count; j++) check_found(&numbered, j);
            check_walk(&numbered);
            check_sums(&numbered);
        }
    }
    uint64_t most = counter_read(&numbered.table->array_bytes);
    for (uint64_t i = 0; i < count; i++) {
        numbered_remove(&numbered, i);
        if (i % 64 == 0) {
            for (uint64_t j = 0; j < count; j++) check_found(&numbered, j);
            check_walk(&numbered);
            check_sums(&numbered);
        }
    }
    assert_int_equal(counter_read(&numbered.table->keys), 0);
    assert_true(counter_read(&numbered.table->array_bytes) < most / 8);
    assert_int_equal(counter_read(&numbered.table->spill_buckets), 0);
    numbered_free(&numbered);
}

/* Counted by looking where each key is, not by what the table says of itself. */
static void no_insertion_or_removal_moves_more_than_the_promised_number(void **state) {
    (void)state;
    const uint64_t count = SCALED(2500, 900);
    struct numbered numbered;
    slot **places = calloc(count, sizeof *places);
    uint64_t most = 0;
    numbered_init(&numbered, count, 0);
    for (uint64_t step = 0; step < 2 * count; step++) {
        if (step < count)
            numbered_insert(&numbered, step);
        else
            numbered_remove(&numbered, step - count);
        uint64_t moves = 0;
        for (uint64_t i = 0; i < count; i++) {
            if (numbered.entries[i] == NULL) continue;
            struct key key = numbered_key(&numbered, i);
            slot *at = table_find(numbered.table, &key);
            moves += i != step && at != places[i];
            places[i] = at;
        }
        if (moves > most) most = moves;
        assert_true(moves <= TABLE_MOVES_MOST);
    }
    print_message("at most %llu moves\n", (unsigned long long)most);
    assert_true(most > 0);
    free(places);
    numbered_free(&numbered);
}

static void random_edits_agree_with_a_list_of_what_is_there(void **state) {
    (void)state;
    uint64_t random = seed_take();
    const uint64_t count = 3000;
    struct numbered numbered;
    numbered_init(&numbered, count, (uint32_t)random_below(&random, 64));
    uint64_t bias = 50;
    for (uint64_t step = 0; step < SCALED(300000, 30000); step++) {
        /* The mood changes, so that it grows and shrinks and turns around halfway. */
        if (step % 512 == 0) bias = 5 + random_below(&random, 91);
        uint64_t number = random_below(&random, count);
        if (random_below(&random, 100) < bias) {
            if (numbered.entries[number] == NULL) numbered_insert(&numbered, number);
        } else if (numbered.entries[number] != NULL) {
            numbered_remove(&numbered, number);
        }
        check_found(&numbered, number);
        check_found(&numbered, random_below(&random, count));
        if (step % 1000 == 0) {
            check_walk(&numbered);
            check_sums(&numbered);
            lane_reclaim(lane);
        }
    }
    numbered_free(&numbered);
}

/* Between any two steps of the walk others come and go, and the table is resized. */
static void a_walk_meets_whoever_stays_while_the_table_changes(void **state) {
    (void)state;
    uint64_t random = seed_take();
    const uint64_t count = 4000, staying = 200;
    struct numbered numbered;
    numbered_init(&numbered, count, 1);
    for (uint64_t i = 0; i < staying; i++) numbered_insert(&numbered, i);
    uint64_t sizes_met = 0, homes = 0;
    for (int walks = 0; walks < SCALED(300, 30); walks++) {
        struct walk walk = {&numbered, calloc(count, sizeof *walk.visits)};
        uint64_t place = 0, bias = 50;
        do {
            if (random_below(&random, 20) == 0) bias = random_below(&random, 101);
            for (uint64_t edits = random_below(&random, 60); edits > 0; edits--) {
                uint64_t number = staying + random_below(&random, count - staying);
                bool is_there = numbered.entries[number] != NULL;
                if (random_below(&random, 100) < bias && !is_there)
                    numbered_insert(&numbered, number);
                else if (random_below(&random, 100) >= bias && is_there)
                    numbered_remove(&numbered, number);
            }
            if (counter_read(&numbered.table->current.homes) != homes) sizes_met++;
            homes = counter_read(&numbered.table->current.homes);
            place = table_visit(numbered.table, place, count_visit, &walk);
        } while (place != 0);
        for (uint64_t i = 0; i < staying; i++)
            if (walk.visits[i] == 0) fail_msg("number %llu was passed by", (unsigned long long)i);
        free(walk.visits);
        lane_reclaim(lane);
    }
    print_message("%llu changes of size\n", (unsigned long long)sizes_met);
    assert_true(sizes_met > 10);
    numbered_free(&numbered);
}

static void forget_first(void *context, slot *at) {
    uint64_t *first = context;
    if (*first == UINT64_MAX) *first = number_of(slot_entry(at));
}

/* Whoever deletes in a scan's order leaves the keys that are behind: the array is never so small that their
 * homes get long. */
static void removal_in_the_order_of_a_scan_makes_no_long_homes(void **state) {
    (void)state;
    struct numbered numbered;
    const uint64_t all = SCALED(60000, 6000);
    numbered_init(&numbered, all, 0);
    for (uint64_t i = 0; i < all; i++) numbered_insert(&numbered, i);
    uint64_t full = counter_read(&numbered.table->current.homes), place = 0;
    while (counter_read(&numbered.table->keys) > 0) {
        uint64_t number = UINT64_MAX, next = table_visit(numbered.table, place, forget_first, &number);
        if (number == UINT64_MAX) {
            place = next;
            continue;
        }
        numbered_remove(&numbered, number);
        if (number % 64 == 0) {
            check_found(&numbered, random_below(&(uint64_t){number + 1}, all));
            lane_reclaim(lane);
        }
    }
    assert_true(atomic_load(&numbered.table->moves_most) <= TABLE_MOVES_MOST);
    while (table_settle(numbered.table, lane) || !table_is_settled(numbered.table))
        if (counter_read(&numbered.table->current.homes) == GROUP_HOMES) break;
    assert_true(full > 100 * (uint64_t)GROUP_HOMES);
    assert_int_equal(counter_read(&numbered.table->current.homes), GROUP_HOMES);
    numbered_free(&numbered);
}

/* A round of a sweep meets every entry of a table at rest once, and each part of a round entries from
 * everywhere. */
static void a_sweep_meets_everybody_once_and_evenly(void **state) {
    (void)state;
    const uint64_t counts[] = {1, 40, 1000, SCALED(30000, 5000)};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct numbered numbered;
        numbered_init(&numbered, counts[i], 0);
        for (uint64_t j = 0; j < counts[i]; j++) numbered_insert(&numbered, j);
        while (counter_read(&numbered.table->old.homes) != 0) table_settle(numbered.table, lane);
        struct walk walk = {&numbered, calloc(counts[i], sizeof *walk.visits)};
        uint64_t quarters[4] = {0}, met = 0;
        bool goes_on = true;
        while (goes_on) {
            goes_on = table_sweep(numbered.table, count_visit, &walk);
            if (met != 0 || numbered.table->swept * 2 < counter_read(&numbered.table->current.homes))
                continue;
            for (uint64_t j = 0; j < counts[i]; j++) { /* about half of the round: once */
                met += walk.visits[j];
                quarters[numbered_key(&numbered, j).hash >> 62] += walk.visits[j];
            }
        }
        for (uint64_t j = 0; j < counts[i]; j++) assert_int_equal(walk.visits[j], 1);
        for (int j = 0; j < 4 && counts[i] >= 1000; j++) {
            assert_true(quarters[j] * 4 > met * 8 / 10);
            assert_true(quarters[j] * 4 < met * 12 / 10);
        }
        free(walk.visits);
        numbered_free(&numbered);
    }
}

/* Keys whose hashes agree in their high bits, as somebody who knew the secret could choose them: one home,
 * chains of spill buckets. */
static void keys_of_one_home_are_chained_and_found(void **state) {
    (void)state;
    enum { CROWD = 60 };
    struct table *table = table_create(0, 0, lane);
    struct entry *entries[CROWD];
    struct key keys[CROWD];
    char names[CROWD][12];
    for (int i = 0; i < CROWD; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        /* A third of them agree in their tags, too. */
        keys[i] = (struct key){names[i], strlen(names[i]),
                               UINT64_C(0x8000000000000000) | (uint64_t)(i % 3 == 0 ? 0 : i), 0};
    }
    for (int i = 0; i < 46; i++) { /* fewer than make it grow, which would hash the names */
        entries[i] = entry_create_integer(&keys[i], ENTRY_NO_EXPIRY, i);
        assert_true(table_reserve(table, lane));
        table_insert(table, keys[i].hash, entries[i], lane);
        for (int j = 0; j <= i; j++) assert_ptr_equal(slot_entry(table_find(table, &keys[j])), entries[j]);
        assert_null(table_find(table, &keys[i + 1]));
    }
    assert_true(counter_read(&table->spill_buckets) >= 4);
    uint64_t random = seed_take();
    for (int left = 46; left > 0; left--) {
        int chosen = (int)random_below(&random, (uint64_t)left);
        table_remove(table, table_find(table, &keys[chosen]), keys[chosen].hash, lane);
        assert_null(table_find(table, &keys[chosen]));
        entry_free(entries[chosen]);
        keys[chosen] = keys[left - 1];
        entries[chosen] = entries[left - 1];
        for (int j = 0; j < left - 1; j++)
            assert_ptr_equal(slot_entry(table_find(table, &keys[j])), entries[j]);
    }
    assert_int_equal(counter_read(&table->spill_buckets), 0);
    assert_int_equal(counter_read(&table->keys), 0);
    table_free(table);
    keyspace_reclaim(lane);
}

/* Names of keys of one home, as somebody could choose them who has come to know the secret. */
static void names_choose(struct numbered *numbered) {
    uint64_t candidate = 0;
    for (uint64_t i = 0; i < numbered->count; candidate++) {
        snprintf(numbered->names[i], sizeof *numbered->names, "number:%llu", (unsigned long long)candidate);
        if (numbered_key(numbered, i).hash >> 53 == 1234) i++;
    }
}

/* Each was one link more in a chain of its home's, and all operations walked it. */
static void chosen_keys_of_one_home_make_no_long_chain(void **state) {
    (void)state;
    const uint64_t count = SCALED(3000, 1000), others = 200;
    uint64_t random = seed_take();
    struct numbered numbered, plain;
    numbered_init(&numbered, count, 0);
    names_choose(&numbered);
    for (uint64_t i = 0; i < count; i++) {
        numbered_insert(&numbered, i);
        /* Of the groups of one array or both, of which the keys may be in two each. */
        assert_true(counter_read(&numbered.table->spill_buckets) <= UINT64_C(4) * TABLE_LINKS_MOST);
        check_found(&numbered, random_below(&random, count));
        if (i % 500 == 0) check_walk(&numbered);
    }
    for (uint64_t i = 0; i < count; i++) check_found(&numbered, i);
    check_walk(&numbered);
    check_sums(&numbered);
    assert_true(crowd_size(atomic_load(&numbered.table->crowd)) > count / 2);
    /* Whoever looks without the lock is told that it takes one. */
    struct rwlock *lock = keyspace_lock(keyspace, 0);
    assert_null(
        table_home(numbered.table, numbered_key(&numbered, 0).hash, lock, rwlock_version(lock)).bucket);
    /* By hash, as eviction looks; of another key there is none. */
    for (uint64_t i = 0; i < count; i += 7) {
        slot *at = table_find_hash(numbered.table, numbered_key(&numbered, i).hash, &keyspace->secret);
        assert_ptr_equal(slot_entry(at), numbered.entries[i]);
    }
    /* An entry is replaced where it stands. */
    for (uint64_t i = 0; i < count; i += 13) {
        struct key key = numbered_key(&numbered, i);
        slot *at = table_find(numbered.table, &key);
        struct entry *other =
            entry_create_integer(&key, i % 3 == 0 ? (int64_t)i : ENTRY_NO_EXPIRY, (int64_t)i);
        table_uncount(numbered.table, numbered.entries[i], lane);
        table_replace(at, other);
        table_count(numbered.table, other, lane);
        entry_free(numbered.entries[i]);
        numbered.entries[i] = other;
        check_found(&numbered, i);
    }
    /* It shrinks and grows again with the crowd in it. */
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < count; i++)
            if (numbered.entries[i] != NULL && random_below(&random, 8) > 0) numbered_remove(&numbered, i);
        check_walk(&numbered);
        for (uint64_t i = 0; i < count; i++)
            if (numbered.entries[i] == NULL && (round < 2 || i % 2 == 0)) numbered_insert(&numbered, i);
        for (uint64_t i = 0; i < count; i++) check_found(&numbered, i);
        check_walk(&numbered);
        check_sums(&numbered);
    }
    for (uint64_t i = 0; i < count; i++)
        if (numbered.entries[i] != NULL) numbered_remove(&numbered, i);
    assert_null(atomic_load(&numbered.table->crowd));
    for (uint64_t i = 0; i < count; i++) numbered_insert(&numbered, i);
    numbered_free(&numbered); /* with all of it */
    numbered_init(&plain, others, 0);
    for (uint64_t i = 0; i < others; i++) numbered_insert(&plain, i);
    assert_null(atomic_load(&plain.table->crowd));
    numbered_free(&plain);
}

static void a_table_with_chains_is_freed_whole(void **state) {
    (void)state;
    struct table *table = table_create(0, 0, lane);
    char names[40][12];
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        struct key key = {names[i], strlen(names[i]), (uint64_t)i, 0};
        assert_true(table_reserve(table, lane));
        table_insert(table, key.hash, entry_create_integer(&key, ENTRY_NO_EXPIRY, i), lane);
    }
    assert_true(counter_read(&table->spill_buckets) > 0);
    table_destroy(table);
}

static void a_replaced_entry_stands_in_the_same_slot(void **state) {
    (void)state;
    struct numbered numbered;
    numbered_init(&numbered, 50, 0);
    for (uint64_t i = 0; i < 50; i++) numbered_insert(&numbered, i);
    for (uint64_t i = 0; i < 50; i++) {
        struct key key = numbered_key(&numbered, i);
        slot *at = table_find(numbered.table, &key);
        struct entry *before = numbered.entries[i];
        struct entry *other = entry_create_integer(&key, i % 3 == 0 ? ENTRY_NO_EXPIRY : 5, (int64_t)i);
        table_uncount(numbered.table, before, lane);
        table_replace(at, other);
        table_count(numbered.table, other, lane);
        assert_ptr_equal(table_find(numbered.table, &key), at);
        assert_ptr_equal(slot_entry(at), other);
        assert_int_equal(slot_expires(at), i % 3 != 0);
        entry_free(before);
        numbered.entries[i] = other;
    }
    check_walk(&numbered);
    assert_int_equal(counter_read(&numbered.table->expiring), 33);
    numbered_free(&numbered);
}

static void a_large_table_is_buried_in_slices(void **state) {
    (void)state;
    struct numbered numbered;
    keyspace_reclaim(lane);
    int64_t used = eviction_used(keyspace); /* tables that were just destroyed are on the books */
    numbered_init(&numbered, 8000, 0);
    for (uint64_t i = 0; i < 8000; i++) numbered_insert(&numbered, i);
    uint64_t slices = 0, left = 8000;
    keyspace_reclaim(lane); /* the arrays that it has left */
    table_bury(numbered.table, lane);
    assert_int_equal(counts_of(keyspace).retired_objects, left);
    while (lane_reclaim(lane)) {
        assert_true(counts_of(keyspace).retired_objects < left);
        left = counts_of(keyspace).retired_objects;
        slices++;
    }
    assert_true(slices > 5);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    assert_int_equal(eviction_used(keyspace), used);
    free(numbered.entries);
    free(numbered.names);
    keyspace_reclaim(lane);
}

static void tables_of_different_shards_grow_at_different_times(void **state) {
    (void)state;
    bool is_used[128] = {0};
    int different = 0;
    for (uint32_t shard = 0; shard < 64; shard++) {
        struct table *table = table_create(shard, 6, lane);
        assert_true(table->grow_at < 56);
        different += !is_used[table->grow_at];
        is_used[table->grow_at] = true;
        table_free(table);
    }
    assert_true(different >= 6);
}

/* Not for the analysis, which can't see what assert_true made sure of: that the lock is held. */
static void prefetching_finds_its_way_or_does_nothing(void **state) NO_THREAD_SAFETY_ANALYSIS {
    (void)state;
    struct rwlock lock;
    rwlock_init(&lock);
    struct numbered numbered;
    numbered_init(&numbered, 500, 0);
    for (uint64_t i = 0; i < 500; i++) {
        numbered_insert(&numbered, i);
        for (int round = 0; round < 2; round++) {
            if (round == 1) assert_true(rwlock_try_exclusive(&lock));
            struct key key = numbered_key(&numbered, i / 2);
            uint32_t version;
            rwlock_peek(&lock, &version);
            struct home home = table_home(numbered.table, key.hash, &lock, version);
            assert_true((home.bucket == NULL) == (round == 1));
            if (round == 0) {
                if (!home_prefetch(home, key.hash)) home_prefetch_spilled(home, key.hash);
                assert_ptr_equal(home_find(home, &key), slot_entry(table_find(numbered.table, &key)));
            }
            if (round == 1) rwlock_release_exclusive(&lock);
        }
        check_found(&numbered, i / 2);
    }
    numbered_free(&numbered);
}

/* In a keyspace of few and of many shards; under a sanitizer a smaller one. */
static void five_million_insertions_move_a_bounded_handful_each(void **state) {
    (void)state;
    const uint64_t count = SCALED(5000000, 100000);
    struct keyspace *large = keyspace_with(64, 1, 99);
    struct lane *seat = lane_attach(large);
    uint64_t most = 0;
    for (uint64_t i = 0; i < count; i++) {
        char name[24];
        size_t length = (size_t)snprintf(name, sizeof name, "%llu", (unsigned long long)i);
        assert_int_equal(
            latchkey_set(
                seat,
                &(struct latchkey_item){.key = name, .key_length = length, .value = "v", .value_length = 1}),
            LATCHKEY_OK);
        if (i % 100000 != 0) continue;
        uint64_t moves = size_of(seat, 0).moves_most;
        assert_true(moves >= most && moves <= TABLE_MOVES_MOST);
        most = moves;
    }
    struct keyspace_size size = size_of(seat, 0);
    assert_int_equal(size.keys, count);
    assert_true(size.moves_most <= TABLE_MOVES_MOST && size.moves_most > 0);
    print_message("%llu keys: at most %llu moves, %.1f bytes of table per key, %.1f of entry\n",
                  (unsigned long long)count, (unsigned long long)size.moves_most,
                  (double)size.table_bytes / (double)count, (double)size.bytes / (double)count);
    assert_true((double)size.table_bytes / (double)count < 24);
    check_accounting(seat);
    struct holding holding;
    hold_all(&holding, seat, 1);
    assert_int_equal(keyspace_flush(&holding.scope, 0), count);
    hold_all_end(&holding);
    keyspace_reclaim(seat);
    assert_int_equal(counts_of(large).retired_bytes, 0);
    assert_int_equal(counts_of(large).retired_objects, 0);
    lane_detach(seat);
    keyspace_close(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_has_nothing),
        cmocka_unit_test(keys_are_found_at_every_size_on_the_way_up_and_down),
        cmocka_unit_test(no_insertion_or_removal_moves_more_than_the_promised_number),
        cmocka_unit_test(random_edits_agree_with_a_list_of_what_is_there),
        cmocka_unit_test(a_walk_meets_whoever_stays_while_the_table_changes),
        cmocka_unit_test(removal_in_the_order_of_a_scan_makes_no_long_homes),
        cmocka_unit_test(a_sweep_meets_everybody_once_and_evenly),
        cmocka_unit_test(keys_of_one_home_are_chained_and_found),
        cmocka_unit_test(chosen_keys_of_one_home_make_no_long_chain),
        cmocka_unit_test(a_table_with_chains_is_freed_whole),
        cmocka_unit_test(a_replaced_entry_stands_in_the_same_slot),
        cmocka_unit_test(a_large_table_is_buried_in_slices),
        cmocka_unit_test(tables_of_different_shards_grow_at_different_times),
        cmocka_unit_test(prefetching_finds_its_way_or_does_nothing),
        cmocka_unit_test(five_million_insertions_move_a_bounded_handful_each),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
