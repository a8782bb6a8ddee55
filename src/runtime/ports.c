#include "runtime/ports.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "runtime/objects.h"
#include "runtime/status.h"
#include "json/json.h"

/* One runtime's hold on a port, for whichever of the two reasons. */
struct holder {
	struct holder *next;
	char *key;
	bool taken;
	unsigned seen; /* objects that use it */
};

/* How many ports a runtime has taken, and how many its objects use: most have none of the one or the other, and need no look at all ports. */
struct tally {
	size_t taken, seen;
};

/* What an object used when it was last seen. */
struct sight {
	char *key;
	size_t n;
	int ports[];
};

struct ports {
	int min, max;
	pthread_mutex_t lock;     /* guards the rest */
	struct map *objects;      /* object → struct sight, owned */
	struct map *tallies;      /* key → struct tally, owned; none: nothing of either */
	struct holder *holders[]; /* by port - min */
};

static void sight_free(void *s)
{
	if (s != NULL)
		free(((struct sight *)s)->key);
	free(s);
}

struct ports *ports_new(int min, int max)
{
	struct ports *p = calloc(1, sizeof *p + (size_t)(max - min) * sizeof(struct holder *));
	if (p == NULL)
		return NULL;
	p->min = min;
	p->max = max;
	(void)pthread_mutex_init(&p->lock, NULL); /* cannot fail on Linux */
	p->objects = map_new(sight_free);
	p->tallies = map_new(free);
	if (p->objects != NULL && p->tallies != NULL)
		return p;
	ports_free(p);
	return NULL;
}

static void holder_free(struct holder *h)
{
	free(h->key);
	free(h);
}

void ports_free(struct ports *p)
{
	if (p == NULL)
		return;
	map_free(p->objects);
	map_free(p->tallies);
	for (int i = 0; i < p->max - p->min; i++)
		for (struct holder *h; (h = p->holders[i]) != NULL;) {
			p->holders[i] = h->next;
			holder_free(h);
		}
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

static bool in_range(const struct ports *p, int port)
{
	return port >= p->min && port < p->max;
}

static struct holder *find_locked(struct ports *p, const char *key, int port)
{
	struct holder *h = p->holders[port - p->min];
	while (h != NULL && strcmp(h->key, key) != 0)
		h = h->next;
	return h;
}

static struct tally tally_locked(const struct ports *p, const char *key)
{
	const struct tally *t = map_get(p->tallies, key);
	return t != NULL ? *t : (struct tally){0};
}

static void tally_drop_if_empty_locked(struct ports *p, const char *key)
{
	const struct tally *t = map_get(p->tallies, key);
	if (t != NULL && t->taken == 0 && t->seen == 0)
		(void)map_remove(p->tallies, key); /* it is there */
}

/* Change a holder's two reasons. There is a tally: one of them was true, or make_locked() saw to it. */
static void hold_locked(struct ports *p, struct holder *h, bool taken, unsigned seen)
{
	struct tally *t = map_get(p->tallies, h->key);
	t->taken += (size_t)taken - (size_t)h->taken;
	t->seen += (size_t)(seen > 0) - (size_t)(h->seen > 0);
	h->taken = taken;
	h->seen = seen;
	tally_drop_if_empty_locked(p, h->key);
}

static bool tally_ensure_locked(struct ports *p, const char *key)
{
	if (map_has(p->tallies, key))
		return true;
	struct tally *t = calloc(1, sizeof *t);
	if (t != NULL && map_set(p->tallies, key, t) == 0)
		return true;
	free(t);
	return false;
}

/* The holder, to be given a reason by hold_locked(). */
static struct holder *make_locked(struct ports *p, const char *key, int port)
{
	struct holder *h = find_locked(p, key, port);
	if (!tally_ensure_locked(p, key))
		return NULL;
	if (h != NULL)
		return h;
	h = calloc(1, sizeof *h);
	char *copy = strdup(key);
	if (h == NULL || copy == NULL) {
		free(h);
		free(copy);
		tally_drop_if_empty_locked(p, key);
		return NULL;
	}
	h->key = copy;
	h->next = p->holders[port - p->min];
	p->holders[port - p->min] = h;
	return h;
}

/* Drop holders that hold no more. */
static void sweep_locked(struct ports *p, int port)
{
	for (struct holder **at = &p->holders[port - p->min]; *at != NULL;) {
		struct holder *h = *at;
		if (h->taken || h->seen > 0) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		holder_free(h);
	}
}

static void unsee_locked(struct ports *p, const char *object)
{
	struct sight *s = map_steal(p->objects, object);
	for (size_t i = 0; s != NULL && i < s->n; i++) {
		struct holder *h = find_locked(p, s->key, s->ports[i]);
		if (h != NULL && h->seen > 0)
			hold_locked(p, h, h->taken, h->seen - 1);
		sweep_locked(p, s->ports[i]);
	}
	sight_free(s);
}

void ports_seen(struct ports *p, const char *key, const char *object, const int *ports, size_t n)
{
	struct sight *s = calloc(1, sizeof *s + n * sizeof(int));
	char *copy = strdup(key);
	pthread_mutex_lock(&p->lock);
	unsee_locked(p, object);
	for (size_t i = 0; s != NULL && copy != NULL && i < n; i++) {
		struct holder *h = in_range(p, ports[i]) ? make_locked(p, key, ports[i]) : NULL;
		if (h == NULL) /* for want of memory it is missed: its own controller keeps it all the same */
			continue;
		hold_locked(p, h, h->taken, h->seen + 1);
		s->ports[s->n++] = ports[i];
	}
	if (s != NULL && copy != NULL && s->n > 0) {
		s->key = TAKE(copy);
		if (map_set(p->objects, object, s) == 0)
			s = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	sight_free(s);
	free(copy);
}

/*
 * Whether @port is somebody else's. Of two controllers that chose it at one time the runtime whose key is smaller keeps it; within one
 * controller the first does.
 */
static bool lost_locked(struct ports *p, const char *key, int port, bool mine)
{
	for (const struct holder *h = p->holders[port - p->min]; h != NULL; h = h->next)
		if (strcmp(h->key, key) != 0 && (h->taken || !mine || strcmp(h->key, key) < 0))
			return true;
	return false;
}

static bool chosen(const int *got, size_t n, int port)
{
	for (size_t i = 0; i < n; i++)
		if (got[i] == port)
			return true;
	return false;
}

static int choose_locked(struct ports *p, const char *key, const int *got, size_t n)
{
	const int size = p->max - p->min;
	/* what its objects use already, if they use any, then what is free */
	for (int pass = tally_locked(p, key).seen > 0 ? 0 : 1; pass < 2; pass++) {
		int start = (int)(text_hash(key) % (uint64_t)size);
		for (int i = 0; i < size; i++) {
			int port = p->min + (start + i) % size;
			const struct holder *own = find_locked(p, key, port);
			bool mine = own != NULL && own->seen > 0;
			if (chosen(got, n, port) || (pass == 0 && !mine) || lost_locked(p, key, port, mine))
				continue;
			return port;
		}
	}
	return 0;
}

static void give_back_locked(struct ports *p, const char *key, const int *kept, size_t n)
{
	for (int port = p->min; port < p->max; port++) {
		struct holder *h = p->holders[port - p->min] != NULL ? find_locked(p, key, port) : NULL;
		if (h == NULL || !h->taken || chosen(kept, n, port))
			continue;
		hold_locked(p, h, false, h->seen);
		sweep_locked(p, port);
	}
}

static int take_locked(struct ports *p, const char *key, size_t n, int *got)
{
	for (size_t i = 0; i < n; i++) {
		if (in_range(p, got[i]) && !chosen(got, i, got[i]) && !lost_locked(p, key, got[i], true))
			continue;
		got[i] = 0;
		got[i] = choose_locked(p, key, got, n);
		if (got[i] == 0)
			return -ENOSPC;
	}
	for (size_t i = 0; i < n; i++) {
		struct holder *h = make_locked(p, key, got[i]);
		if (h == NULL)
			return -ENOMEM;
		hold_locked(p, h, true, h->seen);
	}
	return 0;
}

int ports_take(struct ports *p, const char *key, size_t n, int *inout, struct error *err)
{
	CLEANUP(free_p) int *got = calloc(n + 1, sizeof *got);
	if (got == NULL)
		return error_set(err, -ENOMEM, "ports: out of memory");
	if (n > 0)
		memcpy(got, inout, n * sizeof *got);
	pthread_mutex_lock(&p->lock);
	bool same = true; /* the steady case: all of them are taken already */
	for (size_t i = 0; i < n && same; i++) {
		const struct holder *h = in_range(p, got[i]) ? find_locked(p, key, got[i]) : NULL;
		same = h != NULL && h->taken && !chosen(got, i, got[i]);
	}
	int rc = 0;
	if (!same || n == 0) {
		rc = take_locked(p, key, n, got);
		if (rc == 0 && tally_locked(p, key).taken > n)
			give_back_locked(p, key, got, n);
	}
	pthread_mutex_unlock(&p->lock);
	if (rc < 0)
		return error_set(err, rc,
				 rc == -ENOSPC ? "no port from %d to %d is free; widen --runtime-node-port-range"
					       : "ports %d to %d: out of memory",
				 p->min, p->max - 1);
	if (n > 0)
		memcpy(inout, got, n * sizeof *got);
	return 0;
}

/* --- the contract's function ---------------------------------------------------------------------------------------------------- */

#define CONDITION_PORTS "PortsAllocated"

/* "http=20001 rpc=20002" of the condition, as far as it names @names. */
static void remembered(const struct reconcile_ctx *ctx, const char *const *names, size_t n, int *ret)
{
	struct str rest = str_from(json_str(condition_get(ctx->runtime_status, CONDITION_PORTS), "message", "")), word;
	while (str_split_next(&rest, ' ', &word)) {
		const char *eq = memchr(word.p, '=', word.n);
		if (eq == NULL)
			continue;
		char digits[8] = "";
		size_t len = word.n - (size_t)(eq + 1 - word.p);
		int64_t port = 0;
		if (len < sizeof digits)
			memcpy(digits, eq + 1, len);
		for (size_t i = 0; i < n && str_to_i64(digits, &port) == 0; i++)
			if (port > 0 && port < 65536 && str_eq((struct str){word.p, (size_t)(eq - word.p)}, names[i]))
				ret[i] = (int)port;
	}
}

static int remember(struct reconcile_ctx *ctx, const char *const *names, size_t n, const int *got, struct error *err)
{
	struct strbuf b = STRBUF_INIT(1024);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&b, "%s%s=%d", i > 0 ? " " : "", names[i], got[i]);
	CLEANUP(free_p) char *text = NULL;
	if (strbuf_take(&b, &text) < 0 || runtime_condition_set(ctx, CONDITION_PORTS, true, "PortsAllocated", text) < 0)
		return error_set(err, -ENOMEM, "ports: out of memory");
	return 0;
}

int engine_ports(struct reconcile_ctx *ctx, const char *const *names, size_t n, int *ret, struct error *err)
{
	int got[ENGINE_MAX_PORTS] = {0};
	assert(n <= ENGINE_MAX_PORTS && ctx->ports != NULL);
	CLEANUP(free_p) char *key = str_printf("%s/%s", ctx->ns, ctx->name);
	if (key == NULL)
		return error_set(err, -ENOMEM, "ports: out of memory");
	remembered(ctx, names, n, got);
	int rc = ports_take(ctx->ports, key, n, got, err);
	if (rc < 0)
		return rc;
	if (n == 0)
		condition_drop(ctx->runtime_status, CONDITION_PORTS);
	else if ((rc = remember(ctx, names, n, got, err)) < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		ret[i] = got[i];
	return 0;
}
