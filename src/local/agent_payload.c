#include "local/agent_payload.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/str.h"
#include "local/agent_paths.h"

#define DEPTH_MAX 16

static bool is_clean_path(const char *path)
{
	if (*path == '\0' || *path == '/' || strncmp(path, "..", 2) == 0 || strlen(path) >= PATH_MAX / 2)
		return false;
	size_t depth = 0;
	struct str rest = str_from(path), part;
	while (str_split_next(&rest, '/', &part))
		if (part.n == 0 || str_eq(part, ".") || str_eq(part, "..") || part.n > NAME_MAX || ++depth > DEPTH_MAX)
			return false;
	return true;
}

static struct payload_file *slot_for(struct payload *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->files[i].path, path) == 0)
			return &p->files[i];
	if (p->n == p->cap) {
		const size_t cap = p->cap == 0 ? 8 : p->cap * 2;
		struct payload_file *files = reallocarray(p->files, cap, sizeof *files);
		if (files == NULL)
			return NULL;
		p->files = files;
		p->cap = cap;
	}
	struct payload_file *f = &p->files[p->n];
	*f = (struct payload_file){.path = strdup(path)};
	if (f->path == NULL)
		return NULL;
	p->n++;
	return f;
}

int payload_add(struct payload *p, const char *path, const void *data, size_t n, mode_t mode, struct error *err)
{
	if (!is_clean_path(path))
		return error_set(err, -EINVAL, "path '%.100s' must be relative and must not contain '..'", path);
	if (p->n >= PAYLOAD_FILES_MAX || n > PAYLOAD_BYTES_MAX - p->bytes)
		return error_set(err, -E2BIG, "more than %d files or %u MiB", PAYLOAD_FILES_MAX,
				 PAYLOAD_BYTES_MAX >> 20);
	char *copy = malloc(n + 1);
	struct payload_file *f = copy != NULL ? slot_for(p, path) : NULL;
	if (f == NULL) {
		free(copy);
		return error_set(err, -ENOMEM, "path '%.100s': out of memory", path);
	}
	memcpy(copy, data, n);
	copy[n] = '\0';
	free(f->data);
	p->bytes += n; /* a replaced file still counts: it is a limit, not a sum */
	f->data = copy;
	f->n = n;
	f->mode = mode;
	return 0;
}

void payload_clear(struct payload *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->files[i].path);
		free(p->files[i].data);
	}
	free(p->files);
	*p = (struct payload){0};
}

static mode_t file_mode(const struct payload_file *f, int64_t gid)
{
	return gid >= 0 ? f->mode | (f->mode & 0400) >> 3 : f->mode;
}

static bool same_file(const char *base, const struct payload_file *f, int64_t gid)
{
	struct path path;
	struct stat st;
	CLEANUP(free_p) char *old = NULL;
	size_t n = 0;
	return path_set(&path, NULL, "%s/%s", base, f->path) == 0 && lstat(path.p, &st) == 0 && S_ISREG(st.st_mode) &&
	       (st.st_mode & 07777) == file_mode(f, gid) && (gid < 0 || st.st_gid == (gid_t)gid) &&
	       st.st_size == (off_t)f->n && file_read(path.p, PAYLOAD_BYTES_MAX, &old, &n, NULL) == 0 && n == f->n &&
	       memcmp(old, f->data, n) == 0;
}

static size_t count_files(const char *dir, int depth)
{
	DIR *d = depth <= DEPTH_MAX ? opendir(dir) : NULL;
	if (d == NULL)
		return 0;
	size_t n = 0;
	struct path sub;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_type != DT_DIR)
			n++;
		else if (path_set(&sub, NULL, "%s/%s", dir, e->d_name) == 0)
			n += count_files(sub.p, depth + 1);
	}
	(void)closedir(d);
	return n;
}

static bool shows_already(const struct payload *p, const char *dir, int64_t gid)
{
	struct path data;
	struct stat st;
	if (path_set(&data, NULL, "%s/..data", dir) < 0 || stat(data.p, &st) < 0)
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (!same_file(data.p, &p->files[i], gid))
			return false;
	return count_files(data.p, 0) == p->n;
}

static int write_file(const char *base, const struct payload_file *f, int64_t gid, struct error *err)
{
	struct path path;
	int rc = path_set(&path, err, "%s/%s", base, f->path);
	if (rc < 0)
		return rc;
	for (char *slash = path.p + strlen(base) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		const bool bad = mkdir(path.p, 0755) < 0 && errno != EEXIST;
		*slash = '/';
		if (bad)
			return error_set(err, -errno, "make directories of '%s': %s", path.p, strerror(errno));
	}
	CLEANUP(close_fd) int fd = open(path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(err, -errno, "write '%s': %s", path.p, strerror(errno));
	rc = file_write_all(fd, f->data, f->n);
	if (rc == 0 && gid >= 0 && fchown(fd, (uid_t)-1, (gid_t)gid) < 0)
		rc = -errno;
	if (rc == 0 && fchmod(fd, file_mode(f, gid)) < 0)
		rc = -errno;
	return rc < 0 ? error_set(err, rc, "write '%s': %s", path.p, strerror(-rc)) : 0;
}

static bool has_top_name(const struct payload *p, const char *name)
{
	const size_t n = strlen(name);
	for (size_t i = 0; i < p->n; i++)
		if (strncmp(p->files[i].path, name, n) == 0 &&
		    (p->files[i].path[n] == '\0' || p->files[i].path[n] == '/'))
			return true;
	return false;
}

/* A link for each first component; EEXIST is the link of the version before, which says the same. */
static int make_links(const struct payload *p, const char *dir, struct error *err)
{
	for (size_t i = 0; i < p->n; i++) {
		const size_t n = strcspn(p->files[i].path, "/");
		struct path link, target;
		int rc = path_set(&link, err, "%s/%.*s", dir, (int)n, p->files[i].path);
		rc = rc ?: path_set(&target, err, "..data/%.*s", (int)n, p->files[i].path);
		if (rc < 0)
			return rc;
		if (symlink(target.p, link.p) < 0 && errno != EEXIST)
			return error_set(err, -errno, "link '%s': %s", link.p, strerror(errno));
	}
	return 0;
}

/* Links of names that are gone, and directories of older versions. */
static int remove_old(const struct payload *p, const char *dir, const char *current, struct error *err)
{
	DIR *d = opendir(dir);
	if (d == NULL)
		return error_set(err, -errno, "open '%s': %s", dir, strerror(errno));
	int rc = 0;
	struct path path;
	for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "..data") == 0 ||
		    strcmp(e->d_name, current) == 0)
			continue;
		const bool own = strncmp(e->d_name, "..", 2) == 0;
		if (!own && has_top_name(p, e->d_name))
			continue;
		rc = path_set(&path, err, "%s/%s", dir, e->d_name);
		rc = rc ?: file_remove_all(path.p, err);
	}
	(void)closedir(d);
	return rc;
}

int payload_write(const struct payload *p, const char *dir, int64_t gid, struct error *err)
{
	if (shows_already(p, dir, gid))
		return 0;
	char token[11] = "", name[24];
	random_suffix(token, 10);
	(void)snprintf(name, sizeof name, "..v_%s", token);
	struct path fresh, tmp, data;
	int rc = path_set(&fresh, err, "%s/%s", dir, name);
	rc = rc ?: path_set(&tmp, err, "%s/..data_tmp", dir);
	rc = rc ?: path_set(&data, err, "%s/..data", dir);
	if (rc < 0)
		return rc;
	if (mkdir(fresh.p, 0755) < 0 || chmod(fresh.p, 0755) < 0)
		return error_set(err, -errno, "make '%s': %s", fresh.p, strerror(errno));
	for (size_t i = 0; rc == 0 && i < p->n; i++)
		rc = write_file(fresh.p, &p->files[i], gid, err);
	if (rc == 0) {
		(void)unlink(tmp.p); /* left by a crash */
		if (symlink(name, tmp.p) < 0 || rename(tmp.p, data.p) < 0)
			rc = error_set(err, -errno, "link '%s': %s", data.p, strerror(errno));
	}
	if (rc < 0) {
		(void)file_remove_all(fresh.p, NULL); /* the next write removes it otherwise */
		return rc;
	}
	rc = make_links(p, dir, err);
	return rc ?: remove_old(p, dir, name, err);
}
