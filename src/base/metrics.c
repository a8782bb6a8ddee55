#include "base/metrics.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/map.h"
#include "base/strbuf.h"

#define KEY_MAX     4096u /* label values of one series */
#define MAX_BUCKETS 64u

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

static const char *const type_name[] = {"counter", "gauge", "histogram"};

const double metrics_seconds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
const size_t metrics_n_seconds = ARRAY_LEN(metrics_seconds);

struct series {
	const struct metric *family;
	_Atomic uint64_t value;     /* a double's bits; a histogram's sum */
	_Atomic uint64_t buckets[]; /* of a histogram: one for each bound and one for +Inf, not cumulative */
};

struct metric {
	const char *name, *help;
	const char *const *labels;
	size_t n_labels;
	enum metric_type type;
	const double *bounds;
	size_t n_bounds;
	pthread_mutex_t lock; /* guards `series` */
	struct map *series;   /* label text (`a="x",b="y"`) to struct series */
};

struct looker {
	struct looker *next;
	void (*fn)(void *ctx);
	void *ctx;
};

struct metrics {
	pthread_mutex_t look_lock; /* guards `lookers`, held while they run; taken before all others */
	struct looker *lookers;
	pthread_mutex_t lock; /* guards `families`; taken before a family's lock */
	struct map *families; /* name to struct metric */
};

static void metric_free(void *p)
{
	struct metric *m = p;
	map_free(m->series);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

struct metrics *metrics_new(void)
{
	struct metrics *r = calloc(1, sizeof *r);
	if (r == NULL)
		return NULL;
	r->families = map_new(metric_free);
	if (r->families == NULL) {
		free(r);
		return NULL;
	}
	(void)pthread_mutex_init(&r->lock, NULL); /* cannot fail on Linux */
	(void)pthread_mutex_init(&r->look_lock, NULL);
	return r;
}

void metrics_free(struct metrics *r)
{
	if (r == NULL)
		return;
	for (struct looker *l; (l = r->lookers) != NULL; free(l))
		r->lookers = l->next;
	map_free(r->families);
	(void)pthread_mutex_destroy(&r->look_lock);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct metrics *root;
static pthread_once_t root_once = PTHREAD_ONCE_INIT;

static void root_init(void)
{
	root = metrics_new();
}

struct metrics *metrics_root(void)
{
	(void)pthread_once(&root_once, root_init); /* fails only for a bad argument */
	return root;
}

static bool is_name(const char *s)
{
	if (*s == '\0' || (*s >= '0' && *s <= '9'))
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:") == strlen(s);
}

static struct metric *metric_new(const struct metric *like)
{
	struct metric *m = malloc(sizeof *m);
	if (m == NULL)
		return NULL;
	*m = *like;
	m->series = map_new(free);
	if (m->series == NULL) {
		free(m);
		return NULL;
	}
	(void)pthread_mutex_init(&m->lock, NULL);
	return m;
}

static struct metric *declare(struct metrics *r, struct metric like)
{
	if (r == NULL)
		return NULL;
	assert(is_name(like.name));
	for (const char *const *l = like.labels; l != NULL && *l != NULL; l++) {
		assert(is_name(*l) && strcmp(*l, "le") != 0);
		like.n_labels++;
	}
	assert(like.n_labels <= METRICS_MAX_LABELS && like.n_bounds < MAX_BUCKETS);
	(void)pthread_mutex_lock(&r->lock);
	struct metric *m = map_get(r->families, like.name);
	if (m == NULL) {
		m = metric_new(&like);
		if (m != NULL && map_set(r->families, like.name, m) < 0) {
			metric_free(m);
			m = NULL;
		}
	} else {
		assert(m->type == like.type && m->n_labels == like.n_labels && m->n_bounds == like.n_bounds);
	}
	(void)pthread_mutex_unlock(&r->lock);
	return m;
}

struct metric *metrics_counter(struct metrics *r, const char *name, const char *help, const char *const *labels)
{
	return declare(r, (struct metric){.name = name, .help = help, .labels = labels, .type = METRIC_COUNTER});
}

struct metric *metrics_gauge(struct metrics *r, const char *name, const char *help, const char *const *labels)
{
	return declare(r, (struct metric){.name = name, .help = help, .labels = labels, .type = METRIC_GAUGE});
}

struct metric *metrics_histogram(struct metrics *r, const char *name, const char *help, const char *const *labels,
				 const double *bounds, size_t n)
{
	for (size_t i = 1; i < n; i++)
		assert(bounds[i - 1] < bounds[i]);
	return declare(r, (struct metric){.name = name,
					  .help = help,
					  .labels = labels,
					  .type = METRIC_HISTOGRAM,
					  .bounds = bounds,
					  .n_bounds = n});
}

static void add_escaped(struct strbuf *b, const char *s, bool quotes)
{
	for (; *s != '\0'; s++) {
		if (*s == '\n')
			strbuf_adds(b, "\\n");
		else if (*s == '\\' || (quotes && *s == '"'))
			strbuf_addf(b, "\\%c", *s);
		else
			strbuf_addc(b, *s);
	}
}

/* `a="x",b="y"`: the series' name in the map and in the output. */
static void label_text(const struct metric *m, const char *const *values, struct strbuf *b)
{
	for (size_t i = 0; i < m->n_labels; i++) {
		strbuf_addf(b, "%s%s=\"", i > 0 ? "," : "", m->labels[i]);
		add_escaped(b, values != NULL && values[i] != NULL ? values[i] : "", true);
		strbuf_addc(b, '"');
	}
	strbuf_add(b, "", 0); /* a string even when there are no labels */
}

static struct series *make_series(struct metric *m, const char *key)
{
	const size_t buckets = m->type == METRIC_HISTOGRAM ? m->n_bounds + 1 : 0;
	struct series *s = calloc(1, sizeof *s + buckets * sizeof s->buckets[0]);
	if (s == NULL)
		return NULL;
	s->family = m;
	if (map_set(m->series, key, s) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

struct series *metric_series(struct metric *m, const char *const *values)
{
	static const char *const other[METRICS_MAX_LABELS] = {"other", "other", "other", "other",
							      "other", "other", "other", "other"};
	if (m == NULL)
		return NULL;
	struct strbuf key = STRBUF_INIT(KEY_MAX);
	label_text(m, values, &key);
	struct series *s = NULL;
	(void)pthread_mutex_lock(&m->lock);
	if (!key.failed)
		s = map_get(m->series, key.p);
	if (s == NULL && (key.failed || map_size(m->series) >= METRICS_MAX_SERIES)) {
		strbuf_reset(&key);
		label_text(m, other, &key);
		s = key.failed ? NULL : map_get(m->series, key.p);
	}
	if (s == NULL && !key.failed)
		s = make_series(m, key.p);
	(void)pthread_mutex_unlock(&m->lock);
	strbuf_clear(&key);
	return s;
}

void metric_drop(struct metric *m, const char *const *values)
{
	if (m == NULL)
		return;
	struct strbuf key = STRBUF_INIT(KEY_MAX);
	label_text(m, values, &key);
	(void)pthread_mutex_lock(&m->lock);
	if (!key.failed)
		(void)map_remove(m->series, key.p); /* absent is fine */
	(void)pthread_mutex_unlock(&m->lock);
	strbuf_clear(&key);
}

static double as_double(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof d);
	return d;
}

static uint64_t as_bits(double d)
{
	uint64_t bits;
	memcpy(&bits, &d, sizeof bits);
	return bits;
}

static void add_atomically(_Atomic uint64_t *value, double by)
{
	uint64_t old = atomic_load_explicit(value, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(value, &old, as_bits(as_double(old) + by), memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void series_add(struct series *s, double by)
{
	if (s == NULL)
		return;
	assert(s->family->type == METRIC_GAUGE || (s->family->type == METRIC_COUNTER && by >= 0));
	add_atomically(&s->value, by);
}

void series_set(struct series *s, double value)
{
	if (s == NULL)
		return;
	assert(s->family->type == METRIC_GAUGE);
	atomic_store_explicit(&s->value, as_bits(value), memory_order_relaxed);
}

void series_observe(struct series *s, double value)
{
	if (s == NULL)
		return;
	const struct metric *m = s->family;
	assert(m->type == METRIC_HISTOGRAM);
	size_t i = 0;
	while (i < m->n_bounds && !(value <= m->bounds[i])) /* NaN lands in +Inf */
		i++;
	(void)atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
	add_atomically(&s->value, value);
}

double series_value(const struct series *s)
{
	return s == NULL ? 0 : as_double(atomic_load_explicit(&s->value, memory_order_relaxed));
}

static void add_number(struct strbuf *b, double d)
{
	if (isnan(d)) {
		strbuf_adds(b, "NaN");
	} else if (isinf(d)) {
		strbuf_adds(b, d > 0 ? "+Inf" : "-Inf");
	} else {
		char text[40];
		int precision = 1;
		do
			(void)snprintf(text, sizeof text, "%.*g", precision, d);
		while (precision++ < 17 && strtod(text, NULL) != d);
		strbuf_adds(b, text);
	}
	strbuf_addc(b, '\n');
}

static void add_sample(struct strbuf *b, const char *name, const char *suffix, const char *labels)
{
	strbuf_addf(b, *labels == '\0' ? "%s%s " : "%s%s{%s} ", name, suffix, labels);
}

static void write_histogram(const struct series *s, const char *labels, struct strbuf *b)
{
	const struct metric *m = s->family;
	uint64_t sum = 0;
	for (size_t i = 0; i <= m->n_bounds; i++) {
		sum += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
		strbuf_addf(b, "%s_bucket{%s%sle=\"", m->name, labels, *labels == '\0' ? "" : ",");
		if (i < m->n_bounds)
			strbuf_addf(b, "%g\"} ", m->bounds[i]);
		else
			strbuf_adds(b, "+Inf\"} ");
		strbuf_addf(b, "%llu\n", (unsigned long long)sum);
	}
	add_sample(b, m->name, "_sum", labels);
	add_number(b, series_value(s));
	add_sample(b, m->name, "_count", labels);
	strbuf_addf(b, "%llu\n", (unsigned long long)sum);
}

static void write_family(struct metric *m, struct strbuf *b)
{
	strbuf_addf(b, "# HELP %s ", m->name);
	add_escaped(b, m->help, false);
	strbuf_addf(b, "\n# TYPE %s %s\n", m->name, type_name[m->type]);
	(void)pthread_mutex_lock(&m->lock);
	size_t pos = 0;
	const char *labels;
	void *s;
	while (map_next(m->series, &pos, &labels, &s)) {
		if (m->type == METRIC_HISTOGRAM) {
			write_histogram(s, labels, b);
			continue;
		}
		add_sample(b, m->name, "", labels);
		add_number(b, series_value(s));
	}
	(void)pthread_mutex_unlock(&m->lock);
}

int metrics_on_write(struct metrics *r, void (*fn)(void *ctx), void *ctx)
{
	struct looker *l = r != NULL ? malloc(sizeof *l) : NULL;
	if (l == NULL)
		return -ENOMEM;
	(void)pthread_mutex_lock(&r->look_lock);
	*l = (struct looker){.next = r->lookers, .fn = fn, .ctx = ctx};
	r->lookers = l;
	(void)pthread_mutex_unlock(&r->look_lock);
	return 0;
}

void metrics_off_write(struct metrics *r, void (*fn)(void *ctx), void *ctx)
{
	if (r == NULL)
		return;
	(void)pthread_mutex_lock(&r->look_lock);
	for (struct looker **at = &r->lookers; *at != NULL; at = &(*at)->next) {
		struct looker *l = *at;
		if (l->fn != fn || l->ctx != ctx)
			continue;
		*at = l->next;
		free(l);
		break;
	}
	(void)pthread_mutex_unlock(&r->look_lock);
}

void metrics_write(struct metrics *r, struct strbuf *out)
{
	if (r == NULL)
		return;
	(void)pthread_mutex_lock(&r->look_lock);
	for (const struct looker *l = r->lookers; l != NULL; l = l->next)
		l->fn(l->ctx);
	(void)pthread_mutex_unlock(&r->look_lock);
	(void)pthread_mutex_lock(&r->lock);
	size_t pos = 0;
	void *m;
	while (map_next(r->families, &pos, NULL, &m))
		write_family(m, out);
	(void)pthread_mutex_unlock(&r->lock);
}
