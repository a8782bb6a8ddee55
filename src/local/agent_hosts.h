/* The text of a pod's /etc/hosts: there is no name server here, so names of services and pods are written down. Pure. */
#pragma once

#include <jansson.h>

struct error;

struct hosts_input {
	const json_t *pod;
	const char *hostname, *address;
	const json_t *services, *pods; /* arrays of all that have names */
};

/** *@ret is malloc'ed. */
int hosts_text(const struct hosts_input *in, char **ret, struct error *err);
