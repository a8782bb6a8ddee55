/* StorageClass, CSIDriver, CSINode, VolumeAttachment. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field storage_v1_csi_driver_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, storage_v1_csi_driver_spec, REQUIRED, DOC("What the object should be.")),
	FIELD_END,
};
TYPE(storage_v1_csi_driver, "storage.v1.CSIDriver", .doc = "What the cluster must know of a storage plug-in.");

static const struct field storage_v1_csi_driver_spec_fields[] = {
	BOOL("attachRequired", 1, OPTIONAL, DEFAULT("true"), DOC("Whether volumes must be attached first.")),
	BOOL("podInfoOnMount", 2, OPTIONAL, DEFAULT("false"), DOC("Whether the plug-in is told about the pod.")),
	STRINGS("volumeLifecycleModes", 3, SET, DEFAULT("[\"Persistent\"]"), DOC("Persistent, Ephemeral or both.")),
	BOOL("storageCapacity", 4, OPTIONAL, DEFAULT("false")),
	STRING("fsGroupPolicy", 5, OPTIONAL, DEFAULT("\"ReadWriteOnceWithFSType\""), ONE_OF("ReadWriteOnceWithFSType",
		"File", "None"), DOC("Whether the group of the files is changed.")),
	LIST("tokenRequests", 6, storage_v1_token_request),
	BOOL("requiresRepublish", 7, OPTIONAL, DEFAULT("false")),
	BOOL("seLinuxMount", 8, OPTIONAL, DEFAULT("false")),
	INT64("nodeAllocatableUpdatePeriodSeconds", 9, OPTIONAL),
	FIELD_END,
};
TYPE(storage_v1_csi_driver_spec, "storage.v1.CSIDriverSpec");

static const struct field storage_v1_csi_node_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, storage_v1_csi_node_spec, REQUIRED, DOC("What the object should be.")),
	FIELD_END,
};
TYPE(storage_v1_csi_node, "storage.v1.CSINode", .doc = "The storage plug-ins of a node.");

static const struct field storage_v1_csi_node_driver_fields[] = {
	STRING("name", 1, REQUIRED),
	STRING("nodeID", 2, REQUIRED),
	STRINGS("topologyKeys", 3),
	OBJ("allocatable", 4, storage_v1_volume_node_resources),
	FIELD_END,
};
TYPE(storage_v1_csi_node_driver, "storage.v1.CSINodeDriver");

static const struct field storage_v1_csi_node_spec_fields[] = {
	LIST("drivers", 1, storage_v1_csi_node_driver, REQUIRED, KEYED("name"), MERGE("name")),
	FIELD_END,
};
TYPE(storage_v1_csi_node_spec, "storage.v1.CSINodeSpec");

static const struct field storage_v1_storage_class_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	STRING("provisioner", 2, REQUIRED, .min_length = 1, IMMUTABLE, DOC("Who makes the volumes.")),
	STRING_MAP("parameters", 3, IMMUTABLE, DOC("What the provisioner must know.")),
	STRING("reclaimPolicy", 4, OPTIONAL, ONE_OF("Retain", "Delete"), DEFAULT("\"Delete\""), IMMUTABLE,
		DOC("What happens to volumes when their claims are gone.")),
	STRINGS("mountOptions", 5, DOC("Options for the mounts.")),
	BOOL("allowVolumeExpansion", 6, OPTIONAL, DOC("Whether claims may grow.")),
	STRING("volumeBindingMode", 7, OPTIONAL, ONE_OF("Immediate", "WaitForFirstConsumer"), DEFAULT("\"Immediate\""),
		IMMUTABLE, DOC("Whether binding waits for a pod.")),
	LIST("allowedTopologies", 8, core_v1_topology_selector_term, DOC("Where volumes may be made.")),
	FIELD_END,
};
TYPE(storage_v1_storage_class, "storage.v1.StorageClass", .doc = "A kind of storage that claims may ask for.");

static const struct field storage_v1_token_request_fields[] = {
	STRING("audience", 1, REQUIRED),
	INT64("expirationSeconds", 2, OPTIONAL),
	FIELD_END,
};
TYPE(storage_v1_token_request, "storage.v1.TokenRequest");

static const struct field storage_v1_volume_attachment_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, storage_v1_volume_attachment_spec, REQUIRED, IMMUTABLE, DOC("What the object should be.")),
	OBJ("status", 3, storage_v1_volume_attachment_status, DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(storage_v1_volume_attachment, "storage.v1.VolumeAttachment", .doc = "The wish that a volume be attached to a node.");

static const struct field storage_v1_volume_attachment_source_fields[] = {
	STRING("persistentVolumeName", 1, OPTIONAL, DOC("The volume to attach.")),
	OBJ("inlineVolumeSpec", 2, core_v1_persistent_volume_spec),
	FIELD_END,
};
TYPE(storage_v1_volume_attachment_source, "storage.v1.VolumeAttachmentSource");

static const struct field storage_v1_volume_attachment_spec_fields[] = {
	STRING("attacher", 1, REQUIRED, .min_length = 1, DOC("The storage plug-in that must do it.")),
	OBJ("source", 2, storage_v1_volume_attachment_source, REQUIRED, DOC("What is attached.")),
	STRING("nodeName", 3, REQUIRED, .min_length = 1, DOC("Where it is attached.")),
	FIELD_END,
};
TYPE(storage_v1_volume_attachment_spec, "storage.v1.VolumeAttachmentSpec");

static const struct field storage_v1_volume_attachment_status_fields[] = {
	BOOL("attached", 1, REQUIRED, DEFAULT("false"), DOC("Whether it is attached.")),
	STRING_MAP("attachmentMetadata", 2, DOC("What the plug-in must know at mounting.")),
	OBJ("attachError", 3, storage_v1_volume_error, DOC("The last failure of attaching.")),
	OBJ("detachError", 4, storage_v1_volume_error, DOC("The last failure of detaching.")),
	FIELD_END,
};
TYPE(storage_v1_volume_attachment_status, "storage.v1.VolumeAttachmentStatus");

static const struct field storage_v1_volume_error_fields[] = {
	TIME("time", 1),
	STRING("message", 2),
	INT32("errorCode", 3, OPTIONAL),
	FIELD_END,
};
TYPE(storage_v1_volume_error, "storage.v1.VolumeError");

static const struct field storage_v1_volume_node_resources_fields[] = {
	INT32("count", 1, OPTIONAL),
	FIELD_END,
};
TYPE(storage_v1_volume_node_resources, "storage.v1.VolumeNodeResources");
