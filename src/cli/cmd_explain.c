/* `sluice explain dataset NAME`: why it is as it is, and what to do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/explain.h"
#include "cli/print.h"
#include "json/json.h"

static void print_report(const json_t *report)
{
	(void)printf("dataset %s: %s\n", json_str(report, "dataset", ""), json_str(report, "summary", ""));
	size_t i;
	const json_t *f;
	json_array_foreach (json_at(report, "findings"), i, f) {
		const char *advice = json_str(f, "advice", "");
		(void)printf("\n%zu. %s\n   %s\n", i + 1, json_str(f, "object", ""), json_str(f, "problem", ""));
		if (advice[0] != '\0')
			(void)printf("   what to do: %s\n", advice);
	}
	if (i == 0)
		(void)puts("nothing is wrong with it");
}

static int explain(const struct session_options *o, const char *name, bool as_json, struct error *err)
{
	struct session s = {0};
	JSON_AUTO report = NULL;
	int rc = session_open(o, &s, err);
	if (rc == 0)
		rc = explain_dataset(&s, name, &report, err);
	session_close(&s);
	if (rc != 0)
		return rc;
	if (!as_json) {
		print_report(report);
		return 0;
	}
	return print_object(report, PRINT_JSON, true) ? 0 : error_set(err, -EIO, CANNOT_PRINT);
}

static int explain_run(int argc, char **argv)
{
	struct session_options o = {0};
	const char *output = NULL;
	const struct option_spec specs[] = {SESSION_OPTIONS(o), {"o", OPT_STRING, &output}, {0}};
	int words = 0;
	const int parsed = options_parse(&cmd_explain, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words != 2 || strncmp(argv[1], "dataset", strlen("dataset")) != 0 ||
	    (output != NULL && strcmp(output, "json") != 0)) {
		(void)fprintf(
			stderr,
			"sluice explain: 'dataset NAME' is wanted, and -o takes json; 'sluice help explain' says more\n");
		return 2;
	}
	struct error err = {0};
	const int rc = explain(&o, argv[2], output != NULL, &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice explain: %s\n", err.msg);
	return rc == 0 ? 0 : 1;
}

const struct command cmd_explain = {
	.name = "explain",
	.summary = "Say why a dataset is not Bound, slow, or not deleted, and what to do",
	.usage =
		"Usage: sluice explain dataset NAME [-n NAMESPACE] [-o json]\n\n"
		"Looks at the dataset, its runtime, their workloads, pods, claim and Events, on the one-machine cluster or any\n"
		"other, and says what is wrong, where, and what to do next; the likely cause first.\n\n"
		"  -o json                print one JSON object\n" SESSION_USAGE,
	.run = explain_run,
};
