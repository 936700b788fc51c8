/* Tracking: a client keeps copies of the keys that it reads, and wants to be told when they change (CLIENT
 * TRACKING; https://redis.io/docs/latest/develop/reference/client-side-caching/). This is the client's part:
 * what it has asked for, and whether what it reads now is noted. How it is told is trackers.h. */
#ifndef SERVER_INTEREST_TRACKING_H
#define SERVER_INTEREST_TRACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "resp/reply.h"
#include "resp/request.h"
#include "server/command/command.h"
#include "server/task/task.h"
#include "trackers.h"

enum caching { CACHING_ALL, CACHING_OPTIN, CACHING_OPTOUT };

struct tracking {
    struct chain_link link; /* among those of its worker, by handle */
    struct task *task;
    struct farewell *farewell;    /* of a tracker on another worker; or NULL */
    uint64_t redirect;            /* 0: it is told itself */
    struct prefix_list *prefixes; /* BCAST; NULL: it is told of what it has read */
    enum caching caching;
    bool is_turned;     /* CLIENT CACHING: the next command is treated the other way */
    bool spares_itself; /* NOLOOP */
    bool is_broken;     /* whom it redirects to has gone */
};

/* What CLIENT TRACKING asks for. */
struct tracking_wish {
    bool is_on, is_broadcast, is_optin, is_optout, is_noloop;
    uint64_t redirect;
    uint32_t prefix_count;
    struct bulk *prefixes;
};

/* Before any other thread, and when no other thread is left. */
bool tracking_start(struct keyspace *keyspace, uint32_t workers);
void tracking_stop(void);

/* Whether the session may turn it on so; else that is replied. */
bool tracking_may_begin(const struct session *session, const struct tracking_wish *wish, struct reply *reply);
/* On the task's worker: turns it on, or changes it. Who is redirected to is on that worker, was made a target
 * there, and is found there by its id; without a redirection that is the task itself. false: no memory, and
 * nothing has changed. */
bool tracking_begin(struct worker *worker, struct task *task, const struct tracking_wish *wish,
                    struct worker *receiver, struct task *(*find)(struct worker *worker, uint64_t id));
/* Others are going to redirect to that task of this worker, which it therefore never leaves. false: no
 * memory. */
bool tracking_target(struct worker *worker, struct task *task);
/* It may not be on. */
void tracking_end(struct worker *worker, struct task *task);
/* The task ends: nobody is told by it, either. */
void tracking_forget(struct worker *worker, struct task *task);

/* A call is about to read for whoever `tracks` stands for (session.h; 0: nobody keeps what it reads): its
 * keys are noted. */
void tracking_note_keys(uint32_t tracks, const struct call *call);
static inline void tracking_note(uint32_t tracks, const struct call *call) {
    if (tracks != 0 && (call->command->flags & COMMAND_READONLY) != 0) tracking_note_keys(tracks, call);
}

/* CLIENT CACHING; it is on, in one of the two modes. */
void tracking_turn(struct session *session);
/* A command of that session is done: what CLIENT CACHING said held for it, unless it is to hold for the next
 * one as well. */
void tracking_command_done(struct session *session, bool holds_on);

#endif
