/* A kubeconfig of any content: an error or a config, never more. Files it names lie where there are none. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "kube/client.h"
#include "kube/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kube_config *cfg = NULL;
	struct error err = {0};
	if (kube_config_parse((const char *)data, n, "/nonexistent/config", NULL, &cfg, &err) == 0 &&
	    (kube_config_server(cfg)[0] != 'h' || kube_config_namespace(cfg)[0] == '\0'))
		abort();
	kube_config_free(cfg);
	return 0;
}
