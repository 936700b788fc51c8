#include "array.h"

#include <stdlib.h>

#include "../base/memory.h"
#include "../lock/reclaim.h"

void array_bytes_add(struct table *table, struct lane *lane, size_t bytes) {
    counter_add(&table->array_bytes, bytes);
    lane_charge(lane, (int64_t)bytes);
}

void array_bytes_subtract(struct table *table, struct lane *lane, size_t bytes) {
    counter_subtract(&table->array_bytes, bytes);
    lane_charge(lane, -(int64_t)bytes);
}

bool array_create(struct table *table, struct array *array, uint64_t groups, struct lane *lane) {
    size_t bytes = memory_good_size(groups * sizeof(struct group));
    groups = bytes / sizeof(struct group);
    array->groups = memory_lines(groups * sizeof(struct group));
    if (array->groups == NULL) return false;
    array->homes = groups * GROUP_HOMES;
    array_bytes_add(table, lane, memory_size(array->groups));
    return true;
}

void array_retire(struct table *table, struct table_array *place, struct lane *lane) {
    struct array array = array_read(place);
    size_t bytes = memory_size(array.groups);
    array_bytes_subtract(table, lane, bytes);
    lane_retire(lane, array.groups, bytes, NULL);
    array_write(place, (struct array){NULL, 0});
}

void array_free(struct array array) {
    for (uint64_t group = 0; group < array.homes / GROUP_HOMES; group++)
        for (struct bucket *link = link_of(&array.groups[group].spill), *next; link != NULL; link = next) {
            next = link_of(link);
            free(link);
        }
    free(array.groups);
}
