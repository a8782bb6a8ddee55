/* `sluice delete`: delete objects, and say what they wait for. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/explain.h"
#include "cli/run.h"
#include "cli/session.h"
#include "json/json.h"

#define LOOK_MS 200 /* a few objects, for as long as somebody looks on */

struct delete_options {
	struct session_options session;
	const char *file;
	int64_t timeout_ns;
	bool no_wait;
};

/* Until the object of @uid is gone, with what keeps it on standard error. */
static int await_gone(struct session *s, const struct delete_options *o, const struct kube_resource *r, const char *ns,
		      const char *name, const char *uid, int signal_fd, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + o->timeout_ns;
	for (;;) {
		JSON_AUTO obj = NULL;
		const int rc = kube_get(s->client, r, ns, name, &obj, err);
		if (rc == -ENOENT || (rc == 0 && strcmp(obj_uid(obj), uid) != 0))
			return 0;
		if (rc != 0)
			return rc;
		CLEANUP(free_p) char *why = explain_deletion(s, r, obj);
		progress("waiting for %s %s: %s", r->kind, name, why != NULL ? why : "");
		if (clock_mono_ns() > deadline)
			return error_set(err, -ETIMEDOUT, "%s %s is marked as deleted and still there: %s", r->kind,
					 name, why != NULL ? why : "");
		if (poll(&(struct pollfd){.fd = signal_fd, .events = POLLIN}, 1, LOOK_MS) > 0)
			return error_set(err, -EINTR, "interrupted; %s %s stays marked as deleted", r->kind, name);
	}
}

static int delete_one(struct session *s, const struct delete_options *o, const struct kube_resource *r, const char *ns,
		      const char *name, int signal_fd, struct error *err)
{
	JSON_AUTO obj = NULL;
	int rc = kube_get(s->client, r, ns, name, &obj, err);
	CLEANUP(free_p) char *shown = session_object_name(r, name);
	if (rc == 0 && shown == NULL)
		rc = error_set(err, -ENOMEM, "out of memory");
	if (rc == 0)
		rc = kube_delete(s->client, r, ns, name,
				 &(struct kube_delete_options){
					 .grace_seconds = -1, .uid = obj_uid(obj), .propagation = "Background"},
				 err);
	if (rc == 0 && !o->no_wait)
		rc = await_gone(s, o, r, ns, name, obj_uid(obj), signal_fd, err);
	progress_end();
	if (rc == 0)
		(void)printf("%s deleted\n", shown);
	return rc;
}

static int delete_file(struct session *s, const struct delete_options *o, int signal_fd, struct error *err)
{
	JSON_AUTO objects = NULL;
	int rc = session_read_file(o->file, &objects, err);
	size_t i;
	const json_t *obj;
	json_array_foreach (rc == 0 ? objects : NULL, i, obj) {
		const struct kube_resource *r = NULL;
		const char *ns = NULL;
		rc = session_place(s, obj, &r, &ns, err);
		if (rc == 0)
			rc = delete_one(s, o, r, ns, obj_name(obj), signal_fd, err);
		if (rc == -ENOENT)
			rc = 0; /* what was wanted is true */
		if (rc != 0)
			return rc;
	}
	return rc;
}

static int delete_all(const struct delete_options *o, char **words, struct error *err)
{
	struct session s = {0};
	const struct kube_resource *r = NULL;
	CLEANUP(close_fd) int signal_fd = stop_signal_fd();
	if (signal_fd < 0)
		return error_set(err, signal_fd, "signalfd: %s", strerror(-signal_fd));
	int rc = session_open(&o->session, &s, err);
	if (rc == 0 && o->file != NULL)
		rc = delete_file(&s, o, signal_fd, err);
	if (rc == 0 && o->file == NULL)
		rc = session_resource(&s, words[0], &r, err);
	for (size_t i = 1; rc == 0 && o->file == NULL && words[i] != NULL; i++)
		rc = delete_one(&s, o, r, s.ns, words[i], signal_fd, err);
	session_close(&s);
	return rc;
}

static int delete_run(int argc, char **argv)
{
	struct delete_options o = {.timeout_ns = 120 * NSEC_PER_SEC};
	const struct option_spec specs[] = {
		SESSION_OPTIONS(o.session),
		{"f", OPT_STRING, &o.file},
		{"no-wait", OPT_FLAG, &o.no_wait},
		{"timeout", OPT_DURATION, &o.timeout_ns},
		{0},
	};
	int words = 0;
	const int parsed = options_parse(&cmd_delete, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (o.file == NULL ? words < 2 : words > 0) {
		(void)fprintf(
			stderr,
			"sluice delete: KIND and NAME are wanted, or -f FILE; 'sluice help delete' says how it is used\n");
		return 2;
	}
	argv[words + 1] = NULL;
	struct error err = {0};
	const int rc = delete_all(&o, argv + 1, &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice delete: %s\n", err.msg);
	return rc == 0 ? 0 : rc == -EINTR ? 130 : 1;
}

const struct command cmd_delete = {
	.name = "delete",
	.summary = "Delete objects, and say what they wait for",
	.usage =
		"Usage: sluice delete KIND NAME... | -f FILE [-n NAMESPACE] [--no-wait] [--timeout DURATION]\n\n"
		"Deletes objects and waits until they are gone; while something keeps one, says what: a pod that uses the\n"
		"dataset, a finalizer whose controller does not run.\n\n"
		"  -f FILE                the objects in FILE; those that are not there are no error\n"
		"  --no-wait              return when they are marked as deleted\n"
		"  --timeout DURATION     how long to wait for each (default 2m)\n" SESSION_USAGE,
	.run = delete_run,
};
