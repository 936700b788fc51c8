/* Words for clang's thread-safety analysis (clang-19 and later check them; others see nothing).
 * https://clang.llvm.org/docs/ThreadSafetyAnalysis.html */
#ifndef SHARD_BASE_GUARD_H
#define SHARD_BASE_GUARD_H

#if defined(__clang__) && __clang_major__ >= 19
#define GUARD_ATTRIBUTE(x) __attribute__((x))
#else
#define GUARD_ATTRIBUTE(x)
#endif

#define CAPABILITY(name) GUARD_ATTRIBUTE(capability(name))
#define GUARDED_BY(lock) GUARD_ATTRIBUTE(guarded_by(lock))
#define PT_GUARDED_BY(lock) GUARD_ATTRIBUTE(pt_guarded_by(lock))
#define REQUIRES(...) GUARD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) GUARD_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define ACQUIRE(...) GUARD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) GUARD_ATTRIBUTE(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) GUARD_ATTRIBUTE(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) GUARD_ATTRIBUTE(release_shared_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) GUARD_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE_SHARED(...) GUARD_ATTRIBUTE(try_acquire_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) GUARD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ASSERT_CAPABILITY(x) GUARD_ATTRIBUTE(assert_capability(x))
#define ASSERT_SHARED_CAPABILITY(x) GUARD_ATTRIBUTE(assert_shared_capability(x))
#define RETURN_CAPABILITY(x) GUARD_ATTRIBUTE(lock_returned(x))
/* Each use says why beside it. */
#define NO_THREAD_SAFETY_ANALYSIS GUARD_ATTRIBUTE(no_thread_safety_analysis)

#endif
