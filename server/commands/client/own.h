/* A client's name, as CLIENT SETNAME and HELLO set it. */
#ifndef SERVER_COMMANDS_CLIENT_OWN_H
#define SERVER_COMMANDS_CLIENT_OWN_H

#include "resp/reply.h"
#include "resp/request.h"
#include "server/task/session.h"

/* Replies what is wrong with the name and returns false. */
bool client_name_check(const struct bulk *name, struct reply *reply);
/* Checks it and sets it; an empty one clears it. Replies and returns false if it is wrong or memory is
 * out. */
bool client_name_set(struct session *session, const struct bulk *name, struct reply *reply);

#endif
