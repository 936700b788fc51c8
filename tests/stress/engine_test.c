/* The embedded engine under many threads: writes of several keys are seen whole or not at all, every scan
 * returns whoever was there throughout, nothing deadlocks, closers of the gate get through, and in the end
 * the books balance. */
#include "tests/engine.h"
#include "tests/mirror.h"

#include <sched.h>

#define WRITERS 4
#define READERS 2

/* ------------------------------------------------------------------ several keys at once */

#define ACCOUNTS 256
#define MOST_KEYS 24

struct bank {
    struct keyspace *keyspace;
    struct key keys[ACCOUNTS];
    char names[ACCOUNTS][16];
    uint64_t seed, rounds;
    atomic_bool is_over;
    _Atomic uint64_t reads, torn, number;
};

/* A group is a set of accounts that is always written as one, and so always equal; groups overlap only in
 * shards, not in keys. */
struct accounts {
    struct bank *bank;
    struct key keys[MOST_KEYS];
    size_t count;
    uint64_t stamp;
    bool is_equal;
};

static void choose_group(struct bank *bank, struct accounts *group, uint64_t *random) {
    uint64_t which = random_below(random, ACCOUNTS / MOST_KEYS);
    group->bank = bank;
    group->count = 2 + which * 2; /* each has its size */
    for (size_t i = 0; i < group->count; i++) group->keys[i] = bank->keys[which * MOST_KEYS + i];
    for (size_t i = group->count; i > 1; i--) { /* in any order */
        size_t other = random_below(random, i);
        struct key key = group->keys[other];
        group->keys[other] = group->keys[i - 1];
        group->keys[i - 1] = key;
    }
}

static void write_group(void *context, struct write_scope *scope) {
    struct accounts *group = context;
    for (size_t i = 0; i < group->count; i++) {
        struct edit edit;
        char value[80];
        /* Of every form and size, so that entries move while others want to read them. */
        size_t length = (size_t)snprintf(value, sizeof value,
                                         group->stamp % 3 == 0   ? "%llu"
                                         : group->stamp % 3 == 1 ? "%llu."
                                                                 : "%048llu",
                                         (unsigned long long)group->stamp);
        scope_edit(scope, &group->keys[i], &edit);
        if (group->stamp % 17 == 0)
            edit_remove(&edit);
        else
            CHECK(edit_put_string(&edit, value, length, NULL, false));
        scope_changed(&edit, group->stamp % 17 == 0 ? EVENT_DEL : EVENT_SET);
    }
}

static uint64_t stamp_of(const struct entry *entry) {
    struct string_view view;
    char text[80];
    if (entry == NULL) return UINT64_MAX;
    entry_string(entry, &view);
    CHECK(view.length < sizeof text);
    memcpy(text, view.data, view.length);
    text[view.length] = '\0';
    return strtoull(text, NULL, 10);
}

static void read_group(void *context, const struct read_scope *scope) {
    struct accounts *group = context;
    uint64_t first = stamp_of(scope_read(scope, &group->keys[0]));
    group->is_equal = true;
    for (size_t i = 1; i < group->count; i++)
        group->is_equal &= stamp_of(scope_read(scope, &group->keys[i])) == first;
}

static void *write_groups(void *argument) {
    struct bank *bank = argument;
    struct lane *lane = lane_attach(bank->keyspace);
    CHECK(lane != NULL);
    uint64_t random = bank->seed + atomic_fetch_add(&bank->number, 1);
    for (uint64_t i = 0; i < bank->rounds; i++) {
        struct accounts group;
        choose_group(bank, &group, &random);
        group.stamp = random_next(&random) >> 8;
        latchkey_write(lane, group.keys, group.count, write_group, &group);
        if (i % 256 == 0) latchkey_idle(lane, 50);
    }
    lane_detach(lane);
    return NULL;
}

static void *read_groups(void *argument) {
    struct bank *bank = argument;
    struct lane *lane = lane_attach(bank->keyspace);
    CHECK(lane != NULL);
    uint64_t random = bank->seed + 1000 + atomic_fetch_add(&bank->number, 1);
    while (!atomic_load(&bank->is_over)) {
        struct accounts group;
        choose_group(bank, &group, &random);
        latchkey_read(lane, group.keys, group.count, read_group, &group);
        atomic_fetch_add(&bank->reads, 1);
        if (!group.is_equal) atomic_fetch_add(&bank->torn, 1);
        /* Also by prefetching, which reads without a lock. */
        lane_enter_waiting(lane);
        keyspace_prefetch(lane, group.keys, group.count);
        lane_leave(lane);
    }
    lane_detach(lane);
    return NULL;
}

/* Now and then somebody wants everything. */
static void *close_sometimes(void *argument) {
    struct bank *bank = argument;
    struct lane *lane = lane_attach(bank->keyspace);
    CHECK(lane != NULL);
    while (!atomic_load(&bank->is_over)) {
        struct holding holding;
        hold_all(&holding, lane, 1);
        for (uint64_t which = 0; which < ACCOUNTS / MOST_KEYS; which++) {
            struct read_scope all = {holding.scope.scope};
            struct accounts group = {.bank = bank, .count = 2 + which * 2};
            for (size_t i = 0; i < group.count; i++) group.keys[i] = bank->keys[which * MOST_KEYS + i];
            read_group(&group, &all);
            if (!group.is_equal) atomic_fetch_add(&bank->torn, 1);
        }
        hold_all_end(&holding);
        for (int i = 0; i < 20; i++) sched_yield();
    }
    lane_detach(lane);
    return NULL;
}

static void writes_of_several_keys_are_seen_whole_or_not_at_all(void **state) {
    (void)state;
    struct bank *bank = calloc(1, sizeof *bank);
    pthread_t writers[WRITERS], readers[READERS], closer;
    bank->seed = seed_take();
    bank->rounds = SCALED(15000, 2500);
    bank->keyspace = keyspace_with(16, 1, bank->seed); /* few, so that they collide */
    for (int i = 0; i < ACCOUNTS; i++)
        bank->keys[i] = keyspace_key(bank->keyspace, 0, bank->names[i],
                                     (size_t)snprintf(bank->names[i], sizeof bank->names[i], "account%d", i));
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_groups, bank), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_groups, bank), 0);
    assert_int_equal(pthread_create(&closer, NULL, close_sometimes, bank), 0);
    for (int i = 0; i < WRITERS; i++) pthread_join(writers[i], NULL);
    atomic_store(&bank->is_over, true);
    for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
    pthread_join(closer, NULL);
    struct keyspace_counts counts = counts_of(bank->keyspace);
    print_message("%llu reads, %llu refused takes, %llu closings\n",
                  (unsigned long long)atomic_load(&bank->reads), (unsigned long long)counts.busy_takes,
                  (unsigned long long)counts.gate_closings);
    assert_int_equal(atomic_load(&bank->torn), 0);
    assert_true(atomic_load(&bank->reads) > 0 && counts.gate_closings > 0);
    struct lane *lane = lane_attach(bank->keyspace);
    check_accounting(lane);
    lane_detach(lane);
    assert_int_equal(counts_of(bank->keyspace).retired_bytes, 0);
    keyspace_close(bank->keyspace);
    free(bank);
}

/* ------------------------------------------------------------------ scans */

#define STAYING 1500
#define WAVE SCALED(10000, 3000)

struct crowd {
    struct keyspace *keyspace;
    atomic_bool is_over;
    atomic_int number;
    _Atomic uint64_t waves;
    uint64_t seed;
};

/* In waves: many keys come and go again, so that tables grow and shrink. */
static void *come_and_go(void *argument) {
    struct crowd *crowd = argument;
    struct lane *lane = lane_attach(crowd->keyspace);
    CHECK(lane != NULL);
    int number = atomic_fetch_add(&crowd->number, 1);
    char name[48];
    while (!atomic_load(&crowd->is_over)) {
        for (int is_going = 0; is_going < 2; is_going++)
            for (int i = 0; i < WAVE; i++) {
                size_t length = (size_t)snprintf(name, sizeof name, "passing:%d:%d", number, i);
                struct latchkey_item item = {
                    .key = name, .key_length = length, .value = "v", .value_length = 1};
                if (is_going)
                    CHECK(latchkey_delete(lane, name, length));
                else
                    CHECK(latchkey_set(lane, &item) == LATCHKEY_OK);
            }
        atomic_fetch_add(&crowd->waves, 1);
    }
    lane_detach(lane);
    return NULL;
}

struct seen {
    uint32_t staying[STAYING];
    uint64_t others;
};

static void note_seen(void *context, const struct entry *entry) {
    struct seen *seen = context;
    size_t length;
    const char *data = entry_key(entry, &length);
    if (data[0] != 's') {
        seen->others++;
        return;
    }
    char digits[16] = {0};
    CHECK(length < 8 + sizeof digits);
    memcpy(digits, data + 8, length - 8);
    seen->staying[strtoul(digits, NULL, 10)]++;
}

/* As SCAN does: by positions alone, with other calls between. */
static void scan_once(struct lane *lane, struct seen *seen, uint64_t *random) {
    uint64_t position = 0;
    struct shard_set set;
    shard_set_init(&set);
    for (bool is_first = true; is_first || position != 0; is_first = false) {
        CHECK(position >> 52 == 0);
        uint32_t shard = keyspace_position_shard(lane->keyspace, position);
        struct read_scope scope;
        struct rwlock *busy;
        shard_set_clear(&set);
        CHECK(shard_set_add(&set, shard));
        lane_enter_waiting(lane);
        while (!scope_try_read(&scope, lane, &set, 1, &busy)) scope_wait(lane, busy, false);
        uint64_t next = scope_scan(&scope, shard, 0, position, 1 + random_below(random, 20), note_seen, seen);
        scope_end_read(&scope);
        lane_leave(lane);
        CHECK(next != 0);
        CHECK(next == SCOPE_SCAN_END || next > position);
        if (next != SCOPE_SCAN_END)
            position = next;
        else
            position = shard + 1 == keyspace_shard_count(lane->keyspace)
                           ? 0
                           : keyspace_shard_position(lane->keyspace, shard + 1);
        if (random_below(random, 8) == 0) sched_yield();
    }
}

static void every_scan_returns_whoever_was_there_throughout(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= 16; shards *= 16) {
        struct crowd crowd = {.seed = seed_take()};
        pthread_t threads[WRITERS];
        crowd.keyspace = keyspace_with(shards, 1, crowd.seed);
        struct lane *lane = lane_attach(crowd.keyspace);
        char name[32];
        for (int i = 0; i < STAYING; i++)
            put(lane, 0, name, (size_t)snprintf(name, sizeof name, "staying:%d", i), "v", 1, ENTRY_NO_EXPIRY,
                1);
        for (int i = 0; i < WRITERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
        uint64_t others = 0, random = crowd.seed;
        int scans = 0;
        while (scans < SCALED(20, 5) || atomic_load(&crowd.waves) < 2 * WRITERS) {
            struct seen seen = {.others = 0};
            if (scans % 2 == 0)
                scan_once(lane, &seen, &random);
            else
                latchkey_range(lane, 0, note_seen, &seen);
            for (int i = 0; i < STAYING; i++)
                if (seen.staying[i] == 0) fail_msg("scan %d did not return staying:%d", scans, i);
            others += seen.others;
            scans++;
        }
        atomic_store(&crowd.is_over, true);
        for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
        print_message("%d scans met %llu others in %llu waves\n", scans, (unsigned long long)others,
                      (unsigned long long)atomic_load(&crowd.waves));
        assert_true(others > 0);
        check_accounting(lane);
        assert_int_equal(size_of(lane, 0).keys, STAYING);
        lane_detach(lane);
        keyspace_close(crowd.keyspace);
    }
}

/* ------------------------------------------------------------------ everything together */

static void a_listener_keeps_up_with_many_threads(void **state) {
    (void)state;
    enum { THREADS = 6 };
    for (uint32_t shards = 1; shards <= 64; shards *= 64) {
        struct mirror *mirror = mirror_open(shards, MIRROR_DATABASES, seed_take());
        struct editor editors[THREADS];
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            editors[i] = (struct editor){.mirror = mirror,
                                         .steps = SCALED(20000, 4000),
                                         .seed = mirror->seed + (uint64_t)i,
                                         .names = 1000};
            assert_int_equal(pthread_create(&threads[i], NULL, mirror_edit, &editors[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        mirror_compare(mirror);
        mirror_close(mirror);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_of_several_keys_are_seen_whole_or_not_at_all),
        cmocka_unit_test(every_scan_returns_whoever_was_there_throughout),
        cmocka_unit_test(a_listener_keeps_up_with_many_threads),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
