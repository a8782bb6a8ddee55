/* The syntax of label keys and values (and of all qualified names of Kubernetes). */
#pragma once

/** Why @key is no label key ("prefix/name"), in Kubernetes' words; NULL when it is one. Static text. */
const char *label_key_problem(const char *key);
/** Why @value is no label value; NULL when it is one. Static text. */
const char *label_value_problem(const char *value);
/** Why @name is no DNS-1123 subdomain (the name of most objects); NULL when it is one. Static text. */
const char *dns_subdomain_problem(const char *name);
/** Why @name is no DNS-1123 label (a namespace, a Service's port, a container); NULL when it is one. Static text. */
const char *dns_label_problem(const char *name);
