#include "log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/mutex.h"
#include "server/config/config.h"

/* How long after one the next one like it is the same, and among how many of the newest it is looked for. */
#define SAME_MS 60000
#define LOOKED_AT_MOST 10

static struct mutex mutex = MUTEX_INITIALIZER;
static struct {
    struct acl_log_entry *first, *last;
    int64_t count, next_id;
} entries GUARDED_BY(mutex);

static void entry_free(struct acl_log_entry *entry) {
    if (entry != NULL) free(entry->client);
    free(entry);
}

static void unlink_entry(struct acl_log_entry *entry) REQUIRES(mutex) {
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    else
        entries.last = entry->previous;
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        entries.first = entry->next;
    entries.count--;
}

static void put_first(struct acl_log_entry *entry) REQUIRES(mutex) {
    entry->previous = NULL;
    entry->next = entries.first;
    if (entries.first != NULL)
        entries.first->previous = entry;
    else
        entries.last = entry;
    entries.first = entry;
    entries.count++;
}

/* Forgets the oldest beyond so many, each freed without the lock. */
static void cut(int64_t most) {
    struct acl_log_entry *gone;
    do {
        mutex_lock(&mutex);
        gone = entries.count > most ? entries.last : NULL;
        if (gone != NULL) unlink_entry(gone); /* NOLINT(clang-analyzer-unix.Malloc): it was the last */
        mutex_unlock(&mutex);
        entry_free(gone);
    } while (gone != NULL);
}

static size_t kept_of(const struct bulk *text) {
    return text->length < ACL_LOG_TEXT_MOST ? text->length : ACL_LOG_TEXT_MOST;
}

static struct acl_log_entry *entry_create(enum acl_reason reason, enum acl_context context,
                                          const struct bulk *object, const struct bulk *user,
                                          const char *client, int64_t now) {
    size_t object_length = kept_of(object), user_length = kept_of(user);
    struct acl_log_entry *entry = malloc(sizeof *entry + object_length + user_length);
    if (entry == NULL) return NULL;
    *entry = (struct acl_log_entry){
        .reason = reason,
        .context = context,
        .created = now,
        .updated = now,
        .count = 1,
        .client = strdup(client == NULL ? "" : client),
        .object_length = object_length,
        .user_length = user_length,
    };
    if (object_length > 0) memcpy(entry->text, object->data, object_length);
    if (user_length > 0) memcpy(entry->text + object_length, user->data, user_length);
    if (entry->client != NULL) return entry;
    free(entry);
    return NULL;
}

static bool is_like(const struct acl_log_entry *one, const struct acl_log_entry *other) {
    int64_t apart = other->updated - one->updated;
    return one->reason == other->reason && one->context == other->context && apart <= SAME_MS &&
           apart >= -SAME_MS && one->object_length == other->object_length &&
           one->user_length == other->user_length &&
           memcmp(one->text, other->text, one->object_length + one->user_length) == 0;
}

static struct acl_log_entry *find_like(const struct acl_log_entry *entry) REQUIRES(mutex) {
    struct acl_log_entry *known = entries.first;
    for (int looked_at = 0; known != NULL && looked_at < LOOKED_AT_MOST; looked_at++, known = known->next)
        if (is_like(known, entry)) return known;
    return NULL;
}

void acl_log_note(enum acl_reason reason, enum acl_context context, const struct bulk *object,
                  const struct bulk *user, const char *client, int64_t now) {
    int64_t most = atomic_load_explicit(&config.acllog_max_len, memory_order_relaxed);
    struct acl_log_entry *entry = most == 0 ? NULL : entry_create(reason, context, object, user, client, now);
    if (entry != NULL) {
        mutex_lock(&mutex);
        struct acl_log_entry *known = find_like(entry);
        if (known != NULL) {
            char *client_before = known->client;
            unlink_entry(known);
            known->count++;
            known->updated = entry->updated;
            known->client = entry->client;
            entry->client = client_before;
            put_first(known);
        } else {
            entry->id = entries.next_id++;
            put_first(entry);
        }
        mutex_unlock(&mutex);
        if (known != NULL) entry_free(entry);
    }
    cut(most);
}

void acl_log_visit(int64_t most, void (*visit)(void *context, const struct acl_log_entry *entry),
                   void *context) {
    mutex_lock(&mutex);
    for (const struct acl_log_entry *entry = entries.first; entry != NULL && most > 0;
         entry = entry->next, most--)
        visit(context, entry);
    mutex_unlock(&mutex);
}

void acl_log_clear(void) {
    cut(0);
}
