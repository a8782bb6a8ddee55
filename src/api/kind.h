/* Kinds: what is served under which names, with which columns and subresources. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/schema.h"
#include "kube/resource.h"

struct strbuf;

/** A column of `kubectl get`. Either json_path (CRDs and ours) or render (built-in kinds). */
struct column {
	const char *name, *type, *format; /* "Phase", "string", "" */
	const char *doc;
	int priority;          /* 0: always; above: only wide */
	const char *json_path; /* ".status.phase" */
	/** New JSON value of the cell. @now_wall_ns for ages. */
	json_t *(*render)(const json_t *obj, int64_t now_wall_ns);
};

/** A column of one of our kinds. */
#define PRINTER_COLUMN(name_, type_, priority_, path_, doc_)                                                           \
	{                                                                                                              \
		.name = (name_), .type = (type_), .priority = (priority_), .json_path = (path_), .doc = (doc_)         \
	}

enum kind_sub {
	SUB_STATUS = 1,
	SUB_SCALE = 2,
	SUB_LOG = 4,
	SUB_BINDING = 8,
	SUB_FINALIZE = 16,
	SUB_TOKEN = 32,
	SUB_EVICTION = 64,
	SUB_REMOTE = 128, /* exec, attach, portforward */
};
enum kind_verb {
	VERB_CREATE = 1,
	VERB_DELETE = 2,
	VERB_DELETECOLLECTION = 4,
	VERB_GET = 8,
	VERB_LIST = 16,
	VERB_PATCH = 32,
	VERB_UPDATE = 64,
	VERB_WATCH = 128
};
#define VERBS_ALL 255

/** What is served below an object; a document of its own kind, or (.kind NULL) the object itself. */
struct kind_subresource {
	enum kind_sub sub;
	const char *name, *group, *version, *kind;
	unsigned verbs; /* enum kind_verb */
};

/** All there are, by name but for status, which discovery has last; ends with .name == NULL. */
extern const struct kind_subresource kind_subresources[];

struct kind {
	struct kube_resource resource;
	const char *list_kind, *singular;
	const char *const *short_names; /* NULL-terminated or NULL */
	const char *const *categories;  /* NULL-terminated or NULL */
	const struct schema *schema;    /* the whole object: apiVersion, kind, metadata, spec, status */
	unsigned subresources;          /* enum kind_sub */
	unsigned verbs;                 /* enum kind_verb */
	const char *scale_spec_path, *scale_status_path, *scale_selector_path; /* ".spec.replicas" */
	const struct column *columns; /* ends with .name == NULL; NULL: Name and Age */
	const char *doc;
};

/* Built-in kinds of Kubernetes that the local API serves (NULL-terminated list), and ours. */
extern const struct kind *const kubernetes_kinds[];
extern const struct kind *const sluice_kinds[];
extern const struct kind data_backup_kind, data_load_kind, data_migrate_kind, data_process_kind, dataset_kind,
	alluxio_runtime_kind, jindo_runtime_kind, reservoir_runtime_kind, crd_kind;

/** Our kind of that group and name (any version), or NULL: where a server that knows it only by its CRD finds what the CRD cannot say. */
const struct kind *sluice_kind_find(const char *group, const char *kind);

/** The type of metadata, shared by all kinds (meta.v1.ObjectMeta). */
extern const struct schema object_meta_schema;
/** Look a schema of Kubernetes up by its name in OpenAPI ("core.v1.Volume"), for fragments inside our kinds. NULL when unknown. */
const struct schema *kubernetes_schema(const char *name);

/** The CustomResourceDefinition of one of our kinds (apiextensions.k8s.io/v1). New tree. */
json_t *kind_to_crd(const struct kind *k);
/** Reference page of a kind as Markdown. */
int kind_to_markdown(const struct kind *k, struct strbuf *out);
