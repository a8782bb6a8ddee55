/* The Service `kubernetes` of the namespace default: where this server is found by programs that look for it as in any cluster. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "local/api_internal.h"
#include "json/json.h"

#define NAME    "kubernetes"
#define SPACE   "default"
#define ADDRESS "10.96.0.1" /* the first of the Services' network */

static json_t *metadata(void)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}}", "name", NAME, "namespace", SPACE, "labels", "component",
			 "apiserver", "provider", "kubernetes");
}

static int make_service(struct api_server *s, uint16_t port, struct error *err)
{
	JSON_AUTO svc = json_pack(
		"{s:s, s:s, s:o, s:{s:s, s:[s], s:s, s:s, s:s, s:[s], s:s, s:[{s:s, s:i, s:s, s:i}]}, s:{s:{}}}",
		"apiVersion", "v1", "kind", "Service", "metadata", metadata(), "spec", "clusterIP", ADDRESS,
		"clusterIPs", ADDRESS, "type", "ClusterIP", "sessionAffinity", "None", "internalTrafficPolicy",
		"Cluster", "ipFamilies", "IPv4", "ipFamilyPolicy", "SingleStack", "ports", "name", "https", "port", 443,
		"protocol", "TCP", "targetPort", (int)port, "status", "loadBalancer");
	return svc != NULL ? api_create_internal(s, "", "services", SPACE, svc, err)
			   : error_set(err, -ENOMEM, "out of memory");
}

/** The port that is listened on may be another one than last time. */
static int put_endpoints(struct api_server *s, const char *address, uint16_t port, struct error *err)
{
	static const struct objstore_key key = {"", "endpoints", SPACE, NAME};
	JSON_AUTO subsets = json_pack("[{s:[{s:s}], s:[{s:s, s:i, s:s}]}]", "addresses", "ip", address, "ports", "name",
				      "https", "port", (int)port, "protocol", "TCP");
	JSON_AUTO old = NULL;
	int64_t revision = 0;
	if (subsets == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = api_load_other(s, "", "endpoints", SPACE, NAME, &old, &revision);
	if (rc == 0) {
		if (json_same(json_object_get(old, "subsets"), subsets))
			return 0;
		if (json_object_set(old, "subsets", subsets) < 0)
			return error_set(err, -ENOMEM, "out of memory");
		return api_store_object(s, &key, old, revision, false, err);
	}
	if (rc != -ENOENT)
		return error_set(err, rc, "read the Endpoints of this server");
	JSON_AUTO ep = json_pack("{s:s, s:s, s:o, s:O}", "apiVersion", "v1", "kind", "Endpoints", "metadata",
				 metadata(), "subsets", subsets);
	return ep != NULL ? api_create_internal(s, "", "endpoints", SPACE, ep, err)
			  : error_set(err, -ENOMEM, "out of memory");
}

int api_publish_self(struct api_server *s, const char *address, uint16_t port, struct error *err)
{
	s->address = strdup(address);
	if (s->address == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = make_service(s, port, err);
	if (rc == 0)
		rc = put_endpoints(s, address, port, err);
	if (rc != -ENOSPC)
		return rc;
	LOG(NULL, LOG_LVL_WARN, "the disk is full: the Endpoints of this server are written when it has room");
	atomic_store_explicit(&s->unpublished_port, port, memory_order_release);
	api_janitor_wake(s->janitor);
	return 0;
}

int api_publish_self_again(struct api_server *s, struct error *err)
{
	int port = atomic_load_explicit(&s->unpublished_port, memory_order_acquire);
	if (port == 0)
		return 0;
	int rc = put_endpoints(s, s->address, (uint16_t)port, err);
	if (rc == 0)
		atomic_store_explicit(&s->unpublished_port, 0, memory_order_relaxed); /* the janitor's from now on */
	return rc;
}
