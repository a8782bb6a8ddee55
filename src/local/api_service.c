/* Addresses of Services: 10.96.0.0/12, as a cluster made by kubeadm has it. Nothing routes them on one machine; names lead to pods. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "local/api_internal.h"
#include "local/api_strategy.h"
#include "json/json.h"

#define BASE  0x0A600000u
#define SIZE  (1u << 20)
#define TRIES 64

struct taken {
	const char *ip;
	bool found;
};

static int look(void *ctx, const struct objstore_item *item)
{
	struct taken *t = ctx;
	JSON_AUTO svc = NULL;
	if (json_parse(item->data, item->n, &svc, NULL) == 0 && strcmp(json_str(svc, "spec.clusterIP", ""), t->ip) == 0)
		t->found = true;
	return 0;
}

static bool is_taken(struct api_server *s, const char *ip)
{
	struct taken t = {.ip = ip};
	struct objstore_range range = {.group = "", .plural = "services"};
	return objstore_list(s->store, &range, look, &t, NULL, NULL, NULL) < 0 || t.found;
}

int api_service_create(struct api_request *r, json_t *svc)
{
	const char *type = json_str(svc, "spec.type", "ClusterIP");
	if (strcmp(type, "ExternalName") == 0 || json_str(svc, "spec.clusterIP", "")[0] != '\0')
		return 0;
	for (int i = 0; i < TRIES; i++) {
		uint32_t a = BASE + 1 + random_below(SIZE - 2); /* neither the network's own nor the last address */
		char ip[16];
		(void)snprintf(ip, sizeof ip, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
		if (is_taken(r->server, ip))
			continue;
		return json_put_str(svc, "spec.clusterIP", ip) == 0 ? 0 : api_fail_memory(r);
	}
	return api_fail(r, 500, "InternalError", NULL, "Internal error occurred: failed to allocate a clusterIP");
}
