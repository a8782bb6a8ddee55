/* `sluice engine-test`: the conformance kit, for an engine of this binary or of a plug-in. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/command.h"
#include "engines/engines.h"
#include "kit/kit.h"
#include "runtime/plugin.h"
#include "json/json.h"

#define MAX_SCRIPT (1u << 20)

static int find_engine(const char *what, struct kit_options *o, const char **ret_name, struct error *err)
{
	if (str_has_suffix(what, ".so")) {
		const struct sluice_runtime_plugin *p = NULL;
		int rc = runtime_plugin_load(what, &p, err);
		if (rc < 0)
			return rc;
		o->controller = p->controller;
		o->kind = p->kind;
		*ret_name = p->name;
		return 0;
	}
	for (size_t i = 0; runtime_controllers[i] != NULL; i++) {
		const struct runtime_controller *rt = runtime_controllers[i];
		if (strcmp(rt->runtime_type, what) != 0)
			continue;
		o->controller = rt;
		o->kind = sluice_kind_find(rt->resource->group, rt->resource->kind);
		*ret_name = what;
		return 0;
	}
	return error_set(err, -ENOENT,
			 "there is no engine '%s' in this binary; a plug-in is named by its file, sluice-runtime-%s.so",
			 what, what);
}

static int load_script(const char *path, const char *engine, json_t **ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	const char *builtin = path == NULL ? kit_script_of(engine) : NULL;
	if (path == NULL && builtin == NULL)
		return error_set(err, -ENOENT, "there is no script for engine '%s': --script FILE names one", engine);
	int rc = path != NULL ? file_read(path, MAX_SCRIPT, &text, NULL, err) : 0;
	if (rc == 0)
		rc = kit_script_parse(path != NULL ? text : builtin, strlen(path != NULL ? text : builtin), ret, err);
	return rc < 0 ? error_wrap(err, rc, "script of '%s'", engine) : 0;
}

static void print_result(const json_t *r)
{
	const json_t *h = json_object_get(r, "held");
	(void)printf("%-8s %-52s %s\n",
		     json_is_null(h)   ? "-"
		     : json_is_true(h) ? "held"
				       : "FAILED",
		     json_str(r, "case", ""), json_str(r, "detail", ""));
	(void)fflush(stdout); /* the exit status tells what a lost line would have */
}

/* 0 when everything held. */
static int print_sum(const json_t *results, const char *engine, bool json)
{
	size_t i, failed = 0, held = 0;
	json_t *r;
	json_array_foreach (results, i, r) {
		failed += json_is_false(json_object_get(r, "held"));
		held += json_is_true(json_object_get(r, "held"));
	}
	CLEANUP(free_p) char *text = json ? json_to_text_indent(results, 4) : NULL;
	if (json)
		(void)puts(text != NULL ? text : "[]");
	else
		(void)printf("engine %s: %zu held, %zu failed, %zu do not apply\n", engine, held, failed,
			     json_array_size(results) - held - failed);
	return fflush(stdout) == 0 && failed == 0 ? 0 : 1;
}

static int engine_test_run(int argc, char **argv)
{
	const char *script = NULL, *output = "table", *level_name = "error", *only = NULL;
	const struct option_spec specs[] = {{"script", OPT_STRING, &script},
					    {"case", OPT_STRING, &only},
					    {"o", OPT_STRING, &output},
					    {"log-level", OPT_STRING, &level_name},
					    {0}};
	int words = 0;
	int rc = options_parse(&cmd_engine_test, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	enum log_level level;
	if (words != 1 || log_level_parse(level_name, &level) < 0 ||
	    (strcmp(output, "table") != 0 && strcmp(output, "json") != 0)) {
		(void)fprintf(stderr, "sluice engine-test: %s; 'sluice help engine-test' says how it is used\n",
			      words != 1 ? "one engine is to be named" : "an option's value is not known");
		return 2;
	}
	log_init(STDERR_FILENO, level, "kit");
	struct error err = {0};
	const bool json = strcmp(output, "json") == 0;
	struct kit_options o = {.only = only, .logs = level, .told = json ? NULL : print_result};
	const char *engine = argv[1];
	JSON_AUTO parsed = NULL;
	JSON_AUTO results = NULL;
	rc = find_engine(argv[1], &o, &engine, &err);
	if (rc == 0)
		rc = load_script(script, engine, &parsed, &err);
	o.script = parsed;
	if (rc == 0)
		rc = kit_run(&o, &results, &err);
	if (rc < 0) {
		(void)fprintf(stderr, "sluice engine-test: %s\n", err.msg);
		return 1;
	}
	return print_sum(results, engine, json);
}

const struct command cmd_engine_test = {
	.name = "engine-test",
	.summary = "Drive a runtime's engine through its whole life, and say what held",
	.usage =
		"Usage: sluice engine-test NAME|FILE [--script FILE] [-o table|json]\n\n"
		"Runs the engine NAME of this binary, or that of the plug-in FILE (sluice-runtime-NAME.so), on an API server of its "
		"own with\n"
		"scripted workloads and a scripted cache system: binding, scaling, changes, crashes at every step, deletion at any "
		"time.\n"
		"Prints a line for each case; the exit status is 1 when one did not hold.\n\n"
		"  --script FILE      specs to try and answers of the cache system (default: that of an engine in this binary)\n"
		"  --case TEXT        run the cases whose name holds TEXT\n"
		"  -o table|json      how the results are printed (default table)\n"
		"  --log-level LEVEL  debug, info, warn or error (default error)\n",
	.run = engine_test_run,
};
