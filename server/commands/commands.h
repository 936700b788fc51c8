/* Every command's functions, as the rows (rows_*.c) name them. command.h tells what each kind gets and must
 * do. */
#ifndef SERVER_COMMANDS_COMMANDS_H
#define SERVER_COMMANDS_COMMANDS_H

#include "server/command/command.h"

/* strings.c */
read_function command_get;
write_function command_set, command_setnx, command_setex, command_psetex, command_getset, command_getdel,
    command_getex;
read_function command_mget;
write_function command_mset, command_msetnx;
read_function command_strlen, command_getrange, command_substr;
write_function command_append, command_setrange, command_incr, command_decr, command_incrby, command_decrby;
write_function command_incrbyfloat;

/* lcs.c */
read_function command_lcs;

/* bits.c */
read_function command_getbit;
write_function command_setbit;
read_function command_bitcount, command_bitpos;
write_function command_bitop;
read_function command_bitfield_ro;
write_function command_bitfield;

/* keys.c */
read_function command_exists, command_touch, command_type;
write_function command_del, command_unlink, command_rename, command_renamenx, command_copy, command_move;

/* expiry.c */
write_function command_expire, command_pexpire, command_expireat, command_pexpireat, command_persist;
read_function command_ttl, command_pttl, command_expiretime, command_pexpiretime;

/* scan.c */
walk_function command_scan, command_keys, command_randomkey;

/* object.c */
read_function command_object_encoding, command_object_idletime, command_object_freq, command_object_refcount;
plain_function command_object_help;
read_function command_memory_usage;
plain_function command_memory_stats, command_memory_doctor, command_memory_purge, command_memory_malloc_stats;
plain_function command_memory_help;

/* databases.c */
plain_function command_dbsize;
write_function command_flushdb, command_flushall, command_swapdb;

/* hashes.c */
read_function command_hget, command_hmget, command_hlen, command_hstrlen, command_hkeys;
read_function command_hvals, command_hgetall, command_hexists, command_hrandfield, command_hscan;
write_function command_hset, command_hsetnx, command_hmset, command_hincrby, command_hincrbyfloat;
write_function command_hdel;

/* sets.c */
read_function command_sismember, command_smismember, command_scard, command_srandmember;
read_function command_sinter, command_sintercard, command_sunion, command_sdiff, command_smembers;
read_function command_sscan;
write_function command_sadd, command_srem, command_smove, command_spop, command_sinterstore;
write_function command_sunionstore, command_sdiffstore;

/* lists.c */
read_function command_llen, command_lindex, command_lrange, command_lpos;
write_function command_rpush, command_lpush, command_rpushx, command_lpushx, command_linsert;
write_function command_rpop, command_lpop, command_lset, command_ltrim, command_lrem;
write_function command_rpoplpush, command_lmove, command_lmpop;

/* sorted_sets.c, sorted_set_operations.c */
read_function command_zunion, command_zinter, command_zintercard, command_zdiff, command_zrange;
read_function command_zrangebyscore, command_zrevrangebyscore, command_zrangebylex;
read_function command_zrevrangebylex, command_zcount, command_zlexcount, command_zrevrange;
read_function command_zcard, command_zscore, command_zmscore, command_zrank, command_zrevrank;
read_function command_zscan, command_zrandmember;
write_function command_zadd, command_zincrby, command_zrem, command_zremrangebyscore;
write_function command_zremrangebyrank, command_zremrangebylex, command_zunionstore;
write_function command_zinterstore, command_zdiffstore, command_zrangestore, command_zpopmin;
write_function command_zpopmax, command_zmpop;

/* blocking.c */
write_function command_blpop, command_brpop, command_blmove, command_brpoplpush, command_blmpop;
write_function command_bzpopmin, command_bzpopmax, command_bzmpop;

/* hyperloglog.c */
write_function command_pfadd, command_pfcount, command_pfmerge, command_pfdebug;
plain_function command_pfselftest;

/* sort.c */
write_function command_sort;
read_function command_sort_ro;
find_keys_function sort_find_keys;

/* geo.c */
read_function command_geodist, command_geohash, command_geopos, command_georadius_ro;
read_function command_georadiusbymember_ro, command_geosearch;
write_function command_geoadd, command_georadius, command_georadiusbymember, command_geosearchstore;
find_keys_function georadius_find_keys;

/* streams.c, stream_reads.c, stream_groups.c, stream_info.c */
read_function command_xinfo_consumers, command_xinfo_groups, command_xinfo_stream, command_xlen;
read_function command_xrange, command_xrevrange, command_xpending;
write_function command_xgroup_create, command_xgroup_createconsumer, command_xgroup_delconsumer;
write_function command_xgroup_destroy, command_xgroup_setid, command_xadd, command_xdel;
write_function command_xtrim, command_xsetid, command_xread, command_xreadgroup, command_xack;
write_function command_xclaim, command_xautoclaim;
plain_function command_xgroup_help, command_xinfo_help;

/* connection.c */
plain_function command_ping, command_echo;
session_function command_quit, command_select, command_auth, command_hello, command_client_id;
session_function command_client_getname, command_client_setname, command_client_setinfo, command_client_reply;
session_function command_client_no_evict, command_client_no_touch;

/* client.c */
plain_function command_client_help;
worker_function command_client_info;
check_function command_client_kill_check;
visit_function command_client_kill_visit, command_debug_move_clients_visit;
conclude_function command_client_kill_conclude, command_debug_move_clients_conclude;
check_function command_client_list_check;
visit_function command_client_list_visit;
conclude_function command_client_list_conclude;
check_function command_client_unblock_check;
visit_function command_client_unblock_visit;
conclude_function command_client_unblock_conclude;
check_function command_client_pause_check;
visit_function command_client_pause_visit;
conclude_function command_client_pause_conclude;
visit_function command_client_unpause_visit;
conclude_function command_client_unpause_conclude;

/* config.c */
plain_function command_config_get, command_config_rewrite, command_config_help;

/* info.c */
plain_function command_info, command_config_resetstat;

/* command.c */
plain_function command_command, command_command_count, command_command_info, command_command_docs,
    command_command_list;
plain_function command_command_getkeys, command_command_getkeysandflags, command_command_help;

/* slowlog.c */
plain_function command_slowlog_get, command_slowlog_len, command_slowlog_reset, command_slowlog_help;

/* latency.c */
plain_function command_latency_latest, command_latency_history, command_latency_reset, command_latency_graph;
plain_function command_latency_doctor, command_latency_histogram, command_latency_help;

/* debug.c */
read_function command_debug_digest_value;
write_function command_debug_digest;
read_function command_debug_object, command_debug_listpack;
plain_function command_debug_clock, command_debug_htstats;
write_function command_debug_sleep, command_debug_populate;
plain_function command_debug_reload, command_debug_change_repl_id, command_debug_quicklist_packed_threshold;
plain_function command_debug_set_active_expire, command_debug_error, command_debug_log,
    command_debug_stringmatch_len;
plain_function command_debug_protocol, command_debug_help, command_debug;

/* admin.c */
worker_function command_reset, command_config_set, command_monitor, command_shutdown, command_debug_hold,
    command_debug_worker;

/* time.c */
plain_function command_time, command_lolwut;

#endif
