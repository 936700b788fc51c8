/* The password that clients have to give, kept as a digest. config.h has what others may ask. Any thread. */
#ifndef SERVER_CONFIG_PASSWORD_H
#define SERVER_CONFIG_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

/* From now on it is this; none if it has no bytes. false: OpenSSL has no memory, and nothing has changed. */
bool password_set(const char *password, size_t length);

#endif
