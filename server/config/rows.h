/* The options that have an effect, a row each: this list is the one place where an option is added.
 *
 * A row's macro is its kind, and what stands in it are its name, the field of `config` that follows it
 * (texts and lists have none, config_text copies them), its default as CONFIG GET shows it, its bounds,
 * and what else of struct option (option.h) it needs. config.h makes the fields out of this list,
 * options.c the table. The text that explains the option to whoever sets it stands in latchkey.conf, and a
 * test demands it.
 *
 * At the start they are applied in this order: the folder before files in it, the log before what may
 * write to it, threads and maxmemory before shards. A file that includes this defines the macros, and finds
 * them undefined afterwards. */

/* The process */
TEXT("dir", ".", .flags = OPTION_PROTECTED, .apply = apply_dir, .show = show_dir, .help = "folder to run in")
TEXT("logfile", "", IMMUTABLE, .apply = apply_logfile, .help = "where the log goes; \"\": standard output")
CHOICE("loglevel", loglevel, "notice", loglevel_names, .apply = apply_loglevel,
       .help = "debug, verbose, notice, warning or nothing")
BOOLEAN("daemonize", daemonize, "no", IMMUTABLE, .help = "go to the background")
TEXT("pidfile", "", IMMUTABLE)
CHOICE("supervised", supervised, "no", supervised_names, IMMUTABLE)
/* Never 0 for those who read it: "as many as fit" is resolved. */
INTEGER("threads", threads, "0", 0, MOST_THREADS, IMMUTABLE, .resolve = resolve_threads, .show = show_number,
        .help = "threads that serve clients; 0: one per CPU")
INTEGER("long-threads", long_threads, "0", 0, MOST_LONG_THREADS, IMMUTABLE, .resolve = resolve_long_threads,
        .show = show_number)
/* loop_create wants the text. */
CHOICE("io-backend", io_backend, "auto", backend_names, IMMUTABLE)

/* Network */
/* Addresses with blanks between; one with '-' before it may be missing; "" means no TCP at all. */
LIST("bind", "* -::*", compose_bind, .help = "addresses to listen on, several with blanks between")
INTEGER("port", port, "6379", 0, 65535, .help = "TCP port; 0 listens on none")
TEXT("unixsocket", "", IMMUTABLE, .help = "path of a Unix socket to listen on as well")
OCTAL("unixsocketperm", unixsocketperm, "0", 0777, IMMUTABLE)
INTEGER("tcp-backlog", tcp_backlog, "511", 0, INT_MAX, IMMUTABLE)
INTEGER("tcp-keepalive", tcp_keepalive, "300", 0, INT_MAX) /* seconds */
INTEGER("timeout", timeout, "0", 0, INT_MAX, .help = "seconds until an idle client is closed; 0: never")
INTEGER("shutdown-timeout", shutdown_timeout, "10", 0, INT_MAX) /* seconds */
/* Milliseconds; 0: no end. */
INTEGER("busy-reply-threshold", busy_reply_threshold, "5000", 0, INT64_MAX, .alias = "lua-time-limit")

/* Encryption (server/net/tls.h): what connects to tls-port. */
INTEGER("tls-port", tls_port, "0", 0, 65535, .help = "port for connections by TLS; 0 listens on none")
TEXT("tls-cert-file", "")
TEXT("tls-key-file", "")
BYTES("tls-key-file-pass", "")
TEXT("tls-ca-cert-file", "")
TEXT("tls-ca-cert-dir", "")
CHOICE("tls-auth-clients", tls_auth_clients, "yes", tls_auth_names)
TEXT("tls-protocols", "")
TEXT("tls-ciphers", "")
TEXT("tls-ciphersuites", "")
BOOLEAN("tls-prefer-server-ciphers", tls_prefer_server_ciphers, "no")
BOOLEAN("tls-session-caching", tls_session_caching, "yes")
INTEGER("tls-session-cache-size", tls_session_cache_size, "20480", 0, INT_MAX)
INTEGER("tls-session-cache-timeout", tls_session_cache_timeout, "300", 0, INT_MAX) /* seconds */
TEXT("tls-dh-params-file", "")

/* Access */
BYTES("requirepass", "", .apply = apply_requirepass, .help = "password that clients have to give")
TEXT("aclfile", "", IMMUTABLE, .help = "file of the users, in place of lines that begin with 'user'")
INTEGER("acllog-max-len", acllog_max_len, "128", 0, INT64_MAX)
CHOICE("acl-pubsub-default", acl_pubsub_default, "resetchannels", acl_pubsub_names)
BOOLEAN("protected-mode", protected_mode, "yes", .help = "without password, serve this machine only")
CHOICE("enable-debug-command", enable_debug_command, "no", permission_names, IMMUTABLE)
CHOICE("enable-protected-configs", enable_protected_configs, "no", permission_names, IMMUTABLE)

/* Clients */
BOOLEAN("balance-clients", balance_clients, "yes")
INTEGER("maxclients", maxclients, "10000", 1, UINT_MAX, .apply = apply_maxclients, .start = start_maxclients,
        .show = show_number, .help = "connections at the same time")
MEMORY("proto-max-bulk-len", proto_max_bulk_len, "536870912", MEBIBYTE, INT64_MAX)
MEMORY("client-query-buffer-limit", client_query_buffer_limit, "1073741824", MEBIBYTE, INT64_MAX)
LIST("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
     compose_output_limits, .apply = apply_output_limits)
/* Negative: percent of maxmemory. */
MEMORY("maxmemory-clients", maxmemory_clients, "0", 0, INT64_MAX, .flags = OPTION_SHARE,
       .initial_number = initial_client_memory)

/* What is noted of keys that clients keep copies of (server/interest/tracked.h); 0: no limit. */
INTEGER("tracking-table-max-keys", tracking_table_max_keys, "1000000", 0, INT64_MAX)

/* The keyspace */
INTEGER("databases", databases, "16", 1, INT_MAX, IMMUTABLE, .help = "how many SELECT knows")
MEMORY("maxmemory", maxmemory, "0", 0, INT64_MAX, .flags = OPTION_PERCENT, .show = show_number)
/* Never 0 for those who read it, like threads. */
INTEGER("shards", shards, "0", 0, MOST_SHARDS, IMMUTABLE, .check = check_shards, .resolve = resolve_shards,
        .show = show_number)
CHOICE("maxmemory-policy", maxmemory_policy, "noeviction", policy_names)
INTEGER("lfu-log-factor", lfu_log_factor, "10", 0, INT_MAX)
INTEGER("lfu-decay-time", lfu_decay_time, "1", 0, INT_MAX) /* minutes */
INTEGER("hz", hz, "10", 0, INT_MAX, .check = check_hz)
INTEGER("active-expire-effort", active_expire_effort, "1", 1, 10)
BOOLEAN("lazyfree-lazy-user-del", lazyfree_lazy_user_del, "no")
BOOLEAN("lazyfree-lazy-user-flush", lazyfree_lazy_user_flush, "no")
BOOLEAN("lazyfree-lazy-expire", lazyfree_lazy_expire, "no")

/* What is told of keys, to whoever subscribes to it (server/broadcast/notify.h). */
TEXT("notify-keyspace-events", "", .check = check_events, .apply = apply_events, .show = show_events)

/* When small values become large ones */
VALUE_LIMIT("hash-max-listpack-entries", hash_listpack_entries, "512", .alias = "hash-max-ziplist-entries")
VALUE_BYTES("hash-max-listpack-value", hash_listpack_value, "64", .alias = "hash-max-ziplist-value")
VALUE_LIMIT("set-max-intset-entries", set_intset_entries, "512")
VALUE_LIMIT("set-max-listpack-entries", set_listpack_entries, "128")
VALUE_BYTES("set-max-listpack-value", set_listpack_value, "64")
VALUE_LIMIT("zset-max-listpack-entries", zset_listpack_entries, "128", .alias = "zset-max-ziplist-entries")
VALUE_BYTES("zset-max-listpack-value", zset_listpack_value, "64", .alias = "zset-max-ziplist-value")
VALUE_NUMBER("list-max-listpack-size", list_listpack_size, "-2", INT32_MIN, INT32_MAX,
             .alias = "list-max-ziplist-size")
VALUE_NUMBER("list-compress-depth", list_compress_depth, "2", 0, INT32_MAX)
MEMORY("hll-sparse-max-bytes", hll_sparse_max_bytes, "3000", 0, INT64_MAX, .ceiling = HLL_DENSE_BYTES)
VALUE_BYTES("stream-node-max-bytes", stream_node_bytes, "4096")
VALUE_LIMIT("stream-node-max-entries", stream_node_entries, "100")

/* Looking inside */
INTEGER("slowlog-log-slower-than", slowlog_log_slower_than, "10000", -1, INT64_MAX) /* microseconds */
INTEGER("slowlog-max-len", slowlog_max_len, "128", 0, INT64_MAX)
INTEGER("latency-monitor-threshold", latency_monitor_threshold, "0", 0, INT64_MAX) /* milliseconds */
BOOLEAN("latency-tracking", latency_tracking, "yes")
LIST("latency-tracking-info-percentiles", "50 99 99.9", compose_percentiles)

#undef INTEGER
#undef OCTAL
#undef MEMORY
#undef BOOLEAN
#undef CHOICE
#undef TEXT
#undef BYTES
#undef LIST
#undef VALUE_LIMIT
#undef VALUE_BYTES
#undef VALUE_NUMBER
