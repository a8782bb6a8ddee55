#include "controllers/operations/internal.h"

#include <errno.h>
#include <string.h>

#include "api/data_operation.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "json/json.h"

#define DATASET_VOLUME "fluid-dataset-vol"
#define SCRIPT_KEY     "preprocess.sh"
#define ARENA_LIMIT    (4u << 20)

const struct kind *const operation_kinds[] = {&data_load_kind, &data_process_kind, NULL};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "data operation: out of memory");
}

const char *operation_target(const json_t *op)
{
	return json_str(op, "spec.dataset.name", "");
}

bool operation_is_cron(const json_t *op)
{
	return strcmp(json_str(op, "spec.policy", "Once"), "Cron") == 0;
}

/* --- DataLoad ------------------------------------------------------------------------------------------------------------------- */

static int validate_load(const json_t *op, const char **ret_reason, struct error *err)
{
	size_t i;
	json_t *t;
	json_array_foreach (json_at(op, "spec.target"), i, t) {
		const char *path = json_str(t, "path", "");
		if (path[0] == '/')
			continue;
		*ret_reason = "TargetPathNotValid";
		return error_set(err, -EINVAL, "spec.target[%zu].path: '%s' must begin with '/'", i, path);
	}
	return 0;
}

const struct operation_kind data_load_operation = {
	.kind = &data_load_kind,
	.finalizer = "fluid-dataload-controller-finalizer",
	.release_suffix = "-loader",
	.job_suffix = "-loader-job",
	.role = "dataload-pod",
	.has_receipt = true,
	.validate = validate_load,
};

/* --- DataProcess ---------------------------------------------------------------------------------------------------------------- */

/* The first mountPath of @mounts that is @path, by index; -1: none. */
static int find_mount(const json_t *mounts, const char *path)
{
	size_t i;
	json_t *m;
	json_array_foreach (mounts, i, m)
		if (strcmp(json_str(m, "mountPath", ""), path) == 0)
			return (int)i;
	return -1;
}

static int conflict(const char *path, int i, const char *mount, const char **ret_reason, struct error *err)
{
	*ret_reason = "ConflictMountPath";
	return error_set(err, -EINVAL, "%s[%d].mountPath: '%s' is where the dataset is mounted", path, i, mount);
}

static int check_mount_paths(const json_t *op, const char **ret_reason, struct error *err)
{
	static const char *const lists[] = {"initContainers", "containers"};
	const char *mount = json_str(op, "spec.dataset.mountPath", "");
	int at = find_mount(json_at(op, "spec.processor.script.volumeMounts"), mount);
	if (at >= 0)
		return conflict("spec.processor.script.volumeMounts", at, mount, ret_reason, err);
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		size_t i;
		json_t *c;
		const json_t *pod = json_at(op, "spec.processor.job.podSpec");
		json_array_foreach (json_object_get(pod, lists[k]), i, c) {
			char path[80];
			at = find_mount(json_object_get(c, "volumeMounts"), mount);
			(void)snprintf(path, sizeof path, "spec.processor.job.podSpec.%s[%zu].volumeMounts", lists[k],
				       i); /* fits */
			if (at >= 0)
				return conflict(path, at, mount, ret_reason, err);
		}
	}
	return 0;
}

static int validate_process(const json_t *op, const char **ret_reason, struct error *err)
{
	const bool job = json_at(op, "spec.processor.job") != NULL,
		   script = json_at(op, "spec.processor.script") != NULL;
	if (!job && !script) {
		*ret_reason = "ProcessorNotSpecified";
		return error_set(err, -EINVAL, "spec.processor: one of job and script is needed");
	}
	if (job && script) {
		*ret_reason = "MultipleProcessorSpecified";
		return error_set(err, -EINVAL, "spec.processor: job and script exclude each other");
	}
	return check_mount_paths(op, ret_reason, err);
}

/* The Dataset's claim in @pod, mounted in each container. */
static int mount_dataset(const json_t *op, json_t *pod)
{
	static const char *const lists[] = {"initContainers", "containers"};
	const char *sub_path = json_str(op, "spec.dataset.subPath", "");
	json_t *v = json_pack("{s:s,s:{s:s}}", "name", DATASET_VOLUME, "persistentVolumeClaim", "claimName",
			      operation_target(op));
	if (v == NULL || json_push(pod, "spec.volumes", v) < 0)
		return -ENOMEM;
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		size_t i;
		json_t *c;
		json_array_foreach (json_object_get(json_object_get(pod, "spec"), lists[k]), i, c) {
			JSON_AUTO m = json_pack("{s:s,s:s}", "name", DATASET_VOLUME, "mountPath",
						json_str(op, "spec.dataset.mountPath", ""));
			if (m == NULL ||
			    (*sub_path != '\0' && json_object_set_new(m, "subPath", json_string(sub_path)) < 0) ||
			    json_push(c, "volumeMounts", TAKE(m)) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static int copy_into(json_t *obj, const char *path, const json_t *value)
{
	json_t *copy = value != NULL ? json_deep_copy(value) : NULL;
	if (value == NULL)
		return 0;
	return copy != NULL ? json_put(obj, path, copy) : -ENOMEM;
}

static int script_pod(const struct script_processor *s, const char *config_map, json_t **ret, struct error *err)
{
	JSON_AUTO pod = NULL;
	int rc = skeleton_load("operations/script.yaml", &pod, err);
	if (rc < 0)
		return rc;
	json_t *c = json_at(pod, "spec.containers[0]");
	const char *image = s->version.image != NULL ? s->version.image : "";
	const char *tag = s->version.image_tag != NULL ? s->version.image_tag : "";
	CLEANUP(free_p) char *whole = str_printf("%s%s%s", image, *tag != '\0' ? ":" : "", tag);
	if (whole == NULL || json_put_str(c, "image", whole) < 0 ||
	    json_put_str(pod, "spec.volumes[name=script].configMap.name", config_map) < 0 ||
	    (s->restart_policy != NULL && json_put_str(pod, "spec.restartPolicy", s->restart_policy) < 0) ||
	    (s->version.image_pull_policy != NULL &&
	     json_put_str(c, "imagePullPolicy", s->version.image_pull_policy) < 0) ||
	    copy_into(c, "env", s->env) < 0 || copy_into(c, "resources", s->resources) < 0 ||
	    list_append(c, "volumeMounts", s->volume_mounts) < 0 || list_append(pod, "spec.volumes", s->volumes) < 0)
		return no_memory(err);
	for (size_t i = 0; i < s->command.n; i++)
		if (json_push(c, "command", json_string(s->command.v[i])) < 0)
			return no_memory(err);
	*ret = TAKE(pod);
	return 0;
}

static int make_process_spec(const json_t *op, const struct data_process_spec *s, const char *config_map, json_t **ret,
			     struct error *err)
{
	JSON_AUTO pod = NULL;
	int rc = 0;
	if (s->processor.script != NULL)
		rc = script_pod(s->processor.script, config_map, &pod, err);
	else
		pod = json_pack("{s:{},s:O?}", "metadata", "spec", s->processor.job->pod_spec);
	if (rc < 0)
		return rc;
	JSON_AUTO own = pod != NULL ? json_deep_copy(pod) : NULL; /* the operation's tree stays as it is */
	const char *account = s->processor.service_account_name;
	if (own == NULL || mount_dataset(op, own) < 0 || pod_merge_metadata(own, &s->processor.pod_metadata) < 0 ||
	    (account != NULL && *account != '\0' && json_put_str(own, "spec.serviceAccountName", account) < 0))
		return no_memory(err);
	json_t *metadata = json_object_get(own, "metadata");
	*ret = json_pack("{s:{s:O,s:O}}", "template", "metadata", metadata, "spec", json_object_get(own, "spec"));
	return *ret != NULL ? 0 : no_memory(err);
}

static int process_job_spec(const json_t *op, const char *config_map, json_t **ret, struct error *err)
{
	struct data_process d;
	struct arena a = ARENA_INIT(ARENA_LIMIT);
	int rc = schema_decode(data_process_kind.schema, op, &a, &d, err);
	if (rc == 0)
		rc = make_process_spec(op, &d.spec, config_map, ret, err);
	arena_free(&a);
	return rc;
}

static int process_config_data(const json_t *op, json_t **ret, struct error *err)
{
	const char *source = json_str(op, "spec.processor.script.source", NULL);
	if (source == NULL)
		return 0;
	*ret = json_pack("{s:s}", SCRIPT_KEY, source);
	return *ret != NULL ? 0 : no_memory(err);
}

const struct operation_kind data_process_operation = {
	.kind = &data_process_kind,
	.finalizer = "fluid-dataprocess-controller-finalizer",
	.release_suffix = "-processor",
	.job_suffix = "-processor-job",
	.role = "dataprocess-pod",
	.validate = validate_process,
	.job_spec = process_job_spec,
	.config_data = process_config_data,
};
