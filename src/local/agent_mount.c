#include "local/agent_mount.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "local/agent_paths.h"

#define MOUNTINFO_MAX (16u << 20)

/* mountinfo writes space, tab, newline and backslash as three octal digits. */
static void unescape(char *s)
{
	char *out = s;
	for (; *s != '\0'; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/* One line: id parent major:minor root target options [optional ...] - type source options */
static bool parse_line(char *line, struct mount_entry *ret)
{
	char *save = NULL, *word[6];
	for (size_t i = 0; i < ARRAY_LEN(word); i++) {
		word[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (word[i] == NULL)
			return false;
	}
	*ret = (struct mount_entry){.fstype = ""};
	uint64_t id = 0, parent = 0;
	if (str_to_u64(word[0], &id) < 0 || str_to_u64(word[1], &parent) < 0 || id > INT32_MAX || parent > INT32_MAX)
		return false;
	ret->id = (int)id;
	ret->parent = (int)parent;
	unescape(word[4]);
	ret->target = word[4];
	for (char *w; (w = strtok_r(NULL, " ", &save)) != NULL && strcmp(w, "-") != 0;)
		if (str_has_prefix(w, "shared:"))
			ret->shared = true;
	char *type = strtok_r(NULL, " ", &save);
	if (type != NULL)
		ret->fstype = type;
	return true;
}

int mount_each(int (*fn)(void *ctx, const struct mount_entry *m), void *ctx, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	int rc = file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL, err);
	if (rc < 0)
		return error_wrap(err, rc, "mount table");
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); rc == 0 && line != NULL; line = strtok_r(NULL, "\n", &save)) {
		struct mount_entry m;
		if (parse_line(line, &m))
			rc = fn(ctx, &m);
	}
	return rc;
}

static bool lies_in(const char *path, const char *dir, bool below_only)
{
	const size_t n = strlen(dir);
	if (strncmp(path, dir, n) != 0)
		return false;
	return path[n] == '/' || (path[n] == '\0' && !below_only);
}

struct count_state {
	const char *dir;
	bool below_only;
	int n;
	struct path last;
};

static int count_one(void *ctx, const struct mount_entry *m)
{
	struct count_state *s = ctx;
	if (lies_in(m->target, s->dir, s->below_only)) {
		s->n++;
		return path_set(&s->last, NULL, "%s", m->target);
	}
	return 0;
}

int mount_count(const char *dir, bool below_only, struct error *err)
{
	struct count_state s = {.dir = dir, .below_only = below_only};
	const int rc = mount_each(count_one, &s, err);
	return rc < 0 ? rc : s.n;
}

#define UNMOUNT_ROUNDS 4096

int mount_remove_all(const char *dir, struct error *err)
{
	/* The table is read again for each one: unmounting may propagate and take others along. */
	for (int i = 0; i < UNMOUNT_ROUNDS; i++) {
		struct count_state s = {.dir = dir};
		int rc = mount_each(count_one, &s, err);
		if (rc < 0)
			return rc;
		if (s.n == 0)
			return 0;
		if (umount2(s.last.p, UMOUNT_NOFOLLOW) < 0 && umount2(s.last.p, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)
			return error_set(err, -errno, "unmount '%s': %s", s.last.p, strerror(errno));
	}
	return error_set(err, -EBUSY, "unmount '%s': mounts come back faster than they go", dir);
}

int mount_remove_tree(const char *dir, struct error *err)
{
	/* A bind of the same file system looks like a plain directory to whoever walks in: only the table tells. */
	const int n = mount_count(dir, false, err);
	if (n < 0)
		return n;
	if (n > 0)
		return error_set(err, -EBUSY, "remove '%s': %d mounts are still in it", dir, n);
	return file_remove_all(dir, err);
}

int mount_tmpfs(const char *dir, mode_t mode, size_t size, struct error *err)
{
	char options[80];
	const int n = snprintf(options, sizeof options, "mode=%o", (unsigned)mode);
	if (size > 0)
		(void)snprintf(options + n, sizeof options - (size_t)n, ",size=%zu", size);
	const unsigned long flags = MS_NOSUID | MS_NODEV;
	if (mount("tmpfs", dir, "tmpfs", flags, options) < 0)
		return error_set(err, -errno, "mount tmpfs at '%s': %s", dir, strerror(errno));
	return 0;
}

int mount_bind(const char *source, int fd, const char *target, bool readonly, struct error *err)
{
	CLEANUP(close_fd)
	int tree = open_tree(fd >= 0 ? fd : AT_FDCWD, fd >= 0 ? "" : source,
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | (fd >= 0 ? AT_EMPTY_PATH : 0));
	if (tree < 0)
		return error_set(err, -errno, "bind '%s': %s", source, strerror(errno));
	if (readonly) {
		struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
		if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
			return error_set(err, -errno, "bind '%s' read-only: %s", source, strerror(errno));
	}
	if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_set(err, -errno, "bind '%s' at '%s': %s", source, target, strerror(errno));
	return 0;
}

struct holder_state {
	const char *dir;
	size_t best;
	bool shared;
};

/* The newest mount with the longest target that holds the directory. */
static int find_holder(void *ctx, const struct mount_entry *m)
{
	struct holder_state *s = ctx;
	const bool root = strcmp(m->target, "/") == 0;
	if ((root || lies_in(s->dir, m->target, false)) && strlen(m->target) >= s->best) {
		s->best = strlen(m->target);
		s->shared = m->shared;
	}
	return 0;
}

int mount_share(const char *dir, bool *ret_made, struct error *err)
{
	struct holder_state s = {.dir = dir};
	int rc = mount_each(find_holder, &s, err);
	if (rc < 0)
		return rc;
	*ret_made = false;
	if (s.shared)
		return 0;
	rc = mount_bind(dir, -1, dir, false, err);
	if (rc < 0)
		return error_wrap(err, rc, "make '%s' a shared mount", dir);
	*ret_made = true;
	/* The whole tree: mounts that lay there already pass on what is mounted in them, too. */
	struct mount_attr attr = {.propagation = MS_SHARED};
	if (mount_setattr(AT_FDCWD, dir, AT_RECURSIVE, &attr, sizeof attr) < 0)
		return error_set(err, -errno, "make '%s' a shared mount: %s", dir, strerror(errno));
	return 0;
}
