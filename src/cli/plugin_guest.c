/* A guest: the process in which one runtime plug-in's controller runs. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/controller_plugins.h"
#include "sluice/plugin.h"

#define MAX_PASSES    512 /* more than a controller can have workers */
#define STATUS_HANGS  4
#define CHECKS_IN_ONE 4 /* looks in one timeout */

static struct {
	struct runtime_controller controller;
	struct runtime_steps steps, inner;
	int64_t timeout_ns;
	pthread_mutex_t lock; /* guards passes */
	struct {
		int64_t since; /* 0: free */
		char key[320];
		const char *step;
	} passes[MAX_PASSES];
} guest = {.lock = PTHREAD_MUTEX_INITIALIZER};

void plugin_guest_tell(const char *reason)
{
	(void)printf("ended: %s\n", reason);
	(void)fflush(stdout); /* a host that is gone needs no reason */
}

static size_t begin(const struct reconcile_ctx *ctx, const char *step)
{
	size_t i = 0;
	pthread_mutex_lock(&guest.lock);
	while (i < MAX_PASSES - 1 && guest.passes[i].since != 0)
		i++;
	guest.passes[i].since = clock_mono_ns();
	guest.passes[i].step = step;
	(void)snprintf(guest.passes[i].key, sizeof guest.passes[i].key, "%s/%s", ctx->ns, ctx->name);
	pthread_mutex_unlock(&guest.lock);
	return i;
}

static int end(size_t pass, int rc)
{
	pthread_mutex_lock(&guest.lock);
	guest.passes[pass].since = 0;
	pthread_mutex_unlock(&guest.lock);
	return rc;
}

static int watched_get_or_create_engine(struct reconciler *r, struct reconcile_ctx *ctx, struct engine **ret,
					struct error *err)
{
	const size_t pass = begin(ctx, "building its engine");
	return end(pass, guest.inner.get_or_create_engine(r, ctx, ret, err));
}

static int watched_reconcile_runtime(struct reconciler *r, struct engine *e, struct reconcile_ctx *ctx,
				     struct error *err)
{
	const size_t pass = begin(ctx, "a pass");
	return end(pass, guest.inner.reconcile_runtime(r, e, ctx, err));
}

static int watched_reconcile_deletion(struct reconciler *r, struct engine *e, struct reconcile_ctx *ctx,
				      struct error *err)
{
	const size_t pass = begin(ctx, "its deletion");
	return end(pass, guest.inner.reconcile_deletion(r, e, ctx, err));
}

static void end_if_hanging(void)
{
	char why[480] = "";
	const int64_t now = clock_mono_ns();
	pthread_mutex_lock(&guest.lock);
	for (size_t i = 0; i < MAX_PASSES && why[0] == '\0'; i++)
		if (guest.passes[i].since != 0 && now - guest.passes[i].since > guest.timeout_ns)
			(void)snprintf(why, sizeof why, "it hangs: %s of %s has taken %lld s", guest.passes[i].step,
				       guest.passes[i].key,
				       (long long)((now - guest.passes[i].since) / NSEC_PER_SEC)); /* fits */
	pthread_mutex_unlock(&guest.lock);
	if (why[0] == '\0')
		return;
	plugin_guest_tell(why);
	_exit(STATUS_HANGS); /* the hanging thread cannot be ended otherwise */
}

static void *watchdog(void *unused)
{
	(void)unused;
	const int64_t pause = guest.timeout_ns / CHECKS_IN_ONE;
	for (;;) {
		const struct timespec t = {.tv_sec = pause / NSEC_PER_SEC, .tv_nsec = pause % NSEC_PER_SEC};
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); /* woken early: one look more */
		end_if_hanging();
	}
	return NULL;
}

int plugin_guest_watch(const struct sluice_runtime_plugin *p, int64_t timeout_ns, const struct runtime_controller **ret,
		       struct error *err)
{
	guest.inner = guest.steps = *p->controller->steps;
	guest.steps.get_or_create_engine = watched_get_or_create_engine;
	guest.steps.reconcile_runtime = watched_reconcile_runtime;
	guest.steps.reconcile_deletion = watched_reconcile_deletion;
	guest.controller = *p->controller;
	guest.controller.steps = &guest.steps;
	guest.timeout_ns = timeout_ns;
	pthread_t thread;
	int rc = -pthread_create(&thread, NULL, watchdog, NULL);
	if (rc < 0)
		return error_set(err, rc, "no thread: %s", strerror(-rc));
	(void)pthread_detach(thread); /* it lives as long as the process */
	*ret = &guest.controller;
	return 0;
}
