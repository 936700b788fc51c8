#include "under_way.h"

#include <stdlib.h>

#include "shard/base/pages.h"

struct under_way *under_way_of(struct task *task) {
    if (task->under_way != NULL) return task->under_way;
    struct under_way *under_way = calloc(1, sizeof(struct under_way));
    if (under_way == NULL) return NULL;
    shard_set_init(&under_way->found);
    shard_set_init(&under_way->many.shards);
    return task->under_way = under_way;
}

bool under_way_has_begun(const struct under_way *under_way) {
    return under_way->inquiry != NULL || under_way->is_unanswered || under_way->blocked != NULL ||
           under_way->waits_again || under_way->errand != NULL || under_way->is_walking;
}

void many_keys_free(struct many_keys *many) {
    pages_free(many->keys, many->room * sizeof *many->keys);
    pages_free(many->positions, many->room * sizeof *many->positions);
    shard_set_free(&many->shards);
    many->keys = NULL;
    many->positions = NULL;
    many->count = many->room = 0;
}

void under_way_end(struct task *task) {
    struct under_way *under_way = task->under_way;
    if (under_way->is_walking) reply_free(&under_way->walk.items);
    if (under_way->further.kept != NULL) under_way->further.forget(under_way->further.kept);
    shard_set_free(&under_way->found);
    many_keys_free(&under_way->many);
    free(under_way);
    task->under_way = NULL;
}
