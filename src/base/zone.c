#include "base/zone.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"

#define ZONE_DIR    "/usr/share/zoneinfo"
#define ZONE_LOCAL  "/etc/localtime"
#define FILE_MAX    ((size_t)256 * 1024)
#define HEAD_BYTES  44
#define TYPE_BYTES  6
#define OFFSET_MAX  (26 * 3600)
#define CHANGES_MAX 4096
#define TYPES_MAX   256

struct change {
	int64_t at; /* UTC seconds from which on it holds */
	int32_t offset;
};

struct zone {
	int32_t first; /* before all changes */
	size_t n;
	struct change changes[];
};

/* What follows a header, in this order. */
struct counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const uint8_t *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static bool read_head(const uint8_t *p, size_t n, struct counts *ret)
{
	if (n < HEAD_BYTES || memcmp(p, "TZif", 4) != 0)
		return false;
	const uint32_t *limits =
		(const uint32_t[]){TYPES_MAX, TYPES_MAX, CHANGES_MAX, CHANGES_MAX, TYPES_MAX, FILE_MAX};
	uint32_t v[6];
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		v[i] = be32(p + 20 + 4 * i);
		if (v[i] > limits[i])
			return false;
	}
	*ret = (struct counts){v[0], v[1], v[2], v[3], v[4], v[5]};
	return v[4] > 0;
}

/* Bytes of the block behind a header whose times have @width bytes. */
static size_t block_bytes(const struct counts *c, size_t width)
{
	return c->time * (width + 1) + c->type * TYPE_BYTES + c->chars + c->leap * (width + 4) + c->isstd + c->isut;
}

static bool read_offset(const uint8_t *types, const struct counts *c, uint8_t type, int32_t *ret)
{
	if (type >= c->type)
		return false;
	*ret = (int32_t)be32(types + (size_t)type * TYPE_BYTES);
	return *ret >= -OFFSET_MAX && *ret <= OFFSET_MAX;
}

static int read_block(const uint8_t *p, const struct counts *c, struct zone **ret)
{
	const uint8_t *index = p + c->time * sizeof(int64_t), *types = index + c->time;
	CLEANUP(free_p) struct zone *z = calloc(1, sizeof *z + c->time * sizeof *z->changes);
	if (z == NULL)
		return -ENOMEM;
	if (!read_offset(types, c, 0, &z->first))
		return -EINVAL;
	for (; z->n < c->time; z->n++) {
		struct change *ch = &z->changes[z->n];
		ch->at = be64(p + z->n * sizeof(int64_t));
		if ((z->n > 0 && ch->at <= ch[-1].at) || !read_offset(types, c, index[z->n], &ch->offset))
			return -EINVAL;
	}
	*ret = TAKE(z);
	return 0;
}

int zone_parse(const void *data, size_t n, struct zone **ret)
{
	const uint8_t *p = data;
	struct counts c;
	if (!read_head(p, n, &c) || p[4] < '2')
		return -EINVAL;
	const size_t skip = HEAD_BYTES + block_bytes(&c, sizeof(int32_t)); /* the counts are bounded: no wrap */
	if (skip > n || !read_head(p + skip, n - skip, &c))
		return -EINVAL;
	if (block_bytes(&c, sizeof(int64_t)) > n - skip - HEAD_BYTES)
		return -EINVAL;
	return read_block(p + skip + HEAD_BYTES, &c, ret);
}

static bool is_name(const char *name)
{
	for (const char *p = name; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("/_+-", *p) == NULL)
			return false;
	return isalpha((unsigned char)name[0]) && strlen(name) < 64;
}

static int open_zone(const char *name, struct error *err)
{
	CLEANUP(close_fd) int dir = open(ZONE_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const int fd = dir < 0 ? -errno : file_open_beneath(dir, name, O_RDONLY, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -EXDEV)
		return error_set(err, -ENOENT, "time zone '%s': this machine knows no such zone (%s)", name, ZONE_DIR);
	return fd < 0 ? error_set(err, fd, "time zone '%s': %s", name, strerror(-fd)) : fd;
}

int zone_load(const char *name, struct zone **ret, struct error *err)
{
	CLEANUP(close_fd) int fd = -1;
	CLEANUP(free_p) char *data = NULL;
	size_t n = 0;
	if (name != NULL && !is_name(name))
		return error_set(err, -EINVAL, "time zone '%.64s': is not the name of one", name);
	fd = name != NULL ? open_zone(name, err) : open(ZONE_LOCAL, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && name != NULL)
		return fd;
	if (fd < 0) /* a machine without a zone lives in UTC */
		return (*ret = calloc(1, sizeof **ret)) != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
	int rc = file_read_fd(fd, name != NULL ? name : ZONE_LOCAL, FILE_MAX, &data, &n, err);
	if (rc < 0)
		return rc;
	rc = zone_parse(data, n, ret);
	return rc < 0 ? error_set(err, rc, "time zone '%s': %s", name != NULL ? name : ZONE_LOCAL,
				  rc == -ENOMEM ? "out of memory" : "its file is none of a time zone")
		      : 0;
}

int32_t zone_offset(const struct zone *z, int64_t utc_s)
{
	size_t low = 0, high = z->n; /* changes before low have come, those from high on not yet */
	while (low < high) {
		const size_t mid = low + (high - low) / 2;
		if (z->changes[mid].at <= utc_s)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 ? z->changes[low - 1].offset : z->first;
}

void zone_free(struct zone *z)
{
	free(z);
}
