#include "engines/alluxio/image.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define DEFAULT_IMAGE "alluxio/alluxio-dev"
#define DEFAULT_TAG   "2.9.0"

char *alluxio_image(const struct version_spec *v)
{
	return str_printf("%s:%s", v->image != NULL && *v->image != '\0' ? v->image : DEFAULT_IMAGE,
			  v->image_tag != NULL && *v->image_tag != '\0' ? v->image_tag : DEFAULT_TAG);
}

bool alluxio_image_takes_mount_point(const struct version_spec *v)
{
	const char *tag = v->image_tag;
	int64_t version[2];
	if (tag == NULL)
		return true;
	if (str_has_prefix(tag, "release-"))
		tag += strlen("release-");
	struct str rest = str_from(tag), part;
	for (size_t i = 0; i < ARRAY_LEN(version); i++) {
		char text[8];
		if (!str_split_next(&rest, '.', &part) || part.n >= sizeof text)
			return true;
		(void)snprintf(text, sizeof text, "%.*s", (int)part.n, part.p); /* it fits */
		if (str_to_i64(text, &version[i]) < 0)
			return true;
	}
	return version[0] > 2 || (version[0] == 2 && version[1] >= 8);
}
