/* Nothing hangs, leaks, stalls or takes over the server, whatever clients do: a storm of them (tests/storm),
 * while who asks for next to nothing is watched.
 *
 * A failure is
 *     - a request on a free shard, of another worker than the one with the heavy work, that isn't answered
 *         within 20 times the slowest of 1,000 made before
 *       the storm, and a second at least (a CLIENT PAUSE's own time excepted);
 *     - a connection that has gone, and is still listed two seconds and the time for an answer later;
 *     - memory: after each of several rounds that are the same, more than 64 KB above the one before's is in
 *         use;
 *     - a write that is refused, or a key that is let go, for want of memory that is there;
 *     - a server that dies, that leaks (AddressSanitizer says so), or that doesn't end in time when told to,
 *         in the midst of it.
 *
 *     WATCHDOG_SECONDS=60 STRESS_SEED=7 STRESS_ACTS=union,add STRESS_TEST='a_server*' watchdog_test
 *         default 10 seconds, a seed by the clock, all acts, both tests */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "tests/storm/probe.h"
#include "tests/storm/storm.h"
#include "tests/support.h"

#define WORKERS 3
#define ACTORS 12
/* Memory is looked at from the third round on; what still fills up then (tables of names, what threads keep)
 * doesn't in each round that follows. */
#define ROUNDS 3
#define ROUNDS_MOST 6
#define PROBES 1000
/* An answer may take so many times the slowest of those before, and at least so long. */
#define TIMES_MOST 20
#define LEAST_US 1000000
/* On the worker with the heavy work it must only come. */
#define HEAVY_US 15000000
/* How long one that has gone may be listed, if the list is answered at once. */
#define GONE_US 2000000
/* What may be in use after a round beyond what was after the one before. */
#define GROWTH_MOST ((int64_t)64 << 10)
/* For what is awaited when all is quiet again, and for the end. */
#define QUIET_US 30000000
#define END_US 30000000
/* How far below a limit no write is refused, and how much is written. */
#define LIMIT_ABOVE ((int64_t)16 << 20)
#define LIMIT_WRITES 2000
#define LIMIT_VALUE 500
#define LARGE_WRITES 40
/* A life: how long the storm lasts before the server is told to end. */
#define LIFE_MS 400

/* After a failure there may be threads that never end by themselves; the program's end ends them. */
static bool is_storm_left;
static struct storm storm = {.mutex = PTHREAD_MUTEX_INITIALIZER, .pulse.mutex = PTHREAD_MUTEX_INITIALIZER};
static const char *const options[] = {"--threads",
                                      "3",
                                      "--balance-clients",
                                      "no",
                                      "--client-output-buffer-limit",
                                      "normal 64mb 64kb 1",
                                      "--databases",
                                      "4",
                                      "--busy-reply-threshold",
                                      "20",
                                      NULL};

static int64_t from_environment(const char *name, int64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

static int64_t seconds(void) {
    return from_environment("WATCHDOG_SECONDS", from_environment("STRESS_SECONDS", 10));
}

static void pass_ms(int64_t milliseconds) {
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* The end of the test, if somebody has complained. */
static void check(const char *when) {
    if (!storm_has_complaint(&storm)) return;
    pthread_mutex_lock(&storm.mutex);
    fail_msg("%s (seed %llu): %s", when, (unsigned long long)storm.seed, storm.complaint);
}

/* Lets the storm blow, but not after a complaint. */
static void blow(int64_t milliseconds) {
    int64_t end = now_us() + milliseconds * 1000;
    while (now_us() < end && !storm_has_complaint(&storm)) pass_ms(20);
}

/* ------------------------------------------------------------------ when all is quiet */

static void ask(redisContext *admin, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void ask(redisContext *admin, const char *format, ...) {
    redisReply *reply = NULL;
    /* A script of the storm's may not have come to its end yet. */
    for (int64_t until = now_us() + QUIET_US; reply == NULL && now_us() < until;) {
        va_list arguments;
        va_start(arguments, format);
        reply = redisvCommand(admin, format, arguments);
        va_end(arguments);
        if (reply == NULL || strncmp(reply->str == NULL ? "" : reply->str, "BUSY", 4) != 0) break;
        freeReplyObject(reply);
        reply = NULL;
        pass_ms(5);
    }
    if (reply == NULL)
        fail_msg("all was quiet, and %s was not answered: %s (seed %llu)", format, admin->errstr,
                 (unsigned long long)storm.seed);
    if (reply->type == REDIS_REPLY_ERROR) fail_msg("%s: %s", format, reply->str);
    freeReplyObject(reply);
}

/* Until a field of INFO is no more than that. */
static void await_most(redisContext *admin, const char *field, int64_t most) {
    int64_t until = now_us() + QUIET_US, value;
    while ((value = info_number(admin, field)) > most) {
        if (now_us() < until) {
            pass_ms(5);
            continue;
        }
        redisReply *list = redisCommand(admin, "CLIENT LIST");
        fail_msg("all is quiet, and %s stays %lld, not %lld (seed %llu): %s", field, (long long)value,
                 (long long)most, (unsigned long long)storm.seed, list == NULL ? "" : list->str);
    }
}

static void follow(const struct server *server) {
    storm.port = server->port;
    storm.pulse.server = server->pid;
    storm.pulse.count = 0;
}

static void calm(redisContext *admin) {
    ask(admin, "CLIENT UNPAUSE");
    ask(admin, "CONFIG SET maxmemory 0 maxmemory-policy noeviction");
    ask(admin, "FLUSHALL");
    ask(admin, "SCRIPT FLUSH");
    ask(admin, "FUNCTION FLUSH");
    ask(admin, "SLOWLOG RESET");
    ask(admin, "LATENCY RESET");
    ask(admin, "CONFIG RESETSTAT");
    await_most(admin, "connected_clients", 1 + WORKERS);
    await_most(admin, "lazyfree_pending_objects", 0);
}

/* Writes what the limit has room for, on each worker in turn. */
static void write_within_limit(const char *policy) {
    struct text text = {NULL, 0, 0};
    char answer[128];
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        struct wire wire;
        if (!storm_open_on(&storm, &wire, worker, QUIET_US / 1000))
            fail_msg("all is quiet, and worker %u gets no connection (seed %llu)", worker,
                     (unsigned long long)storm.seed);
        for (uint32_t i = 0; i < LIMIT_WRITES; i++) {
            text_clear(&text);
            text_request_with(&text, LIMIT_VALUE, "SET within:%u:%u", worker, i);
            if (!wire_ask(&wire, &text, answer, sizeof answer, 20000) || answer[0] != '+')
                fail_msg("%s, %lld MB below the limit, write %u on worker %u: %s (seed %llu)", policy,
                         (long long)LIMIT_ABOVE >> 20, i, worker, answer, (unsigned long long)storm.seed);
        }
        wire_close(&wire);
    }
    text_free(&text);
}

/* One worker allocates what the next frees, so that the books of both are far from what is in use. */
static void write_here_and_delete_there(uint32_t here, uint32_t there) {
    struct text text = {NULL, 0, 0};
    struct wire one, other;
    if (!storm_open_on(&storm, &one, here, QUIET_US / 1000) ||
        !storm_open_on(&storm, &other, there, QUIET_US / 1000))
        fail_msg("all is quiet, and there is no connection to be had");
    text_request_with(&text, 2 << 20, "SET here-and-there");
    for (int i = 0; i < LARGE_WRITES; i++) {
        if (!wire_send_text(&one, &text, 20000) || !wire_finish(&one, 20000))
            fail_msg("a large value is not taken");
        wire_say(&other, "DEL here-and-there");
        if (!wire_finish(&other, 20000)) fail_msg("a large value is not deleted");
    }
    wire_close(&one);
    wire_close(&other);
    text_free(&text);
}

static void the_limit_is_where_it_is_said_to_be(redisContext *admin) {
    static const char *const policies[] = {"noeviction", "allkeys-lru"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        write_here_and_delete_there((uint32_t)i, (uint32_t)i + 1);
        int64_t used = info_number(admin, "used_memory"), let_go = info_number(admin, "evicted_keys");
        ask(admin, "CONFIG SET maxmemory-policy %s maxmemory %lld", policies[i],
            (long long)(used + LIMIT_ABOVE));
        write_within_limit(policies[i]);
        if (info_number(admin, "evicted_keys") != let_go)
            fail_msg("%s let %lld keys go with room for all (seed %llu)", policies[i],
                     (long long)(info_number(admin, "evicted_keys") - let_go),
                     (unsigned long long)storm.seed);
        ask(admin, "CONFIG SET maxmemory 0");
        ask(admin, "FLUSHALL");
    }
}

/* ------------------------------------------------------------------ a storm under watch */

/* By whichever test is the first. */
static void choose(void) {
    if (storm.seed != 0) return;
    storm.seed = (uint64_t)from_environment("STRESS_SEED", (int64_t)time(NULL));
    const char *acts = getenv("STRESS_ACTS");
    storm.only = acts != NULL && *acts != '\0' ? acts : NULL;
    print_message("# seed %llu\n", (unsigned long long)storm.seed);
}

static int64_t measure_before(struct probe *probes) {
    int64_t slowest = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        probe_open(&probes[i], &storm, i);
        check("before the storm");
        probe_some(&probes[i], PROBES);
        check("before the storm");
        if (probes[i].slowest_us > slowest) slowest = probes[i].slowest_us;
    }
    int64_t limit = slowest * TIMES_MOST > LEAST_US ? slowest * TIMES_MOST : LEAST_US;
    for (uint32_t i = 0; i < WORKERS; i++) probes[i].limit_us = i == HEAVY_WORKER ? limit + HEAVY_US : limit;
    print_message("# the slowest of %d probes took %.1f ms, so %.1f s are too long; sets of %u, %u "
                  "unions at once\n",
                  WORKERS * PROBES, (double)slowest / 1e3, (double)limit / 1e6, storm.members, storm.unions);
    return limit;
}

static void play_round(redisContext *admin, struct probe *probes, int64_t limit, int64_t milliseconds,
                       int number) {
    static struct actor actors[ACTORS];
    struct census census = {.storm = &storm, .limit_us = GONE_US + limit};
    pthread_t pulse;
    char when[32];
    snprintf(when, sizeof when, "round %d", number);
    storm_prepare(&storm);
    storm_begin(&storm, actors, ACTORS);
    pulse_begin(&storm, &pulse);
    census_begin(&census);
    for (uint32_t i = 0; i < WORKERS; i++) probe_begin(&probes[i]);
    blow(milliseconds);
    check(when);
    /* A probe's patience ends before an actor's, who may wait for a server that answers nobody. */
    storm_abate(&storm);
    for (uint32_t i = WORKERS; i-- > 0;) {
        probe_end(&probes[i]);
        check(when);
    }
    storm_end(&storm, actors, ACTORS);
    pthread_join(pulse, NULL);
    census_end(&census);
    check(when);
    calm(admin);
    print_message("# round %d: %llu acts; probes", number, (unsigned long long)atomic_load(&storm.acts));
    for (uint32_t i = 0; i < WORKERS; i++)
        print_message(" %llu (slowest %.0f ms)", (unsigned long long)probes[i].count,
                      (double)probes[i].slowest_us / 1e3);
    print_message("; %llu lists saw %llu off\n", (unsigned long long)census.lists,
                  (unsigned long long)census.seen_off);
}

static void others_are_served_and_nothing_is_kept_whatever_clients_do(void **state) {
    (void)state;
    static struct probe probes[WORKERS];
    is_storm_left = true;
    int64_t milliseconds = seconds() * 1000, in_use[ROUNDS_MOST];
    choose();
    struct server *server = server_start(options);
    redisContext *admin = server_connect(server);
    redisSetTimeout(admin, (struct timeval){.tv_sec = QUIET_US / 1000000});
    ask(admin,
        "CONFIG SET loglevel nothing"); /* it would tell of each client that is closed for what it owes */
    follow(server);
    storm_prepare(&storm);
    int64_t limit = measure_before(probes);
    bool has_grown = true;
    for (int round = 0; round < ROUNDS || has_grown; round++) {
        if (round == ROUNDS_MOST)
            fail_msg("each round takes more memory than the one before (seed %llu)",
                     (unsigned long long)storm.seed);
        play_round(admin, probes, limit, milliseconds / 4, round + 1);
        the_limit_is_where_it_is_said_to_be(admin);
        calm(admin);
        /* What scripts leave behind is collected now and then, and bounded; its test is script_test's. */
        in_use[round] = info_number(admin, "used_memory") - info_number(admin, "used_memory_lua");
        has_grown = round > 0 && in_use[round] > in_use[round - 1] + GROWTH_MOST;
        print_message("# %lld bytes are in use\n", (long long)in_use[round]);
    }
    for (uint32_t i = 0; i < WORKERS; i++) wire_close(&probes[i].wire);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
    is_storm_left = false;
}

/* Told to end in the midst of it, which is where whoever waits for something is in the way. */
static void a_server_ends_in_time_whatever_clients_do(void **state) {
    (void)state;
    static struct actor actors[ACTORS];
    if (is_storm_left) skip();
    int64_t until = now_us() + seconds() * 1000000 / 4, longest = 0;
    int lives = 0;
    choose();
    do {
        struct server *server = server_start(options);
        redisContext *admin = server_connect(server);
        ask(admin, "CONFIG SET loglevel nothing");
        redisFree(admin);
        follow(server);
        storm.seed += 1000;
        storm_prepare(&storm);
        storm_begin(&storm, actors, ACTORS);
        pass_ms(LIFE_MS);
        int64_t told = now_us();
        int status = server_stop(server);
        int64_t took = now_us() - told;
        storm_end(&storm, actors, ACTORS);
        if (status != 0)
            fail_msg("the server ended with status %d (seed %llu)", status, (unsigned long long)storm.seed);
        if (took > END_US)
            fail_msg("the server took %.1f s to end (seed %llu)", (double)took / 1e6,
                     (unsigned long long)storm.seed);
        if (took > longest) longest = took;
        lives++;
    } while (now_us() < until);
    print_message("# %d lives; the longest end took %.1f s\n", lives, (double)longest / 1e6);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    cmocka_set_test_filter(getenv("STRESS_TEST"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_are_served_and_nothing_is_kept_whatever_clients_do),
        cmocka_unit_test(a_server_ends_in_time_whatever_clients_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
