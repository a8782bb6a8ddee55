#include "reservoir/open_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define MAGIC UINT64_C(0x31656c626174766f) /* of this layout: another one gets another */

struct shared {
	uint64_t magic;
	uint32_t used, pad; /* entries at and behind this place were never used */
	struct open_head head;
	struct open_entry entries[OPEN_TABLE_MAX];
};
_Static_assert(sizeof(struct open_entry) == 40, "open_entry: a change of layout needs another MAGIC");
_Static_assert(sizeof(struct open_head) == 152, "open_head: a change of layout needs another MAGIC");

struct open_table {
	int fd;
	struct shared *s;
	uint32_t *free; /* places below used */
	size_t n_free;
};

static int map(struct open_table *t, struct error *err)
{
	struct stat st;
	if (fstat(t->fd, &st) < 0 || st.st_size != (off_t)sizeof *t->s)
		return error_set(err, -EPROTO, "the table of open files is of another version");
	void *p = mmap(NULL, sizeof *t->s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, t->fd, 0);
	if (p == MAP_FAILED)
		return error_set(err, -errno, "map the table of open files: %s", strerror(errno));
	t->s = p;
	return 0;
}

static int create(struct open_table *t, struct error *err)
{
	t->fd = memfd_create("reservoir-open", MFD_CLOEXEC);
	if (t->fd < 0 || ftruncate(t->fd, sizeof *t->s) < 0)
		return error_set(err, -errno, "make the table of open files: %s", strerror(errno));
	const int r = map(t, err);
	if (r == 0)
		t->s->magic = MAGIC;
	return r;
}

static int adopt(struct open_table *t, int fd, struct error *err)
{
	t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (t->fd < 0)
		return error_set(err, -errno, "the table of open files: %s", strerror(errno));
	const int r = map(t, err);
	if (r < 0)
		return r;
	if (t->s->magic != MAGIC || t->s->used > OPEN_TABLE_MAX || t->s->head.init_n > sizeof t->s->head.init)
		return error_set(err, -EPROTO, "the table of open files is of another version");
	for (uint32_t i = t->s->used; i > 0; i--) /* the lowest place goes first */
		if (open_entry_state(&t->s->entries[i - 1]) == OPEN_FREE)
			t->free[t->n_free++] = i - 1;
	return 0;
}

int open_table_new(int fd, struct open_table **ret, struct error *err)
{
	struct open_table *t = calloc(1, sizeof *t);
	uint32_t *places = calloc(OPEN_TABLE_MAX, sizeof *places); /* pages that are not used take no memory */
	if (t == NULL || places == NULL) {
		free(t);
		free(places);
		return error_set(err, -ENOMEM, "out of memory");
	}
	*t = (struct open_table){.fd = -1, .free = places};
	const int r = fd < 0 ? create(t, err) : adopt(t, fd, err);
	if (r < 0) {
		open_table_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void open_table_free(struct open_table *t)
{
	if (t == NULL)
		return;
	if (t->s != NULL)
		(void)munmap(t->s, sizeof *t->s);
	close_fd(&t->fd);
	free(t->free);
	free(t);
}

int open_table_fd(const struct open_table *t)
{
	return t->fd;
}

struct open_head *open_table_head(struct open_table *t)
{
	return &t->s->head;
}

static uint64_t handle_of(const struct open_table *t, const struct open_entry *e)
{
	return (uint64_t)open_entry_generation(e) << 32 | (uint64_t)(open_table_place(t, e) + 1);
}

/* Both at once: a server that is killed between them would leave a handle that counts twice, or that is another one's. */
static void set_state(struct open_entry *e, uint32_t generation, enum open_state state)
{
	__atomic_store_n(&e->turn, (uint64_t)generation << 32 | state, __ATOMIC_RELEASE);
}

uint64_t open_table_add(struct open_table *t, const struct open_entry *in)
{
	if (t->n_free == 0 && t->s->used == OPEN_TABLE_MAX)
		return 0;
	const uint32_t place = t->n_free > 0 ? t->free[--t->n_free] : t->s->used;
	struct open_entry *e = &t->s->entries[place];
	if (place == t->s->used)
		__atomic_store_n(&t->s->used, place + 1, __ATOMIC_RELEASE);
	struct open_entry fresh = *in;
	fresh.turn = e->turn; /* free */
	*e = fresh;
	set_state(e, open_entry_generation(e), OPEN_USED);
	return handle_of(t, e);
}

struct open_entry *open_table_get(struct open_table *t, uint64_t handle)
{
	const uint64_t place = (handle & UINT32_MAX) - 1; /* 0 becomes too large */
	if (place >= t->s->used)
		return NULL;
	struct open_entry *e = &t->s->entries[place];
	return open_entry_state(e) == OPEN_USED && open_entry_generation(e) == handle >> 32 ? e : NULL;
}

uint64_t open_table_find(struct open_table *t, uint64_t unique)
{
	for (struct open_entry *e = NULL; (e = open_table_next(t, e)) != NULL;)
		if (open_entry_state(e) == OPEN_USED && e->unique == unique)
			return handle_of(t, e);
	return 0;
}

void open_table_closing(struct open_entry *e)
{
	set_state(e, open_entry_generation(e), OPEN_CLOSING);
}

void open_table_remove(struct open_table *t, struct open_entry *e)
{
	set_state(e, open_entry_generation(e) + 1, OPEN_FREE);
	t->free[t->n_free++] = (uint32_t)open_table_place(t, e);
}

struct open_entry *open_table_next(struct open_table *t, struct open_entry *e)
{
	for (uint32_t i = e == NULL ? 0 : (uint32_t)open_table_place(t, e) + 1; i < t->s->used; i++)
		if (open_entry_state(&t->s->entries[i]) != OPEN_FREE)
			return &t->s->entries[i];
	return NULL;
}

size_t open_table_place(const struct open_table *t, const struct open_entry *e)
{
	return (size_t)(e - t->s->entries);
}
