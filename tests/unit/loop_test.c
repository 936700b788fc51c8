/* server/loop*.c: what loop.h promises, kept by every back end, and by io_uring without what older kernels
 * lack. */
#include "server/net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/net/loop_backend.h"

/* Turns after which what was asked for must have happened. */
#define TURNS_MOST 200
/* For what the peer's reading must set going: the kernel may let a full socket wait for its own timers. */
#define PATIENCE_MS 60000
#define LOG_SIZE ((size_t)4 * 1024 * 1024)

/* ------------------------------------------------------------------ a stream under test, and its peer */

/* Keeps all that its handlers are told. */
struct end {
    struct stream stream; /* first: a stream is cast back */
    int peer;
    char *log;
    size_t logged;
    size_t deliveries, bytes_in_turn;
    bool has_ended;
    int error; /* positive; 0: none was told */
    int sendable_count;
    char *space; /* what was last given to loop_receive_into */
    size_t space_length;
    void (*on_received)(struct end *end); /* if not NULL */
    struct end *other;
};

static const char *backend;
static struct loop *loop;
static int accepted[64];
static int accepted_count, accept_error, woken_count;

static void on_accepted(void *context, struct stream *listener, int fd) {
    assert_ptr_equal(context, &loop);
    assert_true(listener->is_listening);
    if (fd < 0) {
        accept_error = -fd;
        loop_set_listening(loop, listener, false);
        return;
    }
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(accepted_count < 64);
    accepted[accepted_count++] = fd;
}

static bool is_announcing;
static size_t announced_count;

/* Announcements come before anything is delivered, are ended, and tell of bytes that are there to be read. */
static void on_arrived(void *context, const struct stream *stream, char *data, size_t length) {
    assert_ptr_equal(context, &loop);
    is_announcing = stream != NULL;
    if (!stream) return;
    assert_false(stream->is_closed);
    assert_in_range(length, 1, LOOP_RECEIVE_MOST);
    for (size_t i = 0; i < length; i++) {
        volatile char byte = data[i];
        (void)byte;
    }
    announced_count++;
}

static void on_received(void *context, struct stream *stream, char *data, ssize_t length) {
    assert_ptr_equal(context, &loop);
    assert_false(is_announcing);
    assert_false(stream->is_closed);
    struct end *end = (struct end *)stream;
    end->deliveries++;
    if (length > 0) {
        size_t received = (size_t)length;
        end->bytes_in_turn += received;
        volatile char behind = data[length];
        (void)behind;
        assert_true(end->logged + received <= LOG_SIZE);
        if (end->space) {
            assert_ptr_equal(data, end->space);
            assert_true(received <= end->space_length);
            end->space_length -= received;
            end->space = end->space_length ? end->space + received : NULL;
        } else {
            assert_true(received <= LOOP_RECEIVE_MOST);
            memset(data - LOOP_HEADROOM, '!', LOOP_HEADROOM);
        }
        memcpy(end->log + end->logged, data, received);
        end->logged += received;
    } else if (length == 0) {
        end->has_ended = true;
        loop_set_receiving(loop, stream, false);
    } else {
        end->error = (int)-length;
        loop_close(loop, stream);
        return;
    }
    if (end->on_received) end->on_received(end);
}

static void on_sendable(void *context, struct stream *stream) {
    assert_ptr_equal(context, &loop);
    assert_false(stream->is_closed);
    assert_false(stream->is_sending);
    ((struct end *)stream)->sendable_count++;
}

static void on_woken(void *context) {
    assert_ptr_equal(context, &loop);
    woken_count++;
}

static const struct loop_handlers handlers = {
    .accepted = on_accepted,
    .received = on_received,
    .arrived = on_arrived,
    .sendable = on_sendable,
    .woken = on_woken,
};

static void set_nonblocking(int fd) {
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static int listener_open(struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof *address;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)address, size), 0);
    assert_int_equal(listen(fd, 256), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

static int client_connect(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

static void tcp_pair(int pair[2]) {
    struct sockaddr_in address;
    int listener = listener_open(&address);
    pair[1] = client_connect(&address);
    pair[0] = accept(listener, NULL, NULL);
    assert_true(pair[0] >= 0);
    close(listener);
}

static struct end *end_open(bool is_tcp) {
    int pair[2];
    if (is_tcp)
        tcp_pair(pair);
    else
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    set_nonblocking(pair[0]);
    set_nonblocking(pair[1]);
    struct end *end = calloc(1, sizeof *end);
    assert_non_null(end);
    end->log = malloc(LOG_SIZE);
    assert_non_null(end->log);
    end->peer = pair[1];
    assert_true(loop_add(loop, &end->stream, pair[0]));
    return end;
}

static void end_free(struct end *end) {
    if (!end->stream.is_closed) loop_close(loop, &end->stream);
    if (end->peer >= 0) close(end->peer);
    free(end->log);
    free(end);
}

static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void turn(int milliseconds) {
    loop_wait(loop, milliseconds);
    loop_deliver(loop);
}

/* What isn't wanted would have come by then. */
static void turns_idle(void) {
    for (int i = 0; i < 10; i++) turn(0);
}

/* Turns until the condition holds; fails if it does not become true. */
#define TURN_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        for (int turns = 0; !(condition); turns++) {                                                         \
            assert_true(turns < TURNS_MOST);                                                                 \
            turn(1000);                                                                                      \
        }                                                                                                    \
    } while (0)

/* ------------------------------------------------------------------ bytes whose place can be told */

static char byte_at(uint32_t stream, size_t place) {
    uint64_t mix = (place / 8 + 1) * 0x9E3779B97F4A7C15u + stream;
    mix ^= mix >> 29;
    mix *= 0xBF58476D1CE4E5B9u;
    return (char)(mix >> (place % 8 * 8));
}

static void bytes_fill(char *out, uint32_t stream, size_t place, size_t length) {
    for (size_t i = 0; i < length; i++) out[i] = byte_at(stream, place + i);
}

static void bytes_check(const char *data, uint32_t stream, size_t place, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (data[i] != byte_at(stream, place + i))
            fail_msg("stream %u differs at byte %zu", stream, place + i);
    }
}

static void peer_write(struct end *end, const char *text) {
    assert_int_equal(write(end->peer, text, strlen(text)), strlen(text));
}

/* Writes as much of the stream's bytes, from `place` up to `to`, as goes. Returns the new place. */
static size_t peer_write_some(const struct end *end, uint32_t number, size_t place, size_t to) {
    char bytes[16384];
    while (place < to) {
        size_t length = to - place < sizeof bytes ? to - place : sizeof bytes;
        bytes_fill(bytes, number, place, length);
        ssize_t written = write(end->peer, bytes, length);
        if (written < 0) {
            assert_int_equal(errno, EAGAIN);
            break;
        }
        place += (size_t)written;
        if ((size_t)written < length) break;
    }
    return place;
}

/* Reads at most `most` bytes and checks that they go on at `place`. Returns the new place. */
static size_t peer_read_some(const struct end *end, uint32_t number, size_t place, size_t most) {
    char bytes[16384];
    while (most > 0) {
        ssize_t length = read(end->peer, bytes, most < sizeof bytes ? most : sizeof bytes);
        if (length <= 0) break;
        bytes_check(bytes, number, place, (size_t)length);
        place += (size_t)length;
        most -= (size_t)length;
    }
    return place;
}

static ssize_t send_text(struct end *end, const char *text) {
    struct iovec part = {(char *)(uintptr_t)text, strlen(text)};
    return loop_send(loop, &end->stream, &part, 1);
}

static ssize_t send_bytes(struct end *end, uint32_t number, size_t place, size_t length) {
    char *bytes = malloc(length);
    assert_non_null(bytes);
    bytes_fill(bytes, number, place, length);
    struct iovec part = {bytes, length};
    ssize_t sent = loop_send(loop, &end->stream, &part, 1);
    free(bytes); /* what was taken is no longer ours */
    return sent;
}

/* The peer doesn't read until the stream takes nothing, for a while. Returns how much was taken. */
static size_t send_until_full(struct end *end, uint32_t number, size_t chunk) {
    size_t taken = 0;
    for (int i = 0; i < 100000; i++) {
        if (!end->stream.is_sending) {
            ssize_t sent = send_bytes(end, number, taken, chunk);
            assert_true(sent >= 0);
            taken += (size_t)sent;
        } else if (loop_wait(loop, 20) == 0) {
            break;
        }
        loop_deliver(loop);
        turn(0);
    }
    assert_true(end->stream.is_sending);
    end->sendable_count = 0;
    return taken;
}

/* The peer has been told of the end, or reads what is left before. */
static bool peer_sees_end(const struct end *end) {
    char bytes[4096];
    ssize_t length;
    while ((length = read(end->peer, bytes, sizeof bytes)) > 0) continue;
    return length == 0 || errno != EAGAIN;
}

/* ------------------------------------------------------------------ receiving */

static void bytes_arrive_with_headroom(void **state) {
    (void)state;
    struct end *end = end_open(true);
    peer_write(end, "hello");
    TURN_UNTIL(end->logged == 5);
    assert_memory_equal(end->log, "hello", 5);
    peer_write(end, " again");
    TURN_UNTIL(end->logged == 11);
    assert_memory_equal(end->log, "hello again", 11);
    end_free(end);
}

static void end_is_told_after_all_bytes(void **state) {
    (void)state;
    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        struct end *end = end_open(is_tcp);
        size_t written = peer_write_some(end, 1, 0, 150000);
        assert_int_equal(shutdown(end->peer, SHUT_WR), 0);
        TURN_UNTIL(end->has_ended);
        assert_int_equal(end->logged, written);
        bytes_check(end->log, 1, 0, end->logged);
        assert_int_equal(end->error, 0);
        /* The other direction still works. */
        assert_int_equal(send_text(end, "bye"), 3);
        turn(0);
        char text[8];
        assert_int_equal(read(end->peer, text, sizeof text), 3);
        end_free(end);
    }
}

static void stream_not_received_is_silent_and_then_goes_on(void **state) {
    (void)state;
    struct end *end = end_open(true);
    peer_write(end, "a");
    TURN_UNTIL(end->logged == 1);
    loop_set_receiving(loop, &end->stream, false);
    turns_idle();
    peer_write(end, "b");
    turns_idle();
    assert_int_equal(end->logged, 1);
    loop_set_receiving(loop, &end->stream, true);
    TURN_UNTIL(end->logged == 2);
    loop_set_receiving(loop, &end->stream, false);
    loop_set_receiving(loop, &end->stream, true);
    peer_write(end, "c");
    TURN_UNTIL(end->logged == 3);
    assert_memory_equal(end->log, "abc", 3);
    end_free(end);
}

static void connection_reset_set(int fd) {
    struct linger linger = {1, 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

static void broken_connection_is_told_even_if_not_received(void **state) {
    (void)state;
    for (int is_receiving = 0; is_receiving < 2; is_receiving++) {
        struct end *end = end_open(true);
        loop_set_receiving(loop, &end->stream, is_receiving);
        turns_idle();
        connection_reset_set(end->peer);
        close(end->peer);
        end->peer = -1;
        TURN_UNTIL(end->error);
        assert_int_equal(end->error, ECONNRESET);
        end_free(end);
    }
}

/* What a client sent before it went still counts, although nobody reads at the moment. */
static void bytes_before_the_end_wait_for_the_receiver(void **state) {
    (void)state;
    struct end *end = end_open(false);
    loop_set_receiving(loop, &end->stream, false);
    turns_idle();
    peer_write(end, "last words");
    close(end->peer);
    end->peer = -1;
    turns_idle();
    assert_int_equal(end->error, 0);
    assert_int_equal(end->logged, 0);
    loop_set_receiving(loop, &end->stream, true);
    TURN_UNTIL(end->has_ended);
    assert_int_equal(end->logged, 10);
    end_free(end);
}

static double cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The peer has closed its side, which the kernel would tell again and again. */
static void half_closed_stream_costs_nothing(void **state) {
    (void)state;
    for (int is_sending = 0; is_sending < 2; is_sending++) {
        struct end *end = end_open(true);
        if (is_sending) send_until_full(end, 1, 8000);
        assert_int_equal(shutdown(end->peer, SHUT_WR), 0);
        TURN_UNTIL(end->has_ended);
        turns_idle();
        double before = cpu_seconds();
        for (int i = 0; i < 3; i++) assert_int_equal(loop_wait(loop, 20), 0);
        assert_true(cpu_seconds() - before < 0.03);
        assert_int_equal(end->error, 0);
        if (is_sending) {
            while (!end->sendable_count) {
                char bytes[65536];
                while (read(end->peer, bytes, sizeof bytes) > 0) continue;
                turn(0);
            }
        }
        connection_reset_set(end->peer);
        close(end->peer);
        end->peer = -1;
        TURN_UNTIL(end->error);
        end_free(end);
    }
}

static void what_several_streams_will_bring_is_told_ahead(void **state) {
    (void)state;
    struct end *ends[8];
    for (int i = 0; i < 8; i++) ends[i] = end_open(false);
    turns_idle();
    size_t before = announced_count, written = 0, logged = 0;
    for (int i = 0; i < 8; i++) written += peer_write_some(ends[i], 1, 0, 100);
    while (logged < written) {
        turn(1000);
        logged = 0;
        for (int i = 0; i < 8; i++) logged += ends[i]->logged;
    }
    /* epoll has one memory for all, and so nothing to tell of. */
    if (strcmp(loop_backend_name(loop), "epoll") == 0)
        assert_int_equal(announced_count, before);
    else
        assert_true(announced_count > before);
    for (int i = 0; i < 8; i++) end_free(ends[i]);
}

static void bytes_that_have_not_been_delivered_are_counted(void **state) {
    (void)state;
    struct end *end = end_open(false);
    turns_idle();
    size_t written = peer_write_some(end, 1, 0, 150000);
    assert_true(written > LOOP_RECEIVE_MOST);
    assert_int_equal(loop_unread(loop, &end->stream), written);
    while (end->logged < written) {
        turn(1000);
        assert_int_equal(loop_unread(loop, &end->stream), written - end->logged);
    }
    end_free(end);
}

/* What the peer sends before, meanwhile and afterwards comes in order, and what comes last comes from the
 * other loop. */
static void a_stream_moves_to_another_loop_without_losing_a_byte(void **state) {
    (void)state;
    struct loop *other = loop_create(backend, &handlers, &loop), *first = loop;
    assert_non_null(other);
    struct end *end = end_open(true);
    size_t written = 0;
    for (int move = 0; move < 20; move++) {
        written = peer_write_some(end, 1, written, written + 5000);
        if (move % 2 == 0) turn(0);
        int turns = 0;
        for (; !loop_release(loop, &end->stream); turns++) {
            assert_true(turns < TURNS_MOST);
            written = peer_write_some(end, 1, written, written + 100);
            turn(0);
        }
        size_t logged = end->logged;
        int fd = end->stream.fd;
        written = peer_write_some(end, 1, written, written + 3000);
        turns_idle();
        assert_int_equal(end->logged, logged);
        loop = loop == first ? other : first;
        assert_true(loop_add(loop, &end->stream, fd));
        TURN_UNTIL(end->logged == written);
        bytes_check(end->log, 1, 0, written);
        assert_int_equal(send_text(end, "here"), 4);
        turn(0);
        char back[4];
        assert_int_equal(recv(end->peer, back, 4, MSG_DONTWAIT), 4);
    }
    end_free(end);
    loop = first;
    loop_free(other);
}

static void a_stream_that_was_to_be_released_stays_if_that_is_called_off(void **state) {
    (void)state;
    struct end *end = end_open(true);
    turns_idle();
    for (int i = 0; i < 10; i++) {
        if (loop_release(loop, &end->stream))
            assert_true(loop_add(loop, &end->stream, end->stream.fd));
        else
            loop_set_receiving(loop, &end->stream, true);
        size_t before = end->logged;
        peer_write(end, "still here");
        TURN_UNTIL(end->logged == before + 10);
    }
    close(end->peer);
    end->peer = -1;
    TURN_UNTIL(end->has_ended);
    end_free(end);
}

static void a_stream_with_something_unsent_is_not_released(void **state) {
    (void)state;
    struct end *end = end_open(false);
    static char much[4 * 1024 * 1024];
    struct iovec part = {much, sizeof much};
    assert_true(loop_send(loop, &end->stream, &part, 1) < (ssize_t)sizeof much);
    for (int i = 0; i < 10; i++) {
        assert_false(loop_release(loop, &end->stream));
        turn(0);
    }
    assert_true(end->stream.is_receiving);
    end_free(end);
}

static void firehose_gets_its_share_and_the_others_theirs(void **state) {
    (void)state;
    struct end *firehose = end_open(true), *other = end_open(true);
    size_t written = 0;
    for (int i = 0; i < 60; i++) {
        written = peer_write_some(firehose, 1, written, LOG_SIZE);
        if (i == 30) peer_write(other, "me, too");
        firehose->bytes_in_turn = 0;
        turn(1000);
        assert_true(firehose->bytes_in_turn <= LOOP_RECEIVE_MOST);
        if (i == 35) assert_int_equal(other->logged, 7);
    }
    TURN_UNTIL(firehose->logged == written);
    assert_true(written > 500000);
    bytes_check(firehose->log, 1, 0, written);
    end_free(firehose);
    end_free(other);
}

static void all_of_many_ready_streams_are_delivered(void **state) {
    (void)state;
    enum { COUNT = 400 };
    struct end *ends[COUNT];
    for (int i = 0; i < COUNT; i++) {
        ends[i] = end_open(false);
        free(ends[i]->log);
        ends[i]->log = calloc(1, 64);
    }
    turns_idle();
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < COUNT; i++) peer_write(ends[i], "request");
        for (int i = 0; i < COUNT; i++) TURN_UNTIL(ends[i]->logged == 7 * ((size_t)round + 1));
    }
    for (int i = 0; i < COUNT; i++) end_free(ends[i]);
}

/* ------------------------------------------------------------------ spaces */

static void space_is_filled_and_the_rest_follows(void **state) {
    (void)state;
    /* Small, and large enough to be read without a copy. */
    const size_t lengths[] = {1, 100, 70000, 1000000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct end *end = end_open(true);
        peer_write_some(end, 1, 0, 10);
        TURN_UNTIL(end->logged == 10);
        char *space = malloc(lengths[i] + 1);
        assert_non_null(space);
        end->space = space;
        end->space_length = lengths[i];
        loop_receive_into(loop, &end->stream, space, lengths[i]);
        size_t written = 10, all = 10 + lengths[i] + 50000;
        while (end->logged < all) {
            written = peer_write_some(end, 1, written, all);
            turn(1000);
        }
        assert_null(end->space);
        bytes_check(space, 1, 10, lengths[i]);
        bytes_check(end->log, 1, 0, all);
        free(space);
        end_free(end);
    }
}

/* Messages, the large ones of which get space for what is missing as soon as their head has come. */
static const size_t message_lengths[] = {70000, 70000, 300000, 20,    20,   40000,
                                         70000, 70000, 9,      17000, 1100, 70000};
#define MESSAGES (sizeof message_lengths / sizeof *message_lengths)
static char *message_space; /* room for the longest */
static size_t unspaced;     /* bytes of large messages that came without space, before it was asked for */

static void ask_for_space(struct end *end) {
    size_t begin = 0, message = 0;
    while (message < MESSAGES && begin + message_lengths[message] <= end->logged)
        begin += message_lengths[message++];
    if (end->space || message == MESSAGES || end->logged == begin || message_lengths[message] < 10000) return;
    unspaced = end->logged - begin;
    end->space = message_space;
    end->space_length = message_lengths[message] - unspaced;
    loop_receive_into(loop, &end->stream, end->space, end->space_length);
    loop_expect_bulk(loop, &end->stream);
}

static void of_bulky_messages_only_the_head_comes_without_space(void **state) {
    (void)state;
    struct end *end = end_open(true);
    message_space = malloc(300000 + 1);
    assert_non_null(message_space);
    end->on_received = ask_for_space;
    size_t all = 0;
    bool is_bulky = false; /* one that comes whole asks for nothing */
    for (size_t i = 0; i < MESSAGES; i++) {
        size_t written = all;
        all += message_lengths[i];
        unspaced = 0;
        while (end->logged < all) {
            written = peer_write_some(end, 1, written, all);
            turn(1000);
        }
        assert_null(end->space);
        if (is_bulky && message_lengths[i] >= 10000) assert_in_range(unspaced, 1, 1024);
        is_bulky = unspaced > 0;
        turn(0); /* what was under way is taken back */
    }
    bytes_check(end->log, 1, 0, all);
    /* All at once, as fast as they come. */
    end->logged = 0;
    size_t written = 0;
    while (end->logged < all) {
        written = peer_write_some(end, 1, written, all);
        turn(1000);
    }
    bytes_check(end->log, 1, 0, all);
    end_free(end);
    free(message_space);
}

static void space_gets_all_that_came_before_the_end(void **state) {
    (void)state;
    enum { LENGTH = 3000000 };
    struct end *end = end_open(true);
    char *space = malloc(LENGTH + 1);
    assert_non_null(space);
    end->space = space;
    end->space_length = LENGTH;
    loop_receive_into(loop, &end->stream, space, LENGTH);
    size_t written = 0;
    while (written < LENGTH / 3) {
        written = peer_write_some(end, 1, written, LENGTH / 3);
        turn(0);
    }
    /* More than a turn's share, and the end, are there when the loop looks again. */
    written = peer_write_some(end, 1, written, LENGTH - 1);
    assert_int_equal(shutdown(end->peer, SHUT_WR), 0);
    TURN_UNTIL(end->has_ended);
    assert_int_equal(end->logged, written);
    bytes_check(space, 1, 0, written);
    end_free(end);
    free(space);
}

static void space_that_is_taken_back_is_not_written_to(void **state) {
    (void)state;
    struct end *end = end_open(true);
    char *space = malloc(1000001);
    assert_non_null(space);
    end->space = space;
    end->space_length = 1000000;
    loop_receive_into(loop, &end->stream, space, 1000000);
    peer_write_some(end, 1, 0, 5000);
    TURN_UNTIL(end->logged == 5000);
    loop_receive_into(loop, &end->stream, NULL, 0);
    end->space = NULL;
    free(space); /* AddressSanitizer sees who still writes */
    peer_write_some(end, 1, 5000, 9000);
    TURN_UNTIL(end->logged == 9000);
    bytes_check(end->log, 1, 0, 9000);
    end_free(end);
}

static void space_of_a_closed_stream_is_not_written_to(void **state) {
    (void)state;
    struct end *end = end_open(true);
    char *space = calloc(1, 1000001);
    assert_non_null(space);
    loop_receive_into(loop, &end->stream, space, 1000000);
    turns_idle();
    peer_write_some(end, 1, 0, 5000);
    loop_close(loop, &end->stream);
    free(space);
    turns_idle();
    assert_int_equal(end->logged, 0);
    end_free(end);
}

/* ------------------------------------------------------------------ sending */

static void bytes_sent_in_a_turn_leave_with_it_in_order(void **state) {
    (void)state;
    struct end *one = end_open(true), *two = end_open(true);
    assert_int_equal(send_text(one, "a"), 1);
    assert_int_equal(send_text(one, "b"), 1);
    assert_int_equal(send_text(two, "x"), 1);
    assert_int_equal(send_text(one, "c"), 1);
    struct iovec parts[3] = {{(char[]){"d"}, 1}, {(char[]){""}, 0}, {(char[]){"ef"}, 2}};
    assert_int_equal(loop_send(loop, &one->stream, parts, 3), 3);
    turn(0);
    char text[8];
    assert_int_equal(read(one->peer, text, sizeof text), 6);
    assert_memory_equal(text, "abcdef", 6);
    assert_int_equal(read(two->peer, text, sizeof text), 1);
    end_free(one);
    end_free(two);
}

static void rest_of_a_full_socket_follows_when_it_has_room(void **state) {
    (void)state;
    const size_t chunks[] = {1, 1000, 16384, 16385, 300000};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        struct end *end = end_open(i % 2);
        int size = 4608;
        assert_int_equal(setsockopt(end->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
        size_t taken = send_until_full(end, 1, chunks[i]), read_up_to = 0;
        assert_int_equal(end->sendable_count, 0);
        for (int64_t latest = now_ms() + PATIENCE_MS; read_up_to < taken || !end->sendable_count;) {
            assert_true(now_ms() < latest);
            read_up_to = peer_read_some(end, 1, read_up_to, 100000);
            turn(1);
        }
        assert_int_equal(read_up_to, taken);
        assert_int_equal(end->sendable_count, 1);
        assert_true(send_bytes(end, 1, taken, 100) > 0);
        turn(0);
        assert_int_equal(peer_read_some(end, 1, taken, 1000), taken + 100);
        end_free(end);
    }
}

static void what_is_kept_for_a_full_socket_counts_until_it_is_sent_or_closed(void **state) {
    (void)state;
    struct end *end = end_open(false), *other = end_open(false);
    int in_socket = 0;
    size_t unsent = send_until_full(end, 1, 1000);
    assert_int_equal(ioctl(end->peer, FIONREAD, &in_socket), 0);
    unsent -= (size_t)in_socket;
    assert_in_range(end->stream.kept, unsent, unsent > 0 ? unsent + 64 : 0);
    assert_int_equal(loop_kept(loop), end->stream.kept);
    TURN_UNTIL((peer_sees_end(end), end->sendable_count > 0));
    assert_int_equal(end->stream.kept, 0);
    assert_int_equal(loop_kept(loop), 0);
    send_until_full(other, 1, 1000);
    loop_close(loop, &other->stream);
    assert_int_equal(loop_kept(loop), 0);
    end_free(end);
    end_free(other);
}

static void sending_to_a_broken_connection_fails(void **state) {
    (void)state;
    struct end *end = end_open(false);
    loop_set_receiving(loop, &end->stream, false);
    close(end->peer);
    end->peer = -1;
    ssize_t sent = send_text(end, "anybody?");
    if (sent >= 0) {
        assert_int_equal(sent, 8);
        TURN_UNTIL(end->error);
    } else {
        assert_int_equal(sent, -EPIPE);
    }
    assert_true(send_text(end, "anybody?") < 0);
    end_free(end);
}

static void flush_hands_over_at_once(void **state) {
    (void)state;
    struct end *end = end_open(true);
    assert_int_equal(send_text(end, "now"), 3);
    assert_true(loop_flush(loop, &end->stream));
    char text[8];
    assert_int_equal(read(end->peer, text, sizeof text), 3);
    assert_int_equal(shutdown(end->stream.fd, SHUT_WR), 0);
    assert_int_equal(read(end->peer, text, sizeof text), 0);
    end_free(end);
}

static void flush_waits_for_room(void **state) {
    (void)state;
    struct end *end = end_open(true);
    size_t taken = 0, read_up_to = 0;
    while (loop_flush(loop, &end->stream) && !end->stream.is_sending) {
        ssize_t sent = send_bytes(end, 1, taken, 16000);
        assert_true(sent >= 0);
        taken += (size_t)sent;
    }
    while (!end->sendable_count) {
        read_up_to = peer_read_some(end, 1, read_up_to, 100000);
        turn(0);
    }
    assert_true(loop_flush(loop, &end->stream));
    while (read_up_to < taken) read_up_to = peer_read_some(end, 1, read_up_to, 100000);
    end_free(end);
}

/* ------------------------------------------------------------------ closing */

static void bytes_sent_before_a_close_arrive(void **state) {
    (void)state;
    struct end *end = end_open(true);
    assert_int_equal(send_text(end, "goodbye"), 7);
    loop_close(loop, &end->stream);
    turn(0);
    char text[8];
    assert_int_equal(read(end->peer, text, sizeof text), 7);
    assert_int_equal(read(end->peer, text, sizeof text), 0);
    end_free(end);
}

static void close_other(struct end *end) {
    if (!end->other->stream.is_closed) loop_close(loop, &end->other->stream);
}

static void stream_closed_in_a_turn_hears_nothing_more(void **state) {
    (void)state;
    struct end *one = end_open(true), *two = end_open(true);
    one->other = two;
    two->other = one;
    one->on_received = two->on_received = close_other;
    turns_idle();
    peer_write(one, "x");
    peer_write(two, "x");
    TURN_UNTIL(one->logged + two->logged);
    turns_idle();
    assert_int_equal(one->logged + two->logged, 1);
    end_free(one);
    end_free(two);
}

static void stream_may_be_freed_at_the_end_of_the_turn(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct end *end = end_open(i % 2);
        int peer = dup(end->peer);
        if (i % 3) turn(0);
        assert_int_equal(write(peer, "x", 1), 1);
        if (i % 4 == 1) loop_set_receiving(loop, &end->stream, false);
        if (i % 5 == 1) send_text(end, "y");
        end_free(end);
        ssize_t ignored = write(peer, "x", 1);
        (void)ignored;
        turn(0);
        close(peer);
    }
    turns_idle();
}

static void peer_sees_a_close_after_the_turn(void **state) {
    (void)state;
    struct end *end = end_open(true);
    turns_idle();
    loop_close(loop, &end->stream);
    turn(0);
    assert_true(peer_sees_end(end));
    end_free(end);
}

/* ------------------------------------------------------------------ listening */

static void connections_are_accepted_while_listening(void **state) {
    (void)state;
    struct sockaddr_in address;
    struct stream listener = {0};
    int clients[40];
    assert_true(loop_listen(loop, &listener, listener_open(&address)));
    for (int i = 0; i < 20; i++) clients[i] = client_connect(&address);
    TURN_UNTIL(accepted_count == 20);
    loop_set_listening(loop, &listener, false);
    turns_idle();
    for (int i = 20; i < 40; i++) clients[i] = client_connect(&address);
    turns_idle();
    assert_int_equal(accepted_count, 20);
    loop_set_listening(loop, &listener, true);
    TURN_UNTIL(accepted_count == 40);
    loop_close(loop, &listener);
    turn(0);
    for (int i = 0; i < 40; i++) {
        close(clients[i]);
        close(accepted[i]);
    }
}

static void want_of_descriptors_is_told(void **state) {
    (void)state;
    struct sockaddr_in address;
    struct stream listener = {0};
    assert_true(loop_listen(loop, &listener, listener_open(&address)));
    int client = client_connect(&address), count = 0;
    static int taken[1 << 16];
    while (count < 1 << 16 && (taken[count] = dup(client)) >= 0) count++;
    TURN_UNTIL(accept_error);
    while (count > 0) close(taken[--count]);
    assert_int_equal(accept_error, EMFILE);
    loop_set_listening(loop, &listener, true);
    TURN_UNTIL(accepted_count == 1);
    close(accepted[0]);
    close(client);
    loop_close(loop, &listener);
}

/* A loop that doesn't turn leaves a new connection to one that does. */
static void busy_loop_holds_no_connection_up(void **state) {
    (void)state;
    struct sockaddr_in address;
    struct stream listener = {0}, busy_listener = {0};
    int fd = listener_open(&address);
    struct loop *busy = loop_create(backend, &handlers, &loop);
    assert_non_null(busy);
    assert_true(loop_listen(busy, &busy_listener, fd));
    loop_wait(busy, 0); /* and then it works for long */
    assert_true(loop_listen(loop, &listener, fd));
    turns_idle();
    int client = client_connect(&address);
    TURN_UNTIL(accepted_count == 1);
    close(accepted[0]);
    close(client);
    loop_free(busy);
    loop_close(loop, &listener);
}

/* ------------------------------------------------------------------ waiting and waking */

static void *wake_later(void *argument) {
    int *request = argument;
    char byte;
    assert_int_equal(read(*request, &byte, 1), 1);
    loop_wake(loop);
    return NULL;
}

static void wake_ends_the_wait(void **state) {
    (void)state;
    int request[2];
    assert_int_equal(pipe(request), 0);
    for (int i = 1; i <= 100; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_later, &request[0]), 0);
        assert_int_equal(write(request[1], "x", 1), 1);
        while (woken_count < i) turn(-1);
        pthread_join(thread, NULL);
        assert_int_equal(woken_count, i);
    }
    close(request[0]);
    close(request[1]);
}

static void wake_before_the_wait_makes_it_needless(void **state) {
    (void)state;
    loop_wake(loop);
    loop_wake(loop);
    turn(-1);
    assert_int_equal(woken_count, 1);
    loop_wake(loop);
    turn(0);
    assert_int_equal(woken_count, 2);
    turn(1);
    assert_int_equal(woken_count, 2);
}

static void wait_takes_as_long_as_it_may(void **state) {
    (void)state;
    struct end *end = end_open(true);
    turns_idle();
    int64_t before = now_ms();
    assert_int_equal(loop_wait(loop, 30), 0);
    assert_true(now_ms() - before >= 29);
    assert_int_equal(loop_wait(loop, 0), 0);
    loop_deliver(loop);
    end_free(end);
}

/* ------------------------------------------------------------------ all at once */

static uint64_t random_state;

static uint32_t random_below(uint32_t most) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % most);
}

/* One of the streams of the random test: how far each side is. */
struct traffic {
    struct end *end;
    size_t written, read, sent; /* by the peer, by the peer, by us */
    char *memory;               /* of the space */
};

/* Sizes around what matters: single bytes, some kilobytes, more than fits anywhere. */
static size_t random_length(void) {
    switch (random_below(4)) {
    case 0: return 1 + random_below(64);
    case 1: return 1 + random_below(4096);
    case 2: return 1 + random_below(40000);
    default: return 1 + random_below(400000);
    }
}

static void traffic_receive_into(struct traffic *traffic) {
    struct end *end = traffic->end;
    char *old = traffic->memory;
    size_t length = random_below(5) ? random_length() : 0;
    traffic->memory = length ? malloc(length + 1) : NULL;
    end->space = traffic->memory;
    end->space_length = length;
    loop_receive_into(loop, &end->stream, end->space, length);
    free(old);
}

static void traffic_act(struct traffic *traffic, uint32_t number, size_t most) {
    struct end *end = traffic->end;
    size_t length = random_length();
    switch (random_below(6)) {
    case 0:
    case 1: {
        size_t to = traffic->written + length < most ? traffic->written + length : most;
        traffic->written = peer_write_some(end, 2 * number, traffic->written, to);
        break;
    }
    case 2: traffic->read = peer_read_some(end, 2 * number + 1, traffic->read, length); break;
    case 3: {
        if (traffic->sent + length > most) break;
        ssize_t sent = send_bytes(end, 2 * number + 1, traffic->sent, length);
        assert_true(sent >= 0);
        traffic->sent += (size_t)sent;
        if ((size_t)sent < length) assert_true(end->stream.is_sending);
        break;
    }
    case 4: loop_set_receiving(loop, &end->stream, random_below(3) != 0); break;
    default: traffic_receive_into(traffic); break;
    }
}

static void every_byte_comes_once_and_in_order_whatever_is_changed_meanwhile(void **state) {
    (void)state;
    enum { COUNT = 12, ACTIONS = 6000 };
    const char *seed = getenv("SEED");
    random_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)now_ms();
    print_message("# seed %llu (SEED=)\n", (unsigned long long)random_state);
    struct traffic traffic[COUNT] = {0};
    for (int i = 0; i < COUNT; i++) traffic[i].end = end_open(i % 2);
    for (int i = 0; i < ACTIONS; i++) {
        uint32_t number = random_below(COUNT);
        traffic_act(&traffic[number], number, LOG_SIZE);
        if (random_below(4) == 0) turn(0);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        struct traffic *one = &traffic[i];
        loop_set_receiving(loop, &one->end->stream, true);
        const int64_t latest = now_ms() + PATIENCE_MS;
        while (one->end->logged < one->written || one->read < one->sent) {
            assert_true(now_ms() < latest);
            one->read = peer_read_some(one->end, 2 * i + 1, one->read, 1000000);
            turn(1);
        }
        assert_int_equal(one->end->logged, one->written);
        assert_int_equal(one->read, one->sent);
        bytes_check(one->end->log, 2 * i, 0, one->written);
        end_free(one->end);
        free(one->memory);
    }
}

/* ------------------------------------------------------------------ */

static void unknown_backend_is_refused(void **state) {
    (void)state;
    errno = 0;
    assert_null(loop_create("kqueue", &handlers, NULL));
    assert_int_equal(errno, EINVAL);
}

static void auto_takes_the_first_there_is(void **state) {
    (void)state;
    struct loop *first = loop_create("io_uring", &handlers, NULL),
                *any = loop_create("auto", &handlers, NULL);
    assert_non_null(any);
    assert_string_equal(loop_backend_name(any), first ? "io_uring" : "epoll");
    loop_free(first);
    loop_free(any);
}

static int set_up(void **state) {
    (void)state;
    accepted_count = accept_error = woken_count = 0;
    loop = loop_create(backend, &handlers, &loop);
    return loop && strcmp(loop_backend_name(loop), backend) == 0 ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    loop_free(loop);
    loop = NULL;
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    TEST(bytes_arrive_with_headroom),
    TEST(end_is_told_after_all_bytes),
    TEST(stream_not_received_is_silent_and_then_goes_on),
    TEST(broken_connection_is_told_even_if_not_received),
    TEST(bytes_before_the_end_wait_for_the_receiver),
    TEST(half_closed_stream_costs_nothing),
    TEST(what_several_streams_will_bring_is_told_ahead),
    TEST(bytes_that_have_not_been_delivered_are_counted),
    TEST(a_stream_moves_to_another_loop_without_losing_a_byte),
    TEST(a_stream_that_was_to_be_released_stays_if_that_is_called_off),
    TEST(a_stream_with_something_unsent_is_not_released),
    TEST(firehose_gets_its_share_and_the_others_theirs),
    TEST(all_of_many_ready_streams_are_delivered),
    TEST(space_is_filled_and_the_rest_follows),
    TEST(of_bulky_messages_only_the_head_comes_without_space),
    TEST(space_gets_all_that_came_before_the_end),
    TEST(space_that_is_taken_back_is_not_written_to),
    TEST(space_of_a_closed_stream_is_not_written_to),
    TEST(bytes_sent_in_a_turn_leave_with_it_in_order),
    TEST(rest_of_a_full_socket_follows_when_it_has_room),
    TEST(what_is_kept_for_a_full_socket_counts_until_it_is_sent_or_closed),
    TEST(sending_to_a_broken_connection_fails),
    TEST(flush_hands_over_at_once),
    TEST(flush_waits_for_room),
    TEST(bytes_sent_before_a_close_arrive),
    TEST(stream_closed_in_a_turn_hears_nothing_more),
    TEST(stream_may_be_freed_at_the_end_of_the_turn),
    TEST(peer_sees_a_close_after_the_turn),
    TEST(connections_are_accepted_while_listening),
    TEST(want_of_descriptors_is_told),
    TEST(busy_loop_holds_no_connection_up),
    TEST(wake_ends_the_wait),
    TEST(wake_before_the_wait_makes_it_needless),
    TEST(wait_takes_as_long_as_it_may),
    TEST(every_byte_comes_once_and_in_order_whatever_is_changed_meanwhile),
};

static const struct CMUnitTest choice_tests[] = {
    cmocka_unit_test(unknown_backend_is_refused),
    cmocka_unit_test(auto_takes_the_first_there_is),
};

/* Where the kernel grants no io_uring there is nothing to test. */
static bool has_uring(void) {
    struct loop *there = loop_create("io_uring", &handlers, NULL);
    loop_free(there);
    return there != NULL;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    int failed = cmocka_run_group_tests_name("choice", choice_tests, NULL, NULL);
    backend = "epoll";
    failed += cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
    if (!has_uring()) return failed;
    backend = "io_uring";
    const char *const names[] = {"io_uring", "io_uring of Linux 6.0", "io_uring without multishot",
                                 "io_uring of Linux 5.19"};
    for (unsigned without = 0; without <= (LOOP_URING_DEFERRED | LOOP_URING_MULTISHOT); without++) {
        loop_uring_without = without;
        failed += cmocka_run_group_tests_name(names[without], tests, NULL, NULL);
    }
    return failed;
}
