#include "kube/discovery.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "json/json.h"

#define ASK_AGAIN_NS (10 * NSEC_PER_SEC)
#define GROUPS_MAX   1000
#define NAME_LONGEST 253

struct entry {
	struct discovered x; /* strings owned */
	struct entry *next;
	bool present, seen; /* served; met in the refresh under way */
};

struct discovery {
	struct kube_client *client;
	pthread_mutex_t asking; /* one refresh at a time; taken before `lock` */
	pthread_mutex_t lock;   /* guards all below; entries themselves stay as they are */
	struct entry *first, **last;
	size_t n;
	bool known;
	int64_t asked_ns; /* 0: never */
};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "discovery: out of memory");
}

static void entry_free(struct entry *e)
{
	free((void *)e->x.r.group);
	free((void *)e->x.r.version);
	free((void *)e->x.r.kind);
	free((void *)e->x.r.plural);
	free((void *)e->x.names);
	free(e);
}

int discovery_new(struct kube_client *c, struct discovery **ret, struct error *err)
{
	struct discovery *d = calloc(1, sizeof *d);
	if (d == NULL)
		return no_memory(err);
	d->client = c;
	d->last = &d->first;
	pthread_mutex_init(&d->asking, NULL);
	pthread_mutex_init(&d->lock, NULL);
	*ret = d;
	return 0;
}

void discovery_free(struct discovery *d)
{
	if (d == NULL)
		return;
	for (struct entry *e = d->first, *next; e != NULL; e = next) {
		next = e->next;
		entry_free(e);
	}
	pthread_mutex_destroy(&d->asking);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* --- asking --- */

static int get_json(struct discovery *d, const char *path, json_t **ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	int rc = kube_get_raw(d->client, path, &text, &n, err);
	if (rc == 0 && (rc = json_parse(text, n, ret, err)) < 0)
		rc = error_wrap(err, rc, "discovery %s", path);
	return rc;
}

static unsigned verbs_of(const json_t *res)
{
	static const char *const names[] = {"get", "list", "watch", "create", "update", "patch", "delete"};
	unsigned verbs = 0;
	size_t i;
	json_t *v;
	json_array_foreach (json_object_get(res, "verbs"), i, v)
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (str_same(json_string_value(v), names[k]))
				verbs |= 1u << k;
	return verbs;
}

/** "statefulset,sts", malloc'ed; NULL on no memory. */
static char *names_of(const json_t *res)
{
	CLEANUP(strbuf_clear) struct strbuf b = STRBUF_INIT(4096);
	char *text = NULL;
	size_t i;
	json_t *v;
	strbuf_adds(&b, json_str(res, "singularName", ""));
	json_array_foreach (json_object_get(res, "shortNames"), i, v)
		if (json_is_string(v))
			strbuf_addf(&b, ",%s", json_string_value(v));
	return strbuf_take(&b, &text) == 0 ? text : strdup("");
}

/** The entry that says exactly this, or NULL. @x: group and version; the rest is @res. */
static struct entry *find_same(struct discovery *d, const struct discovered *x)
{
	for (struct entry *e = d->first; e != NULL; e = e->next)
		if (strcmp(e->x.r.plural, x->r.plural) == 0 && strcmp(e->x.r.group, x->r.group) == 0 &&
		    strcmp(e->x.r.version, x->r.version) == 0 && strcmp(e->x.r.kind, x->r.kind) == 0 &&
		    e->x.r.namespaced == x->r.namespaced && e->x.verbs == x->verbs && e->x.preferred == x->preferred)
			return e;
	return NULL;
}

/** Whether an earlier (so a more preferred) version of the group has shown this resource in the refresh under way. */
static bool seen_in_group(struct discovery *d, const char *group, const char *plural)
{
	for (const struct entry *e = d->first; e != NULL; e = e->next)
		if (e->seen && strcmp(e->x.r.group, group) == 0 && strcmp(e->x.r.plural, plural) == 0)
			return true;
	return false;
}

static int add_entry(struct discovery *d, const struct discovered *x, const json_t *res, struct error *err)
{
	if (d->n == DISCOVERY_RESOURCES_MAX)
		return error_set(err, -E2BIG, "discovery: the server has shown more than %d resources",
				 DISCOVERY_RESOURCES_MAX);
	struct entry *e = calloc(1, sizeof *e);
	if (e == NULL)
		return no_memory(err);
	e->x = *x;
	e->seen = true;
	e->x.r.group = strdup(x->r.group);
	e->x.r.version = strdup(x->r.version);
	e->x.r.kind = strdup(x->r.kind);
	e->x.r.plural = strdup(x->r.plural);
	e->x.names = names_of(res);
	if (e->x.r.group == NULL || e->x.r.version == NULL || e->x.r.kind == NULL || e->x.r.plural == NULL ||
	    e->x.names == NULL) {
		entry_free(e);
		return no_memory(err);
	}
	pthread_mutex_lock(&d->lock);
	*d->last = e;
	d->last = &e->next;
	d->n++;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

/** What cannot be read keeps what is known of it. */
static void keep_version(struct discovery *d, const char *group, const char *version)
{
	for (struct entry *e = d->first; e != NULL; e = e->next)
		if (e->present && strcmp(e->x.r.group, group) == 0 && strcmp(e->x.r.version, version) == 0)
			e->seen = true;
}

static int read_version(struct discovery *d, const char *group, const char *version, struct error *err)
{
	CLEANUP(free_p)
	char *path = group[0] == '\0' ? str_printf("/api/%s", version) : str_printf("/apis/%s/%s", group, version);
	JSON_AUTO doc = NULL;
	size_t i;
	json_t *res;
	int rc = path != NULL ? get_json(d, path, &doc, err) : no_memory(err);
	if (rc == -ENOENT)
		return 0; /* gone since the groups were listed */
	if (rc < 0) {
		keep_version(d, group, version);
		return rc;
	}
	json_array_foreach (json_object_get(doc, "resources"), i, res) {
		const char *plural = json_str(res, "name", ""), *kind = json_str(res, "kind", "");
		if (plural[0] == '\0' || strchr(plural, '/') != NULL || kind[0] == '\0' ||
		    strlen(plural) > NAME_LONGEST || strlen(kind) > NAME_LONGEST)
			continue;
		const struct discovered x = {
			.r = {group, version, kind, plural, json_bool(res, "namespaced", false)},
			.verbs = verbs_of(res),
			.preferred = !seen_in_group(d, group, plural),
		};
		struct entry *e = find_same(d, &x);
		if (e != NULL)
			e->seen = true;
		else if ((rc = add_entry(d, &x, res, err)) < 0)
			return rc;
	}
	return 0;
}

static bool sane(const char *name)
{
	return name[0] != '\0' && strlen(name) <= NAME_LONGEST &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(name);
}

/** The versions of a group, the preferred one first. The first error is kept in @err and returned; the others are read all the same. */
static int read_group(struct discovery *d, const json_t *g, struct error *err)
{
	const char *group = json_str(g, "name", ""), *preferred = json_str(g, "preferredVersion.version", "");
	int first = 0;
	size_t i;
	json_t *v;
	if (!sane(group) || !sane(preferred))
		return 0;
	first = read_version(d, group, preferred, err);
	json_array_foreach (json_object_get(g, "versions"), i, v) {
		const char *version = json_str(v, "version", "");
		if (!sane(version) || strcmp(version, preferred) == 0)
			continue;
		const int rc = read_version(d, group, version, first == 0 ? err : NULL);
		if (first == 0)
			first = rc;
	}
	return first;
}

static int read_all(struct discovery *d, struct error *err)
{
	JSON_AUTO groups = NULL;
	int rc = get_json(d, "/apis", &groups, err);
	if (rc < 0)
		return rc;
	for (struct entry *e = d->first; e != NULL; e = e->next)
		e->seen = false;
	int first = read_version(d, "", "v1", err);
	const json_t *list = json_object_get(groups, "groups");
	for (size_t i = 0; i < json_array_size(list) && i < GROUPS_MAX; i++) {
		rc = read_group(d, json_array_get(list, i), first == 0 ? err : NULL);
		if (first == 0)
			first = rc;
	}
	pthread_mutex_lock(&d->lock);
	for (struct entry *e = d->first; e != NULL; e = e->next)
		e->present = e->seen;
	d->known = d->known || first == 0;
	pthread_mutex_unlock(&d->lock);
	return first;
}

int discovery_refresh(struct discovery *d, struct error *err)
{
	pthread_mutex_lock(&d->asking);
	const int rc = read_all(d, err);
	pthread_mutex_lock(&d->lock);
	d->asked_ns = clock_mono_ns();
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_unlock(&d->asking);
	return rc;
}

/* --- looking --- */

bool discovery_known(struct discovery *d)
{
	pthread_mutex_lock(&d->lock);
	const bool known = d->known;
	pthread_mutex_unlock(&d->lock);
	return known;
}

bool discovery_serves(struct discovery *d, const struct discovered *x)
{
	pthread_mutex_lock(&d->lock);
	const bool present = ((const struct entry *)x)->present;
	pthread_mutex_unlock(&d->lock);
	return present;
}

int discovery_each(struct discovery *d, int (*fn)(void *ctx, const struct discovered *x), void *ctx)
{
	int rc = 0;
	pthread_mutex_lock(&d->lock);
	for (const struct entry *e = d->first; e != NULL && rc == 0;) {
		const bool present = e->present;
		pthread_mutex_unlock(&d->lock); /* entries stay: the list only grows at its end */
		if (present)
			rc = fn(ctx, &e->x);
		pthread_mutex_lock(&d->lock);
		e = e->next;
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

/** What is looked for. */
struct wanted {
	struct str group, version; /* p NULL: any */
	const char *kind;          /* or: */
	struct str name;
};

static bool str_case_eq(struct str a, const char *b, size_t n)
{
	return a.n == n && strncasecmp(a.p, b, n) == 0;
}

static bool name_matches(struct str want, const struct discovered *x)
{
	struct str rest = str_from(x->names), one;
	if (str_case_eq(want, x->r.plural, strlen(x->r.plural)))
		return true;
	while (str_split_next(&rest, ',', &one))
		if (one.n > 0 && str_case_eq(want, one.p, one.n))
			return true;
	return str_case_eq(want, x->r.kind, strlen(x->r.kind));
}

static bool matches(const struct wanted *w, const struct discovered *x)
{
	if (w->group.p != NULL && !str_eq(w->group, x->r.group))
		return false;
	if (w->version.p != NULL ? !str_eq(w->version, x->r.version) : !x->preferred)
		return false;
	return w->kind != NULL ? strcmp(w->kind, x->r.kind) == 0 : name_matches(w->name, x);
}

static const struct discovered *look(struct discovery *d, const struct wanted *w, size_t n)
{
	const struct discovered *found = NULL;
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < n && found == NULL; i++)
		for (const struct entry *e = d->first; e != NULL && found == NULL; e = e->next)
			if (e->present && matches(&w[i], &e->x))
				found = &e->x;
	pthread_mutex_unlock(&d->lock);
	return found;
}

/** The first that matches one of @n alternatives, asking again when there is none. */
static int find(struct discovery *d, const struct wanted *w, size_t n, const struct discovered **ret, struct error *err)
{
	const struct discovered *x = look(d, w, n);
	if (x == NULL) {
		pthread_mutex_lock(&d->lock);
		const bool ask = d->asked_ns == 0 || clock_mono_ns() - d->asked_ns >= ASK_AGAIN_NS;
		pthread_mutex_unlock(&d->lock);
		const int rc = ask ? discovery_refresh(d, err) : 0;
		x = look(d, w, n);
		if (x == NULL)
			return rc < 0 ? rc : -ENOENT;
	}
	*ret = x;
	return 0;
}

int discovery_find_kind(struct discovery *d, const char *api_version, const char *kind, const struct discovered **ret,
			struct error *err)
{
	struct wanted w = {.group = STR(""), .version = str_from(api_version), .kind = kind};
	const char *slash = strchr(api_version, '/');
	if (slash != NULL) {
		w.group = (struct str){api_version, (size_t)(slash - api_version)};
		w.version = str_from(slash + 1);
	}
	if (w.version.n == 0 || str_eq(w.version, "*"))
		w.version.p = NULL;
	const int rc = find(d, &w, 1, ret, err);
	return rc == -ENOENT
		       ? error_set(err, rc, "the server serves no kind '%s' in '%s'; is its definition installed?",
				   kind, api_version)
		       : rc;
}

int discovery_find_name(struct discovery *d, const char *name, const struct discovered **ret, struct error *err)
{
	struct wanted w[2] = {{.name = str_from(name)}};
	size_t n = 1;
	const char *dot = strchr(name, '.');
	if (dot != NULL) { /* "name.group", or "name.version.group" */
		w[0].name.n = (size_t)(dot - name);
		w[0].group = str_from(dot + 1);
		const char *second = strchr(dot + 1, '.');
		const size_t v = second != NULL ? (size_t)(second - dot - 1) : strlen(dot + 1);
		w[n++] = (struct wanted){.name = w[0].name,
					 .version = {dot + 1, v},
					 .group = second != NULL ? str_from(second + 1) : STR("")};
	}
	const int rc = find(d, w, n, ret, err);
	return rc == -ENOENT ? error_set(err, rc, "the server serves no resource '%s'", name) : rc;
}
