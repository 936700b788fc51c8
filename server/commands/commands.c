/* The list of files with commands. A new command is a function and a row in one of them; a new file is a line
 * here. */
#include "commands.h"

#include <strings.h>

#include "server/base/log.h"
#include "server/command/command_table.h"

/* clang-format off */
#define FILES(EACH) \
    EACH(strings_commands) \
    EACH(lcs_commands) \
    EACH(bits_commands) \
    EACH(bitfields_commands) \
    EACH(keys_commands) \
    EACH(expiry_commands) \
    EACH(scan_commands) \
    EACH(object_commands) \
    EACH(databases_commands) \
    EACH(sort_commands) \
    EACH(hashes_commands) \
    EACH(sets_commands) \
    EACH(lists_commands) \
    EACH(list_pops_commands) \
    EACH(sorted_sets_commands) \
    EACH(sorted_set_ranges_commands) \
    EACH(sorted_set_pops_commands) \
    EACH(sorted_set_operations_commands) \
    EACH(streams_commands) \
    EACH(stream_reads_commands) \
    EACH(stream_groups_commands) \
    EACH(stream_info_commands) \
    EACH(geo_commands) \
    EACH(hyperloglog_commands) \
    EACH(transactions_commands) \
    EACH(pubsub_commands) \
    EACH(scripts_commands) \
    EACH(functions_commands) \
    EACH(connection_commands) \
    EACH(users_commands) \
    EACH(rights_commands) \
    EACH(client_commands) \
    EACH(own_client_commands) \
    EACH(tracking_commands) \
    EACH(info_commands) \
    EACH(config_commands) \
    EACH(command_commands) \
    EACH(time_commands) \
    EACH(debug_commands) \
    EACH(digest_commands) \
    EACH(samples_commands) \
    EACH(workers_commands) \
    EACH(slowlog_commands) \
    EACH(latency_commands) \
    EACH(memory_commands) \
    EACH(monitor_commands) \
    EACH(shutdown_commands)
/* clang-format on */

#define DECLARE(rows) extern const struct command rows[];
#define NAME(rows) rows,

FILES(DECLARE)

void commands_register(void) {
    static const struct command *const files[] = {FILES(NAME)};
    command_table_init(files, sizeof files / sizeof files[0]);
}

/* Redis 7.2's that are not here. A configuration may take one of them away: it is gone anyhow. */
static bool is_of_redis(const char *name) {
    static const char *const names[] = {
        "acl",       "asking",   "bgrewriteaof", "bgsave",  "cluster",        "dump",
        "failover",  "lastsave", "migrate",      "module",  "psync",          "readonly",
        "readwrite", "replconf", "replicaof",    "restore", "role",           "save",
        "slaveof",   "sync",     "wait",         "waitaof", "restore-asking",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0) return true;
    return false;
}

bool commands_rename(const char *from, const char *to) {
    if (command_table_has(from) || !is_of_redis(from)) return command_table_rename(from, to);
    log_write(LOG_NOTICE, "rename-command %s: there is no such command here, so nothing is renamed.", from);
    return true;
}
