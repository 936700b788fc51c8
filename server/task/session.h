/* A session: what a client has said about itself and how it wants to be spoken to. A connection has one; a
 * script or a load would bring its own. It knows no socket. Touched only by the worker that runs its
 * commands. */
#ifndef SERVER_TASK_SESSION_H
#define SERVER_TASK_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transaction;

enum reply_mode { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

/* What a client library says of itself. Either may be NULL; owned. */
struct client_library {
    char *name, *version;
};

struct session {
    uint64_t id; /* CLIENT ID; never reused */
    uint32_t database;
    uint32_t monitor_place; /* among its worker's monitors, while it is one */
    uint8_t protocol;       /* 2 or 3 */
    enum reply_mode reply_mode : 8;
    bool is_authenticated;
    bool is_no_evict;
    bool is_no_touch;
    bool is_monitor;
    bool closes_after_reply;         /* QUIT, protocol errors */
    struct transaction *transaction; /* MULTI, WATCH; or NULL; owned */
    char *name;                      /* CLIENT SETNAME, or NULL; owned */
    struct client_library *library;  /* CLIENT SETINFO, or NULL; owned */
};

/* What a client may call itself, and its library: longer than any that means something, and it is shown to
 * everybody who lists clients. */
#define SESSION_NAME_MOST ((size_t)128 * 1024)
/* Bytes of those names, and of its transaction. */
size_t session_bytes(const struct session *session);

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
/* What commands may change of it, as it is in another one. */
void session_follow(struct session *session, const struct session *other);

/* It has given the password, or there is none (any more). */
bool session_is_admitted(const struct session *session);

#endif
