/* What the server tells of itself: INFO as monitoring reads it, the slow log, latency, memory, and the
 * commands about commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define MIB ((size_t)1024 * 1024)

static struct server *start(const char *const *further) {
    const char *options[24] = {"--threads", "4"};
    for (size_t i = 0; further != NULL && further[i] != NULL; i++) options[2 + i] = further[i];
    return server_start(options);
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* ------------------------------------------------------------------ INFO, read as an exporter does */

struct field {
    const char *section, *name, *value;
};

struct info {
    char *text; /* cut up into the fields' strings */
    struct field fields[2048];
    size_t count;
    size_t sections;
};

/* Sections begin with "# Name" and have a blank line between; all else is name:value. Lines end with CRLF. */
static void info_parse(struct info *info, const char *text, size_t length) {
    const char *section = NULL;
    bool is_after_blank = true;
    *info = (struct info){.text = strndup(text, length)};
    assert_int_equal(strlen(info->text), length);
    for (char *line = info->text, *next; *line != '\0'; line = next) {
        char *end = strstr(line, "\r\n");
        if (end == NULL) fail_msg("a line doesn't end: %s", line);
        *end = '\0';
        next = end + 2;
        if (strchr(line, '\n') != NULL || strchr(line, '\r') != NULL)
            fail_msg("a line's end alone: %s", line);
        if (*line == '\0') {
            assert_false(is_after_blank); /* one at a time */
            is_after_blank = true;
            continue;
        }
        if (strncmp(line, "# ", 2) == 0) {
            if (!is_after_blank) fail_msg("no blank line before %s", line);
            section = line + 2;
            info->sections++;
            is_after_blank = false;
            continue;
        }
        char *colon = strchr(line, ':');
        if (section == NULL || is_after_blank || colon == NULL || colon == line)
            fail_msg("no field: %s", line);
        *colon = '\0';
        for (size_t i = 0; i < info->count; i++)
            if (strcmp(info->fields[i].name, line) == 0) fail_msg("%s is there twice", line);
        assert_true(info->count < sizeof info->fields / sizeof info->fields[0]);
        info->fields[info->count++] = (struct field){section, line, colon + 1};
    }
}

static struct info *info_ask(redisContext *connection, const char *sections) {
    struct info *info = malloc(sizeof *info);
    assert_non_null(info);
    redisReply *reply = redisCommand(connection, "INFO %s", sections);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    info_parse(info, reply->str, (size_t)reply->len);
    freeReplyObject(reply);
    return info;
}

static void info_free(struct info *info) {
    free(info->text);
    free(info);
}

static const struct field *info_find(const struct info *info, const char *name) {
    for (size_t i = 0; i < info->count; i++)
        if (strcmp(info->fields[i].name, name) == 0) return &info->fields[i];
    return NULL;
}

static const char *info_value(const struct info *info, const char *name) {
    const struct field *field = info_find(info, name);
    if (field == NULL) fail_msg("INFO has no %s", name);
    return field->value;
}

static double number_read(const char *name, const char *text) {
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0') fail_msg("%s is no number: %s", name, text);
    return number;
}

static double field_number(const struct info *info, const char *name) {
    return number_read(name, info_value(info, name));
}

/* Reads "a=1,b=2.5": the number behind that name. */
static double part_of(const char *value, const char *name) {
    size_t length = strlen(name);
    for (const char *at = value; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) != 0 || at[length] != '=') continue;
        char *end, *text = strndup(at + length + 1, strcspn(at + length + 1, ","));
        double number = strtod(text, &end);
        if (end == text || *end != '\0') fail_msg("%s is no number in %s", name, value);
        free(text);
        return number;
    }
    fail_msg("no %s in %s", name, value);
    return 0;
}

/* The fields that redis_exporter turns into metrics or labels and that a server without replicas, cluster and
 * modules has. Numbers, as it parses them: "ok" is one, too. */
static const char *const exported[] = {
    /* server */
    "uptime_in_seconds", "process_id", "hz", "configured_hz", "io_threads_active", "tcp_port",
    /* clients */
    "connected_clients", "blocked_clients", "maxclients", "tracking_clients", "clients_in_timeout_table",
    "total_blocking_keys", "total_blocking_keys_on_nokey",
    /* memory */
    "allocator_active", "allocator_allocated", "allocator_resident", "allocator_frag_ratio",
    "allocator_frag_bytes", "allocator_rss_ratio", "allocator_rss_bytes", "used_memory", "used_memory_rss",
    "used_memory_peak", "used_memory_lua", "used_memory_vm_eval", "used_memory_scripts_eval",
    "used_memory_overhead", "used_memory_startup", "used_memory_dataset", "number_of_cached_scripts",
    "number_of_functions", "number_of_libraries", "used_memory_vm_functions", "used_memory_scripts",
    "used_memory_functions", "used_memory_vm_total", "maxmemory", "total_system_memory",
    "mem_fragmentation_ratio", "mem_fragmentation_bytes", "mem_clients_slaves", "mem_clients_normal",
    "mem_cluster_links", "mem_aof_buffer", "mem_replication_backlog", "mem_not_counted_for_evict",
    "mem_total_replication_buffers", "lazyfree_pending_objects", "active_defrag_running",
    "migrate_cached_sockets", "active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits",
    "active_defrag_key_misses",
    /* persistence */
    "loading", "async_loading", "rdb_changes_since_last_save", "rdb_bgsave_in_progress", "rdb_last_save_time",
    "rdb_last_bgsave_status", "rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec", "rdb_saves",
    "rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded", "aof_enabled",
    "aof_rewrite_in_progress", "aof_rewrite_scheduled", "aof_last_rewrite_time_sec",
    "aof_current_rewrite_time_sec", "aof_last_cow_size", "aof_last_bgrewrite_status", "aof_last_write_status",
    "module_fork_in_progress", "module_fork_last_cow_size", "current_cow_peak", "current_cow_size",
    "current_cow_size_age",
    /* stats */
    "total_connections_received", "total_commands_processed", "instantaneous_ops_per_sec",
    "total_net_input_bytes", "total_net_output_bytes", "total_net_repl_input_bytes",
    "total_net_repl_output_bytes", "instantaneous_input_kbps", "instantaneous_output_kbps",
    "rejected_connections", "sync_full", "sync_partial_ok", "sync_partial_err", "expired_keys",
    "expire_cycle_cpu_milliseconds", "evicted_keys", "evicted_clients", "total_eviction_exceeded_time",
    "current_eviction_exceeded_time", "keyspace_hits", "keyspace_misses", "pubsub_channels",
    "pubsub_patterns", "pubsubshard_channels", "latest_fork_usec", "total_forks",
    "slave_expires_tracked_keys", "tracking_total_keys", "tracking_total_items", "tracking_total_prefixes",
    "unexpected_error_replies", "total_error_replies", "dump_payload_sanitizations",
    "io_threaded_reads_processed", "io_threaded_writes_processed", "instantaneous_input_repl_kbps",
    "instantaneous_output_repl_kbps", "expired_stale_perc", "expired_time_cap_reached_count",
    "total_reads_processed", "total_writes_processed", "reply_buffer_shrinks", "reply_buffer_expands",
    "eventloop_cycles", "eventloop_duration_sum", "eventloop_duration_cmd_sum",
    "instantaneous_eventloop_cycles_per_sec", "instantaneous_eventloop_duration_usec",
    "acl_access_denied_auth", "acl_access_denied_cmd", "acl_access_denied_key", "acl_access_denied_channel",
    "lazyfreed_objects", "current_fork_perc",
    /* replication */
    "connected_slaves", "master_repl_offset", "second_repl_offset", "repl_backlog_active",
    "repl_backlog_size", "repl_backlog_first_byte_offset", "repl_backlog_histlen",
    /* cpu, cluster */
    "used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children",
    "used_cpu_sys_main_thread", "used_cpu_user_main_thread", "cluster_enabled"};
static const char *const labels[] = {"role", "redis_version",    "redis_build_id", "redis_mode",
                                     "os",   "maxmemory_policy", "run_id",         "master_replid"};

static void info_has_every_field_that_an_exporter_reads(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--slowlog-log-slower-than", "-1", NULL});
    redisContext *connection = server_connect(server);
    struct info *info = info_ask(connection, "all");
    for (size_t i = 0; i < sizeof exported / sizeof exported[0]; i++)
        if (strcmp(info_value(info, exported[i]), "ok") != 0) field_number(info, exported[i]);
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        assert_true(*info_value(info, labels[i]) != '\0');
    assert_string_equal(info_value(info, "role"), "master");
    assert_string_equal(info_value(info, "redis_mode"), "standalone");
    assert_string_equal(info_value(info, "maxmemory_policy"), "noeviction");
    assert_int_equal(strncmp(info_value(info, "redis_version"), "7.2.", 4), 0);
    assert_int_equal(strlen(info_value(info, "run_id")), 40);
    assert_true(field_number(info, "tcp_port") == server->port);
    assert_true(field_number(info, "process_id") == server->pid);
    assert_true(field_number(info, "worker_threads") == 4);
    /* An exporter asks for these as well. */
    expect(connection, "[maxmemory, 0]", "CONFIG GET maxmemory");
    expect(connection, "0", "SLOWLOG LEN");
    expect(connection, "[]", "SLOWLOG GET 1");
    expect(connection, "[]", "LATENCY LATEST");
    info_free(info);
    redisFree(connection);
    stop(server);
}

/* People read it, and some programs by position; fields of ours stand between. */
static void info_has_every_field_of_redis_in_its_order(void **state) {
    (void)state;
    static const char *const names[] = {"redis_version",
                                        "redis_git_sha1",
                                        "redis_git_dirty",
                                        "redis_build_id",
                                        "redis_mode",
                                        "os",
                                        "arch_bits",
                                        "monotonic_clock",
                                        "multiplexing_api",
                                        "atomicvar_api",
                                        "gcc_version",
                                        "process_id",
                                        "process_supervised",
                                        "run_id",
                                        "tcp_port",
                                        "server_time_usec",
                                        "uptime_in_seconds",
                                        "uptime_in_days",
                                        "hz",
                                        "configured_hz",
                                        "lru_clock",
                                        "executable",
                                        "config_file",
                                        "io_threads_active",
                                        "listener0",
                                        "connected_clients",
                                        "cluster_connections",
                                        "maxclients",
                                        "client_recent_max_input_buffer",
                                        "client_recent_max_output_buffer",
                                        "blocked_clients",
                                        "tracking_clients",
                                        "clients_in_timeout_table",
                                        "total_blocking_keys",
                                        "total_blocking_keys_on_nokey",
                                        "used_memory",
                                        "used_memory_human",
                                        "used_memory_rss",
                                        "used_memory_rss_human",
                                        "used_memory_peak",
                                        "used_memory_peak_human",
                                        "used_memory_peak_perc",
                                        "used_memory_overhead",
                                        "used_memory_startup",
                                        "used_memory_dataset",
                                        "used_memory_dataset_perc",
                                        "allocator_allocated",
                                        "allocator_active",
                                        "allocator_resident",
                                        "total_system_memory",
                                        "total_system_memory_human",
                                        "used_memory_lua",
                                        "used_memory_vm_eval",
                                        "used_memory_lua_human",
                                        "used_memory_scripts_eval",
                                        "number_of_cached_scripts",
                                        "number_of_functions",
                                        "number_of_libraries",
                                        "used_memory_vm_functions",
                                        "used_memory_vm_total",
                                        "used_memory_vm_total_human",
                                        "used_memory_functions",
                                        "used_memory_scripts",
                                        "used_memory_scripts_human",
                                        "maxmemory",
                                        "maxmemory_human",
                                        "maxmemory_policy",
                                        "allocator_frag_ratio",
                                        "allocator_frag_bytes",
                                        "allocator_rss_ratio",
                                        "allocator_rss_bytes",
                                        "rss_overhead_ratio",
                                        "rss_overhead_bytes",
                                        "mem_fragmentation_ratio",
                                        "mem_fragmentation_bytes",
                                        "mem_not_counted_for_evict",
                                        "mem_replication_backlog",
                                        "mem_total_replication_buffers",
                                        "mem_clients_slaves",
                                        "mem_clients_normal",
                                        "mem_cluster_links",
                                        "mem_aof_buffer",
                                        "mem_allocator",
                                        "active_defrag_running",
                                        "lazyfree_pending_objects",
                                        "lazyfreed_objects",
                                        "loading",
                                        "async_loading",
                                        "current_cow_peak",
                                        "current_cow_size",
                                        "current_cow_size_age",
                                        "current_fork_perc",
                                        "current_save_keys_processed",
                                        "current_save_keys_total",
                                        "rdb_changes_since_last_save",
                                        "rdb_bgsave_in_progress",
                                        "rdb_last_save_time",
                                        "rdb_last_bgsave_status",
                                        "rdb_last_bgsave_time_sec",
                                        "rdb_current_bgsave_time_sec",
                                        "rdb_saves",
                                        "rdb_last_cow_size",
                                        "rdb_last_load_keys_expired",
                                        "rdb_last_load_keys_loaded",
                                        "aof_enabled",
                                        "aof_rewrite_in_progress",
                                        "aof_rewrite_scheduled",
                                        "aof_last_rewrite_time_sec",
                                        "aof_current_rewrite_time_sec",
                                        "aof_last_bgrewrite_status",
                                        "aof_rewrites",
                                        "aof_rewrites_consecutive_failures",
                                        "aof_last_write_status",
                                        "aof_last_cow_size",
                                        "module_fork_in_progress",
                                        "module_fork_last_cow_size",
                                        "total_connections_received",
                                        "total_commands_processed",
                                        "instantaneous_ops_per_sec",
                                        "total_net_input_bytes",
                                        "total_net_output_bytes",
                                        "total_net_repl_input_bytes",
                                        "total_net_repl_output_bytes",
                                        "instantaneous_input_kbps",
                                        "instantaneous_output_kbps",
                                        "instantaneous_input_repl_kbps",
                                        "instantaneous_output_repl_kbps",
                                        "rejected_connections",
                                        "sync_full",
                                        "sync_partial_ok",
                                        "sync_partial_err",
                                        "expired_keys",
                                        "expired_stale_perc",
                                        "expired_time_cap_reached_count",
                                        "expire_cycle_cpu_milliseconds",
                                        "evicted_keys",
                                        "evicted_clients",
                                        "total_eviction_exceeded_time",
                                        "current_eviction_exceeded_time",
                                        "keyspace_hits",
                                        "keyspace_misses",
                                        "pubsub_channels",
                                        "pubsub_patterns",
                                        "pubsubshard_channels",
                                        "latest_fork_usec",
                                        "total_forks",
                                        "migrate_cached_sockets",
                                        "slave_expires_tracked_keys",
                                        "active_defrag_hits",
                                        "active_defrag_misses",
                                        "active_defrag_key_hits",
                                        "active_defrag_key_misses",
                                        "total_active_defrag_time",
                                        "current_active_defrag_time",
                                        "tracking_total_keys",
                                        "tracking_total_items",
                                        "tracking_total_prefixes",
                                        "unexpected_error_replies",
                                        "total_error_replies",
                                        "dump_payload_sanitizations",
                                        "total_reads_processed",
                                        "total_writes_processed",
                                        "io_threaded_reads_processed",
                                        "io_threaded_writes_processed",
                                        "client_query_buffer_limit_disconnections",
                                        "client_output_buffer_limit_disconnections",
                                        "reply_buffer_shrinks",
                                        "reply_buffer_expands",
                                        "eventloop_cycles",
                                        "eventloop_duration_sum",
                                        "eventloop_duration_cmd_sum",
                                        "instantaneous_eventloop_cycles_per_sec",
                                        "instantaneous_eventloop_duration_usec",
                                        "acl_access_denied_auth",
                                        "acl_access_denied_cmd",
                                        "acl_access_denied_key",
                                        "acl_access_denied_channel",
                                        "role",
                                        "connected_slaves",
                                        "master_failover_state",
                                        "master_replid",
                                        "master_replid2",
                                        "master_repl_offset",
                                        "second_repl_offset",
                                        "repl_backlog_active",
                                        "repl_backlog_size",
                                        "repl_backlog_first_byte_offset",
                                        "repl_backlog_histlen",
                                        "used_cpu_sys",
                                        "used_cpu_user",
                                        "used_cpu_sys_children",
                                        "used_cpu_user_children",
                                        "used_cpu_sys_main_thread",
                                        "used_cpu_user_main_thread",
                                        "cluster_enabled"};
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    redisReply *reply = redisCommand(connection, "INFO everything");
    const char *at = reply->str;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[80];
        snprintf(line, sizeof line, "\n%s:", names[i]);
        const char *found = strstr(at, line);
        if (found == NULL)
            fail_msg("%s is missing, or not behind %s", names[i], i == 0 ? "nothing" : names[i - 1]);
        at = found;
    }
    freeReplyObject(reply);
    redisFree(connection);
    stop(server);
}

static void info_shows_the_sections_that_are_asked_for(void **state) {
    (void)state;
    static const char *const usual[] = {"Server",     "Clients",     "Memory",  "Persistence",
                                        "Stats",      "Replication", "CPU",     "Modules",
                                        "Errorstats", "Cluster",     "Keyspace"};
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "SET k v");
    redisReply *plain = redisCommand(connection, "INFO");
    const char *at = plain->str;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        char title[32];
        snprintf(title, sizeof title, "# %s\r\n", usual[i]);
        at = strstr(at, title); /* in this order */
        if (at == NULL) fail_msg("no section %s, or not in its place", usual[i]);
    }
    freeReplyObject(plain);
    static const struct {
        const char *sections;
        size_t count;
    } cases[] = {{"", 11},
                 {"default", 11},
                 {"all", 13},
                 {"everything", 13},
                 {"server", 1},
                 {"SERVER", 1},
                 {"nonesuch", 0},
                 {"cpu cpu", 1},
                 {"stats nonesuch cpu", 2},
                 {"commandstats", 1},
                 {"default latencystats", 12}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char request[64];
        snprintf(request, sizeof request, "INFO %s", cases[i].sections);
        redisReply *reply = redisCommand(connection, request);
        struct info *info = malloc(sizeof *info);
        assert_non_null(info);
        info_parse(info, reply->str, (size_t)reply->len);
        if (info->sections != cases[i].count) fail_msg("%s: %zu sections", request, info->sections);
        info_free(info);
        freeReplyObject(reply);
    }
    redisFree(connection);
    stop(server);
}

static void info_counts_what_all_workers_do(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connections[8];
    for (size_t i = 0; i < 8; i++) connections[i] = server_connect(server);
    expect(connections[0], "OK", "SET k v");
    struct info *before = info_ask(connections[0], "everything");
    for (size_t i = 0; i < 8; i++) {
        expect(connections[i], "v", "GET k");
        expect(connections[i], "(nil)", "GET none");
        expect(connections[i], "[v, (nil)]", "MGET k none");
    }
    struct info *after = info_ask(connections[0], "everything");
    assert_true(field_number(after, "keyspace_hits") == field_number(before, "keyspace_hits") + 16);
    assert_true(field_number(after, "keyspace_misses") == field_number(before, "keyspace_misses") + 16);
    assert_true(field_number(after, "total_commands_processed") >=
                field_number(before, "total_commands_processed") + 24);
    assert_true(field_number(after, "total_net_input_bytes") >=
                field_number(before, "total_net_input_bytes") + 24 * 20);
    assert_true(field_number(after, "total_net_output_bytes") >=
                field_number(before, "total_net_output_bytes") + 8 * 20);
    assert_true(field_number(after, "connected_clients") == 8);
    assert_true(field_number(after, "total_connections_received") >= 8);
    info_free(before);
    info_free(after);
    for (size_t i = 0; i < 8; i++) redisFree(connections[i]);
    stop(server);
}

static void keyspace_tells_keys_and_expiries_of_each_database_in_use(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "MSET a 1 b 2 c 3");
    expect(connection, "1", "EXPIRE a 1000");
    expect(connection, "1", "EXPIRE b 3000");
    expect(connection, "OK", "SELECT 9");
    expect(connection, "OK", "SET d 4");
    struct info *info = info_ask(connection, "keyspace");
    assert_int_equal(info->count, 2);
    const char *first = info_value(info, "db0");
    assert_true(part_of(first, "keys") == 3 && part_of(first, "expires") == 2);
    assert_true(part_of(first, "avg_ttl") > 1900000 && part_of(first, "avg_ttl") <= 2000000);
    assert_string_equal(info_value(info, "db9"), "keys=1,expires=0,avg_ttl=0");
    info_free(info);
    expect(connection, "OK", "FLUSHALL");
    info = info_ask(connection, "keyspace");
    assert_int_equal(info->count, 0);
    info_free(info);
    redisFree(connection);
    stop(server);
}

static void memory_follows_the_data(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    struct info *before = info_ask(connection, "memory");
    /* Another allocator may be a sanitizer's, which keeps no such account. */
    bool has_account = strncmp(info_value(before, "mem_allocator"), "jemalloc-", 9) == 0;
    char *value = calloc(1, 16 * MIB);
    assert_non_null(value);
    for (int i = 0; i < 4; i++) {
        redisReply *reply = redisCommand(connection, "SET k%d %b", i, value, 16 * MIB);
        assert_string_equal(reply->str, "OK");
        freeReplyObject(reply);
    }
    struct info *full = info_ask(connection, "memory");
    if (has_account) {
        assert_true(field_number(full, "used_memory") > field_number(before, "used_memory") + 64 * MIB);
        assert_true(field_number(full, "used_memory_peak") >= field_number(full, "used_memory"));
        assert_non_null(strchr(info_value(full, "used_memory_human"), 'M'));
    }
    assert_true(field_number(full, "used_memory_dataset") >
                field_number(before, "used_memory_dataset") + 64 * MIB);
    expect(connection, "OK", "FLUSHALL SYNC");
    struct info *empty = info_ask(connection, "memory");
    assert_true(field_number(empty, "used_memory_dataset") == field_number(before, "used_memory_dataset"));
    if (has_account) assert_true(field_number(empty, "used_memory_peak") > 64 * MIB);
    info_free(before);
    info_free(full);
    info_free(empty);
    free(value);
    redisFree(connection);
    stop(server);
}

/* ------------------------------------------------------------------ statistics of commands and errors */

static void commandstats_tell_calls_failures_and_refusals_apart(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server), *other = server_connect(server);
    expect(connection, "OK", "SET k text");
    expect(other, "OK", "SET k text");
    expect(connection, "ERR value is not an integer or out of range", "INCR k");
    expect(connection, "ERR wrong number of arguments for 'incr' command", "INCR");
    expect(connection, "ERR unknown command 'nonesuch', with args beginning with: ", "nonesuch");
    expect(connection, "OK", "CONFIG SET hz 11");
    expect(connection, "CUSTOM error", "DEBUG ERROR %s", "CUSTOM error");
    expect(connection, "OK", "DEBUG SLEEP 0.02");
    struct info *info = info_ask(connection, "everything");
    const char *set = info_value(info, "cmdstat_set"), *incr = info_value(info, "cmdstat_incr"),
               *debug = info_value(info, "cmdstat_debug");
    assert_string_equal(info_find(info, "cmdstat_set")->section, "Commandstats");
    assert_true(part_of(set, "calls") == 2 && part_of(set, "rejected_calls") == 0 &&
                part_of(set, "failed_calls") == 0);
    assert_true(part_of(incr, "calls") == 1 && part_of(incr, "rejected_calls") == 1 &&
                part_of(incr, "failed_calls") == 1);
    assert_true(part_of(debug, "calls") == 2 && part_of(debug, "failed_calls") == 1);
    assert_true(part_of(debug, "usec") >= 20000 && part_of(debug, "usec_per_call") >= 10000);
    info_value(info, "cmdstat_config|set");
    assert_null(info_find(info, "cmdstat_nonesuch"));
    assert_null(info_find(info, "cmdstat_mset")); /* never called */
    assert_string_equal(info_value(info, "errorstat_ERR"), "count=3");
    assert_string_equal(info_value(info, "errorstat_CUSTOM"), "count=1");
    assert_true(field_number(info, "total_error_replies") == 4);
    info_free(info);
    redisFree(other);
    redisFree(connection);
    stop(server);
}

static void a_write_refused_for_want_of_memory_counts_as_rejected_not_as_failed(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "CONFIG SET maxmemory 1");
    for (int i = 0; i < 3; i++)
        expect(connection, "OOM command not allowed when used memory > 'maxmemory'.", "SET k v");
    struct info *info = info_ask(connection, "everything");
    const char *set = info_value(info, "cmdstat_set");
    assert_true(part_of(set, "calls") == 0 && part_of(set, "rejected_calls") == 3 &&
                part_of(set, "failed_calls") == 0);
    assert_string_equal(info_value(info, "errorstat_OOM"), "count=3");
    info_free(info);
    redisFree(connection);
    stop(server);
}

static void reads_writes_turns_and_refused_passwords_are_counted(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    int64_t reads = info_number(connection, "total_reads_processed"),
            writes = info_number(connection, "total_writes_processed"),
            turns = info_number(connection, "eventloop_cycles");
    for (int i = 0; i < 100; i++) expect(connection, "PONG", "PING");
    /* Each was waited for, so each was a read, a write and a turn of its own. */
    assert_true(info_number(connection, "total_reads_processed") >= reads + 100);
    assert_true(info_number(connection, "total_writes_processed") >= writes + 100);
    assert_true(info_number(connection, "eventloop_cycles") >= turns + 100);
    expect(connection, "OK", "DEBUG SLEEP 0.01");
    assert_true(info_number(connection, "eventloop_duration_sum") > 0);
    assert_true(info_number(connection, "eventloop_duration_cmd_sum") >= 10000);
    expect(connection, "OK", "CONFIG SET requirepass x");
    expect(connection, "WRONGPASS invalid username-password pair or user is disabled.", "AUTH y");
    assert_int_equal(info_number(connection, "acl_access_denied_auth"), 1);
    expect(connection, "OK", "CONFIG RESETSTAT");
    assert_true(info_number(connection, "total_reads_processed") < 100);
    assert_true(info_number(connection, "total_writes_processed") < 100);
    assert_int_equal(info_number(connection, "acl_access_denied_auth"), 0);
    redisFree(connection);
    stop(server);
}

static void what_is_freed_later_and_what_has_lapsed_is_told(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    int64_t before = info_number(connection, "lazyfreed_objects");
    for (int i = 0; i < 1000; i++) expect(connection, "OK", "SET key:%d x", i);
    expect(connection, "OK", "FLUSHALL");
    await_info_between(connection, "lazyfreed_objects", before + 1000, INT64_MAX);
    /* All that active expiry finds when it is let loose has lapsed. */
    expect(connection, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    for (int i = 0; i < 2000; i++) expect(connection, "OK", "SET key:%d x PX 1", i);
    expect(connection, "OK", "DEBUG SET-ACTIVE-EXPIRE 1");
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    double most = 0;
    while (most < 1 && now_us() < deadline) {
        struct info *info = info_ask(connection, "stats");
        double stale = field_number(info, "expired_stale_perc");
        if (stale > most) most = stale;
        info_free(info);
    }
    assert_true(most >= 1 && most <= 100);
    redisFree(connection);
    stop(server);
}

static void the_time_between_two_requests_counts_for_neither(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server), *other = server_connect(server);
    expect(connection, "OK", "SET k v");
    expect(other, "OK", "DEBUG SLEEP 0.3"); /* on another worker */
    expect(connection, "OK", "SET k v");
    struct info *info = info_ask(other, "commandstats");
    assert_true(part_of(info_value(info, "cmdstat_set"), "usec") < 300000);
    info_free(info);
    redisFree(other);
    redisFree(connection);
    stop(server);
}

/* Neighbours of a kind are timed together, but each is counted, whatever follows them. */
static void the_requests_of_a_pipeline_are_counted_one_by_one(void **state) {
    (void)state;
    static const char set[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    static const char incr[] = "*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n";
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    static const char few[] = "*1\r\n$4\r\nINCR\r\n";
    char text[8192] = "";
    for (int i = 0; i < 40; i++) strcat(text, set);
    for (int i = 0; i < 21; i++) strcat(text, incr);
    strcat(text, few);
    for (int i = 0; i < 5; i++) strcat(text, set);
    strcat(text, ping);
    struct server *server = start(NULL);
    redisContext *other = server_connect(server);
    struct resp3 *connection = resp3_connect(server);
    resp3_send_text(connection, text);
    for (int i = 0; i < 40; i++) resp3_expect(connection, "+OK\r\n");
    for (int i = 0; i < 21; i++) resp3_expect(connection, "-ERR value is not an integer or out of range\r\n");
    resp3_expect(connection, "-ERR wrong number of arguments for 'incr' command\r\n");
    for (int i = 0; i < 5; i++) resp3_expect(connection, "+OK\r\n");
    resp3_expect(connection, "+PONG\r\n");
    struct info *info = info_ask(other, "everything");
    const char *sets = info_value(info, "cmdstat_set"), *incrs = info_value(info, "cmdstat_incr");
    assert_true(part_of(sets, "calls") == 45 && part_of(sets, "failed_calls") == 0 &&
                part_of(sets, "rejected_calls") == 0);
    assert_true(part_of(incrs, "calls") == 21 && part_of(incrs, "failed_calls") == 21 &&
                part_of(incrs, "rejected_calls") == 1);
    assert_true(part_of(info_value(info, "cmdstat_ping"), "calls") == 1);
    assert_true(part_of(sets, "usec_per_call") > 0);
    info_free(info);
    resp3_close(connection);
    redisFree(other);
    stop(server);
}

static void latencystats_show_the_percentiles_that_are_configured(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    for (int i = 0; i < 200; i++) expect(connection, "OK", "SET k v");
    expect(connection, "OK", "DEBUG SLEEP 0.05");
    struct info *info = info_ask(connection, "latencystats");
    const char *set = info_value(info, "latency_percentiles_usec_set"),
               *debug = info_value(info, "latency_percentiles_usec_debug");
    assert_true(part_of(set, "p50") > 0 && part_of(set, "p50") <= part_of(set, "p99") &&
                part_of(set, "p99") <= part_of(set, "p99.9"));
    assert_true(part_of(debug, "p50") >= 50000 && part_of(debug, "p50") < 60000000);
    info_free(info);
    expect(connection, "OK", "CONFIG SET latency-tracking-info-percentiles %s", "75 100");
    info = info_ask(connection, "latencystats");
    set = info_value(info, "latency_percentiles_usec_set");
    part_of(set, "p75");
    part_of(set, "p100");
    assert_null(strstr(set, "p50"));
    info_free(info);
    expect(connection, "OK", "CONFIG SET latency-tracking no");
    info = info_ask(connection, "latencystats");
    assert_int_equal(info->count, 0);
    info_free(info);
    redisFree(connection);
    stop(server);
}

/* ------------------------------------------------------------------ SLOWLOG */

static redisReply *ask(redisContext *connection, const char *command) {
    redisReply *reply = redisCommand(connection, command);
    if (reply == NULL) fail_msg("%s: %s", command, connection->errstr);
    return reply;
}

static void the_slow_log_keeps_the_latest_that_were_slow(void **state) {
    (void)state;
    struct server *server =
        start((const char *const[]){"--slowlog-log-slower-than", "100000", "--slowlog-max-len", "3", NULL});
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "CLIENT SETNAME me");
    for (int i = 1; i <= 5; i++) expect(connection, "OK", "DEBUG SLEEP 0.12%d", i);
    expect(connection, "3", "SLOWLOG LEN");
    redisReply *log = ask(connection, "SLOWLOG GET");
    assert_int_equal(log->elements, 3);
    for (size_t i = 0; i < 3; i++) {
        const redisReply *entry = log->element[i];
        char seconds[16];
        assert_int_equal(entry->elements, 6);
        if (i > 0) assert_int_equal(entry->element[0]->integer, log->element[i - 1]->element[0]->integer - 1);
        assert_true(entry->element[1]->integer > 1600000000);
        assert_true(entry->element[2]->integer >= 120000);
        assert_int_equal(entry->element[3]->elements, 3);
        snprintf(seconds, sizeof seconds, "0.12%zu", 5 - i); /* newest first */
        assert_string_equal(entry->element[3]->element[2]->str, seconds);
        assert_int_equal(strncmp(entry->element[4]->str, "127.0.0.1:", 10), 0);
        assert_string_equal(entry->element[5]->str, "me");
    }
    freeReplyObject(log);
    log = ask(connection, "SLOWLOG GET 2");
    assert_int_equal(log->elements, 2);
    freeReplyObject(log);
    log = ask(connection, "SLOWLOG GET -1");
    assert_int_equal(log->elements, 3);
    freeReplyObject(log);
    expect(connection, "ERR count should be greater than or equal to -1", "SLOWLOG GET -2");
    expect(connection, "ERR count should be greater than or equal to -1", "SLOWLOG GET x");
    expect(connection, "OK", "SLOWLOG RESET");
    expect(connection, "0", "SLOWLOG LEN");
    /* Nothing is slow any more. */
    expect(connection, "OK", "CONFIG SET slowlog-log-slower-than -1");
    expect(connection, "OK", "DEBUG SLEEP 0.02");
    expect(connection, "[]", "SLOWLOG GET");
    redisFree(connection);
    stop(server);
}

static void the_slow_log_cuts_long_requests(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--slowlog-log-slower-than", "0", NULL});
    redisContext *connection = server_connect(server);
    char *text = calloc(1, 1001);
    assert_non_null(text);
    memset(text, 'x', 1000);
    expect(connection, text, "ECHO %s", text);
    redisReply *log = ask(connection, "SLOWLOG GET 1");
    const redisReply *arguments = log->element[0]->element[3];
    assert_int_equal(arguments->elements, 2);
    assert_int_equal(arguments->element[1]->len, 128 + strlen("... (872 more bytes)"));
    assert_string_equal(arguments->element[1]->str + 128, "... (872 more bytes)");
    freeReplyObject(log);
    redisAppendCommand(connection, "EXISTS 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
                                   "22 23 24 25 26 27 28 29 30 31 32 33 34 35");
    redisReply *exists = NULL;
    assert_int_equal(redisGetReply(connection, (void **)&exists), REDIS_OK);
    freeReplyObject(exists);
    log = ask(connection, "SLOWLOG GET 1");
    arguments = log->element[0]->element[3];
    assert_int_equal(arguments->elements, 32);
    assert_string_equal(arguments->element[30]->str, "30");
    assert_string_equal(arguments->element[31]->str, "... (5 more arguments)");
    freeReplyObject(log);
    free(text);
    redisFree(connection);
    stop(server);
}

/* ------------------------------------------------------------------ LATENCY */

static void the_latency_monitor_notes_what_takes_longer_than_its_threshold(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "DEBUG SLEEP 0.05");
    expect(connection, "[]", "LATENCY LATEST"); /* it is off */
    expect(connection, "OK", "CONFIG SET latency-monitor-threshold 100");
    expect(connection, "OK", "DEBUG SLEEP 0.2");
    expect(connection, "OK", "DEBUG SLEEP 0.15");
    redisReply *latest = ask(connection, "LATENCY LATEST");
    const redisReply *event = NULL;
    for (size_t i = 0; i < latest->elements; i++)
        if (strcmp(latest->element[i]->element[0]->str, "command") == 0) event = latest->element[i];
    assert_non_null(event);
    assert_int_equal(event->elements, 4);
    assert_true(event->element[1]->integer > 1600000000);
    assert_true(event->element[2]->integer >= 100);
    assert_true(event->element[3]->integer >= 200);
    assert_true(event->element[3]->integer >= event->element[2]->integer);
    freeReplyObject(latest);
    redisReply *history = ask(connection, "LATENCY HISTORY command");
    assert_true(history->elements >= 1); /* one a second */
    for (size_t i = 0; i < history->elements; i++)
        assert_true(history->element[i]->element[1]->integer >= 100);
    freeReplyObject(history);
    expect(connection, "[]", "LATENCY HISTORY nonesuch");
    redisReply *graph = ask(connection, "LATENCY GRAPH command");
    assert_int_equal(graph->type, REDIS_REPLY_STRING);
    assert_non_null(strstr(graph->str, "command - high "));
    freeReplyObject(graph);
    expect(connection, "ERR No samples available for event 'nonesuch'", "LATENCY GRAPH nonesuch");
    redisReply *doctor = ask(connection, "LATENCY DOCTOR");
    assert_non_null(strstr(doctor->str, "command: "));
    freeReplyObject(doctor);
    expect(connection, "0", "LATENCY RESET nonesuch");
    expect(connection, "1", "LATENCY RESET command nonesuch");
    expect(connection, "[]", "LATENCY HISTORY command");
    redisFree(connection);
    stop(server);
}

static void latency_histogram_counts_calls_up_to_each_power_of_two(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    for (int i = 0; i < 100; i++) expect(connection, "OK", "SET k v");
    expect(connection, "OK", "CONFIG SET hz 10");
    redisReply *reply = ask(connection, "LATENCY HISTOGRAM set nonesuch config|set get");
    assert_int_equal(reply->elements, 2 * 2); /* of those that were called */
    assert_string_equal(reply->element[0]->str, "set");
    assert_string_equal(reply->element[2]->str, "config|set");
    const redisReply *histogram = reply->element[1];
    assert_int_equal(histogram->elements, 4);
    assert_string_equal(histogram->element[0]->str, "calls");
    assert_int_equal(histogram->element[1]->integer, 100);
    assert_string_equal(histogram->element[2]->str, "histogram_usec");
    const redisReply *counts = histogram->element[3];
    assert_true(counts->elements >= 2 && counts->elements % 2 == 0);
    for (size_t i = 0; i < counts->elements; i += 2) {
        long long microseconds = counts->element[i]->integer;
        assert_true((microseconds & (microseconds - 1)) == 0);
        if (i == 0) continue;
        assert_true(microseconds > counts->element[i - 2]->integer);
        assert_true(counts->element[i + 1]->integer > counts->element[i - 1]->integer);
    }
    assert_int_equal(counts->element[counts->elements - 1]->integer, 100);
    freeReplyObject(reply);
    reply = ask(connection, "LATENCY HISTOGRAM config");
    assert_int_equal(reply->elements, 2);
    assert_string_equal(reply->element[0]->str, "config|set");
    freeReplyObject(reply);
    expect(connection, "[]", "LATENCY HISTOGRAM nonesuch");
    redisFree(connection);
    stop(server);
}

/* ------------------------------------------------------------------ MEMORY and OBJECT */

static long long number_of(redisContext *connection, const char *command) {
    redisReply *reply = ask(connection, command);
    if (reply->type != REDIS_REPLY_INTEGER) fail_msg("%s: %s", command, reply->str);
    long long number = reply->integer;
    freeReplyObject(reply);
    return number;
}

static void memory_commands_tell_what_data_costs(void **state) {
    (void)state;
    static const char *const names[] = {"peak.allocated",     "total.allocated",     "startup.allocated",
                                        "clients.normal",     "overhead.total",      "keys.count",
                                        "keys.bytes-per-key", "dataset.bytes",       "dataset.percentage",
                                        "peak.percentage",    "allocator.allocated", "allocator.active",
                                        "allocator.resident", "fragmentation"};
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    redisContext *other = server_connect(server);
    expect(other, "(nil)", "MEMORY USAGE none");
    expect(other, "OK", "SET small v");
    expect(other, "100000", "SETRANGE large 99999 x");
    assert_in_range(number_of(other, "MEMORY USAGE small"), 16, 200);
    assert_in_range(number_of(other, "MEMORY USAGE large"), 100000, 140000);
    assert_in_range(number_of(other, "MEMORY USAGE large SAMPLES 0"), 100000, 140000);
    expect(other, "ERR syntax error", "MEMORY USAGE small SAMPLES -1");
    expect(other, "ERR syntax error", "MEMORY USAGE small SAMPLES");
    expect(other, "ERR value is not an integer or out of range", "MEMORY USAGE small SAMPLES x");
    RESP3_COMMAND(connection, "HELLO", "3");
    resp3_value_free(resp3_read(connection));
    RESP3_COMMAND(connection, "MEMORY", "STATS");
    struct resp3_value *stats = resp3_read(connection);
    assert_int_equal(stats->kind, '%');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct resp3_value *value = resp3_value_find(stats, names[i]);
        if (value == NULL || (value->kind != ':' && value->kind != ','))
            fail_msg("MEMORY STATS has no number %s", names[i]);
    }
    assert_int_equal(resp3_value_find(stats, "keys.count")->integer, 2);
    assert_in_range(resp3_value_find(stats, "dataset.bytes")->integer, 100000, 200000);
    resp3_value_free(stats);
    RESP3_COMMAND(connection, "MEMORY", "MALLOC-STATS");
    struct resp3_value *text = resp3_read(connection);
    assert_int_equal(text->kind, '=');
    assert_true(text->length > 100);
    resp3_value_free(text);
    RESP3_COMMAND(connection, "MEMORY", "DOCTOR");
    text = resp3_read(connection);
    assert_int_equal(text->kind, '=');
    resp3_value_free(text);
    expect(other, "OK", "MEMORY PURGE");
    redisFree(other);
    resp3_close(connection);
    stop(server);
}

static void object_tells_how_a_value_is_held(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "MSET int 12345 short hello long %s",
           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    expect(connection, "int", "OBJECT ENCODING int");
    expect(connection, "embstr", "OBJECT ENCODING short");
    expect(connection, "raw", "OBJECT ENCODING long"); /* 45 bytes: one more than is embedded */
    expect(connection, "6", "APPEND short !");
    expect(connection, "raw", "OBJECT ENCODING short");
    expect(connection, "(nil)", "OBJECT ENCODING none");
    expect(connection, "(nil)", "OBJECT REFCOUNT none");
    expect(connection, "(nil)", "OBJECT IDLETIME none");
    expect(connection, "1", "OBJECT REFCOUNT long");
    assert_in_range(number_of(connection, "OBJECT IDLETIME long"), 0, PATIENCE_SECONDS);
    redisReply *reply = ask(connection, "OBJECT FREQ long");
    assert_int_equal(
        strncmp(reply->str, "ERR An LFU maxmemory policy is not selected, access frequency not tracked.", 74),
        0);
    freeReplyObject(reply);
    expect(connection, "ERR unknown subcommand 'nonesuch'. Try OBJECT HELP.", "OBJECT nonesuch long");
    expect(connection, "ERR wrong number of arguments for 'object|encoding' command", "OBJECT ENCODING");
    redisFree(connection);
    stop(server);
}

/* ------------------------------------------------------------------ DEBUG */

static void debug_digest_is_that_of_redis_and_knows_no_order(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    expect(connection, "0000000000000000000000000000000000000000", "DEBUG DIGEST");
    expect(connection, "OK", "MSET i 12345 e hello r %s r44 %s",
           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    expect(connection, "d290edd996fd9013708ca9dec4d9fe0d1dab8360", "DEBUG DIGEST");
    expect(connection, "OK", "FLUSHALL");
    expect(connection, "OK", "SET r44 %s", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    expect(connection, "OK", "SET r %s", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    expect(connection, "OK", "SET e hello");
    expect(connection, "12345", "INCRBY i 12345");
    expect(connection, "d290edd996fd9013708ca9dec4d9fe0d1dab8360", "DEBUG DIGEST");
    expect(connection,
           "[e1cf90774e995ae03de66e8109dc5cb9d9c2dc83, 36b23a1456b2dce2c3ed252c456761301dba8060, "
           "0000000000000000000000000000000000000000]",
           "DEBUG DIGEST-VALUE i e none");
    redisFree(connection);
    stop(server);
}

static void debug_has_what_tests_ask_for(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "SET k hello");
    redisReply *reply = ask(connection, "DEBUG OBJECT k");
    assert_non_null(strstr(reply->str, " refcount:1 encoding:embstr serializedlength:6 lru:"));
    freeReplyObject(reply);
    expect(connection, "ERR no such key", "DEBUG OBJECT none");
    expect(connection, "OURS all ours", "DEBUG ERROR %s", "OURS all ours");
    expect(connection, "1", "DEBUG STRINGMATCH-LEN h*[a-l]o hello");
    expect(connection, "0", "DEBUG STRINGMATCH-LEN h*[a-k]o hello");
    expect(connection, "OK", "DEBUG LOG something");
    expect(connection, "OK", "DEBUG SET-ACTIVE-EXPIRE 1");
    reply = ask(connection, "DEBUG HTSTATS 0");
    assert_non_null(strstr(reply->str, " number of elements: 1\n"));
    freeReplyObject(reply);
    expect(connection, "ERR Out of range database", "DEBUG HTSTATS 99");
    expect(connection, "ERR unknown subcommand or wrong number of arguments for 'nonesuch'. Try DEBUG HELP.",
           "DEBUG nonesuch");
    int64_t from = now_us();
    expect(connection, "OK", "DEBUG SLEEP 0.1");
    assert_true(now_us() - from >= 100000);
    redisFree(connection);
    stop(server);
}

static void debug_is_for_whom_the_option_says(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--enable-debug-command", "no", NULL});
    redisContext *connection = server_connect(server);
    expect(connection,
           "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", "
           "you can run it from a local "
           "connection, otherwise you need to set this option in the configuration file, and then "
           "restart the server.",
           "DEBUG SLEEP 0");
    redisFree(connection);
    stop(server);
    server = start((const char *const[]){"--enable-debug-command", "local", NULL});
    connection = server_connect(server);
    expect(connection, "OK", "DEBUG SLEEP 0");
    redisFree(connection);
    stop(server);
}

/* ------------------------------------------------------------------ COMMAND */

static void command_describes_every_command(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    RESP3_COMMAND(connection, "COMMAND", "COUNT");
    RESP3_COMMAND(connection, "COMMAND");
    RESP3_COMMAND(connection, "COMMAND", "LIST");
    RESP3_COMMAND(connection, "COMMAND", "DOCS");
    struct resp3_value *count = resp3_read(connection), *all = resp3_read(connection),
                       *names = resp3_read(connection), *docs = resp3_read(connection);
    assert_true(count->integer > 50);
    assert_int_equal(all->count, count->integer);
    size_t whole = 0; /* the list has subcommands, too */
    for (size_t i = 0; i < names->count; i++) whole += strchr(names->elements[i].text, '|') == NULL;
    assert_int_equal(whole, count->integer);
    assert_true(names->count > whole);
    assert_int_equal(docs->count, 2 * count->integer);
    for (size_t i = 0; i < all->count; i++) {
        const struct resp3_value *parts = all->elements[i].elements;
        const char *name = parts[0].text;
        assert_int_equal(all->elements[i].count, 10);
        if (parts[1].integer == 0) fail_msg("%s: no arity", name);
        if (parts[6].count == 0) fail_msg("%s: no category", name);
        bool is_movable = false; /* what clients older than key specifications can't know */
        for (size_t j = 0; j < parts[2].count; j++)
            is_movable = is_movable || strcmp(parts[2].elements[j].text, "movablekeys") == 0;
        if ((parts[3].integer > 0) != (parts[8].count > 0) && !is_movable)
            fail_msg("%s: keys and key specifications disagree", name);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(name, all->elements[j].elements[0].text);
        const struct resp3_value *text = resp3_value_find(docs, name);
        const struct resp3_value *summary = text == NULL ? NULL : resp3_value_find(text, "summary");
        if (summary == NULL || summary->length == 0) fail_msg("%s: no summary", name);
    }
    resp3_value_free(count);
    resp3_value_free(all);
    resp3_value_free(names);
    resp3_value_free(docs);
    resp3_close(connection);
    stop(server);
}

static void command_info_reads_as_that_of_redis(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"COMMAND INFO get",
         "[[get, 2, [readonly, fast], 1, 1, 1, [@read, @string, @fast], [], [[flags, [RO, access], "
         "begin_search, [type, index, spec, [index, "
         "1]], find_keys, [type, range, spec, [lastkey, 0, keystep, 1, limit, 0]]]], []]]"},
        {"COMMAND INFO config|get", "[[config|get, -3, [admin, noscript, loading, stale], 0, 0, 0, "
                                    "[@admin, @slow, @dangerous], [], [], []]]"},
        {"COMMAND INFO ping nonesuch",
         "[[ping, -1, [fast], 0, 0, 0, [@fast, @connection], [request_policy:all_shards, "
         "response_policy:all_succeeded], [], []], (nil)]"},
        {"COMMAND DOCS nonesuch", "[]"},
        {"COMMAND GETKEYS set a b", "[a]"},
        {"COMMAND GETKEYS mset a 1 b 2", "[a, b]"},
        {"COMMAND GETKEYS bitop and to from from2", "[to, from, from2]"},
        {"COMMAND GETKEYSANDFLAGS set a b get", "[[a, [RW, access, update]]]"},
        {"COMMAND GETKEYSANDFLAGS set a b", "[[a, [OW, update]]]"},
        {"COMMAND GETKEYS pfmerge a b", "[a, b]"},
        {"COMMAND GETKEYS pfmerge a", "ERR Invalid arguments specified for command"},
        {"COMMAND GETKEYS zunionstore a 0 b", "ERR Invalid arguments specified for command"},
        {"COMMAND GETKEYS sort a", "[a]"},
        {"COMMAND GETKEYS eval x 2 a b c", "[a, b]"},
        {"COMMAND GETKEYS eval x 2 a", "[]"},
        {"COMMAND GETKEYS fcall f none", "[]"},
        {"COMMAND GETKEYS ping x", "ERR The command has no key arguments"},
        {"COMMAND GETKEYS nonesuch a", "ERR Invalid command specified"},
        {"COMMAND GETKEYS get a b", "ERR Invalid number of arguments specified for command"},
        {"COMMAND GETKEYS get", "ERR wrong number of arguments for 'command|getkeys' command"},
        {"COMMAND COUNT x", "ERR wrong number of arguments for 'command|count' command"},
        {"COMMAND LIST FILTERBY MODULE x", "[]"},
        {"COMMAND LIST FILTERBY PATTERN getde?", "[getdel]"},
        {"COMMAND LIST NONSENSE", "ERR syntax error"},
        {"COMMAND nonesuch", "ERR unknown subcommand 'nonesuch'. Try COMMAND HELP."},
    };
    struct server *server = start(NULL);
    redisContext *connection = server_connect(server);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        redisReply *reply = ask(connection, cases[i][0]);
        char *text = reply_text(reply);
        if (strcmp(text, cases[i][1]) != 0)
            fail_msg("%s: expected %s, got %s", cases[i][0], cases[i][1], text);
        free(text);
        freeReplyObject(reply);
    }
    redisFree(connection);
    stop(server);
}

static void every_help_is_lines_of_text(void **state) {
    (void)state;
    static const char *const commands[] = {"CLIENT",  "COMMAND", "CONFIG", "DEBUG",
                                           "LATENCY", "MEMORY",  "OBJECT", "SLOWLOG"};
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        RESP3_COMMAND(connection, commands[i], "HELP");
        struct resp3_value *lines = resp3_read(connection);
        if (lines->kind != '*' || lines->count < 3) fail_msg("%s HELP has few lines", commands[i]);
        for (size_t j = 0; j < lines->count; j++) assert_int_equal(lines->elements[j].kind, '+');
        assert_int_equal(strncasecmp(lines->elements[0].text, commands[i], strlen(commands[i])), 0);
        resp3_value_free(lines);
    }
    resp3_close(connection);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_has_every_field_that_an_exporter_reads),
        cmocka_unit_test(info_has_every_field_of_redis_in_its_order),
        cmocka_unit_test(info_shows_the_sections_that_are_asked_for),
        cmocka_unit_test(info_counts_what_all_workers_do),
        cmocka_unit_test(keyspace_tells_keys_and_expiries_of_each_database_in_use),
        cmocka_unit_test(memory_follows_the_data),
        cmocka_unit_test(commandstats_tell_calls_failures_and_refusals_apart),
        cmocka_unit_test(a_write_refused_for_want_of_memory_counts_as_rejected_not_as_failed),
        cmocka_unit_test(reads_writes_turns_and_refused_passwords_are_counted),
        cmocka_unit_test(what_is_freed_later_and_what_has_lapsed_is_told),
        cmocka_unit_test(the_time_between_two_requests_counts_for_neither),
        cmocka_unit_test(the_requests_of_a_pipeline_are_counted_one_by_one),
        cmocka_unit_test(latencystats_show_the_percentiles_that_are_configured),
        cmocka_unit_test(the_slow_log_keeps_the_latest_that_were_slow),
        cmocka_unit_test(the_slow_log_cuts_long_requests),
        cmocka_unit_test(the_latency_monitor_notes_what_takes_longer_than_its_threshold),
        cmocka_unit_test(latency_histogram_counts_calls_up_to_each_power_of_two),
        cmocka_unit_test(memory_commands_tell_what_data_costs),
        cmocka_unit_test(object_tells_how_a_value_is_held),
        cmocka_unit_test(debug_digest_is_that_of_redis_and_knows_no_order),
        cmocka_unit_test(debug_has_what_tests_ask_for),
        cmocka_unit_test(debug_is_for_whom_the_option_says),
        cmocka_unit_test(command_describes_every_command),
        cmocka_unit_test(command_info_reads_as_that_of_redis),
        cmocka_unit_test(every_help_is_lines_of_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
