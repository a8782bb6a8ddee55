/*
 * Fails the Nth call that does I/O, in turn, as fault.h does with allocations: IO_LOOP(errno) runs its body with call 1, 2, 3 ... failing
 * by that errno; IO_SHORT_LOOP makes the Nth read or write move half of what was asked. Only the calling thread's calls count.
 *
 * The program must be linked with meson's io_link_args.
 */
#pragma once

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

static _Thread_local long io_left = -1;
static _Thread_local int io_errno; /* 0: half is moved */
static _Thread_local bool io_happened;

/** The call under way is the one. */
static inline bool io_now(void)
{
	if (io_left < 0 || io_left-- > 0)
		return false;
	io_happened = true;
	errno = io_errno;
	return true;
}

static inline bool io_hit(void)
{
	return io_happened;
}

static inline bool io_step(long n, int code)
{
	const bool go_on = n == 0 || io_happened;
	io_happened = false;
	io_errno = code;
	io_left = go_on ? n : -1;
	return go_on;
}

#define IO_LOOP(code) for (long io_n_ = 0; io_step(io_n_, (code)); io_n_++)
#define IO_SHORT_LOOP IO_LOOP(0)
#define IO_END        (void)(io_left = -1)

/* Calls that move bytes: they fail, or move half. */
#define IO_MOVE(name, params, args, half)                                                                              \
	ssize_t __real_##name params;                                                                                  \
	ssize_t __wrap_##name params;                                                                                  \
	ssize_t __wrap_##name params                                                                                   \
	{                                                                                                              \
		if (!io_now())                                                                                         \
			return __real_##name args;                                                                     \
		return io_errno != 0 ? -1 : __real_##name half;                                                        \
	}
#define HALF (n / 2 + n % 2)
IO_MOVE(read, (int fd, void *p, size_t n), (fd, p, n), (fd, p, HALF))
IO_MOVE(write, (int fd, const void *p, size_t n), (fd, p, n), (fd, p, HALF))
IO_MOVE(pread64, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), (fd, p, HALF, at))
IO_MOVE(pwrite64, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), (fd, p, HALF, at))
IO_MOVE(send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), (fd, p, HALF, flags))
IO_MOVE(recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), (fd, p, HALF, flags))

/* Calls that do something or do not: in a short loop they are not counted. */
#define IO_CALL(name, params, args)                                                                                    \
	int __real_##name params;                                                                                      \
	int __wrap_##name params;                                                                                      \
	int __wrap_##name params                                                                                       \
	{                                                                                                              \
		return io_errno != 0 && io_now() ? -1 : __real_##name args;                                            \
	}
IO_CALL(fsync, (int fd), (fd))
IO_CALL(fchmod, (int fd, mode_t mode), (fd, mode))
IO_CALL(chmod, (const char *path, mode_t mode), (path, mode))
IO_CALL(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
IO_CALL(mkdir, (const char *path, mode_t mode), (path, mode))
IO_CALL(socket, (int family, int type, int protocol), (family, type, protocol))
IO_CALL(bind, (int fd, const struct sockaddr *sa, socklen_t n), (fd, sa, n))
IO_CALL(listen, (int fd, int backlog), (fd, backlog))
IO_CALL(connect, (int fd, const struct sockaddr *sa, socklen_t n), (fd, sa, n))
IO_CALL(poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms))
IO_CALL(pipe2, (int fd[2], int flags), (fd, flags))
IO_CALL(eventfd, (unsigned n, int flags), (n, flags))

int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	const mode_t mode = va_arg(ap, mode_t); /* whatever is there when nobody gave one: then it is not used */
	va_end(ap);
	return io_errno != 0 && io_now() ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int dir, const char *path, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	const mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return io_errno != 0 && io_now() ? -1 : __real_openat64(dir, path, flags, mode);
}
