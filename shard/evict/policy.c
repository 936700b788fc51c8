/* Policies: which entries are considered, and which of these goes first. */
#include <math.h>

#include "inside.h"

static enum access_form form_for(enum eviction_policy policy) {
    switch (policy) {
    case EVICTION_ALLKEYS_LFU:
    case EVICTION_VOLATILE_LFU: return ACCESS_FREQUENCY;
    case EVICTION_ALLKEYS_S3FIFO: return ACCESS_QUEUES;
    default: return ACCESS_SECONDS;
    }
}

void eviction_configure(struct keyspace *keyspace, enum eviction_policy policy, int64_t log_factor,
                        int64_t decay) {
    usage_configure(keyspace, form_for(policy), log_factor, decay);
    atomic_store(&keyspace->policy, (int)policy);
}

bool is_candidate(enum candidates which, const struct entry *entry) {
    switch (which) {
    case CANDIDATES_ALL: return true;
    case CANDIDATES_VOLATILE: return entry_expires(entry);
    case CANDIDATES_SMALL: return !access_is_main(access_read(entry));
    case CANDIDATES_MAIN: return access_is_main(access_read(entry));
    }
    return false;
}

/* The memory of an entry as far as a score is concerned: without asking the allocator. */
static size_t weight_of(const struct entry *entry) {
    size_t key = entry_key_length(entry);
    switch (entry_encoding(entry)) {
    case ENCODING_INTEGER: return entry_size(key, entry_expires(entry), sizeof(int64_t));
    case ENCODING_VALUE: return entry_bytes(entry);
    default: return entry_size(key, entry_expires(entry), entry->value_length);
    }
}

float score_of(const struct lane *lane, const struct entry *entry, int64_t now) {
    const struct usage *usage = &lane->keyspace->usage;
    static const float kept[ACCESS_COUNT_MOST + 1] = {1.0F, 0.5F, 0.3F, 0.2F};
    uint16_t access = access_read(entry);
    switch (eviction_policy_of(lane->keyspace)) {
    case EVICTION_ALLKEYS_LRU:
    case EVICTION_VOLATILE_LRU: return (float)access_idle_seconds(access, usage_now(lane, now));
    case EVICTION_ALLKEYS_LFU:
    case EVICTION_VOLATILE_LFU:
        return 255.0F - (float)access_frequency_now(access, usage_now(lane, now), usage_decay(usage));
    case EVICTION_VOLATILE_TTL: return (float)(now - entry_expiry(entry));
    case EVICTION_ALLKEYS_S3FIFO: {
        float age = (float)access_age(access, usage_tick(usage)) + 0.5F;
        if (access_is_main(access)) age *= kept[access_count(access)];
        return age * sqrtf((float)weight_of(entry));
    }
    default: return 0;
    }
}

enum candidates candidates_now(const struct lane *lane, size_t incoming) {
    enum eviction_policy policy = eviction_policy_of(lane->keyspace);
    if (policy != EVICTION_ALLKEYS_S3FIFO)
        return policy >= EVICTION_VOLATILE_LRU ? CANDIDATES_VOLATILE : CANDIDATES_ALL;
    struct ledger ledger = budget_read(lane->budget);
    int64_t small = ledger.entries - ledger.main + (int64_t)incoming;
    bool is_small =
        small > (int64_t)incoming && (small * 100 > ledger.entries * SMALL_SHARE || ledger.main <= 0);
    return is_small ? CANDIDATES_SMALL : CANDIDATES_MAIN;
}
