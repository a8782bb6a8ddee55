/* Kubernetes' types: one table each, named as in its OpenAPI ("core.v1.Volume" is core_v1_volume). */
#pragma once

#include "api/field.h"

extern const struct schema core_v1_local_object_reference, core_v1_node_affinity, core_v1_node_selector, core_v1_resource_requirements,
	core_v1_toleration, core_v1_volume, core_v1_volume_mount, core_v1_volume_source;
