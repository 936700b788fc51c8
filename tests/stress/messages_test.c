/* Messages under load: whoever hears a channel hears each message once, those of one publisher in their
 * order, and all hearers of a channel in the same order; also while clients come, go and move from worker to
 * worker. What is told of a key is told in the order in which it happened.
 *
 *     MESSAGES_FULL   100 channels, 50 hearers of each, each a connection of its own, 8 publishers
 *     STRESS_SECONDS  how long clients come, go and move */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define TEXT_MOST 256

static struct server *server;
static _Atomic(const char *) complaint; /* NULL: all is well */

static void complain(const char *what) {
    const char *none = NULL;
    if (atomic_compare_exchange_strong(&complaint, &none, what)) fprintf(stderr, "# not so: %s\n", what);
}

static bool is_well(void) {
    return atomic_load(&complaint) == NULL;
}

static uint32_t draw(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void start(void) {
    atomic_store(&complaint, NULL);
    server = server_start((const char *const[]){"--threads", "4", NULL});
}

static void stop(void) {
    if (!is_well()) fail_msg("not so: %s", atomic_load(&complaint));
    assert_int_equal(server_stop(server), 0);
}

/* ------------------------------------------------------------------ many channels, all in one order */

#define PUBLISHERS 8
#define READERS 4
#define CHANNELS_MOST 100
#define HEARERS_MOST 50
/* All messages are equally long: a publisher's digit, and a number. */
#define TEXT_FORMAT "%d:%07u"
#define TEXT_LENGTH 9
#define HEAD_MOST 96
#define AT_ONCE 64

/* It hears one channel. What it is sent is compared byte by byte with what it must be. */
struct hearer {
    struct resp3 *connection;
    int channel;
    char head[HEAD_MOST]; /* of each message */
    size_t head_length;
    uint32_t next[PUBLISHERS];
    uint32_t heard;
    uint64_t order; /* a sum over the publishers in the order in which they were heard */
    char data[(HEAD_MOST + TEXT_LENGTH + 2) * AT_ONCE];
    size_t length;
};

static struct {
    int channels, hearers; /* of each */
    uint32_t messages;     /* of each publisher, to each channel */
    struct hearer *all;
} crowd;

struct publisher {
    pthread_t thread;
    int number;
};

struct reader {
    pthread_t thread;
    int from, to; /* hearers */
};

/* By turns with RESP2, with RESP3, and by a pattern. */
static void hearer_begin(struct hearer *hearer, int channel, int kind) {
    char request[TEXT_MOST];
    hearer->connection = resp3_connect(server);
    hearer->channel = channel;
    if (kind == 1) {
        resp3_send_text(hearer->connection, "HELLO 3\r\n");
        resp3_value_free(resp3_read(hearer->connection));
    }
    snprintf(request, sizeof request, "%sSUBSCRIBE c%03d\r\n", kind == 2 ? "P" : "", channel);
    resp3_send_text(hearer->connection, request);
    resp3_value_free(resp3_read(hearer->connection));
    int length = kind == 2
                     ? snprintf(hearer->head, HEAD_MOST,
                                "*4\r\n$8\r\npmessage\r\n$4\r\nc%03d\r\n$4\r\nc%03d\r\n$%d\r\n", channel,
                                channel, TEXT_LENGTH)
                     : snprintf(hearer->head, HEAD_MOST, "%c3\r\n$7\r\nmessage\r\n$4\r\nc%03d\r\n$%d\r\n",
                                kind == 1 ? '>' : '*', channel, TEXT_LENGTH);
    hearer->head_length = (size_t)length;
    assert_return_code(fcntl(hearer->connection->fd, F_SETFL, O_NONBLOCK), errno);
}

static void hearer_hear(struct hearer *hearer, const char *message) {
    int publisher = -1;
    unsigned number = 0;
    if (memcmp(message, hearer->head, hearer->head_length) != 0 ||
        sscanf(message + hearer->head_length, TEXT_FORMAT "\r\n", &publisher, &number) != 2 ||
        publisher < 0 || publisher >= PUBLISHERS) {
        complain("what is heard is no message");
    } else if (number != hearer->next[publisher]) {
        fprintf(stderr, "# channel %d: message %u of publisher %d, where %u was next\n", hearer->channel,
                number, publisher, hearer->next[publisher]);
        complain(number < hearer->next[publisher] ? "a message is heard again, or too late"
                                                  : "a message is missed");
    } else {
        hearer->next[publisher]++;
        hearer->heard++;
        hearer->order = hearer->order * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)publisher + 1;
    }
}

/* What is there now. */
static void hearer_read(struct hearer *hearer) {
    size_t size = hearer->head_length + TEXT_LENGTH + 2, at = 0;
    ssize_t count =
        read(hearer->connection->fd, hearer->data + hearer->length, sizeof hearer->data - 1 - hearer->length);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) complain("a hearer was closed");
    if (count <= 0) return;
    hearer->length += (size_t)count;
    hearer->data[hearer->length] = '\0';
    for (; hearer->length - at >= size && is_well(); at += size) hearer_hear(hearer, hearer->data + at);
    memmove(hearer->data, hearer->data + at, hearer->length -= at);
}

static void *read_all(void *argument) {
    const struct reader *reader = argument;
    struct pollfd watched[CHANNELS_MOST * HEARERS_MOST];
    uint32_t all = PUBLISHERS * crowd.messages;
    while (is_well()) {
        nfds_t count = 0;
        for (int i = reader->from; i < reader->to; i++)
            if (crowd.all[i].heard < all)
                watched[count++] = (struct pollfd){.fd = crowd.all[i].connection->fd, .events = POLLIN};
        if (count == 0) return NULL;
        if (poll(watched, count, PATIENCE_SECONDS * 1000) <= 0) complain("messages don't come");
        nfds_t place = 0;
        for (int i = reader->from; i < reader->to; i++) {
            if (crowd.all[i].heard >= all) continue;
            if (watched[place++].revents != 0) hearer_read(&crowd.all[i]);
        }
    }
    return NULL;
}

static void expect_counted(redisContext *connection, int expected) {
    redisReply *reply = NULL;
    if (redisGetReply(connection, (void **)&reply) != REDIS_OK)
        complain("a publisher's connection is broken");
    else if (reply->type != REDIS_REPLY_INTEGER || reply->integer != expected)
        complain("PUBLISH counts another number of hearers");
    if (reply != NULL) freeReplyObject(reply);
}

/* To all channels in turn, from another one each time. */
static void *publish_to_all(void *argument) {
    const struct publisher *publisher = argument;
    redisContext *connection = server_connect_to(server, publisher->number % 4);
    uint32_t seed = (uint32_t)publisher->number + 1;
    for (uint32_t message = 0; message < crowd.messages && is_well(); message++) {
        int first = (int)(draw(&seed) % (uint32_t)crowd.channels), depth = 1 + (int)(draw(&seed) % 24);
        for (int i = 0; i < crowd.channels && is_well(); i += depth) {
            int end = i + depth < crowd.channels ? i + depth : crowd.channels;
            for (int j = i; j < end; j++)
                redisAppendCommand(connection, "PUBLISH c%03d " TEXT_FORMAT, (first + j) % crowd.channels,
                                   publisher->number, message);
            for (int j = i; j < end && is_well(); j++) expect_counted(connection, crowd.hearers);
        }
    }
    redisFree(connection);
    return NULL;
}

static void all_who_hear_a_channel_hear_each_message_once_and_in_one_order(void **state) {
    (void)state;
    bool is_full = getenv("MESSAGES_FULL") != NULL;
    struct publisher publishers[PUBLISHERS];
    struct reader readers[READERS];
    crowd.channels = is_full ? CHANNELS_MOST : scaled(12, 6);
    crowd.hearers = is_full ? HEARERS_MOST : scaled(12, 6);
    crowd.messages = is_full ? 100 : (uint32_t)scaled(200, 40);
    int count = crowd.channels * crowd.hearers;
    crowd.all = calloc((size_t)count, sizeof *crowd.all);
    assert_non_null(crowd.all);
    start();
    for (int i = 0; i < count; i++) hearer_begin(&crowd.all[i], i % crowd.channels, i / crowd.channels % 3);
    int64_t began = now_us();
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.from = count * i / READERS, .to = count * (i + 1) / READERS};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]), 0);
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        publishers[i].number = i;
        assert_int_equal(pthread_create(&publishers[i].thread, NULL, publish_to_all, &publishers[i]), 0);
    }
    for (int i = 0; i < PUBLISHERS; i++) pthread_join(publishers[i].thread, NULL);
    for (int i = 0; i < READERS; i++) pthread_join(readers[i].thread, NULL);
    print_message("%d channels, %d hearers of each: %u messages heard by each in %.1f s\n", crowd.channels,
                  crowd.hearers, PUBLISHERS * crowd.messages, (double)(now_us() - began) / 1e6);
    for (int i = 0; i < count; i++) {
        if (is_well() && crowd.all[i].order != crowd.all[i % crowd.channels].order)
            complain("hearers of a channel hear it in different orders");
        resp3_close(crowd.all[i].connection);
    }
    free(crowd.all);
    stop();
}

/* ------------------------------------------------------------------ while clients come, go and move */

#define WANDERERS 12
#define TELLERS 2
#define SECONDS 2

struct wanderer {
    pthread_t thread;
    int number;
    uint32_t seed;
    uint64_t heard;
};

struct teller {
    pthread_t thread;
    int number;
    uint64_t counted;
};

static _Atomic int wandering;
static int64_t until_us;

/* Half of the time is for those who hear, and half for those who keep copies. */
static void wandering_begin(int count) {
    const char *seconds = getenv("STRESS_SECONDS");
    until_us = now_us() + (seconds == NULL ? SECONDS : atol(seconds)) * INT64_C(500000);
    atomic_store(&wandering, count);
}

/* In a transaction, by a pattern, or plainly. */
static void ask_to_hear(const struct wanderer *wanderer, struct resp3 *connection, bool is_on) {
    static const char *const on[] = {"SUBSCRIBE w\r\n", "PSUBSCRIBE w*\r\n",
                                     "MULTI\r\nSUBSCRIBE w\r\nEXEC\r\n"};
    static const char *const off[] = {"UNSUBSCRIBE w\r\n", "PUNSUBSCRIBE\r\n",
                                      "MULTI\r\nUNSUBSCRIBE w\r\nEXEC\r\n"};
    resp3_send_text(connection, (is_on ? on : off)[wanderer->number % 3]);
}

static const char *word_of(const struct resp3_value *value) {
    return value->count > 0 && value->elements[0].text != NULL ? value->elements[0].text : "";
}

/* Whether it says that the client hears now, or no longer: in EXEC's array or by itself. */
static bool is_confirmation(const struct resp3_value *value) {
    if (value->kind == '*' && value->count == 1 && value->elements[0].count == 3) value = &value->elements[0];
    return strstr(word_of(value), "subscribe") != NULL;
}

struct stretch { /* of what a client hears between two confirmations */
    bool has_begun[TELLERS];
    unsigned next[TELLERS];
};

/* true: it is a message, and it has been heard. */
static bool hear(struct wanderer *wanderer, struct stretch *stretch, const struct resp3_value *value) {
    int teller = -1;
    unsigned number = 0;
    if (strcmp(word_of(value), "message") != 0 && strcmp(word_of(value), "pmessage") != 0) return false;
    const char *text = value->elements[value->count - 1].text;
    if (sscanf(text, "%d:%u", &teller, &number) != 2 || teller < 0 || teller >= TELLERS) {
        complain("what is heard is no message");
        return true;
    }
    if (stretch->has_begun[teller] && number != stretch->next[teller]) {
        fprintf(stderr, "# wanderer %d: message %u of teller %d, where %u was next\n", wanderer->number,
                number, teller, stretch->next[teller]);
        complain(number < stretch->next[teller] ? "a message is heard again, or too late"
                                                : "a message is missed");
    }
    stretch->has_begun[teller] = true;
    stretch->next[teller] = number + 1;
    wanderer->heard++;
    return true;
}

static void await_confirmation(struct wanderer *wanderer, struct resp3 *connection, struct stretch *stretch) {
    for (bool is_confirmed = false; !is_confirmed && is_well();) {
        struct resp3_value *value = resp3_read(connection);
        is_confirmed = is_confirmation(value);
        if (!is_confirmed) (void)hear(wanderer, stretch, value);
        resp3_value_free(value);
    }
}

/* What was on its way to it when its transaction was run follows that one's reply, and the confirmation. */
static void hear_the_rest(struct wanderer *wanderer, struct resp3 *connection, struct stretch *stretch) {
    resp3_send_text(connection, "ECHO rest\r\n");
    for (bool is_end = false; !is_end && is_well();) {
        struct resp3_value *value = resp3_read(connection);
        is_end = !hear(wanderer, stretch, value);
        resp3_value_free(value);
    }
}

/* Between two requests a client may move. */
static void ask_something(struct wanderer *wanderer, struct resp3 *connection) {
    for (uint32_t i = draw(&wanderer->seed) % 4; i > 0 && is_well(); i--) {
        resp3_send_text(connection, "ECHO here\r\n");
        struct resp3_value *value = resp3_read(connection);
        if (value->kind != '$') complain("a message is heard behind the end of its subscription");
        resp3_value_free(value);
    }
}

static void *wander(void *argument) {
    struct wanderer *wanderer = argument;
    struct resp3 *connection = resp3_connect(server);
    if (wanderer->number % 2 == 0) {
        resp3_send_text(connection, "HELLO 3\r\n");
        resp3_value_free(resp3_read(connection));
    }
    while (now_us() < until_us && is_well()) {
        struct stretch stretch = {.has_begun = {false}};
        ask_something(wanderer, connection);
        ask_to_hear(wanderer, connection, true);
        await_confirmation(wanderer, connection, &stretch);
        uint64_t until = wanderer->heard + draw(&wanderer->seed) % 8;
        while (wanderer->heard < until && is_well()) {
            struct resp3_value *value = resp3_read(connection);
            if (!hear(wanderer, &stretch, value) && value->kind != '+') complain("a strange reply");
            resp3_value_free(value);
        }
        ask_to_hear(wanderer, connection, false);
        await_confirmation(wanderer, connection, &stretch);
        if (wanderer->number % 3 == 2) hear_the_rest(wanderer, connection, &stretch);
    }
    ask_something(wanderer, connection);
    resp3_close(connection);
    atomic_fetch_sub(&wandering, 1);
    return NULL;
}

static void *tell(void *argument) {
    enum { DEPTH = 8 };
    struct teller *teller = argument;
    redisContext *connection = server_connect(server);
    for (unsigned number = 0; atomic_load(&wandering) > 0 && is_well(); number += DEPTH) {
        for (unsigned i = 0; i < DEPTH; i++)
            redisAppendCommand(connection, "PUBLISH w %d:%u", teller->number, number + i);
        for (unsigned i = 0; i < DEPTH && is_well(); i++) {
            redisReply *reply = NULL;
            if (redisGetReply(connection, (void **)&reply) != REDIS_OK)
                complain("a teller's connection is broken");
            else
                teller->counted += (uint64_t)reply->integer;
            if (reply != NULL) freeReplyObject(reply);
        }
    }
    redisFree(connection);
    return NULL;
}

static void what_is_counted_is_heard_while_clients_come_go_and_move(void **state) {
    (void)state;
    struct wanderer wanderers[WANDERERS];
    struct teller tellers[TELLERS];
    uint64_t heard = 0, counted = 0;
    start();
    redisContext *admin = server_connect(server);
    wandering_begin(WANDERERS);
    for (int i = 0; i < WANDERERS; i++) {
        wanderers[i] = (struct wanderer){.number = i, .seed = (uint32_t)i * 7919 + 1};
        assert_int_equal(pthread_create(&wanderers[i].thread, NULL, wander, &wanderers[i]), 0);
    }
    for (int i = 0; i < TELLERS; i++) {
        tellers[i] = (struct teller){.number = i};
        assert_int_equal(pthread_create(&tellers[i].thread, NULL, tell, &tellers[i]), 0);
    }
    while (atomic_load(&wandering) > 0 && is_well()) expect(admin, "OK", "DEBUG MOVE-CLIENTS");
    for (int i = 0; i < WANDERERS; i++) {
        pthread_join(wanderers[i].thread, NULL);
        heard += wanderers[i].heard;
    }
    for (int i = 0; i < TELLERS; i++) {
        pthread_join(tellers[i].thread, NULL);
        counted += tellers[i].counted;
    }
    print_message("%llu heard, %lld moves\n", (unsigned long long)heard,
                  (long long)info_number(admin, "worker_moved_connections"));
    if (heard != counted) {
        fprintf(stderr, "# heard %llu of %llu\n", (unsigned long long)heard, (unsigned long long)counted);
        complain("what PUBLISH counts is not what is heard");
    }
    assert_true(info_number(admin, "worker_moved_connections") > 0);
    assert_int_equal(info_number(admin, "pubsub_channels") + info_number(admin, "pubsub_patterns"), 0);
    redisFree(admin);
    stop();
}

/* ------------------------------------------------------------------ who keeps copies, and moves */

#define KEEPERS 6

struct keeper {
    pthread_t thread;
    int number;
};

static void ask(struct resp3 *connection, const char *request) {
    resp3_send_text(connection, request);
    resp3_value_free(resp3_read(connection));
}

/* The next thing that it is told, before the PONG. */
static void expect_told(struct resp3 *connection, const char *key) {
    resp3_send_text(connection, "PING\r\n");
    struct resp3_value *value = resp3_read(connection);
    const struct resp3_value *keys = value->count > 1 ? &value->elements[value->count - 1] : NULL;
    bool is_told =
        keys != NULL && (strcmp(word_of(value), "invalidate") == 0 || strcmp(word_of(value), "message") == 0);
    if (!is_told) {
        complain("a change was not told before the PONG");
    } else {
        if (!keys->is_null && (keys->count != 1 || strcmp(keys->elements[0].text, key) != 0))
            complain("another key was told");
        resp3_value_free(resp3_read(connection)); /* the PONG */
    }
    resp3_value_free(value);
}

/* Turns it on, reads, is told of a change, turns it off: by itself, with prefixes, and by way of another one
 * that comes for some rounds. */
static void *keep(void *argument) {
    enum { ROUNDS_OF_LISTENER = 10 };
    const struct keeper *keeper = argument;
    struct resp3 *reader = resp3_connect(server), *writer = resp3_connect(server), *listener = NULL;
    char key[32], read[64], write[64], on[128] = "CLIENT TRACKING ON\r\n";
    snprintf(key, sizeof key, "key:%d", keeper->number);
    snprintf(read, sizeof read, "GET %s\r\n", key);
    snprintf(write, sizeof write, "SET %s x\r\n", key);
    ask(reader, "HELLO 3\r\n");
    if (keeper->number % 3 == 1) snprintf(on, sizeof on, "CLIENT TRACKING ON BCAST PREFIX %s\r\n", key);
    for (int round = 0; now_us() < until_us && is_well(); round++) {
        if (keeper->number % 3 == 2 && round % ROUNDS_OF_LISTENER == 0) {
            if (listener != NULL) resp3_close(listener);
            listener = resp3_connect(server);
            long id = resp3_integer(listener, "CLIENT ID");
            ask(listener, keeper->number % 2 == 0 ? "SUBSCRIBE __redis__:invalidate\r\n" : "HELLO 3\r\n");
            snprintf(on, sizeof on, "CLIENT TRACKING ON REDIRECT %ld\r\n", id);
        }
        ask(reader, on);
        ask(reader, read);
        ask(writer, write);
        expect_told(listener != NULL ? listener : reader, key);
        ask(reader, "CLIENT TRACKING OFF\r\n");
        ask(reader, read);
        ask(writer, write);
        resp3_exchange(reader, "ECHO x", "$1\r\nx\r\n");
    }
    if (listener != NULL) resp3_close(listener);
    resp3_close(reader);
    resp3_close(writer);
    atomic_fetch_sub(&wandering, 1);
    return NULL;
}

static void who_keeps_copies_is_told_wherever_its_connection_goes(void **state) {
    (void)state;
    struct keeper keepers[KEEPERS];
    start();
    redisContext *admin = server_connect(server);
    wandering_begin(KEEPERS);
    for (int i = 0; i < KEEPERS; i++) {
        keepers[i].number = i;
        assert_int_equal(pthread_create(&keepers[i].thread, NULL, keep, &keepers[i]), 0);
    }
    while (atomic_load(&wandering) > 0 && is_well()) expect(admin, "OK", "DEBUG MOVE-CLIENTS");
    for (int i = 0; i < KEEPERS; i++) pthread_join(keepers[i].thread, NULL);
    print_message("%lld moves\n", (long long)info_number(admin, "worker_moved_connections"));
    assert_true(info_number(admin, "worker_moved_connections") > 0);
    redisFree(admin);
    stop();
}

/* ------------------------------------------------------------------ events in the order of the changes */

#define WRITERS 4
#define OBJECTS 3

struct writer {
    pthread_t thread;
    uint32_t seed;
};

/* Each comes to be by `set` only where it isn't, so that it comes and goes by turns. */
static void write_one(struct writer *writer, redisContext *connection) {
    static const char *const scripts[] = {"redis.call('set', KEYS[1], 1, 'NX')",
                                          "redis.call('del', KEYS[1]) redis.call('set', KEYS[1], 2, 'NX')"};
    uint32_t what = draw(&writer->seed) % 16, object = draw(&writer->seed) % OBJECTS;
    if (what < 6)
        redisAppendCommand(connection, "SET object:%u x NX", object);
    else if (what < 11)
        redisAppendCommand(connection, "DEL object:%u", object);
    else if (what < 12)
        redisAppendCommand(connection, "SET object:%u x NX PX 1", object);
    else if (what < 13)
        redisAppendCommand(connection, "GETDEL object:%u", object);
    else
        redisAppendCommand(connection, "EVAL %s 1 object:%u", scripts[what % 2], object);
}

static void *write_on(void *argument) {
    enum { DEPTH = 8, AROUND = 2 };
    struct writer *writer = argument;
    redisContext *connection = server_connect_to(server, (long)(writer->seed % 4));
    int rounds = scaled(1500, 150);
    for (int round = 0; round < rounds && is_well(); round++) {
        bool is_one = draw(&writer->seed) % 4 == 0;
        if (is_one) redisAppendCommand(connection, "MULTI");
        for (int i = 0; i < DEPTH; i++) write_one(writer, connection);
        if (is_one) redisAppendCommand(connection, "EXEC");
        for (int i = 0; i < DEPTH + (is_one ? AROUND : 0) && is_well(); i++) {
            redisReply *reply = NULL;
            if (redisGetReply(connection, (void **)&reply) != REDIS_OK || reply->type == REDIS_REPLY_ERROR)
                complain("a writer is answered something else");
            if (reply != NULL) freeReplyObject(reply);
        }
    }
    redisFree(connection);
    return NULL;
}

/* What follows the channel's last colon. */
static const char *object_of(const struct resp3_value *value) {
    return value->count == 4 ? strrchr(value->elements[2].text, ':') + 1 : "";
}

/* ">[pmessage, pattern, __keyspace@0__:object:N, event]" of a key that is there, or isn't. */
static void follow(bool *is_there, const struct resp3_value *value) {
    assert_int_equal(value->count, 4);
    const char *event = value->elements[3].text;
    int object = atoi(object_of(value));
    assert_in_range(object, 0, OBJECTS - 1);
    bool comes = strcmp(event, "set") == 0, goes = strcmp(event, "del") == 0 || strcmp(event, "expired") == 0;
    if (comes == is_there[object]) {
        fprintf(stderr, "# object:%d: '%s' where it %s there\n", object, event,
                is_there[object] ? "is" : "isn't");
        complain("what is told of a key is not in the order in which it happened");
    }
    if (comes || goes) is_there[object] = comes;
}

static void *listen_on(void *argument) {
    struct resp3 *connection = argument;
    bool is_there[OBJECTS] = {false};
    while (is_well()) {
        struct resp3_value *value = resp3_read(connection);
        bool is_end = strcmp(object_of(value), "end") == 0;
        if (!is_end) follow(is_there, value);
        resp3_value_free(value);
        if (is_end) break;
    }
    return NULL;
}

static void what_is_told_of_a_key_is_in_the_order_in_which_it_happened(void **state) {
    enum { LISTENERS = 3 };
    (void)state;
    struct writer writers[WRITERS];
    struct resp3 *listeners[LISTENERS];
    pthread_t threads[LISTENERS];
    start();
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "CONFIG SET notify-keyspace-events KA");
    for (int i = 0; i < LISTENERS; i++) {
        listeners[i] = resp3_connect_to(server, i);
        ask(listeners[i], "HELLO 3\r\n");
        ask(listeners[i], "PSUBSCRIBE __keyspace@0__:object:*\r\n");
        assert_int_equal(pthread_create(&threads[i], NULL, listen_on, listeners[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        writers[i].seed = (uint32_t)i * 7919 + 1;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) pthread_join(writers[i].thread, NULL);
    expect(admin, "OK", "SET object:end x"); /* behind all that was told */
    for (int i = 0; i < LISTENERS; i++) {
        pthread_join(threads[i], NULL);
        resp3_close(listeners[i]);
    }
    redisFree(admin);
    stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_of_a_key_is_in_the_order_in_which_it_happened),
        cmocka_unit_test(all_who_hear_a_channel_hear_each_message_once_and_in_one_order),
        cmocka_unit_test(what_is_counted_is_heard_while_clients_come_go_and_move),
        cmocka_unit_test(who_keeps_copies_is_told_wherever_its_connection_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
