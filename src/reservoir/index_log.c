/*
 * The index's log: a head, then records, each with its length and a checksum. A record that is cut or damaged ends the log: what
 * comes after it is listed again. A log of which more than half is history is written anew when it is opened.
 */
#include <fcntl.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/str.h"
#include "reservoir/index_internal.h"

#define LOG_MAGIC    UINT64_C(0x3130584449554c53) /* "SLUIDX01" */
#define RECORD_MAX   16384u
#define LOG_MAX      (16ull * 1024 * 1024 * 1024)
#define COMPACT_FROM (1024u * 1024)

struct log_head {
	uint64_t magic, fingerprint, epoch, check;
	uint64_t next_id; /* ids below were given out, even if no record has them any more */
};

struct record_head {
	uint32_t n, check; /* bytes that follow; their checksum */
};

struct record {
	uint8_t op, type, flags, pad;
	uint16_t mount, name_n;
	uint32_t id, parent;
	uint64_t size;
	int64_t mtime_ns, listed_ns;
	/* name and extra follow, each with its NUL */
};
_Static_assert(sizeof(struct record) == 40, "record");

enum { FLAG_EXACT = 1, FLAG_SIZE_EXACT = 2, FLAG_EXEC = 4, FLAG_MOUNTPOINT = 8 };

static void append(struct index *ix, struct strbuf *to, enum index_op op, uint32_t id)
{
	const struct index_node *n = &ix->nodes[id];
	const char *name = op == INDEX_OP_ADD ? index_name(ix, id) : "";
	const char *extra = op == INDEX_OP_ADD || op == INDEX_OP_REFINE ? index_extra(ix, id) : "";
	const struct record rec = {
		.op = (uint8_t)op,
		.type = n->type,
		.flags = (uint8_t)((n->exact ? FLAG_EXACT : 0) | (n->size_exact ? FLAG_SIZE_EXACT : 0) |
				   (n->exec ? FLAG_EXEC : 0) | (n->mountpoint ? FLAG_MOUNTPOINT : 0)),
		.mount = n->mount,
		.name_n = (uint16_t)strlen(name),
		.id = id,
		.parent = n->parent,
		.size = n->size,
		.mtime_ns = n->mtime_ns,
		.listed_ns = n->listed_ns,
	};
	unsigned char buf[RECORD_MAX];
	const size_t name_n = strlen(name) + 1, extra_n = strlen(extra) + 1;
	const size_t total = sizeof rec + name_n + extra_n;
	if (total > sizeof buf) {
		ix->log_broken =
			true; /* cannot be: names and targets are shorter; a log with a gap must not be read again */
		return;
	}
	memcpy(buf, &rec, sizeof rec);
	memcpy(buf + sizeof rec, name, name_n);
	memcpy(buf + sizeof rec + name_n, extra, extra_n);
	const struct record_head h = {.n = (uint32_t)total, .check = XXH32(buf, total, 0)};
	strbuf_add(to, &h, sizeof h);
	strbuf_add(to, buf, total);
}

static void log_op(struct index *ix, enum index_op op, uint32_t id)
{
	if (!ix->replaying && ix->fd >= 0)
		append(ix, &ix->pending, op, id);
}

void index_log_add(struct index *ix, uint32_t id)
{
	log_op(ix, INDEX_OP_ADD, id);
}

void index_log_refine(struct index *ix, uint32_t id)
{
	log_op(ix, INDEX_OP_REFINE, id);
}

void index_log_listed(struct index *ix, uint32_t id)
{
	log_op(ix, INDEX_OP_LISTED, id);
}

void index_log_remove(struct index *ix, uint32_t id)
{
	log_op(ix, INDEX_OP_REMOVE, id);
}

int index_commit(struct index *ix)
{
	if (ix->pending.n == 0 && !ix->pending.failed)
		return 0;
	int r = ix->pending.failed ? -ENOMEM : 0;
	if (r == 0 && !ix->log_broken && ix->fd >= 0)
		r = file_write_all(ix->fd, ix->pending.p, ix->pending.n);
	if (r < 0 && !ix->log_broken) {
		/* a log with a gap would give ids another meaning after a restart: better none */
		ix->log_broken = true;
		if (ix->fd >= 0)
			(void)ftruncate(ix->fd, 0);
	}
	ix->log_bytes += ix->pending.n;
	strbuf_reset(&ix->pending);
	return r;
}

static bool apply(struct index *ix, const struct record *rec, const char *name, const char *extra)
{
	const struct index_node n = {
		.parent = rec->parent,
		.mount = rec->mount,
		.type = rec->type,
		.size = rec->size,
		.mtime_ns = rec->mtime_ns,
		.listed_ns = rec->listed_ns,
		.exact = (rec->flags & FLAG_EXACT) != 0,
		.size_exact = (rec->flags & FLAG_SIZE_EXACT) != 0,
		.exec = (rec->flags & FLAG_EXEC) != 0,
		.mountpoint = (rec->flags & FLAG_MOUNTPOINT) != 0,
	};
	if (rec->op == INDEX_OP_ADD)
		return rec->type <= SOURCE_LINK && *name != '\0' && index_get(ix, rec->parent) != NULL &&
		       ix->nodes[rec->parent].type == SOURCE_DIR && !ix->nodes[rec->parent].dead &&
		       index_find(ix, rec->parent, name) == 0 && index_insert(ix, rec->id, &n, name, extra) == 0;
	if (index_get(ix, rec->id) == NULL)
		return false;
	switch (rec->op) {
	case INDEX_OP_REFINE:
		return ix->nodes[rec->id].type == rec->type && index_apply_refine(ix, rec->id, &n, extra) == 0;
	case INDEX_OP_LISTED:
		ix->nodes[rec->id].listed_ns = rec->listed_ns;
		return true;
	case INDEX_OP_REMOVE:
		if (rec->id == INDEX_ROOT)
			return false;
		index_remove(ix, rec->id);
		return true;
	default:
		return false;
	}
}

/* Apply one record at @p; its whole length, or 0 when it is not usable. */
static size_t replay_one(struct index *ix, const unsigned char *p, size_t left)
{
	struct record_head h;
	struct record rec;
	if (left < sizeof h)
		return 0;
	memcpy(&h, p, sizeof h);
	p += sizeof h;
	if (h.n < sizeof rec + 2 || h.n > RECORD_MAX || h.n > left - sizeof h || XXH32(p, h.n, 0) != h.check)
		return 0;
	memcpy(&rec, p, sizeof rec);
	const char *name = (const char *)p + sizeof rec;
	if (rec.name_n + sizeof rec + 2 > h.n || name[rec.name_n] != '\0' || p[h.n - 1] != '\0')
		return 0;
	return apply(ix, &rec, name, name + rec.name_n + 1) ? sizeof h + h.n : 0;
}

/* Where the log ends being good; 0 when its head is not ours. */
static uint64_t replay(struct index *ix, const char *data, size_t n, uint64_t fingerprint)
{
	struct log_head head;
	if (n < sizeof head)
		return 0;
	memcpy(&head, data, sizeof head);
	if (head.magic != LOG_MAGIC || head.fingerprint != fingerprint || head.check != (head.epoch ^ LOG_MAGIC))
		return 0;
	if (head.next_id > INDEX_MAX_NODES || index_reserve(ix, (uint32_t)head.next_id) < 0)
		return 0;
	ix->epoch = head.epoch;
	size_t at = sizeof head;
	ix->replaying = true;
	for (size_t step; (step = replay_one(ix, (const unsigned char *)data + at, n - at)) > 0;)
		at += step;
	ix->replaying = false;
	if (head.next_id > ix->n)
		ix->n = (uint32_t)head.next_id;
	return at;
}

static int write_head(struct index *ix, uint64_t fingerprint, struct strbuf *to)
{
	if (ix->epoch == 0)
		while (ix->epoch == 0 || (ix->epoch & 0xffff) == 0)
			random_bytes(&ix->epoch, sizeof ix->epoch);
	const struct log_head head = {.magic = LOG_MAGIC,
				      .fingerprint = fingerprint,
				      .epoch = ix->epoch,
				      .check = ix->epoch ^ LOG_MAGIC,
				      .next_id = ix->n};
	strbuf_add(to, &head, sizeof head);
	return to->failed ? -ENOMEM : 0;
}

/* The whole tree as a fresh log. Parents have smaller ids than their children, so the order is right. */
static int write_anew(struct index *ix, const char *path, uint64_t fingerprint, struct error *err)
{
	struct strbuf b = STRBUF_INIT(LOG_MAX);
	int r = write_head(ix, fingerprint, &b);
	append(ix, &b, INDEX_OP_LISTED, INDEX_ROOT);
	for (uint32_t id = INDEX_ROOT + 1; id < ix->n; id++)
		if (index_get(ix, id) != NULL && !ix->nodes[id].dead)
			append(ix, &b, INDEX_OP_ADD, id);
	r = r < 0 || b.failed ? -ENOMEM : 0;
	if (r == 0)
		r = file_write_atomic(path, 0600, b.p, b.n, err);
	ix->log_bytes = b.n;
	strbuf_clear(&b);
	return r;
}

static int begin_log(struct index *ix, const char *path, uint64_t fingerprint, struct error *err)
{
	index_forget_all(ix);
	ix->epoch = 0;
	if (index_begin(ix) < 0)
		return error_set(err, -ENOMEM, "index: out of memory");
	return write_anew(ix, path, fingerprint, err);
}

static uint64_t live_estimate(const struct index *ix)
{
	return (ix->totals.files + ix->totals.dirs) * (sizeof(struct record) + 64);
}

int index_log_open(struct index *ix, const char *path, uint64_t fingerprint, struct error *err)
{
	CLEANUP(free_p) char *data = NULL;
	size_t n = 0;
	uint64_t good = 0;
	if (index_begin(ix) < 0)
		return error_set(err, -ENOMEM, "index: out of memory");
	if (file_exists(path) && file_read(path, LOG_MAX, &data, &n, NULL) == 0)
		good = replay(ix, data, n, fingerprint);
	int r = 0;
	if (good == 0)
		r = begin_log(ix, path, fingerprint, err);
	else if (good > COMPACT_FROM && good > 4 * live_estimate(ix))
		r = write_anew(ix, path, fingerprint, err);
	if (r < 0)
		return error_wrap(err, r, "index");
	ix->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (ix->fd < 0)
		return error_set(err, -errno, "index '%s': %s", path, strerror(errno));
	if (good > 0 && good < n && ftruncate(ix->fd, (off_t)good) < 0)
		return error_set(err, -errno, "index '%s': %s", path, strerror(errno));
	return 0;
}
