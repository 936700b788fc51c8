/* server/script/texts.h, libraries.h, dump.h, shebang.h: what all workers know of scripts and functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/script/dump.h"
#include "server/script/libraries.h"
#include "server/script/shebang.h"
#include "server/script/texts.h"

/* Two workers. */
#define MOST ((size_t)16 << 20) /* that a state may take */

static struct script_state *states[2];
static struct script_cache *caches[2];
static struct library_shelf *shelves[2];
static char error[256];

static enum script_verdict turn(void *context) {
    (void)context;
    return SCRIPT_GOES_ON;
}

static const struct script_host host = {.turn = turn};
static const struct script_run host_run = {.host = &host, .name = "f", .is_function = true};

static int begin(void **context) {
    (void)context;
    for (int i = 0; i < 2; i++) {
        states[i] = script_state_create(MOST, 1);
        caches[i] = script_cache_create(states[i]);
        shelves[i] = library_shelf_create(states[i]);
        assert_non_null(shelves[i]);
    }
    return 0;
}

static int end(void **context) {
    (void)context;
    texts_flush();
    libraries_flush();
    for (int i = 0; i < 2; i++) {
        script_cache_free(caches[i]);
        library_shelf_free(shelves[i]);
        script_state_free(states[i]);
    }
    return 0;
}

static struct script_text *add(int worker, const char *text, bool is_loaded, int64_t now) {
    return script_cache_add(caches[worker], text, strlen(text), is_loaded, now, error, sizeof error);
}

static const char *sha_of(const char *text) {
    static char sha[SHA_LENGTH + 1];
    assert_true(texts_sha(sha, text, strlen(text)));
    return sha;
}

/* ------------------------------------------------------------------ scripts */

/* The moment in which two add the same: the second is about to make its text. */
static const char *_Atomic meanwhile; /* what worker 0 adds then, once; or NULL */
bool __real_shebang_read_script(const char *text, size_t length, uint32_t *flags, size_t *begin, char *why,
                                size_t why_size);
bool __wrap_shebang_read_script(const char *text, size_t length, uint32_t *flags, size_t *begin, char *why,
                                size_t why_size);

bool __wrap_shebang_read_script(const char *text, size_t length, uint32_t *flags, size_t *begin, char *why,
                                size_t why_size) {
    const char *added = atomic_exchange(&meanwhile, NULL);
    if (added != NULL) assert_non_null(add(0, added, false, 1));
    return __real_shebang_read_script(text, length, flags, begin, why, why_size);
}

static void a_script_that_two_add_at_once_is_forgotten_by_both(void **context) {
    (void)context;
    meanwhile = "return 'twice'";
    struct script_text *own = add(1, "return 'twice'", true, 1);
    assert_non_null(own);
    assert_int_not_equal(script_cache_function(caches[1], own, error, sizeof error),
                         0); /* it runs this once */
    struct script_text *known = script_cache_find(caches[0], sha_of("return 'twice'"), 1);
    assert_non_null(known);
    assert_ptr_not_equal(known, own);
    assert_int_equal(texts_count(), 1);
    assert_ptr_equal(script_cache_find(caches[1], sha_of("return 'twice'"), 1), known);
    meanwhile = "return 'again'";
    assert_non_null(add(1, "return 'again'", false, 1));
    texts_flush();
    for (int i = 0; i < 2; i++) {
        assert_null(script_cache_find(caches[i], sha_of("return 'twice'"), 1));
        assert_null(script_cache_find(caches[i], sha_of("return 'again'"), 1));
    }
    assert_int_equal(texts_count(), 0);
    assert_int_equal(texts_bytes(), 0);
}

static void a_script_is_known_to_all_workers_until_it_is_flushed(void **context) {
    (void)context;
    struct script_text *text = add(0, "return 1", false, 1);
    assert_non_null(text);
    assert_string_equal(texts_name(text), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    assert_true(texts_has("e0e1f9fabfc9d4800c877a703b823ac0578ff8db"));
    struct script_text *other = script_cache_find(caches[1], "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", 1);
    assert_ptr_equal(other, text);
    assert_int_not_equal(script_cache_function(caches[1], other, error, sizeof error), 0);
    assert_int_equal(texts_count(), 1);
    texts_flush();
    assert_null(script_cache_find(caches[0], sha_of("return 1"), 2));
    assert_null(script_cache_find(caches[1], sha_of("return 1"), 2));
    assert_int_equal(texts_count(), 0);
    assert_int_equal(texts_bytes(), 0);
    assert_non_null(add(1, "return 1", false, 3));
    assert_non_null(script_cache_find(caches[0], sha_of("return 1"), 3));
}

static void of_scripts_that_came_by_eval_the_least_used_goes(void **context) {
    (void)context;
    char text[64];
    add(0, "return 'loaded'", true, 0);
    add(0, "return 'first'", false, 0);
    add(0, "return 'used'", false, 0);
    add(0, "return 'loaded later'", false, 0);
    add(0, "return 'loaded later'", true, 0);
    for (int i = 2; i < TEXTS_BY_EVAL; i++) {
        snprintf(text, sizeof text, "return %d", i);
        add(0, text, false, i);
    }
    assert_non_null(script_cache_find(caches[1], sha_of("return 'first'"), 0));
    assert_non_null(script_cache_find(caches[1], sha_of("return 'used'"), TEXTS_BY_EVAL));
    add(0, "return 'one more'", false, TEXTS_BY_EVAL);
    assert_int_equal(texts_count(), TEXTS_BY_EVAL + 2);
    assert_null(script_cache_find(caches[1], sha_of("return 'first'"), TEXTS_BY_EVAL));
    assert_non_null(script_cache_find(caches[1], sha_of("return 'used'"), TEXTS_BY_EVAL));
    assert_non_null(script_cache_find(caches[1], sha_of("return 'loaded'"), TEXTS_BY_EVAL));
    assert_non_null(script_cache_find(caches[1], sha_of("return 'loaded later'"), TEXTS_BY_EVAL));
}

/* Bytes of a state when all that nothing refers to any more has been collected, as it is when a run begins
 * with more than there may be. */
static size_t bytes_collected(struct script_state *state, int function) {
    struct reply reply;
    reply_init(&reply, 2);
    script_state_limit(state, 1);
    assert_int_equal(script_run(state, function, &host_run, &reply), SCRIPT_DONE);
    script_state_limit(state, MOST);
    reply_free(&reply);
    return script_state_bytes(state);
}

/* What a worker has compiled of scripts that are forgotten is let go, at the latest when there is somewhat
 * more than twice as much as of those that are known: it doesn't grow with every EVAL. */
static void scripts_that_are_gone_leave_a_workers_memory(void **context) {
    (void)context;
    char text[64];
    struct script_text *added = add(0, "return 1", true, 0);
    int function = script_cache_function(caches[0], added, error, sizeof error);
    size_t empty = bytes_collected(states[0], function), known = 0;
    for (int i = 0; i < 8000; i++) {
        snprintf(text, sizeof text, "local a = {%d} return a", i);
        assert_non_null(add(0, text, false, i));
        if (i == TEXTS_BY_EVAL - 1) known = bytes_collected(states[0], function) - empty;
    }
    assert_in_range(bytes_collected(states[0], function), 0, empty + 2 * known + known / 4);
}

/* However few they are, texts that came by EVAL only are bounded, and what is forgotten is let go. */
static void long_scripts_leave_when_they_are_much(void **context) {
    (void)context;
    size_t length = (8 << 20) - 4096;
    char *text = malloc(length + 1), sha[SHA_LENGTH + 1];
    assert_non_null(text);
    for (int i = 0; i < 12; i++) {
        memset(text, ' ', length);
        text[length] = '\0';
        text[snprintf(text, length, "return %d", i)] = ' ';
        assert_non_null(script_cache_add(caches[0], text, length, false, i, error, sizeof error));
        if (i == 0) texts_sha(sha, text, length);
        assert_in_range(texts_bytes(), 1, TEXTS_BY_EVAL_BYTES);
    }
    assert_int_equal(texts_count(), 8);
    assert_null(script_cache_find(caches[1], sha, 12));
    assert_true(script_cache_tidy(caches[0]));
    assert_false(script_cache_tidy(caches[0]));
    assert_false(script_cache_is_compiled(caches[0], sha));
    texts_sha(sha, text, length);
    assert_true(script_cache_is_compiled(caches[0], sha));
    assert_false(script_cache_is_compiled(caches[1], sha));
    texts_flush();
    assert_false(script_cache_is_compiled(caches[0], sha));
    assert_true(script_cache_tidy(caches[0]));
    assert_false(script_cache_tidy(caches[1]));
    free(text);
}

static void a_script_that_is_none_is_not_kept(void **context) {
    (void)context;
    assert_null(add(0, "x = = 1", true, 0));
    assert_string_equal(error,
                        "Error compiling script (new function): user_script:1: unexpected symbol near '='");
    assert_null(add(0, "#!lua flags=x\nreturn 1", true, 0));
    assert_string_equal(error, "Unexpected flag in script shebang: x");
    assert_int_equal(texts_count(), 0);
    assert_false(texts_has(sha_of("x = = 1")));
}

static void a_first_line_tells_flags(void **context) {
    (void)context;
    static const struct {
        const char *text, *error;
        uint32_t flags;
    } lines[] = {
        {"return 1", NULL, SCRIPT_SAYS_NOTHING},
        {"#!lua\nreturn 1", NULL, 0},
        {"#!lua flags=no-writes,allow-oom flags=allow-stale\n", NULL,
         SCRIPT_NO_WRITES | SCRIPT_ALLOW_OOM | SCRIPT_ALLOW_STALE},
        {"#!lua flags=allow-cross-slot-keys\n", NULL, SCRIPT_ALLOW_CROSS_SLOT_KEYS},
        {"#!lua flags=no-writes", "Invalid script shebang", 0},
        {"#!lua \"flags=no-writes\n", "Invalid engine in script shebang", 0},
        {"#!lu x\n", "Unexpected engine in script shebang: #!lu", 0},
        {"#!lua bar=x\n", "Unknown lua shebang option: bar=x", 0},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        uint32_t flags;
        size_t at;
        bool is_read =
            shebang_read_script(lines[i].text, strlen(lines[i].text), &flags, &at, error, sizeof error);
        assert_int_equal(is_read, lines[i].error == NULL);
        if (is_read)
            assert_int_equal(flags, lines[i].flags);
        else
            assert_string_equal(error, lines[i].error);
    }
}

static atomic_bool is_over;

static void *flush_often(void *argument) {
    (void)argument;
    while (!atomic_load(&is_over)) texts_flush();
    return NULL;
}

static void *find_often(void *argument) {
    struct script_cache *cache = argument;
    char text[64], why[256];
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "return %d", i % 50);
        assert_non_null(script_cache_add(cache, text, strlen(text), i % 3 == 0, i, why, sizeof why));
    }
    return NULL;
}

static void scripts_come_and_go_beside_each_other(void **context) {
    (void)context;
    pthread_t threads[3];
    atomic_store(&is_over, false);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, find_often, caches[i]), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, flush_often, NULL), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    atomic_store(&is_over, true);
    pthread_join(threads[2], NULL);
    texts_flush();
    assert_int_equal(texts_count(), 0);
    assert_int_equal(texts_bytes(), 0);
}

/* ------------------------------------------------------------------ libraries */

static const char *load(int worker, const char *code, bool replaces) {
    const char *name;
    size_t length;
    return library_load(shelves[worker], code, strlen(code), replaces, &host_run, &name, &length, error,
                        sizeof error);
}

/* What a function answers on a worker, or what is wrong. */
static const char *call(int worker, const char *name) {
    static char answer[256];
    struct library_place place;
    if (!library_find(shelves[worker], name, strlen(name), true, &host_run, &place, error, sizeof error))
        return "none";
    if (place.function == 0) return error;
    struct reply reply;
    reply_init(&reply, 2);
    assert_int_equal(script_run(states[worker], place.function, &host_run, &reply), SCRIPT_DONE);
    snprintf(answer, sizeof answer, "%.*s", (int)reply.length, reply.data);
    reply_free(&reply);
    return answer;
}

static const char *counting =
    "#!lua name=counting\nlocal n = 0\n"
    "redis.register_function('count', function() n = n + 1 return n end)\n"
    "redis.register_function{function_name = 'tell', callback = function() return n end,"
    " flags = {'no-writes'}, description = 'tells'}";

static void a_function_is_everybodys_and_its_locals_a_workers(void **context) {
    (void)context;
    assert_null(load(0, counting, false));
    assert_string_equal(call(0, "count"), ":1\r\n");
    assert_string_equal(call(0, "count"), ":2\r\n");
    assert_string_equal(call(1, "count"), ":1\r\n");
    assert_string_equal(call(1, "nothing"), "none");
    const struct library_set *set = libraries_hold();
    assert_int_equal(set->library_count, 1);
    assert_int_equal(set->function_count, 2);
    assert_string_equal(set->libraries[0]->functions[1].description, "tells");
    assert_int_equal(set->libraries[0]->functions[1].flags, SCRIPT_NO_WRITES);
    libraries_let_go(set);
}

/* As what a transaction has found before it runs any of it. */
static void what_is_held_runs_though_it_has_been_forgotten(void **context) {
    static const char *const name = "count";
    char answer[32];
    struct library_place place;
    struct reply reply;
    (void)context;
    struct script_text *text = add(0, "return 1", false, 1);
    int function = script_cache_function(caches[0], text, error, sizeof error);
    struct compiled *compiled = script_cache_hold(caches[0], text);
    assert_null(load(1, counting, false));
    assert_true(library_find(shelves[0], name, strlen(name), true, &host_run, &place, error, sizeof error));
    library_shelf_hold(place.shelved);
    texts_flush();
    libraries_flush();
    assert_null(script_cache_find(caches[0], sha_of("return 1"), 2));
    assert_string_equal(call(0, name), "none");
    assert_non_null(add(0, "return 2", false, 3)); /* it would have its number now */
    const int functions[] = {function, place.function};
    for (int i = 0; i < 2; i++) {
        reply_init(&reply, 2);
        assert_int_equal(script_run(states[0], functions[i], &host_run, &reply), SCRIPT_DONE);
        snprintf(answer, sizeof answer, "%.*s", (int)reply.length, reply.data);
        assert_string_equal(answer, ":1\r\n");
        reply_free(&reply);
    }
    assert_string_equal(texts_name(text), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    assert_string_equal(place.name, name);
    script_cache_let_go(caches[0], compiled);
    library_shelf_let_go(shelves[0], place.shelved);
}

static void a_library_is_replaced_deleted_and_flushed_everywhere(void **context) {
    (void)context;
    assert_null(load(0, counting, false));
    assert_string_equal(call(1, "count"), ":1\r\n");
    assert_string_equal(load(1, counting, false), "Library 'counting' already exists");
    assert_null(
        load(1, "#!lua name=counting\nredis.register_function('count', function() return 'new' end)", true));
    assert_string_equal(call(0, "count"), "$3\r\nnew\r\n");
    assert_string_equal(call(0, "tell"), "none");
    assert_string_equal(load(0, "#!lua name=other\nredis.register_function('count', function() end)", false),
                        "Function count already exists");
    assert_string_equal(libraries_delete("other", 5), "Library not found");
    assert_null(libraries_delete("counting", 8));
    assert_string_equal(call(0, "count"), "none");
    assert_null(load(0, counting, false));
    libraries_flush();
    assert_string_equal(call(0, "count"), "none");
    assert_string_equal(call(1, "count"), "none");
}

/* Under ASan, which knows where the code ends. */
static void code_need_not_end_with_a_zero_byte(void **context) {
    (void)context;
    const char *name;
    size_t name_length, length = strlen(counting);
    char *code = malloc(length);
    assert_non_null(code);
    memcpy(code, counting, length);
    assert_null(
        library_load(shelves[0], code, length, false, &host_run, &name, &name_length, error, sizeof error));
    assert_int_equal(name_length, strlen("counting"));
    assert_string_equal(call(1, "count"), ":1\r\n");
    free(code);
}

static void a_function_is_found_by_its_name_in_any_case(void **context) {
    (void)context;
    assert_null(load(0, "#!lua name=one\nredis.register_function('Tell', function() return 1 end)", false));
    assert_string_equal(call(0, "tell"), ":1\r\n");
    assert_string_equal(call(1, "TELL"), ":1\r\n");
    assert_string_equal(call(1, "tells"), "none");
    assert_string_equal(call(1, "tel"), "none");
    assert_string_equal(load(0, "#!lua name=ONE\nredis.register_function('tell', function() end)", false),
                        "Function tell already exists");
    assert_string_equal(load(0,
                             "#!lua name=two\nredis.register_function('a', function() end) "
                             "redis.register_function('A', function() end)",
                             false),
                        "Error registering functions: ERR Function already exists in the library");
}

static void a_number_is_a_text_where_a_function_is_named(void **context) {
    (void)context;
    assert_null(load(0, "#!lua name=one\nredis.register_function(1, function() return 1 end)", false));
    assert_null(load(0,
                     "#!lua name=two\nredis.register_function{function_name = 2, description = 0.5, "
                     "callback = function() return 2 end}",
                     false));
    assert_string_equal(call(0, "1"), ":1\r\n");
    assert_string_equal(call(1, "2"), ":2\r\n");
    const struct library_set *set = libraries_hold();
    assert_string_equal(set->libraries[1]->functions[0].description, "0.5");
    libraries_let_go(set);
}

static void a_library_that_is_none_is_refused(void **context) {
    (void)context;
    static const struct {
        const char *code, *error;
    } wrong[] = {
        {"return 1", "Missing library metadata"},
        {"#!lua", "Invalid library metadata"},
        {"#!lua\n", "Library name was not given"},
        {"#!lua nam=x\n", "Invalid metadata value given: nam=x"},
        {"#!lua name=a name=b\n", "Invalid metadata value, name argument was given multiple times"},
        {"#!lua name=a-b\n", SHEBANG_BAD_NAME},
        {"#!js name=a\n", "Engine 'js' not found"},
        {"#!lua name=a\nreturn 1", "No functions registered"},
        {"#!lua name=a\nx y", "Error compiling function: user_function:2: '=' expected near 'y'"},
        {"#!lua name=a\nredis.register_function('a-b', function() end)",
         "Error registering functions: ERR " SHEBANG_BAD_NAME},
        {"#!lua name=a\nredis.register_function('a', function() end) redis.register_function('a', function() "
         "end)",
         "Error registering functions: ERR Function already exists in the library"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_string_equal(load(0, wrong[i].code, false), wrong[i].error);
    const struct library_set *set = libraries_hold();
    assert_int_equal(set->library_count, 0);
    libraries_let_go(set);
}

static char *dump(size_t *length) {
    const struct library_set *set = libraries_hold();
    char *payload = dump_write(set, length);
    libraries_let_go(set);
    assert_non_null(payload);
    return payload;
}

static const char *restore(int worker, const char *payload, size_t length, enum library_policy policy) {
    return library_restore(shelves[worker], payload, length, policy, &host_run, error, sizeof error);
}

static void a_dump_is_restored(void **context) {
    (void)context;
    size_t length;
    assert_null(load(0, counting, false));
    assert_null(
        load(0, "#!lua name=other\nredis.register_function('other', function() return 1 end)", false));
    char *payload = dump(&length);
    assert_string_equal(restore(1, payload, length, LIBRARY_APPEND), "Library counting already exists");
    assert_null(restore(1, payload, length, LIBRARY_REPLACE));
    libraries_flush();
    assert_null(
        load(0, "#!lua name=third\nredis.register_function('third', function() return 1 end)", false));
    assert_null(restore(1, payload, length, LIBRARY_APPEND));
    assert_string_equal(call(0, "other"), ":1\r\n");
    assert_string_equal(call(0, "third"), ":1\r\n");
    assert_null(restore(1, payload, length, LIBRARY_FLUSH));
    assert_string_equal(call(0, "third"), "none");
    assert_string_equal(call(1, "count"), ":1\r\n");
    payload[length / 2] ^= 1;
    assert_string_equal(restore(1, payload, length, LIBRARY_FLUSH),
                        "DUMP payload version or checksum are wrong");
    assert_string_equal(restore(1, "", 0, LIBRARY_FLUSH), "DUMP payload version or checksum are wrong");
    free(payload);
}

/* As redis-server 7.0 wrote it, packed. */
static const char others[] =
    "\xf5\xc3\x40\x4c\x40\x84\x1f\x23\x21\x6c\x75\x61\x20\x6e\x61\x6d\x65\x3d\x6c\x69\x62\x0a\x72\x65"
    "\x64\x69\x73\x2e\x72\x65\x67\x69\x73\x74\x65\x72\x5f\x66\x75\x08\x6e\x63\x74\x69\x6f\x6e\x28\x22"
    "\x61\xe0\x06\x00\x02\x22\x2c\x20\xe0\x00\x1c\x08\x29\x20\x72\x65\x74\x75\x72\x6e\x20\xe0\x08\x25"
    "\xe0\x17\x00\x05\x22\x20\x65\x6e\x64\x29\x0a\x00\x06\xe7\xbb\x77\xfe\x29\xf9\x03";

static void a_dump_of_redis_is_restored(void **context) {
    (void)context;
    assert_int_equal(dump_crc64(0, "123456789", 9), 0xe9c6d914c4b8d9ca);
    assert_null(restore(0, others, sizeof others - 1, LIBRARY_APPEND));
    assert_string_equal(call(1, "aaaaaaaaaaaaaaaa"),
                        "$48\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
}

/* Whatever the bytes before a right end are, they are refused or restored, and read no further. */
static void a_payload_that_was_made_up_is_refused(void **context) {
    (void)context;
    for (unsigned seed = 0; seed < 20000; seed++) {
        unsigned drawn = seed;
        size_t length = seed % 24;
        unsigned char *payload = malloc(length + 10);
        assert_non_null(payload);
        for (size_t i = 0; i < length; i++) payload[i] = (unsigned char)rand_r(&drawn);
        if (length > 0) payload[0] = 245;
        if (length > 1 && seed % 3 == 0) payload[1] = 0xc3;
        payload[length] = 11;
        payload[length + 1] = 0;
        uint64_t crc = dump_crc64(0, payload, length + 2);
        for (int i = 0; i < 8; i++) payload[length + 2 + (size_t)i] = (unsigned char)(crc >> 8 * i);
        const char *wrong = restore(0, (char *)payload, length + 10, LIBRARY_FLUSH);
        assert_int_equal(wrong == NULL, length == 0);
        free(payload);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_script_is_known_to_all_workers_until_it_is_flushed),
        TEST(a_script_that_two_add_at_once_is_forgotten_by_both),
        TEST(of_scripts_that_came_by_eval_the_least_used_goes),
        TEST(scripts_that_are_gone_leave_a_workers_memory),
        TEST(long_scripts_leave_when_they_are_much),
        TEST(a_script_that_is_none_is_not_kept),
        TEST(a_first_line_tells_flags),
        TEST(scripts_come_and_go_beside_each_other),
        TEST(a_function_is_everybodys_and_its_locals_a_workers),
        TEST(what_is_held_runs_though_it_has_been_forgotten),
        TEST(a_library_is_replaced_deleted_and_flushed_everywhere),
        TEST(code_need_not_end_with_a_zero_byte),
        TEST(a_function_is_found_by_its_name_in_any_case),
        TEST(a_number_is_a_text_where_a_function_is_named),
        TEST(a_library_that_is_none_is_refused),
        TEST(a_dump_is_restored),
        TEST(a_dump_of_redis_is_restored),
        TEST(a_payload_that_was_made_up_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
