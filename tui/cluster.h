/* SPDX-License-Identifier: ISC */
/* Several daemons asked as one: a question goes to each that is connected, and their answers come
 * back as one. A daemon that is away or silent holds nobody up: it is named in the answer
 * ("unreached": [{"name", "text"}]). One thread; never blocks. */
#pragma once

#include "tui/rpc_client.h"

struct cluster;

/* A daemon; both are borrowed and outlive the cluster. */
struct cluster_member {
    struct rpc_client *rpc;
    const char *name; /* for people; may change */
};

/* members: n of them, at most MERGE_MAX, copied. -ERR_TOO_MANY, -ERR_NOMEM. */
int cluster_new(const struct cluster_member *members, size_t n, struct cluster **ret) NODISCARD;
/* Forgets all questions. NULL is fine. */
void cluster_free(struct cluster *c);
/* As rpc_client_ask. What only looks is answered after a moment by those that answered until then;
 * of what changes something all answers are waited for (of silent daemons for some seconds more
 * than it may take), and an error of one of them is the error of all, which says where it was done.
 * False when nobody is connected. */
bool cluster_ask(struct cluster *c, const char *method, json_t *params, rpc_client_answer_fn *fn,
                 void *arg);
/* As rpc_client_forget. */
void cluster_forget(struct cluster *c, rpc_client_answer_fn *fn, const void *arg);
/* Questions without an answer. */
size_t cluster_pending(const struct cluster *c);
/* How many are connected. */
size_t cluster_connected(const struct cluster *c);
/* Whether a daemon left a question unanswered for too long. */
bool cluster_is_silent(const struct cluster *c, size_t place);
/* The i-th daemon greeted: streams that are open begin there, too. */
void cluster_greeted(struct cluster *c, size_t place);
/* The connection to the i-th daemon is lost: what it was to answer failed. */
void cluster_lost(struct cluster *c, size_t place);
/* An event of the i-th daemon as one of the streams of all; owned, NULL = it is of none. */
json_t *cluster_event(struct cluster *c, size_t place, const json_t *params);
/* Why a connected daemon has no part in a stream of all: "mx2: too many streams"; "" = all have.
 * Until the next call of any function here. */
const char *cluster_stream_failure(const struct cluster *c, json_int_t stream);
/* Answers what waited long enough. Returns ms until it wants to be called again, -1 = no matter. */
int cluster_tick(struct cluster *c);
