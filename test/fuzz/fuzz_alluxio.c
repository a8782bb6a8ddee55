/* What Alluxio prints: the first byte says which reader gets the rest. Whatever comes back is read or refused, and freed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engines/alluxio/alluxio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct engine_figures f;
	struct error err = {0};
	int64_t files, bytes;
	json_t *mounts = NULL;
	char *text = n > 0 ? malloc(n) : NULL;
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, n - 1);
	text[n - 1] = '\0';
	switch (data[0]) {
	case 'm':
		(void)alluxio_read_metrics(text, &f, &err); /* figures of Alluxio own nothing */
		break;
	case 'j':
		(void)alluxio_read_metrics_json(text, n - 1, &f, &err);
		break;
	case 'c':
		if (alluxio_read_count(text, &files, &bytes, &err) == 0 && (files < 0 || bytes < 0))
			abort();
		break;
	case 'u':
		if (alluxio_read_mounts(text, &mounts, &err) == 0)
			json_decref(mounts);
		break;
	default:
		if (alluxio_bytes(text, &bytes) == 0 && bytes < 0)
			abort();
	}
	free(text);
	return 0;
}
