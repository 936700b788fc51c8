#include "under_way.h"

#include <stdlib.h>

struct under_way *under_way_of(struct task *task) {
    if (task->under_way != NULL) return task->under_way;
    struct under_way *under_way = calloc(1, sizeof(struct under_way));
    if (under_way != NULL) shard_set_init(&under_way->found);
    return task->under_way = under_way;
}

void under_way_end(struct task *task) {
    struct under_way *under_way = task->under_way;
    if (under_way->is_walking) reply_free(&under_way->walk.items);
    if (under_way->further.kept != NULL) under_way->further.forget(under_way->further.kept);
    shard_set_free(&under_way->found);
    free(under_way);
    task->under_way = NULL;
}
