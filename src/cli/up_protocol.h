/*
 * What is said over the socket DATA-DIR/up.sock between `sluice up` and other commands: lines of text, one word first. Only the user
 * that runs the cluster may connect.
 *
 * Said by `up`, from the connection's beginning:
 *   wait ROLE            still starting; ROLE is what is waited for
 *   ready KUBECONFIG     everything serves
 *   failed MESSAGE       it gives up
 *   status JSON          the answer to "status"
 *
 * Said by the others:
 *   join                 this one needs the cluster as long as it is connected: with --until-idle the cluster ends with the last such
 *   status               what runs?
 */
#pragma once

#define UP_SOCKET_NAME "up.sock"
#define UP_LINE_MAX    4096
