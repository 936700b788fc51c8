/* server/worker/mailbox.c: every message arrives once, those of one producer in their order, and a consumer
 * that sleeps until it is signalled misses none and is signalled once per burst. */
#include "tests/engine.h"

#include "server/worker/mailbox.h"

#include <semaphore.h>

struct numbered {
    struct message message; /* first: a message is cast back */
    int producer;
    int number;
};

static struct mailbox mailbox;

static int number_popped(void) {
    struct message *message = mailbox_pop(&mailbox);
    return message == NULL ? -1 : ((struct numbered *)message)->number;
}

static int init_mailbox(void **state) {
    (void)state;
    mailbox_init(&mailbox);
    return 0;
}

/* ------------------------------------------------------------------ one thread */

static void an_empty_mailbox_has_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) assert_null(mailbox_pop(&mailbox));
}

static void messages_come_in_the_order_they_were_sent(void **state) {
    (void)state;
    enum { COUNT = 100 };
    struct numbered messages[COUNT];
    for (int i = 0; i < COUNT; i++) {
        messages[i].number = i;
        mailbox_push(&mailbox, &messages[i].message);
    }
    for (int i = 0; i < COUNT; i++) assert_int_equal(number_popped(), i);
    assert_null(mailbox_pop(&mailbox));
}

/* A handler that sends the message back to where it came from. */
static void a_message_may_be_sent_again_once_it_was_taken(void **state) {
    (void)state;
    struct numbered first = {.number = 1}, second = {.number = 2};
    for (int i = 0; i < 10; i++) {
        mailbox_push(&mailbox, &first.message);
        assert_int_equal(number_popped(), 1);
        mailbox_push(&mailbox, &second.message);
        mailbox_push(&mailbox, &first.message);
        assert_int_equal(number_popped(), 2);
        mailbox_push(&mailbox, &second.message);
        assert_int_equal(number_popped(), 1);
        assert_int_equal(number_popped(), 2);
        assert_null(mailbox_pop(&mailbox));
    }
}

static void random_pushes_and_pops_keep_the_order(void **state) {
    (void)state;
    enum { COUNT = 16 };
    uint64_t random = seed_take();
    struct numbered messages[COUNT];
    int sent = 0, taken = 0;
    for (int step = 0; step < 100000; step++) {
        if (random_below(&random, 2) == 0 && sent - taken < COUNT) {
            struct numbered *message = &messages[sent % COUNT];
            message->number = sent++;
            mailbox_push(&mailbox, &message->message);
        } else {
            int number = number_popped();
            assert_int_equal(number, taken < sent ? taken : -1);
            taken += number >= 0;
        }
    }
    assert_true(taken > 1000);
}

static void only_the_first_push_of_a_burst_signals(void **state) {
    (void)state;
    struct numbered messages[4];
    assert_true(mailbox_push(&mailbox, &messages[0].message));
    assert_false(mailbox_push(&mailbox, &messages[1].message));
    assert_non_null(mailbox_pop(&mailbox));
    assert_non_null(mailbox_pop(&mailbox));
    /* Taking all of them doesn't rearm. */
    assert_false(mailbox_push(&mailbox, &messages[2].message));
    mailbox_rearm(&mailbox);
    assert_true(mailbox_push(&mailbox, &messages[3].message));
    mailbox_rearm(&mailbox);
    assert_non_null(mailbox_pop(&mailbox));
    assert_non_null(mailbox_pop(&mailbox));
    assert_true(mailbox_push(&mailbox, &messages[0].message));
}

/* In between a message's link is missing: it isn't there yet, and neither are those behind it. */
static void a_consumer_does_not_wait_for_a_producer_halfway_through(void **state) {
    (void)state;
    struct numbered first = {.number = 1}, halfway = {.number = 2}, behind = {.number = 3};
    mailbox_push(&mailbox, &first.message);
    assert_true(mailbox_is_cut(&mailbox)); /* there is something, halfway or not */
    atomic_store(&halfway.message.next, NULL);
    struct message *before = atomic_exchange(&mailbox.tail, &halfway.message);
    assert_ptr_equal(before, &first.message);
    assert_null(mailbox_pop(&mailbox)); /* the first can't be told from the last */
    mailbox_push(&mailbox, &behind.message);
    assert_null(mailbox_pop(&mailbox));
    assert_true(mailbox_is_cut(&mailbox));
    atomic_store(&before->next, &halfway.message);
    for (int i = 1; i <= 3; i++) assert_int_equal(number_popped(), i);
    assert_null(mailbox_pop(&mailbox));
    assert_false(mailbox_is_cut(&mailbox));
}

/* ------------------------------------------------------------------ many producers */

enum { PRODUCERS = 6 };

static sem_t bell; /* rung by who is told to wake the consumer */
static _Atomic uint64_t rings;

struct producer {
    pthread_t thread;
    int number, count;
    struct numbered *messages;
};

static void *produce(void *argument) {
    struct producer *producer = argument;
    for (int i = 0; i < producer->count; i++) {
        producer->messages[i].producer = producer->number;
        producer->messages[i].number = i;
        if (!mailbox_push(&mailbox, &producer->messages[i].message)) continue;
        atomic_fetch_add(&rings, 1);
        CHECK(sem_post(&bell) == 0);
    }
    return NULL;
}

/* As a worker does: sleeps until woken, rearms, drains. If a signal were lost it would sleep for ever, and
 * the program end with an alarm. */
static void all_messages_of_many_producers_arrive_in_order(void **state) {
    (void)state;
    const int count = SCALED(100000, 20000);
    struct producer producers[PRODUCERS];
    int next[PRODUCERS] = {0}, taken = 0, wakes = 0, empty = 0;
    sem_init(&bell, 0, 0);
    atomic_store(&rings, 0);
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){
            .number = i, .count = count, .messages = calloc((size_t)count, sizeof(struct numbered))};
        assert_non_null(producers[i].messages);
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    while (taken < PRODUCERS * count) {
        while (sem_wait(&bell) != 0) {
        }
        wakes++;
        mailbox_rearm(&mailbox);
        int before = taken;
        for (struct message *message; (message = mailbox_pop(&mailbox)) != NULL; taken++) {
            const struct numbered *numbered = (const struct numbered *)message;
            assert_int_equal(numbered->number, next[numbered->producer]);
            next[numbered->producer]++;
        }
        empty += taken == before;
    }
    for (int i = 0; i < PRODUCERS; i++) pthread_join(producers[i].thread, NULL);
    for (int i = 0; i < PRODUCERS; i++) assert_int_equal(next[i], count);
    assert_null(mailbox_pop(&mailbox));
    /* Each rearm lets one more push signal, and no more. */
    assert_true(atomic_load(&rings) <= (uint64_t)wakes + 1);
    print_message("%d messages, %d wake-ups, %d of them for nothing\n", taken, wakes, empty);
    for (int i = 0; i < PRODUCERS; i++) free(producers[i].messages);
    sem_destroy(&bell);
}

/* ... or for whatever else wakes the consumer. */
static void what_is_pushed_quietly_is_found_and_called_for_once(void **state) {
    (void)state;
    struct numbered messages[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    assert_false(mailbox_call(&mailbox));
    mailbox_push_quietly(&mailbox, &messages[0].message);
    assert_true(mailbox_is_filled(&mailbox));
    assert_true(mailbox_call(&mailbox));
    assert_false(mailbox_call(&mailbox));
    assert_false(mailbox_push(&mailbox, &messages[1].message));
    mailbox_rearm(&mailbox);
    for (int i = 0; i < 2; i++) assert_int_equal(number_popped(), i);
    mailbox_push_quietly(&mailbox, &messages[2].message);
    mailbox_rearm(&mailbox);
    assert_int_equal(number_popped(), 2);
    assert_false(mailbox_call(&mailbox)); /* it has been found */
    mailbox_push_quietly(&mailbox, &messages[0].message);
    assert_true(mailbox_push(&mailbox, &messages[1].message)); /* which calls for both */
    for (int i = 0; i < 2; i++) assert_int_equal(number_popped(), i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_mailbox_has_nothing, init_mailbox),
        cmocka_unit_test_setup(messages_come_in_the_order_they_were_sent, init_mailbox),
        cmocka_unit_test_setup(a_message_may_be_sent_again_once_it_was_taken, init_mailbox),
        cmocka_unit_test_setup(random_pushes_and_pops_keep_the_order, init_mailbox),
        cmocka_unit_test_setup(only_the_first_push_of_a_burst_signals, init_mailbox),
        cmocka_unit_test_setup(what_is_pushed_quietly_is_found_and_called_for_once, init_mailbox),
        cmocka_unit_test_setup(a_consumer_does_not_wait_for_a_producer_halfway_through, init_mailbox),
        cmocka_unit_test_setup(all_messages_of_many_producers_arrive_in_order, init_mailbox),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
