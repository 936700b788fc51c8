/* The slow log and its commands. */
#include "../slowlog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "commands.h"

#define ARGUMENTS_MOST 32
#define ARGUMENT_MOST 128

struct slow_request {
    struct slow_request *next; /* the one before it in time */
    int64_t id, time, microseconds;
    char *arguments[ARGUMENTS_MOST];
    uint32_t lengths[ARGUMENTS_MOST];
    uint32_t count;
    char *peer, *name;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by mutex. */
static struct slow_request *newest;
static int64_t length, next_id;

static void request_free(struct slow_request *request) {
    for (uint32_t i = 0; i < request->count; i++) free(request->arguments[i]);
    free(request->peer);
    free(request->name);
    free(request);
}

/* Keeps the first `most` of the list. */
static void cut(int64_t most) {
    struct slow_request **place = &newest;
    for (int64_t i = 0; i < most && *place != NULL; i++) place = &(*place)->next;
    while (*place != NULL) {
        struct slow_request *request = *place;
        *place = request->next;
        request_free(request);
        length--;
    }
}

/* A copy of an argument, with how much was left out at its end. */
static char *copy_argument(const struct bulk *argument, uint32_t *copied) {
    size_t kept = argument->length > ARGUMENT_MOST ? ARGUMENT_MOST : argument->length;
    char *copy = malloc(kept + 48);
    if (copy == NULL) return NULL;
    memcpy(copy, argument->data, kept);
    *copied = (uint32_t)kept;
    if (kept < argument->length) *copied += (uint32_t)sprintf(copy + kept, "... (%zu more bytes)", argument->length - kept);
    return copy;
}

void slowlog_note(const struct bulk *arguments, uint32_t count, uint64_t microseconds, int64_t now, const char *peer, const char *name) {
    int64_t most = atomic_load_explicit(&config.slowlog_max_len, memory_order_relaxed);
    struct slow_request *request = calloc(1, sizeof *request);
    if (request == NULL) return;
    uint32_t kept = count > ARGUMENTS_MOST ? ARGUMENTS_MOST : count;
    for (uint32_t i = 0; i < kept; i++) {
        char left_out[64];
        struct bulk argument = arguments[i];
        if (i == ARGUMENTS_MOST - 1 && count > ARGUMENTS_MOST) {
            argument.length = (size_t)snprintf(left_out, sizeof left_out, "... (%u more arguments)", count - ARGUMENTS_MOST + 1);
            argument.data = left_out;
        }
        request->arguments[i] = copy_argument(&argument, &request->lengths[i]);
        if (request->arguments[i] == NULL) break;
        request->count++;
    }
    request->time = now / 1000;
    request->microseconds = (int64_t)microseconds;
    request->peer = strdup(peer);
    request->name = strdup(name == NULL ? "" : name);
    pthread_mutex_lock(&mutex);
    request->id = next_id++;
    request->next = newest;
    newest = request;
    length++;
    cut(most);
    pthread_mutex_unlock(&mutex);
}

static void reply_request(const struct slow_request *request, struct reply *reply) {
    reply_array(reply, 6);
    reply_integer(reply, request->id);
    reply_integer(reply, request->time);
    reply_integer(reply, request->microseconds);
    reply_array(reply, request->count);
    for (uint32_t i = 0; i < request->count; i++) reply_bulk(reply, request->arguments[i], request->lengths[i]);
    reply_bulk_text(reply, request->peer == NULL ? "" : request->peer);
    reply_bulk_text(reply, request->name == NULL ? "" : request->name);
}

void command_slowlog_get(const struct call *call, struct reply *reply) {
    int64_t count = 10;
    if (call->count > 3) {
        reply_subcommand_error(call, reply);
        return;
    }
    if (call->count == 3 && !argument_integer_within(&call->arguments[2], -1, INT64_MAX, &count, reply,
                                                     "ERR count should be greater than or equal to -1"))
        return;
    pthread_mutex_lock(&mutex);
    if (count == -1 || count > length) count = length;
    reply_array(reply, (size_t)count);
    const struct slow_request *request = newest;
    for (int64_t i = 0; i < count; i++, request = request->next) reply_request(request, reply);
    pthread_mutex_unlock(&mutex);
}

void command_slowlog_len(const struct call *call, struct reply *reply) {
    (void)call;
    pthread_mutex_lock(&mutex);
    reply_integer(reply, length);
    pthread_mutex_unlock(&mutex);
}

void command_slowlog_reset(const struct call *call, struct reply *reply) {
    (void)call;
    pthread_mutex_lock(&mutex);
    cut(0);
    pthread_mutex_unlock(&mutex);
    reply_ok(reply);
}

void command_slowlog_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET [<count>]",
        "    The latest slow requests (default: 10; -1: all), newest first. Each is",
        "    its number, unix time, microseconds, arguments, the client's address and name.",
        "LEN",
        "    How many there are.",
        "RESET",
        "    Forgets them.",
        "HELP",
        "    This text.",
    };
    (void)call;
    reply_array(reply, sizeof lines / sizeof lines[0]);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) reply_status(reply, lines[i]);
}
