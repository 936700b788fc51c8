/* Memory runs out anywhere: for each case (cases.h), in each state, the n-th allocation of the command
 * fails, for every n until the command has none left to fail; and again so that all behind it fail, too.
 * Whichever it is, the reply is a whole one and the right one, or says that there was no memory, or is
 * known to be broken, by which the client is closed; with -OOM nothing has changed, else the command has
 * done all that it does; and what is counted is what is there.
 *
 * SHARE=20 tries about one of 20 failures, drawn by SEED. CASE=text tries those cases that have it in
 * them. */
#include "tests/engine.h"

#include "answers.h"
#include "cases.h"
#include "digest.h"
#include "failing.h"
#include "server/command/command_table.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "shard/scope/undo.h"
#include "shard/value/value.h"

#define NOW 1000000
#define WORDS_MOST 4096
#define LINE_MOST 65536
#define PACKED_ENTRIES 64 /* cases.c knows */

static struct keyspace *keyspace;
static struct lane *lane;
static struct session session = {.protocol = 2, .is_authenticated = true};
static uint64_t chance, share = 1;
static bool was_tried[4096]; /* by a row's id */

/* ------------------------------------------------------------------ running commands */

struct attempt {
    int64_t after; /* below 0: nothing fails */
    enum failing how;
    bool has_failed;
    struct write_scope *within; /* a scope of all shards; NULL: one of its own */
    struct reply reply;
};

static void begin(const struct attempt *attempt) {
    if (attempt->after >= 0) failing_begin(attempt->after, attempt->how);
}

static void end(struct attempt *attempt) {
    if (attempt->after >= 0) attempt->has_failed = failing_end();
}

static void run_walk(const struct command *command, const struct call *call, struct attempt *attempt) {
    struct walk walk = {0};
    struct read_scope scope;
    reply_init(&walk.items, 2);
    begin(attempt);
    command->walk(NULL, call, &walk, &attempt->reply);
    scope_all_read(&scope, lane, NOW);
    while (!walk.is_done && attempt->reply.length == 0 && !attempt->reply.is_broken)
        command->walk(&scope, call, &walk, &attempt->reply);
    end(attempt);
    scope_end_read(&scope);
    reply_free(&walk.items);
}

static void call_function(const struct command *command, const struct call *call, struct attempt *attempt) {
    struct reply *reply = &attempt->reply;
    gate_close_waiting(lane);
    if (command->plain != NULL) {
        begin(attempt);
        command->plain(call, reply);
        end(attempt);
    } else if (command->walk != NULL) {
        run_walk(command, call, attempt);
    } else if (command->read != NULL) {
        struct read_scope scope;
        scope_all_read(&scope, lane, NOW);
        begin(attempt);
        command->read(&scope, call, reply);
        end(attempt);
        scope_end_read(&scope);
    } else {
        struct write_scope scope;
        scope_all(&scope, lane, NOW);
        begin(attempt);
        command->write(&scope, call, reply);
        end(attempt);
        scope_end_write(&scope);
    }
    gate_open(lane);
}

/* Runs a row's function with every shard. */
static const struct command *run_words(struct bulk *words, uint32_t count, struct attempt *attempt) {
    static uint32_t positions[WORDS_MOST];
    static struct key keys[WORDS_MOST];
    const struct command *command;
    struct reply *reply = &attempt->reply;
    struct call call = {.arguments = words,
                        .count = count,
                        .keys = keys,
                        .protocol = 2,
                        .now = NOW,
                        .session = &session,
                        .keyspace = keyspace};
    reply_init(reply, 2);
    attempt->has_failed = false;
    if (!command_check(words, count, &command, reply)) fail_msg("%.*s", (int)reply->length, reply->data);
    int found = command_find_keys(command, words, count, positions, NULL, WORDS_MOST);
    call.command = command;
    call.key_count = found < 0 ? 0 : (uint32_t)found;
    for (uint32_t i = 0; i < call.key_count; i++)
        keys[i] = keyspace_key(keyspace, 0, words[positions[i]].data, words[positions[i]].length);
    if (attempt->within == NULL)
        call_function(command, &call, attempt);
    else if (command->write != NULL)
        command->write(attempt->within, &call, reply);
    return command;
}

/* "@" becomes the state's name and ":". */
static const struct command *run(const char *line, enum fullness state, struct attempt *attempt) {
    static char text[LINE_MOST];
    static struct bulk words[WORDS_MOST];
    uint32_t count = 0;
    size_t length = 0;
    for (const char *at = line; *at != '\0'; at++) {
        assert_true(length + 16 < sizeof text);
        if (*at == '@')
            length += (size_t)snprintf(text + length, 16, "%s:", state_names[state]);
        else
            text[length++] = *at;
    }
    text[length] = '\0';
    for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest)) != NULL;)
        words[count++] = (struct bulk){.data = word, .length = strlen(word)};
    return run_words(words, count, attempt);
}

/* ------------------------------------------------------------------ states */

static void prepare(enum fullness state, const char *line) {
    struct attempt attempt = {.after = -1};
    run(line, state, &attempt);
    if (attempt.reply.length == 0 || attempt.reply.data[0] == '-')
        fail_msg("%s: %.*s", line, (int)attempt.reply.length, attempt.reply.data);
    reply_free(&attempt.reply);
}

/* The command's arguments from number `from` on: each made of the format, which has a "%d" or two. */
static void fill(enum fullness state, const char *command, const char *format, int from, int to) {
    static char line[LINE_MOST];
    int length = snprintf(line, sizeof line, "%s", command);
    for (int i = from; i < to; i++) {
        line[length++] = ' ';
        length += snprintf(line + length, sizeof line - (size_t)length, format, i, i);
    }
    prepare(state, line);
}

static void fill_stream(enum fullness state, int count) {
    char line[128];
    for (int i = 1; i <= count; i++) {
        snprintf(line, sizeof line, "XADD @x %d-1 field value:%d", i, i);
        prepare(state, line);
    }
    prepare(state, "XGROUP CREATE @x group 0");
    snprintf(line, sizeof line, "XREADGROUP GROUP group one COUNT %d STREAMS @x >", count / 2 + 1);
    prepare(state, line);
    prepare(state, "XREADGROUP GROUP group two COUNT 1 STREAMS @x >");
    /* Another one, of whose pending entries some are gone. */
    for (int i = 1; i <= 5; i++) prepare(state, "XADD @k * field value");
    prepare(state, "XGROUP CREATE @k group 0");
    prepare(state, "XREADGROUP GROUP group one COUNT 3 STREAMS @k >");
    prepare(state, "XDEL @k 1000-1");
}

#define GROWN 300

static void build(enum fullness state) {
    int count = state_elements[state];
    prepare(state, "FLUSHALL");
    keyspace_reclaim(lane);
    fill(state, "HSET @h number 1", "field:%d value:%d", 0, count - 1);
    fill(state, "SADD @e", "member:%d", 0, count);
    fill(state, "SADD @f", "member:%d", count / 2, count / 2 + count);
    fill(state, "SADD @n", "%d", 0, count);
    fill(state, "ZADD @z", "%d member:%d", 0, count);
    fill(state, "ZADD @y", "%d member:%d", count / 2, count / 2 + count);
    fill(state, "RPUSH @l same", "element:%d", 1, count - 1);
    prepare(state, "RPUSH @l same");
    fill(state, "RPUSH @m", "element:%d", 0, count);
    prepare(state, "GEOADD @g 13.36 38.11 a 15.08 37.50 b 2.35 48.85 c 4.83 45.76 d");
    if (state != STATE_SMALL) fill(state, "GEOADD @g", "13.%d 38.1 place:%d", 0, count - 4);
    prepare(state, "SET @t ohmytext");
    prepare(state, "SET @i 12");
    prepare(state, "SET @d mynewtext EX 100");
    prepare(state, "SET @b start");
    for (int i = 0; i < (state == STATE_SMALL ? 3 : GROWN); i++) prepare(state, "APPEND @b somethingmore");
    fill(state, "PFADD @p", "x%d", 0, count);
    fill(state, "PFADD @q", "x%d", count / 2, 2 * count);
    prepare(state, "MSET @w1 3 @w2 2 @v1 one @v2 two");
    fill_stream(state, count);
    prepare(state, "SWAPDB 0 1");
    prepare(state, "SET @t inanother");
    prepare(state, "RPUSH @x other");
    prepare(state, "SWAPDB 0 1");
}

/* ------------------------------------------------------------------ replies */

/* The same, but perhaps in another order: where a table could not grow its members stand elsewhere. */
static bool is_same(const struct reply *one, const struct reply *other) {
    uint64_t sum = 0;
    if (one->length != other->length) return false;
    for (size_t i = 0; i < one->length; i++)
        sum += (uint64_t)(unsigned char)one->data[i] - (uint64_t)(unsigned char)other->data[i];
    return sum == 0;
}

/* ------------------------------------------------------------------ what must hold */

struct effect {
    bool is_drawn;   /* by chance */
    bool is_hint;    /* what it changes needn't be */
    bool is_reading; /* it changes nothing, which is looked at when all is tried */
    uint64_t before, after;
    struct reply whole;
};

/* What is wrong, or NULL. */
static const char *judge(const struct effect *expected, const struct reply *reply, uint64_t digest) {
    bool is_before = digest == expected->before, is_after = digest == expected->after;
    bool is_either = is_before || is_after || expected->is_drawn;
    if (reply->is_broken) return is_either ? NULL : "half done, and not answered";
    if (!is_whole(reply)) return "no whole reply";
    if (is_out_of_memory(reply->data, reply->length))
        return is_before ? NULL : "it says that it had no memory, and has changed something";
    if (expected->is_drawn) return NULL;
    if (!is_same(reply, &expected->whole)) return "another reply";
    return is_after || (expected->is_hint && is_before) ? NULL : "it says that it is done, and is not";
}

static int wrong, tried;

static bool try_one(const char *line, enum fullness state, const struct effect *expected, int64_t after,
                    enum failing how) {
    struct attempt attempt = {.after = after, .how = how};
    run(line, state, &attempt);
    uint64_t digest = expected->is_reading ? expected->before : digest_of(lane);
    if (!expected->is_reading) check_accounting(lane);
    const char *what = judge(expected, &attempt.reply, digest);
    tried++;
    if (what != NULL) {
        print_error("%s, %s; allocation %d%s fails: %s: %.*s\n", line, state_names[state], (int)after,
                    how == FAIL_ONE ? "" : " and all behind it", what,
                    (int)(attempt.reply.length < 100 ? attempt.reply.length : 100), attempt.reply.data);
        wrong++;
    }
    reply_free(&attempt.reply);
    if (digest != expected->before) build(state);
    return attempt.has_failed && what == NULL;
}

static void try_all(const char *line, enum fullness state, const struct effect *expected, enum failing how) {
    int64_t after = (int64_t)random_below(&chance, share);
    while (try_one(line, state, expected, after, how))
        after += 1 + (int64_t)random_below(&chance, 2 * share - 1);
}

static void try_case(const char *line, enum fullness state) {
    struct effect expected = {.is_drawn = *line == '?', .is_hint = *line == '~'};
    struct attempt attempt = {.after = -1};
    if (expected.is_drawn || expected.is_hint) line++;
    expected.before = digest_of(lane);
    const struct command *row = run(line, state, &attempt);
    was_tried[row->id] = true;
    expected.after = digest_of(lane);
    expected.whole = attempt.reply;
    expected.is_reading = row->write == NULL;
    if (expected.after != expected.before) build(state);
    if (digest_of(lane) != expected.before) fail_msg("%s: the state is another one each time", line);
    for (enum failing how = FAIL_ONE; how <= FAIL_ALL_FROM; how++) try_all(line, state, &expected, how);
    assert_true(digest_of(lane) == expected.before);
    reply_free(&expected.whole);
}

static void a_command_does_all_or_nothing(void **unused) {
    const char *wanted = getenv("CASE");
    (void)unused;
    wrong = tried = 0;
    for (enum fullness state = 0; state < STATE_COUNT; state++) {
        build(state);
        for (size_t i = 0; i < case_count; i++)
            if (wanted == NULL || strstr(cases[i], wanted) != NULL) try_case(cases[i], state);
    }
    print_message("%d failures of an allocation\n", tried);
    assert_int_equal(wrong, 0);
}

static bool is_left_out(const char *name) {
    for (size_t i = 0; i < left_out_count; i++)
        if (strcmp(name, left_out[i]) == 0) return true;
    return false;
}

/* A new command without one isn't forgotten. */
static void every_command_on_keys_has_a_case(void **unused) {
    int missing = 0;
    (void)unused;
    if (getenv("CASE") != NULL) skip();
    for (uint32_t id = 0; id < command_table_count(); id++) {
        const struct command *row = command_by_id(id);
        if (row == NULL || (row->read == NULL && row->write == NULL && row->walk == NULL)) continue;
        if (was_tried[id] || is_left_out(row->full_name)) continue;
        print_error("tests/oom/cases.c has no case for %s\n", row->full_name);
        missing++;
    }
    assert_int_equal(missing, 0);
}

/* ------------------------------------------------------------------ taking back */

/* Whole databases come and go for good. */
static bool can_be_taken_back(const char *line) {
    return strncmp(line, "FLUSH", 5) != 0 && strncmp(line, "SWAPDB", 6) != 0;
}

static void run_within(struct write_scope *scope, const char *line, enum fullness state) {
    struct attempt attempt = {.after = -1, .within = scope};
    if (getenv("SHOW") != NULL) print_message("  %s\n", line);
    run(*line == '?' || *line == '~' ? line + 1 : line, state, &attempt);
    reply_free(&attempt.reply);
}

static void check_taken_back(enum fullness state, uint64_t before, const char *what) {
    check_accounting(lane);
    if (digest_of(lane) == before) return;
    print_error("%s, %s: is not as before\n", what, state_names[state]);
    wrong++;
    build(state);
}

static void what_any_command_does_can_be_taken_back(void **unused) {
    const char *wanted = getenv("CASE");
    (void)unused;
    wrong = 0;
    for (enum fullness state = 0; state < STATE_COUNT; state++) {
        build(state);
        uint64_t before = digest_of(lane);
        for (size_t i = 0; i < case_count; i++) {
            struct write_scope scope;
            struct undo undo;
            if (!can_be_taken_back(cases[i])) continue;
            if (wanted != NULL && strstr(cases[i], wanted) == NULL) continue;
            gate_close_waiting(lane);
            scope_all(&scope, lane, NOW);
            undo_begin(&undo, &scope);
            run_within(&scope, cases[i], state);
            assert_true(undo_is_able(&undo));
            undo_back(&undo);
            assert_int_equal(scope.scope.changes, 0);
            scope_end_write(&scope);
            gate_open(lane);
            check_taken_back(state, before, cases[i]);
        }
    }
    assert_int_equal(wrong, 0);
}

#define SEQUENCES SCALED(1500, 300)
#define SEQUENCE_MOST 8

/* As a script does that starts again; and in it, others that do. What the inner ones end stays in the
 * outer one's hands. */
static void run_some(struct write_scope *scope, enum fullness state, int depth) {
    struct undo undo;
    undo_begin(&undo, scope);
    for (uint64_t left = 1 + random_below(&chance, SEQUENCE_MOST); left > 0; left--) {
        const char *line = cases[random_below(&chance, case_count)];
        if (can_be_taken_back(line)) run_within(scope, line, state);
        if (depth < 2 && random_below(&chance, 4) == 0) run_some(scope, state, depth + 1);
    }
    assert_true(undo_is_able(&undo));
    undo_conclude(&undo, depth > 0 && random_below(&chance, 2) == 0);
}

static void any_row_of_commands_can_be_taken_back(void **unused) {
    (void)unused;
    if (getenv("CASE") != NULL) skip();
    wrong = 0;
    for (int i = 0; i < SEQUENCES && wrong == 0; i++) {
        enum fullness state = (enum fullness)(i * STATE_COUNT / SEQUENCES);
        struct write_scope scope;
        if (i == 0 || state != (enum fullness)((i - 1) * STATE_COUNT / SEQUENCES)) build(state);
        uint64_t before = digest_of(lane);
        gate_close_waiting(lane);
        scope_all(&scope, lane, NOW);
        run_some(&scope, state, 0);
        scope_end_write(&scope);
        gate_open(lane);
        check_taken_back(state, before, "a row of commands");
    }
    assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------------------ tables */

/* Of one shard, so that its table spills, links further buckets, grows and moves. */
static void a_table_that_gets_no_memory_stays_right(void **unused) {
    char line[64];
    (void)unused;
    prepare(STATE_SMALL, "FLUSHALL");
    keyspace_reclaim(lane);
    wrong = 0;
    for (int i = 0; i < 700; i++) {
        uint64_t before = digest_of(lane);
        for (enum failing how = FAIL_ONE; how <= FAIL_ALL_FROM; how++) {
            int64_t after = 0;
            for (bool goes_on = true; goes_on; after++) {
                struct attempt attempt = {.after = after, .how = how};
                snprintf(line, sizeof line, "SET key:%d value", i);
                run(line, STATE_SMALL, &attempt);
                goes_on = attempt.has_failed;
                bool is_oom = is_out_of_memory(attempt.reply.data, attempt.reply.length);
                if (is_oom) assert_true(digest_of(lane) == before);
                reply_free(&attempt.reply);
                if (is_oom) continue;
                attempt = (struct attempt){.after = 0, .how = FAIL_ALL_FROM};
                snprintf(line, sizeof line, "DEL key:%d", i);
                run(line, STATE_SMALL, &attempt);
                reply_free(&attempt.reply);
                assert_true(digest_of(lane) == before);
            }
        }
        check_accounting(lane);
        snprintf(line, sizeof line, "SET key:%d value", i);
        prepare(STATE_SMALL, line);
    }
    prepare(STATE_SMALL, "FLUSHALL");
    keyspace_reclaim(lane);
}

static int open_keyspace(void **state) {
    char *options[] = {(char *)(uintptr_t)"latchkey"};
    (void)state;
    commands_register();
    assert_true(config_load(1, options));
    value_limits.hash_listpack_entries = PACKED_ENTRIES;
    value_limits.set_intset_entries = PACKED_ENTRIES;
    value_limits.set_listpack_entries = PACKED_ENTRIES;
    value_limits.zset_listpack_entries = PACKED_ENTRIES;
    value_limits.list_listpack_size = PACKED_ENTRIES;
    value_limits.stream_node_entries = PACKED_ENTRIES / 4;
    chance = seed_take();
    if (getenv("SHARE") != NULL) share = strtoull(getenv("SHARE"), NULL, 10);
    keyspace = keyspace_with(1, 2, 11);
    lane = lane_attach(keyspace);
    return 0;
}

static int close_keyspace(void **state) {
    (void)state;
    lane_detach(lane);
    keyspace_close(keyspace);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_does_all_or_nothing),
        cmocka_unit_test(every_command_on_keys_has_a_case),
        cmocka_unit_test(what_any_command_does_can_be_taken_back),
        cmocka_unit_test(any_row_of_commands_can_be_taken_back),
        cmocka_unit_test(a_table_that_gets_no_memory_stays_right),
    };
    if (getenv("TEST") != NULL) cmocka_set_test_filter(getenv("TEST"));
    alarm(1800);
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
