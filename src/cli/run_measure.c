/*
 * Measuring: the same files read by the same number of readers from the source, twice through the mount, and from the machine's disk.
 * The page cache is dropped before each reading where the machine lets us, so that what is measured is what it says.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "cli/run.h"
#include "net/http_client.h"
#include "reservoir/source.h"

#define READERS      4
#define BUFFER       (1 << 20)
#define MAX_FILES    1000000
#define MAX_DEPTH    64
#define SAMPLE_BYTES (UINT64_C(512) << 20) /* source and disk: at most so much */

struct file_list {
	char **paths; /* relative */
	uint64_t *sizes;
	size_t n, cap;
	uint64_t bytes;
	bool held; /* by a reader that hangs in the kernel */
};

static void file_list_clear(struct file_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->paths[i]);
	free(l->paths);
	free(l->sizes);
}

static int file_list_add(struct file_list *l, const char *path, uint64_t size, struct error *err)
{
	if (l->n == MAX_FILES)
		return error_set(err, -E2BIG, "more than %d files: too many to measure", MAX_FILES);
	if (l->n == l->cap) {
		const size_t cap = l->cap == 0 ? 256 : l->cap * 2;
		char **paths = reallocarray(l->paths, cap, sizeof *paths);
		if (paths != NULL)
			l->paths = paths;
		uint64_t *sizes = reallocarray(l->sizes, cap, sizeof *sizes);
		if (sizes != NULL)
			l->sizes = sizes;
		if (paths == NULL || sizes == NULL)
			return error_set(err, -ENOMEM, "out of memory");
		l->cap = cap;
	}
	char *copy = strdup(path);
	if (copy == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	l->paths[l->n] = copy;
	l->sizes[l->n++] = size;
	l->bytes += size;
	return 0;
}

static int list_files(int root, const char *rel, int depth, struct file_list *l, struct error *err)
{
	if (depth > MAX_DEPTH)
		return error_set(err, -ELOOP, "'%s': more than %d directories deep", rel, MAX_DEPTH);
	CLEANUP(close_fd)
	int fd = openat(root, rel[0] == '\0' ? "." : rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (d == NULL)
		return error_set(err, -errno, "list '%s': %s", rel, strerror(errno));
	(void)TAKE_FD(fd); /* the stream's now */
	int rc = 0;
	for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		CLEANUP(free_p) char *path = str_printf("%s%s%s", rel, rel[0] == '\0' ? "" : "/", e->d_name);
		struct stat st;
		if (path == NULL)
			rc = error_set(err, -ENOMEM, "out of memory");
		else if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
			rc = error_set(err, -errno, "look at '%s': %s", path, strerror(errno));
		else if (S_ISDIR(st.st_mode))
			rc = list_files(root, path, depth + 1, l, err);
		else if (S_ISREG(st.st_mode))
			rc = file_list_add(l, path, (uint64_t)st.st_size, err);
	}
	(void)closedir(d);
	return rc;
}

/* One reading of a list of files by READERS threads. */
struct reading {
	const struct file_list *files;
	size_t end; /* files[0..end) are read */
	int root;   /* directory, or -1: over HTTP */
	const char *url;
	struct http_client *http;
	struct source *bucket; /* instead of both */
	atomic_size_t next;
	atomic_uint_fast64_t bytes; /* read so far */
	atomic_bool stop;
	atomic_int running;
	int done_fd;          /* eventfd: a reader ended */
	pthread_mutex_t lock; /* guards err */
	struct error err;
};

static void reading_fail(struct reading *r, const struct error *err)
{
	pthread_mutex_lock(&r->lock);
	if (r->err.code == 0)
		r->err = *err;
	pthread_mutex_unlock(&r->lock);
	atomic_store_explicit(&r->stop, true, memory_order_relaxed);
}

static int read_file(struct reading *r, const char *path, char *buf, struct error *err)
{
	CLEANUP(close_fd) int fd = openat(r->root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_set(err, -errno, "open '%s': %s", path, strerror(errno));
	for (ssize_t k; !atomic_load_explicit(&r->stop, memory_order_relaxed) && (k = read(fd, buf, BUFFER)) != 0;) {
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return error_set(err, -errno, "read '%s': %s", path, strerror(errno));
		atomic_fetch_add_explicit(&r->bytes, (uint64_t)k, memory_order_relaxed);
	}
	return 0;
}

static int count_data(void *ctx, const void *data, size_t n)
{
	(void)data;
	atomic_fetch_add_explicit(&((struct reading *)ctx)->bytes, n, memory_order_relaxed);
	return 0;
}

static int get_file(struct reading *r, const char *path, struct error *err)
{
	struct strbuf url = STRBUF_INIT(1 << 20);
	strbuf_adds(&url, r->url);
	strbuf_add_url(&url, path, "/");
	CLEANUP(free_p) char *text = NULL;
	if (strbuf_take(&url, &text) != 0)
		return error_set(err, -ENOMEM, "out of memory");
	const struct http_call call = {.method = "GET",
				       .url = text,
				       .on_data = count_data,
				       .ctx = r,
				       .cancel = &r->stop,
				       .stall_timeout_ns = 60 * NSEC_PER_SEC};
	struct http_answer answer = {0};
	const int rc = http_client_do(r->http, &call, &answer, err);
	if (rc != 0)
		return rc;
	const int status = answer.status;
	http_answer_clear(&answer);
	return status == 200 ? 0 : error_set(err, -EIO, "GET %s: %d", text, status);
}

/* Of a bucket: its version first, as whoever wants all bytes of one must. */
static int get_object(struct reading *r, const char *path, struct error *err)
{
	struct source_stat v;
	const int rc = source_stat(r->bucket, path, &v, err);
	return rc == 0 && v.size > 0 ? source_read(r->bucket, path, &v, 0, v.size, count_data, r, err) : rc;
}

/* The file at @i, wherever it is read from. */
static int read_one(struct reading *r, size_t i, char *buf, struct error *err)
{
	const char *path = r->files->paths[i];
	if (r->root >= 0)
		return read_file(r, path, buf, err);
	return r->bucket != NULL ? get_object(r, path, err) : get_file(r, path, err);
}

static void *reader(void *arg)
{
	struct reading *r = arg;
	CLEANUP(free_p) char *buf = malloc(BUFFER);
	struct error err = {0};
	int rc = buf == NULL ? error_set(&err, -ENOMEM, "out of memory") : 0;
	while (rc == 0 && !atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		const size_t i = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
		if (i >= r->end)
			break;
		rc = read_one(r, i, buf, &err);
	}
	if (rc != 0)
		reading_fail(r, &err);
	atomic_fetch_sub_explicit(&r->running, 1, memory_order_release);
	(void)eventfd_write(r->done_fd, 1); /* readable already is as good */
	return NULL;
}

static void show_reading(struct reading *r, const char *what, int64_t started)
{
	const uint64_t bytes = atomic_load_explicit(&r->bytes, memory_order_relaxed);
	const double seconds = (double)(clock_mono_ns() - started) / 1e9;
	progress("%s: %.1f MiB, %.1f MiB/s", what, (double)bytes / 1048576,
		 seconds > 0 ? (double)bytes / 1048576 / seconds : 0);
}

/* Wait for the readers; a signal makes them stop. The threads are joined unless they hang in the kernel (then they are left to it). */
static int await_readers(struct reading *r, const pthread_t *threads, int n, int signal_fd, const char *what,
			 struct error *err)
{
	const int64_t started = clock_mono_ns();
	int64_t give_up = INT64_MAX;
	int rc = 0;
	while (atomic_load_explicit(&r->running, memory_order_acquire) > 0 && clock_mono_ns() < give_up) {
		struct pollfd fds[] = {{.fd = r->done_fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
		(void)poll(fds, rc == 0 ? 2 : 1, 500);
		eventfd_t ignored;
		(void)eventfd_read(r->done_fd, &ignored);
		if (rc == 0 && fds[1].revents != 0) {
			rc = error_set(err, -EINTR, "interrupted");
			atomic_store_explicit(&r->stop, true, memory_order_relaxed);
			if (r->bucket != NULL)
				source_cancel(r->bucket);
			give_up = clock_mono_ns() + 2 * NSEC_PER_SEC;
		}
		if (rc == 0)
			show_reading(r, what, started);
	}
	if (atomic_load_explicit(&r->running, memory_order_acquire) > 0) {
		for (int i = 0; i < n; i++)
			(void)pthread_detach(threads[i]);
		return rc;
	}
	for (int i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	if (rc == 0 && r->err.code != 0) {
		*err = r->err;
		rc = r->err.code;
	}
	return rc;
}

/* Run one reading; *@ret_speed in bytes per second. On -EINTR @r may still be used by a hanging reader: it is the heap's. */
static int reading_run(struct reading *r, int signal_fd, const char *what, uint64_t *ret_speed, struct error *err)
{
	r->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->done_fd < 0)
		return error_set(err, -errno, "eventfd: %s", strerror(errno));
	pthread_mutex_init(&r->lock, NULL);
	pthread_t threads[READERS];
	int n = 0;
	const int64_t started = clock_mono_ns();
	for (; n < READERS; n++) {
		atomic_fetch_add_explicit(&r->running, 1, memory_order_relaxed);
		if (pthread_create(&threads[n], NULL, reader, r) != 0) {
			atomic_fetch_sub_explicit(&r->running, 1, memory_order_relaxed);
			break;
		}
	}
	if (n == 0)
		return error_set(err, -EAGAIN, "no thread can be started");
	const int rc = await_readers(r, threads, n, signal_fd, what, err);
	const int64_t took = clock_mono_ns() - started;
	if (rc == 0)
		*ret_speed = (uint64_t)((double)atomic_load(&r->bytes) * 1e9 / (double)(took > 0 ? took : 1));
	return rc;
}

static int measure(struct file_list *files, size_t end, const char *dir, const struct run_source *source, int signal_fd,
		   const char *what, uint64_t *ret_speed, struct error *err)
{
	struct reading *r = calloc(1, sizeof *r);
	if (r == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	*r = (struct reading){.files = files, .end = end, .root = -1};
	int rc = 0;
	if (dir != NULL) {
		r->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = r->root < 0 ? error_set(err, -errno, "open '%s': %s", dir, strerror(errno)) : 0;
	} else if (source->kind == RUN_BUCKET) {
		const struct s3_options o = run_bucket_options(&source->bucket);
		rc = source_new(source->mount_point, &o, 60 * NSEC_PER_SEC, &r->bucket, err);
	} else {
		r->url = source->location;
		rc = http_client_new(&(struct http_client_options){.user_agent = "sluice/" SLUICE_VERSION}, &r->http,
				     err);
	}
	if (rc == 0)
		rc = reading_run(r, signal_fd, what, ret_speed, err);
	if (atomic_load(&r->running) > 0) {
		files->held = true; /* a reader hangs in the kernel until the mount is gone: what it uses stays */
		return rc;
	}
	http_client_free(r->http);
	source_free(r->bucket);
	close_fd(&r->root);
	if (r->done_fd > 0)
		(void)close(r->done_fd);
	free(r);
	return rc;
}

static bool drop_page_cache(void)
{
	sync(); /* dirty pages are not dropped */
	CLEANUP(close_fd) int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, "1", 1) == 1;
}

/* How many files from the start make up the sample. */
static size_t sample_end(const struct file_list *l)
{
	uint64_t bytes = 0;
	size_t i = 0;
	while (i < l->n && (i == 0 || bytes + l->sizes[i] <= SAMPLE_BYTES))
		bytes += l->sizes[i++];
	return i;
}

static int copy_file(int from_root, const char *path, int to_root, const char *name, char *buf, struct error *err)
{
	CLEANUP(close_fd) int from = openat(from_root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP(close_fd) int to = openat(to_root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (from < 0 || to < 0)
		return error_set(err, -errno, "copy '%s': %s", path, strerror(errno));
	for (ssize_t k; (k = read(from, buf, BUFFER)) != 0;) {
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 || file_write_all(to, buf, (size_t)k) != 0)
			return error_set(err, -errno, "copy '%s': %s", path, strerror(errno));
	}
	return 0;
}

/* Plain copies of the sample on the data directory's disk, named by number. */
static int copy_sample(const struct file_list *l, size_t end, const char *from, const char *to, int signal_fd,
		       struct file_list *ret, struct error *err)
{
	CLEANUP(close_fd) int from_root = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_fd) int to_root = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(free_p) char *buf = malloc(BUFFER);
	if (from_root < 0 || to_root < 0 || buf == NULL)
		return error_set(err, -EIO, "copy to '%s': %s", to, strerror(errno));
	for (size_t i = 0; i < end; i++) {
		char name[24];
		(void)snprintf(name, sizeof name, "%zu", i);
		int rc = copy_file(from_root, l->paths[i], to_root, name, buf, err);
		if (rc == 0)
			rc = file_list_add(ret, name, l->sizes[i], err);
		if (rc == 0 && poll(&(struct pollfd){.fd = signal_fd, .events = POLLIN}, 1, 0) > 0)
			rc = error_set(err, -EINTR, "interrupted");
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int measure_disk(const struct run_options *o, const struct file_list *l, int signal_fd, uint64_t *ret_speed,
			struct error *err)
{
	CLEANUP(free_p) char *dir = str_printf("%s/measure-%d", o->data_dir, getpid());
	if (dir == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = file_mkdir_all(dir, 0700, err);
	CLEANUP(file_list_clear) struct file_list copies = {0};
	progress("copying a sample to measure the disk");
	if (rc == 0)
		rc = copy_sample(l, sample_end(l), o->mount_dir, dir, signal_fd, &copies, err);
	if (rc == 0) {
		(void)drop_page_cache();
		rc = measure(&copies, copies.n, dir, NULL, signal_fd, "reading the disk", ret_speed, err);
	}
	(void)file_remove_all(dir, NULL); /* the copies serve nobody; what stays is seen in the data directory */
	return rc;
}

int run_measure(const struct run_options *o, int signal_fd, struct run_figures *ret, struct error *err)
{
	CLEANUP(close_fd) int root = open(o->mount_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* On the heap, and left there while a reader hangs in the kernel with it. */
	struct file_list *l = calloc(1, sizeof *l);
	if (root < 0 || l == NULL) {
		free(l);
		return error_set(err, -EIO, "open '%s': %s", o->mount_dir, strerror(errno));
	}
	progress("listing the files");
	struct run_figures f = {0};
	int rc = list_files(root, "", 0, l, err);
	f.files = l->n;
	f.bytes = l->bytes;
	f.page_cache_dropped = drop_page_cache();
	if (rc == 0)
		rc = measure(l, sample_end(l), o->source->kind != RUN_DIRECTORY ? NULL : o->source->location, o->source,
			     signal_fd, "reading the source without Sluice", &f.source, err);
	if (rc == 0) {
		(void)drop_page_cache();
		rc = measure(l, l->n, o->mount_dir, NULL, signal_fd, "first read", &f.first_read, err);
	}
	if (rc == 0) {
		(void)drop_page_cache();
		rc = measure(l, l->n, o->mount_dir, NULL, signal_fd, "second read", &f.second_read, err);
	}
	if (rc == 0)
		rc = measure_disk(o, l, signal_fd, &f.disk, err);
	if (rc == 0)
		*ret = f;
	if (!l->held) {
		file_list_clear(l);
		free(l);
	}
	progress_end();
	return rc;
}
