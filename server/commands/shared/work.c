#include "work.h"

#include "shard/base/number.h"

static bool number_at(const struct call *call, uint32_t index, int64_t *number) {
    return index < call->count &&
           number_parse(call->arguments[index].data, call->arguments[index].length, number);
}

static uint64_t at_most(uint64_t size, int64_t number) {
    uint64_t wanted = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    return wanted < size ? wanted : size;
}

uint64_t work_of_growth(uint64_t end, uint64_t size) {
    if (size == WORK_UNKNOWN) return end;
    return end > size ? end - size : 0;
}

uint64_t work_of_pairs(const struct call *call, uint64_t size) {
    (void)call;
    return size < UINT32_MAX ? size * size : UINT64_MAX / 2; /* there are two of them */
}

uint64_t work_of_count(const struct call *call, uint64_t size) {
    int64_t count;
    if (!number_at(call, 2, &count)) return 0;
    /* A negative count may take an element more than once. */
    return count < 0 ? 0 - (uint64_t)count : at_most(size, count);
}

static uint64_t work_of_count_at(const struct call *call, uint32_t index, uint64_t size) {
    int64_t count;
    if (!argument_is(&call->arguments[index], "COUNT") || !number_at(call, index + 1, &count)) return 0;
    return at_most(size, count);
}

uint64_t work_of_last_count(const struct call *call, uint64_t size) {
    return work_of_count_at(call, call->count - 2, size);
}

uint64_t work_of_scan(const struct call *call, uint64_t size) {
    uint64_t most = 0;
    for (uint32_t i = 3; i < call->count; i++) {
        uint64_t work = work_of_count_at(call, i, size);
        if (work > most) most = work;
    }
    return most;
}

uint64_t work_of_maxlen(const struct call *call, uint64_t size) {
    bool has_kind = argument_is(&call->arguments[3], "=") || argument_is(&call->arguments[3], "~");
    int64_t kept;
    if (!argument_is(&call->arguments[2], "MAXLEN") || !number_at(call, has_kind ? 4 : 3, &kept)) return size;
    return size - at_most(size, kept);
}

uint64_t work_of_pending(const struct call *call, uint64_t size) {
    int64_t count;
    if (call->count > 3 && argument_is(&call->arguments[3], "IDLE")) return size;
    return number_at(call, 5, &count) ? at_most(size, count) : 0;
}

static uint64_t place_in(int64_t index, uint64_t size) {
    if (index >= 0) return at_most(size, index);
    return at_most(size, index) == size ? 0 : size - at_most(size, index);
}

uint64_t work_of_range(const struct call *call, uint64_t size) {
    int64_t first, last;
    if (!number_at(call, 2, &first) || !number_at(call, 3, &last)) return 0;
    uint64_t from = place_in(first, size), to = place_in(last, size);
    return to < from ? 0 : to - from + 1;
}

uint64_t work_of_trim(const struct call *call, uint64_t size) {
    uint64_t kept = work_of_range(call, size);
    return kept < size ? size - kept : 0;
}

uint64_t work_of_limit(const struct call *call, uint64_t size) {
    for (uint32_t i = 2; i + 1 < call->count; i++) {
        int64_t offset, count;
        if (argument_is(&call->arguments[i], "COUNT") && number_at(call, i + 1, &count))
            return at_most(size, count);
        if (!argument_is(&call->arguments[i], "LIMIT") || !number_at(call, i + 1, &offset)) continue;
        if (!number_at(call, i + 2, &count) || count < 0) return size;
        return at_most(size, offset) + at_most(size, count);
    }
    return size;
}

uint64_t work_of_zrange(const struct call *call, uint64_t size) {
    for (uint32_t i = 4; i < call->count; i++)
        if (argument_is(&call->arguments[i], "BYSCORE") || argument_is(&call->arguments[i], "BYLEX"))
            return work_of_limit(call, size);
    return work_of_range(call, size);
}
