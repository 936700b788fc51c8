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
 * All of that with the pad's mutex held, unless it is said otherwise. */
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

/* All zero but the first two is one without a sheet. */
struct pad {
    struct mutex *mutex;
    struct worker *worker; /* who reads them */
    struct sheet *sheet;   /* where the next text goes; or NULL */
    struct sheet *blank;   /* made, and not sent yet; or NULL */
    uint32_t written;      /* on that sheet, or the last one */
    uint32_t before;       /* on those right in front of it, which were full */
};

/* Finds room for a text of so many bytes: where there is none, on a blank one. false: no memory. */
bool pad_prepare(struct pad *pad, size_t length);
/* Gives that up. */
void pad_discard(struct pad *pad);
/* Writes the text, for which there is room. Returns the sheet if it is new: it is to be sent; or NULL. */
struct sheet *pad_write(struct pad *pad, const char *text, size_t length);
/* Nothing more is written on its sheet, if it has one. */
void pad_close(struct pad *pad);

/* Its worker, which has taken it from its news, without that mutex: nothing more is written on it. */
void sheet_take(struct sheet *sheet);
/* Then: the text that begins there, and where the next one does; the first is at 0, behind the last is
 * `used`. */
const char *sheet_text(const struct sheet *sheet, uint32_t *at, size_t *length);

#endif
