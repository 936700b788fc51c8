/* An allocator that fails when it is told to, on the calling thread only. The Makefile links the program
 * so that all of the product's allocations come by here (--wrap), and Lua's; what another library allocates
 * for itself doesn't. */
#ifndef TESTS_OOM_FAILING_H
#define TESTS_OOM_FAILING_H

#include <stdbool.h>
#include <stdint.h>

/* One allocation, or that one and all that follow. */
enum failing { FAIL_ONE, FAIL_ALL_FROM };

/* The allocation that comes after so many others fails. */
void failing_begin(int64_t after, enum failing how);
/* No more. Returns whether any has failed. */
bool failing_end(void);

#endif
