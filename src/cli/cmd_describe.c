/* `sluice describe`: one object with its conditions and Events. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/session.h"
#include "cli/table.h"
#include "json/json.h"
#include "json/yaml.h"

/* What nobody reads, or what has a table of its own. */
static void shorten(json_t *obj)
{
	json_drop(obj, "metadata.managedFields");
	json_drop(obj, "metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]");
	json_drop(obj, "status.conditions");
}

static int print_conditions(const json_t *conditions)
{
	static const char *const titles[] = {"CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE", NULL};
	if (json_array_size(conditions) == 0)
		return 0;
	struct table *t = table_new(titles);
	size_t i;
	const json_t *c;
	json_array_foreach (conditions, i, c)
		table_row(t, (const char *[]){json_str(c, "type", ""), json_str(c, "status", ""),
					      json_str(c, "lastTransitionTime", ""), json_str(c, "reason", ""),
					      json_str(c, "message", "")});
	(void)putchar('\n');
	return table_print(t, 0);
}

static int print_events(struct session *s, const json_t *obj, struct error *err)
{
	static const char *const titles[] = {"EVENT", "REASON", "TIMES", "LAST", "MESSAGE", NULL};
	CLEANUP(free_p) char *selector = str_printf("involvedObject.uid=%s", obj_uid(obj));
	JSON_AUTO list = NULL;
	if (selector == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	const char *ns = obj_namespace(obj)[0] != '\0' ? obj_namespace(obj) : NULL;
	int rc = kube_list(s->client, &KUBE_EVENT, ns, &(struct kube_list_options){.field_selector = selector}, &list,
			   err);
	if (rc != 0)
		return rc;
	if (json_array_size(json_at(list, "items")) == 0) {
		(void)puts("\nno Events");
		return 0;
	}
	struct table *t = table_new(titles);
	size_t i;
	const json_t *e;
	json_array_foreach (json_at(list, "items"), i, e) {
		char times[24];
		(void)snprintf(times, sizeof times, "%lld", (long long)json_int(e, "count", 1));
		table_row(t, (const char *[]){json_str(e, "type", ""), json_str(e, "reason", ""), times,
					      json_str(e, "lastTimestamp", ""), json_str(e, "message", "")});
	}
	(void)putchar('\n');
	rc = table_print(t, 0);
	return rc == 0 ? 0 : error_set(err, rc, "%s", strerror(-rc));
}

static int describe_one(struct session *s, const struct kube_resource *r, const char *name, struct error *err)
{
	JSON_AUTO obj = NULL;
	int rc = kube_get(s->client, r, s->ns, name, &obj, err);
	if (rc != 0)
		return rc;
	JSON_AUTO conditions = json_incref(json_at(obj, "status.conditions"));
	shorten(obj);
	CLEANUP(free_p) char *text = yaml_to_text(obj);
	if (text == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	(void)fputs(text, stdout);
	rc = print_conditions(conditions);
	return rc == 0 ? print_events(s, obj, err) : error_set(err, rc, "%s", strerror(-rc));
}

static int describe_all(const struct session_options *o, char **words, struct error *err)
{
	struct session s = {0};
	const struct kube_resource *r = NULL;
	int rc = session_open(o, &s, err);
	if (rc == 0)
		rc = session_resource(&s, words[0], &r, err);
	for (size_t i = 1; rc == 0 && words[i] != NULL; i++) {
		if (i > 1)
			(void)puts("\n---");
		rc = describe_one(&s, r, words[i], err);
	}
	session_close(&s);
	return rc;
}

static int describe_run(int argc, char **argv)
{
	struct session_options o = {0};
	const struct option_spec specs[] = {SESSION_OPTIONS(o), {0}};
	int words = 0;
	const int parsed = options_parse(&cmd_describe, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words < 2) {
		(void)fprintf(
			stderr,
			"sluice describe: KIND and NAME are wanted; 'sluice help describe' says how it is used\n");
		return 2;
	}
	argv[words + 1] = NULL;
	struct error err = {0};
	const int rc = describe_all(&o, argv + 1, &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice describe: %s\n", err.msg);
	return rc == 0 && fflush(stdout) == 0 ? 0 : 1;
}

const struct command cmd_describe = {
	.name = "describe",
	.summary = "Show one object whole, with its conditions and Events",
	.usage = "Usage: sluice describe KIND NAME... [-n NAMESPACE]\n\n"
		 "Shows objects as YAML, and below each its conditions and the Events about it.\n\n" SESSION_USAGE,
	.run = describe_run,
};
