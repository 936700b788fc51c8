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

/* The arguments as others may see them: passwords are taken out. The call's own if there are none, else a
 * copy to be freed; NULL when out of memory. */
static const struct bulk *arguments_shown(const struct call *call, struct bulk **copy) {
    static char mark[] = "(redacted)";
    const char *name = call->command->full_name;
    bool is_auth = strcmp(name, "auth") == 0, is_hello = strcmp(name, "hello") == 0;
    bool is_user = strcmp(name, "acl|setuser") == 0 || strcmp(name, "acl|deluser") == 0 ||
                   strcmp(name, "acl|getuser") == 0;
    *copy = NULL;
    if (!is_auth && !is_hello && !is_user && strcmp(name, "config|set") != 0) return call->arguments;
    struct bulk *shown = *copy = malloc(call->count * sizeof *shown);
    if (shown == NULL) return NULL;
    memcpy(shown, call->arguments, call->count * sizeof *shown);
    for (uint32_t i = 1; i < call->count; i++) {
        bool follows_auth = is_hello && ((i >= 3 && argument_is(&call->arguments[i - 1], "AUTH")) ||
                                         (i >= 4 && argument_is(&call->arguments[i - 2], "AUTH")));
        bool is_password = !is_auth && !is_hello && !is_user && i >= 3 && i % 2 == 1 &&
                           config_is_secret(&call->arguments[i - 1]);
        if (is_auth || (is_user && i >= 2) || follows_auth || is_password)
            shown[i] = (struct bulk){mark, sizeof mark - 1, NULL};
    }
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

void account_many(const struct execution *execution, const struct command *command, uint64_t count,
                  uint64_t nanoseconds) {
    statistics_count(execution->dispatcher->statistics, command, count, nanoseconds);
}
