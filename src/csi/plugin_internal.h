/* What the files of the CSI plug-in share. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "base/error.h"
#include "csi/plugin.h"
#include "net/grpc.h"

struct map;

/** Names that are being worked on. */
struct busy_set {
	pthread_mutex_t lock; /* guards names */
	struct map *names;
};

/** 0, -EBUSY or -ENOMEM. */
int busy_enter(struct busy_set *b, const char *name);
void busy_leave(struct busy_set *b, const char *name);

struct csi_plugin {
	char *socket, *node_id, *kubelet_root, *mount_root;
	enum publish_method publish_method;
	struct csi_api api;
	struct busy_set volumes, targets;
	struct grpc_server *server;
	struct grpc_server *registration; /* NULL: nobody looks */
};

/** Pack @message (a ProtobufCMessage) as the answer. */
void csi_reply(struct grpc_reply *reply, const void *message);
/** Answer with the code that @rc maps to and @err's message. */
void csi_reply_error(struct grpc_reply *reply, int rc, const struct error *err);

/* The calls' work; requests are unpacked and of the type that the name says. 0, or a negative errno and @err. */
struct Csi__V1__NodeStageVolumeRequest;
struct Csi__V1__NodeUnstageVolumeRequest;
struct Csi__V1__NodePublishVolumeRequest;
struct Csi__V1__NodeUnpublishVolumeRequest;
int csi_stage(struct csi_plugin *p, const struct Csi__V1__NodeStageVolumeRequest *r, int64_t deadline,
	      struct error *err);
int csi_unstage(struct csi_plugin *p, const struct Csi__V1__NodeUnstageVolumeRequest *r, int64_t deadline,
		struct error *err);
int csi_publish(struct csi_plugin *p, const struct Csi__V1__NodePublishVolumeRequest *r, int64_t deadline,
		struct error *err);
int csi_unpublish(struct csi_plugin *p, const struct Csi__V1__NodeUnpublishVolumeRequest *r, int64_t deadline,
		  struct error *err);

/** Answer that the request makes no sense. */
void csi_reply_malformed(struct grpc_reply *reply);

/** Make the plug-in, which listens by now, known in @dir. */
int csi_registration_begin(struct csi_plugin *p, const char *dir, struct error *err);

/** The methods, for grpc_server_new(). */
extern const struct grpc_method csi_methods[];
extern const size_t csi_n_methods;
