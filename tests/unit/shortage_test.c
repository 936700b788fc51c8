/* Commands while memory is short: with the n-th allocation failing, for every n until the command has none
 * left to fail, a reply is whole, or an error, or known to be broken, by which the client is closed; it is
 * never a part of the answer that looks like all of it. */
#include "tests/engine.h"

#include "server/command/command_table.h"
#include "server/commands/commands.h"
#include "server/config/config.h"

#define NOW 1000000
#define WORDS_MOST 2048

/* ------------------------------------------------------------------ allocations that fail (see the
 * Makefile) */

static _Thread_local int64_t left = -1; /* allocations until the one that fails; below 0: none does */
static _Thread_local bool has_failed;

static _Thread_local bool is_all_gone; /* none succeeds */

static bool fails(void) {
    if (is_all_gone) return true;
    if (left < 0 || left-- > 0) return false;
    has_failed = true;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_realloc(memory, size);
}

/* ------------------------------------------------------------------ running commands */

static struct keyspace *keyspace;
static struct lane *lane;
static struct session session = {.protocol = 2, .is_authenticated = true};

/* Runs a row's function with every shard, its n-th allocation failing (below 0: none). */
static void run_words(struct bulk *words, uint32_t count, int64_t failing, struct reply *reply) {
    static uint32_t positions[WORDS_MOST];
    static struct key keys[WORDS_MOST];
    const struct command *command;
    struct call call = {.arguments = words,
                        .count = count,
                        .keys = keys,
                        .protocol = 2,
                        .now = NOW,
                        .session = &session,
                        .keyspace = keyspace};
    if (!command_check(words, count, &command, reply)) fail_msg("%.*s", (int)reply->length, reply->data);
    int found = command_find_keys(command, words, count, positions, NULL, WORDS_MOST);
    call.command = command;
    call.key_count = found < 0 ? 0 : (uint32_t)found;
    for (uint32_t i = 0; i < call.key_count; i++)
        keys[i] = keyspace_key(keyspace, 0, words[positions[i]].data, words[positions[i]].length);
    gate_close_waiting(lane);
    if (command->plain != NULL) {
        left = failing;
        command->plain(&call, reply);
    } else if (command->read != NULL) {
        struct read_scope scope;
        scope_all_read(&scope, lane, NOW);
        left = failing;
        command->read(&scope, &call, reply);
        left = -1;
        scope_end_read(&scope);
    } else {
        struct write_scope scope;
        scope_all(&scope, lane, NOW);
        left = failing;
        command->write(&scope, &call, reply);
        left = -1;
        scope_end_write(&scope);
    }
    left = -1;
    gate_open(lane);
}

static void run(const char *line, int64_t failing, struct reply *reply) {
    static char text[65536];
    static struct bulk words[WORDS_MOST];
    uint32_t count = 0;
    assert_true(strlen(line) < sizeof text);
    strcpy(text, line);
    for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest)) != NULL;)
        words[count++] = (struct bulk){.data = word, .length = strlen(word)};
    reply_init(reply, 2);
    has_failed = false;
    run_words(words, count, failing, reply);
}

static void prepare(const char *line) {
    struct reply reply;
    run(line, -1, &reply);
    if (reply.length == 0 || reply.data[0] == '-') fail_msg("%s: %.*s", line, (int)reply.length, reply.data);
    reply_free(&reply);
}

/* "<command> <key> " and so many elements, each a number behind a prefix and before a suffix; pairs: each
 * behind a number of its own. */
static void fill(const char *command, const char *key, const char *prefix, int from, int to, bool has_pairs) {
    char line[65536];
    int length = snprintf(line, sizeof line, "%s %s", command, key);
    for (int i = from; i < to; i++) {
        if (has_pairs) length += snprintf(line + length, sizeof line - (size_t)length, " %d", i);
        length += snprintf(line + length, sizeof line - (size_t)length, " %s%d", prefix, i);
    }
    prepare(line);
}

static int open_keyspace(void **state) {
    char *options[] = {(char *)(uintptr_t)"latchkey"};
    (void)state;
    commands_register();
    assert_true(config_load(1, options));
    keyspace = keyspace_with(16, 2, 11);
    lane = lane_attach(keyspace);
    return 0;
}

static int close_keyspace(void **state) {
    (void)state;
    lane_detach(lane);
    keyspace_close(keyspace);
    return 0;
}

static int fill_keyspace(void **state) {
    (void)state;
    prepare("FLUSHALL");
    keyspace_reclaim(lane);
    fill("SADD", "s", "member:", 0, 300, false);
    fill("SADD", "t", "member:", 150, 400, false);
    fill("SADD", "u", "member:", 200, 500, false);
    fill("SADD", "numbers", "", 0, 300, false);
    fill("SADD", "few", "m", 0, 20, false);
    fill("HSET", "h", "value:", 0, 300, true);
    fill("HSET", "hfew", "v", 0, 20, true);
    fill("ZADD", "z", "member:", 0, 300, true);
    fill("ZADD", "y", "member:", 150, 400, true);
    fill("ZADD", "zfew", "m", 0, 20, true);
    fill("RPUSH", "l", "element:", 0, 500, false);
    prepare("GEOADD g 13.36 38.11 a 15.08 37.50 b 2.35 48.85 c 4.83 45.76 d");
    prepare("SET v ohmytext");
    prepare("SET w mynewtext");
    fill("PFADD", "p", "x", 0, 500, false);
    fill("PFADD", "q", "x", 400, 900, false);
    for (int i = 1; i <= 60; i++) {
        char line[64];
        snprintf(line, sizeof line, "XADD stream %d-1 field value:%d", i, i);
        prepare(line);
    }
    prepare("XGROUP CREATE stream group 0");
    prepare("XREADGROUP GROUP group one COUNT 20 STREAMS stream >");
    return 0;
}

/* ------------------------------------------------------------------ what must hold */

static bool is_out_of_memory(const struct reply *reply) {
    return reply->length > 4 &&
           (memcmp(reply->data, "-OOM", 4) == 0 ||
            memcmp(reply->data, "-ERR Insufficient memory", 24) == 0) &&
           memchr(reply->data, '\n', reply->length) == reply->data + reply->length - 1;
}

/* The same, but perhaps in another order: where a table could not grow its members stand elsewhere. */
static bool is_same(const struct reply *one, const struct reply *other) {
    uint64_t sum = 0;
    if (one->length != other->length) return false;
    for (size_t i = 0; i < one->length; i++)
        sum += (uint64_t)(unsigned char)one->data[i] - (uint64_t)(unsigned char)other->data[i];
    return sum == 0;
}

static int wrong;

static void check_every_allocation(const char *line) {
    struct reply whole, reply;
    run(line, -1, &whole);
    if (whole.length == 0 || whole.data[0] == '-') fail_msg("%s: %.*s", line, (int)whole.length, whole.data);
    for (int64_t failing = 0;; failing++) {
        run(line, failing, &reply);
        bool is_fine = reply.is_broken || is_out_of_memory(&reply) || is_same(&reply, &whole),
             was_last = !has_failed;
        if (!is_fine) {
            print_error("%s, allocation %d fails: %.*s\n", line, (int)failing,
                        (int)(reply.length < 200 ? reply.length : 200), reply.data);
            wrong++;
            was_last = true;
        }
        reply_free(&reply);
        if (was_last) break;
    }
    reply_free(&whole);
}

static void a_read_replies_all_or_an_error(void **state) {
    static const char *const lines[] = {
        "SUNION s t u",
        "SUNION numbers s t",
        "SDIFF s t",
        "SINTER s t",
        "SINTER s t u",
        "SINTERCARD 2 s t",
        "SMEMBERS s",
        "SMISMEMBER s a b member:1",
        "SSCAN s 0 COUNT 100",
        "SSCAN few 0",
        "HGETALL h",
        "HKEYS h",
        "HVALS h",
        "HMGET h 1 2 3",
        "HSCAN h 0 COUNT 100",
        "HSCAN hfew 0",
        "ZRANGE z 0 -1",
        "ZRANGE z 0 -1 WITHSCORES",
        "ZRANGE z 1 500 BYSCORE LIMIT 3 100",
        "ZREVRANGE z 0 100",
        "ZRANGEBYSCORE z 1 300",
        "ZUNION 2 z y",
        "ZUNION 2 z y WITHSCORES",
        "ZINTER 2 z y WITHSCORES",
        "ZINTERCARD 2 z y",
        "ZDIFF 2 z y",
        "ZDIFF 2 z y WITHSCORES",
        "ZUNION 3 s t z WEIGHTS 1 2 3",
        "ZMSCORE z a member:1",
        "ZSCAN z 0 COUNT 100",
        "ZSCAN zfew 0",
        "LRANGE l 0 -1",
        "LPOS l element:5 COUNT 0",
        "LINDEX l 5",
        "SORT_RO l ALPHA",
        "SORT_RO l ALPHA DESC LIMIT 10 500",
        "SORT_RO numbers",
        "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 5000 km ASC WITHDIST",
        "GEOSEARCH g FROMMEMBER a BYBOX 5000 5000 km WITHCOORD COUNT 3",
        "GEORADIUS_RO g 15 37 5000 km WITHHASH DESC",
        "GEOHASH g a b",
        "GEOPOS g a b",
        "XRANGE stream - +",
        "XREVRANGE stream + - COUNT 10",
        "XREAD COUNT 10 STREAMS stream 0",
        "XINFO STREAM stream",
        "XINFO STREAM stream FULL",
        "XINFO GROUPS stream",
        "XINFO CONSUMERS stream group",
        "XPENDING stream group",
        "XPENDING stream group - + 100",
        "LCS v w",
        "LCS v w LEN",
        "LCS v w IDX WITHMATCHLEN",
        "MGET v w x",
        "GETRANGE v 0 3",
        "STRLEN v",
        "BITCOUNT v",
        "BITFIELD_RO v GET u8 0 GET i5 3",
        "PFCOUNT p q",
        "PFCOUNT p",
        "COMMAND",
        "COMMAND DOCS",
        "COMMAND LIST",
        "COMMAND LIST FILTERBY PATTERN x*",
        "COMMAND GETKEYS MSET a 1 b 2",
        "COMMAND GETKEYSANDFLAGS GET a",
        "COMMAND INFO get set",
        "OBJECT HELP",
        "OBJECT ENCODING s",
        "MEMORY USAGE s",
        "MEMORY USAGE l SAMPLES 0",
        "DEBUG DIGEST",
        "DEBUG DIGEST-VALUE s h z l",
        "DEBUG OBJECT s",
        "CONFIG GET *",
        "LATENCY HELP",
        "LATENCY DOCTOR",
        "EXISTS a b c v",
        "TOUCH v w",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) check_every_allocation(lines[i]);
    assert_int_equal(wrong, 0);
}

/* How many elements a reply of bulks says that it has, and really has. */
static void check_count(const char *line, struct reply *reply) {
    reply_raw(reply, "", 1);
    long said = strtol(reply->data + 1, NULL, 10), found = 0;
    for (size_t i = 0; i + 1 < reply->length; i++)
        found += reply->data[i] == '\n' && reply->data[i + 1] == '$';
    if (reply->data[0] == '*' && said != found)
        fail_msg("%s: %ld elements announced, %ld there", line, said, found);
}

static void a_draw_has_as_many_elements_as_it_says(void **state) {
    static const char *const lines[] = {
        "LOLWUT",
        "SRANDMEMBER s",
        "SRANDMEMBER s 5",
        "SRANDMEMBER s 200",
        "SRANDMEMBER s -200",
        "HRANDFIELD h 5",
        "HRANDFIELD h 200 WITHVALUES",
        "HRANDFIELD h -200",
        "ZRANDMEMBER z 5",
        "ZRANDMEMBER z 200 WITHSCORES",
        "ZRANDMEMBER z -200",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        bool was_last = false;
        for (int64_t failing = 0; !was_last; failing++) {
            struct reply reply;
            run(lines[i], failing, &reply);
            was_last = !has_failed;
            if (!reply.is_broken && !is_out_of_memory(&reply)) check_count(lines[i], &reply);
            reply_free(&reply);
        }
    }
}

static int64_t number(const char *line) {
    struct reply reply;
    run(line, -1, &reply);
    reply_raw(&reply, "", 1);
    int64_t value = strtoll(reply.data + 1, NULL, 10);
    reply_free(&reply);
    return value;
}

/* Checks that each member of a reply is gone from the set; without a reply none need be. */
static void check_gone(const char *key, struct reply *reply) {
    reply_raw(reply, "", 1);
    for (const char *at = reply->data;
         (at = memchr(at, '$', (size_t)(reply->data + reply->length - at))) != NULL;) {
        char line[128], *text;
        long length = strtol(at + 1, &text, 10);
        snprintf(line, sizeof line, "SISMEMBER %s %.*s", key, (int)length, text + 2);
        assert_int_equal(number(line), 0);
        at = text + 2 + length;
    }
}

static void what_spop_replies_is_gone(void **state) {
    static const char *const lines[][3] = {
        {"SPOP s", "s", "SCARD s"},          {"SPOP s 100", "s", "SCARD s"},
        {"SPOP few 5", "few", "SCARD few"},  {"SPOP numbers 7", "numbers", "SCARD numbers"},
        {"SPOP long", "long", "SCARD long"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        bool was_last = false;
        for (int64_t failing = 0; !was_last; failing++) {
            struct reply reply;
            fill_keyspace(NULL);
            fill("SADD", "long",
                 "a-member-that-is-too-long-for-any-buffer-on-the-stack-a-member-that-is-too-long-"
                 "for-any-buffer-on-the-stack-a-member-that-is-too-long-for-any-buffer-on-the-"
                 "stack-",
                 0, 10, false);
            int64_t before = number(lines[i][2]);
            run(lines[i][0], failing, &reply);
            was_last = !has_failed;
            if (is_out_of_memory(&reply)) {
                assert_int_equal(number(lines[i][2]), before);
            } else if (!reply.is_broken) {
                check_count(lines[i][0], &reply);
                check_gone(lines[i][1], &reply);
            }
            reply_free(&reply);
        }
    }
}

struct pop {
    const char *line, *count;
    int64_t popped;
};

static void a_pop_takes_what_it_replies_or_nothing(void **state) {
    static const struct pop pops[] = {
        {"SPOP s", "SCARD s", 1},
        {"SPOP s 100", "SCARD s", 100},
        {"SPOP s 1000", "SCARD s", 300},
        {"LPOP l", "LLEN l", 1},
        {"RPOP l 100", "LLEN l", 100},
        {"LMPOP 1 l LEFT COUNT 50", "LLEN l", 50},
        {"ZPOPMIN z", "ZCARD z", 1},
        {"ZPOPMAX z 50", "ZCARD z", 50},
        {"ZMPOP 1 z MIN COUNT 50", "ZCARD z", 50},
        {"GETDEL v", "EXISTS v", 1},
        {"LMOVE l l2 LEFT LEFT", "LLEN l", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pops / sizeof pops[0]; i++) {
        bool was_last = false;
        for (int64_t failing = 0; !was_last; failing++) {
            struct reply reply;
            fill_keyspace(NULL);
            int64_t before = number(pops[i].count);
            run(pops[i].line, failing, &reply);
            was_last = !has_failed;
            int64_t taken = before - number(pops[i].count),
                    expected = is_out_of_memory(&reply) ? 0 : pops[i].popped;
            if (!reply.is_broken && taken != expected)
                fail_msg("%s, allocation %d fails: %d taken, %.*s", pops[i].line, (int)failing, (int)taken,
                         (int)reply.length, reply.data);
            reply_free(&reply);
        }
    }
}

static int freed;

static void count_freed(void *memory) {
    freed++;
    free(memory);
}

static void what_is_retired_without_memory_for_the_list_is_freed_all_the_same(void **state) {
    void *objects[380];
    (void)state;
    lane_retire(lane, malloc(16), 16, NULL);
    for (int round = 0; round < 3; round++) {
        freed = 0;
        keyspace_reclaim(lane);
        for (size_t i = 0; i < 380; i++) objects[i] = malloc(16);
        int64_t spent = atomic_load(&lane->account->spent);
        is_all_gone = true;
        for (size_t i = 0; i < 380; i++) lane_retire(lane, objects[i], 16, count_freed);
        is_all_gone = false;
        assert_int_equal(atomic_load(&lane->account->spent), spent + 380 * 16);
        assert_int_equal(freed, 0);
        keyspace_reclaim(lane);
        assert_int_equal(freed, 380);
        assert_int_equal(atomic_load(&lane->account->spent), spent);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_read_replies_all_or_an_error, fill_keyspace),
        cmocka_unit_test_setup(a_draw_has_as_many_elements_as_it_says, fill_keyspace),
        cmocka_unit_test_setup(what_spop_replies_is_gone, fill_keyspace),
        cmocka_unit_test_setup(a_pop_takes_what_it_replies_or_nothing, fill_keyspace),
        cmocka_unit_test(what_is_retired_without_memory_for_the_list_is_freed_all_the_same),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
