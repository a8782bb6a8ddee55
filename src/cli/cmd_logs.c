/* `sluice logs`: what a pod, or every pod of a dataset, wrote. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/session.h"
#include "json/json.h"

struct logs {
	struct session_options session;
	const char *container, *name;
	int64_t tail;
	bool follow, previous;
};

static int print(void *ctx, const void *data, size_t n)
{
	(void)ctx;
	return fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0 ? 0 : -EPIPE;
}

static int pod_log(struct session *s, const struct logs *l, const char *ns, const char *pod, struct error *err)
{
	return kube_pod_log(s->client, ns, pod,
			    &(struct kube_log_options){.container = l->container,
						       .follow = l->follow,
						       .previous = l->previous,
						       .tail_lines = l->tail,
						       .on_data = print},
			    err);
}

/* The pods of its runtime: they carry its name in the label "release". */
static int dataset_logs(struct session *s, const struct logs *l, struct error *err)
{
	CLEANUP(free_p) char *selector = str_printf("release=%s", l->name);
	JSON_AUTO list = NULL;
	if (selector == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = kube_list(s->client, &KUBE_POD, s->ns, &(struct kube_list_options){.label_selector = selector}, &list,
			   err);
	const json_t *pods = json_at(list, "items"), *pod;
	if (rc == 0 && json_array_size(pods) == 0)
		rc = error_set(err, -ENOENT, "namespace %s has neither a pod '%s' nor a dataset of that name with pods",
			       s->ns, l->name);
	if (rc == 0 && l->follow && json_array_size(pods) > 1)
		rc = error_set(err, -EINVAL, "-f follows one pod; those of '%s' are listed by 'sluice get pods -l %s'",
			       l->name, selector);
	size_t i;
	json_array_foreach (rc == 0 ? pods : NULL, i, pod) {
		(void)printf("==> pod %s <==\n", obj_name(pod));
		struct error one = {0};
		const int failed = pod_log(s, l, obj_namespace(pod), obj_name(pod), &one);
		if (failed == -EPIPE)
			return error_set(err, failed, "%s", one.msg);
		if (failed != 0)
			(void)printf("(%s)\n", one.msg);
	}
	return rc;
}

static int show_logs(const struct logs *l, struct error *err)
{
	struct session s = {0};
	int rc = session_open(&l->session, &s, err);
	if (rc == 0) {
		rc = pod_log(&s, l, s.ns, l->name, err);
		if (rc == -ENOENT)
			rc = dataset_logs(&s, l, err);
	}
	session_close(&s);
	return rc;
}

static int logs_run(int argc, char **argv)
{
	struct logs l = {.tail = -1};
	const struct option_spec specs[] = {
		SESSION_OPTIONS(l.session),          {"c", OPT_STRING, &l.container}, {"f", OPT_FLAG, &l.follow},
		{"previous", OPT_FLAG, &l.previous}, {"tail", OPT_INT, &l.tail},      {0},
	};
	int words = 0;
	const int parsed = options_parse(&cmd_logs, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words != 1) {
		(void)fprintf(stderr,
			      "sluice logs: the name of one pod or dataset is wanted; 'sluice help logs' says more\n");
		return 2;
	}
	l.name = argv[1];
	struct error err = {0};
	const int rc = show_logs(&l, &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice logs: %s\n", err.msg);
	return rc == 0 ? 0 : 1;
}

const struct command cmd_logs = {
	.name = "logs",
	.summary = "Show what a pod, or the pods of a dataset, wrote",
	.usage = "Usage: sluice logs NAME [-n NAMESPACE] [-c CONTAINER] [-f] [--previous] [--tail N]\n\n"
		 "Shows the log of the pod NAME or, where there is none, of all pods of the dataset NAME.\n\n"
		 "  -c CONTAINER           of that container\n"
		 "  -f                     go on as it grows, until it ends\n"
		 "  --previous             of the one before the last restart\n"
		 "  --tail N               only the last N lines\n" SESSION_USAGE,
	.run = logs_run,
};
