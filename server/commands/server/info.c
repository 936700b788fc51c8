/* INFO: what monitoring reads. A section is a row: a name, whether it is shown when none is asked for, and a
 * function that writes its lines. Names are Redis's, so that exporters read it unmodified; what Latchkey
 * doesn't have (replication, persistence, modules) is told as a Redis without it tells. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "shard/keyspace.h"
#include "server/interest/blocking.h"
#include "server/interest/prefixes.h"
#include "server/interest/tracked.h"
#include "server/interest/trackers.h"
#include "server/base/clock.h"
#include "server/command/command_table.h"
#include "server/client/clients.h"
#include "server/config/config.h"
#include "server/broadcast/channels.h"
#include "server/broadcast/monitor.h"
#include "server/base/process.h"
#include "server/net/loop.h"
#include "server/observe/rates.h"
#include "server/observe/statistics.h"
#include "server/run/errand.h"
#include "server/run/script.h"
#include "server/script/libraries.h"
#include "server/script/texts.h"
#include "server/base/version.h"
#include "server/worker/worker.h"
#include "server/command/command.h"

struct info {
    const struct call *call;
    struct reply text;
};

__attribute__((format(printf, 2, 3))) static void line(struct info *info, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    reply_raw(&info->text, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
    reply_raw(&info->text, "\r\n", 2);
}

/* "name:bytes" and "name_human:1.50M". */
static void bytes_lines(struct info *info, const char *name, uint64_t bytes) {
    char human[32];
    process_human_bytes(human, sizeof human, bytes);
    line(info, "%s:%llu", name, (unsigned long long)bytes);
    line(info, "%s_human:%s", name, human);
}

/* What Redis counts of things that don't exist here. A program that reads INFO may expect the field, and 0 is
 * its value. */
static void zero_lines(struct info *info, const char *const *names) {
    for (; *names != NULL; names++) line(info, "%s:0", *names);
}
#define ZERO_LINES(info, ...) zero_lines(info, (const char *const[]){__VA_ARGS__, NULL})

/* Redis 7.2's lines: for TCP with all of its addresses, for the unix socket, and for TLS. */
static void listener_lines(struct info *info) {
    char words[4096], text[4096], path[4096];
    size_t length = 0;
    config_text("bind", words, sizeof words);
    char *rest = words;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL && length < sizeof text;
         word = strtok_r(rest, " ", &rest))
        length += (size_t)snprintf(text + length, sizeof text - length, ",bind=%s", word);
    long long port = (long long)atomic_load(&config.port),
              tls_port = (long long)atomic_load(&config.tls_port);
    if (port != 0 && length > 0) line(info, "listener0:name=tcp%.400s,port=%lld", text, port);
    if (config_text("unixsocket", path, sizeof path) > 0) line(info, "listener1:name=unix,bind=%.400s", path);
    if (tls_port != 0 && length > 0) line(info, "listener2:name=tls%.400s,port=%lld", text, tls_port);
}

static void server_section(struct info *info) {
    struct utsname machine;
    char executable[400];
    uname(&machine);
    int64_t uptime = process_uptime_seconds();
    process_executable(executable, sizeof executable);
    line(info, "redis_version:%s", REDIS_VERSION);
    line(info, "latchkey_version:%s", LATCHKEY_VERSION);
    ZERO_LINES(info, "redis_git_sha1", "redis_git_dirty", "redis_build_id");
    line(info, "redis_mode:standalone");
    line(info, "os:%s %s %s", machine.sysname, machine.release, machine.machine);
    line(info, "arch_bits:%zu", sizeof(void *) * 8);
    line(info, "monotonic_clock:%s", clock_source());
    line(info, "multiplexing_api:%s", loop_backend_name(worker_self()->loop));
    line(info, "atomicvar_api:c11-builtin");
    line(info, "gcc_version:%s", process_compiler());
    line(info, "process_id:%d", (int)getpid());
    line(info, "process_supervised:no");
    line(info, "run_id:%s", process_run_id());
    long long port = (long long)atomic_load(&config.port);
    line(info, "tcp_port:%lld", port != 0 ? port : (long long)atomic_load(&config.tls_port));
    line(info, "server_time_usec:%lld", (long long)clock_wall_us());
    line(info, "uptime_in_seconds:%lld", (long long)uptime);
    line(info, "uptime_in_days:%lld", (long long)(uptime / 86400));
    line(info, "hz:%lld", (long long)atomic_load(&config.hz));
    line(info, "configured_hz:%lld", (long long)atomic_load(&config.hz));
    line(info, "lru_clock:%lld", (long long)(info->call->now / 1000 & 0xffffff));
    line(info, "executable:%s", executable);
    line(info, "config_file:%s", config_file());
    line(info, "io_threads_active:0");
    listener_lines(info);
    line(info, "worker_threads:%u", worker_count());
    line(info, "long_threads:%u", workers_aside_count());
    line(info, "shards:%u", keyspace_shard_count(info->call->keyspace));
}

static void clients_section(struct info *info) {
    uint64_t input = 0, output = 0, waiting = 0, names = 0, tls = 0, parked = 0, blocked = 0,
             largest_input = 0, largest_output = 0;
    int64_t now = clock_monotonic_ms();
    for (uint32_t i = 0; i < worker_count(); i++) {
        input += counter_read(&worker_at(i)->input_bytes);
        output += counter_read(&worker_at(i)->output_bytes) + loop_kept(worker_at(i)->loop);
        waiting += counter_read(&worker_at(i)->wait_bytes) + counter_read(&worker_at(i)->ended_bytes);
        names += counter_read(&worker_at(i)->name_bytes);
        tls += counter_read(&worker_at(i)->tls_bytes);
        parked += counter_read(&worker_at(i)->parked);
        blocked += counter_read(&worker_at(i)->blocked);
        uint64_t one_input = recent_largest(&worker_at(i)->recent_input, now),
                 one_output = recent_largest(&worker_at(i)->recent_output, now);
        if (one_input > largest_input) largest_input = one_input;
        if (one_output > largest_output) largest_output = one_output;
    }
    line(info, "connected_clients:%llu", (unsigned long long)workers_connection_count());
    line(info, "cluster_connections:0");
    line(info, "maxclients:%lld", (long long)atomic_load(&config.maxclients));
    line(info, "client_recent_max_input_buffer:%llu", (unsigned long long)largest_input);
    line(info, "client_recent_max_output_buffer:%llu", (unsigned long long)largest_output);
    line(info, "client_input_bytes:%llu", (unsigned long long)input);
    line(info, "client_output_bytes:%llu", (unsigned long long)output);
    line(info, "client_wait_bytes:%llu", (unsigned long long)waiting);
    line(info, "client_name_bytes:%llu", (unsigned long long)names);
    line(info, "client_tls_bytes:%llu", (unsigned long long)tls);
    line(info, "blocked_clients:%llu", (unsigned long long)blocked);
    line(info, "parked_clients:%llu", (unsigned long long)parked);
    line(info, "monitor_clients:%u", atomic_load(&monitor_count));
    struct interest_counts waits;
    interest_count(&waits);
    line(info, "tracking_clients:%u", atomic_load(&trackers_wanted));
    ZERO_LINES(info, "clients_in_timeout_table");
    line(info, "total_blocking_keys:%llu", (unsigned long long)waits.keys);
    line(info, "total_blocking_keys_on_nokey:%llu", (unsigned long long)waits.keys_in_absence);
    line(info, "waiter_looks:%llu", (unsigned long long)waits.looks);
}

/* Scripts and functions share a Lua state of each thread. */
static void script_lines(struct info *info) {
    const struct library_set *set = libraries_hold();
    size_t states = 0;
    for (uint32_t i = 0; i < worker_count() + workers_aside_count(); i++)
        states += scripting_bytes(worker_at(i));
    char human[32];
    process_human_bytes(human, sizeof human, states);
    line(info, "used_memory_lua:%zu", states);
    line(info, "used_memory_vm_eval:%zu", states);
    line(info, "used_memory_lua_human:%s", human);
    line(info, "used_memory_scripts_eval:%zu", texts_bytes());
    line(info, "number_of_cached_scripts:%zu", texts_count());
    line(info, "number_of_functions:%u", set == NULL ? 0 : set->function_count);
    line(info, "number_of_libraries:%u", set == NULL ? 0 : set->library_count);
    ZERO_LINES(info, "used_memory_vm_functions");
    bytes_lines(info, "used_memory_vm_total", states);
    line(info, "used_memory_functions:%zu", libraries_bytes(set));
    bytes_lines(info, "used_memory_scripts", texts_bytes() + libraries_bytes(set));
    libraries_let_go(set);
}

static void memory_section(struct info *info) {
    struct process_memory memory;
    struct keyspace_counts counts;
    uint64_t dataset = 0, tables = 0;
    process_memory(&memory);
    statistics_keyspace(info->call->keyspace, &counts);
    for (uint32_t database = 0; database < keyspace_database_count(info->call->keyspace); database++) {
        struct keyspace_size size;
        keyspace_size(info->call->keyspace, database, &size);
        dataset += size.bytes;
        tables += size.table_bytes;
    }
    uint64_t overhead = memory.used > dataset ? memory.used - dataset : 0;
    bytes_lines(info, "used_memory", memory.used);
    bytes_lines(info, "used_memory_rss", memory.resident);
    bytes_lines(info, "used_memory_peak", memory.peak);
    line(info, "used_memory_peak_perc:%.2f%%",
         memory.peak == 0 ? 0.0 : 100.0 * (double)memory.used / (double)memory.peak);
    line(info, "used_memory_overhead:%llu", (unsigned long long)overhead);
    line(info, "used_memory_startup:%llu", (unsigned long long)memory.at_start);
    line(info, "used_memory_dataset:%llu", (unsigned long long)dataset);
    line(info, "used_memory_dataset_perc:%.2f%%",
         memory.used <= memory.at_start ? 0.0
                                        : 100.0 * (double)dataset / (double)(memory.used - memory.at_start));
    line(info, "used_memory_tables:%llu", (unsigned long long)tables);
    line(info, "allocator_allocated:%llu", (unsigned long long)memory.allocated);
    line(info, "allocator_active:%llu", (unsigned long long)memory.active);
    line(info, "allocator_resident:%llu", (unsigned long long)memory.allocator_resident);
    bytes_lines(info, "total_system_memory", memory.system);
    script_lines(info);
    bytes_lines(info, "maxmemory", (uint64_t)atomic_load(&config.maxmemory));
    char policy[64];
    config_text("maxmemory-policy", policy, sizeof policy);
    line(info, "maxmemory_policy:%s", policy);
    line(info, "allocator_frag_ratio:%.2f",
         memory.used == 0 ? 0.0 : (double)memory.active / (double)memory.used);
    line(info, "allocator_frag_bytes:%lld", (long long)(memory.active - memory.used));
    line(info, "allocator_rss_ratio:%.2f",
         memory.active == 0 ? 0.0 : (double)memory.allocator_resident / (double)memory.active);
    line(info, "allocator_rss_bytes:%lld", (long long)(memory.allocator_resident - memory.active));
    line(info, "rss_overhead_ratio:%.2f",
         memory.allocator_resident == 0 ? 0.0 : (double)memory.resident / (double)memory.allocator_resident);
    line(info, "rss_overhead_bytes:%lld", (long long)(memory.resident - memory.allocator_resident));
    line(info, "mem_fragmentation_ratio:%.2f",
         memory.used == 0 ? 0.0 : (double)memory.resident / (double)memory.used);
    line(info, "mem_fragmentation_bytes:%lld", (long long)(memory.resident - memory.used));
    ZERO_LINES(info, "mem_not_counted_for_evict", "mem_replication_backlog", "mem_total_replication_buffers",
               "mem_clients_slaves");
    line(info, "mem_clients_normal:%llu", (unsigned long long)clients_memory());
    ZERO_LINES(info, "mem_cluster_links", "mem_aof_buffer");
    line(info, "mem_clients_unauthenticated:%llu", (unsigned long long)clients_strangers_memory());
    line(info, "maxmemory_clients:%lld", (long long)clients_memory_most());
    line(info, "mem_allocator:%s", process_allocator());
    line(info, "active_defrag_running:0");
    line(info, "lazyfree_pending_objects:%llu", (unsigned long long)counts.retired_objects);
    line(info, "lazyfreed_objects:%llu", (unsigned long long)counts.freed_objects);
    line(info, "lazyfree_pending_bytes:%llu", (unsigned long long)counts.retired_bytes);
}

/* Nothing is written to disk, and INFO says so in the words that exporters know. */
static void persistence_section(struct info *info) {
    struct keyspace_counts counts;
    keyspace_counts(info->call->keyspace, &counts);
    line(info, "loading:0");
    line(info, "async_loading:0");
    ZERO_LINES(info, "current_cow_peak", "current_cow_size", "current_cow_size_age");
    line(info, "current_fork_perc:0.00");
    ZERO_LINES(info, "current_save_keys_processed", "current_save_keys_total");
    line(info, "rdb_changes_since_last_save:%llu", (unsigned long long)counts.changes);
    line(info, "rdb_bgsave_in_progress:0");
    line(info, "rdb_last_save_time:%lld", (long long)(info->call->now / 1000 - process_uptime_seconds()));
    line(info, "rdb_last_bgsave_status:ok");
    line(info, "rdb_last_bgsave_time_sec:-1");
    line(info, "rdb_current_bgsave_time_sec:-1");
    ZERO_LINES(info, "rdb_saves", "rdb_last_cow_size", "rdb_last_load_keys_expired",
               "rdb_last_load_keys_loaded");
    ZERO_LINES(info, "aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled");
    line(info, "aof_last_rewrite_time_sec:-1");
    line(info, "aof_current_rewrite_time_sec:-1");
    line(info, "aof_last_bgrewrite_status:ok");
    ZERO_LINES(info, "aof_rewrites", "aof_rewrites_consecutive_failures");
    line(info, "aof_last_write_status:ok");
    ZERO_LINES(info, "aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size");
}

static void stats_section(struct info *info) {
    struct worker_totals totals;
    struct keyspace_counts counts;
    struct tracked_counts tracked;
    struct error_count errors[ERROR_CODES];
    struct rates rates;
    uint64_t error_total;
    statistics_workers(&totals);
    statistics_keyspace(info->call->keyspace, &counts);
    (void)statistics_errors(errors, &error_total);
    rates_read(&rates);
    line(info, "total_connections_received:%llu", (unsigned long long)totals.connections_total);
    line(info, "total_commands_processed:%llu", (unsigned long long)totals.commands);
    line(info, "long_commands_processed:%llu", (unsigned long long)errands_sent());
    line(info, "instantaneous_ops_per_sec:%llu", (unsigned long long)rates.commands);
    line(info, "total_net_input_bytes:%llu", (unsigned long long)totals.bytes_in);
    line(info, "total_net_output_bytes:%llu", (unsigned long long)totals.bytes_out);
    ZERO_LINES(info, "total_net_repl_input_bytes", "total_net_repl_output_bytes");
    line(info, "instantaneous_input_kbps:%.2f", rates.bytes_in / 1024.0);
    line(info, "instantaneous_output_kbps:%.2f", rates.bytes_out / 1024.0);
    line(info, "instantaneous_input_repl_kbps:0.00");
    line(info, "instantaneous_output_repl_kbps:0.00");
    line(info, "rejected_connections:%llu", (unsigned long long)totals.rejected_connections);
    ZERO_LINES(info, "sync_full", "sync_partial_ok", "sync_partial_err");
    line(info, "expired_keys:%llu", (unsigned long long)counts.expired);
    line(info, "expired_keys_active:%llu", (unsigned long long)counts.expired_actively);
    line(info, "expired_stale_perc:%.2f", (double)counts.stale_ppm / 10000.0);
    line(info, "expired_time_cap_reached_count:%llu", (unsigned long long)counts.expiry_cut_short);
    line(info, "expire_cycle_cpu_milliseconds:%llu", (unsigned long long)(counts.expiry_cycle_us / 1000));
    line(info, "evicted_keys:%llu", (unsigned long long)counts.evicted);
    line(info, "evicted_clients:%llu", (unsigned long long)totals.evicted_clients);
    ZERO_LINES(info, "total_eviction_exceeded_time", "current_eviction_exceeded_time");
    line(info, "keyspace_hits:%llu", (unsigned long long)counts.hits);
    line(info, "keyspace_misses:%llu", (unsigned long long)counts.misses);
    line(info, "pubsub_channels:%llu", (unsigned long long)channels_count(CHANNEL));
    line(info, "pubsub_patterns:%llu", (unsigned long long)channels_count(CHANNEL_PATTERN));
    line(info, "pubsubshard_channels:%llu", (unsigned long long)channels_count(CHANNEL_SHARD));
    ZERO_LINES(info, "latest_fork_usec", "total_forks", "migrate_cached_sockets",
               "slave_expires_tracked_keys", "active_defrag_hits", "active_defrag_misses",
               "active_defrag_key_hits", "active_defrag_key_misses", "total_active_defrag_time",
               "current_active_defrag_time");
    tracked_count(&tracked);
    line(info, "tracking_total_keys:%llu", (unsigned long long)tracked.keys);
    line(info, "tracking_total_items:%llu", (unsigned long long)tracked.clients);
    line(info, "tracking_total_prefixes:%u", prefixes_count());
    ZERO_LINES(info, "unexpected_error_replies");
    line(info, "total_error_replies:%llu", (unsigned long long)error_total);
    ZERO_LINES(info, "dump_payload_sanitizations");
    line(info, "total_reads_processed:%llu", (unsigned long long)totals.reads);
    line(info, "total_writes_processed:%llu", (unsigned long long)totals.writes);
    ZERO_LINES(info, "io_threaded_reads_processed", "io_threaded_writes_processed");
    line(info, "client_query_buffer_limit_disconnections:%llu",
         (unsigned long long)totals.query_limit_closes);
    line(info, "client_output_buffer_limit_disconnections:%llu",
         (unsigned long long)totals.output_limit_closes);
    /* A client has no buffer of its own for replies that would be resized. */
    ZERO_LINES(info, "reply_buffer_shrinks", "reply_buffer_expands");
    /* Redis's names for turns; what a turn takes is its processor time, since waiting is none of it. */
    line(info, "eventloop_cycles:%llu", (unsigned long long)totals.turns);
    line(info, "eventloop_duration_sum:%llu", (unsigned long long)totals.busy_us);
    line(info, "eventloop_duration_cmd_sum:%llu", (unsigned long long)statistics_commands_us());
    line(info, "instantaneous_eventloop_cycles_per_sec:%llu", (unsigned long long)rates.turns);
    line(info, "instantaneous_eventloop_duration_usec:%llu", (unsigned long long)rates.turn_us);
    line(info, "acl_access_denied_auth:%llu", (unsigned long long)totals.denied_names);
    line(info, "acl_access_denied_cmd:%llu", (unsigned long long)totals.denied_commands);
    line(info, "acl_access_denied_key:%llu", (unsigned long long)totals.denied_keys);
    line(info, "acl_access_denied_channel:%llu", (unsigned long long)totals.denied_channels);
#define COUNTER_LINE(name, field) line(info, field ":%llu", (unsigned long long)totals.name);
    WORKER_COUNTERS_OF_OURS(COUNTER_LINE)
#undef COUNTER_LINE
    line(info, "shard_locks_exclusive:%llu", (unsigned long long)counts.exclusive_takes);
    line(info, "shard_locks_shared:%llu", (unsigned long long)counts.shared_takes);
    line(info, "shard_locks_busy:%llu", (unsigned long long)counts.busy_takes);
    line(info, "gate_closings:%llu", (unsigned long long)counts.gate_closings);
}

static void replication_section(struct info *info) {
    line(info, "role:master");
    line(info, "connected_slaves:0");
    line(info, "master_failover_state:no-failover");
    char id[PROCESS_ID_BYTES];
    process_replication_id(id);
    line(info, "master_replid:%s", id);
    line(info, "master_replid2:0000000000000000000000000000000000000000");
    line(info, "master_repl_offset:0");
    line(info, "second_repl_offset:-1");
    line(info, "repl_backlog_active:0");
    line(info, "repl_backlog_size:0");
    line(info, "repl_backlog_first_byte_offset:0");
    line(info, "repl_backlog_histlen:0");
}

static void time_line(struct info *info, const char *name, struct timeval time) {
    line(info, "%s:%lld.%06lld", name, (long long)time.tv_sec, (long long)time.tv_usec);
}

/* The main thread starts and ends the others, and serves no client; its number is the process's. */
static void main_thread_lines(struct info *info) {
    unsigned long long user = 0, system = 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)getpid());
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        /* The second field is a name, in parentheses. */
        if (fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                   &system) != 2)
            user = system = 0;
        fclose(file);
    }
    double ticks = (double)sysconf(_SC_CLK_TCK);
    line(info, "used_cpu_sys_main_thread:%.6f", (double)system / ticks);
    line(info, "used_cpu_user_main_thread:%.6f", (double)user / ticks);
}

static void cpu_section(struct info *info) {
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    time_line(info, "used_cpu_sys", self.ru_stime);
    time_line(info, "used_cpu_user", self.ru_utime);
    time_line(info, "used_cpu_sys_children", children.ru_stime);
    time_line(info, "used_cpu_user_children", children.ru_utime);
    main_thread_lines(info);
    for (uint32_t i = 0; i < worker_count(); i++)
        line(info, "used_cpu_worker_%u:%.6f", i, worker_cpu_seconds(worker_at(i)));
    for (uint32_t i = 0; i < workers_aside_count(); i++)
        line(info, "used_cpu_long_thread_%u:%.6f", i, worker_cpu_seconds(worker_at(worker_count() + i)));
}

static void modules_section(struct info *info) {
    (void)info; /* there are none, and the section is empty */
}

static void commandstats_section(struct info *info) {
    for (uint32_t id = 0; id < command_table_count(); id++) {
        const struct command *command = command_by_id(id);
        struct command_totals totals;
        statistics_totals(command, &totals);
        if (totals.calls == 0 && totals.rejected == 0) continue;
        double microseconds = (double)totals.nanoseconds / 1000.0;
        line(info, "cmdstat_%s:calls=%llu,usec=%.0f,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu",
             command->full_name, (unsigned long long)totals.calls, microseconds,
             totals.calls == 0 ? 0.0 : microseconds / (double)totals.calls,
             (unsigned long long)totals.rejected, (unsigned long long)totals.failed);
    }
}

static void errorstats_section(struct info *info) {
    struct error_count errors[ERROR_CODES];
    uint64_t total;
    uint32_t count = statistics_errors(errors, &total);
    for (uint32_t i = 0; i < count; i++)
        line(info, "errorstat_%s:count=%llu", errors[i].code, (unsigned long long)errors[i].count);
}

/* latency-tracking-info-percentiles is a list of numbers with blanks between. */
static int percentiles_read(double *out, int most) {
    char text[256], *rest = text;
    int count = 0;
    config_text("latency-tracking-info-percentiles", text, sizeof text);
    while (count < most) {
        char *end;
        double percentile = strtod(rest, &end);
        if (end == rest) break;
        out[count++] = percentile;
        rest = end;
    }
    return count;
}

static void latencystats_section(struct info *info) {
    double percentiles[16];
    int count = percentiles_read(percentiles, 16);
    if (!atomic_load(&config.latency_tracking)) return;
    for (uint32_t id = 0; id < command_table_count(); id++) {
        const struct command *command = command_by_id(id);
        struct command_totals totals;
        char text[400];
        size_t length = 0;
        statistics_totals(command, &totals);
        if (totals.calls == 0) continue;
        for (int i = 0; i < count && length < sizeof text - 48; i++)
            length += (size_t)snprintf(
                text + length, sizeof text - length, "%sp%g=%.3f", i == 0 ? "" : ",", percentiles[i],
                (double)histogram_percentile(&totals.histogram, percentiles[i]) / 1000.0);
        line(info, "latency_percentiles_usec_%s:%.*s", command->full_name, (int)length, text);
    }
}

static void cluster_section(struct info *info) {
    line(info, "cluster_enabled:0");
}

static void keyspace_section(struct info *info) {
    for (uint32_t database = 0; database < keyspace_database_count(info->call->keyspace); database++) {
        struct keyspace_size size;
        keyspace_size(info->call->keyspace, database, &size);
        if (size.keys == 0) continue;
        /* The sum of expiries is kept modulo 2^64, and so is this difference; it is small. */
        int64_t lives =
            size.expiring == 0 ? 0 : (int64_t)(size.expiry_sum - size.expiring * (uint64_t)info->call->now);
        int64_t average = size.expiring == 0 || lives < 0 ? 0 : lives / (int64_t)size.expiring;
        line(info, "db%u:keys=%llu,expires=%llu,avg_ttl=%lld", database, (unsigned long long)size.keys,
             (unsigned long long)size.expiring, (long long)average);
    }
}

struct section {
    const char *name, *title;
    bool is_default;
    void (*write)(struct info *info);
};

static const struct section sections[] = {
    {"server", "Server", true, server_section},
    {"clients", "Clients", true, clients_section},
    {"memory", "Memory", true, memory_section},
    {"persistence", "Persistence", true, persistence_section},
    {"stats", "Stats", true, stats_section},
    {"replication", "Replication", true, replication_section},
    {"cpu", "CPU", true, cpu_section},
    {"modules", "Modules", true, modules_section},
    {"commandstats", "Commandstats", false, commandstats_section},
    {"errorstats", "Errorstats", true, errorstats_section},
    {"latencystats", "Latencystats", false, latencystats_section},
    {"cluster", "Cluster", true, cluster_section},
    {"keyspace", "Keyspace", true, keyspace_section},
};

static bool is_wanted(const struct section *section, const struct call *call) {
    if (call->count == 1) return section->is_default;
    for (uint32_t i = 1; i < call->count; i++) {
        const struct bulk *name = &call->arguments[i];
        if (argument_is(name, section->name) || argument_is(name, "all") || argument_is(name, "everything"))
            return true;
        if (argument_is(name, "default") && section->is_default) return true;
    }
    return false;
}

static void command_info(const struct call *call, struct reply *reply) {
    struct info info = {.call = call};
    reply_init(&info.text, call->protocol);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!is_wanted(&sections[i], call)) continue;
        if (info.text.length > 0) reply_raw(&info.text, "\r\n", 2);
        line(&info, "# %s", sections[i].title);
        sections[i].write(&info);
    }
    reply_collected(reply, &info.text);
}

static void command_config_resetstat(const struct call *call, struct reply *reply) {
    statistics_reset(call->keyspace);
    process_peak_reset();
    reply_ok(reply);
}

/* ------------------------------------------------------------------ rows */

const struct command info_commands[] = {
    {.name = "info",
     .arity = -1,
     .flags = COMMAND_SUMS | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_info,
     .categories = "dangerous",
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Tells about the server's state",
     .syntax = "[section:string...]",
     .tips = "nondeterministic_output,request_policy:all_shards,response_policy:special",
     .history = "7.0.0:several sections"},
    {.name = "config|resetstat",
     .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_config_resetstat,
     .since = "2.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Sets the statistics to zero"},
    {.name = NULL},
};
