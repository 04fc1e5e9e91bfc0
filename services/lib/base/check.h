/*
 * check - assertions that stay on in release, and the few attributes that all code shares.
 *
 * CHECK() is for the programmer's errors only: a failed one prints the place and ends the process.
 * What the world may do wrong (input, network, allocation by size from outside) is handled, never
 * checked.
 */
#ifndef TERN_BASE_CHECK_H
#define TERN_BASE_CHECK_H

#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN __attribute__((noreturn))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define UNUSED(x) ((void)(x))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

NORETURN void check_failed(const char *what, const char *file, int line);

#define CHECK(cond)                                                                                \
        do {                                                                                       \
                if (unlikely(!(cond)))                                                             \
                        check_failed(#cond, __FILE__, __LINE__);                                   \
        } while (0)

/* Allocation of a small, fixed size: NULL means the machine is gone, and the process ends. */
void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);

/* Functions that have a safer twin here do not compile. Their headers come first: a poisoned name
 * may not even be declared. */
#ifndef TERN_ALLOW_UNSAFE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#pragma GCC poison strcpy sprintf strcat strtok atoi localtime system
#endif

#endif
