/* tests/history.c: small histories whose verdict is plain, thousands whose verdict is found by
 * trying every order, and a long one. */
#include "tests/history.h"
#include "tests/engine.h"

#define A 1
#define B 2

/* ------------------------------------------------------------------ small ones, by hand */

struct line {
    size_t client;
    int64_t invoked, returned;
    struct operation operation;
};

static const char *const names[HISTORY_KEYS] = {"a", "b", "c", "d"};

static struct operation one(enum operation_kind kind, uint8_t keys, int64_t argument, int64_t result) {
    return (struct operation){.kind = (uint8_t)kind, .keys = keys, .argument = argument, .result = result};
}

static struct operation get(uint8_t key, int64_t result) {
    return one(OPERATION_GET, key, 0, result);
}

static struct operation set(uint8_t key, int64_t argument) {
    return one(OPERATION_SET, key, argument, 0);
}

static struct operation mget(int64_t a, int64_t b) {
    return (struct operation){.kind = OPERATION_MGET, .keys = A | B, .values = {a, b}};
}

static struct operation rename_to(uint8_t key, uint8_t target, int64_t result) {
    return (struct operation){.kind = OPERATION_RENAME, .keys = key, .target = target, .result = result};
}

/* Several at one moment. */
#define EXEC(...)                                                                                            \
    ((struct operation){.kind = OPERATION_TRANSACTION,                                                       \
                        .keys = A,                                                                           \
                        .argument = sizeof((struct operation[]){__VA_ARGS__}) / sizeof(struct operation),    \
                        .steps = (struct operation[]){__VA_ARGS__}})

static void add_lines(struct history *history, const struct line *lines, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct operation operation = lines[i].operation;
        operation.invoked = lines[i].invoked;
        operation.returned = lines[i].returned;
        history_add(history, lines[i].client, &operation);
    }
}

/* What the checker says of it; its message goes to *text if that isn't NULL. */
static enum verdict verdict_of(const struct line *lines, size_t count, char **text) {
    char *message = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&message, &length);
    struct history *history = history_open(names, 2, 4, 64);
    add_lines(history, lines, count);
    enum verdict verdict = history_check(history, out);
    fclose(out);
    assert_int_equal(length == 0, verdict == HISTORY_LINEARIZABLE);
    history_close(history);
    if (text != NULL)
        *text = message;
    else
        free(message);
    return verdict;
}

#define EXPECT(verdict, ...)                                                                                 \
    do {                                                                                                     \
        const struct line lines[] = {__VA_ARGS__};                                                           \
        assert_int_equal(verdict_of(lines, sizeof lines / sizeof lines[0], NULL), verdict);                  \
    } while (0)
#define EXPECT_GOOD(...) EXPECT(HISTORY_LINEARIZABLE, __VA_ARGS__)
#define EXPECT_BAD(...) EXPECT(HISTORY_VIOLATED, __VA_ARGS__)

static void what_overlaps_may_have_happened_in_either_order(void **state) {
    (void)state;
    for (int64_t seen = 1; seen <= 2; seen++)
        EXPECT_GOOD({0, 0, 10, set(A, 1)}, {1, 5, 15, set(A, 2)}, {2, 20, 30, get(A, seen)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 11, 15, set(A, 2)}, {2, 20, 30, get(A, 1)});
    /* In the same nanosecond is at the same time. */
    EXPECT_GOOD({0, 0, 10, set(A, 1)}, {1, 10, 15, set(A, 2)}, {2, 20, 30, get(A, 1)});
}

static void a_write_may_be_seen_before_it_is_answered_and_then_stays(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 100, set(A, 1)}, {1, 10, 20, get(A, HISTORY_ABSENT)}, {1, 30, 40, get(A, 1)});
    EXPECT_BAD({0, 0, 100, set(A, 1)}, {1, 10, 20, get(A, 1)}, {1, 30, 40, get(A, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 100, set(A, 1)}, {1, 10, 20, get(A, 1)}, {2, 30, 40, get(A, HISTORY_ABSENT)});
    EXPECT_GOOD({0, 0, 100, set(A, 1)}, {1, 10, 30, get(A, 1)}, {2, 30, 40, get(A, HISTORY_ABSENT)});
}

static void two_readers_agree_on_the_order_of_writes(void **state) {
    (void)state;
    EXPECT_BAD({0, 0, 100, set(A, 1)}, {1, 0, 100, set(A, 2)}, {2, 10, 20, get(A, 1)}, {2, 30, 40, get(A, 2)},
               {3, 10, 20, get(A, 2)}, {3, 30, 40, get(A, 1)});
    EXPECT_GOOD({0, 0, 100, set(A, 1)}, {1, 0, 100, set(A, 2)}, {2, 10, 20, get(A, 1)},
                {2, 30, 40, get(A, 2)}, {3, 10, 35, get(A, 1)}, {3, 35, 40, get(A, 2)});
}

static void what_nobody_wrote_is_not_read(void **state) {
    (void)state;
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 0, 20, get(A, 2)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 0, 20, get(A, HISTORY_GARBAGE)});
    EXPECT_BAD({0, 0, 10, get(A, 1)}, {0, 20, 30, set(A, 1)});
}

static void an_increment_is_not_lost(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 10, one(OPERATION_INCR, A, 0, 2)}, {1, 0, 10, one(OPERATION_INCR, A, 0, 1)},
                {2, 20, 30, get(A, 2)});
    EXPECT_BAD({0, 0, 10, one(OPERATION_INCR, A, 0, 1)}, {1, 0, 10, one(OPERATION_INCR, A, 0, 1)});
    EXPECT_BAD({0, 0, 10, one(OPERATION_INCR, A, 0, 1)}, {1, 20, 30, one(OPERATION_INCR, A, 0, 2)},
               {2, 40, 50, get(A, 1)});
    int64_t text = 5 << 16;
    EXPECT_GOOD({0, 0, 10, set(A, text)}, {1, 20, 30, one(OPERATION_INCR, A, 0, HISTORY_REFUSED)},
                {2, 40, 50, get(A, text)});
    EXPECT_BAD({0, 0, 10, set(A, text)}, {1, 20, 30, one(OPERATION_INCR, A, 0, text + 1)});
    EXPECT_BAD({0, 0, 10, set(A, 7)}, {1, 20, 30, one(OPERATION_INCR, A, 0, HISTORY_REFUSED)});
}

static void a_condition_holds_at_the_moment_of_the_write(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 10, one(OPERATION_SET_NX, A, 1, 1)}, {1, 0, 10, one(OPERATION_SET_NX, A, 2, 0)},
                {2, 20, 30, get(A, 1)});
    EXPECT_BAD({0, 0, 10, one(OPERATION_SET_NX, A, 1, 1)}, {1, 0, 10, one(OPERATION_SET_NX, A, 2, 1)});
    EXPECT_BAD({0, 0, 10, one(OPERATION_SET_NX, A, 1, 0)});
    EXPECT_GOOD({0, 0, 10, set(A, 1)}, {1, 5, 15, one(OPERATION_SET_XX, A, 2, 1)}, {1, 20, 30, get(A, 2)});
    EXPECT_GOOD({0, 0, 10, set(A, 1)}, {1, 5, 15, one(OPERATION_SET_XX, A, 2, 0)}, {1, 20, 30, get(A, 1)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 15, 20, one(OPERATION_SET_XX, A, 2, 0)});
    EXPECT_GOOD({0, 0, 10, set(A, 1)}, {1, 20, 30, one(OPERATION_SET_NX_GET, A, 2, 1)},
                {1, 40, 50, get(A, 1)});
    EXPECT_GOOD({1, 20, 30, one(OPERATION_SET_NX_GET, A, 2, HISTORY_ABSENT)}, {1, 40, 50, get(A, 2)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 20, 30, one(OPERATION_SET_NX_GET, A, 2, HISTORY_ABSENT)});
}

static void an_exchange_returns_each_value_once(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 10, set(A, 1)}, {1, 20, 30, one(OPERATION_SET_GET, A, 2, 1)},
                {2, 20, 30, one(OPERATION_SET_GET, A, 3, 2)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 20, 30, one(OPERATION_SET_GET, A, 2, 1)},
               {2, 20, 30, one(OPERATION_SET_GET, A, 3, 1)});
}

static void a_key_goes_once(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 10, set(A, 1)}, {1, 20, 30, one(OPERATION_DEL, A | B, 0, 1)},
                {2, 20, 30, one(OPERATION_EXPIRE, A, 0, 0)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 20, 30, one(OPERATION_DEL, A, 0, 1)},
               {2, 20, 30, one(OPERATION_DEL, A, 0, 1)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 20, 30, one(OPERATION_EXPIRE, A, 0, 1)}, {2, 40, 50, get(A, 1)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 20, 30, one(OPERATION_DEL, A, 0, 0)});
}

static void several_keys_are_written_and_read_as_one(void **state) {
    (void)state;
    struct operation both = one(OPERATION_MSET, A | B, 1, 0);
    EXPECT_GOOD({0, 0, 10, both}, {1, 5, 8, mget(HISTORY_ABSENT, HISTORY_ABSENT)}, {1, 9, 20, mget(1, 1)});
    EXPECT_BAD({0, 0, 10, both}, {1, 5, 8, mget(1, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 10, both}, {1, 2, 3, get(A, 1)}, {1, 4, 5, get(B, HISTORY_ABSENT)});
    EXPECT_GOOD({0, 0, 10, both}, {1, 0, 10, set(B, 2)}, {2, 20, 30, mget(1, 2)});
    EXPECT_BAD({0, 0, 10, both}, {1, 0, 10, set(B, 2)}, {2, 20, 30, mget(HISTORY_ABSENT, 2)});
}

static void a_transaction_happens_at_one_moment(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 100, EXEC(set(A, 1), set(B, 2), get(A, 1))}, {1, 0, 100, mget(1, 2)});
    EXPECT_GOOD({0, 0, 100, EXEC(set(A, 1), set(B, 2))}, {1, 0, 100, mget(HISTORY_ABSENT, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 100, EXEC(set(A, 1), set(B, 2))}, {1, 0, 100, mget(1, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 100, EXEC(set(A, 1), set(B, 2))}, {1, 10, 20, get(B, 2)},
               {1, 30, 40, get(A, HISTORY_ABSENT)});
    /* What is written and written over within it, nobody sees. */
    EXPECT_GOOD({0, 0, 100, EXEC(set(A, 1), get(A, 1), set(A, 2))}, {1, 0, 100, get(A, 2)});
    EXPECT_BAD({0, 0, 100, EXEC(set(A, 1), get(A, 1), set(A, 2))}, {1, 0, 100, get(A, 1)});
    /* Its answers are those of its own order. */
    EXPECT_BAD({0, 0, 100, EXEC(get(A, 1), set(A, 1))});
    EXPECT_GOOD({0, 0, 100, EXEC(one(OPERATION_INCR, A, 0, 1), one(OPERATION_INCR, A, 0, 2))});
    EXPECT_BAD({0, 0, 100, EXEC(one(OPERATION_INCR, A, 0, 1), one(OPERATION_INCR, A, 0, 3))});
    EXPECT_GOOD({0, 0, 100, EXEC(one(OPERATION_INCR, A, 0, 1), one(OPERATION_INCR, A, 0, 2))},
                {1, 0, 100, EXEC(one(OPERATION_INCR, A, 0, 3), one(OPERATION_DEL, A, 0, 1))},
                {2, 110, 120, EXEC(get(A, HISTORY_ABSENT), get(B, HISTORY_ABSENT))});
    /* One that was refused has done nothing. */
    EXPECT_GOOD({0, 0, 10, set(A, 1)}, {1, 0, 100, EXEC()}, {2, 20, 30, get(A, 1)});
}

/* Each reads what the other one writes over: in either order, the second would have read another value. */
static void transactions_that_each_miss_the_other_s_write_are_not_serializable(void **state) {
    (void)state;
    EXPECT_BAD({0, 0, 100, EXEC(get(A, HISTORY_ABSENT), set(B, 1))},
               {1, 0, 100, EXEC(get(B, HISTORY_ABSENT), set(A, 2))});
    EXPECT_GOOD({0, 0, 100, EXEC(get(A, HISTORY_ABSENT), set(B, 1))},
                {1, 0, 100, EXEC(get(B, 1), set(A, 2))});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {1, 20, 100, EXEC(get(A, 1), set(A, 2))},
               {2, 20, 100, EXEC(get(A, 1), set(A, 3))});
    /* Three, of which any two could have been. */
    EXPECT_BAD({0, 0, 100, EXEC(mget(HISTORY_ABSENT, HISTORY_ABSENT), set(A, 1))},
               {1, 0, 100, EXEC(get(B, HISTORY_ABSENT), get(A, 1), set(B, 2))},
               {2, 0, 100, EXEC(get(A, HISTORY_ABSENT), get(B, 2))});
}

static void a_transaction_is_shown_with_all_that_it_did(void **state) {
    char *text;
    (void)state;
    const struct line lines[] = {{0, 0, 10, set(A, 1)}, {1, 20, 30, EXEC(set(B, 1), get(A, 2))}};
    assert_int_equal(verdict_of(lines, 2, &text), HISTORY_VIOLATED);
    assert_non_null(strstr(text, "EXEC { SET b 1; GET a -> 2 }   <-- can't be\n"));
    free(text);
}

static void a_renamed_key_is_in_one_place(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 10, set(A, 1)}, {0, 20, 30, rename_to(A, 1, 1)}, {1, 25, 35, mget(HISTORY_ABSENT, 1)},
                {2, 22, 28, mget(1, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {0, 20, 30, rename_to(A, 1, 1)}, {1, 25, 35, mget(1, 1)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {0, 20, 30, rename_to(A, 1, 1)},
               {1, 25, 35, mget(HISTORY_ABSENT, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 10, set(A, 1)}, {0, 20, 30, rename_to(A, 1, 0)});
    EXPECT_BAD({0, 20, 30, rename_to(A, 1, 1)});
}

/* ------------------------------------------------------------------ lists and sets, by hand */

static struct operation to_target(enum operation_kind kind, uint8_t key, uint8_t target, int64_t argument,
                                  int64_t result) {
    struct operation operation = one(kind, key, argument, result);
    operation.target = target;
    return operation;
}

static struct operation rpush(uint8_t key, int64_t argument, int64_t length) {
    return one(OPERATION_RPUSH, key, argument, length);
}

static struct operation lpop(uint8_t key, int64_t element) {
    return one(OPERATION_LPOP, key, 0, element);
}

static void a_list_keeps_its_order(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 10, rpush(A, 1, 1)}, {0, 20, 30, rpush(A, 2, 2)},
                {0, 40, 50, one(OPERATION_LPUSH, A, 3, 3)}, {1, 60, 70, lpop(A, 3)},
                {1, 80, 90, one(OPERATION_RPOP, A, 0, 2)}, {1, 100, 110, lpop(A, 1)},
                {1, 120, 130, lpop(A, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {0, 20, 30, rpush(A, 2, 2)}, {1, 60, 70, lpop(A, 2)});
    EXPECT_GOOD({0, 0, 10, rpush(A, 1, 1)}, {1, 0, 10, rpush(A, 2, 2)}, {2, 20, 30, lpop(A, 1)});
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {1, 0, 10, rpush(A, 2, 2)}, {2, 20, 30, lpop(A, 2)});
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {1, 0, 10, rpush(A, 2, 1)}); /* one was lost */
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {1, 20, 30, lpop(A, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {1, 20, 30, one(OPERATION_DEL, A, 0, 1)}, {1, 40, 50, lpop(A, 1)});
}

static void an_element_is_popped_once(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 10, rpush(A, 1, 1)}, {1, 5, 50, lpop(A, 1)},
                {2, 5, 50, one(OPERATION_RPOP, A, 0, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {1, 5, 50, lpop(A, 1)}, {2, 5, 50, one(OPERATION_RPOP, A, 0, 1)});
    EXPECT_BAD({1, 5, 50, lpop(A, HISTORY_GARBAGE)});
}

static void a_moved_element_is_in_one_list(void **state) {
    (void)state;
    const struct operation move = to_target(OPERATION_LMOVE, A, 1, HISTORY_TO_END, 1);
    EXPECT_GOOD({0, 0, 10, rpush(A, 1, 1)}, {0, 20, 30, rpush(B, 2, 1)}, {1, 40, 50, move},
                {1, 60, 70, lpop(B, 2)}, {1, 80, 90, lpop(B, 1)}, {1, 100, 110, lpop(A, HISTORY_ABSENT)});
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {0, 20, 30, rpush(B, 2, 1)}, {1, 40, 50, move},
               {1, 60, 70, lpop(B, 1)});
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {1, 15, 50, move}, {2, 15, 50, lpop(A, 1)});
    EXPECT_BAD({0, 0, 10, rpush(A, 1, 1)}, {1, 20, 60, move}, {2, 25, 30, lpop(A, HISTORY_ABSENT)},
               {2, 35, 40, lpop(B, HISTORY_ABSENT)});
    EXPECT_GOOD({0, 0, 10, rpush(A, 1, 1)}, {0, 20, 30, rpush(A, 2, 2)},
                {1, 40, 50, to_target(OPERATION_LMOVE, A, 0, HISTORY_FROM_END, 2)}, {1, 60, 70, lpop(A, 2)});
    EXPECT_GOOD({1, 40, 50, to_target(OPERATION_LMOVE, A, 1, 0, HISTORY_ABSENT)},
                {1, 60, 70, lpop(B, HISTORY_ABSENT)});
}

static void a_set_has_a_member_once(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 10, one(OPERATION_SADD, A, 5, 1)}, {1, 0, 10, one(OPERATION_SADD, A, 5, 0)},
                {1, 20, 30, one(OPERATION_SISMEMBER, A, 5, 1)}, {2, 40, 50, one(OPERATION_SREM, A, 5, 1)},
                {2, 60, 70, one(OPERATION_SISMEMBER, A, 5, 0)});
    EXPECT_BAD({0, 0, 10, one(OPERATION_SADD, A, 5, 1)}, {1, 0, 10, one(OPERATION_SADD, A, 5, 1)});
    EXPECT_BAD({0, 0, 10, one(OPERATION_SADD, A, 5, 1)}, {1, 20, 30, one(OPERATION_SREM, A, 5, 0)});
    EXPECT_BAD({0, 0, 10, one(OPERATION_SADD, A, 5, 1)}, {1, 20, 30, one(OPERATION_SISMEMBER, A, 5, 0)});
}

static void what_a_set_gave_away_it_had_and_has_no_more(void **state) {
    (void)state;
    const struct line five = {0, 0, 10, one(OPERATION_SADD, A, 5, 1)},
                      six = {0, 20, 30, one(OPERATION_SADD, A, 6, 1)};
    for (int64_t drawn = 5; drawn <= 6; drawn++)
        EXPECT_GOOD(five, six, {1, 40, 50, one(OPERATION_SPOP, A, 0, drawn)},
                    {1, 60, 70, one(OPERATION_SISMEMBER, A, drawn, 0)},
                    {1, 80, 90, one(OPERATION_SPOP, A, 0, 11 - drawn)},
                    {1, 100, 110, one(OPERATION_SPOP, A, 0, HISTORY_ABSENT)});
    EXPECT_BAD(five, six, {1, 40, 50, one(OPERATION_SPOP, A, 0, 7)});
    EXPECT_BAD(five, {1, 40, 50, one(OPERATION_SPOP, A, 0, HISTORY_ABSENT)});
    EXPECT_BAD(five, {1, 20, 50, one(OPERATION_SPOP, A, 0, 5)}, {2, 20, 50, one(OPERATION_SPOP, A, 0, 5)});
}

static void a_moved_member_is_in_one_set(void **state) {
    (void)state;
    const struct line five = {0, 0, 10, one(OPERATION_SADD, A, 5, 1)};
    EXPECT_GOOD(five, {1, 20, 30, to_target(OPERATION_SMOVE, A, 1, 5, 1)},
                {1, 40, 50, one(OPERATION_SISMEMBER, B, 5, 1)},
                {1, 60, 70, one(OPERATION_SISMEMBER, A, 5, 0)});
    EXPECT_BAD(five, {1, 20, 60, to_target(OPERATION_SMOVE, A, 1, 5, 1)},
               {2, 25, 30, one(OPERATION_SISMEMBER, B, 5, 1)},
               {2, 40, 50, one(OPERATION_SISMEMBER, A, 5, 1)});
    EXPECT_BAD(five, {1, 20, 30, to_target(OPERATION_SMOVE, A, 1, 5, 0)});
    EXPECT_GOOD(five, {1, 20, 30, to_target(OPERATION_SMOVE, A, 1, 6, 0)},
                {1, 40, 50, one(OPERATION_SISMEMBER, B, 6, 0)});
}

static void what_a_list_or_set_held_is_shown(void **state) {
    (void)state;
    const struct line of_lists[] = {{0, 0, 10, rpush(A, 7, 1)},
                                    {0, 20, 30, rpush(A, 8, 2)},
                                    {0, 40, 50, to_target(OPERATION_LMOVE, A, 1, HISTORY_FROM_END, 7)}};
    const struct line of_sets[] = {{0, 0, 10, one(OPERATION_SADD, B, 8, 1)},
                                   {0, 20, 30, one(OPERATION_SMOVE, B, 9, 1)}};
    char *text;
    assert_int_equal(verdict_of(of_lists, 3, &text), HISTORY_VIOLATED);
    assert_non_null(strstr(text, "before: a=[7 8] b=(absent)\n"));
    assert_non_null(strstr(text, "LMOVE a b RIGHT LEFT -> 7   <-- can't be\n"));
    free(text);
    assert_int_equal(verdict_of(of_sets, 2, &text), HISTORY_VIOLATED);
    assert_non_null(strstr(text, "SMOVE b a 9 -> 1   <-- can't be\n"));
    free(text);
}

/* ------------------------------------------------------------------ pipelines */

static void a_pipeline_happens_in_its_order(void **state) {
    (void)state;
    EXPECT_GOOD({0, 0, 50, set(A, 1)}, {0, 0, 50, get(A, 1)}, {0, 0, 50, set(A, 2)}, {0, 0, 50, get(A, 2)});
    EXPECT_BAD({0, 0, 50, set(A, 1)}, {0, 0, 50, get(A, 2)}, {0, 0, 50, set(A, 2)}, {0, 0, 50, get(A, 2)});
    EXPECT_BAD({0, 0, 50, get(A, 1)}, {0, 0, 50, set(A, 1)});
    EXPECT_GOOD({0, 0, 50, get(A, 1)}, {1, 0, 50, set(A, 1)});
    /* The second read is right from the start, and happens when the first one has. */
    EXPECT_GOOD({0, 0, 50, get(A, 1)}, {0, 0, 60, get(A, HISTORY_ABSENT)}, {1, 0, 50, set(A, 1)},
                {2, 0, 60, one(OPERATION_DEL, A, 0, 1)});
    EXPECT_BAD({0, 0, 50, get(A, 1)}, {0, 0, 60, get(A, HISTORY_ABSENT)}, {1, 0, 50, set(A, 1)},
               {2, 70, 80, one(OPERATION_DEL, A, 0, 1)});
}

/* ------------------------------------------------------------------ from one check to the next */

static void what_may_be_is_remembered_from_check_to_check(void **state) {
    (void)state;
    const struct line first[] = {{0, 0, 10, set(A, 1)}, {1, 0, 10, set(A, 2)}},
                      either = {2, 20, 30, get(A, 2)}, other = {2, 40, 50, get(A, 1)};
    FILE *out = fopen("/dev/null", "w");
    struct history *history = history_open(names, 1, 4, 8);
    add_lines(history, first, 2);
    assert_int_equal(history_check(history, out), HISTORY_LINEARIZABLE);
    assert_int_equal(history_check(history, out), HISTORY_LINEARIZABLE); /* of nothing */
    add_lines(history, &either, 1);
    assert_int_equal(history_check(history, out), HISTORY_LINEARIZABLE);
    assert_int_equal(history_checked(history), 3);
    add_lines(history, &other, 1);
    assert_int_equal(history_check(history, out), HISTORY_VIOLATED);
    assert_int_equal(history_checked(history), 3);
    history_close(history);
    fclose(out);
}

static void the_smallest_window_is_shown(void **state) {
    (void)state;
    const struct line lines[] = {
        {0, 0, 10, set(A, 11)},    {1, 5, 15, set(B, 12)},    {2, 14, 25, get(A, 11)},
        {3, 24, 35, get(B, 12)},   {0, 34, 45, set(A, 13)},   {1, 44, 55, get(A, 13)},
        {2, 54, 65, set(A, 14)},   {3, 64, 1000, get(B, 12)}, {0, 100, 200, set(A, 15)},
        {1, 300, 400, set(B, 16)}, {2, 500, 600, get(A, 14)}, {1, 700, 800, set(B, 17)},
    };
    char *text;
    assert_int_equal(verdict_of(lines, sizeof lines / sizeof lines[0], &text), HISTORY_VIOLATED);
    assert_non_null(strstr(text, "not linearizable: a b\n"));
    assert_non_null(strstr(text, "SET a 15\n"));
    assert_non_null(strstr(text, "GET a -> 14   <-- can't be\n"));
    assert_non_null(strstr(text, "SET b 16\n"));    /* between the two */
    assert_non_null(strstr(text, "GET b -> 12\n")); /* under way */
    assert_null(strstr(text, "SET a 14"));
    assert_null(strstr(text, "before:"));
    assert_null(strstr(text, "SET b 17"));
    assert_null(strstr(text, "GET a -> 13"));
    free(text);
}

/* What can't be seen without the state is shown with it. */
static void a_window_that_needs_its_state_shows_it(void **state) {
    (void)state;
    const struct line lines[] = {{0, 0, 10, set(A, 1)}, {0, 20, 30, get(A, 1)}, {0, 40, 50, get(B, 5)}};
    char *text;
    assert_int_equal(verdict_of(lines, 3, &text), HISTORY_VIOLATED);
    assert_non_null(strstr(text, "before: a=1 b=(absent)\n"));
    assert_non_null(strstr(text, "GET b -> 5   <-- can't be\n"));
    free(text);
}

/* ------------------------------------------------------------------ many, by trying every order */

#define MOST 7

struct trial {
    struct line lines[MOST];
    size_t count;
};

static bool apply(struct operation *operation, int64_t *values, bool answers);

static bool apply_each(const struct operation *operation, int64_t *values, bool answers) {
    bool is_fine = true;
    for (int64_t i = 0; i < operation->argument; i++)
        is_fine = apply((struct operation *)(uintptr_t)&operation->steps[i], values, answers) && is_fine;
    return is_fine;
}

/* Applies an operation in the plainest way. Fills in the answer if it is to be had, else
 * compares. */
static bool apply(struct operation *operation, int64_t *values, bool answers) {
    struct operation answer = *operation;
    int64_t *value = &values[operation->keys == B ? 1 : 0], before = *value;
    if (operation->kind == OPERATION_TRANSACTION) return apply_each(operation, values, answers);
    memset(answer.values, 0, sizeof answer.values);
    switch (operation->kind) {
    case OPERATION_GET: answer.result = before; break;
    case OPERATION_SET: *value = operation->argument; break;
    case OPERATION_SET_NX:
        if ((answer.result = before == HISTORY_ABSENT) == 1) *value = operation->argument;
        break;
    case OPERATION_SET_XX:
        if ((answer.result = before != HISTORY_ABSENT) == 1) *value = operation->argument;
        break;
    case OPERATION_SET_GET:
        answer.result = before;
        *value = operation->argument;
        break;
    case OPERATION_SET_NX_GET:
        answer.result = before;
        if (before == HISTORY_ABSENT) *value = operation->argument;
        break;
    case OPERATION_INCR:
        if (before != HISTORY_ABSENT && before >> 16 == 5)
            answer.result = HISTORY_REFUSED;
        else
            answer.result = *value = before == HISTORY_ABSENT ? 1 : before + 1;
        break;
    case OPERATION_DEL:
    case OPERATION_EXPIRE:
        for (int i = 0; i < 2; i++) {
            if ((operation->keys >> i & 1) == 0) continue;
            answer.result += values[i] != HISTORY_ABSENT;
            values[i] = HISTORY_ABSENT;
        }
        break;
    case OPERATION_MSET: values[0] = values[1] = operation->argument; break;
    case OPERATION_MGET:
        answer.values[0] = values[0];
        answer.values[1] = values[1];
        break;
    case OPERATION_RENAME:
        answer.result = before != HISTORY_ABSENT;
        if (answer.result == 0) break;
        values[operation->target] = before;
        *value = HISTORY_ABSENT;
        break;
    default: CHECK(false);
    }
    if (answers) *operation = answer;
    return memcmp(operation->values, answer.values, sizeof answer.values) == 0;
}

/* The same for lists and sets. A list is a number whose digits, to the base of 16, are its elements,
 * the first one lowest; a set is a bit for each member. Both of 0 are absent. */
static int64_t list_length(int64_t list) {
    int64_t length = 0;
    for (; list != 0; list >>= 4) length++;
    return length;
}

static int64_t list_take(int64_t *list, bool is_at_end) {
    int64_t shift = is_at_end ? (list_length(*list) - 1) * 4 : 0, element;
    if (*list == 0) return HISTORY_ABSENT;
    element = *list >> shift & 15;
    *list = is_at_end ? *list & ~(INT64_C(15) << shift) : *list >> 4;
    return element;
}

static void list_put(int64_t *list, bool is_at_end, int64_t element) {
    *list = is_at_end ? *list | element << list_length(*list) * 4 : *list << 4 | element;
}

static bool apply_to_list(struct operation *operation, int64_t *lists, bool answers) {
    int64_t *list = &lists[operation->keys == B ? 1 : 0], result = 0;
    bool is_at_end = operation->kind == OPERATION_RPUSH || operation->kind == OPERATION_RPOP;
    switch (operation->kind) {
    case OPERATION_LPUSH:
    case OPERATION_RPUSH:
        list_put(list, is_at_end, operation->argument);
        result = list_length(*list);
        break;
    case OPERATION_LPOP:
    case OPERATION_RPOP: result = list_take(list, is_at_end); break;
    default:
        result = list_take(list, (operation->argument & HISTORY_FROM_END) != 0);
        if (result == HISTORY_ABSENT) break;
        list_put(&lists[operation->target], (operation->argument & HISTORY_TO_END) != 0, result);
    }
    if (answers) operation->result = result;
    return operation->result == result;
}

static bool apply_to_set(struct operation *operation, int64_t *sets, bool answers) {
    int64_t *set = &sets[operation->keys == B ? 1 : 0], member = 1 << operation->argument, result = 0;
    switch (operation->kind) {
    case OPERATION_SPOP: /* the lowest, if it isn't told */
        result = *set == 0 ? HISTORY_ABSENT : __builtin_ctzll((uint64_t)*set);
        if (!answers && *set != 0 && operation->result >= 0 && (*set >> operation->result & 1) != 0)
            result = operation->result;
        if (result != HISTORY_ABSENT) *set &= ~(INT64_C(1) << result);
        break;
    case OPERATION_SADD:
        result = (*set & member) == 0;
        *set |= member;
        break;
    case OPERATION_SISMEMBER: result = (*set & member) != 0; break;
    default:
        result = (*set & member) != 0;
        *set &= ~member;
        if (operation->kind == OPERATION_SMOVE && result == 1) sets[operation->target] |= member;
    }
    if (answers) operation->result = result;
    return operation->result == result;
}

/* What a trial's operations are applied to. */
struct game {
    bool (*apply)(struct operation *operation, int64_t *values, bool answers);
    struct operation (*choose)(uint64_t *random);
    int64_t nothing;
};

/* May what is left come, in some order, after `done`? */
static bool any_order(const struct game *game, struct trial *trial, unsigned done, const int64_t *values) {
    if (done == (1u << trial->count) - 1) return true;
    for (size_t next = 0; next < trial->count; next++) {
        bool is_first = (done >> next & 1) == 0;
        for (size_t other = 0; other < trial->count && is_first; other++) {
            const struct line *mine = &trial->lines[next], *its = &trial->lines[other];
            if (other == next || (done >> other & 1) != 0) continue;
            is_first = its->returned >= mine->invoked && (its->client != mine->client || other > next);
        }
        int64_t after[2] = {values[0], values[1]};
        if (is_first && game->apply(&trial->lines[next].operation, after, false) &&
            any_order(game, trial, done | 1u << next, after))
            return true;
    }
    return false;
}

static struct operation choose(uint64_t *random) {
    struct operation operation = {.kind = (uint8_t)random_below(random, OPERATION_TRANSACTION)};
    uint64_t key = random_below(random, 2);
    operation.keys = (uint8_t)(1u << key);
    operation.target = (uint8_t)(1 - key);
    if (operation.kind == OPERATION_MSET || operation.kind == OPERATION_MGET) operation.keys = A | B;
    if (operation.kind == OPERATION_DEL && random_below(random, 2) == 0) operation.keys = A | B;
    operation.argument = (int64_t)random_below(random, 4) + (random_below(random, 4) == 0 ? 5 << 16 : 0);
    return operation;
}

/* Two at one moment, or one. All have as many, so that one may be given another's answers. */
static struct operation choose_of_transactions(uint64_t *random) {
    static struct operation steps[MOST][2];
    static size_t next; /* a trial has no more than all of them */
    if (random_below(random, 3) == 0) return choose(random);
    struct operation *mine = steps[next++ % MOST];
    for (int i = 0; i < 2; i++) mine[i] = choose(random);
    return (struct operation){.kind = OPERATION_TRANSACTION, .keys = A, .argument = 2, .steps = mine};
}

static struct operation choose_of_two(uint64_t *random, enum operation_kind first, unsigned kinds) {
    struct operation operation = {.kind = (uint8_t)(first + random_below(random, kinds))};
    operation.keys = random_below(random, 2) == 0 ? A : B;
    operation.target = (uint8_t)random_below(random, 2);
    operation.argument = (int64_t)random_below(random, 4);
    return operation;
}

/* Pushed elements are not 0, and may be the same. */
static struct operation choose_of_list(uint64_t *random) {
    struct operation operation = choose_of_two(random, OPERATION_LPUSH, 5);
    if (operation.kind <= OPERATION_RPUSH) operation.argument++;
    return operation;
}

static struct operation choose_of_set(uint64_t *random) {
    return choose_of_two(random, OPERATION_SADD, 5);
}

/* Answers as one client would have had them, in the order of invocations, and then perhaps one
 * or two changed: near enough to the truth to be now right, now wrong. */
static void choose_trial(const struct game *game, struct trial *trial, uint64_t *random) {
    int64_t values[2] = {game->nothing, game->nothing}, busy_until[3] = {0}, invoked_last[3] = {0};
    trial->count = 2 + random_below(random, MOST - 1);
    uint64_t spread = 1 + random_below(random, 40);
    for (size_t i = 0; i < trial->count; i++) {
        struct line *line = &trial->lines[i];
        line->client = random_below(random, 3);
        int64_t *until = &busy_until[line->client], *last = &invoked_last[line->client];
        bool is_pipelined = random_below(random, 4) == 0;
        line->invoked = (int64_t)(i * 10 + random_below(random, 5));
        if (!is_pipelined && line->invoked <= *until) line->invoked = *until + 1;
        if (line->invoked < *last) line->invoked = *last;
        *last = line->invoked;
        line->returned = line->invoked + 1 + (int64_t)random_below(random, spread);
        if (line->returned < *until) line->returned = *until;
        *until = line->returned;
        line->operation = game->choose(random);
        game->apply(&line->operation, values, true);
    }
    for (uint64_t changes = random_below(random, 6); changes > 0; changes--) {
        size_t from = random_below(random, trial->count), to = random_below(random, trial->count);
        struct operation *operation = &trial->lines[to].operation;
        if (trial->lines[from].operation.kind == operation->kind)
            memcpy(operation->values, trial->lines[from].operation.values, sizeof operation->values);
        else if (operation->kind == OPERATION_GET)
            operation->result = trial->lines[from].operation.argument;
    }
}

static void try_many(const struct game *game) {
    const int64_t nothing[2] = {game->nothing, game->nothing};
    uint64_t seed = seed_take(), good = 0, bad = 0;
    for (int i = 0; i < SCALED(60000, 10000); i++) {
        uint64_t random = seed + (uint64_t)i;
        struct trial trial;
        choose_trial(game, &trial, &random);
        bool is_good = any_order(game, &trial, 0, nothing);
        enum verdict verdict = verdict_of(trial.lines, trial.count, NULL);
        if (verdict != (is_good ? HISTORY_LINEARIZABLE : HISTORY_VIOLATED))
            fail_msg("SEED=%llu: the checker says %d, trying every order says %d",
                     (unsigned long long)(seed + (uint64_t)i), verdict, is_good);
        if (is_good)
            good++;
        else
            bad++;
    }
    print_message("%llu linearizable, %llu not\n", (unsigned long long)good, (unsigned long long)bad);
    assert_true(good > 150 && bad > 150); /* fewer are tried where every access is checked */
}

static void the_verdict_is_that_of_trying_every_order(void **state) {
    (void)state;
    try_many(&(struct game){apply, choose, HISTORY_ABSENT});
}

static void the_verdict_about_transactions_is_that_of_trying_every_order(void **state) {
    (void)state;
    try_many(&(struct game){apply, choose_of_transactions, HISTORY_ABSENT});
}

static void the_verdict_about_lists_is_that_of_trying_every_order(void **state) {
    (void)state;
    try_many(&(struct game){apply_to_list, choose_of_list, 0});
}

static void the_verdict_about_sets_is_that_of_trying_every_order(void **state) {
    (void)state;
    try_many(&(struct game){apply_to_set, choose_of_set, 0});
}

/* ------------------------------------------------------------------ long ones */

/* Eight clients, each operation at a moment of its own somewhere within its interval; then one
 * answer is a value of long ago. */
static void one_wrong_answer_among_many_is_found(void **state) {
    (void)state;
    enum { CLIENTS = 8, EACH = 4000 };
    uint64_t random = seed_take();
    for (int is_wrong = 0; is_wrong < 2; is_wrong++) {
        struct history *history = history_open(names, 2, CLIENTS, EACH);
        int64_t values[2] = {HISTORY_ABSENT, HISTORY_ABSENT}, free_at[CLIENTS] = {0};
        int64_t wrong_at = CLIENTS * EACH / 2 + (int64_t)random_below(&random, CLIENTS * EACH / 4),
                written = 0;
        bool is_placed = !is_wrong;
        for (int64_t i = 0; i < CLIENTS * EACH; i++) {
            size_t client = (size_t)i % CLIENTS;
            struct operation operation = choose(&random);
            operation.argument = ++written << 19;
            apply(&operation, values, true);
            int64_t moment = i * 10 + 1000;
            operation.invoked = moment - (int64_t)random_below(&random, 40);
            if (operation.invoked <= free_at[client]) operation.invoked = free_at[client] + 1;
            operation.returned = free_at[client] = moment + (int64_t)random_below(&random, 39);
            if (i >= wrong_at && !is_placed && operation.kind == OPERATION_GET) {
                operation.result = 7 << 19;
                is_placed = true;
            }
            history_add(history, client, &operation);
        }
        assert_true(is_placed);
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);
        assert_int_equal(history_check(history, out), is_wrong ? HISTORY_VIOLATED : HISTORY_LINEARIZABLE);
        fclose(out);
        if (is_wrong) assert_non_null(strstr(text, "can't be"));
        free(text);
        history_close(history);
    }
}

/* So many different lists that those of the past are forgotten, and the one that is there isn't. */
static void a_long_list_is_remembered_from_check_to_check(void **state) {
    (void)state;
    enum { ROUNDS = 40, EACH = 100 };
    struct history *history = history_open(names, 1, 1, EACH);
    int64_t time = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++) {
            int64_t pushed = round * EACH + i, length = pushed % 64 + 1;
            struct operation operation = rpush(A, pushed, length);
            if (pushed % 64 == 63) operation = one(OPERATION_DEL, A, 0, 1);
            operation.invoked = time++;
            operation.returned = time++;
            history_add(history, 0, &operation);
        }
        assert_int_equal(history_check(history, stderr), HISTORY_LINEARIZABLE);
    }
    struct operation last = one(OPERATION_RPOP, A, 0, ROUNDS * EACH - 1);
    last.invoked = last.returned = time;
    history_add(history, 0, &last);
    assert_int_equal(history_check(history, stderr), HISTORY_LINEARIZABLE);
    history_close(history);
}

/* So many writes at once, and in no order, that what they may have left is more than is worth
 * remembering. */
static void a_history_with_too_many_orders_is_undecided(void **state) {
    (void)state;
    enum { CLIENTS = 40 };
    FILE *out = fopen("/dev/null", "w");
    struct history *history = history_open(names, 4, CLIENTS, 1);
    for (int64_t i = 0; i < CLIENTS; i++)
        add_lines(history, &(struct line){(size_t)i, 0, 100 + i, set((uint8_t)(1 << i % 4), i)}, 1);
    assert_int_equal(history_check(history, out), HISTORY_UNDECIDED);
    history_close(history);
    fclose(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_overlaps_may_have_happened_in_either_order),
        cmocka_unit_test(a_write_may_be_seen_before_it_is_answered_and_then_stays),
        cmocka_unit_test(two_readers_agree_on_the_order_of_writes),
        cmocka_unit_test(what_nobody_wrote_is_not_read),
        cmocka_unit_test(an_increment_is_not_lost),
        cmocka_unit_test(a_condition_holds_at_the_moment_of_the_write),
        cmocka_unit_test(an_exchange_returns_each_value_once),
        cmocka_unit_test(a_key_goes_once),
        cmocka_unit_test(several_keys_are_written_and_read_as_one),
        cmocka_unit_test(a_transaction_happens_at_one_moment),
        cmocka_unit_test(transactions_that_each_miss_the_other_s_write_are_not_serializable),
        cmocka_unit_test(a_transaction_is_shown_with_all_that_it_did),
        cmocka_unit_test(a_renamed_key_is_in_one_place),
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(an_element_is_popped_once),
        cmocka_unit_test(a_moved_element_is_in_one_list),
        cmocka_unit_test(a_set_has_a_member_once),
        cmocka_unit_test(what_a_set_gave_away_it_had_and_has_no_more),
        cmocka_unit_test(a_moved_member_is_in_one_set),
        cmocka_unit_test(what_a_list_or_set_held_is_shown),
        cmocka_unit_test(a_pipeline_happens_in_its_order),
        cmocka_unit_test(what_may_be_is_remembered_from_check_to_check),
        cmocka_unit_test(the_smallest_window_is_shown),
        cmocka_unit_test(a_window_that_needs_its_state_shows_it),
        cmocka_unit_test(the_verdict_is_that_of_trying_every_order),
        cmocka_unit_test(the_verdict_about_transactions_is_that_of_trying_every_order),
        cmocka_unit_test(the_verdict_about_lists_is_that_of_trying_every_order),
        cmocka_unit_test(the_verdict_about_sets_is_that_of_trying_every_order),
        cmocka_unit_test(one_wrong_answer_among_many_is_found),
        cmocka_unit_test(a_long_list_is_remembered_from_check_to_check),
        cmocka_unit_test(a_history_with_too_many_orders_is_undecided),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
