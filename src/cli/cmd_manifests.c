/* `sluice manifests`: what a cluster needs so that the controllers and the node plug-in can run there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/dataset.h"
#include "api/kind.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/print.h"
#include "controllers/dataset.h"
#include "controllers/operations/operations.h"
#include "csi/plugin.h"
#include "engines/engines.h"
#include "kube/event.h"
#include "kube/leader.h"
#include "runtime/api.h"
#include "runtime/cluster_role.h"
#include "runtime/objects.h"
#include "runtime/plugin.h"
#include "json/json.h"

#define CONTROLLER "sluice-controller"
#define CSI        "sluice-csi"

struct options {
	const char *ns, *image, *runtimes, *plugin_file;
	const struct sluice_runtime_plugin *plugin; /* NULL: none */
	enum print_format format;
};

struct out {
	const struct options *o;
	bool started, failed;
};

/* Takes @obj. */
static void put(struct out *out, json_t *obj)
{
	JSON_AUTO owned = obj;
	out->failed = out->failed || !print_object(owned, out->o->format, !out->started);
	out->started = true;
}

static bool is_wanted(const struct options *o, const struct runtime_controller *rt)
{
	if (o->runtimes == NULL)
		return true;
	struct str rest = str_from(o->runtimes), type;
	while (str_split_next(&rest, ',', &type))
		if (str_eq(type, rt->runtime_type))
			return true;
	return false;
}

/* Every word of --runtimes is one that this binary serves. */
static bool runtimes_are_known(const struct options *o)
{
	struct str rest = str_from(o->runtimes != NULL ? o->runtimes : ""), type;
	while (str_split_next(&rest, ',', &type)) {
		size_t i = 0;
		while (runtime_controllers[i] != NULL && !str_eq(type, runtime_controllers[i]->runtime_type))
			i++;
		if (type.n > 0 && runtime_controllers[i] == NULL) {
			(void)fprintf(stderr, "sluice manifests: --runtimes: no runtime '%.*s' in this binary\n",
				      (int)type.n, type.p);
			return false;
		}
	}
	return true;
}

/* --- definitions ---------------------------------------------------------------------------------------------------------------- */

static void put_crds(struct out *out)
{
	put(out, kind_to_crd(&dataset_kind));
	for (size_t i = 0; operation_kinds[i] != NULL; i++)
		put(out, kind_to_crd(operation_kinds[i]));
	for (size_t i = 0; runtime_controllers[i] != NULL; i++)
		if (is_wanted(out->o, runtime_controllers[i]))
			for (const struct kind *const *k = sluice_kinds; *k != NULL; k++)
				if (&(*k)->resource == runtime_controllers[i]->resource)
					put(out, kind_to_crd(*k));
	if (out->o->plugin != NULL)
		put(out, kind_to_crd(out->o->plugin->kind));
}

/* --- permissions ---------------------------------------------------------------------------------------------------------------- */

static int controller_verbs(const struct options *o, json_t *verbs, struct error *err)
{
	int rc = cluster_role_add(verbs, runtime_api_permissions, err);
	if (rc == 0)
		rc = cluster_role_add(verbs, dataset_controller_permissions, err);
	if (rc == 0)
		rc = cluster_role_add(verbs, operation_permissions, err);
	if (rc == 0)
		rc = cluster_role_add(verbs, event_permissions, err);
	for (size_t i = 0; rc == 0 && runtime_controllers[i] != NULL; i++) {
		const struct runtime_controller *rt = runtime_controllers[i];
		if (is_wanted(o, rt))
			rc = cluster_role_add_runtime(verbs, rt, err);
	}
	if (rc == 0 && o->plugin != NULL)
		rc = cluster_role_add_runtime(verbs, o->plugin->controller, err);
	return rc;
}

static json_t *role(const char *kind, const char *name, const char *ns, const json_t *verbs)
{
	return json_pack("{s:s,s:s,s:{s:s,s:s*},s:o}", "apiVersion", "rbac.authorization.k8s.io/v1", "kind", kind,
			 "metadata", "name", name, "namespace", ns, "rules", cluster_role_rules(verbs));
}

/* Of the role @kind/@name to the ServiceAccount of that name. */
static json_t *binding(const char *kind, const char *name, const char *account_ns, const char *ns)
{
	return json_pack("{s:s,s:s+,s:{s:s,s:s*},s:{s:s,s:s,s:s},s:[{s:s,s:s,s:s}]}", "apiVersion",
			 "rbac.authorization.k8s.io/v1", "kind", kind, "Binding", "metadata", "name", name, "namespace",
			 ns, "roleRef", "apiGroup", "rbac.authorization.k8s.io", "kind", kind, "name", name, "subjects",
			 "kind", "ServiceAccount", "name", name, "namespace", account_ns);
}

static json_t *account(const char *name, const char *ns)
{
	return json_pack("{s:s,s:s,s:{s:s,s:s}}", "apiVersion", "v1", "kind", "ServiceAccount", "metadata", "name",
			 name, "namespace", ns);
}

static int put_rbac(struct out *out, struct error *err)
{
	const char *ns = out->o->ns;
	JSON_AUTO controller = json_object();
	JSON_AUTO csi = json_object();
	JSON_AUTO lease = json_object();
	int rc = controller_verbs(out->o, controller, err);
	if (rc == 0)
		rc = cluster_role_add(csi, csi_permissions, err);
	if (rc == 0)
		rc = cluster_role_add(lease, leader_permissions, err);
	if (rc < 0)
		return rc;
	put(out, account(CONTROLLER, ns));
	put(out, account(CSI, ns));
	put(out, role("ClusterRole", CONTROLLER, NULL, controller));
	put(out, binding("ClusterRole", CONTROLLER, ns, NULL));
	put(out, role("Role", CONTROLLER, ns, lease));
	put(out, binding("Role", CONTROLLER, ns, ns));
	put(out, role("ClusterRole", CSI, NULL, csi));
	put(out, binding("ClusterRole", CSI, ns, NULL));
	return 0;
}

/* --- what runs ------------------------------------------------------------------------------------------------------------------ */

/* -ENOMEM, or 0. */
static int put_arg(json_t *container, const char *option, const char *value)
{
	CLEANUP(free_p) char *arg = str_printf("--%s=%s", option, value);
	return arg == NULL || json_array_append_new(json_object_get(container, "args"), json_string(arg)) < 0 ? -ENOMEM
													      : 0;
}

static int put_images(json_t *obj, const char *image)
{
	size_t i;
	json_t *container;
	json_array_foreach (json_at(obj, "spec.template.spec.containers"), i, container)
		if (json_put_str(container, "image", image) < 0)
			return -ENOMEM;
	return 0;
}

static int overlay(const struct options *o, json_t *obj)
{
	const char *kind = json_str(obj, "kind", "");
	json_t *container = json_at(obj, "spec.template.spec.containers[0]");
	if (strcmp(kind, "Namespace") == 0)
		return json_put_str(obj, "metadata.name", o->ns);
	int rc = 0;
	if (container != NULL)
		rc = json_put_str(obj, "metadata.namespace", o->ns);
	if (rc == 0 && container != NULL)
		rc = put_images(obj, o->image);
	if (rc == 0 && strcmp(kind, "Deployment") == 0)
		rc = put_arg(container, "leader-election-namespace", o->ns);
	if (rc == 0 && strcmp(kind, "Deployment") == 0 && o->runtimes != NULL)
		rc = put_arg(container, "runtimes", o->runtimes);
	return rc;
}

static int put_skeleton(struct out *out, const char *name, struct error *err)
{
	JSON_AUTO obj = NULL;
	int rc = skeleton_load(name, &obj, err);
	if (rc < 0)
		return rc;
	rc = overlay(out->o, obj);
	if (rc < 0)
		return error_set(err, rc, "manifests/%s: out of memory", name);
	put(out, TAKE(obj));
	return 0;
}

static int put_workloads(struct out *out, struct error *err)
{
	int rc = put_skeleton(out, "cluster/driver.yaml", err);
	if (rc == 0)
		rc = put_skeleton(out, "cluster/controller.yaml", err);
	return rc == 0 ? put_skeleton(out, "cluster/csi.yaml", err) : rc;
}

static int put_all(struct out *out, const char *what, struct error *err)
{
	const bool all = strcmp(what, "all") == 0;
	int rc = 0;
	if (all || strcmp(what, "rbac") == 0)
		rc = put_skeleton(out, "cluster/namespace.yaml", err);
	if (rc == 0 && (all || strcmp(what, "crds") == 0))
		put_crds(out);
	if (rc == 0 && (all || strcmp(what, "rbac") == 0))
		rc = put_rbac(out, err);
	return rc == 0 && all ? put_workloads(out, err) : rc;
}

static int wrong_usage(const char *message)
{
	(void)fprintf(stderr, "sluice manifests: %s; see 'sluice help manifests'\n", message);
	return 2;
}

static int manifests_run(int argc, char **argv)
{
	struct options o = {.ns = "fluid-system"};
	const char *output = "yaml";
	int words = 0;
	const struct option_spec specs[] = {
		{"namespace", OPT_STRING, &o.ns},
		{"image", OPT_STRING, &o.image},
		{"runtimes", OPT_STRING, &o.runtimes},
		{"plugin", OPT_STRING, &o.plugin_file},
		{"o", OPT_STRING, &output},
		{0},
	};
	int rc = options_parse(&cmd_manifests, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	const int format = print_format_find(output, PRINT_JSON + 1);
	const char *what = words == 1 ? argv[1] : "";
	if (strcmp(what, "rbac") != 0 && strcmp(what, "crds") != 0 && strcmp(what, "all") != 0)
		return wrong_usage("say what to print: rbac, crds or all");
	if (format < 0)
		return wrong_usage("-o takes yaml or json");
	if (strcmp(what, "all") == 0 && o.image == NULL)
		return wrong_usage("all needs --image, the image that has this program as 'sluice' in its path");
	if (!runtimes_are_known(&o))
		return 2;
	o.format = (enum print_format)format;
	struct out out = {.o = &o};
	struct error err = {0};
	rc = o.plugin_file != NULL ? runtime_plugin_load(o.plugin_file, &o.plugin, &err) : 0;
	if (rc == 0)
		rc = put_all(&out, what, &err);
	if (rc < 0 || out.failed || fflush(stdout) != 0) {
		(void)fprintf(stderr, "sluice manifests: %s\n", rc < 0 ? err.msg : "out of memory or output closed");
		return 1;
	}
	return 0;
}

const struct command cmd_manifests = {
	.name = "manifests",
	.summary = "Print what a Kubernetes cluster needs to run the controllers",
	.usage =
		"Usage: sluice manifests rbac|crds|all [--namespace NAME] [--image IMAGE] [--runtimes LIST]\n"
		"                        [--plugin FILE] [-o yaml|json]\n"
		"\n"
		"Prints objects for `kubectl apply -f -`:\n"
		"\n"
		"  rbac  the namespace, ServiceAccounts of the controllers and of the node plug-in, and their roles: what\n"
		"        each of them does, and nothing else\n"
		"  crds  the definitions of Dataset and of the Runtimes that are served\n"
		"  all   these, the CSIDriver, the controllers' Deployment and the node plug-in's DaemonSet\n"
		"\n"
		"  --namespace NAME     where they live (default fluid-system)\n"
		"  --image IMAGE        the image that has this program as 'sluice' in its path (all needs it)\n"
		"  --runtimes LIST      runtime types to serve, comma separated (default: all)\n"
		"  --plugin FILE        also what this runtime plug-in needs\n",
	.run = manifests_run,
};
