/*
 * What `sluice up` tells the runs that join it, over the socket DATA-DIR/up.sock: lines of text, one word first.
 *
 *   wait ROLE            still starting; ROLE is what is waited for
 *   ready KUBECONFIG     everything serves
 *   failed MESSAGE       it gives up
 *
 * A run stays connected as long as it needs the cluster; with --until-idle the cluster ends when the last one is gone.
 */
#pragma once

#define UP_SOCKET_NAME "up.sock"
#define UP_LINE_MAX    1024
