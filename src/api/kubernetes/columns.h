/* Columns of Kubernetes' kinds in Table answers, rendered as kubectl users know them; not for others. */
#pragma once

#include "api/kind.h"

extern const struct column pod_columns[], node_columns[], namespace_columns[], config_map_columns[], secret_columns[],
	service_account_columns[], service_columns[], endpoints_columns[], event_columns[], persistent_volume_columns[],
	persistent_volume_claim_columns[], stateful_set_columns[], daemon_set_columns[], storage_class_columns[],
	csi_driver_columns[], csi_node_columns[], volume_attachment_columns[], lease_columns[], crd_columns[],
	deployment_columns[], replica_set_columns[], controller_revision_columns[], job_columns[], cron_job_columns[],
	role_columns[], role_binding_columns[], pod_disruption_budget_columns[], priority_class_columns[],
	webhook_configuration_columns[];

#define NONE    "<none>"
#define UNSET   "<unset>"
#define UNKNOWN "<unknown>"

/** The string at @path, or @dflt when it is absent or empty. New value. */
json_t *cell_string(const json_t *obj, const char *path, const char *dflt);
/** The number at @path, 0 when absent. New value. */
json_t *cell_int(const json_t *obj, const char *path);
/** How long ago the time @at was, as Kubernetes abbreviates it; UNKNOWN when it is no time. New value. */
json_t *cell_since(const char *at, int64_t now_wall_ns);
/** The text gathered in @b, or @dflt when it is empty; clears @b. New value. */
struct strbuf;
json_t *cell_take(struct strbuf *b, const char *dflt);
/** The abbreviation of a duration ("5m30s", "3d4h"). */
void human_duration(int64_t ns, char out[static 32]);

json_t *render_name(const json_t *obj, int64_t now_wall_ns);
json_t *render_age(const json_t *obj, int64_t now_wall_ns);
/** Of the pod template: names and images of its containers; and the selector for its pods. */
json_t *render_containers(const json_t *obj, int64_t now_wall_ns);
json_t *render_images(const json_t *obj, int64_t now_wall_ns);
json_t *render_selector(const json_t *obj, int64_t now_wall_ns);
/** The members @what of a list of containers, with commas. New value. */
json_t *cell_containers(const json_t *containers, const char *what);
/** A LabelSelector as `kubectl get -l` would take it. New value. */
json_t *cell_selector(const json_t *selector);

/* Renderers: of a body that follows, of a string, of a number. */
#define RENDER(fn) static json_t *fn(const json_t *obj, int64_t now)
#define RENDER_STRING(fn, path, dflt)                                                                                  \
	RENDER(fn)                                                                                                     \
	{                                                                                                              \
		(void)now;                                                                                             \
		return cell_string(obj, path, dflt);                                                                   \
	}
#define RENDER_INT(fn, path)                                                                                           \
	RENDER(fn)                                                                                                     \
	{                                                                                                              \
		(void)now;                                                                                             \
		return cell_int(obj, path);                                                                            \
	}

#define COLUMN(name_, type_, render_, doc_)                                                                            \
	{                                                                                                              \
		.name = (name_), .type = (type_), .render = (render_), .doc = (doc_)                                   \
	}
#define WIDE(name_, type_, render_, doc_)                                                                              \
	{                                                                                                              \
		.name = (name_), .type = (type_), .render = (render_), .doc = (doc_), .priority = 1                    \
	}
#define COLUMN_NAME                                                                                                    \
	{                                                                                                              \
		.name = "Name", .type = "string", .format = "name", .render = render_name,                             \
		.doc = "Name of the object."                                                                           \
	}
#define COLUMN_AGE COLUMN("Age", "string", render_age, "How long ago the object was created.")
#define COLUMN_END                                                                                                     \
	{                                                                                                              \
		.name = NULL                                                                                           \
	}
