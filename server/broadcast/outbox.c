#include "outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "broadcast.h"
#include "channels.h"

/* All that may wait. */
#define BYTES_MOST ((size_t)256 << 20)

struct publication {
    struct publication *next;
    enum channel_kind kind;
    uint64_t told; /* 0: by a command, which is not taken back by itself */
    bool stays;
    struct bulk name, text;
    char bytes[];
};

static void take(struct bulk *copy, const struct bulk *bulk, char *room) {
    *copy = (struct bulk){.data = room, .length = bulk->length};
    memcpy(room, bulk->data, bulk->length);
}

static size_t size_of(const struct bulk *name, const struct bulk *text) {
    return sizeof(struct publication) + name->length + text->length;
}

static struct publication *add(struct outbox *outbox, enum channel_kind kind, const struct bulk *name,
                               const struct bulk *text) {
    size_t bytes = size_of(name, text);
    struct publication *added = bytes > BYTES_MOST - outbox->bytes ? NULL : malloc(bytes);
    if (added == NULL) return NULL;
    added->next = NULL;
    added->kind = kind;
    added->told = 0;
    added->stays = false;
    take(&added->name, name, added->bytes);
    take(&added->text, text, added->bytes + name->length);
    if (outbox->first == NULL) outbox->end = &outbox->first;
    *outbox->end = added;
    outbox->end = &added->next;
    outbox->bytes += bytes;
    return added;
}

static void send_one(const struct publication *publication) {
    if (channels_publish(publication->kind, &publication->name, &publication->text) < 0)
        log_write(LOG_WARNING,
                  "Out of memory: a message that a transaction or a script has published is lost");
}

static void empty(struct outbox *outbox, bool is_sent) {
    for (struct publication *first; (first = outbox->first) != NULL;) {
        if (is_sent || first->stays) send_one(first);
        outbox->first = first->next;
        free(first);
    }
    outbox->bytes = 0;
}

void outbox_open(struct worker *worker) {
    struct outbox *outbox = &worker->broadcast->outbox;
    assert(!outbox->is_open && outbox->first == NULL);
    outbox->is_open = true;
}

void outbox_close(struct worker *worker, bool is_sent) {
    struct outbox *outbox = &worker->broadcast->outbox;
    assert(outbox->is_open);
    outbox->is_open = false;
    empty(outbox, is_sent);
}

bool outbox_is_open(const struct worker *worker) {
    return worker->broadcast->outbox.is_open;
}

void outbox_flush(struct worker *worker) {
    empty(&worker->broadcast->outbox, true);
}

bool outbox_keep(struct worker *worker, const struct bulk *name, const struct bulk *text, uint64_t told,
                 bool stays) {
    if (channels_audience(CHANNEL, name) == 0) return true;
    struct publication *added = add(&worker->broadcast->outbox, CHANNEL, name, text);
    if (added == NULL) return false;
    added->told = told;
    added->stays = stays;
    return true;
}

void outbox_take_back(struct worker *worker, uint64_t told) {
    struct outbox *outbox = &worker->broadcast->outbox;
    struct publication **place = &outbox->first;
    for (struct publication *at; (at = *place) != NULL;) {
        if (at->told <= told || at->stays) {
            place = &at->next;
            continue;
        }
        outbox->bytes -= size_of(&at->name, &at->text);
        *place = at->next;
        free(at);
    }
    outbox->end = place;
}

void outbox_settle(struct worker *worker) {
    struct outbox *outbox = &worker->broadcast->outbox;
    if (!outbox->is_open && outbox->first != NULL) empty(outbox, true);
}

/* Nobody hears what nobody listens to, whoever comes until it is sent. */
int64_t publish(struct worker *worker, enum channel_kind kind, const struct bulk *name,
                const struct bulk *text) {
    struct outbox *outbox = &worker->broadcast->outbox;
    if (!outbox->is_open) return channels_publish(kind, name, text);
    int64_t audience = channels_audience(kind, name);
    return audience <= 0 || add(outbox, kind, name, text) != NULL ? audience : -1;
}
