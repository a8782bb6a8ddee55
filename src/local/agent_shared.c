#include "local/agent_shared.h"

#include <pthread.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "local/agent_mount.h"
#include "json/json.h"

#define FILE_MAX_BYTES (4u << 20)

struct shared_mounts {
	pthread_mutex_t lock; /* guards dirs and the file */
	char *file;
	json_t *dirs; /* directory → {"before": mounts that lay exactly there, "users": {uid: true}} */
};

int shared_mounts_new(const char *file, struct shared_mounts **ret, struct error *err)
{
	struct shared_mounts *s = calloc(1, sizeof *s);
	if (s == NULL || (s->file = strdup(file)) == NULL) {
		free(s);
		return error_set(err, -ENOMEM, "shared mounts: out of memory");
	}
	(void)pthread_mutex_init(&s->lock, NULL);
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	if (file_exists(file)) {
		int rc = file_read(file, FILE_MAX_BYTES, &text, &n, err);
		rc = rc ?: json_parse(text, n, &s->dirs, err);
		if (rc < 0 || !json_is_object(s->dirs)) {
			shared_mounts_free(s);
			return rc < 0 ? error_wrap(err, rc, "shared mounts '%s'", file)
				      : error_set(err, -EINVAL, "shared mounts '%s': no JSON object", file);
		}
	}
	if (s->dirs == NULL)
		s->dirs = json_object();
	*ret = s;
	return 0;
}

void shared_mounts_free(struct shared_mounts *s)
{
	if (s == NULL)
		return;
	json_decref(s->dirs);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->file);
	free(s);
}

static int save_locked(struct shared_mounts *s, struct error *err)
{
	CLEANUP(free_p) char *text = json_to_text(s->dirs, NULL);
	if (text == NULL)
		return error_set(err, -ENOMEM, "shared mounts: out of memory");
	return file_write_atomic(s->file, 0600, text, strlen(text), err);
}

struct exact_count {
	const char *dir;
	int n;
};

static int count_exact(void *ctx, const struct mount_entry *m)
{
	struct exact_count *c = ctx;
	c->n += strcmp(m->target, c->dir) == 0;
	return 0;
}

static int mounts_at(const char *dir, struct error *err)
{
	struct exact_count c = {.dir = dir};
	const int rc = mount_each(count_exact, &c, err);
	return rc < 0 ? rc : c.n;
}

struct below {
	const char *dir;
	const json_t *ours;
};

static int is_below(void *ctx, const struct mount_entry *m)
{
	const struct below *b = ctx;
	const size_t n = strlen(b->dir);
	return strncmp(m->target, b->dir, n) == 0 && m->target[n] == '/' && json_object_get(b->ours, m->target) == NULL;
}

/* Whether somebody else has mounted something in @dir, or it could not be found out. */
static bool holds_mounts_locked(const struct shared_mounts *s, const char *dir)
{
	struct below b = {.dir = dir, .ours = s->dirs};
	return mount_each(is_below, &b, NULL) != 0;
}

static void hold_parents_locked(struct shared_mounts *s, const char *dir, const char *user)
{
	const char *parent;
	json_t *entry;
	json_object_foreach (s->dirs, parent, entry) {
		const size_t n = strlen(parent);
		if (strncmp(dir, parent, n) == 0 && dir[n] == '/')
			(void)json_object_set_new(json_object_get(entry, "users"), user, json_true());
	}
}

static int acquire_locked(struct shared_mounts *s, const char *dir, const char *user, struct error *err)
{
	json_t *entry = json_object_get(s->dirs, dir);
	int before = (int)json_integer_value(json_object_get(entry, "before"));
	if (entry == NULL) {
		before = mounts_at(dir, err);
		if (before < 0)
			return before;
		/* On disk before it is done: a crash in between leaves an entry that undoes nothing. */
		entry = json_pack("{s:i, s:{}}", "before", before, "users");
		if (json_object_set_new(s->dirs, dir, entry) < 0)
			return error_set(err, -ENOMEM, "shared mounts: out of memory");
	}
	(void)json_object_set_new(json_object_get(entry, "users"), user, json_true());
	int rc = save_locked(s, err);
	bool made = false;
	rc = rc ?: mount_share(dir, &made, err);
	if (rc == 0 && !made && mounts_at(dir, NULL) <= before) {
		/* It lies in a mount that is shared already: nothing to undo later. Where that is one of ours, it is needed as long. */
		(void)json_object_del(s->dirs, dir);
		hold_parents_locked(s, dir, user);
		rc = save_locked(s, err);
	}
	return rc;
}

int shared_mounts_acquire(struct shared_mounts *s, const char *dir, const char *user, struct error *err)
{
	CLEANUP(free_p) char *real = realpath(dir, NULL);
	if (real == NULL)
		return error_set(err, -errno, "'%s': %s", dir, strerror(errno));
	pthread_mutex_lock(&s->lock);
	const int rc = acquire_locked(s, real, user, err);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* True when the entry may go. One that lies hidden under another of ours (made later, higher up) stays until that one is gone. */
static bool undo_locked(const char *dir, const json_t *entry)
{
	const int before = (int)json_integer_value(json_object_get(entry, "before"));
	while (mounts_at(dir, NULL) > before)
		if (umount2(dir, UMOUNT_NOFOLLOW) < 0 && umount2(dir, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)
			return false;
	return true;
}

/* @all: also those in which something is mounted still: a mount may outlive the pod that made it, and would go too. */
static int undo_unused_locked(struct shared_mounts *s, bool all, struct error *err)
{
	const char *dir;
	json_t *entry;
	void *next;
	/* Again after each success: what it hid may go now. */
	for (bool again = true; again;) {
		again = false;
		json_object_foreach_safe (s->dirs, next, dir, entry) {
			if (json_object_size(json_object_get(entry, "users")) > 0 ||
			    (!all && holds_mounts_locked(s, dir)) || !undo_locked(dir, entry))
				continue;
			(void)json_object_del(s->dirs, dir);
			again = true;
		}
	}
	return save_locked(s, err);
}

int shared_mounts_release(struct shared_mounts *s, const char *user, struct error *err)
{
	pthread_mutex_lock(&s->lock);
	const char *dir;
	json_t *entry;
	bool changed = false;
	json_object_foreach (s->dirs, dir, entry)
		changed |= json_object_del(json_object_get(entry, "users"), user) == 0;
	const int rc = changed ? undo_unused_locked(s, false, err) : 0;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int shared_mounts_end(struct shared_mounts *s, const char *user, struct error *err)
{
	pthread_mutex_lock(&s->lock);
	const char *dir;
	json_t *entry;
	json_object_foreach (s->dirs, dir, entry)
		(void)json_object_del(json_object_get(entry, "users"), user);
	const int rc = undo_unused_locked(s, true, err);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int shared_mounts_sweep(struct shared_mounts *s, int (*alive)(void *ctx, const char *user), void *ctx,
			struct error *err)
{
	pthread_mutex_lock(&s->lock);
	const char *dir, *user;
	json_t *entry, *v;
	void *next;
	json_object_foreach (s->dirs, dir, entry)
		json_object_foreach_safe (json_object_get(entry, "users"), next, user, v)
			if (!alive(ctx, user))
				(void)json_object_del(json_object_get(entry, "users"), user);
	const int rc = undo_unused_locked(s, false, err);
	pthread_mutex_unlock(&s->lock);
	return rc;
}
