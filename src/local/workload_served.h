/*
 * All resources that the server serves, found by discovery and found again when CustomResourceDefinitions change; the metadata of
 * their objects is watched into the graph.
 * Threads: served_refresh() by one thread at a time; the rest from any.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct error;
struct graph;
struct kube_client;
struct kube_resource;
struct logger;
struct served;

/** @changed: an object changed or went (@gone); called on an informer's thread after the graph was brought up to date. */
typedef void (*served_changed)(void *ctx, const json_t *old, const json_t *obj, bool gone);

int served_new(struct kube_client *c, struct logger *log, struct graph *g, served_changed changed, void *ctx,
	       struct served **ret, struct error *err);
/** Stop all watches and free. Accepts NULL. */
void served_free(struct served *s);
/** Ask the server what it serves; start and stop watches accordingly. Objects of what is served no more count as gone. */
int served_refresh(struct served *s, struct error *err);
/** Whether discovery has succeeded and all watches have their first list. */
bool served_synced(struct served *s);
/** The resource of an ownerReference, or NULL when nothing served is of that group and kind. Valid until served_free(). */
const struct kube_resource *served_find(struct served *s, const char *api_version, const char *kind);
/** Call @fn with each namespaced resource that can be listed and deleted, until it returns negative; that is returned. */
int served_each_namespaced(struct served *s, int (*fn)(void *ctx, const struct kube_resource *r, struct error *err),
			   void *ctx, struct error *err);
