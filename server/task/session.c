#include "session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/config/config.h"
#include "transaction.h"
#include "user.h"

size_t session_bytes_held(const struct session *session) {
    const struct client_library *library = session->library;
    const char *const names[] = {session->name, library == NULL ? NULL : library->name,
                                 library == NULL ? NULL : library->version};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] != NULL) bytes += strlen(names[i]) + 1;
    if (session->subscriptions != NULL)
        bytes += sizeof *session->subscriptions + session->subscriptions->bytes +
                 session->subscriptions->tracking_bytes + session->subscriptions->later_bytes;
    const struct transaction *transaction = session->transaction;
    if (transaction == NULL) return bytes;
    return bytes + transaction_bytes(transaction);
}

static bool copy(char **to, const char *from) {
    *to = from == NULL ? NULL : strdup(from);
    return from == NULL || *to != NULL;
}

bool session_names_keep(const struct session *session, struct session_names *names) {
    const struct client_library *library = session->library;
    *names = (struct session_names){NULL, library == NULL ? NULL : calloc(1, sizeof *library)};
    bool is_kept = copy(&names->name, session->name);
    if (library != NULL)
        is_kept = is_kept && names->library != NULL && copy(&names->library->name, library->name) &&
                  copy(&names->library->version, library->version);
    if (!is_kept) session_names_free(names->name, names->library);
    return is_kept;
}

void session_names_put_back(struct session *session, const struct session_names *names) {
    session_names_free(session->name, session->library);
    session->name = names->name;
    session->library = names->library;
}

void session_names_free(char *name, struct client_library *library) {
    free(name);
    if (library == NULL) return;
    free(library->name);
    free(library->version);
    free(library);
}

void session_become(struct session *session, struct user *user) {
    struct user *before = session_user(session);
    session->user_word = (uintptr_t)user & ((UINT64_C(1) << 48) - 1);
    assert(session_user(session) == user);
    user_let_go(before);
}

void session_follow(struct session *session, const struct session *other) {
    session->database = other->database;
    session->tracks = other->tracks;
    session->protocol = other->protocol;
    session->reply_mode = other->reply_mode;
    session_become(session, user_hold(session_user(other)));
    session->is_authenticated = other->is_authenticated;
    session->is_no_evict = other->is_no_evict;
    session->is_no_touch = other->is_no_touch;
    session->closes_after_reply = other->closes_after_reply;
}

bool session_is_admitted(const struct session *session) {
    return session->is_authenticated || config_is_open();
}

struct subscriptions *session_subscriptions(struct session *session) {
    if (session->subscriptions == NULL) session->subscriptions = calloc(1, sizeof *session->subscriptions);
    return session->subscriptions;
}

void session_subscriptions_trim(struct session *session) {
    const struct subscriptions *list = session->subscriptions;
    if (list == NULL || session_is_subscriber(session) || list->monitor != NULL || list->later != NULL)
        return;
    if (list->leaving != NULL || list->tracking != NULL || list->is_target) return;
    free(session->subscriptions);
    session->subscriptions = NULL;
}
