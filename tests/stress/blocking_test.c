/* Elements for clients that wait: 1,000 clients block on 100 lists while 8 producers push numbered elements.
 * Each element is delivered exactly once, and of one list and producer every client gets them in order. Then
 * the same while one client in ten is cut off and comes back: an element may go down with a client only if
 * its reply was already under way.
 *
 *     BLOCKING_ELEMENTS=1000000 blocking_test     default 300,000; fewer under sanitizers */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support.h"

#define CLIENTS 1000
#define LISTS 100
#define PRODUCERS 8
#define BATCH 20
/* No element for so long, although some are missing: they are lost. */
#define PATIENCE_MS 20000

static struct server *server;
static long elements; /* of each producer */

struct client {
    int socket, list;
    char input[256];
    size_t length;
    long last[PRODUCERS]; /* element that came last from each, -1: none */
};

static struct client clients[CLIENTS];
static unsigned char *delivered; /* by producer and element */
static long count_delivered, count_twice, count_unordered, count_cut;

static long elements_wanted(void) {
    const char *text = getenv("BLOCKING_ELEMENTS");
#ifdef USE_SANITIZER
    return (text != NULL ? strtol(text, NULL, 10) : 40000) / PRODUCERS;
#else
    return (text != NULL ? strtol(text, NULL, 10) : 300000) / PRODUCERS;
#endif
}

static void client_ask(struct client *client) {
    char request[64];
    int length = snprintf(request, sizeof request, "BLPOP list:%d 0\r\n", client->list);
    assert_int_equal(send(client->socket, request, (size_t)length, MSG_NOSIGNAL), length);
}

static void client_open(struct client *client, int list) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *client = (struct client){.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .list = list};
    for (int i = 0; i < PRODUCERS; i++) client->last[i] = -1;
    assert_true(client->socket >= 0);
    assert_int_equal(connect(client->socket, (struct sockaddr *)&address, sizeof address), 0);
    client_ask(client);
}

static void note(struct client *client, int producer, long element) {
    unsigned char *seen = &delivered[producer * elements + element];
    if (*seen)
        count_twice++;
    else
        count_delivered++;
    *seen = 1;
    if (element <= client->last[producer]) count_unordered++;
    client->last[producer] = element;
}

/* "*2 $n list:7 $m 3:12345": asks for the next when the reply is whole. */
static void client_read(struct client *client) {
    ssize_t received =
        recv(client->socket, client->input + client->length, sizeof client->input - 1 - client->length, 0);
    if (received <= 0)
        fail_msg("a client that waits was cut off: %s", received == 0 ? "end" : strerror(errno));
    client->length += (size_t)received;
    client->input[client->length] = '\0';
    int lines = 0, producer, list, whole = 0;
    long element;
    for (const char *at = client->input; (at = strstr(at, "\r\n")) != NULL; at += 2) lines++;
    if (lines < 5) return;
    assert_int_equal(sscanf(client->input, "*2\r\n$%*d\r\nlist:%d\r\n$%*d\r\n%d:%ld\r\n%n", &list, &producer,
                            &element, &whole),
                     3);
    assert_int_equal(whole, (int)client->length);
    assert_int_equal(list, client->list);
    client->length = 0;
    note(client, producer, element);
    client_ask(client);
}

struct producer {
    pthread_t thread;
    int number;
    bool is_broken;
};

static void *produce(void *argument) {
    struct producer *producer = argument;
    redisContext *connection = server_connect(server);
    for (long first = 0; first < elements && !producer->is_broken; first += BATCH) {
        long end = first + BATCH < elements ? first + BATCH : elements;
        for (long i = first; i < end; i++)
            redisAppendCommand(connection, "RPUSH list:%ld %d:%ld", i % LISTS, producer->number, i);
        for (long i = first; i < end; i++) {
            redisReply *reply;
            if (redisGetReply(connection, (void **)&reply) != REDIS_OK ||
                reply->type != REDIS_REPLY_INTEGER) {
                producer->is_broken = true;
                break;
            }
            freeReplyObject(reply);
        }
    }
    redisFree(connection);
    return NULL;
}

/* One of ten is closed while it waits, whatever may be on its way to it, and opened again. */
static void cut_some(unsigned *state) {
    for (int i = 0; i < CLIENTS / 1000 + 1; i++) {
        struct client *client = &clients[rand_r(state) % (CLIENTS / 10) * 10];
        int list = client->list;
        close(client->socket);
        client_open(client, list);
        count_cut++;
    }
}

static void run(bool cuts) {
    struct pollfd polled[CLIENTS];
    struct producer producers[PRODUCERS];
    unsigned state = 1;
    delivered = calloc((size_t)(PRODUCERS * elements), 1);
    count_delivered = count_twice = count_unordered = count_cut = 0;
    for (int i = 0; i < CLIENTS; i++) client_open(&clients[i], i % LISTS);
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.number = i};
        pthread_create(&producers[i].thread, NULL, produce, &producers[i]);
    }
    long wanted = PRODUCERS * elements, turns = 0;
    int patience = cuts ? 3000 : PATIENCE_MS;
    while (count_delivered < wanted) {
        for (int i = 0; i < CLIENTS; i++)
            polled[i] = (struct pollfd){.fd = clients[i].socket, .events = POLLIN};
        if (poll(polled, CLIENTS, patience) == 0) break;
        for (int i = 0; i < CLIENTS; i++)
            if (polled[i].revents != 0) client_read(&clients[i]);
        if (cuts && ++turns % 10 == 0) cut_some(&state);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i].thread, NULL);
        assert_false(producers[i].is_broken);
    }
    for (int i = 0; i < CLIENTS; i++) close(clients[i].socket);
    free(delivered);
    printf("# %ld elements, %ld delivered, %ld clients cut\n", wanted, count_delivered, count_cut);
    assert_int_equal(count_twice, 0);
    assert_int_equal(count_unordered, 0);
    redisContext *connection = server_connect(server);
    expect(connection, "0", "DBSIZE"); /* nothing was left lying while somebody waited for it */
    redisFree(connection);
    if (!cuts) assert_int_equal(count_delivered, wanted);
    assert_true(wanted - count_delivered <= count_cut);
}

static void every_element_is_delivered_exactly_once(void **unused) {
    (void)unused;
    elements = elements_wanted();
    run(false);
}

static void a_client_that_is_cut_takes_no_more_than_what_was_on_its_way(void **unused) {
    (void)unused;
    elements = elements_wanted() / 10;
    run(true);
}

static int start(void **unused) {
    (void)unused;
    server = server_start((const char *const[]){"--threads", "4", NULL});
    return 0;
}

static int stop(void **unused) {
    (void)unused;
    return server_stop(server);
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    /* A server each: one that fails leaves waiters behind, and they go with theirs. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_element_is_delivered_exactly_once, start, stop),
        cmocka_unit_test_setup_teardown(a_client_that_is_cut_takes_no_more_than_what_was_on_its_way, start,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
