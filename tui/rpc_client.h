/* SPDX-License-Identifier: ISC */
/* The connection to the daemon: requests with answers to functions, events, and coming back after a
 * loss. Never blocks. */
#pragma once

#include "ctl/control_client.h"

struct rpc_client;

/* result NULL: failed, see error. Both borrowed. */
typedef void rpc_client_answer_fn(void *arg, const json_t *result,
                                  const struct control_client_error *error);

struct rpc_client_ops {
    void (*connected)(void *arg); /* the greeting is there */
    /* Every pending request is forgotten; hint may be NULL. */
    void (*lost)(void *arg, const char *why, const char *hint);
    void (*event)(void *arg, const json_t *params);
    void *arg;
};

/* A connection to the daemon at path, not opened yet. 0 or -ERR_NOMEM. */
int rpc_client_new(const char *path, const struct rpc_client_ops *ops,
                   struct rpc_client **ret) NODISCARD;
/* NULL is fine. */
void rpc_client_free(struct rpc_client *f);
/* Sends a request; takes over params. False when there is no connection or too many requests wait:
 * fn will not run. */
bool rpc_client_ask(struct rpc_client *f, const char *method, json_t *params,
                    rpc_client_answer_fn *fn, void *arg);
/* Answers to requests of this fn and arg are not wanted any more. */
void rpc_client_forget(struct rpc_client *f, rpc_client_answer_fn *fn, const void *arg);
/* Requests without an answer. */
size_t rpc_client_pending(const struct rpc_client *f);
/* Descriptor to poll (-1 = none now), what for, and when rpc_client_run wants to be called at the
 * latest (ms from now, -1 = no matter). */
int rpc_client_fd(const struct rpc_client *f);
short rpc_client_events(const struct rpc_client *f);
int rpc_client_timeout_ms(const struct rpc_client *f);
/* Does what is due: connects, reads, writes. */
void rpc_client_run(struct rpc_client *f);
/* NULL while not connected. */
const struct control_client_hello *rpc_client_hello(const struct rpc_client *f);
