/* SPDX-License-Identifier: ISC */
/* The few words between the engine and the supervisor that started it, over a socket pair. */
#pragma once

#include "base/err.h"
#include "engine/listen.h"

/* Environment of an engine: number of the socket to the supervisor. Listening sockets come as
 * LISTEN_FDS. */
#define WIRE_FD_ENV "MAILPROXY_SUPERVISOR_FD"
#define WIRE_TEXT_MAX 4096
/* Number of the file with the configuration of the engine that died; not set without one. */
#define WIRE_CONFIG_ENV "MAILPROXY_CONFIG_FD"

/* Engine to supervisor: "trouble TEXT" (why it will not be ready), "ready SHUTDOWN_MS" (how long a
 * stop may take), "reloaded SHUTDOWN_MS" (from now on), "stop" (do not start another engine),
 * "close ADDRESS" (stop keeping this socket), "config" (what an engine that takes this one's place
 * after a failure is to start with: the file comes along), "bind BACKLOG V6ONLY MULTIPATH RCVBUF
 * SNDBUF MODE OWNER GROUP ADDRESS" (answered on the socket that comes along: "ok" with the new one,
 * or "error TEXT"), "upgrade" (check the installed program), "start" (let it take over), "sessions
 * N" (that an old engine still has). Supervisor to engine: "checked" (it is good), "retire PID"
 * (the new engine serves: finish what is there), "failed TEXT" (no upgrade), and "old PID SINCE_MS
 * SESSIONS" (an old engine is there; PID 0: none any more). What the other side does not know it
 * passes over. */

/* Sends one message; fd_to_pass -1 = none. Never waits: -ERR_AGAIN when the other side does not
 * read. */
int wire_send(int fd, const char *text, int fd_to_pass) NODISCARD;
/* The same without a descriptor (printf); a message that cannot be sent is logged. -1 = nobody is
 * there: nothing. */
void wire_say(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What follows "WORD " at the start of a message, NULL when it begins otherwise. */
const char *wire_after(const char *text, const char *word);
/* Receives one; *ret_fd is -1 or a descriptor that came along (owned, close-on-exec). -ERR_EOF;
 * -ERR_AGAIN without a message on a non-blocking socket. */
int wire_receive(int fd, char text[WIRE_TEXT_MAX], int *ret_fd) NODISCARD;
/* Text of a bind request, and back. Strings of *ret point into text, which is changed. */
int wire_bind_format(char text[WIRE_TEXT_MAX], const struct listen_spec *spec) NODISCARD;
int wire_bind_parse(char *text, struct listen_spec *ret) NODISCARD;
/* Engine's side: asks for a socket and waits a few seconds for it. -ERR_x with a sentence (owned).
 */
int wire_ask_bind(int fd, const struct listen_spec *spec, int *ret_fd, char **ret_error) NODISCARD;
