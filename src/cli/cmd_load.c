/* `sluice load`: a DataLoad, watched to its end. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/random.h"
#include "base/str.h"
#include "cli/run.h"
#include "cli/session.h"
#include "json/json.h"
#include "json/quantity.h"

#define ASK_MS    500
#define BAR_WIDTH 30
#define RESOURCE  (&data_load_kind.resource)

static const char *info(const json_t *load, const char *name)
{
	return json_str(json_at(load, "status.infos"), name, "0");
}

static uint64_t number(const json_t *load, const char *name)
{
	uint64_t v = 0;
	(void)str_to_u64(info(load, name), &v); /* what is none counts as nothing */
	return v;
}

static void show(const json_t *load)
{
	const uint64_t listed = number(load, "bytesListed");
	const uint64_t there = number(load, "bytesLoaded") + number(load, "bytesSkipped");
	const char *phase = json_str(load, "status.phase", "");
	if (listed == 0) {
		progress("%s", *phase != '\0' ? phase : "waiting for the Dataset");
		return;
	}
	const int percent = there >= listed ? 100 : (int)((double)there / (double)listed * 100);
	char bar[BAR_WIDTH + 1], done[32], all[32];
	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < percent * BAR_WIDTH / 100 ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	bytes_format_fluid(there, done);
	bytes_format_fluid(listed, all);
	if (isatty(STDERR_FILENO))
		progress("%s [%s] %d%%, %s of %s", phase, bar, percent, done, all);
	else
		progress("%s %d%%, %s of %s", phase, percent, done, all);
}

/* What came of it, on standard output. */
static int print_receipt(const json_t *load)
{
	const bool ok = strcmp(json_str(load, "status.phase", ""), "Complete") == 0;
	char loaded[32], skipped[32];
	bytes_format_fluid(number(load, "bytesLoaded"), loaded);
	bytes_format_fluid(number(load, "bytesSkipped"), skipped);
	(void)printf("listed:   %s files\nloaded:   %s files, %s\nskipped:  %s files, %s\nfailed:   %s files\n",
		     info(load, "filesListed"), info(load, "filesLoaded"), loaded, info(load, "filesSkipped"), skipped,
		     info(load, "filesFailed"));
	(void)printf("version:  %s\nduration: %s\n", json_str(load, "status.infos.version", "-"),
		     json_str(load, "status.duration", "-"));
	const char *failures = json_str(load, "status.infos.failures", NULL);
	if (failures != NULL)
		(void)fprintf(stderr, "%s\n", failures);
	if (!ok)
		(void)fprintf(stderr, "sluice load: %s\n",
			      json_str(load, "status.conditions[0].message", "it has failed"));
	return ok && fflush(stdout) == 0 ? 0 : 1;
}

/* 0: the exit status is in @ret_status. */
static int follow(struct session *s, const char *name, int stop_fd, int *ret_status, struct error *err)
{
	for (;;) {
		JSON_AUTO load = NULL;
		int rc = kube_get(s->client, RESOURCE, s->ns, name, &load, err);
		if (rc < 0)
			return rc;
		const char *phase = json_str(load, "status.phase", "");
		if (strcmp(phase, "Complete") == 0 || strcmp(phase, "Failed") == 0) {
			progress_end();
			*ret_status = print_receipt(load);
			return 0;
		}
		show(load);
		struct pollfd p = {.fd = stop_fd, .events = POLLIN};
		if (poll(&p, 1, ASK_MS) > 0) {
			progress_end();
			(void)fprintf(stderr, "sluice load: dataload/%s goes on; 'sluice delete dataload %s' ends it\n",
				      name, name);
			*ret_status = 130;
			return 0;
		}
	}
}

static json_t *make_load(const struct session *s, const char *name, const char *const *words)
{
	JSON_AUTO paths = json_array();
	for (size_t i = 1; words[i] != NULL; i++)
		if (json_array_append_new(paths, json_pack("{s:s}", "path", words[i])) < 0)
			return NULL;
	char version[128];
	return json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:{s:s,s:s},s:O}}", "apiVersion", kube_api_version(RESOURCE, version),
			 "kind", RESOURCE->kind, "metadata", "name", name, "namespace", s->ns, "spec", "dataset",
			 "name", words[0], "namespace", s->ns, "target", paths);
}

static int load(const struct session_options *o, const char *const *words, bool detach, int *ret_status,
		struct error *err)
{
	struct session s = {0};
	uint32_t tag;
	random_bytes(&tag, sizeof tag);
	CLEANUP(free_p) char *name = str_printf("%.40s-%08x", words[0], tag);
	CLEANUP(close_fd) int stop_fd = stop_signal_fd();
	int rc = name == NULL  ? error_set(err, -ENOMEM, "out of memory")
		 : stop_fd < 0 ? error_set(err, stop_fd, "signals: %s", strerror(-stop_fd))
			       : session_open(o, &s, err);
	JSON_AUTO obj = rc == 0 ? make_load(&s, name, words) : NULL;
	if (rc == 0)
		rc = obj != NULL ? kube_create(s.client, RESOURCE, s.ns, obj, NULL, err)
				 : error_set(err, -ENOMEM, "out of memory");
	if (rc == 0) {
		(void)printf("dataload:  %s\n", name);
		(void)fflush(stdout); /* whoever does not read it may still wait for the end */
	}
	if (rc == 0 && !detach)
		rc = follow(&s, name, stop_fd, ret_status, err);
	session_close(&s);
	return rc;
}

static int load_run(int argc, char **argv)
{
	struct session_options o = {0};
	bool detach = false;
	const struct option_spec specs[] = {SESSION_OPTIONS(o), {"detach", OPT_FLAG, &detach}, {0}};
	int words = 0;
	const int parsed = options_parse(&cmd_load, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words < 1) {
		(void)fprintf(stderr, "sluice load: which Dataset? 'sluice help load' says how it is used\n");
		return 2;
	}
	argv[words + 1] = NULL; /* at most argc, where a NULL stands anyway */
	struct error err = {0};
	int status = 0;
	const int rc = load(&o, (const char *const *)argv + 1, detach, &status, &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice load: %s\n", err.msg);
	return rc == 0 ? status : 1;
}

const struct command cmd_load = {
	.name = "load",
	.summary = "Bring a Dataset's files into its cache",
	.usage =
		"Usage: sluice load DATASET [PATH...] [--detach] [-n NAMESPACE]\n\n"
		"Makes a DataLoad of everything in DATASET, or of what is at and below each PATH (which begins with '/'), shows how\n"
		"far it is, and prints what was loaded, what was there before and what failed. Ctrl-C leaves it running.\n\n"
		"  --detach               print its name and return at once\n" SESSION_USAGE "\n"
		"Exit status: 0 all of it is in the cache, 1 it is not, 2 wrong usage, 130 it was left running.\n",
	.run = load_run,
};
