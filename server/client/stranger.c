#include "stranger.h"

#include <stdatomic.h>
#include <strings.h>

#include "server/base/log.h"

/* A page can try as often as it likes, and must not fill the log. */
#define QUIET_MS 60000

static _Atomic int64_t quiet_until, limits_quiet_until; /* monotonic ms */

bool stranger_is_http(const struct bulk *name) {
    return (name->length == 4 && strncasecmp(name->data, "POST", 4) == 0) ||
           (name->length == 5 && strncasecmp(name->data, "Host:", 5) == 0);
}

bool stranger_is_news(int64_t now) {
    return log_is_due(&quiet_until, now, QUIET_MS);
}

bool stranger_is_over_limit_news(int64_t now) {
    return log_is_due(&limits_quiet_until, now, QUIET_MS);
}

void stranger_log(const char *peer) {
    log_write(
        LOG_WARNING,
        "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to "
        "Latchkey. This is likely due to an attacker attempting to use Cross Protocol Scripting to "
        "compromise your server. Connection from %s aborted.",
        peer);
}
