/* What is asked of a client before it may do anything. */
#include "password.h"

#include <openssl/sha.h>
#include <string.h>

#include "config.h"
#include "shard/base/mutex.h"

static struct mutex mutex = MUTEX_INITIALIZER;
static unsigned char present[SHA256_DIGEST_LENGTH] GUARDED_BY(mutex);
static bool is_set GUARDED_BY(mutex);
static bool is_published GUARDED_BY(mutex);
static _Atomic bool has_password, is_closed;

bool password_set(const char *password, size_t length) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (SHA256((const unsigned char *)password, length, digest) == NULL) return false;
    mutex_lock(&mutex);
    memcpy(present, digest, sizeof present);
    is_set = length > 0;
    if (!is_published) {
        atomic_store_explicit(&has_password, is_set, memory_order_release);
        atomic_store_explicit(&is_closed, is_set, memory_order_release);
    }
    mutex_unlock(&mutex);
    return true;
}

bool password_digest(unsigned char digest[SHA256_DIGEST_LENGTH]) {
    mutex_lock(&mutex);
    memcpy(digest, present, SHA256_DIGEST_LENGTH);
    bool is_known = is_set;
    mutex_unlock(&mutex);
    return is_known;
}

void access_publish(bool has, bool is_open) {
    mutex_lock(&mutex);
    is_published = true;
    atomic_store_explicit(&has_password, has, memory_order_release);
    atomic_store_explicit(&is_closed, !is_open, memory_order_release);
    mutex_unlock(&mutex);
}

bool config_has_password(void) {
    return atomic_load_explicit(&has_password, memory_order_acquire);
}

bool config_is_open(void) {
    return !atomic_load_explicit(&is_closed, memory_order_acquire);
}
