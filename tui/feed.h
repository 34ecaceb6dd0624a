/* SPDX-License-Identifier: ISC */
/* The connection to the daemon: requests with answers to functions, events, and coming back after a
 * loss. Never blocks. */
#pragma once

#include "ctl/client.h"

struct feed;

/* result NULL: failed, see error. Both borrowed. */
typedef void feed_answer_fn(void *arg, const json_t *result, const struct client_error *error);

struct feed_ops {
    void (*connected)(void *arg); /* the greeting is there */
    /* Every pending request is forgotten; hint may be NULL. */
    void (*lost)(void *arg, const char *why, const char *hint);
    void (*event)(void *arg, const json_t *params);
    void *arg;
};

/* A connection to the daemon at path, not opened yet. 0 or -ERR_NOMEM. */
int feed_new(const char *path, const struct feed_ops *ops, struct feed **ret) NODISCARD;
/* NULL is fine. */
void feed_free(struct feed *f);
/* Sends a request; takes over params. False when there is no connection or too many requests wait:
 * fn will not run. */
bool feed_ask(struct feed *f, const char *method, json_t *params, feed_answer_fn *fn, void *arg);
/* Answers to requests of this fn and arg are not wanted any more. */
void feed_forget(struct feed *f, feed_answer_fn *fn, const void *arg);
/* Requests without an answer. */
size_t feed_pending(const struct feed *f);
/* Descriptor to poll (-1 = none now), what for, and when feed_run wants to be called at the latest
 * (ms from now, -1 = no matter). */
int feed_fd(const struct feed *f);
short feed_events(const struct feed *f);
int feed_timeout_ms(const struct feed *f);
/* Does what is due: connects, reads, writes. */
void feed_run(struct feed *f);
/* NULL while not connected. */
const struct client_hello *feed_hello(const struct feed *f);
const char *feed_path(const struct feed *f);
