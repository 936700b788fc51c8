/* Sheets: short texts for the same hearers of a worker travel together.
 *
 *     pad --> sheet: | length text | length text | length text |      |
 *               ^
 *     the worker's news:  ... message ... sheet                          as long as nothing is behind it
 *
 * A sheet is sent with its first text. While its worker hasn't begun to read it, and nothing has been sent to
 * that worker behind it, further texts are written on it: for each of them no memory is asked for, and no
 * message is sent, counted or waited for. So what a worker reads stays in the order in which all that was
 * told, whoever tells it.
 *
 * A pad belongs to a desk, which has the mutex for several of them. The one that was written on last lies on
 * it: then all that changes with each text stands on one cache line, that of the mutex, since threads that
 * tell something at the same time wait for nothing as much as for lines that others have written.
 *
 * All of that with the desk's mutex held, unless it is said otherwise. */
#ifndef SERVER_BROADCAST_SHEET_H
#define SERVER_BROADCAST_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shard/base/mutex.h"
#include "server/worker/worker.h"

struct sheet {
    struct message message;
    struct pad *pad;
    size_t bytes; /* of memory */
    uint32_t capacity;
    uint32_t used; /* once it is closed */
    char texts[];
};

struct desk {
    _Alignas(64) struct mutex mutex;
    struct pad *pad;     /* that lies here; or NULL */
    struct sheet *sheet; /* of that: where its next text goes; or NULL */
    uint32_t written;    /* on that sheet, or its last one */
};

/* All zero but the first two is one without a sheet. */
struct pad {
    struct desk *desk;
    struct worker *worker; /* who reads its sheets */
    struct sheet *blank;   /* made, and not sent yet; or NULL */
    uint32_t before;       /* written on those right in front of its sheet, which were full */
    /* While it doesn't lie on its desk: */
    uint32_t written;
    struct sheet *sheet;
};

/* Finds room for a text of so many bytes: where there is none, on a blank one. false: no memory. */
bool pad_prepare(struct pad *pad, size_t length);
/* Gives that up. */
void pad_discard(struct pad *pad);
/* Writes the text, for which there is room. Returns the sheet if it is new: it is to be sent; or NULL. */
struct sheet *pad_write(struct pad *pad, const char *text, size_t length);
/* Nothing is written on it any more, nor on the sheet that it may have. */
void pad_end(struct pad *pad);

/* Its worker, which has taken it from its news, without that mutex: nothing more is written on it. */
void sheet_take(struct sheet *sheet);
/* Then: the text that begins there, and where the next one does; the first is at 0, behind the last is
 * `used`. */
const char *sheet_text(const struct sheet *sheet, uint32_t *at, size_t *length);

#endif
