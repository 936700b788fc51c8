/* What tests/oom can't see of a moment without memory: whether what a draw replies is what it took, and what
 * becomes of memory that is retired then. */
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

/* A set of so many members, each a number behind a prefix. */
static void fill(const char *key, const char *prefix, int count) {
    char line[65536];
    int length = snprintf(line, sizeof line, "SADD %s", key);
    for (int i = 0; i < count; i++)
        length += snprintf(line + length, sizeof line - (size_t)length, " %s%d", prefix, i);
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
    fill("s", "member:", 300);
    fill("numbers", "", 300);
    fill("few", "m", 20);
    return 0;
}

/* ------------------------------------------------------------------ what must hold */

static bool is_out_of_memory(const struct reply *reply) {
    return reply->length > 4 &&
           (memcmp(reply->data, "-OOM", 4) == 0 ||
            memcmp(reply->data, "-ERR Insufficient memory", 24) == 0) &&
           memchr(reply->data, '\n', reply->length) == reply->data + reply->length - 1;
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
            fill("long",
                 "a-member-that-is-too-long-for-any-buffer-on-the-stack-a-member-that-is-too-long-"
                 "for-any-buffer-on-the-stack-a-member-that-is-too-long-for-any-buffer-on-the-"
                 "stack-",
                 10);
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
        cmocka_unit_test_setup(what_spop_replies_is_gone, fill_keyspace),
        cmocka_unit_test(what_is_retired_without_memory_for_the_list_is_freed_all_the_same),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
