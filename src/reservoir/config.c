#include "reservoir/config.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "json/json.h"

#define CONFIG_MAX (1024 * 1024)
#define MOUNTS_MAX 256
#define TIERS_MAX  3
#define KIB        INT64_C(1024)

static int bad(struct error *err, const char *field, const char *why)
{
	return error_set(err, -EINVAL, "%s: %s", field, why);
}

/* An object may hold only what is known: a field that would be ignored in silence is a mistake worth telling. */
static int check_fields(const json_t *o, const char *where, const char *known, struct error *err)
{
	const char *key;
	json_t *v;
	if (!json_is_object(o))
		return bad(err, where, "must be an object");
	json_object_foreach ((json_t *)o, key, v) {
		struct str rest = str_from(known), one;
		bool found = false;
		while (!found && str_split_next(&rest, ' ', &one))
			found = str_eq(one, key);
		if (!found)
			return error_set(err, -EINVAL, "%s: unknown field '%.100s' (known: %s)", where, key, known);
	}
	return 0;
}

static int take_int(const json_t *o, const char *key, int64_t dflt, int64_t min, int64_t max, int64_t *ret,
		    struct error *err)
{
	const json_t *v = json_object_get(o, key);
	if (v == NULL || json_is_null(v)) {
		*ret = dflt;
		return 0;
	}
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return error_set(err, -EINVAL, "%s: must be a whole number from %lld to %lld", key, (long long)min,
				 (long long)max);
	*ret = json_integer_value(v);
	return 0;
}

static int take_string(struct reservoir_config *c, const json_t *o, const char *key, bool required, const char **ret,
		       struct error *err)
{
	const json_t *v = json_object_get(o, key);
	if (v == NULL || json_is_null(v)) {
		*ret = NULL;
		return required ? bad(err, key, "is missing") : 0;
	}
	const char *s = json_string_value(v);
	if (s == NULL || *s == '\0' || strlen(s) != json_string_length(v))
		return bad(err, key, "must be a string that is not empty");
	*ret = arena_strdup(&c->arena, s);
	return *ret != NULL ? 0 : bad(err, key, "is too long");
}

/* "/", or plain components: "/a/b". */
static bool mount_path_ok(const char *p)
{
	if (*p != '/')
		return false;
	struct str rest = str_from(p + 1), one;
	if (p[1] == '\0')
		return true;
	while (str_split_next(&rest, '/', &one))
		if (one.n == 0 || one.n > 255 || str_eq(one, ".") || str_eq(one, ".."))
			return false;
	return true;
}

/* How an s3:// source is reached; other sources have no options. */
static int parse_options(struct reservoir_config *c, const json_t *o, struct mount_config *m, struct error *err)
{
	const bool s3 = str_has_prefix(m->source, "s3://");
	if (o == NULL || json_is_null(o))
		return 0;
	if (!s3 && json_is_object(o) && json_object_size(o) > 0)
		return error_set(err, -EINVAL, "options: '%.100s' is no option of this source (it has none)",
				 json_object_iter_key(json_object_iter((json_t *)o)));
	int r = check_fields(o, "options", "endpoint region virtualHost accessKeyFile secretKeyFile sessionTokenFile",
			     err);
	if (r < 0 || (r = take_string(c, o, "endpoint", false, &m->s3.endpoint, err)) < 0 ||
	    (r = take_string(c, o, "region", false, &m->s3.region, err)) < 0 ||
	    (r = take_string(c, o, "accessKeyFile", false, &m->s3.access_key_file, err)) < 0 ||
	    (r = take_string(c, o, "secretKeyFile", false, &m->s3.secret_key_file, err)) < 0 ||
	    (r = take_string(c, o, "sessionTokenFile", false, &m->s3.session_token_file, err)) < 0)
		return r;
	const json_t *virtual_host = json_object_get(o, "virtualHost");
	if (virtual_host != NULL && !json_is_boolean(virtual_host))
		return bad(err, "options.virtualHost", "must be true or false");
	m->s3.virtual_host = json_is_true(virtual_host);
	if ((m->s3.access_key_file == NULL) != (m->s3.secret_key_file == NULL))
		return bad(err, "options", "accessKeyFile and secretKeyFile go together");
	return 0;
}

static int parse_mount(struct reservoir_config *c, const json_t *o, struct mount_config *m, struct error *err)
{
	int r = check_fields(o, "mount", "path name source options readOnly", err);
	if (r < 0)
		return r;
	if ((r = take_string(c, o, "path", true, &m->path, err)) < 0 ||
	    (r = take_string(c, o, "name", false, &m->name, err)) < 0 ||
	    (r = take_string(c, o, "source", true, &m->source, err)) < 0)
		return r;
	if (!mount_path_ok(m->path))
		return error_set(err, -EINVAL, "path: '%.200s' must be \"/\" or \"/name\"", m->path);
	if (!str_has_prefix(m->source, "http://") && !str_has_prefix(m->source, "https://") &&
	    !str_has_prefix(m->source, "file:///") && !str_has_prefix(m->source, "s3://"))
		return error_set(err, -EINVAL, "source: '%.200s' is none of http://, https://, s3://, file:///",
				 m->source);
	return parse_options(c, json_object_get(o, "options"), m, err);
}

static int parse_mounts(struct reservoir_config *c, const json_t *list, struct error *err)
{
	const size_t n = json_array_size(list);
	if (n == 0 || n > MOUNTS_MAX)
		return bad(err, "mounts", "must be a list of 1 to 256 mounts");
	c->mounts = arena_alloc_array(&c->arena, n, sizeof *c->mounts);
	if (c->mounts == NULL)
		return bad(err, "mounts", "out of memory");
	for (size_t i = 0; i < n; i++) {
		const int r = parse_mount(c, json_array_get(list, i), &c->mounts[i], err);
		if (r < 0)
			return error_wrap(err, r, "mounts[%zu]", i);
		for (size_t k = 0; k < i; k++)
			if (strcmp(c->mounts[k].path, c->mounts[i].path) == 0)
				return error_set(err, -EINVAL, "mounts[%zu].path: '%.200s' is taken by mounts[%zu]", i,
						 c->mounts[i].path, k);
		c->n_mounts++;
	}
	return 0;
}

static int parse_tier(struct reservoir_config *c, const json_t *o, struct tier_config *t, struct error *err)
{
	int64_t quota;
	int r = check_fields(o, "tier", "medium path quotaBytes high low", err);
	if (r < 0 || (r = take_string(c, o, "medium", true, &t->medium, err)) < 0 ||
	    (r = take_string(c, o, "path", true, &t->path, err)) < 0 ||
	    (r = take_int(o, "quotaBytes", 0, 1, INT64_MAX, &quota, err)) < 0)
		return r;
	if (!str_same(t->medium, "MEM") && !str_same(t->medium, "SSD") && !str_same(t->medium, "HDD"))
		return bad(err, "medium", "must be MEM, SSD or HDD");
	if (t->path[0] != '/')
		return bad(err, "path", "must be absolute");
	if (quota == 0)
		return bad(err, "quotaBytes", "is missing");
	t->quota_bytes = (uint64_t)quota;
	const json_t *high = json_object_get(o, "high"), *low = json_object_get(o, "low");
	t->high = high != NULL ? json_number_value(high) : 0.95;
	t->low = low != NULL ? json_number_value(low) : t->high < 0.8 ? t->high : 0.8;
	if (!(t->high > 0 && t->high <= 1))
		return bad(err, "high", "must be above 0 and at most 1");
	if (!(t->low > 0 && t->low <= t->high))
		return bad(err, "low", "must be above 0 and at most high");
	return 0;
}

static int parse_tiers(struct reservoir_config *c, const json_t *list, struct error *err)
{
	const size_t n = json_array_size(list);
	if (n == 0 || n > TIERS_MAX)
		return bad(err, "tiers", "must be a list of 1 to 3 tiers");
	c->tiers = arena_alloc_array(&c->arena, n, sizeof *c->tiers);
	if (c->tiers == NULL)
		return bad(err, "tiers", "out of memory");
	for (size_t i = 0; i < n; i++) {
		const int r = parse_tier(c, json_array_get(list, i), &c->tiers[i], err);
		if (r < 0)
			return error_wrap(err, r, "tiers[%zu]", i);
		c->n_tiers++;
	}
	return 0;
}

static int parse_fetch(struct reservoir_config *c, const json_t *root, struct error *err)
{
	JSON_AUTO empty = json_object();
	const json_t *o = json_object_get(root, "fetch");
	if (o == NULL)
		o = empty;
	int64_t concurrency, retries, timeout, rate;
	int r = check_fields(o, "fetch", "concurrency retries timeoutSeconds rateLimitBytesPerSecond", err);
	if (r < 0)
		return r;
	if ((r = take_int(o, "concurrency", 8, 1, 64, &concurrency, err)) < 0 ||
	    (r = take_int(o, "retries", 5, 0, 20, &retries, err)) < 0 ||
	    (r = take_int(o, "timeoutSeconds", 30, 1, 3600, &timeout, err)) < 0 ||
	    (r = take_int(o, "rateLimitBytesPerSecond", 0, 0, INT64_MAX / 4, &rate, err)) < 0)
		return error_wrap(err, r, "fetch");
	c->fetch_concurrency = (size_t)concurrency;
	c->fetch_retries = (unsigned)retries;
	c->fetch_timeout_ns = timeout * NSEC_PER_SEC;
	c->rate_limit = (uint64_t)rate;
	return 0;
}

static int parse_freshness(struct reservoir_config *c, const json_t *root, struct error *err)
{
	static const char *const modes[] = {"Never", "TTL", "OnOpen", "Manual"};
	const json_t *o = json_object_get(root, "freshness");
	if (o == NULL)
		return 0;
	int64_t ttl;
	int r = check_fields(o, "freshness", "mode ttlSeconds", err);
	if (r < 0)
		return r;
	const char *mode = json_str(o, "mode", "Never");
	size_t i = 0;
	while (i < ARRAY_LEN(modes) && strcmp(mode, modes[i]) != 0)
		i++;
	if (i == ARRAY_LEN(modes))
		return error_set(err, -EINVAL, "freshness.mode: '%.50s' is none of Never, TTL, OnOpen, Manual", mode);
	c->freshness = (enum freshness_mode)i;
	if ((r = take_int(o, "ttlSeconds", 0, 0, INT64_C(86400) * 365, &ttl, err)) < 0)
		return error_wrap(err, r, "freshness");
	if (c->freshness == FRESHNESS_TTL && ttl == 0)
		return bad(err, "freshness.ttlSeconds", "must be given for mode TTL");
	c->ttl_ns = ttl * NSEC_PER_SEC;
	return 0;
}

static int parse_root(struct reservoir_config *c, const json_t *root, struct error *err)
{
	int r = check_fields(root, "config",
			     "dataset mounts tiers blockSizeBytes readAheadBytes fetch freshness listen socket", err);
	if (r < 0)
		return r;
	const json_t *dataset = json_object_get(root, "dataset");
	if ((r = check_fields(dataset, "dataset", "namespace name", err)) < 0)
		return r;
	int64_t block, ahead;
	if ((r = take_string(c, dataset, "namespace", true, &c->namespace_, err)) < 0 ||
	    (r = take_string(c, dataset, "name", true, &c->name, err)) < 0)
		return error_wrap(err, r, "dataset");
	if ((r = parse_mounts(c, json_object_get(root, "mounts"), err)) < 0 ||
	    (r = parse_tiers(c, json_object_get(root, "tiers"), err)) < 0 || (r = parse_fetch(c, root, err)) < 0 ||
	    (r = parse_freshness(c, root, err)) < 0 ||
	    (r = take_int(root, "blockSizeBytes", 4096 * KIB, 64 * KIB, 65536 * KIB, &block, err)) < 0 ||
	    (r = take_int(root, "readAheadBytes", 32768 * KIB, 0, 1048576 * KIB, &ahead, err)) < 0 ||
	    (r = take_string(c, root, "listen", false, &c->listen, err)) < 0 ||
	    (r = take_string(c, root, "socket", true, &c->socket, err)) < 0)
		return r;
	if (block % 4096 != 0)
		return bad(err, "blockSizeBytes", "must be a multiple of 4096");
	c->block_size = (uint32_t)block;
	c->read_ahead = (uint64_t)ahead;
	char addr[64];
	uint16_t port;
	if (c->listen != NULL && reservoir_listen_split(c->listen, addr, sizeof addr, &port) < 0)
		return bad(err, "listen", "must be ADDRESS:PORT");
	if (strlen(c->socket) > 100)
		return bad(err, "socket", "a path of a unix socket has at most 100 bytes");
	return 0;
}

int reservoir_config_parse(const char *text, size_t n, const char *what, struct reservoir_config *ret,
			   struct error *err)
{
	JSON_AUTO root = NULL;
	int r = json_parse(text, n, &root, err);
	if (r < 0)
		return error_wrap(err, r, "%s", what);
	struct reservoir_config c = {.arena = ARENA_INIT(4 * CONFIG_MAX)};
	r = parse_root(&c, root, err);
	if (r < 0) {
		reservoir_config_clear(&c);
		return error_wrap(err, r, "%s", what);
	}
	*ret = c;
	return 0;
}

int reservoir_config_load(const char *path, struct reservoir_config *ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t n;
	const int r = file_read(path, CONFIG_MAX, &text, &n, err);
	return r < 0 ? r : reservoir_config_parse(text, n, path, ret, err);
}

void reservoir_config_clear(struct reservoir_config *c)
{
	if (c == NULL)
		return;
	arena_free(&c->arena);
	*c = (struct reservoir_config){0};
}

int reservoir_listen_split(const char *s, char *addr, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(s, ':');
	uint64_t port;
	if (colon == NULL || colon == s || str_to_u64(colon + 1, &port) < 0 || port > 65535)
		return -EINVAL;
	size_t n = (size_t)(colon - s);
	if (s[0] == '[' && s[n - 1] == ']') {
		s++;
		n -= 2;
	}
	if (n == 0 || n >= size)
		return -EINVAL;
	memcpy(addr, s, n);
	addr[n] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}
