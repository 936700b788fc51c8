/* Versions: our own, and the Redis whose behaviour clients may expect. */
#ifndef SERVER_BASE_VERSION_H
#define SERVER_BASE_VERSION_H

#define LATCHKEY_VERSION "0.1.0"
#define REDIS_VERSION "7.2.0"

#endif
