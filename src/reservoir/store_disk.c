#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "reservoir/store_internal.h"

#define MAP_MAGIC UINT64_C(0x31304d4349554c53) /* "SLUICM01" */

/* The head of a .map file; the marks follow. A checksum that does not fit means "no marks", never wrong ones. */
struct map_head {
	uint64_t magic, size, block_size, checksum;
};

void store_name(struct store_key key, enum store_name kind, char out[static STORE_NAME_SIZE])
{
	static const char *const ends[] = {"part", "full", "map"};
	(void)snprintf(out, STORE_NAME_SIZE, "%016llx%016llx.%s", (unsigned long long)key.hi,
		       (unsigned long long)key.lo, ends[kind]);
}

static bool parse_name(const char *name, struct store_key *ret, enum store_name *kind)
{
	if (strlen(name) < 36 || strspn(name, "0123456789abcdef") != 32 || name[32] != '.')
		return false;
	char half[17] = {0};
	memcpy(half, name, 16);
	ret->hi = strtoull(half, NULL, 16);
	memcpy(half, name + 16, 16);
	ret->lo = strtoull(half, NULL, 16);
	if (strcmp(name + 33, "part") == 0)
		*kind = STORE_PART;
	else if (strcmp(name + 33, "full") == 0)
		*kind = STORE_FULL;
	else if (strcmp(name + 33, "map") == 0)
		*kind = STORE_MAP;
	else
		return false;
	return true;
}

int store_tier_open(struct store_tier *t, const struct tier_config *c, struct error *err)
{
	*t = (struct store_tier){.dirfd = -1, .lockfd = -1};
	int r = file_mkdir_all(c->path, 0700, err);
	if (r < 0)
		return error_wrap(err, r, "cache directory");
	t->path = strdup(c->path);
	if (t->path == NULL)
		return error_set(err, -ENOMEM, "cache directory '%s': out of memory", c->path);
	t->dirfd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dirfd < 0)
		return error_set(err, -errno, "cache directory '%s': %s", c->path, strerror(errno));
	t->lockfd = openat(t->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (t->lockfd < 0)
		return error_set(err, -errno, "cache directory '%s' is not writable: %s", c->path, strerror(errno));
	if (flock(t->lockfd, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, -errno, "cache directory '%s' is used by another worker; give each its own",
				 c->path);
	t->quota = c->quota_bytes;
	t->high = (uint64_t)((double)c->quota_bytes * c->high);
	t->low = (uint64_t)((double)c->quota_bytes * c->low);
	return 0;
}

void store_tier_close(struct store_tier *t)
{
	close_fd(&t->lockfd);
	close_fd(&t->dirfd);
	free(t->path);
	*t = (struct store_tier){.dirfd = -1, .lockfd = -1};
}

static uint64_t map_checksum(const struct map_head *h, const uint64_t *bits, size_t words)
{
	struct map_head copy = *h;
	copy.checksum = 0;
	return XXH64(bits, words * sizeof *bits, XXH64(&copy, sizeof copy, 0));
}

int store_disk_write_map(const struct store_tier *t, const struct store_file *f, uint32_t block_size,
			 const uint64_t *bits)
{
	char name[STORE_NAME_SIZE];
	store_name(f->key, STORE_MAP, name);
	CLEANUP(close_fd) int fd = openat(t->dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	const size_t words = store_words(f->blocks);
	struct map_head h = {.magic = MAP_MAGIC, .size = f->size, .block_size = block_size};
	h.checksum = map_checksum(&h, bits, words);
	const int r = file_pwrite_all(fd, bits, words * sizeof *bits, sizeof h);
	return r < 0 ? r : file_pwrite_all(fd, &h, sizeof h, 0);
}

/* The marks of a .part file; all absent when they cannot be trusted. */
static void read_map(const struct store_tier *t, struct store_file *f, uint32_t block_size)
{
	char name[STORE_NAME_SIZE];
	store_name(f->key, STORE_MAP, name);
	CLEANUP(close_fd) int fd = openat(t->dirfd, name, O_RDONLY | O_CLOEXEC);
	const size_t words = store_words(f->blocks);
	struct map_head h;
	if (fd < 0 || file_pread_full(fd, &h, sizeof h, 0) != (ssize_t)sizeof h ||
	    file_pread_full(fd, f->present_bits, words * sizeof *f->present_bits, sizeof h) !=
		    (ssize_t)(words * sizeof *f->present_bits) ||
	    h.magic != MAP_MAGIC || h.size != f->size || h.block_size != block_size ||
	    h.checksum != map_checksum(&h, f->present_bits, words)) {
		memset(f->present_bits, 0, words * sizeof *f->present_bits);
		return;
	}
	for (uint32_t i = 0; i < f->blocks; i++)
		f->present += store_bit(f->present_bits, i);
}

/*
 * A write lease is granted only when nobody else has the file open or mapped: the kernel's own answer to "is it in use?".
 * 0 when it is not, -EAGAIN when it is, another error where the file system has no leases. Ends when @fd is closed.
 */
static int lease(int fd)
{
	return fcntl(fd, F_SETLEASE, F_WRLCK) == 0 ? 0 : -errno;
}

int store_disk_open(const struct store_tier *t, const struct store_file *f, int flags)
{
	/* The flusher may rename .part to .full at any moment, never back: so the second look at .full decides. */
	static const enum store_name order[] = {STORE_FULL, STORE_PART, STORE_FULL};
	int fd = -ENOENT;
	for (size_t i = 0; i < ARRAY_LEN(order) && fd < 0; i++) {
		char name[STORE_NAME_SIZE];
		store_name(f->key, order[i], name);
		fd = openat(t->dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno != ENOENT)
			return -errno;
	}
	return fd < 0 ? -ENOENT : fd;
}

int store_disk_remove(const struct store_tier *t, const struct store_file *f)
{
	CLEANUP(close_fd) int fd = store_disk_open(t, f, O_RDONLY);
	if (fd >= 0 && lease(fd) == -EAGAIN)
		return -EBUSY;
	static const enum store_name kinds[] = {STORE_FULL, STORE_PART, STORE_MAP};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char name[STORE_NAME_SIZE];
		store_name(f->key, kinds[i], name);
		if (unlinkat(t->dirfd, name, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int store_disk_create(const struct store_tier *t, const struct store_file *f)
{
	char name[STORE_NAME_SIZE];
	store_name(f->key, STORE_PART, name);
	CLEANUP(close_fd) int fd = openat(t->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)f->size) < 0) {
		const int r = -errno;
		(void)unlinkat(t->dirfd, name, 0); /* empty: nothing to lose */
		return r;
	}
	return TAKE_FD(fd);
}

int store_disk_complete(const struct store_tier *t, const struct store_file *f)
{
	char part[STORE_NAME_SIZE], full[STORE_NAME_SIZE], map[STORE_NAME_SIZE];
	store_name(f->key, STORE_PART, part);
	store_name(f->key, STORE_FULL, full);
	store_name(f->key, STORE_MAP, map);
	if (renameat(t->dirfd, part, t->dirfd, full) < 0)
		return -errno;
	(void)unlinkat(t->dirfd, map, 0); /* a leftover is removed when the directory is loaded */
	return 0;
}

void store_disk_touch(const struct store_tier *t, const struct store_file *f)
{
	char name[STORE_NAME_SIZE];
	store_name(f->key, f->full_name ? STORE_FULL : STORE_PART, name);
	const struct timespec ts[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = f->last_use_ns / NSEC_PER_SEC, .tv_nsec = f->last_use_ns % NSEC_PER_SEC}};
	(void)utimensat(t->dirfd, name, ts, AT_SYMLINK_NOFOLLOW); /* only the order of eviction depends on it */
}

/* Blocks that a crash left without a mark take space that nobody counts: give it back, unless somebody still reads the file. */
static void trim_part(const struct store_tier *t, struct store_file *f, uint32_t block_size, uint64_t on_disk)
{
	CLEANUP(close_fd) int fd = store_disk_open(t, f, O_RDWR);
	if (fd < 0 || on_disk <= f->charged)
		return;
	if (lease(fd) != 0) {
		f->charged = on_disk;
		return;
	}
	for (uint32_t i = 0; i < f->blocks; i++)
		if (!store_bit(f->present_bits, i))
			(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)i * block_size,
					(off_t)store_charge(store_block_bytes(f, i)));
}

static int load_one(struct store *s, size_t tier, const char *name)
{
	struct store_tier *t = &s->tiers[tier];
	struct store_key key;
	enum store_name kind;
	struct stat st;
	if (!parse_name(name, &key, &kind) || kind == STORE_MAP)
		return 0;
	if (fstatat(t->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	const uint64_t blocks = store_block_count((uint64_t)st.st_size, s->block_size);
	if (blocks == 0 || blocks > UINT32_MAX || store_lookup_locked(s, key) != NULL) {
		(void)unlinkat(t->dirfd, name, 0); /* empty, or a second copy of what another tier has */
		return 0;
	}
	struct store_file *f = store_insert_locked(s, key, (uint64_t)st.st_size);
	if (f == NULL)
		return -ENOMEM;
	f->tier = (uint8_t)tier;
	f->on_disk = true;
	f->last_use_ns = (int64_t)st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec;
	if (kind == STORE_FULL) {
		f->full_name = true;
		f->present = f->blocks;
		f->charged = store_charge(f->size);
	} else {
		f->present_bits = calloc(store_words(f->blocks), sizeof *f->present_bits);
		if (f->present_bits == NULL)
			return -ENOMEM;
		read_map(t, f, s->block_size);
		f->charged = STORE_MAP_CHARGE;
		for (uint32_t i = 0; i < f->blocks; i++)
			if (store_bit(f->present_bits, i))
				f->charged += store_charge(store_block_bytes(f, i));
		trim_part(t, f, s->block_size, (uint64_t)st.st_blocks * 512);
		if (f->present == f->blocks) {
			free(TAKE(f->present_bits));
			store_dirty_add_locked(f);
		}
	}
	t->used += f->charged;
	t->cached += store_present_bytes(f);
	return 0;
}

static void remove_stray_map(const struct store_tier *t, const char *name, struct store *s)
{
	struct store_key key;
	enum store_name kind;
	if (!parse_name(name, &key, &kind) || kind != STORE_MAP)
		return;
	const struct store_file *f = store_lookup_locked(s, key);
	if (f == NULL || f->full_name)
		(void)unlinkat(t->dirfd, name, 0);
}

int store_tier_load(struct store *s, size_t i, struct error *err)
{
	struct store_tier *t = &s->tiers[i];
	for (int pass = 0; pass < 2; pass++) {
		const int fd = openat(t->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
		if (d == NULL)
			return error_set(err, -errno, "list cache directory '%s': %s", t->path, strerror(errno));
		int r = 0;
		for (struct dirent *e; r == 0 && (e = readdir(d)) != NULL;) {
			if (pass == 0)
				r = load_one(s, i, e->d_name);
			else
				remove_stray_map(t, e->d_name, s);
		}
		(void)closedir(d);
		if (r < 0)
			return error_set(err, r, "list cache directory '%s': %s", t->path, strerror(-r));
	}
	return 0;
}
