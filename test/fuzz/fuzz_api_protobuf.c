/* Objects of every kind in Kubernetes' protobuf form, and the options of a deletion. */
#include <stdlib.h>
#include <string.h>

#include "api/protobuf.h"
#include "api_harness.h"
#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char type[] = "application/vnd.kubernetes.protobuf";
	CLEANUP(free_p) char *version = NULL;
	CLEANUP(free_p) char *kind = NULL;
	const uint8_t *raw = NULL;
	size_t raw_n = 0;
	(void)protobuf_envelope(data, n, &version, &kind, &raw, &raw_n, NULL);
	if (kind != NULL && strcmp(kind, "DeleteOptions") == 0)
		(void)harness_request("DELETE", "/api/v1/namespaces/default/pods/p", NULL, type, data, n);
	else
		harness_write(kind != NULL ? kind : "", type, data, n);
	harness_restore();
	return 0;
}
