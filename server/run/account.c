#include "account.h"

#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/store/usage.h"
#include "server/base/clock.h"
#include "server/broadcast/monitor.h"
#include "server/config/config.h"
#include "server/observe/latency.h"
#include "server/observe/slowlog.h"
#include "server/observe/statistics.h"
#include "prepare.h"

/* Which of a command's arguments nobody else is shown. */
enum secrecy {
    SECRECY_NONE,
    SECRECY_AUTH,   /* all of them */
    SECRECY_HELLO,  /* the two behind AUTH */
    SECRECY_CONFIG, /* values of options that are secret */
    SECRECY_USERS,  /* all that tells of a user, behind the subcommand */
};

static enum secrecy secrecy_of(const char *name) {
    static const struct {
        const char *name;
        enum secrecy secrecy;
    } rows[] = {{"auth", SECRECY_AUTH},         {"hello", SECRECY_HELLO},
                {"config|set", SECRECY_CONFIG}, {"acl|setuser", SECRECY_USERS},
                {"acl|deluser", SECRECY_USERS}, {"acl|getuser", SECRECY_USERS}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(name, rows[i].name) == 0) return rows[i].secrecy;
    return SECRECY_NONE;
}

static bool is_secret(enum secrecy secrecy, const struct call *call, uint32_t i) {
    switch (secrecy) {
    case SECRECY_AUTH: return true;
    case SECRECY_HELLO:
        return (i >= 3 && argument_is(&call->arguments[i - 1], "AUTH")) ||
               (i >= 4 && argument_is(&call->arguments[i - 2], "AUTH"));
    case SECRECY_CONFIG: return i >= 3 && i % 2 == 1 && config_is_secret(&call->arguments[i - 1]);
    case SECRECY_USERS: return i >= 2;
    case SECRECY_NONE: break;
    }
    return false;
}

/* The arguments as others may see them: passwords are taken out. The call's own if there are none, else a
 * copy to be freed; NULL when out of memory. */
static const struct bulk *arguments_shown(const struct call *call, struct bulk **copy) {
    static char mark[] = "(redacted)";
    enum secrecy secrecy = secrecy_of(call->command->full_name);
    *copy = NULL;
    if (secrecy == SECRECY_NONE) return call->arguments;
    struct bulk *shown = *copy = malloc(call->count * sizeof *shown);
    if (shown == NULL) return NULL;
    memcpy(shown, call->arguments, call->count * sizeof *shown);
    for (uint32_t i = 1; i < call->count; i++)
        if (is_secret(secrecy, call, i)) shown[i] = (struct bulk){mark, sizeof mark - 1, NULL};
    return shown;
}

static void note_slow(const struct execution *execution, uint64_t microseconds) {
    char peer[TASK_ADDRESS];
    struct bulk *copy;
    const struct bulk *shown = arguments_shown(&execution->call, &copy);
    execution->task->functions->peer(execution->task, peer, sizeof peer);
    if (shown != NULL)
        slowlog_note(shown, execution->call.count, microseconds, execution->worker->now, peer,
                     execution->task->session.name);
    free(copy);
}

void feed_monitors(const struct execution *execution, bool hears_itself) {
    struct bulk *copy;
    if ((execution->call.command->flags & (COMMAND_SKIP_MONITOR | COMMAND_ADMIN)) != 0) return;
    const struct bulk *shown = arguments_shown(&execution->call, &copy);
    if (shown != NULL)
        monitor_feed(execution->task, execution->task->session.database, NULL, shown, execution->call.count,
                     hears_itself ? execution->reply : NULL);
    free(copy);
}

/* Counts the untimed commands and so many more of their kind. Returns how long they took together. */
static uint64_t account_time(struct worker *worker, const struct command *command, uint32_t more) {
    struct frame *frame = worker->frame;
    uint64_t ended = clock_cycles(), nanoseconds = clock_cycles_to_ns(ended - frame->boundary);
    statistics_count(worker->dispatcher->statistics, command, frame->untimed + more, nanoseconds);
    frame->boundary = ended;
    frame->untimed = 0;
    return nanoseconds;
}

void account_untimed(struct worker *worker) {
    const struct frame *frame = worker->frame;
    if (frame->untimed > 0) account_time(worker, frame->untimed_command, 0);
}

static bool is_slow(uint64_t nanoseconds) {
    int64_t slow = atomic_load_explicit(&config.slowlog_log_slower_than, memory_order_relaxed);
    return slow >= 0 && nanoseconds / 1000 >= (uint64_t)slow;
}

/* From here on others are told that a command took so long, and the clock is read anew. */
#define LONG_NS 1000000

/* A slow command among some that share a clock is known only to be one of them; the last one stands for
 * it. */
static void account_slow(const struct execution *execution, uint64_t nanoseconds) {
    const struct command *command = execution->call.command;
    struct worker *worker = execution->worker;
    if (is_slow(nanoseconds) && (command->flags & COMMAND_SKIP_SLOWLOG) == 0)
        note_slow(execution, nanoseconds / 1000);
    if (nanoseconds >= LONG_NS) {
        worker->now = clock_wall_ms();
        usage_clock(worker->frame->lane, worker->now, clock_monotonic_ms());
        latency_note((command->flags & COMMAND_FAST) != 0 ? "fast-command" : "command",
                     (int64_t)(nanoseconds / 1000000), worker->now);
    }
}

inline void account(const struct execution *execution) {
    struct statistics *statistics = execution->dispatcher->statistics;
    struct frame *frame = execution->frame;
    const struct command *command = execution->call.command;
    if (execution->is_rejected) {
        account_untimed(execution->worker);
        statistics_count_rejected(statistics, command);
        statistics_count_error(execution->reply->error_code, 1);
        return;
    }
    if (execution->reply->error_count > 0) {
        statistics_count_failed(statistics, command, 1);
        statistics_count_error(execution->reply->error_code, 1);
    }
    if (execution->prepared != NULL && execution->prepared->shares_clock) {
        frame->untimed++;
        frame->untimed_command = command;
    } else {
        account_slow(execution, account_time(execution->worker, command, 1));
    }
}

void account_inner(const struct execution *execution, uint64_t nanoseconds, const char *error_code) {
    struct statistics *statistics = execution->dispatcher->statistics;
    const struct command *command = execution->call.command;
    statistics_count(statistics, command, 1, nanoseconds);
    if (error_code != NULL) {
        statistics_count_failed(statistics, command, 1);
        statistics_count_error(error_code, 1);
    }
    account_slow(execution, nanoseconds);
    if (monitor_is_on()) feed_monitors(execution, false);
}

bool account_tells(uint64_t nanoseconds) {
    return monitor_is_on() || nanoseconds >= LONG_NS || is_slow(nanoseconds);
}
