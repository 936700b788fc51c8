/* Users in a file (aclfile), or in lines of the configuration: "user name words...". */
#ifndef SERVER_ACL_FILE_H
#define SERVER_ACL_FILE_H

#include <stdbool.h>

#include "resp/reply.h"

/* Replaces all users by those of the file, or leaves all as it is: then `mistakes` has, as bytes, what is
 * wrong in it, in one line. */
bool users_load(const char *path, struct reply *mistakes);
/* Writes all users to the file, in the place of what it was in one step. false, logged. */
bool users_save(const char *path);

/* At the start, after users_start: those of the aclfile, or of the configuration, or none. false, logged. */
bool users_load_at_start(void);

#endif
