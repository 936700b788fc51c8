/* A digest, so that comparing takes the same time whatever the two lengths are. */
#include "password.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "config.h"
#include "shard/base/mutex.h"

static struct mutex mutex = MUTEX_INITIALIZER;
static unsigned char digest[SHA256_DIGEST_LENGTH] GUARDED_BY(mutex);
static _Atomic bool has_password;

void password_set(const char *password, size_t length) {
    mutex_lock(&mutex);
    SHA256((const unsigned char *)password, length, digest);
    atomic_store_explicit(&has_password, length > 0, memory_order_release);
    mutex_unlock(&mutex);
}

bool config_has_password(void) {
    return atomic_load_explicit(&has_password, memory_order_acquire);
}

bool config_password_is(const char *password, size_t length) {
    unsigned char given[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)password, length, given);
    mutex_lock(&mutex);
    bool is_same = CRYPTO_memcmp(given, digest, sizeof digest) == 0;
    mutex_unlock(&mutex);
    return is_same || !config_has_password();
}
