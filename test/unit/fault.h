/*
 * Fails the Nth allocation: FAULT_LOOP runs its body with allocation 1, 2, 3 ... failing until one run meets no failure. The body
 * must leave nothing behind (the sanitizers look) and see -ENOMEM or NULL where memory ran out. Allocations of all threads count, except
 * of those that set fault_exempt; after fault_only_this_thread() those of the calling one alone.
 *
 *	FAULT_LOOP {
 *		char *text = thing_to_text(thing);
 *		FAULT_END;           // no more failures: what follows is the test's own
 *		assert_true(text != NULL || fault_hit());
 *		free(text);
 *	}
 *
 * The program must be linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup,--wrap=vasprintf, which
 * meson's fault_link_args has. Calls inside shared libraries are not reached, except jansson's, which come by way of json/.
 */
#pragma once

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_long fault_left = -1; /* allocations until the failure; negative: none is planned */
static atomic_bool fault_happened;
static _Thread_local bool fault_exempt;
static atomic_bool fault_one_thread;
static pthread_t fault_thread; /* the one, when there is only one */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
int __real_vasprintf(char **ret, const char *fmt, va_list ap);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap);

static inline bool fault_now(void)
{
	if (fault_exempt || atomic_load(&fault_left) < 0)
		return false;
	if (atomic_load(&fault_one_thread) && !pthread_equal(pthread_self(), fault_thread))
		return false;
	if (atomic_fetch_sub(&fault_left, 1) != 0)
		return false; /* a second thread that comes in between makes it negative: that is no plan either */
	atomic_store(&fault_happened, true);
	return true;
}

static inline void fault_only_this_thread(void)
{
	fault_thread = pthread_self();
	atomic_store(&fault_one_thread, true);
}

void *__wrap_malloc(size_t n)
{
	return fault_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fault_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fault_now() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
	return fault_now() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return fault_now() ? NULL : __real_strndup(s, n);
}

int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
	return fault_now() ? -1 : __real_vasprintf(ret, fmt, ap);
}

static inline bool fault_hit(void)
{
	return atomic_load(&fault_happened);
}

static inline bool fault_step(long n)
{
	const bool go_on = n == 0 || atomic_load(&fault_happened);
	atomic_store(&fault_happened, false);
	atomic_store(&fault_left, go_on ? n : -1);
	return go_on;
}

#define FAULT_LOOP for (long fault_n_ = 0; fault_step(fault_n_); fault_n_++)
#define FAULT_END  atomic_store(&fault_left, -1)
