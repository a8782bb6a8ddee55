#include "kube/manager.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "kube/controller_private.h"
#include "kube/resource.h"

#define SYNC_NS (60 * NSEC_PER_SEC)
#define STOP_NS (30 * NSEC_PER_SEC)

struct manager {
	struct kube_client *client;
	struct logger *log;
	struct informer **informers;
	size_t n_informers;
	struct controller **controllers;
	size_t n_controllers;
	struct last_word *last_words;
	bool started, stopped, stuck;
};

struct last_word {
	struct last_word *next;
	void (*fn)(void *ctx);
	void *ctx;
};

int manager_new(const struct manager_options *o, struct manager **ret, struct error *err)
{
	struct manager *m = calloc(1, sizeof *m);
	if (m == NULL)
		return error_set(err, -ENOMEM, "manager: out of memory");
	m->client = o->client;
	m->log = o->log;
	*ret = m;
	return 0;
}

struct kube_client *manager_client(struct manager *m)
{
	return m->client;
}

struct logger *manager_log(struct manager *m)
{
	return m->log;
}

static struct informer *find_informer(const struct manager *m, const struct kube_resource *r)
{
	for (size_t i = 0; i < m->n_informers; i++) {
		const struct kube_resource *have = informer_resource(m->informers[i]);
		if (strcmp(have->group, r->group) == 0 && strcmp(have->plural, r->plural) == 0)
			return m->informers[i];
	}
	return NULL;
}

struct informer *manager_informer_with(struct manager *m, const struct kube_resource *r,
				       const struct informer_options *o)
{
	struct informer *inf = find_informer(m, r);
	if (inf != NULL)
		return inf;
	assert(!m->started);
	struct informer_options with = o != NULL ? *o : (struct informer_options){0};
	if (with.log == NULL)
		with.log = m->log;
	struct informer **list = reallocarray(m->informers, m->n_informers + 1, sizeof(struct informer *));
	if (list == NULL)
		return NULL;
	m->informers = list;
	if (informer_new(m->client, r, &with, &inf, NULL) < 0)
		return NULL;
	m->informers[m->n_informers++] = inf;
	return inf;
}

struct informer *manager_informer(struct manager *m, const struct kube_resource *r)
{
	return manager_informer_with(m, r, NULL);
}

int manager_add_controller(struct manager *m, struct controller *c)
{
	assert(!m->started);
	struct controller **list = reallocarray(m->controllers, m->n_controllers + 1, sizeof(struct controller *));
	if (list == NULL)
		return -ENOMEM;
	m->controllers = list;
	m->controllers[m->n_controllers++] = c;
	return 0;
}

int manager_on_free(struct manager *m, void (*fn)(void *ctx), void *ctx)
{
	struct last_word *l = malloc(sizeof *l);
	if (l == NULL)
		return -ENOMEM;
	*l = (struct last_word){.next = m->last_words, .fn = fn, .ctx = ctx};
	m->last_words = l;
	return 0;
}

/* Caches first: a controller that starts on an empty cache would take everything for absent. */
int manager_start(struct manager *m, struct error *err)
{
	assert(!m->started);
	m->started = true;
	const int64_t deadline = clock_mono_ns() + SYNC_NS;
	for (size_t i = 0; i < m->n_informers; i++) {
		int rc = informer_start(m->informers[i], err);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < m->n_informers; i++) {
		int rc = informer_wait_synced(m->informers[i], deadline);
		if (rc < 0)
			return error_set(
				err, rc,
				"the list of %s did not arrive within 60 s: see the log for the reason (is the "
				"server up, is the kind served?)",
				informer_resource(m->informers[i])->plural);
	}
	for (size_t i = 0; i < m->n_controllers; i++) {
		int rc = controller_start(m->controllers[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void manager_stop(struct manager *m)
{
	if (m->stopped)
		return;
	m->stopped = true;
	const int64_t deadline = clock_mono_ns() + STOP_NS;
	for (size_t i = 0; i < m->n_controllers; i++)
		controller_stop(m->controllers[i]);
	for (size_t i = 0; i < m->n_controllers; i++) {
		if (controller_join(m->controllers[i], deadline) == 0)
			continue;
		m->stuck = true;
		LOG(m->log, LOG_LVL_ERROR, "a reconcile does not end, leaving it behind",
		    LOG_STR("controller", controller_name(m->controllers[i])));
	}
	for (size_t i = 0; i < m->n_informers; i++)
		informer_stop(m->informers[i]);
}

void manager_free(struct manager *m)
{
	if (m == NULL)
		return;
	manager_stop(m);
	if (m->stuck)
		return; /* its thread still uses all of this: a leak at the end of the process is the lesser evil */
	for (size_t i = 0; i < m->n_informers; i++)
		informer_free(m->informers[i]);
	for (struct last_word *l; (l = m->last_words) != NULL; free(l)) {
		m->last_words = l->next;
		l->fn(l->ctx);
	}
	for (size_t i = 0; i < m->n_controllers; i++)
		controller_free(m->controllers[i]);
	free(m->informers);
	free(m->controllers);
	free(m);
}
