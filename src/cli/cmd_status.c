/* `sluice status`: what the one-machine cluster is doing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cluster.h"
#include "cli/command.h"
#include "cli/machine.h"
#include "cli/print.h"
#include "cli/table.h"
#include "kube/client.h"
#include "json/json.h"

enum { EXIT_ABSENT = 3 };

/* The Datasets, in short, below "datasets"; and where the API is, below "server". */
static int add_datasets(json_t *status, struct error *err)
{
	struct kube_config *config = NULL;
	struct kube_client *client = NULL;
	JSON_AUTO list = NULL;
	int rc = kube_config_load(json_str(status, "kubeconfig", ""), NULL, &config, err);
	if (rc == 0)
		rc = json_put_str(status, "server", kube_config_server(config));
	if (rc == 0)
		rc = kube_client_new(config, "sluice-status/" SLUICE_VERSION, &client, err);
	if (rc == 0)
		rc = kube_list(client, &dataset_kind.resource, NULL, NULL, &list, err);
	json_t *out = json_array();
	int lost = 0;
	size_t i;
	const json_t *d;
	json_array_foreach (json_at(list, "items"), i, d)
		lost |= json_array_append_new(
			out,
			json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "namespace", obj_namespace(d), "name", obj_name(d),
				  "phase", json_str(d, "status.phase", ""), "total", json_str(d, "status.ufsTotal", ""),
				  "cached", json_str(d, "status.cacheStates.cached", ""), "cachedPercentage",
				  json_str(d, "status.cacheStates.cachedPercentage", "")));
	lost |= json_put(status, "datasets", out);
	kube_client_free(client);
	kube_config_free(config);
	if (rc == 0 && lost != 0)
		rc = error_set(err, -ENOMEM, "out of memory");
	return rc;
}

static int print_parts(const json_t *parts)
{
	static const char *const titles[] = {"PART", "STATE", "PID", "RESTARTS", "UP", NULL};
	struct table *t = table_new(titles);
	size_t i;
	const json_t *p;
	json_array_foreach (parts, i, p) {
		const long long starts = json_int(p, "starts", 0);
		char pid[24], restarts[24], up[24];
		(void)snprintf(pid, sizeof pid, "%lld", (long long)json_int(p, "pid", 0)); /* numbers of 64 bits fit */
		(void)snprintf(restarts, sizeof restarts, "%lld", starts > 0 ? starts - 1 : 0);
		(void)snprintf(up, sizeof up, "%llds", (long long)json_int(p, "seconds", 0));
		table_row(t, (const char *[]){json_str(p, "name", ""), json_str(p, "state", ""), pid, restarts, up});
	}
	return table_print(t, 0);
}

static int print_datasets(const json_t *datasets)
{
	static const char *const titles[] = {"NAMESPACE", "DATASET", "PHASE", "TOTAL", "CACHED", "PERCENTAGE", NULL};
	if (json_array_size(datasets) == 0)
		return 0;
	struct table *t = table_new(titles);
	size_t i;
	const json_t *d;
	json_array_foreach (datasets, i, d)
		table_row(t, (const char *[]){json_str(d, "namespace", ""), json_str(d, "name", ""),
					      json_str(d, "phase", ""), json_str(d, "total", ""),
					      json_str(d, "cached", ""), json_str(d, "cachedPercentage", "")});
	(void)putchar('\n');
	return table_print(t, 0);
}

static int print_status(const json_t *s)
{
	(void)printf("cluster %s at %s\nkubeconfig %s\n\n", json_bool(s, "ready", false) ? "ready" : "starting",
		     json_str(s, "server", "-"), json_str(s, "kubeconfig", ""));
	const int rc = print_parts(json_at(s, "parts"));
	return rc == 0 ? print_datasets(json_at(s, "datasets")) : rc;
}

static int show(const char *dir_option, bool as_json, struct error *err)
{
	CLEANUP(free_p) char *data_dir = NULL;
	CLEANUP(close_fd) int fd = cluster_find(dir_option, &data_dir, err);
	if (fd < 0)
		return fd;
	JSON_AUTO status = NULL;
	int rc = cluster_status(fd, &status, err);
	if (rc == 0 && json_bool(status, "ready", false))
		rc = add_datasets(status, err);
	if (rc != 0)
		return rc;
	const bool printed = as_json ? print_object(status, PRINT_JSON, true) : print_status(status) == 0;
	return printed ? 0 : error_set(err, -EIO, CANNOT_PRINT);
}

static int status_run(int argc, char **argv)
{
	const char *data_dir = MACHINE_DATA_DIR, *output = NULL;
	const struct option_spec specs[] = {
		{"data-dir", OPT_STRING, &data_dir},
		{"o", OPT_STRING, &output},
		{0},
	};
	int words = 0;
	const int parsed = options_parse(&cmd_status, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words > 0 || (output != NULL && strcmp(output, "json") != 0)) {
		(void)fprintf(stderr,
			      words > 0 ? "sluice status: '%s' is one word too many\n"
					: "sluice status: -o: only json is known here\n",
			      argv[1]);
		return 2;
	}
	struct error err = {0};
	const int rc = show(data_dir, output != NULL, &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice status: %s\n", err.msg);
	return rc == 0 ? 0 : rc == -ENOENT ? EXIT_ABSENT : 1;
}

const struct command cmd_status = {
	.name = "status",
	.summary = "Show the one-machine cluster and its Datasets",
	.usage = "Usage: sluice status [--data-dir DIR] [-o json]\n\n"
		 "Shows the parts of the cluster that serves DIR, whether each runs and how often it had to be started "
		 "again,\n"
		 "and the Datasets in it.\n\n"
		 "  --data-dir DIR    where the cluster keeps everything (default " MACHINE_DATA_DIR ")\n"
		 "  -o json           print one JSON object\n\n"
		 "Exit status: 0 a cluster runs, 1 it does not answer, 2 wrong usage, 3 there is none.\n",
	.run = status_run,
};
