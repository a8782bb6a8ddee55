/* Rows of volumes, services and events. */
#include <ctype.h>
#include <string.h>

#include "api/kubernetes/columns.h"
#include "base/strbuf.h"
#include "json/json.h"

#define CELL_MAX 4096

/* PersistentVolume, PersistentVolumeClaim */

static const char *access_mode_short(const char *mode)
{
	static const struct {
		const char *mode, *text;
	} modes[] = {
		{"ReadWriteOnce", "RWO"},
		{"ReadOnlyMany", "ROX"},
		{"ReadWriteMany", "RWX"},
		{"ReadWriteOncePod", "RWOP"},
	};
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(mode, modes[i].mode) == 0)
			return modes[i].text;
	return "";
}

static json_t *cell_access_modes(const json_t *list)
{
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	size_t i;
	json_t *mode;
	json_array_foreach (list, i, mode) {
		const char *text = json_is_string(mode) ? access_mode_short(json_string_value(mode)) : "";
		if (text[0] != '\0')
			strbuf_addf(&b, "%s%s", b.n == 0 ? "" : ",", text);
	}
	return cell_take(&b, "");
}

static json_t *phase_or_terminating(const json_t *obj, int64_t now)
{
	(void)now;
	if (json_str(obj, "metadata.deletionTimestamp", NULL) != NULL)
		return json_string("Terminating");
	return cell_string(obj, "status.phase", "");
}

static json_t *storage_class(const json_t *obj, int64_t now)
{
	(void)now;
	const char *old = json_str(obj, "metadata.annotations[\"volume.beta.kubernetes.io/storage-class\"]", "");
	return old[0] != '\0' ? json_string(old) : cell_string(obj, "spec.storageClassName", "");
}

static json_t *volume_mode(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "spec.volumeMode", UNSET);
}

static json_t *pv_capacity(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "spec.capacity.storage", "0");
}

static json_t *pv_access_modes(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_access_modes(json_at(obj, "spec.accessModes"));
}

static json_t *pv_reclaim(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "spec.persistentVolumeReclaimPolicy", "");
}

static json_t *pv_claim(const json_t *obj, int64_t now)
{
	(void)now;
	const json_t *claim = json_at(obj, "spec.claimRef");
	if (claim == NULL)
		return json_string("");
	return json_sprintf("%s/%s", json_str(claim, "namespace", ""), json_str(claim, "name", ""));
}

static json_t *pv_reason(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "status.reason", "");
}

const struct column persistent_volume_columns[] = {
	COLUMN_NAME,
	COLUMN("Capacity", "string", pv_capacity, "Size of the volume."),
	COLUMN("Access Modes", "string", pv_access_modes, "How the volume may be mounted."),
	COLUMN("Reclaim Policy", "string", pv_reclaim, "What happens when the claim is gone."),
	COLUMN("Status", "string", phase_or_terminating, "Phase of the volume."),
	COLUMN("Claim", "string", pv_claim, "Claim that the volume is bound to."),
	COLUMN("StorageClass", "string", storage_class, "Class that the volume belongs to."),
	COLUMN("Reason", "string", pv_reason, "Why the volume is in this state."),
	COLUMN_AGE,
	WIDE("VolumeMode", "string", volume_mode, "A file system or a block device."),
	COLUMN_END,
};

static json_t *pvc_volume(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "spec.volumeName", "");
}

/* Size and modes are shown once there is a volume. */
static json_t *pvc_capacity(const json_t *obj, int64_t now)
{
	(void)now;
	if (json_str(obj, "spec.volumeName", "")[0] == '\0')
		return json_string("");
	return cell_string(obj, "status.capacity.storage", "0");
}

static json_t *pvc_access_modes(const json_t *obj, int64_t now)
{
	(void)now;
	if (json_str(obj, "spec.volumeName", "")[0] == '\0')
		return json_string("");
	return cell_access_modes(json_at(obj, "status.accessModes"));
}

const struct column persistent_volume_claim_columns[] = {
	COLUMN_NAME,
	COLUMN("Status", "string", phase_or_terminating, "Phase of the claim."),
	COLUMN("Volume", "string", pvc_volume, "Volume that the claim is bound to."),
	COLUMN("Capacity", "string", pvc_capacity, "Size of the volume."),
	COLUMN("Access Modes", "string", pvc_access_modes, "How the volume can be mounted."),
	COLUMN("StorageClass", "string", storage_class, "Class that is asked for."),
	COLUMN_AGE,
	WIDE("VolumeMode", "string", volume_mode, "A file system or a block device."),
	COLUMN_END,
};

/* Service, Endpoints */

static json_t *service_type(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "spec.type", "ClusterIP");
}

static json_t *service_cluster_ip(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "spec.clusterIP", NONE);
}

static void add_joined(struct strbuf *b, const json_t *list, const char *member)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		const char *text = member == NULL ? json_string_value(item) : json_str(item, member, "");
		if (text != NULL && text[0] != '\0')
			strbuf_addf(b, "%s%s", b->n == 0 ? "" : ",", text);
	}
}

static json_t *service_external_ip(const json_t *obj, int64_t now)
{
	(void)now;
	const char *type = json_str(obj, "spec.type", "ClusterIP");
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	if (strcmp(type, "ExternalName") == 0)
		return cell_string(obj, "spec.externalName", NONE);
	if (strcmp(type, "LoadBalancer") == 0) {
		add_joined(&b, json_at(obj, "status.loadBalancer.ingress"), "ip");
		add_joined(&b, json_at(obj, "status.loadBalancer.ingress"), "hostname");
	}
	add_joined(&b, json_at(obj, "spec.externalIPs"), NULL);
	return cell_take(&b, strcmp(type, "LoadBalancer") == 0 ? "<pending>" : NONE);
}

static json_t *service_ports(const json_t *obj, int64_t now)
{
	(void)now;
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	size_t i;
	json_t *p;
	json_array_foreach (json_at(obj, "spec.ports"), i, p) {
		const long long node_port = json_int(p, "nodePort", 0);
		strbuf_addf(&b, "%s%lld", i == 0 ? "" : ",", (long long)json_int(p, "port", 0));
		if (node_port > 0)
			strbuf_addf(&b, ":%lld", node_port);
		strbuf_addf(&b, "/%s", json_str(p, "protocol", "TCP"));
	}
	return cell_take(&b, NONE);
}

static json_t *service_selector(const json_t *obj, int64_t now)
{
	(void)now;
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)json_at(obj, "spec.selector"), key, value)
		strbuf_addf(&b, "%s%s=%s", b.n == 0 ? "" : ",", key,
			    json_is_string(value) ? json_string_value(value) : "");
	return cell_take(&b, NONE);
}

const struct column service_columns[] = {
	COLUMN_NAME,
	COLUMN("Type", "string", service_type, "How the service can be reached."),
	COLUMN("Cluster-IP", "string", service_cluster_ip, "Address inside the cluster."),
	COLUMN("External-IP", "string", service_external_ip, "Addresses outside the cluster."),
	COLUMN("Port(s)", "string", service_ports, "Ports of the service, and those of the nodes."),
	COLUMN_AGE,
	WIDE("Selector", "string", service_selector, "Labels of the pods behind the service."),
	COLUMN_END,
};

#define ENDPOINTS_SHOWN 3

static json_t *endpoints_list(const json_t *obj, int64_t now)
{
	(void)now;
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	size_t i, k, p, total = 0;
	json_t *subset, *address, *port;
	json_array_foreach (json_at(obj, "subsets"), i, subset) {
		json_array_foreach (json_object_get(subset, "addresses"), k, address) {
			const char *ip = json_str(address, "ip", "");
			const json_t *ports = json_object_get(subset, "ports");
			if (json_array_size(ports) == 0 && total++ < ENDPOINTS_SHOWN)
				strbuf_addf(&b, "%s%s", b.n == 0 ? "" : ",", ip);
			json_array_foreach (ports, p, port)
				if (total++ < ENDPOINTS_SHOWN)
					strbuf_addf(&b, "%s%s:%lld", b.n == 0 ? "" : ",", ip,
						    (long long)json_int(port, "port", 0));
		}
	}
	if (total > ENDPOINTS_SHOWN)
		strbuf_addf(&b, " + %zu more...", total - ENDPOINTS_SHOWN);
	return cell_take(&b, NONE);
}

const struct column endpoints_columns[] = {
	COLUMN_NAME,
	COLUMN("Endpoints", "string", endpoints_list, "Addresses behind the service."),
	COLUMN_AGE,
	COLUMN_END,
};

/* Event, in the form of either group */

static const char *first_set(const json_t *obj, const char *const *paths)
{
	for (; *paths != NULL; paths++) {
		const char *s = json_str(obj, *paths, "");
		if (s[0] != '\0')
			return s;
	}
	return NULL;
}

static json_t *event_first_seen(const json_t *obj, int64_t now)
{
	return cell_since(
		first_set(obj, (const char *const[]){"firstTimestamp", "deprecatedFirstTimestamp", "eventTime", NULL}),
		now);
}

static json_t *event_last_seen(const json_t *obj, int64_t now)
{
	return cell_since(first_set(obj, (const char *const[]){"series.lastObservedTime", "lastTimestamp",
							       "deprecatedLastTimestamp", "eventTime", "firstTimestamp",
							       "deprecatedFirstTimestamp", NULL}),
			  now);
}

static json_t *event_type(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "type", "");
}

static json_t *event_reason(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "reason", "");
}

static const json_t *event_about(const json_t *obj)
{
	const json_t *about = json_object_get(obj, "involvedObject");
	return about != NULL ? about : json_object_get(obj, "regarding");
}

static json_t *event_object(const json_t *obj, int64_t now)
{
	(void)now;
	const json_t *about = event_about(obj);
	const char *kind = json_str(about, "kind", ""), *name = json_str(about, "name", "");
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	for (const char *p = kind; *p != '\0'; p++)
		strbuf_addc(&b, (char)tolower((unsigned char)*p));
	strbuf_addf(&b, "%s%s", name[0] == '\0' ? "" : "/", name);
	return cell_take(&b, "");
}

static json_t *event_subobject(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(event_about(obj), "fieldPath", "");
}

static json_t *event_source(const json_t *obj, int64_t now)
{
	(void)now;
	const char *who = first_set(obj, (const char *const[]){"source.component", "deprecatedSource.component",
							       "reportingComponent", "reportingController", NULL});
	const char *where = first_set(
		obj, (const char *const[]){"source.host", "deprecatedSource.host", "reportingInstance", NULL});
	return json_sprintf("%s%s%s", who == NULL ? "" : who, where == NULL ? "" : ", ", where == NULL ? "" : where);
}

static json_t *event_message(const json_t *obj, int64_t now)
{
	(void)now;
	const char *text = json_str(obj, "message", json_str(obj, "note", ""));
	size_t n = strlen(text);
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	return json_stringn(text, n);
}

static json_t *event_count(const json_t *obj, int64_t now)
{
	(void)now;
	const json_t *series = json_at(obj, "series");
	const int64_t n = series != NULL ? json_int(series, "count", 1)
					 : json_int(obj, "count", json_int(obj, "deprecatedCount", 1));
	return json_sprintf("%lld", (long long)(n > 0 ? n : 1));
}

const struct column event_columns[] = {
	COLUMN("Last Seen", "string", event_last_seen, "How long ago it happened last."),
	COLUMN("Type", "string", event_type, "Normal or Warning."),
	COLUMN("Reason", "string", event_reason, "What happened, in one word."),
	COLUMN("Object", "string", event_object, "What the event is about."),
	WIDE("Subobject", "string", event_subobject, "Part of the object."),
	WIDE("Source", "string", event_source, "Who tells it."),
	COLUMN("Message", "string", event_message, "What happened, for people."),
	WIDE("First Seen", "string", event_first_seen, "How long ago it happened first."),
	WIDE("Count", "string", event_count, "How often it happened."),
	{.name = "Name",
	 .type = "string",
	 .format = "name",
	 .render = render_name,
	 .priority = 1,
	 .doc = "Name of the object."},
	COLUMN_END,
};
