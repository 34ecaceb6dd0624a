/* SPDX-License-Identifier: ISC */
/* A connection to another daemon: objects of JSON, a line each, both ways. What comes in is not
 * trusted: lines and their number are bounded. All functions: thread of the loop. */
#pragma once

#include <jansson.h>

#include "base/str.h"
#include "io/loop.h"

struct json_pipe;

/* Neither is called from within json_pipe_new or json_pipe_send; both may free the pipe. */
struct json_pipe_ops {
    /* An object came in; borrowed. */
    void (*message)(void *arg, const json_t *m);
    /* The other side is gone, sent what is no object, or does not read: nothing comes any more. The
     * owner frees the pipe. why: static. */
    void (*closed)(void *arg, const char *why);
};

#define JSON_PIPE_LINE_MAX (8 * 1024 * 1024)
#define JSON_PIPE_OUT_MAX (32 * 1024 * 1024) /* that the other side has not read */

/* Owns fd, a connected stream socket, unless it fails. ops and arg are borrowed. -ERR_NOMEM. */
int json_pipe_new(struct loop *l, int fd, const struct json_pipe_ops *ops, void *arg,
                  struct json_pipe **ret) NODISCARD;
/* Closes it; no callback comes any more. NULL is fine. */
void json_pipe_free(struct json_pipe *p);
/* Sends {"method": method, "params": params}; takes over params. NULL params (no memory to make
 * them) closes the pipe: what is lost could not be told. */
void json_pipe_send(struct json_pipe *p, const char *method, json_t *params);
/* The same with params that are JSON already; borrowed. */
void json_pipe_send_text(struct json_pipe *p, const char *method, struct str params);
/* When something came in last; monotonic, as the loop. */
uint64_t json_pipe_heard_ms(const struct json_pipe *p);
