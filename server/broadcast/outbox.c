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

static bool add(struct outbox *outbox, enum channel_kind kind, const struct bulk *name,
                const struct bulk *text) {
    size_t bytes = size_of(name, text);
    struct publication *added = bytes > BYTES_MOST - outbox->bytes ? NULL : malloc(bytes);
    if (added == NULL) return false;
    added->next = NULL;
    added->kind = kind;
    take(&added->name, name, added->bytes);
    take(&added->text, text, added->bytes + name->length);
    if (outbox->last != NULL)
        outbox->last->next = added;
    else
        outbox->first = added;
    outbox->last = added;
    outbox->bytes += bytes;
    return true;
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
    for (struct publication *first; (first = outbox->first) != NULL;) {
        if (is_sent && channels_publish(first->kind, &first->name, &first->text) < 0)
            log_write(LOG_WARNING,
                      "Out of memory: a message that a transaction or a script has published is lost");
        outbox->first = first->next;
        free(first);
    }
    outbox->last = NULL;
    outbox->bytes = 0;
}

/* Nobody hears what nobody listens to, whoever comes until it is sent. */
int64_t publish(struct worker *worker, enum channel_kind kind, const struct bulk *name,
                const struct bulk *text) {
    struct outbox *outbox = &worker->broadcast->outbox;
    if (!outbox->is_open) return channels_publish(kind, name, text);
    int64_t audience = channels_audience(kind, name);
    return audience <= 0 || add(outbox, kind, name, text) ? audience : -1;
}
