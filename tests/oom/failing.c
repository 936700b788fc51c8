#include "failing.h"

#include <stddef.h>

static _Thread_local bool is_on, has_failed;
static _Thread_local int64_t left;
static _Thread_local enum failing kind;

void failing_begin(int64_t after, enum failing how) {
    left = after;
    kind = how;
    has_failed = false;
    is_on = true;
}

bool failing_end(void) {
    is_on = false;
    return has_failed;
}

static bool fails(void) {
    if (!is_on) return false;
    if (left > 0) {
        left--;
        return false;
    }
    is_on = kind == FAIL_ALL_FROM;
    has_failed = true;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mallocx(size_t size, int flags);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_mallocx(size_t size, int flags);

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

struct lua_State;
int __real_luaopen_cjson(struct lua_State *lua);
int __wrap_luaopen_cjson(struct lua_State *lua);

/* It ends the process when it gets no memory for its buffers. */
int __wrap_luaopen_cjson(struct lua_State *lua) {
    bool was_on = is_on;
    is_on = false;
    int count = __real_luaopen_cjson(lua);
    is_on = was_on;
    return count;
}

#ifdef USE_JEMALLOC
void *__wrap_mallocx(size_t size, int flags) {
    return fails() ? NULL : __real_mallocx(size, flags);
}
#endif
