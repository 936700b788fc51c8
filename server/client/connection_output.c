/* A reply is bytes with references to values among them, and so falls into pieces: bytes, reference, bytes,
 * ... Pieces go to the socket in as few system calls as there may be; what is left becomes blocks. A long
 * rest isn't copied: the blocks take over the reply's buffer, and the worker's reply begins a new one. */
#include "connection_output.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "server/config/config.h"
#include "server/base/log.h"
#include "server/net/loop.h"
#include "clients.h"
#include "connection_parts.h"
#include "stranger.h"

/* Room of a block for small bytes that follow each other. */
#define BLOCK_LEAST 2048
/* And of the first, which is all that a message to each of many clients takes: theirs stay in the cache. */
#define BLOCK_FIRST 192
/* From here on a rest is taken over rather than copied. */
#define TAKE_LEAST 16384
/* What a client without password may be owed: it has been told that it needs one. */
#define UNAUTHENTICATED_OWED_MOST ((size_t)64 * 1024)

static void release_nothing(void *owner) {
    (void)owner;
}

/* ------------------------------------------------------------------ accounts and limits */

static void owed_add(struct connection *connection, size_t length) {
    connection->output_bytes += length;
    counter_add(&connection->worker->output_bytes, length);
    if (connection->stream.is_apart) counter_add(&connection->worker->stranger_bytes, length);
    recent_note(&connection->worker->recent_output, connection->worker->now_monotonic,
                connection->output_bytes);
}

static void owed_subtract(struct connection *connection, size_t length) {
    connection->output_bytes -= length;
    counter_subtract(&connection->worker->output_bytes, length);
    if (connection->stream.is_apart) counter_subtract(&connection->worker->stranger_bytes, length);
}

static void sent_add(struct connection *connection, size_t length) {
    struct worker *worker = connection->worker;
    connection->bytes_out += length;
    counter_add(&worker->bytes_out, length);
    if (length == 0) return;
    counter_add(&worker->writes, 1);
    if (connection_counts_as_active(connection)) connection->last_active = worker->now_monotonic;
}

static void soft_limit_mark(struct connection *connection, int64_t since) {
    if (!connection->soft_limit_since && since) connection->worker->clients->over_soft_limit++;
    if (connection->soft_limit_since && !since) connection->worker->clients->over_soft_limit--;
    connection->soft_limit_since = since;
}

/* With what the loop and TLS keep for it. */
static size_t memory_owed(const struct connection *connection) {
    return connection->output_bytes + connection_kept(connection);
}

static const struct output_limit *limit_of(const struct connection *connection) {
    bool listens = session_is_subscriber(&connection->task.session);
    return &config.output_limits[listens ? OUTPUT_PUBSUB : OUTPUT_NORMAL];
}

bool output_check(struct connection *connection) {
    const struct output_limit *limit = limit_of(connection);
    int64_t hard = atomic_load_explicit(&limit->hard, memory_order_relaxed);
    int64_t soft = atomic_load_explicit(&limit->soft, memory_order_relaxed);
    int64_t seconds = atomic_load_explicit(&limit->soft_seconds, memory_order_relaxed);
    size_t owed = memory_owed(connection);
    int64_t now = connection->worker->now_monotonic;
    bool is_over_soft = soft > 0 && owed > (size_t)soft;
    if (!is_over_soft)
        soft_limit_mark(connection, 0);
    else if (!connection->soft_limit_since)
        soft_limit_mark(connection, now);
    bool is_over_hard = (hard > 0 && owed > (size_t)hard) ||
                        (owed > UNAUTHENTICATED_OWED_MOST && !session_is_admitted(&connection->task.session));
    if (!is_over_hard && !(is_over_soft && now - connection->soft_limit_since > seconds * 1000)) return true;
    output_refuse(connection);
    return false;
}

void output_refuse(struct connection *connection) {
    char client[512];
    counter_add(&connection->worker->output_limit_closes, 1);
    if (!connection->stream.is_apart || stranger_is_over_limit_news(connection->worker->now_monotonic)) {
        connection_describe(connection, client, sizeof client);
        log_write(LOG_WARNING,
                  "Client %s scheduled to be closed ASAP for overcoming of output buffer limits.", client);
    }
    connection_close(connection, NULL);
}

/* And a turn's share, for the replies before the one that is too long: they may be sent at once. */
size_t output_room(const struct connection *connection) {
    size_t room = SIZE_MAX - OUTPUT_SHARE;
    int64_t hard = atomic_load_explicit(&limit_of(connection)->hard, memory_order_relaxed),
            all = clients_memory_most();
    size_t owed = memory_owed(connection);
    if (hard > 0) room = (size_t)hard > owed ? (size_t)hard - owed : 0;
    if (all > 0 && (size_t)all < room)
        room = (size_t)all; /* with what is owed it may be more: then the largest client is found */
    return room + OUTPUT_SHARE;
}

/* ------------------------------------------------------------------ blocks */

static struct output_block *block_append(struct connection *connection, size_t capacity) {
    struct output_block *block = malloc(sizeof *block + capacity);
    if (!block) return NULL;
    *block = (struct output_block){.capacity = capacity, .data = (char *)(block + 1)};
    owed_add(connection, sizeof *block + capacity);
    if (connection->output_last)
        connection->output_last->next = block;
    else
        connection->output = block;
    connection->output_last = block;
    return block;
}

static bool append_reference(struct connection *connection, const char *data, size_t length, void *owner,
                             void (*release)(void *owner)) {
    struct output_block *block = block_append(connection, 0);
    if (!block) return false;
    block->data = data;
    block->length = length;
    block->owner = owner;
    block->release = release;
    owed_add(connection, length);
    return true;
}

static bool append_copy(struct connection *connection, const char *data, size_t length) {
    struct output_block *last = connection->output_last;
    size_t least = last ? BLOCK_LEAST : BLOCK_FIRST;
    if (!last || last->capacity - last->length < length || last->capacity == 0) {
        last = block_append(connection, length > least ? length : least);
        if (!last) return false;
    }
    memcpy((char *)(last + 1) + last->length, data, length);
    last->length += length;
    return true;
}

/* Of a reference: bytes that count until they are sent. A block's own room counts as long as it is there. */
static size_t referenced_left(const struct output_block *block) {
    return block->capacity ? 0 : block->length - block->sent;
}

static void block_drop(struct connection *connection) {
    struct output_block *block = connection->output;
    connection->output = block->next;
    if (!connection->output) connection->output_last = NULL;
    owed_subtract(connection, sizeof *block + block->capacity + referenced_left(block));
    if (block->release) block->release(block->owner);
    free(block);
}

void output_free(struct connection *connection) {
    while (connection->output) block_drop(connection);
    assert(connection->output_bytes == 0 && "what was counted for a block is given back with it");
    soft_limit_mark(connection, 0);
}

bool output_append(struct connection *connection, const char *data, size_t length) {
    if (length == 0) return true;
    if (!append_copy(connection, data, length)) {
        connection_close(connection, "out of memory");
        return false;
    }
    return output_check(connection);
}

bool output_append_reference(struct connection *connection, const char *data, size_t length, void *owner,
                             void (*release)(void *owner)) {
    if (!append_reference(connection, data, length, owner, release)) {
        release(owner);
        connection_close(connection, "out of memory");
        return false;
    }
    return output_check(connection);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Collects what is first to be sent, at most so much. */
static int blocks_collect(const struct connection *connection, size_t most, struct iovec *parts,
                          size_t *bytes) {
    int count = 0;
    *bytes = 0;
    for (struct output_block *block = connection->output; block; block = block->next) {
        if (count == LOOP_PARTS_MOST || *bytes == most) break;
        size_t length = smaller(block->length - block->sent, most - *bytes);
        parts[count++] = (struct iovec){(char *)(uintptr_t)block->data + block->sent, length};
        *bytes += length;
    }
    return count;
}

static void blocks_sent(struct connection *connection, size_t length) {
    sent_add(connection, length);
    while (connection->output) {
        struct output_block *block = connection->output;
        size_t left = block->length - block->sent;
        if (length < left) {
            if (!block->capacity) owed_subtract(connection, length);
            block->sent += length;
            return;
        }
        length -= left;
        block_drop(connection);
    }
}

bool output_flush(struct connection *connection) {
    size_t total = 0;
    while (connection->output) {
        struct iovec parts[LOOP_PARTS_MOST];
        size_t asked;
        int count = blocks_collect(connection, OUTPUT_SHARE - total, parts, &asked);
        ssize_t sent = connection_transmit(connection, parts, count);
        if (sent < 0) {
            connection_close(connection, strerror((int)-sent));
            return false;
        }
        blocks_sent(connection, (size_t)sent);
        total += (size_t)sent;
        if ((size_t)sent < asked) break; /* sendable() will come */
        if (total == OUTPUT_SHARE && connection->output) {
            clients_flush_later(connection); /* the others' turn; the rest goes on at the turn's end */
            break;
        }
    }
    return connection->soft_limit_since ? output_check(connection) : true;
}

/* ------------------------------------------------------------------ replies */

/* A place among a reply's pieces: piece 2i is the bytes before reference i (or the last ones), piece 2i + 1
 * is reference i. */
struct progress {
    uint32_t piece;
    size_t sent; /* of that piece */
};

static uint32_t piece_count(const struct reply *reply) {
    return 2 * reply->reference_count + 1;
}

static struct iovec piece_at(const struct reply *reply, uint32_t piece) {
    uint32_t i = piece / 2;
    if (piece % 2) {
        const struct reply_reference *reference = &reply->references[i];
        return (struct iovec){(char *)(uintptr_t)reference->data, reference->length};
    }
    size_t from = i ? reply->references[i - 1].offset : 0;
    size_t to = i < reply->reference_count ? reply->references[i].offset : reply->length;
    return (struct iovec){reply->data + from, to - from};
}

static void progress_advance(const struct reply *reply, struct progress *progress, size_t sent) {
    while (progress->piece < piece_count(reply)) {
        size_t left = piece_at(reply, progress->piece).iov_len - progress->sent;
        if (sent < left) {
            progress->sent += sent;
            return;
        }
        sent -= left;
        progress->piece++;
        progress->sent = 0;
    }
}

/* Sends from the place on until all is gone or the socket is full, at most a share. Returns 0 or
 * -errno. */
static int reply_transmit(struct connection *connection, const struct reply *reply,
                          struct progress *progress) {
    size_t room = OUTPUT_SHARE;
    while (progress->piece < piece_count(reply) && room > 0) {
        struct iovec parts[LOOP_PARTS_MOST];
        int count = 0;
        size_t asked = 0;
        for (uint32_t piece = progress->piece;
             piece < piece_count(reply) && count < LOOP_PARTS_MOST && asked < room; piece++) {
            struct iovec part = piece_at(reply, piece);
            if (piece == progress->piece) {
                part.iov_base = (char *)part.iov_base + progress->sent;
                part.iov_len -= progress->sent;
            }
            if (part.iov_len == 0) continue;
            part.iov_len = smaller(part.iov_len, room - asked);
            parts[count++] = part;
            asked += part.iov_len;
        }
        if (count == 0) return 0;
        ssize_t sent = connection_transmit(connection, parts, count);
        if (sent < 0) return (int)sent;
        sent_add(connection, (size_t)sent);
        progress_advance(reply, progress, (size_t)sent);
        if ((size_t)sent < asked) return 0;
        room -= asked;
    }
    return 0;
}

/* Bytes of the reply's own from the place on. */
static size_t own_bytes_left(const struct reply *reply, const struct progress *progress) {
    uint32_t i = progress->piece / 2;
    if (progress->piece % 2) return reply->length - reply->references[i].offset;
    return reply->length - (i ? reply->references[i - 1].offset : 0) - progress->sent;
}

/* The buffer's room behind the bytes is given back: it would neither be used nor counted. */
static void reply_fit(struct reply *reply) {
    char *data = reply->capacity > reply->length + TAKE_LEAST ? realloc(reply->data, reply->length) : NULL;
    if (data == NULL) return;
    reply->data = data;
    reply->capacity = reply->length;
}

/* What comes from the place on becomes blocks. False when out of memory. */
static bool reply_queue(struct connection *connection, struct reply *reply, const struct progress *progress) {
    size_t left = own_bytes_left(reply, progress);
    bool takes = left >= TAKE_LEAST &&
                 left >= reply->length / 2; /* else most of what is taken would be kept in vain */
    if (takes) reply_fit(reply);
    struct output_block *last_own = NULL;
    for (uint32_t piece = progress->piece; piece < piece_count(reply); piece++) {
        struct iovec part = piece_at(reply, piece);
        size_t sent = piece == progress->piece ? progress->sent : 0;
        const char *data = (const char *)part.iov_base + sent;
        size_t length = part.iov_len - sent;
        if (length == 0) continue;
        if (piece % 2) {
            struct reply_reference *reference = &reply->references[piece / 2];
            if (!append_reference(connection, data, length, reference->owner, reference->release))
                return false;
            reference->release = release_nothing; /* the block's now */
        } else if (takes) {
            if (!append_reference(connection, data, length, NULL, NULL)) return false;
            last_own = connection->output_last;
        } else if (!append_copy(connection, data, length)) {
            return false;
        }
    }
    if (last_own) {
        last_own->owner = reply->data;
        last_own->release = free;
        reply->data = NULL;
        reply->length = reply->capacity = 0;
    }
    return true;
}

/* Broken or out of memory: closing it drops the blocks first, as they may show bytes of the reply. */
static bool output_give_up(struct connection *connection, struct reply *reply, const char *why) {
    connection_close(connection, why);
    reply_clear(reply, REPLY_KEEP);
    return false;
}

bool output_send(struct connection *connection, struct reply *reply) {
    if (reply->length + reply->referenced_bytes == 0) return true;
    struct progress progress = {0, 0};
    if (connection->output && !connection->stream.is_sending && !output_flush(connection)) {
        reply_clear(reply, REPLY_KEEP);
        return false;
    }
    if (!connection->output) {
        int error = reply_transmit(connection, reply, &progress);
        if (error < 0) return output_give_up(connection, reply, strerror(-error));
    }
    bool has_rest = progress.piece < piece_count(reply);
    if (has_rest && !reply_queue(connection, reply, &progress))
        return output_give_up(connection, reply, "out of memory");
    reply_clear(reply, REPLY_KEEP);
    if (has_rest && !connection->stream.is_sending) clients_flush_later(connection);
    return has_rest ? output_check(connection) : true;
}
