/* PersistentVolume and PersistentVolumeClaim. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field core_v1_modify_volume_status_fields[] = {
	STRING("targetVolumeAttributesClassName", 1),
	STRING("status", 2, DEFAULT("\"\"")),
	FIELD_END,
};
TYPE(core_v1_modify_volume_status, "core.v1.ModifyVolumeStatus");

static const struct field core_v1_persistent_volume_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, core_v1_persistent_volume_spec, DOC("What the object should be.")),
	OBJ("status", 3, core_v1_persistent_volume_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(core_v1_persistent_volume, "core.v1.PersistentVolume", .doc = "Storage that the cluster has.");

static const struct field core_v1_persistent_volume_claim_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, core_v1_persistent_volume_claim_spec, DOC("What the object should be.")),
	OBJ("status", 3, core_v1_persistent_volume_claim_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(core_v1_persistent_volume_claim, "core.v1.PersistentVolumeClaim",
     .doc = "A wish for storage, bound to a PersistentVolume.");

static const struct field core_v1_persistent_volume_claim_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastProbeTime", 3),
	TIME("lastTransitionTime", 4),
	STRING("reason", 5),
	STRING("message", 6),
	FIELD_END,
};
TYPE(core_v1_persistent_volume_claim_condition, "core.v1.PersistentVolumeClaimCondition");

static const struct field core_v1_persistent_volume_claim_spec_fields[] = {
	STRINGS("accessModes", 1, .min_items = 1, IMMUTABLE, DOC("How the storage should be mounted.")),
	OBJ("resources", 2, core_v1_volume_resource_requirements, DOC("How much is asked for.")),
	STRING("volumeName", 3, DOC("Volume that the claim is bound to.")),
	OBJ("selector", 4, meta_v1_label_selector, IMMUTABLE, DOC("Labels of volumes that may be bound.")),
	STRING("storageClassName", 5, OPTIONAL, DOC("Class that is asked for.")),
	STRING("volumeMode", 6, OPTIONAL, ONE_OF("Filesystem", "Block"), DEFAULT("\"Filesystem\""), IMMUTABLE,
		DOC("A file system or a block device.")),
	OBJ("dataSource", 7, core_v1_typed_local_object_reference, IMMUTABLE, DOC("What the volume starts with.")),
	OBJ("dataSourceRef", 8, core_v1_typed_object_reference),
	STRING("volumeAttributesClassName", 9, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_persistent_volume_claim_spec, "core.v1.PersistentVolumeClaimSpec", .doc = "What storage is asked for.");

static const struct field core_v1_persistent_volume_claim_status_fields[] = {
	STRING("phase", 1, DEFAULT("\"Pending\""), DOC("Pending, Bound or Lost.")),
	STRINGS("accessModes", 2, DOC("How the volume can be mounted.")),
	QUANTITY_MAP("capacity", 3, DOC("Size of the volume.")),
	LIST("conditions", 4, core_v1_persistent_volume_claim_condition, KEYED("type"), MERGE("type"),
		DOC("What is true of the claim now.")),
	QUANTITY_MAP("allocatedResources", 5),
	STRING_MAP("allocatedResourceStatuses", 7),
	STRING("currentVolumeAttributesClassName", 8, OPTIONAL),
	OBJ("modifyVolumeStatus", 9, core_v1_modify_volume_status),
	FIELD_END,
};
TYPE(core_v1_persistent_volume_claim_status, "core.v1.PersistentVolumeClaimStatus");

static const struct field core_v1_persistent_volume_claim_template_fields[] = {
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, core_v1_persistent_volume_claim_spec, REQUIRED, DOC("What the object should be.")),
	FIELD_END,
};
TYPE(core_v1_persistent_volume_claim_template, "core.v1.PersistentVolumeClaimTemplate");

static const struct field core_v1_persistent_volume_spec_fields[] = {
	QUANTITY_MAP("capacity", 1, DOC("Size of the volume.")),
	OBJ("gcePersistentDisk", 1, core_v1_gce_persistent_disk_volume_source, OUTER(2)),
	OBJ("awsElasticBlockStore", 2, core_v1_aws_elastic_block_store_volume_source, OUTER(2)),
	OBJ("hostPath", 3, core_v1_host_path_volume_source, OUTER(2), IMMUTABLE, DOC("A path of the node.")),
	OBJ("glusterfs", 4, core_v1_glusterfs_persistent_volume_source, OUTER(2)),
	OBJ("nfs", 5, core_v1_nfs_volume_source, OUTER(2), IMMUTABLE, DOC("A share of an NFS server.")),
	OBJ("rbd", 6, core_v1_rbd_persistent_volume_source, OUTER(2)),
	OBJ("iscsi", 7, core_v1_iscsi_persistent_volume_source, OUTER(2)),
	OBJ("cinder", 8, core_v1_cinder_persistent_volume_source, OUTER(2)),
	OBJ("cephfs", 9, core_v1_cephfs_persistent_volume_source, OUTER(2)),
	OBJ("fc", 10, core_v1_fc_volume_source, OUTER(2)),
	OBJ("flocker", 11, core_v1_flocker_volume_source, OUTER(2)),
	OBJ("flexVolume", 12, core_v1_flex_persistent_volume_source, OUTER(2)),
	OBJ("azureFile", 13, core_v1_azure_file_persistent_volume_source, OUTER(2)),
	OBJ("vsphereVolume", 14, core_v1_vsphere_virtual_disk_volume_source, OUTER(2)),
	OBJ("quobyte", 15, core_v1_quobyte_volume_source, OUTER(2)),
	OBJ("azureDisk", 16, core_v1_azure_disk_volume_source, OUTER(2)),
	OBJ("photonPersistentDisk", 17, core_v1_photon_persistent_disk_volume_source, OUTER(2)),
	OBJ("portworxVolume", 18, core_v1_portworx_volume_source, OUTER(2)),
	OBJ("scaleIO", 19, core_v1_scaleio_persistent_volume_source, OUTER(2)),
	OBJ("local", 20, core_v1_local_volume_source, OUTER(2), IMMUTABLE, DOC("A path or device of one node.")),
	OBJ("storageos", 21, core_v1_storageos_persistent_volume_source, OUTER(2)),
	OBJ("csi", 22, core_v1_csi_persistent_volume_source, OUTER(2), IMMUTABLE,
		DOC("A volume of a storage plug-in.")),
	STRINGS("accessModes", 3, .min_items = 1, DOC("How the volume may be mounted.")),
	OBJ("claimRef", 4, core_v1_granular_object_reference, DOC("Claim that the volume is bound to.")),
	STRING("persistentVolumeReclaimPolicy", 5, ONE_OF("Retain", "Delete", "Recycle"), DEFAULT("\"Retain\""),
		DOC("What happens when the claim is gone.")),
	STRING("storageClassName", 6, DOC("Class that the volume belongs to.")),
	STRINGS("mountOptions", 7, DOC("Options for the mount.")),
	STRING("volumeMode", 8, OPTIONAL, ONE_OF("Filesystem", "Block"), DEFAULT("\"Filesystem\""), IMMUTABLE,
		DOC("A file system or a block device.")),
	OBJ("nodeAffinity", 9, core_v1_volume_node_affinity, DOC("Nodes that can reach the volume.")),
	STRING("volumeAttributesClassName", 10, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_persistent_volume_spec, "core.v1.PersistentVolumeSpec", .doc = "What the volume is and who may use it.");

static const struct field core_v1_persistent_volume_status_fields[] = {
	STRING("phase", 1, DEFAULT("\"Pending\""), DOC("Pending, Available, Bound, Released or Failed.")),
	STRING("message", 2, DOC("Why the volume is in this state.")),
	STRING("reason", 3, DOC("Why the volume is in this state, in one word.")),
	TIME("lastPhaseTransitionTime", 4),
	FIELD_END,
};
TYPE(core_v1_persistent_volume_status, "core.v1.PersistentVolumeStatus");

static const struct field core_v1_topology_selector_label_requirement_fields[] = {
	STRING("key", 1, REQUIRED),
	STRINGS("values", 2, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_topology_selector_label_requirement, "core.v1.TopologySelectorLabelRequirement");

static const struct field core_v1_topology_selector_term_fields[] = {
	LIST("matchLabelExpressions", 1, core_v1_topology_selector_label_requirement),
	FIELD_END,
};
TYPE(core_v1_topology_selector_term, "core.v1.TopologySelectorTerm", .map_atomic = true);

static const struct field core_v1_typed_local_object_reference_fields[] = {
	STRING("apiGroup", 1, OPTIONAL),
	STRING("kind", 2, REQUIRED),
	STRING("name", 3, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_typed_local_object_reference, "core.v1.TypedLocalObjectReference", .map_atomic = true);

static const struct field core_v1_typed_object_reference_fields[] = {
	STRING("apiGroup", 1, OPTIONAL),
	STRING("kind", 2, REQUIRED),
	STRING("name", 3, REQUIRED),
	STRING("namespace", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_typed_object_reference, "core.v1.TypedObjectReference");

static const struct field core_v1_volume_node_affinity_fields[] = {
	OBJ("required", 1, core_v1_node_selector),
	FIELD_END,
};
TYPE(core_v1_volume_node_affinity, "core.v1.VolumeNodeAffinity");

static const struct field core_v1_volume_resource_requirements_fields[] = {
	QUANTITY_MAP("limits", 1),
	QUANTITY_MAP("requests", 2),
	FIELD_END,
};
TYPE(core_v1_volume_resource_requirements, "core.v1.VolumeResourceRequirements");
