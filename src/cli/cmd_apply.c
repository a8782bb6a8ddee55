/* `sluice apply`: make objects as a file says, by server-side apply. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/session.h"
#include "json/json.h"

static int apply_one(struct session *s, const json_t *obj, struct error *err)
{
	const struct kube_resource *r = NULL;
	const char *ns = NULL;
	int rc = session_place(s, obj, &r, &ns, err);
	if (rc != 0)
		return rc;
	JSON_AUTO made = NULL;
	rc = kube_apply(s->client, r, ns, obj_name(obj), NULL, obj, &made, err);
	if (rc != 0)
		return rc;
	CLEANUP(free_p) char *name = session_object_name(r, obj_name(obj));
	if (name == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	(void)printf("%s applied\n", name);
	return 0;
}

/* What is wrong with one object is no reason to leave the others out. */
static int apply_file(const struct session_options *o, const char *path, struct error *err)
{
	JSON_AUTO objects = NULL;
	struct session s = {0};
	int rc = session_read_file(path, &objects, err);
	if (rc == 0)
		rc = session_open(o, &s, err);
	size_t i;
	const json_t *obj;
	int first = 0;
	if (rc == 0 && json_array_size(objects) == 0)
		first = error_set(err, -EINVAL, "%s: no object in it",
				  strcmp(path, "-") == 0 ? "standard input" : path);
	json_array_foreach (rc == 0 ? objects : NULL, i, obj) {
		struct error one = {0};
		const int failed = apply_one(&s, obj, &one);
		if (failed != 0 && first != 0)
			(void)fprintf(stderr, "sluice apply: %s\n", one.msg);
		if (failed != 0 && first == 0)
			first = error_set(err, failed, "%s", one.msg);
	}
	session_close(&s);
	return rc != 0 ? rc : first;
}

static int apply_run(int argc, char **argv)
{
	struct session_options o = {0};
	const char *file = NULL;
	const struct option_spec specs[] = {SESSION_OPTIONS(o), {"f", OPT_STRING, &file}, {0}};
	int words = 0;
	const int parsed = options_parse(&cmd_apply, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words > 0 || file == NULL) {
		(void)fprintf(
			stderr,
			"sluice apply: -f FILE is wanted, and no other word; 'sluice help apply' says how it is used\n");
		return 2;
	}
	struct error err = {0};
	const int rc = apply_file(&o, file, &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice apply: %s\n", err.msg);
	return rc == 0 && fflush(stdout) == 0 ? 0 : 1;
}

const struct command cmd_apply = {
	.name = "apply",
	.summary = "Make objects as a YAML file says",
	.usage =
		"Usage: sluice apply -f FILE [-n NAMESPACE]\n\n"
		"Makes or changes the objects in FILE, by server-side apply: what the file does not mention stays as it is.\n\n"
		"  -f FILE                YAML or JSON, several documents too; - is standard input\n" SESSION_USAGE,
	.run = apply_run,
};
