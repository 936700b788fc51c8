/* An inquiry: a question that every worker answers about its own connections (CLIENT LIST, KILL, PAUSE, ...),
 * and, if its command says so (COMMAND_EVERY_THREAD), each thread of long work as well. Where that may come
 * later (`tells_later`), those threads are told, but their answers are not waited for.
 *
 * The command's `visit` runs once on each of them, outside the gate and every lock, and writes to that one's
 * answer; when all have answered, `conclude` runs where the command came from and makes the reply out of the
 * answers. Meanwhile the asking connection is parked, so its OK means that it holds everywhere. */
#ifndef SERVER_WORKER_INQUIRY_H
#define SERVER_WORKER_INQUIRY_H

#include <stdatomic.h>
#include <stdint.h>

#include "server/command/command.h"
#include "mailbox.h"
#include "worker.h"

struct inquiry_answer {
    struct message message; /* carries the question there */
    struct inquiry *inquiry;
    struct reply text; /* bytes for conclude to use: lines, or RESP */
    int64_t number;
};

struct inquiry {
    const struct command *command;
    struct bulk *arguments; /* a copy */
    uint32_t count;
    uint64_t asker; /* session id of the client that asks */
    int asker_protocol;
    int64_t now;
    uint32_t workers;
    uint32_t awaited; /* the first so many of them are */
    bool is_done;     /* the visits' own: what one of them does for all; guarded by whatever that changes */
    _Atomic uint32_t pending; /* of those that are awaited */
    _Atomic uint32_t holders; /* the origin, and those that are not awaited and have still to look */
    struct message done;      /* goes back to the asker's worker */
    struct worker *origin;
    /* The origin's only: the task that waits for it, or NULL if none does any more; and whether all have
     * answered. */
    struct task *task;
    bool is_complete;
    struct inquiry_answer answers[]; /* by worker number */
};

static inline struct inquiry_answer *inquiry_answer(struct inquiry *inquiry, const struct worker *worker) {
    return &inquiry->answers[worker->number];
}

#endif
