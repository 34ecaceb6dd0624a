/* SPDX-License-Identifier: ISC */
/* The client's end of the control socket: connects, sends requests, receives answers and events.
 * The only socket code outside the daemon. One thread at a time. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* The version of the protocol that this client speaks, and the daemon's product name. */
#define CLIENT_PROTOCOL 1
#define CLIENT_PRODUCT "mailproxy"
#define CLIENT_SOCKET_DEFAULT "/run/mailproxy/control.sock"
/* The daemon refuses longer requests (with the LF). */
#define CLIENT_REQUEST_MAX (64 * 1024)

struct control_client;

/* What the daemon says of itself. */
struct control_client_hello {
    char *product, *version, *node, *role; /* never NULL */
    int protocol;
};

/* Why something failed. Zero-initialised is "no error"; client_error_fini frees. */
struct control_client_error {
    int err;           /* ERR_x */
    bool is_own;       /* found on this side: the daemon did not say it */
    char *name;        /* stable name of the daemon: "E_NO_BACKEND" */
    char *text;        /* sentence */
    char *hint;        /* or NULL */
    json_t *unreached; /* engines that had no part in it; NULL = all had */
};

enum client_kind {
    CLIENT_HELLO,  /* control_client_hello() answers from now on */
    CLIENT_RESULT, /* id, body = the result */
    CLIENT_ERROR,  /* id (0 when the daemon could not tell), error */
    CLIENT_EVENT,  /* method, body = the params */
};

/* A message of the daemon. Zero-initialise; client_message_fini frees. */
struct control_client_message {
    enum client_kind kind;
    uint64_t id;
    char *method;
    json_t *body;
    struct control_client_error error;
};

/* Frees what it owns; it is empty afterwards, and may be before. */
void control_client_error_fini(struct control_client_error *e);
/* Fills it from an error object of JSON-RPC; NULL = no reason was given. Returns -ERR_x. */
int control_client_error_read(const json_t *error, struct control_client_error *ret);
/* Frees what it owns; it is empty afterwards, and may be before. */
void control_client_message_fini(struct control_client_message *m);

/* A text of an answer; "" = it has none of this name. Borrowed. */
const char *control_client_member_text(const json_t *object, const char *name);

/* ---- non-blocking ---- */

/* Connects to a socket path, or to a daemon of another machine (ctl/remote.h). 0; -ERR_AGAIN (the
 * daemon's queue is full: try again), -ERR_PERM, -ERR_UNREACHABLE (nobody listens), -ERR_TOO_LONG
 * (path), -ERR_IO, -ERR_NOMEM; those of remote_open. */
int control_client_open(const char *path, struct control_client **ret) NODISCARD;
/* NULL is fine. */
void control_client_close(struct control_client *c);
/* The descriptor to poll, and what for (POLLIN, with POLLOUT while output waits). Call
 * client_flush when it is writable and client_receive until -ERR_AGAIN when it is readable. */
int control_client_fd(const struct control_client *c);
short control_client_events(const struct control_client *c);
/* Queues a request and writes what the socket takes. Takes over params (may be NULL), also on
 * failure. *ret_id (may be NULL) is the id of the answer. -ERR_TOO_LONG above CLIENT_REQUEST_MAX,
 * -ERR_CLOSED, -ERR_NOMEM. */
int control_client_send(struct control_client *c, const char *method, json_t *params,
                        uint64_t *ret_id) NODISCARD;
/* Writes waiting output. 0 (also when some is left) or -ERR_CLOSED. */
int control_client_flush(struct control_client *c) NODISCARD;
/* Next complete message. *ret is filled (initialised before) and owned by the caller. -ERR_AGAIN
 * when none is complete, -ERR_CLOSED at the end, -ERR_PROTOCOL for bytes that are no message. */
int control_client_receive(struct control_client *c, struct control_client_message *ret) NODISCARD;
/* Borrowed; NULL before the greeting. */
const struct control_client_hello *control_client_hello(const struct control_client *c);
/* Sets *ret_error to words for -ERR_x of control_client_open; returns err. */
int control_client_explain_open(const char *path, int err, struct control_client_error *ret_error);
/* The same for -ERR_x of a connection that has not greeted yet; of a remote one it asks ssh why it
 * ended, which may take a moment. */
int control_client_explain_end(struct control_client *c, const char *path, int err,
                               struct control_client_error *ret_error);
/* Whether the daemon behind a greeting is one to talk to: 0 or -ERR_VERSION with *ret_error. */
int control_client_check_hello(const struct control_client *c, const char *path,
                               struct control_client_error *ret_error) NODISCARD;

/* ---- blocking, with timeouts in milliseconds (0 = for ever) ---- */

/* Connects, waits for the greeting, and checks product and protocol (-ERR_VERSION). Errors are
 * explained in *ret_error. */
int control_client_connect(const char *path, uint64_t timeout_ms, struct control_client **ret,
                           struct control_client_error *ret_error) NODISCARD;
/* Sends a request and waits for its answer; events that come meanwhile are dropped. Takes over
 * params. The result in *ret_result (owned), or -ERR_x with *ret_error filled. */
int control_client_call(struct control_client *c, const char *method, json_t *params,
                        uint64_t timeout_ms, json_t **ret_result,
                        struct control_client_error *ret_error) NODISCARD;
