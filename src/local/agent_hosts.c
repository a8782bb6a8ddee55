#include "local/agent_hosts.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "json/json.h"

#define HOSTS_MAX      (4u << 20)
#define CLUSTER_DOMAIN "cluster.local"

/* Every form under which a program may ask; the short name only inside the namespace. */
static void add_service(struct strbuf *b, const struct hosts_input *in, const json_t *svc)
{
	const char *name = obj_name(svc), *ns = obj_namespace(svc);
	if (strcmp(json_str(svc, "spec.type", ""), "ExternalName") == 0)
		return; /* an alias of a name: a hosts file has no way to say it */
	strbuf_addf(b, "%s\t", in->address);
	if (strcmp(ns, obj_namespace(in->pod)) == 0)
		strbuf_addf(b, "%s ", name);
	strbuf_addf(b, "%s.%s %s.%s.svc %s.%s.svc." CLUSTER_DOMAIN "\n", name, ns, name, ns, name, ns);
}

static void add_pod(struct strbuf *b, const struct hosts_input *in, const json_t *pod)
{
	const char *sub = json_str(pod, "spec.subdomain", ""), *ns = obj_namespace(pod);
	if (*sub == '\0')
		return;
	const char *host = json_str(pod, "spec.hostname", obj_name(pod));
	strbuf_addf(b, "%s\t", in->address);
	if (strcmp(ns, obj_namespace(in->pod)) == 0)
		strbuf_addf(b, "%s.%s ", host, sub);
	strbuf_addf(b, "%s.%s.%s %s.%s.%s.svc %s.%s.%s.svc." CLUSTER_DOMAIN "\n", host, sub, ns, host, sub, ns, host,
		    sub, ns);
}

static void add_aliases(struct strbuf *b, const json_t *aliases)
{
	size_t i, k;
	const json_t *a, *name;
	json_array_foreach (aliases, i, a) {
		strbuf_adds(b, json_str(a, "ip", ""));
		json_array_foreach (json_object_get(a, "hostnames"), k, name)
			strbuf_addf(b, "\t%s", json_string_value(name));
		strbuf_addc(b, '\n');
	}
}

int hosts_text(const struct hosts_input *in, char **ret, struct error *err)
{
	struct strbuf b = STRBUF_INIT(HOSTS_MAX);
	strbuf_adds(&b, "# Written by the node agent and kept current; changes made here are lost.\n"
			"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	strbuf_addf(&b, "%s\t%s\n", in->address, in->hostname);
	size_t i;
	const json_t *o;
	json_array_foreach (in->services, i, o)
		add_service(&b, in, o);
	json_array_foreach (in->pods, i, o)
		add_pod(&b, in, o);
	add_aliases(&b, json_at(in->pod, "spec.hostAliases"));
	const int rc = strbuf_take(&b, ret);
	strbuf_clear(&b);
	return rc < 0 ? error_set(err, rc, "hosts file: larger than %u MiB", HOSTS_MAX >> 20) : 0;
}
