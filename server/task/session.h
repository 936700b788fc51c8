/* A session: what a client has said about itself and how it wants to be spoken to. A connection has one; a
 * script or a load would bring its own. It knows no socket. Touched only by the worker that runs its
 * commands. */
#ifndef SERVER_TASK_SESSION_H
#define SERVER_TASK_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hearer;
struct reply;
struct subscription;
struct tracker;
struct tracking;
struct transaction;
struct user;

enum channel_kind { CHANNEL, CHANNEL_PATTERN, CHANNEL_SHARD, CHANNEL_KINDS };

/* What it hears of others: every command, if it is a monitor; what it has subscribed to, in the order in
 * which it did; and which of the keys that it has read have changed. */
struct subscriptions {
    struct hearer *monitor; /* or NULL */
    struct subscription *first[CHANNEL_KINDS], *last[CHANNEL_KINDS];
    struct subscription *leaving; /* what it hears no longer, but for what is on its way already */
    uint32_t counts[CHANNEL_KINDS];
    size_t bytes;
    struct tracking *tracking; /* CLIENT TRACKING, or NULL; interest/tracking.h's */
    struct tracker *trackers;  /* what tells it of keys: its own, and those of clients that redirect to it */
    size_t tracking_bytes;
    bool is_target;      /* somebody redirects to it, or has, or is about to */
    struct reply *later; /* what it has heard and is told behind the reply of its request, or NULL; owned */
    size_t later_bytes;
};

enum reply_mode { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

/* What a client library says of itself. Either may be NULL; owned. */
struct client_library {
    char *name, *version;
};

struct session {
    uint64_t id; /* CLIENT ID; never reused */
    uint32_t database;
    uint32_t tracks; /* as whom it reads keys (interest/tracked.h); 0: nobody keeps what it reads */
    /* One word, as there are many sessions and most are idle: */
    uint64_t user_word : 48; /* session_user */
    uint8_t protocol : 8;    /* 2 or 3 */
    enum reply_mode reply_mode : 4;
    bool is_authenticated : 1;
    bool is_no_evict : 1;
    bool is_no_touch : 1;
    bool closes_after_reply : 1;         /* QUIT, protocol errors */
    struct transaction *transaction;     /* MULTI, WATCH; or NULL; owned */
    struct subscriptions *subscriptions; /* SUBSCRIBE and its like; or NULL; owned */
    char *name;                          /* CLIENT SETNAME, or NULL; owned */
    struct client_library *library;      /* CLIENT SETINFO, or NULL; owned */
};

/* What a client may call itself, and its library: longer than any that means something, and it is shown to
 * everybody who lists clients. */
#define SESSION_NAME_MOST ((size_t)128 * 1024)
/* Bytes of those names, of its transaction, and of its subscriptions and the like. */
size_t session_bytes_held(const struct session *session);
static inline size_t session_bytes(const struct session *session) {
    bool has_none = session->name == NULL && session->library == NULL && session->subscriptions == NULL &&
                    session->transaction == NULL;
    return has_none ? 0 : session_bytes_held(session);
}

/* What it calls itself and its library, as it was: to be put back, when what was set since then is forgotten,
 * or to be let go. */
struct session_names {
    char *name;
    struct client_library *library;
};
/* false: no memory. */
bool session_names_keep(const struct session *session, struct session_names *names);
void session_names_put_back(struct session *session, const struct session_names *names);
void session_names_free(char *name, struct client_library *library);
/* Who it is (AUTH), whom it holds; NULL: the default user. */
static inline struct user *session_user(const struct session *session) {
    return (struct user *)(uintptr_t)session->user_word; /* as everywhere, addresses have 48 bits */
}
/* It is that user's from now on, of whom it takes a holding over; NULL: the default one's. */
void session_become(struct session *session, struct user *user);
/* What commands may change of it, as it is in another one. */
void session_follow(struct session *session, const struct session *other);

static inline bool session_is_monitor(const struct session *session) {
    return session->subscriptions != NULL && session->subscriptions->monitor != NULL;
}
/* CLIENT TRACKING is on. */
static inline bool session_is_tracking(const struct session *session) {
    return session->subscriptions != NULL && session->subscriptions->tracking != NULL;
}
/* It hears at least one channel. */
static inline bool session_is_subscriber(const struct session *session) {
    const struct subscriptions *list = session->subscriptions;
    return list != NULL &&
           (list->counts[CHANNEL] | list->counts[CHANNEL_PATTERN] | list->counts[CHANNEL_SHARD]) > 0;
}
/* Where that is noted; NULL: no memory. What has become empty is freed. */
struct subscriptions *session_subscriptions(struct session *session);
void session_subscriptions_trim(struct session *session);

/* It has said who it is, or need not: there is no password, or none any more. */
bool session_is_admitted(const struct session *session);

#endif
