/* `sluice controller`: the dataset and Runtime controllers, and with --workloads those that a cluster has anyway. */
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "api/kind.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/controller_plugins.h"
#include "controllers/dataset.h"
#include "controllers/operations/operations.h"
#include "engines/engines.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/manager.h"
#include "local/workload.h"
#include "runtime/api.h"
#include "runtime/operation.h"
#include "runtime/plugin.h"
#include "runtime/reconciler.h"
#include "json/json.h"

#define MAX_LIST       32
#define MAX_RUNTIMES   16
#define ESTABLISHED_NS (30 * NSEC_PER_SEC)
#define DEFAULT_PORTS  "20000-26000"
#define DEFAULT_ROOT   "/runtime-mnt"
#define DEFAULT_IMAGES "sluice.local/"

struct options {
	const char *kubeconfig, *runtimes, *images, *host_paths, *ports, *log_level;
	const char *metrics, *health, *lease_namespace, *lease_name, *plugin_dir, *plugin;
	int64_t workers, runtime_workers, dataset_workers, plugin_timeout_ns;
	bool workloads, install_crds, leader_elect;
};

/* A comma separated list, taken apart. */
struct word_list {
	char *text;
	const char *v[MAX_LIST + 1]; /* NULL-terminated */
	size_t n;
};

struct setup {
	struct options o;
	struct word_list runtimes, images, host_paths;
	struct engine_limits limits;
	struct kube_config *config;
	struct kube_client *client;
	struct event_recorder *recorder;
	struct manager *manager;
	struct runtime_api *api;
	struct runtime_set served_runtimes; /* whose operations are run here */
	char served[256];                   /* by the dataset controller, told to people */
	struct plugin_host *plugins;
	const struct sluice_runtime_plugin *plugin; /* this process is its guest */
	char *plugin_lease;
};

static int split_list(const char *name, const char *text, struct word_list *ret)
{
	ret->text = strdup(text);
	if (ret->text == NULL)
		return -ENOMEM;
	char *rest = ret->text, *word;
	while ((word = strsep(&rest, ",")) != NULL) {
		if (*word == '\0')
			continue;
		if (ret->n == MAX_LIST) {
			(void)fprintf(stderr, "sluice controller: --%s: more than %d entries\n", name, MAX_LIST);
			return -EINVAL;
		}
		ret->v[ret->n++] = word;
	}
	return 0;
}

static int parse_ports(const char *text, struct engine_limits *l)
{
	struct str rest = str_from(text), from, to;
	char a[8], b[8];
	int64_t lo, hi;
	if (str_split_next(&rest, '-', &from) && str_split_next(&rest, '-', &to) && rest.p == NULL &&
	    from.n < sizeof a && to.n < sizeof b) {
		(void)snprintf(a, sizeof a, "%.*s", (int)from.n, from.p); /* both fit */
		(void)snprintf(b, sizeof b, "%.*s", (int)to.n, to.p);
		if (str_to_i64(a, &lo) == 0 && str_to_i64(b, &hi) == 0 && lo >= 1024 && lo < hi && hi <= 65535) {
			l->port_min = (int)lo;
			l->port_max = (int)hi + 1;
			return 0;
		}
	}
	(void)fprintf(stderr,
		      "sluice controller: --runtime-node-port-range: '%s' is not two ports from 1024 to 65535, like "
		      "20000-26000\n",
		      text);
	return -EINVAL;
}

/* MOUNT_ROOT: an absolute path, without a slash at its end. */
static const char *mount_root(void)
{
	const char *root = getenv("MOUNT_ROOT");
	return root != NULL && root[0] == '/' && root[1] != '\0' && !str_has_suffix(root, "/") ? root : DEFAULT_ROOT;
}

static const struct runtime_controller *runtime_find(const char *type)
{
	for (size_t i = 0; runtime_controllers[i] != NULL; i++)
		if (strcmp(runtime_controllers[i]->runtime_type, type) == 0)
			return runtime_controllers[i];
	return NULL;
}

static int check_runtimes(struct setup *s)
{
	if (s->o.plugin != NULL)
		return 0; /* the plug-in's alone */
	for (size_t i = 0; s->o.runtimes == NULL && runtime_controllers[i] != NULL; i++)
		s->runtimes.v[s->runtimes.n++] = runtime_controllers[i]->runtime_type;
	for (size_t i = 0; i < s->runtimes.n; i++) {
		if (runtime_find(s->runtimes.v[i]) != NULL)
			continue;
		(void)fprintf(stderr, "sluice controller: --runtimes: no runtime '%s' in this binary\n",
			      s->runtimes.v[i]);
		return -EINVAL;
	}
	return 0;
}

static int read_options(struct setup *s)
{
	if (s->o.workers != 0)
		s->o.runtime_workers = s->o.dataset_workers = s->o.workers;
	if (s->o.plugin_timeout_ns < 100 * NSEC_PER_MSEC || (s->o.plugin != NULL && s->o.plugin_dir != NULL)) {
		(void)fprintf(stderr, "sluice controller: %s\n",
			      s->o.plugin_timeout_ns < 100 * NSEC_PER_MSEC
				      ? "--plugin-timeout: must be 100ms or more"
				      : "--plugin and --plugin-dir exclude each other");
		return -EINVAL;
	}
	if (s->o.runtime_workers < 1 || s->o.runtime_workers > 256 || s->o.dataset_workers < 1 ||
	    s->o.dataset_workers > 256) {
		(void)fprintf(stderr,
			      "sluice controller: --workers, --runtime-workers and --reconcile-workers: must be from 1 "
			      "to 256\n");
		return -EINVAL;
	}
	int rc = split_list("allowed-images", s->o.images, &s->images);
	if (rc == 0)
		rc = split_list("allowed-host-paths", s->o.host_paths, &s->host_paths);
	if (rc == 0 && s->o.runtimes != NULL)
		rc = split_list("runtimes", s->o.runtimes, &s->runtimes);
	if (rc == 0)
		rc = check_runtimes(s);
	if (rc == 0)
		rc = parse_ports(s->o.ports, &s->limits);
	s->limits.mount_root = mount_root();
	s->limits.allowed_images = s->images.v;
	s->limits.allowed_host_paths = s->host_paths.v;
	return rc;
}

/* --- CRDs ----------------------------------------------------------------------------------------------------------------------- */

static bool is_established(const json_t *crd)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(crd, "status.conditions"), i, c)
		if (strcmp(json_str(c, "type", ""), "Established") == 0)
			return strcmp(json_str(c, "status", ""), "True") == 0;
	return false;
}

/* 1 when a stop signal came first. */
static int wait_established(struct kube_client *c, const char *name, int stop_fd, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + ESTABLISHED_NS;
	for (;;) {
		JSON_AUTO crd = NULL;
		int rc = kube_get(c, &KUBE_CRD, NULL, name, &crd, err);
		if (rc < 0)
			return rc;
		if (is_established(crd))
			return 0;
		if (clock_mono_ns() > deadline)
			return error_set(err, -ETIMEDOUT,
					 "CustomResourceDefinition %s is not Established after 30 s; `kubectl describe "
					 "crd %s` says why",
					 name, name);
		struct pollfd p = {.fd = stop_fd, .events = POLLIN};
		if (poll(&p, 1, 100) > 0)
			return 1;
	}
}

/* A Runtime kind that nothing here reconciles is not offered: its objects would wait for ever without a word. */
static bool is_served(const struct setup *s, const struct kind *k)
{
	bool served = s->plugin != NULL ? k == s->plugin->kind : k == &dataset_kind;
	for (size_t i = 0; operation_kinds[i] != NULL && s->plugin == NULL; i++)
		served = served || k == operation_kinds[i];
	for (size_t i = 0; i < s->runtimes.n; i++)
		served = served || runtime_find(s->runtimes.v[i])->resource == &k->resource;
	return served;
}

static int install_crds(const struct setup *s, int stop_fd, struct error *err)
{
	const struct kind *const own[] = {s->plugin != NULL ? s->plugin->kind : NULL, NULL};
	const struct kind *const *kinds = s->plugin != NULL ? own : sluice_kinds;
	struct kube_client *c = s->client;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		if (!is_served(s, kinds[i]))
			continue;
		JSON_AUTO crd = kind_to_crd(kinds[i]);
		if (crd == NULL)
			return error_set(err, -ENOMEM, "CustomResourceDefinitions: out of memory");
		int rc = kube_apply(c, &KUBE_CRD, NULL, obj_name(crd), NULL, crd, NULL, err);
		if (rc == 0)
			rc = wait_established(c, obj_name(crd), stop_fd, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* --- running -------------------------------------------------------------------------------------------------------------------- */

static int add_runtime(struct setup *s, const struct runtime_controller *rt, struct error *err)
{
	struct reconciler *r = NULL;
	int rc = runtime_api_add(s->api, rt, err);
	if (rc == 0)
		rc = reconciler_new(&(struct reconciler_options){.runtime = rt,
								 .kind = s->plugin != NULL
										 ? s->plugin->kind
										 : sluice_kind_find(rt->resource->group,
												    rt->resource->kind),
								 .api = runtime_api_ops(s->api),
								 .limits = &s->limits,
								 .ports = runtime_api_ports(s->api),
								 .log = log_root(),
								 .ask_figures = true},
				    &r, err);
	if (rc == 0)
		rc = reconciler_register(r, s->manager, (int)s->o.runtime_workers, err);
	return rc < 0 ? rc : runtime_set_add(&s->served_runtimes, r, err);
}

/* After the runtimes. A guest runs the operations on its own runtime's Datasets alone. */
static int add_operations(struct setup *s, struct error *err)
{
	const struct operation_options o = {
		.api = runtime_api_ops(s->api),
		.engines = {.serves = runtime_set_serves, .ask = runtime_set_ask, .ctx = &s->served_runtimes},
		.others = s->plugin == NULL,
		.log = log_root()};
	int rc = runtime_api_cache(s->api, &KUBE_JOB, err);
	if (rc == 0)
		rc = runtime_api_cache(s->api, &KUBE_CRONJOB, err);
	for (size_t i = 0; operation_kinds[i] != NULL && rc == 0; i++) {
		struct operation_controller *c = NULL;
		rc = runtime_api_cache(s->api, &operation_kinds[i]->resource, err);
		if (rc == 0)
			rc = operation_controller_new(&o, operation_kinds[i], &c, err);
		if (rc == 0)
			rc = operation_controller_register(c, s->manager, (int)s->o.dataset_workers, err);
	}
	return rc;
}

/* The kinds of Runtimes that are served, for people. Cut when there are very many. */
static void name_served(struct setup *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->runtimes.n && n < sizeof s->served; i++)
		n += (size_t)snprintf(s->served + n, sizeof s->served - n, "%s%s", i == 0 ? "" : ", ",
				      runtime_find(s->runtimes.v[i])->resource->kind);
	if (s->o.plugin_dir != NULL && n < sizeof s->served)
		(void)snprintf(s->served + n, sizeof s->served - n, "%sthose of its plug-ins", n == 0 ? "" : ", ");
}

static int add_controllers(struct setup *s, struct error *err)
{
	int rc = 0;
	/* First, as its caches keep whole objects: the options of a cache's first user win. */
	if (s->o.workloads)
		rc = workload_controllers_register(s->manager, &(struct workload_options){.log = log_root()}, err);
	if (rc == 0)
		rc = runtime_api_new(s->manager, s->recorder, &s->limits, log_root(), &s->api, err);
	if (rc < 0)
		return rc;
	if (s->plugin != NULL) {
		const struct runtime_controller *rt = NULL;
		rc = plugin_guest_watch(s->plugin, s->o.plugin_timeout_ns, &rt, err);
		if (rc == 0)
			rc = add_runtime(s, rt, err);
		return rc < 0 ? rc : add_operations(s, err);
	}
	struct dataset_controller *d = NULL;
	name_served(s);
	rc = dataset_controller_new(
		&(struct dataset_controller_options){.api = runtime_api_ops(s->api),
						     .served = s->served[0] != '\0' ? s->served : NULL,
						     .log = log_root()},
		&d, err);
	if (rc == 0)
		rc = dataset_controller_register(d, s->manager, (int)s->o.dataset_workers, err);
	for (size_t i = 0; i < s->runtimes.n && rc == 0; i++)
		rc = add_runtime(s, runtime_find(s->runtimes.v[i]), err);
	return rc < 0 ? rc : add_operations(s, err);
}

static int connect_client(struct setup *s, struct error *err)
{
	int rc = kube_config_load(s->o.kubeconfig, NULL, &s->config, err);
	if (rc == 0)
		rc = kube_client_new(s->config, "sluice-controller", &s->client, err);
	if (rc == 0)
		rc = event_recorder_new(s->client, "sluice-controller", &s->recorder, err);
	if (rc == 0)
		rc = manager_new(
			&(struct manager_options){.client = s->client,
						  .log = log_root(),
						  .metrics_address = s->o.metrics,
						  .health_address = s->o.health,
						  .election = {.ns = s->o.lease_namespace,
							       .name = s->o.leader_elect ? s->o.lease_name : NULL}},
			&s->manager, err);
	return rc;
}

/* A guest is started with what this process was told, as far as it concerns a runtime. */
static int start_plugins(struct setup *s, const char *self, struct error *err)
{
	static char workers[24], timeout[32];
	static const char *argv[32];
	size_t n = 0;
	(void)snprintf(workers, sizeof workers, "%lld", (long long)s->o.runtime_workers); /* at most 20 characters */
	(void)snprintf(timeout, sizeof timeout, "%lldms", (long long)(s->o.plugin_timeout_ns / NSEC_PER_MSEC));
	const char *const pairs[][2] = {{"--kubeconfig", s->o.kubeconfig},
					{"--runtime-workers", workers},
					{"--runtime-node-port-range", s->o.ports},
					{"--allowed-images", s->o.images},
					{"--allowed-host-paths", s->o.host_paths},
					{"--log-level", s->o.log_level},
					{"--plugin-timeout", timeout},
					{"--leader-election-namespace", s->o.lease_namespace},
					{"--leader-election-name", s->o.lease_name}};
	argv[n++] = self;
	argv[n++] = "controller";
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		if (pairs[i][1] == NULL)
			continue;
		argv[n++] = pairs[i][0];
		argv[n++] = pairs[i][1];
	}
	if (s->o.install_crds)
		argv[n++] = "--install-crds";
	if (s->o.leader_elect)
		argv[n++] = "--leader-elect";
	argv[n] = NULL;
	return plugin_host_start(&(struct plugin_host_options){.dir = s->o.plugin_dir, .argv = argv}, &s->plugins, err);
}

static int run(struct setup *s, int stop_fd, struct error *err)
{
	int rc = s->o.plugin != NULL ? runtime_plugin_load(s->o.plugin, &s->plugin, err) : 0;
	if (rc == 0 && s->plugin != NULL) {
		s->plugin_lease =
			str_printf("%s.%s", s->o.lease_name, s->plugin->name); /* one for each process that acts */
		s->o.lease_name = s->plugin_lease;
		rc = s->plugin_lease != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
	}
	if (rc == 0)
		rc = connect_client(s, err);
	if (rc == 0 && s->o.install_crds)
		rc = install_crds(s, stop_fd, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = add_controllers(s, err);
	if (rc == 0)
		rc = manager_start(s->manager, stop_fd, err);
	if (rc == -ECANCELED)
		return 0; /* told to end before it had begun */
	CLEANUP(free_p) char *self = s->o.plugin_dir != NULL ? file_self_exe() : NULL;
	if (rc == 0 && s->o.plugin_dir != NULL)
		rc = self != NULL ? start_plugins(s, self, err) : error_set(err, -ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	if (s->o.metrics != NULL)
		LOG(NULL, LOG_LVL_INFO, "metrics are served", LOG_INT("port", manager_metrics_port(s->manager)));
	if (s->o.health != NULL)
		LOG(NULL, LOG_LVL_INFO, "health is served", LOG_INT("port", manager_health_port(s->manager)));
	(void)puts("ready: controller");
	(void)fflush(stdout); /* whoever waits for the line and went away is no reason to end */
	rc = manager_wait(s->manager, stop_fd, err);
	if (rc == 0)
		LOG(NULL, LOG_LVL_INFO, "stopping", LOG_STR("signal", strsignal(stop_signal_wait(stop_fd))));
	return rc;
}

static void setup_clear(struct setup *s)
{
	plugin_host_stop(s->plugins);
	if (s->manager != NULL)
		manager_stop(s->manager);
	event_recorder_free(s->recorder);
	manager_free(s->manager);
	runtime_api_free(s->api);
	kube_client_free(s->client);
	kube_config_free(s->config);
	free(s->plugin_lease);
	free(s->runtimes.text);
	free(s->images.text);
	free(s->host_paths.text);
}

/* Passes run on many threads: what they leave in an arena for each adds up to more than the caches. */
static void bound_memory(void)
{
	(void)mallopt(M_ARENA_MAX, 4);
}

static int controller_run(int argc, char **argv)
{
	struct setup s = {.o = {.images = DEFAULT_IMAGES,
				.host_paths = "",
				.ports = DEFAULT_PORTS,
				.lease_namespace = "fluid-system",
				.lease_name = "sluice.data.fluid.io",
				.log_level = "info",
				.plugin_timeout_ns = 60 * NSEC_PER_SEC,
				.runtime_workers = 3,
				.dataset_workers = 3}};
	int words = 0;
	const struct option_spec specs[] = {
		{"kubeconfig", OPT_STRING, &s.o.kubeconfig},
		{"runtimes", OPT_STRING, &s.o.runtimes},
		{"workers", OPT_INT, &s.o.workers},
		{"runtime-workers", OPT_INT, &s.o.runtime_workers},
		{"reconcile-workers", OPT_INT, &s.o.dataset_workers},
		{"runtime-node-port-range", OPT_STRING, &s.o.ports},
		{"allowed-images", OPT_STRING, &s.o.images},
		{"allowed-host-paths", OPT_STRING, &s.o.host_paths},
		{"leader-elect", OPT_FLAG, &s.o.leader_elect},
		{"enable-leader-election", OPT_FLAG, &s.o.leader_elect},
		{"leader-election-namespace", OPT_STRING, &s.o.lease_namespace},
		{"leader-election-name", OPT_STRING, &s.o.lease_name},
		{"metrics", OPT_STRING, &s.o.metrics},
		{"metrics-addr", OPT_STRING, &s.o.metrics},
		{"health", OPT_STRING, &s.o.health},
		{"workloads", OPT_FLAG, &s.o.workloads},
		{"install-crds", OPT_FLAG, &s.o.install_crds},
		{"plugin-dir", OPT_STRING, &s.o.plugin_dir},
		{"plugin-timeout", OPT_DURATION, &s.o.plugin_timeout_ns},
		{"plugin", OPT_STRING, &s.o.plugin},
		{"log-level", OPT_STRING, &s.o.log_level},
		{0},
	};
	int rc = options_parse(&cmd_controller, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	enum log_level level;
	if (words > 0 || log_level_parse(s.o.log_level, &level) < 0) {
		(void)fprintf(
			stderr,
			"sluice controller: '%s' is not understood; 'sluice help controller' says how it is used\n",
			words > 0 ? argv[1] : s.o.log_level);
		return 2;
	}
	log_init(STDERR_FILENO, level, s.o.plugin != NULL ? "plugin" : "controller");
	bound_memory();
	CLEANUP(close_fd) int stop_fd = stop_signal_fd();
	if (stop_fd < 0 || read_options(&s) < 0) {
		setup_clear(&s);
		return 2;
	}
	struct error err = {0};
	rc = run(&s, stop_fd, &err);
	if (rc < 0)
		LOG(NULL, LOG_LVL_ERROR, "the controllers cannot run", LOG_STR("err", err.msg));
	if (rc < 0 && s.o.plugin != NULL)
		plugin_guest_tell(err.msg);
	setup_clear(&s);
	return rc < 0 ? 1 : 0;
}

const struct command cmd_controller = {
	.name = "controller",
	.summary = "Run the controllers of Datasets, Runtimes and data operations",
	.usage =
		"Usage: sluice controller [OPTION...]\n\n"
		"Runs the controllers of Datasets, Runtimes and data operations against a Kubernetes API. Prints 'ready: controller' "
		"once its caches are\n"
		"filled; SIGTERM ends it.\n\n"
		"  --kubeconfig FILE               how to reach the API (default: $KUBECONFIG, ~/.kube/config, "
		"in-cluster)\n"
		"  --runtimes LIST                 runtime types to serve, comma separated (default: all)\n"
		"  --runtime-workers N             datasets worked on at one time, for each runtime type (default 3)\n"
		"  --reconcile-workers N           the same for the dataset controller (default 3)\n"
		"  --workers N                     both of them\n"
		"  --runtime-node-port-range A-B   ports for workers on the host's network (default " DEFAULT_PORTS
		")\n"
		"  --allowed-images LIST           prefixes of images that may run privileged (default " DEFAULT_IMAGES
		")\n"
		"  --allowed-host-paths LIST       directories that local:// mounts, tiers and hostPath volumes may "
		"use (default: none)\n"
		"  --leader-elect                  act only while holding a Lease, so that several may run (also "
		"--enable-leader-election)\n"
		"  --leader-election-namespace NS  of the Lease (default fluid-system)\n"
		"  --leader-election-name NAME     of the Lease (default sluice.data.fluid.io)\n"
		"  --metrics ADDRESS:PORT          serve /metrics for Prometheus; without an address on loopback (also "
		"--metrics-addr)\n"
		"  --health ADDRESS:PORT           serve /healthz and /readyz; may be the same\n"
		"  --workloads                     also run what a cluster's own controllers do (StatefulSets, "
		"scheduler, ...)\n"
		"  --install-crds                  create or update the CustomResourceDefinitions of what it serves "
		"first\n"
		"  --plugin-dir DIR                also run the runtimes of DIR/sluice-runtime-*.so, each in a process of "
		"its own\n"
		"  --plugin-timeout DURATION       a plug-in's process whose pass takes longer is ended and started again "
		"(default 1m)\n"
		"  --plugin FILE                   run the runtime of this plug-in alone, in this process\n"
		"  --log-level debug|info|warn|error  how much is logged (default info)\n\n"
		"Environment: MOUNT_ROOT, the host directory below which mounts appear (default " DEFAULT_ROOT ").\n",
	.hidden = true,
	.run = controller_run,
};
