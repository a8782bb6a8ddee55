/* Ownership helpers: acquire into a CLEANUP() variable, give away with TAKE(). */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLEANUP(f) __attribute__((cleanup(f)))
/* clang-format off */
#define TAKE(p) ({ __auto_type t_ = (p); (p) = NULL; t_; })
/* A struct whose zero is empty. */
#define TAKE_STRUCT(v) ({ __auto_type t_ = (v); (void)memset(&(v), 0, sizeof(v)); t_; })
#define TAKE_FD(fd) ({ int t_ = (fd); (fd) = -1; t_; })
/* clang-format on */
#define ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

static inline void free_p(void *p)
{
	free(*(void **)p);
}

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* nothing was written through it that close could lose */
}
