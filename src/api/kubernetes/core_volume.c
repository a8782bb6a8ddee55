/* Volumes of pods, and the sources that they and PersistentVolumes name. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field core_v1_aws_elastic_block_store_volume_source_fields[] = {
	STRING("volumeID", 1, REQUIRED),
	STRING("fsType", 2),
	INT32("partition", 3),
	BOOL("readOnly", 4),
	FIELD_END,
};
TYPE(core_v1_aws_elastic_block_store_volume_source, "core.v1.AWSElasticBlockStoreVolumeSource");

static const struct field core_v1_azure_disk_volume_source_fields[] = {
	STRING("diskName", 1, REQUIRED),
	STRING("diskURI", 2, REQUIRED),
	STRING("cachingMode", 3, OPTIONAL),
	STRING("fsType", 4, OPTIONAL),
	BOOL("readOnly", 5, OPTIONAL),
	STRING("kind", 6, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_azure_disk_volume_source, "core.v1.AzureDiskVolumeSource");

static const struct field core_v1_azure_file_persistent_volume_source_fields[] = {
	STRING("secretName", 1, REQUIRED),
	STRING("shareName", 2, REQUIRED),
	BOOL("readOnly", 3),
	STRING("secretNamespace", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_azure_file_persistent_volume_source, "core.v1.AzureFilePersistentVolumeSource");

static const struct field core_v1_azure_file_volume_source_fields[] = {
	STRING("secretName", 1, REQUIRED),
	STRING("shareName", 2, REQUIRED),
	BOOL("readOnly", 3),
	FIELD_END,
};
TYPE(core_v1_azure_file_volume_source, "core.v1.AzureFileVolumeSource");

static const struct field core_v1_csi_persistent_volume_source_fields[] = {
	STRING("driver", 1, REQUIRED, .min_length = 1, DOC("Name of the plug-in.")),
	STRING("volumeHandle", 2, REQUIRED, .min_length = 1, DOC("Name of the volume for the plug-in.")),
	BOOL("readOnly", 3, DOC("Whether the volume is only read.")),
	STRING("fsType", 4, DOC("File system to mount.")),
	STRING_MAP("volumeAttributes", 5, DOC("What the plug-in must know of the volume.")),
	OBJ("controllerPublishSecretRef", 6, core_v1_secret_reference),
	OBJ("nodeStageSecretRef", 7, core_v1_secret_reference),
	OBJ("nodePublishSecretRef", 8, core_v1_secret_reference),
	OBJ("controllerExpandSecretRef", 9, core_v1_secret_reference),
	OBJ("nodeExpandSecretRef", 10, core_v1_secret_reference),
	FIELD_END,
};
TYPE(core_v1_csi_persistent_volume_source, "core.v1.CSIPersistentVolumeSource",
     .doc = "A volume of a storage plug-in.");

static const struct field core_v1_csi_volume_source_fields[] = {
	STRING("driver", 1, REQUIRED),
	BOOL("readOnly", 2, OPTIONAL),
	STRING("fsType", 3, OPTIONAL),
	STRING_MAP("volumeAttributes", 4),
	OBJ("nodePublishSecretRef", 5, core_v1_local_object_reference),
	FIELD_END,
};
TYPE(core_v1_csi_volume_source, "core.v1.CSIVolumeSource");

static const struct field core_v1_cephfs_persistent_volume_source_fields[] = {
	STRINGS("monitors", 1, REQUIRED),
	STRING("path", 2),
	STRING("user", 3),
	STRING("secretFile", 4),
	OBJ("secretRef", 5, core_v1_secret_reference),
	BOOL("readOnly", 6),
	FIELD_END,
};
TYPE(core_v1_cephfs_persistent_volume_source, "core.v1.CephFSPersistentVolumeSource");

static const struct field core_v1_cephfs_volume_source_fields[] = {
	STRINGS("monitors", 1, REQUIRED),
	STRING("path", 2),
	STRING("user", 3),
	STRING("secretFile", 4),
	OBJ("secretRef", 5, core_v1_local_object_reference),
	BOOL("readOnly", 6),
	FIELD_END,
};
TYPE(core_v1_cephfs_volume_source, "core.v1.CephFSVolumeSource");

static const struct field core_v1_cinder_persistent_volume_source_fields[] = {
	STRING("volumeID", 1, REQUIRED),
	STRING("fsType", 2),
	BOOL("readOnly", 3),
	OBJ("secretRef", 4, core_v1_secret_reference),
	FIELD_END,
};
TYPE(core_v1_cinder_persistent_volume_source, "core.v1.CinderPersistentVolumeSource");

static const struct field core_v1_cinder_volume_source_fields[] = {
	STRING("volumeID", 1, REQUIRED),
	STRING("fsType", 2),
	BOOL("readOnly", 3),
	OBJ("secretRef", 4, core_v1_local_object_reference),
	FIELD_END,
};
TYPE(core_v1_cinder_volume_source, "core.v1.CinderVolumeSource");

static const struct field core_v1_cluster_trust_bundle_projection_fields[] = {
	STRING("name", 1, OPTIONAL),
	STRING("signerName", 2, OPTIONAL),
	OBJ("labelSelector", 3, meta_v1_label_selector),
	STRING("path", 4, REQUIRED),
	BOOL("optional", 5, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_cluster_trust_bundle_projection, "core.v1.ClusterTrustBundleProjection");

static const struct field core_v1_config_map_projection_fields[] = {
	STRING("name", 1, OUTER(1)),
	LIST("items", 2, core_v1_key_to_path),
	BOOL("optional", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_config_map_projection, "core.v1.ConfigMapProjection");

static const struct field core_v1_config_map_volume_source_fields[] = {
	STRING("name", 1, OUTER(1), DOC("Name of the ConfigMap.")),
	LIST("items", 2, core_v1_key_to_path, DOC("Keys to show, and as which files; all when unset.")),
	INT32("defaultMode", 3, OPTIONAL, AT_LEAST(0), AT_MOST(0777), DEFAULT("420"), DOC("Mode of the files.")),
	BOOL("optional", 4, OPTIONAL, DOC("Whether the ConfigMap may be missing.")),
	FIELD_END,
};
TYPE(core_v1_config_map_volume_source, "core.v1.ConfigMapVolumeSource", .doc = "Files made from a ConfigMap.");

static const struct field core_v1_downward_api_projection_fields[] = {
	LIST("items", 1, core_v1_downward_api_volume_file),
	FIELD_END,
};
TYPE(core_v1_downward_api_projection, "core.v1.DownwardAPIProjection");

static const struct field core_v1_downward_api_volume_file_fields[] = {
	STRING("path", 1, REQUIRED),
	OBJ("fieldRef", 2, core_v1_object_field_selector),
	OBJ("resourceFieldRef", 3, core_v1_resource_field_selector),
	INT32("mode", 4, OPTIONAL, AT_LEAST(0), AT_MOST(0777)),
	FIELD_END,
};
TYPE(core_v1_downward_api_volume_file, "core.v1.DownwardAPIVolumeFile");

static const struct field core_v1_downward_api_volume_source_fields[] = {
	LIST("items", 1, core_v1_downward_api_volume_file),
	INT32("defaultMode", 2, OPTIONAL, AT_LEAST(0), AT_MOST(0777), DEFAULT("420")),
	FIELD_END,
};
TYPE(core_v1_downward_api_volume_source, "core.v1.DownwardAPIVolumeSource");

static const struct field core_v1_empty_dir_volume_source_fields[] = {
	STRING("medium", 1, DOC("Empty for the node's disk, or Memory.")),
	QUANTITY("sizeLimit", 2, DOC("Most that may be stored.")),
	FIELD_END,
};
TYPE(core_v1_empty_dir_volume_source, "core.v1.EmptyDirVolumeSource",
     .doc = "A directory that lives as long as the pod.");

static const struct field core_v1_ephemeral_volume_source_fields[] = {
	OBJ("volumeClaimTemplate", 1, core_v1_persistent_volume_claim_template),
	FIELD_END,
};
TYPE(core_v1_ephemeral_volume_source, "core.v1.EphemeralVolumeSource");

static const struct field core_v1_fc_volume_source_fields[] = {
	STRINGS("targetWWNs", 1),
	INT32("lun", 2, OPTIONAL),
	STRING("fsType", 3),
	BOOL("readOnly", 4),
	STRINGS("wwids", 5),
	FIELD_END,
};
TYPE(core_v1_fc_volume_source, "core.v1.FCVolumeSource");

static const struct field core_v1_flex_persistent_volume_source_fields[] = {
	STRING("driver", 1, REQUIRED),
	STRING("fsType", 2),
	OBJ("secretRef", 3, core_v1_secret_reference),
	BOOL("readOnly", 4),
	STRING_MAP("options", 5),
	FIELD_END,
};
TYPE(core_v1_flex_persistent_volume_source, "core.v1.FlexPersistentVolumeSource");

static const struct field core_v1_flex_volume_source_fields[] = {
	STRING("driver", 1, REQUIRED),
	STRING("fsType", 2),
	OBJ("secretRef", 3, core_v1_local_object_reference),
	BOOL("readOnly", 4),
	STRING_MAP("options", 5),
	FIELD_END,
};
TYPE(core_v1_flex_volume_source, "core.v1.FlexVolumeSource");

static const struct field core_v1_flocker_volume_source_fields[] = {
	STRING("datasetName", 1),
	STRING("datasetUUID", 2),
	FIELD_END,
};
TYPE(core_v1_flocker_volume_source, "core.v1.FlockerVolumeSource");

static const struct field core_v1_gce_persistent_disk_volume_source_fields[] = {
	STRING("pdName", 1, REQUIRED),
	STRING("fsType", 2),
	INT32("partition", 3),
	BOOL("readOnly", 4),
	FIELD_END,
};
TYPE(core_v1_gce_persistent_disk_volume_source, "core.v1.GCEPersistentDiskVolumeSource");

static const struct field core_v1_git_repo_volume_source_fields[] = {
	STRING("repository", 1, REQUIRED),
	STRING("revision", 2),
	STRING("directory", 3),
	FIELD_END,
};
TYPE(core_v1_git_repo_volume_source, "core.v1.GitRepoVolumeSource");

static const struct field core_v1_glusterfs_persistent_volume_source_fields[] = {
	STRING("endpoints", 1, REQUIRED),
	STRING("path", 2, REQUIRED),
	BOOL("readOnly", 3),
	STRING("endpointsNamespace", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_glusterfs_persistent_volume_source, "core.v1.GlusterfsPersistentVolumeSource");

static const struct field core_v1_glusterfs_volume_source_fields[] = {
	STRING("endpoints", 1, REQUIRED),
	STRING("path", 2, REQUIRED),
	BOOL("readOnly", 3),
	FIELD_END,
};
TYPE(core_v1_glusterfs_volume_source, "core.v1.GlusterfsVolumeSource");

static const struct field core_v1_host_path_volume_source_fields[] = {
	STRING("path", 1, REQUIRED, DOC("Path on the node.")),
	STRING("type", 2, OPTIONAL, ONE_OF("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket",
		"CharDevice", "BlockDevice"), DEFAULT("\"\""), DOC("What must be at the path.")),
	FIELD_END,
};
TYPE(core_v1_host_path_volume_source, "core.v1.HostPathVolumeSource", .doc = "A path of the node.");

static const struct field core_v1_iscsi_persistent_volume_source_fields[] = {
	STRING("targetPortal", 1, REQUIRED),
	STRING("iqn", 2, REQUIRED),
	INT32("lun", 3, REQUIRED),
	STRING("iscsiInterface", 4, DEFAULT("\"default\"")),
	STRING("fsType", 5),
	BOOL("readOnly", 6),
	STRINGS("portals", 7),
	BOOL("chapAuthDiscovery", 8),
	OBJ("secretRef", 10, core_v1_secret_reference),
	BOOL("chapAuthSession", 11),
	STRING("initiatorName", 12, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_iscsi_persistent_volume_source, "core.v1.ISCSIPersistentVolumeSource");

static const struct field core_v1_iscsi_volume_source_fields[] = {
	STRING("targetPortal", 1, REQUIRED),
	STRING("iqn", 2, REQUIRED),
	INT32("lun", 3, REQUIRED),
	STRING("iscsiInterface", 4, DEFAULT("\"default\"")),
	STRING("fsType", 5),
	BOOL("readOnly", 6),
	STRINGS("portals", 7),
	BOOL("chapAuthDiscovery", 8),
	OBJ("secretRef", 10, core_v1_local_object_reference),
	BOOL("chapAuthSession", 11),
	STRING("initiatorName", 12, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_iscsi_volume_source, "core.v1.ISCSIVolumeSource");

static const struct field core_v1_image_volume_source_fields[] = {
	STRING("reference", 1),
	STRING("pullPolicy", 2),
	FIELD_END,
};
TYPE(core_v1_image_volume_source, "core.v1.ImageVolumeSource");

static const struct field core_v1_key_to_path_fields[] = {
	STRING("key", 1, REQUIRED),
	STRING("path", 2, REQUIRED),
	INT32("mode", 3, OPTIONAL, AT_LEAST(0), AT_MOST(0777)),
	FIELD_END,
};
TYPE(core_v1_key_to_path, "core.v1.KeyToPath");

static const struct field core_v1_local_volume_source_fields[] = {
	STRING("path", 1, REQUIRED),
	STRING("fsType", 2, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_local_volume_source, "core.v1.LocalVolumeSource");

static const struct field core_v1_nfs_volume_source_fields[] = {
	STRING("server", 1, REQUIRED),
	STRING("path", 2, REQUIRED),
	BOOL("readOnly", 3),
	FIELD_END,
};
TYPE(core_v1_nfs_volume_source, "core.v1.NFSVolumeSource");

static const struct field core_v1_persistent_volume_claim_volume_source_fields[] = {
	STRING("claimName", 1, REQUIRED, DOC("Name of the claim.")),
	BOOL("readOnly", 2, DOC("Whether the volume is only read.")),
	FIELD_END,
};
TYPE(core_v1_persistent_volume_claim_volume_source, "core.v1.PersistentVolumeClaimVolumeSource",
     .doc = "The volume of a claim.");

static const struct field core_v1_photon_persistent_disk_volume_source_fields[] = {
	STRING("pdID", 1, REQUIRED),
	STRING("fsType", 2),
	FIELD_END,
};
TYPE(core_v1_photon_persistent_disk_volume_source, "core.v1.PhotonPersistentDiskVolumeSource");

static const struct field core_v1_pod_certificate_projection_fields[] = {
	STRING("signerName", 1, REQUIRED),
	STRING("keyType", 2, REQUIRED),
	INT32("maxExpirationSeconds", 3, OPTIONAL),
	STRING("credentialBundlePath", 4),
	STRING("keyPath", 5),
	STRING("certificateChainPath", 6),
	FIELD_END,
};
TYPE(core_v1_pod_certificate_projection, "core.v1.PodCertificateProjection");

static const struct field core_v1_portworx_volume_source_fields[] = {
	STRING("volumeID", 1, REQUIRED),
	STRING("fsType", 2),
	BOOL("readOnly", 3),
	FIELD_END,
};
TYPE(core_v1_portworx_volume_source, "core.v1.PortworxVolumeSource");

static const struct field core_v1_projected_volume_source_fields[] = {
	LIST("sources", 1, core_v1_volume_projection),
	INT32("defaultMode", 2, OPTIONAL, AT_LEAST(0), AT_MOST(0777), DEFAULT("420")),
	FIELD_END,
};
TYPE(core_v1_projected_volume_source, "core.v1.ProjectedVolumeSource");

static const struct field core_v1_quobyte_volume_source_fields[] = {
	STRING("registry", 1, REQUIRED),
	STRING("volume", 2, REQUIRED),
	BOOL("readOnly", 3),
	STRING("user", 4),
	STRING("group", 5),
	STRING("tenant", 6),
	FIELD_END,
};
TYPE(core_v1_quobyte_volume_source, "core.v1.QuobyteVolumeSource");

static const struct field core_v1_rbd_persistent_volume_source_fields[] = {
	STRINGS("monitors", 1, REQUIRED),
	STRING("image", 2, REQUIRED),
	STRING("fsType", 3),
	STRING("pool", 4, DEFAULT("\"rbd\"")),
	STRING("user", 5),
	STRING("keyring", 6),
	OBJ("secretRef", 7, core_v1_secret_reference),
	BOOL("readOnly", 8),
	FIELD_END,
};
TYPE(core_v1_rbd_persistent_volume_source, "core.v1.RBDPersistentVolumeSource");

static const struct field core_v1_rbd_volume_source_fields[] = {
	STRINGS("monitors", 1, REQUIRED),
	STRING("image", 2, REQUIRED),
	STRING("fsType", 3),
	STRING("pool", 4, DEFAULT("\"rbd\"")),
	STRING("user", 5),
	STRING("keyring", 6),
	OBJ("secretRef", 7, core_v1_local_object_reference),
	BOOL("readOnly", 8),
	FIELD_END,
};
TYPE(core_v1_rbd_volume_source, "core.v1.RBDVolumeSource");

static const struct field core_v1_scaleio_persistent_volume_source_fields[] = {
	STRING("gateway", 1, REQUIRED),
	STRING("system", 2, REQUIRED),
	OBJ("secretRef", 3, core_v1_secret_reference, REQUIRED),
	BOOL("sslEnabled", 4),
	STRING("protectionDomain", 5),
	STRING("storagePool", 6),
	STRING("storageMode", 7),
	STRING("volumeName", 8),
	STRING("fsType", 9),
	BOOL("readOnly", 10),
	FIELD_END,
};
TYPE(core_v1_scaleio_persistent_volume_source, "core.v1.ScaleIOPersistentVolumeSource");

static const struct field core_v1_scaleio_volume_source_fields[] = {
	STRING("gateway", 1, REQUIRED),
	STRING("system", 2, REQUIRED),
	OBJ("secretRef", 3, core_v1_local_object_reference, REQUIRED),
	BOOL("sslEnabled", 4),
	STRING("protectionDomain", 5),
	STRING("storagePool", 6),
	STRING("storageMode", 7),
	STRING("volumeName", 8),
	STRING("fsType", 9),
	BOOL("readOnly", 10),
	FIELD_END,
};
TYPE(core_v1_scaleio_volume_source, "core.v1.ScaleIOVolumeSource");

static const struct field core_v1_secret_projection_fields[] = {
	STRING("name", 1, OUTER(1)),
	LIST("items", 2, core_v1_key_to_path),
	BOOL("optional", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_secret_projection, "core.v1.SecretProjection");

static const struct field core_v1_secret_volume_source_fields[] = {
	STRING("secretName", 1, DOC("Name of the Secret.")),
	LIST("items", 2, core_v1_key_to_path, DOC("Keys to show, and as which files; all when unset.")),
	INT32("defaultMode", 3, OPTIONAL, AT_LEAST(0), AT_MOST(0777), DEFAULT("420"), DOC("Mode of the files.")),
	BOOL("optional", 4, OPTIONAL, DOC("Whether the Secret may be missing.")),
	FIELD_END,
};
TYPE(core_v1_secret_volume_source, "core.v1.SecretVolumeSource", .doc = "Files made from a Secret.");

static const struct field core_v1_service_account_token_projection_fields[] = {
	STRING("audience", 1),
	INT64("expirationSeconds", 2, OPTIONAL, AT_LEAST(600), DEFAULT("3600")),
	STRING("path", 3, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_service_account_token_projection, "core.v1.ServiceAccountTokenProjection");

static const struct field core_v1_storageos_persistent_volume_source_fields[] = {
	STRING("volumeName", 1),
	STRING("volumeNamespace", 2),
	STRING("fsType", 3),
	BOOL("readOnly", 4),
	OBJ("secretRef", 5, core_v1_object_reference),
	FIELD_END,
};
TYPE(core_v1_storageos_persistent_volume_source, "core.v1.StorageOSPersistentVolumeSource");

static const struct field core_v1_storageos_volume_source_fields[] = {
	STRING("volumeName", 1),
	STRING("volumeNamespace", 2),
	STRING("fsType", 3),
	BOOL("readOnly", 4),
	OBJ("secretRef", 5, core_v1_local_object_reference),
	FIELD_END,
};
TYPE(core_v1_storageos_volume_source, "core.v1.StorageOSVolumeSource");

/* The sources of a volume: JSON has them beside its name, the protobuf form in a message of their own (@outer; 0: none around). */
#define VOLUME_SOURCES(outer) \
	OBJ("hostPath", 1, core_v1_host_path_volume_source, OUTER(outer), DOC("A path of the node.")), \
	OBJ("emptyDir", 2, core_v1_empty_dir_volume_source, OUTER(outer), \
		DOC("A directory that lives as long as the pod.")), \
	OBJ("gcePersistentDisk", 3, core_v1_gce_persistent_disk_volume_source, OUTER(outer)), \
	OBJ("awsElasticBlockStore", 4, core_v1_aws_elastic_block_store_volume_source, OUTER(outer)), \
	OBJ("gitRepo", 5, core_v1_git_repo_volume_source, OUTER(outer)), \
	OBJ("secret", 6, core_v1_secret_volume_source, OUTER(outer), DOC("Files made from a Secret.")), \
	OBJ("nfs", 7, core_v1_nfs_volume_source, OUTER(outer), DOC("A share of an NFS server.")), \
	OBJ("iscsi", 8, core_v1_iscsi_volume_source, OUTER(outer)), \
	OBJ("glusterfs", 9, core_v1_glusterfs_volume_source, OUTER(outer)), \
	OBJ("persistentVolumeClaim", 10, core_v1_persistent_volume_claim_volume_source, OUTER(outer), \
		DOC("The volume of a claim.")), \
	OBJ("rbd", 11, core_v1_rbd_volume_source, OUTER(outer)), \
	OBJ("flexVolume", 12, core_v1_flex_volume_source, OUTER(outer)), \
	OBJ("cinder", 13, core_v1_cinder_volume_source, OUTER(outer)), \
	OBJ("cephfs", 14, core_v1_cephfs_volume_source, OUTER(outer)), \
	OBJ("flocker", 15, core_v1_flocker_volume_source, OUTER(outer)), \
	OBJ("downwardAPI", 16, core_v1_downward_api_volume_source, OUTER(outer), \
		DOC("Files that tell of the pod itself.")), \
	OBJ("fc", 17, core_v1_fc_volume_source, OUTER(outer)), \
	OBJ("azureFile", 18, core_v1_azure_file_volume_source, OUTER(outer)), \
	OBJ("configMap", 19, core_v1_config_map_volume_source, OUTER(outer), DOC("Files made from a ConfigMap.")), \
	OBJ("vsphereVolume", 20, core_v1_vsphere_virtual_disk_volume_source, OUTER(outer)), \
	OBJ("quobyte", 21, core_v1_quobyte_volume_source, OUTER(outer)), \
	OBJ("azureDisk", 22, core_v1_azure_disk_volume_source, OUTER(outer)), \
	OBJ("photonPersistentDisk", 23, core_v1_photon_persistent_disk_volume_source, OUTER(outer)), \
	OBJ("portworxVolume", 24, core_v1_portworx_volume_source, OUTER(outer)), \
	OBJ("scaleIO", 25, core_v1_scaleio_volume_source, OUTER(outer)), \
	OBJ("projected", 26, core_v1_projected_volume_source, OUTER(outer), \
		DOC("Several sources in one directory.")), \
	OBJ("storageos", 27, core_v1_storageos_volume_source, OUTER(outer)), \
	OBJ("csi", 28, core_v1_csi_volume_source, OUTER(outer), \
		DOC("A volume of a storage plug-in, made for the pod.")), \
	OBJ("ephemeral", 29, core_v1_ephemeral_volume_source, OUTER(outer)), \
	OBJ("image", 30, core_v1_image_volume_source, OUTER(outer))

static const struct field core_v1_volume_fields[] = {
	STRING("name", 1, REQUIRED, .min_length = 1, DOC("Name of the volume, unique in the pod.")),
	VOLUME_SOURCES(2),
	FIELD_END,
};
TYPE(core_v1_volume, "core.v1.Volume", .doc = "Files that containers of a pod may mount.");

static const struct field core_v1_volume_source_fields[] = {
	VOLUME_SOURCES(0),
	FIELD_END,
};
TYPE(core_v1_volume_source, "core.v1.VolumeSource", .doc = "Where the files of a volume come from; exactly one member is set.");

static const struct field core_v1_volume_projection_fields[] = {
	OBJ("secret", 1, core_v1_secret_projection),
	OBJ("downwardAPI", 2, core_v1_downward_api_projection),
	OBJ("configMap", 3, core_v1_config_map_projection),
	OBJ("serviceAccountToken", 4, core_v1_service_account_token_projection),
	OBJ("clusterTrustBundle", 5, core_v1_cluster_trust_bundle_projection),
	OBJ("podCertificate", 6, core_v1_pod_certificate_projection),
	FIELD_END,
};
TYPE(core_v1_volume_projection, "core.v1.VolumeProjection");

static const struct field core_v1_vsphere_virtual_disk_volume_source_fields[] = {
	STRING("volumePath", 1, REQUIRED),
	STRING("fsType", 2),
	STRING("storagePolicyName", 3),
	STRING("storagePolicyID", 4),
	FIELD_END,
};
TYPE(core_v1_vsphere_virtual_disk_volume_source, "core.v1.VsphereVirtualDiskVolumeSource");
