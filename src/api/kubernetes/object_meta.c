/* Metadata: the one type of Kubernetes that is decoded into a C struct (api/common.h). */
#include "api/common.h"
#include "api/kubernetes/table.h"

#define M struct object_meta

static const struct field object_meta_fields[] = {
	FIELD_STRING(M, name, "name", .pb = 1, DOC("Name of the object, unique for its kind in its namespace.")),
	STRING("generateName", 2, DOC("Prefix of a name that the server completes when name is empty.")),
	FIELD_STRING(M, namespace_, "namespace", .pb = 3, DOC("Namespace of the object.")),
	STRING("selfLink", 4, DOC("Not set any more.")),
	FIELD_STRING(M, uid, "uid", .pb = 5, DOC("Identity of the object in time and space, given by the server.")),
	FIELD_STRING(M, resource_version, "resourceVersion", .pb = 6, DOC("Version of the object as stored; opaque.")),
	FIELD_INT64(M, generation, "generation", .pb = 7,
		    DOC("Number that grows with each change of the desired state.")),
	FIELD_TIME(M, creation_timestamp, "creationTimestamp", .pb = 8, DOC("When the object was created.")),
	FIELD_TIME(M, deletion_timestamp, "deletionTimestamp", .pb = 9,
		   DOC("When the object goes away; set by deletion.")),
	INT64("deletionGracePeriodSeconds", 10, OPTIONAL,
	      DOC("Time that the object has for ending once its deletion is asked for.")),
	FIELD_STRING_MAP(M, labels, "labels", .pb = 11, DOC("Keys and values by which objects are selected.")),
	FIELD_STRING_MAP(M, annotations, "annotations", .pb = 12, DOC("Keys and values for tools; not selected by.")),
	FIELD_JSON_LIST(M, owner_references, "ownerReferences", &meta_v1_owner_reference, .pb = 13, KEYED("uid"),
			MERGE("uid"), DOC("Objects this one belongs to; when all of them are gone it is deleted.")),
	FIELD_STRINGS(M, finalizers, "finalizers", .pb = 14, SET, MERGE(""),
		      DOC("Who must act before the object may go away.")),
	LIST("managedFields", 17, meta_v1_managed_fields_entry,
	     DOC("Which manager owns which fields; kept by the server.")),
	FIELD_END,
};
const struct schema object_meta_schema = OBJECT(struct object_meta, "meta.v1.ObjectMeta", object_meta_fields,
						.doc = "What every object has: names, labels, owners.");

const struct schema kubernetes_bytes_map = {.type = SCHEMA_MAP, .items = &schema_bytes};
const struct schema kubernetes_int32_list = {.type = SCHEMA_LIST, .items = &schema_int32};
const struct schema kubernetes_int64_list = {.type = SCHEMA_LIST, .items = &schema_int64};
const struct schema kubernetes_any_list = {.type = SCHEMA_LIST, .items = &schema_any};
const struct schema kubernetes_atomic_string_map = {.type = SCHEMA_MAP, .items = &schema_string, .map_atomic = true};
