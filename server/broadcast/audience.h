/* An audience: the tasks that hear what is told to it (a channel's subscribers, a pattern's, the monitors),
 * on whatever workers they are.
 *
 *     audience --> part --> part --> part          one for each worker on which there are hearers
 *                   |
 *                   '--> hearers: tasks of that worker
 *
 * Who tells something knows the parts, and how many hearers each has; it holds the audience's lock, which is
 * its owner's. The hearers themselves are their worker's alone. What is told travels to each of these workers
 * as one message, of news (news.h). */
#ifndef SERVER_BROADCAST_AUDIENCE_H
#define SERVER_BROADCAST_AUDIENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/task/task.h"
#include "server/worker/worker.h"
#include "sheet.h"

struct hearer {
    struct task *task;
    struct part *part;
    uint32_t place; /* among its part's hearers, once it has entered */
};

/* What comes before each text that a part hears, behind the first byte, which is the protocol's; empty: what
 * is told are whole lines. */
struct head {
    const char *bytes;
    size_t length;
    bool has_name; /* of the channel: its hearers are told what follows that */
};

struct part {
    /* With the audience's lock: */
    struct part *next;
    uint32_t counted; /* those that hear what is told now */
    bool is_closed;   /* no longer in its audience */
    bool has_name;    /* in its head */
    struct worker *worker;
    struct pad pad;
    /* Those that hear what its worker reads now. The worker's own. */
    uint32_t count, capacity;
    struct hearer **hearers;
    _Atomic uint32_t flights; /* news on their way that are for it */
    size_t head_length;
    char head[];
};

struct audience {
    struct part *parts;
    struct desk *desk; /* of its parts' pads: its owner's, and there for good; NULL: they have none */
};

/* One more will hear what is told from here on. With the audience's lock and its desk's mutex, on the worker
 * of the hearer, whose task is filled in. false: no memory. The head is the same for all of its hearers. */
bool audience_count(struct audience *audience, struct worker *worker, struct hearer *hearer,
                    const struct head *head);
/* One that was counted hears nothing that is told from here on. Likewise. */
void audience_discount(struct audience *audience, struct hearer *hearer);
/* How many there are. With its lock. */
uint64_t audience_size(const struct audience *audience);

/* On the hearer's worker, without a lock: from here on it hears what its worker reads, or no longer. It may
 * leave, once it is discounted, whether it has entered or not. */
void hearer_enter(struct hearer *hearer);
void hearer_leave(struct hearer *hearer);

/* News that were for the part have been read. */
void part_landed(struct part *part);

#endif
