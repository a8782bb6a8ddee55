/* Files and directories: whole small files, atomic replacement, trees, paths beneath a root. EINTR and short I/O end here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

/** Read a whole file of at most @max bytes. *@ret is malloc'ed, NUL-terminated; @ret_n may be NULL. -EFBIG when larger. */
int file_read(const char *path, size_t max, char **ret, size_t *ret_n, struct error *err);
/** Read to the end of @fd, same rules; @what names it in errors. */
int file_read_fd(int fd, const char *what, size_t max, char **ret, size_t *ret_n, struct error *err);
/** Replace @path: write a temporary file beside it, fsync, rename, fsync the directory. */
int file_write_atomic(const char *path, mode_t mode, const void *data, size_t n, struct error *err);
/** Write all of @n bytes. 0 or -errno. */
int file_write_all(int fd, const void *data, size_t n);
int file_pwrite_all(int fd, const void *data, size_t n, off_t off);
/** Read exactly @n bytes at @off. Bytes read (short only at end of file) or -errno. */
ssize_t file_pread_full(int fd, void *buf, size_t n, off_t off);
/** mkdir -p. An existing directory is fine; its mode is left alone. */
int file_mkdir_all(const char *path, mode_t mode, struct error *err);
/** rm -r without following links and without leaving @path's file system (a mount below is an error: -EBUSY). Absent is fine. */
int file_remove_all(const char *path, struct error *err);
/** Open @rel beneath @dirfd (openat2 RESOLVE_BENEATH|RESOLVE_NO_MAGICLINKS). An fd or -errno (-EXDEV: it escapes). */
int file_open_beneath(int dirfd, const char *rel, int flags, mode_t mode);
bool file_exists(const char *path);
/** malloc'ed absolute path of the running binary, or NULL. */
char *file_self_exe(void);
