/* What Alluxio is told: ports, properties and options of the Java virtual machines, as environment of its containers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/strbuf.h"
#include "engines/alluxio/alluxio.h"
#include "runtime/mounts.h"
#include "runtime/objects.h"
#include "json/json.h"

#define OPTIONS_MAX (1u << 18)

static const struct {
	const char *name, *property;
	enum alluxio_part part;
	const char *key; /* in the component's ports */
	int usual;
} port_table[ALLUXIO_PORTS] = {
	[ALLUXIO_MASTER_RPC] = {"master-rpc", "alluxio.master.rpc.port", ALLUXIO_PART_MASTER, "rpc", 19998},
	[ALLUXIO_MASTER_WEB] = {"master-web", "alluxio.master.web.port", ALLUXIO_PART_MASTER, "web", 19999},
	[ALLUXIO_WORKER_RPC] = {"worker-rpc", "alluxio.worker.rpc.port", ALLUXIO_PART_WORKER, "rpc", 29999},
	[ALLUXIO_WORKER_WEB] = {"worker-web", "alluxio.worker.web.port", ALLUXIO_PART_WORKER, "web", 30000},
	[ALLUXIO_JOB_MASTER_RPC] = {"job-master-rpc", "alluxio.job.master.rpc.port", ALLUXIO_PART_JOB_MASTER, "rpc",
				    20001},
	[ALLUXIO_JOB_MASTER_WEB] = {"job-master-web", "alluxio.job.master.web.port", ALLUXIO_PART_JOB_MASTER, "web",
				    20002},
	[ALLUXIO_JOB_WORKER_RPC] = {"job-worker-rpc", "alluxio.job.worker.rpc.port", ALLUXIO_PART_JOB_WORKER, "rpc",
				    30001},
	[ALLUXIO_JOB_WORKER_WEB] = {"job-worker-web", "alluxio.job.worker.web.port", ALLUXIO_PART_JOB_WORKER, "web",
				    30003},
	[ALLUXIO_JOB_WORKER_DATA] = {"job-worker-data", "alluxio.job.worker.data.port", ALLUXIO_PART_JOB_WORKER, "data",
				     30002},
	[ALLUXIO_PROXY_WEB] = {"proxy-web", "alluxio.proxy.web.port", ALLUXIO_PART_GATEWAY, "web", 39999},
	[ALLUXIO_MASTER_JOURNAL] = {"journal", "alluxio.master.embedded.journal.port", ALLUXIO_PART_MASTER,
				    "embeddedJournal", 19200},
	[ALLUXIO_JOB_MASTER_JOURNAL] = {"job-journal", "alluxio.job.master.embedded.journal.port",
					ALLUXIO_PART_JOB_MASTER, "embeddedJournal", 20003},
};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "properties: out of memory");
}

/* --- ports ---------------------------------------------------------------------------------------------------------------------- */

static bool port_is_used(const struct alluxio_specs *s, size_t i)
{
	if (i == ALLUXIO_PROXY_WEB)
		return s->runtime.spec.api_gateway.enabled;
	return s->masters > 1 || (i != ALLUXIO_MASTER_JOURNAL && i != ALLUXIO_JOB_MASTER_JOURNAL);
}

/* Of the spec itself: a property, or the component's; 0: none. */
static int own_port(const struct alluxio_specs *s, size_t i, struct error *err)
{
	const char *text = string_map_get(&s->runtime.spec.properties, port_table[i].property);
	const char *part = alluxio_part_name(port_table[i].part);
	int64_t port = json_int(alluxio_component_of(s, port_table[i].part)->ports, port_table[i].key, 0);
	if (text != NULL && str_to_i64(text, &port) < 0)
		port = -1;
	if (port < 0 || port > 65535)
		return error_set(err, -EINVAL, "spec.%s.ports.%s: is no port", part, port_table[i].key);
	return (int)port;
}

int alluxio_ports(struct reconcile_ctx *ctx, struct alluxio_specs *s, struct error *err)
{
	const char *names[ALLUXIO_PORTS];
	int got[ALLUXIO_PORTS], map[ALLUXIO_PORTS];
	size_t n = 0;
	for (size_t i = 0; i < ALLUXIO_PORTS; i++) {
		int own = port_is_used(s, i) ? own_port(s, i, err) : 0;
		if (own < 0)
			return own;
		s->ports[i] = own > 0 ? own : port_is_used(s, i) && !s->host_ports ? port_table[i].usual : 0;
		if (port_is_used(s, i) && s->ports[i] == 0) {
			names[n] = port_table[i].name;
			map[n++] = (int)i;
		}
	}
	int rc = engine_ports(ctx, names, n, got, err);
	for (size_t i = 0; i < n && rc == 0; i++)
		s->ports[map[i]] = got[i];
	return rc;
}

/* --- properties ----------------------------------------------------------------------------------------------------------------- */

static const struct string_pair defaults[] = {
	{"alluxio.security.stale.channel.purge.interval", "365d"},
	{"alluxio.master.security.impersonation.root.users", "*"},
	{"alluxio.master.security.impersonation.root.groups", "*"},
	{"alluxio.security.authorization.permission.enabled", "false"},
	{"alluxio.fuse.jnifuse.enabled", "true"},
	{"alluxio.fuse.jnifuse.libfuse.version", "3"},
	{"alluxio.fuse.debug.enabled", "false"},
	{"alluxio.fuse.cached.paths.max", "1000000"},
	{"alluxio.fuse.logging.threshold", "1000ms"},
	{"alluxio.master.metastore", "ROCKS"},
	{"alluxio.master.metastore.inode.cache.max.size", "10000000"},
	{"alluxio.master.journal.log.size.bytes.max", "500MB"},
	{"alluxio.master.journal.folder", "/journal"},
	{"alluxio.master.metadata.sync.concurrency.level", "128"},
	{"alluxio.master.metadata.sync.executor.pool.size", "128"},
	{"alluxio.master.metadata.sync.ufs.prefetch.pool.size", "128"},
	{"alluxio.master.rpc.executor.max.pool.size", "1024"},
	{"alluxio.master.rpc.executor.core.pool.size", "128"},
	{"alluxio.user.update.file.accesstime.disabled", "true"},
	{"alluxio.user.client.cache.enabled", "false"},
	{"alluxio.user.block.worker.client.pool.min", "512"},
	{"alluxio.user.ufs.block.read.location.policy", "alluxio.client.block.policy.LocalFirstPolicy"},
	{"alluxio.user.block.write.location.policy.class", "alluxio.client.block.policy.LocalFirstAvoidEvictionPolicy"},
	{"alluxio.worker.allocator.class", "alluxio.worker.block.allocator.MaxFreeAllocator"},
	{"alluxio.user.metrics.collection.enabled", "true"},
	{"alluxio.user.file.passive.cache.enabled", "false"},
	{"alluxio.user.block.avoid.eviction.policy.reserved.size.bytes", "2GB"},
	{"alluxio.user.block.master.client.pool.gc.threshold", "10min"},
	{"alluxio.user.file.master.client.threads", "1024"},
	{"alluxio.user.block.master.client.threads", "1024"},
	{"alluxio.user.file.create.ttl.action", "FREE"},
	{"alluxio.user.file.readtype.default", "CACHE"},
	{"alluxio.user.metadata.cache.enabled", "true"},
	{"alluxio.user.metadata.cache.expiration.time", "10min"},
	{"alluxio.user.metadata.cache.max.size", "6000000"},
	{"alluxio.job.worker.threadpool.size", "32"},
	{"alluxio.user.worker.list.refresh.interval", "2min"},
	{"alluxio.user.logging.threshold", "1000ms"},
	{"alluxio.worker.block.master.client.pool.size", "1024"},
	{"alluxio.job.master.finished.job.retention.time", "30sec"},
	{"alluxio.underfs.object.store.breadcrumbs.enabled", "false"},
};

static int put(json_t *p, const char *key, const char *value)
{
	return json_object_set_new(p, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int put_default(json_t *p, const char *key, const char *value)
{
	return json_object_get(p, key) != NULL ? 0 : put(p, key, value);
}

static int put_number(json_t *p, const char *key, int64_t value)
{
	char text[24];
	(void)snprintf(text, sizeof text, "%" PRId64, value); /* at most 20 characters */
	return put(p, key, text);
}

static bool all_web(const struct alluxio_specs *s)
{
	size_t i;
	json_t *m;
	json_array_foreach (s->mounts, i, m)
		if (!str_has_prefix(json_str(m, "mountPoint", ""), "http"))
			return false;
	return json_array_size(s->mounts) > 0;
}

/* Sizes of blocks and reads: a file of the web is read best in one go. */
static int put_sizes(json_t *p, const struct alluxio_specs *s)
{
	static const char *const keys[] = {
		"alluxio.user.block.size.bytes.default", "alluxio.user.streaming.reader.chunk.size.bytes",
		"alluxio.user.local.reader.chunk.size.bytes", "alluxio.worker.network.reader.buffer.size"};
	const bool web = all_web(s);
	int rc = web ? put_default(p, "alluxio.user.streaming.data.timeout", "300sec") : 0;
	for (size_t i = 0; i < ARRAY_LEN(keys) && rc == 0; i++)
		rc = put_default(p, keys[i], web ? "256MB" : i == 0 ? "16MB" : "32MB");
	return rc;
}

static int put_root(json_t *p, const struct alluxio_specs *s)
{
	const char *key;
	json_t *v;
	json_object_foreach (json_object_get(s->root, "options"), key, v)
		if (put(p, key, json_string_value(v)) < 0)
			return -ENOMEM;
	if (json_bool(s->root, "readOnly", false) && put(p, "alluxio.master.mount.table.root.readonly", "true") < 0)
		return -ENOMEM;
	return put(p, "alluxio.master.mount.table.root.ufs",
		   s->root == NULL ? MOUNT_NATIVE_DIR : json_str(s->root, "at", json_str(s->root, "mountPoint", "")));
}

/* "<name>-master-0:19200,<name>-master-1:19200". */
static int put_addresses(json_t *p, const struct reconcile_ctx *ctx, const struct alluxio_specs *s, const char *key,
			 int port)
{
	struct strbuf b = STRBUF_INIT(OPTIONS_MAX);
	for (int i = 0; i < s->masters; i++)
		strbuf_addf(&b, "%s%s-master-%d:%d", i > 0 ? "," : "", ctx->name, i, port);
	int rc = b.failed ? -ENOMEM : put(p, key, b.p);
	strbuf_clear(&b);
	return rc;
}

static int put_journal(json_t *p, const struct reconcile_ctx *ctx, const struct alluxio_specs *s)
{
	if (s->masters == 1)
		return put_default(p, "alluxio.master.journal.type", "UFS");
	return put(p, "alluxio.master.journal.type", "EMBEDDED") < 0 ||
			       put_addresses(p, ctx, s, "alluxio.master.embedded.journal.addresses",
					     s->ports[ALLUXIO_MASTER_JOURNAL]) < 0 ||
			       put_addresses(p, ctx, s, "alluxio.job.master.embedded.journal.addresses",
					     s->ports[ALLUXIO_JOB_MASTER_JOURNAL]) < 0
		       ? -ENOMEM
		       : 0;
}

static void format_quota(int64_t bytes, struct strbuf *b)
{
	static const char *const units[] = {"", "KB", "MB", "GB", "TB"};
	size_t u = 0;
	for (; u + 1 < ARRAY_LEN(units) && bytes % 1024 == 0; u++)
		bytes /= 1024;
	strbuf_addf(b, "%" PRId64 "%s", bytes, units[u]);
}

static int put_level(json_t *p, const struct reconcile_ctx *ctx, const struct alluxio_specs *s, size_t first)
{
	const struct tier_path *v = s->tiers.v;
	const int rank = alluxio_tier_rank(s, v[first].medium);
	struct strbuf b[] = {STRBUF_INIT(OPTIONS_MAX), STRBUF_INIT(OPTIONS_MAX), STRBUF_INIT(OPTIONS_MAX)};
	for (size_t i = first; i < s->tiers.n && v[i].level == v[first].level; i++) {
		const char *comma = i > first ? "," : "";
		strbuf_addf(&b[0], "%s%s/%s/%s", comma, v[i].path, ctx->ns, ctx->name);
		strbuf_addf(&b[1], "%s%s", comma, v[i].medium);
		strbuf_adds(&b[2], comma);
		format_quota(v[i].quota_bytes, &b[2]);
	}
	char high[16], low[16];
	(void)snprintf(high, sizeof high, "%g", v[first].high); /* at most 12 characters */
	(void)snprintf(low, sizeof low, "%g", v[first].low);
	const struct string_pair list[] = {{"alias", v[first].medium},     {"dirs.path", b[0].p},
					   {"dirs.mediumtype", b[1].p},    {"dirs.quota", b[2].p},
					   {"watermark.high.ratio", high}, {"watermark.low.ratio", low}};
	int rc = b[0].failed || b[1].failed || b[2].failed ? -ENOMEM : 0;
	for (size_t i = 0; i < ARRAY_LEN(list) && rc == 0; i++) {
		char key[80];
		(void)snprintf(key, sizeof key, "alluxio.worker.tieredstore.level%d.%s", rank, list[i].key); /* fits */
		rc = put_default(p, key, list[i].value);
	}
	for (size_t i = 0; i < ARRAY_LEN(b); i++)
		strbuf_clear(&b[i]);
	return rc;
}

static int put_tiers(json_t *p, const struct reconcile_ctx *ctx, const struct alluxio_specs *s)
{
	static const struct string_pair none[] = {{"alluxio.worker.tieredstore.level0.alias", "MEM"},
						  {"alluxio.worker.tieredstore.level0.dirs.mediumtype", "MEM"},
						  {"alluxio.worker.tieredstore.level0.dirs.path", "/dev/shm"},
						  {"alluxio.worker.tieredstore.level0.dirs.quota", "1GB"}};
	const struct tier_path *v = s->tiers.v;
	int64_t levels = 0;
	bool empty = s->tiers.n == 0;
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(none) && rc == 0 && s->tiers.n == 0; i++)
		rc = put_default(p, none[i].key, none[i].value);
	for (size_t i = 0; i < s->tiers.n && rc == 0; i++) {
		if (i > 0 && v[i].level == v[i - 1].level)
			continue;
		levels++;
		empty = empty || str_same(s->runtime.spec.tiered_store.levels.v[v[i].level].volume_type, "emptyDir");
		rc = put_level(p, ctx, s, i);
	}
	if (rc == 0)
		rc = put_number(p, "alluxio.worker.tieredstore.levels", levels > 0 ? levels : 1);
	/* A mount cannot reach files of a volume that is the worker's alone. */
	if (rc == 0 && empty)
		rc = put_default(p, "alluxio.user.short.circuit.enabled", "false");
	if (rc == 0 && s->tiers.n == 1 && s->read_only)
		rc = put_default(p, "alluxio.user.direct.memory.io.enabled", "true");
	return rc;
}

/* What all components have in common, the spec's own first. */
static int common_properties(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, json_t *p)
{
	const struct alluxio_runtime_spec *r = &s->runtime.spec;
	CLEANUP(free_p) char *host = str_printf("%s-master-0.%s", ctx->name, ctx->ns);
	int rc = host == NULL || put_root(p, s) < 0 ? -ENOMEM : 0;
	for (size_t i = 0; i < r->properties.n && rc == 0; i++)
		rc = put(p, r->properties.v[i].key, r->properties.v[i].value);
	for (size_t i = 0; i < ARRAY_LEN(defaults) && rc == 0; i++)
		rc = put_default(p, defaults[i].key, defaults[i].value);
	for (size_t i = 0; i < ALLUXIO_PORTS && rc == 0; i++)
		rc = s->ports[i] > 0 ? put_number(p, port_table[i].property, s->ports[i]) : 0;
	if (rc == 0 && s->masters == 1)
		rc = put_default(p, "alluxio.master.hostname", host);
	if (rc == 0 && s->dataset.spec.owner == NULL)
		rc = put_default(p, "alluxio.fuse.user.group.translation.enabled", "true");
	if (rc == 0 && r->hadoop_config != NULL && *r->hadoop_config != '\0')
		rc = put_default(p, "alluxio.underfs.hdfs.configuration",
				 "/hdfs-config/hdfs-site.xml:/hdfs-config/core-site.xml");
	if (rc == 0)
		rc = put_number(p, "alluxio.user.file.replication.max", r->data.replicas > 1 ? r->data.replicas : 1);
	if (rc == 0)
		rc = put_tiers(p, ctx, s);
	if (rc == 0)
		rc = put_sizes(p, s);
	return rc == 0 ? put_journal(p, ctx, s) : rc;
}

/* --- environment ---------------------------------------------------------------------------------------------------------------- */

static const struct string_map *properties_of(const struct alluxio_specs *s, int part)
{
	return part == ALLUXIO_PART_FUSE ? &s->runtime.spec.fuse.properties
					 : &alluxio_component_of(s, (enum alluxio_part)part)->properties;
}

static const struct string_list *jvm_of(const struct alluxio_specs *s, int part)
{
	const struct string_list *own = part == ALLUXIO_PART_FUSE
						? &s->runtime.spec.fuse.jvm_options
						: &alluxio_component_of(s, (enum alluxio_part)part)->jvm_options;
	return own->n == 0 && part == ALLUXIO_PART_JOB_MASTER ? jvm_of(s, ALLUXIO_PART_MASTER) : own;
}

static void add_property(struct strbuf *b, const char *key, const char *value)
{
	strbuf_addf(b, "-D%s=%s ", key, value);
}

/*
 * Which of two -D of one name counts is another thing in each version's scripts: what a component has of its own is therefore taken out of
 * the common ones (@common) and given to each with the value that it has (@apart).
 */
static int split_common(const struct alluxio_specs *s, json_t *common, json_t *apart)
{
	for (int part = 0; part < ALLUXIO_PARTS; part++) {
		const struct string_map *m = properties_of(s, part);
		for (size_t i = 0; i < m->n; i++) {
			json_t *have = json_object_get(common, m->v[i].key);
			if (json_object_get(apart, m->v[i].key) == NULL &&
			    (have != NULL ? json_object_set(apart, m->v[i].key, have)
					  : json_object_set_new(apart, m->v[i].key, json_null())) < 0)
				return -ENOMEM;
			(void)json_object_del(common, m->v[i].key); /* absent is fine */
		}
	}
	return 0;
}

static void add_own(struct strbuf *b, const struct alluxio_specs *s, int part, const json_t *apart)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)apart, key, v) {
		const char *own = string_map_get(properties_of(s, part), key);
		if (own == NULL && part == ALLUXIO_PART_JOB_MASTER)
			own = string_map_get(properties_of(s, ALLUXIO_PART_MASTER), key);
		if (own != NULL || json_is_string(v))
			add_property(b, key, own != NULL ? own : json_string_value(v));
	}
}

static void add_jvm(struct strbuf *b, const struct string_list *own, const char *usual)
{
	for (size_t i = 0; i < own->n; i++)
		strbuf_addf(b, "%s ", own->v[i]);
	if (own->n == 0)
		strbuf_adds(b, usual);
}

#define UNLOCK "-XX:+UnlockExperimentalVMOptions "

static const struct {
	const char *variable, *hostname, *jvm;
} part_table[ALLUXIO_PARTS] = {
	/* The scripts of the image expand the variables. */
	[ALLUXIO_PART_MASTER] = {"ALLUXIO_MASTER_JAVA_OPTS", "-Dalluxio.master.hostname=${ALLUXIO_MASTER_HOSTNAME} ",
				 "-Xmx16G " UNLOCK},
	[ALLUXIO_PART_JOB_MASTER] = {"ALLUXIO_JOB_MASTER_JAVA_OPTS",
				     "-Dalluxio.master.hostname=${ALLUXIO_MASTER_HOSTNAME} ", "-Xmx16G " UNLOCK},
	[ALLUXIO_PART_WORKER] = {"ALLUXIO_WORKER_JAVA_OPTS", "-Dalluxio.worker.hostname=${ALLUXIO_WORKER_HOSTNAME} ",
				 "-Xmx12G " UNLOCK "-XX:MaxDirectMemorySize=32g "},
	[ALLUXIO_PART_JOB_WORKER] = {"ALLUXIO_JOB_WORKER_JAVA_OPTS",
				     "-Dalluxio.worker.hostname=${ALLUXIO_WORKER_HOSTNAME} ", ""},
	[ALLUXIO_PART_GATEWAY] = {"ALLUXIO_PROXY_JAVA_OPTS", "", ""},
	[ALLUXIO_PART_FUSE] = {"ALLUXIO_FUSE_JAVA_OPTS", "-Dalluxio.user.hostname=${ALLUXIO_CLIENT_HOSTNAME} ",
			       "-Xmx16G -Xms16G -XX:+UseG1GC -XX:MaxDirectMemorySize=32g " UNLOCK},
};

static int put_part(json_t *env, const struct alluxio_specs *s, int part, const json_t *apart)
{
	struct strbuf b = STRBUF_INIT(OPTIONS_MAX);
	strbuf_adds(&b, part_table[part].hostname);
	if (part == ALLUXIO_PART_MASTER && json_object_size(json_object_get(s->root, "secrets")) > 0)
		strbuf_adds(&b, "-Dalluxio.site.conf.dir=/run/alluxio/ ");
	if (part == ALLUXIO_PART_WORKER && str_same(s->runtime.spec.worker.network_mode, "ContainerNetwork"))
		strbuf_adds(&b, "-Dalluxio.worker.container.hostname=${ALLUXIO_WORKER_CONTAINER_HOSTNAME} ");
	add_own(&b, s, part, apart);
	add_jvm(&b, jvm_of(s, part), part_table[part].jvm);
	int rc = b.failed ? -ENOMEM : put(env, part_table[part].variable, b.p != NULL ? b.p : "");
	strbuf_clear(&b);
	return rc;
}

int alluxio_environment(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, json_t **ret, struct error *err)
{
	JSON_AUTO env = json_object();
	JSON_AUTO common = json_object();
	JSON_AUTO apart = json_object();
	struct strbuf b = STRBUF_INIT(OPTIONS_MAX);
	const char *key;
	json_t *v;
	if (env == NULL || apart == NULL || common == NULL || common_properties(ctx, s, common) < 0 ||
	    split_common(s, common, apart) < 0)
		return no_memory(err);
	CLEANUP(free_p) char *level0 = NULL;
	for (size_t i = 0; i < s->tiers.n && level0 == NULL; i++)
		if (alluxio_tier_rank(s, s->tiers.v[i].medium) == 0)
			level0 = str_printf("%s/%s/%s", s->tiers.v[i].path, ctx->ns, ctx->name);
	json_object_foreach (common, key, v)
		add_property(&b, key, json_string_value(v));
	add_jvm(&b, &s->runtime.spec.jvm_options, "");
	int rc = b.failed || put(env, "ALLUXIO_JAVA_OPTS", b.p) < 0 ? -ENOMEM : 0;
	strbuf_clear(&b);
	for (int part = 0; part < ALLUXIO_PARTS && rc == 0; part++)
		rc = put_part(env, s, part, apart);
	if (rc < 0 || put(env, "ALLUXIO_WORKER_TIEREDSTORE_LEVEL0_DIRS_PATH", level0 != NULL ? level0 : "/dev/shm") < 0)
		return no_memory(err);
	*ret = TAKE(env);
	return 0;
}
