#include "flags.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    uint32_t flag;
} names[] = {{"no-writes", SCRIPT_NO_WRITES},
             {"allow-oom", SCRIPT_ALLOW_OOM},
             {"allow-stale", SCRIPT_ALLOW_STALE},
             {"no-cluster", SCRIPT_NO_CLUSTER},
             {"allow-cross-slot-keys", SCRIPT_ALLOW_CROSS_SLOT_KEYS}};

#define NAMES (sizeof names / sizeof *names)

bool flags_add(uint32_t *flags, const char *name, size_t length) {
    for (size_t i = 0; i < NAMES; i++) {
        if (strlen(names[i].name) != length || strncasecmp(names[i].name, name, length) != 0) continue;
        *flags |= names[i].flag;
        return true;
    }
    return false;
}

const char *flags_name(uint32_t flags, int number) {
    for (size_t i = 0; i < NAMES; i++)
        if ((flags & names[i].flag) != 0 && number-- == 0) return names[i].name;
    return NULL;
}
