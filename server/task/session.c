#include "session.h"

#include <string.h>

#include "server/config/config.h"
#include "transaction.h"

size_t session_bytes(const struct session *session) {
    const struct client_library *library = session->library;
    const char *const names[] = {session->name, library == NULL ? NULL : library->name,
                                 library == NULL ? NULL : library->version};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] != NULL) bytes += strlen(names[i]) + 1;
    const struct transaction *transaction = session->transaction;
    if (transaction == NULL) return bytes;
    return bytes + transaction->bytes + transaction->watch_bytes + transaction->answer_bytes;
}

bool session_is_admitted(const struct session *session) {
    return session->is_authenticated || !config_has_password();
}
