/* SPDX-License-Identifier: ISC */
/* The few words between the engine and the supervisor that started it, over a socket pair. */
#pragma once

#include "base/err.h"
#include "engine/listen.h"

/* Environment of an engine: number of the socket to the supervisor. Listening sockets come as
 * LISTEN_FDS. */
#define WIRE_FD_ENV "MAILPROXY_SUPERVISOR_FD"
#define WIRE_TEXT_MAX 512

/* Engine to supervisor: "ready", "stop" (do not start another engine), "reloaded SHUTDOWN_MS" (how
 * long a stop may take from now on), "close ADDRESS" (stop keeping this socket), "bind BACKLOG
 * V6ONLY MULTIPATH RCVBUF SNDBUF MODE OWNER GROUP ADDRESS" (answered by "ok" with the socket, or
 * "error TEXT"). */

/* Sends one message; fd_to_pass -1 = none. */
int wire_send(int fd, const char *text, int fd_to_pass) NODISCARD;
/* Receives one; *ret_fd is -1 or a descriptor that came along (owned, close-on-exec). -ERR_EOF;
 * -ERR_AGAIN without a message on a non-blocking socket. */
int wire_receive(int fd, char text[WIRE_TEXT_MAX], int *ret_fd) NODISCARD;
/* Text of a bind request, and back. Strings of *ret point into text, which is changed. */
int wire_bind_format(char text[WIRE_TEXT_MAX], const struct listen_spec *spec) NODISCARD;
int wire_bind_parse(char *text, struct listen_spec *ret) NODISCARD;
/* Engine's side: asks for a socket and waits a few seconds for it. -ERR_x with a sentence (owned).
 */
int wire_ask_bind(int fd, const struct listen_spec *spec, int *ret_fd, char **ret_error) NODISCARD;
