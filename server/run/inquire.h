/* Inquiries, from the asking side (server/worker/inquiry.h): its task is parked until all workers have
 * answered. */
#ifndef SERVER_RUN_INQUIRE_H
#define SERVER_RUN_INQUIRE_H

#include "dispatcher.h"

struct under_way;

enum outcome run_inquiry(struct execution *execution);
/* Nobody waits for it any more: it frees itself, now or when it comes back. */
void inquiry_leave(struct under_way *under_way);
/* One worker may be busy for long, and the others' clients don't wait for it: they are told. */
void inquiries_end_unanswered(struct worker *worker);

#endif
