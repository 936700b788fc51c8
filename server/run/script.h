/* Scripts: EVAL and its like, which run in a Lua state of their worker's, in a scope like any other command.
 *
 * A script begins with the shards of the keys that it declares, exclusively, or shared if it only reads. A
 * key that it hasn't declared is as good: its shard is taken on the spot if it is free, since all that it has
 * is held to the end. If it is busy, the script's changes are taken back (undo.h), and it begins again with
 * that shard as well; whoever has the server's one stray token may wait for a moment before that, which is
 * the only place where anybody waits while holding a shard. What wants the whole keyspace (KEYS, FLUSHALL)
 * begins again with all of it. The second run sees the same time and draws the same random numbers.
 *
 * One that takes longer than a moment is taken back, too, and goes to a thread of long work (leave.h), so
 * that its worker's other clients don't wait for it; what others see of it there is slow_script.h's. Where it
 * is about to do what takes as long in one step (to compile a long text, to call a command that goes over a
 * large value, or over all keys), it goes before it does.
 *
 * Until a script is concluded nothing of it is seen: neither its changes nor what it counts for, or has
 * logged (script_notes.h). */
#ifndef SERVER_RUN_SCRIPT_H
#define SERVER_RUN_SCRIPT_H

#include "dispatcher.h"

struct compiled;
struct library_shelf;
struct script_cache;
struct script_text;
struct shelved;

/* What a command found that is to be run. */
struct found_script {
    int function;
    uint32_t flags; /* server/script/shebang.h */
    const char *name;
    bool is_function;
    _Atomic bool *strays; /* of a function: it has taken keys that were not declared; NULL: a script */
    /* What it is part of, to be held if anything else is found before it is run: one or the other. */
    const struct script_text *text;
    struct shelved *shelved;
};

/* The worker's, made at first. NULL: no memory. On its thread. */
struct scripting *scripting_of(struct worker *worker);
/* When no worker runs any more. NULL is fine. */
void scripting_free(struct scripting *scripting);
struct script_cache *scripting_cache(const struct scripting *scripting);
struct library_shelf *scripting_shelf(const struct scripting *scripting);
/* Between requests: collects some of what scripts have left behind. True if there is more of it. */
bool scripting_tidy(struct worker *worker);
/* For who finds a script or function (script_function): whether the worker has what takes long to compile or
 * load read by a thread of long work. Then nothing is replied, as it isn't found here. */
bool scripting_leaves(struct scripting *scripting);
/* Memory of its Lua state. Any thread. */
size_t scripting_bytes(const struct worker *worker);

/* Before shards are taken for scripts that have commands judged one by one: whether there is memory stands in
 * the execution. May park it. */
enum outcome script_look_for_memory(struct execution *execution);

/* In a transaction, before it takes any shard: finds, compiles and loads its scripts, which takes long, and
 * holds them until they are let go. Whether they write stands in *writes; or *leaves is true: one of them
 * takes so long that this is rather done by a thread of long work. false: no memory. */
bool script_find_row(const struct execution *execution, bool *writes, bool *leaves);
void script_let_go_row(const struct execution *execution);
/* Before its first command, and one that is a script, which may set execution->begins_again, when all of it
 * is to be taken back. */
void script_begin_row(const struct execution *execution);
/* The next one of them isn't run. */
void script_pass_over(const struct execution *execution);
void script_run_inside(struct execution *execution, const struct call *call, struct write_scope *write,
                       const struct read_scope *read, struct reply *reply);
/* When it is concluded: each script's notes in its turn, and at last what all of them count for. */
void script_end_one(const struct execution *execution);
void script_end_row(const struct execution *execution);

/* EVAL and its like, by themselves. */
enum outcome script_run_whole(struct execution *execution);

#endif
