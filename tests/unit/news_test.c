/* server/broadcast: what is told comes to a worker whole, once, and in the order in which it was told,
 * whatever it travels with. */
#include "tests/engine.h"

#include "server/broadcast/channels.h"
#include "server/broadcast/news.h"
#include "server/worker/worker.h"
#include "shard/base/memory.h"

/* ------------------------------------------------------------------ a client that hears, on a worker
 *
 * Its worker has no thread: it reads what it is told to. */

#define STREAM_FIRST 65536

struct stream {
    char *bytes;
    size_t length, capacity;
};

static void stream_add(struct stream *stream, const void *bytes, size_t length) {
    while (stream->capacity - stream->length < length) {
        stream->capacity = stream->capacity == 0 ? STREAM_FIRST : stream->capacity * 2;
        CHECK((stream->bytes = realloc(stream->bytes, stream->capacity)) != NULL);
    }
    memcpy(stream->bytes + stream->length, bytes, length);
    stream->length += length;
}

static struct worker *worker;
static struct stream heard;
static struct task client;

static void on_push(struct task *task, const char *data, size_t length) {
    CHECK(task == &client);
    stream_add(&heard, data, length);
}

static void on_push_reference(struct task *task, const char *data, size_t length, void *owner,
                              void (*release)(void *owner)) {
    on_push(task, data, length);
    release(owner);
}

static const struct task_functions functions = {.push = on_push, .push_reference = on_push_reference};

static struct bulk bulk_of(const char *text) {
    return (struct bulk){.data = (char *)(uintptr_t)text, .length = strlen(text)};
}

static int begin(void **state) {
    (void)state;
    heard.length = 0;
    return 0;
}

/* It hears these for good: each test has channels of its own. */
static void hear(enum channel_kind kind, const char *name, struct hearer *hearer) {
    const struct bulk bulk = bulk_of(name);
    hearer->task = &client;
    assert_non_null(channel_join(kind, &bulk, worker, hearer, NULL));
    hearer_enter(hearer);
}

static int64_t tell(const char *name, const char *text) {
    const struct bulk channel = bulk_of(name), bulk = bulk_of(text);
    return channels_publish(CHANNEL, &channel, &bulk);
}

static bool read_one(void) {
    struct message *message = mailbox_pop(&worker->news);
    if (message != NULL) message->handle(worker, message);
    return message != NULL;
}

static int read_all(void) {
    int count = 0;
    while (read_one()) count++;
    return count;
}

/* As Redis writes it. pattern: NULL, the channel itself is heard. */
static void expect_told(struct stream *expected, const char *pattern, const char *name, const char *text) {
    char head[256];
    int length = pattern == NULL ? snprintf(head, sizeof head, "*3\r\n$7\r\nmessage\r\n")
                                 : snprintf(head, sizeof head, "*4\r\n$8\r\npmessage\r\n$%zu\r\n%s\r\n",
                                            strlen(pattern), pattern);
    stream_add(expected, head, (size_t)length);
    length = snprintf(head, sizeof head, "$%zu\r\n%s\r\n$%zu\r\n", strlen(name), name, strlen(text));
    stream_add(expected, head, (size_t)length);
    stream_add(expected, text, strlen(text));
    stream_add(expected, "\r\n", 2);
}

static void assert_heard(const struct stream *expected) {
    assert_int_equal(heard.length, expected->length);
    assert_memory_equal(heard.bytes, expected->bytes, expected->length);
}

/* ------------------------------------------------------------------ together */

static void short_texts_for_the_same_hearers_travel_together(void **state) {
    enum { COUNT = 1000, MESSAGES_MOST = 20 };
    (void)state;
    static struct hearer hearer;
    struct stream expected = {NULL, 0, 0};
    hear(CHANNEL, "together", &hearer);
    for (int i = 0; i < COUNT; i++) {
        char text[32];
        snprintf(text, sizeof text, "text %d", i);
        assert_int_equal(tell("together", text), 1);
        expect_told(&expected, NULL, "together", text);
    }
    assert_in_range(read_all(), 1, MESSAGES_MOST);
    assert_heard(&expected);
    assert_int_equal(atomic_load(&worker->news_bytes), 0);
    free(expected.bytes);
}

static void a_lone_text_takes_little(void **state) {
    enum { ROUNDS = 10, BYTES_MOST = 512 };
    (void)state;
    static struct hearer hearer;
    hear(CHANNEL, "lone", &hearer);
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(tell("lone", "hello"), 1);
        assert_in_range(atomic_load(&worker->news_bytes), 1, BYTES_MOST);
        assert_int_equal(read_all(), 1);
        assert_int_equal(atomic_load(&worker->news_bytes), 0);
    }
}

/* ------------------------------------------------------------------ in their order */

struct marked {
    struct message message;
    int number;
};

static void mark_arrived(struct worker *at, struct message *message) {
    char text[32];
    int length = snprintf(text, sizeof text, "mark %d\n", ((struct marked *)message)->number);
    CHECK(at == worker);
    stream_add(&heard, text, (size_t)length);
    free(message);
}

static void set_mark(struct stream *expected, int number) {
    struct marked *mark = malloc(sizeof *mark);
    char text[32];
    CHECK(mark != NULL);
    *mark = (struct marked){.message.handle = mark_arrived, .number = number};
    stream_add(expected, text, (size_t)snprintf(text, sizeof text, "mark %d\n", number));
    news_mark(worker, &mark->message);
}

/* Some are long, so that they are copied or shared, and one is as long as what is still written on sheets. */
static const char *text_drawn(uint64_t *random, int number) {
    static const size_t lengths[] = {8, 8, 8, 8, 40, 430, 440, 450, 700, 5000};
    static char text[5001];
    size_t length = lengths[random_below(random, sizeof lengths / sizeof *lengths)];
    memset(text, 'x', length);
    text[length] = '\0';
    text[snprintf(text, sizeof text, "%07d", number)] = ':';
    return text;
}

static void whatever_is_told_by_one_thread_is_heard_in_its_order(void **state) {
    enum { STEPS = 20000 };
    (void)state;
    static struct hearer hearers[4];
    static const char *const names[] = {"order:a", "order:b", "order:pa", "order:pb"};
    struct stream expected = {NULL, 0, 0};
    uint64_t random = seed_take();
    hear(CHANNEL, names[0], &hearers[0]);
    hear(CHANNEL, names[1], &hearers[1]);
    hear(CHANNEL, names[2], &hearers[2]);
    hear(CHANNEL_PATTERN, "order:p*", &hearers[3]);
    for (int step = 0; step < STEPS; step++) {
        size_t which = random_below(&random, 6);
        if (which < 4) {
            const char *text = text_drawn(&random, step), *pattern = which >= 2 ? "order:p*" : NULL;
            assert_int_equal(tell(names[which], text), which == 2 ? 2 : 1);
            if (which != 3) expect_told(&expected, NULL, names[which], text);
            if (pattern != NULL) expect_told(&expected, pattern, names[which], text);
        } else if (which == 4) {
            set_mark(&expected, step);
        } else {
            uint64_t reads = random_below(&random, 8);
            while (reads-- > 0 && read_one()) continue;
        }
    }
    (void)read_all();
    assert_heard(&expected);
    assert_int_equal(atomic_load(&worker->news_bytes), 0);
    free(expected.bytes);
}

/* A text is a thread's digit and a number; all messages are equally long. */
enum { TELLERS = 3, TEXT_LENGTH = 9 };
#define MESSAGE_FORMAT "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$9\r\n"
static const char *const shared_names[2] = {"shared:a", "shared:b"};
static int tells;
static _Atomic int done;

static void *tell_much(void *argument) {
    const int *number = argument;
    for (int i = 0; i < tells; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d:%07d", *number % 10, i);
        CHECK(tell(shared_names[i / 3 % 2], text) == 1);
    }
    atomic_fetch_add(&done, 1);
    return NULL;
}

static void whatever_several_threads_tell_is_heard_once_and_in_the_order_of_each(void **state) {
    (void)state;
    static struct hearer hearers[2];
    pthread_t threads[TELLERS];
    int numbers[TELLERS], next[TELLERS] = {0};
    size_t at = 0;
    char head[64];
    size_t head_length = (size_t)snprintf(head, sizeof head, MESSAGE_FORMAT, strlen("shared:x"), "shared:x");
    size_t length = head_length + TEXT_LENGTH + 2;
    tells = SCALED(200000, 20000);
    for (int i = 0; i < 2; i++) hear(CHANNEL, shared_names[i], &hearers[i]);
    for (int i = 0; i < TELLERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, tell_much, &numbers[i]), 0);
    }
    while (atomic_load(&done) < TELLERS) (void)read_all();
    for (int i = 0; i < TELLERS; i++) pthread_join(threads[i], NULL);
    (void)read_all();
    assert_int_equal(heard.length, length * TELLERS * (size_t)tells);
    for (; at < heard.length; at += length) {
        const char *text = heard.bytes + at + head_length;
        int teller = text[0] - '0', number = 0;
        for (int i = 2; i < TEXT_LENGTH; i++) number = number * 10 + text[i] - '0';
        assert_in_range(teller, 0, TELLERS - 1);
        assert_int_equal(number, next[teller]++);
        assert_int_equal(text[-7], number / 3 % 2 == 0 ? 'a' : 'b');
    }
    assert_int_equal(atomic_load(&worker->news_bytes), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(short_texts_for_the_same_hearers_travel_together, begin),
        cmocka_unit_test_setup(a_lone_text_takes_little, begin),
        cmocka_unit_test_setup(whatever_is_told_by_one_thread_is_heard_in_its_order, begin),
        cmocka_unit_test_setup(whatever_several_threads_tell_is_heard_once_and_in_the_order_of_each, begin),
    };
    worker = memory_lines(sizeof *worker);
    if (worker == NULL || !channels_start()) return 1;
    mailbox_init(&worker->news);
    client = (struct task){.functions = &functions, .session = {.id = 1, .protocol = 2}};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(heard.bytes);
    return failed;
}
