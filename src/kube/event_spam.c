#include "kube/event_spam.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"

#define KNOWN_MAX   4096 /* of each kind; past it all is forgotten, and begins anew */
#define SIMILAR_MAX 10u
#define SIMILAR_NS  (600 * NSEC_PER_SEC)
#define BURST       25
#define REFILL_NS   (300 * NSEC_PER_SEC)

/* Messages that were seen of one group. */
struct group {
	int64_t last_ns;
	unsigned n;
	uint64_t hash[SIMILAR_MAX];
};

/* What one object may still send; a whole one comes back after each REFILL_NS. */
struct budget {
	int64_t left_ns; /* in time: BURST * REFILL_NS is full */
	int64_t at_ns;
};

struct event_spam {
	struct map *groups, *budgets;
};

struct event_spam *event_spam_new(void)
{
	struct event_spam *s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	s->groups = map_new(free);
	s->budgets = map_new(free);
	if (s->groups == NULL || s->budgets == NULL) {
		event_spam_free(s);
		return NULL;
	}
	return s;
}

void event_spam_free(struct event_spam *s)
{
	if (s == NULL)
		return;
	map_free(s->groups);
	map_free(s->budgets);
	free(s);
}

/* The value of @key in *@m, made zero when it is new; NULL on no memory. */
static void *get(struct map **m, const char *key, size_t size)
{
	void *v = map_get(*m, key);
	if (v != NULL)
		return v;
	if (map_size(*m) >= KNOWN_MAX) {
		struct map *empty = map_new(free);
		if (empty == NULL)
			return NULL;
		map_free(*m);
		*m = empty;
	}
	v = calloc(1, size);
	if (v != NULL && map_set(*m, key, v) < 0) {
		free(v);
		v = NULL;
	}
	return v;
}

/* FNV-1a: two messages that collide are combined a little early. */
static uint64_t hash_of(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

static bool is_one_too_many(struct group *g, const char *message, int64_t now_ns)
{
	const uint64_t h = hash_of(message);
	if (g->n == 0 || now_ns - g->last_ns > SIMILAR_NS)
		g->n = 0;
	g->last_ns = now_ns;
	for (unsigned i = 0; i < g->n; i++)
		if (g->hash[i] == h)
			return false;
	if (g->n == SIMILAR_MAX)
		return true;
	g->hash[g->n++] = h;
	return false;
}

static bool spend(struct budget *b, int64_t now_ns)
{
	const int64_t full = BURST * REFILL_NS, gained = now_ns - b->at_ns;
	b->left_ns = b->at_ns == 0 || gained > full - b->left_ns ? full : b->left_ns + (gained > 0 ? gained : 0);
	b->at_ns = now_ns;
	if (b->left_ns < REFILL_NS)
		return false;
	b->left_ns -= REFILL_NS;
	return true;
}

enum event_verdict event_spam_judge(struct event_spam *s, const char *about, const char *similar, const char *message,
				    int64_t now_ns)
{
	struct budget *b = get(&s->budgets, about, sizeof *b);
	if (b != NULL && !spend(b, now_ns))
		return EVENT_DROP;
	struct group *g = get(&s->groups, similar, sizeof *g);
	return g != NULL && is_one_too_many(g, message, now_ns) ? EVENT_COMBINE : EVENT_SEND;
}
