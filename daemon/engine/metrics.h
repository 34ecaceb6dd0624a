/* SPDX-License-Identifier: ISC */
/* Metrics, liveness and readiness over HTTP. */
#pragma once

#include "control/control.h"

/* At once; others wait in the kernel's queue, and then nobody stays long. */
#define METRICS_CLIENTS_MAX 32

struct metrics;

/* Serves GET /metrics, /healthz and /readyz on a listening socket, which it takes over unless it
 * fails. -ERR_NOMEM. Thread: control. */
int metrics_new(struct loop *l, int fd, struct control *c, struct metrics **ret) NODISCARD;
void metrics_free(struct metrics *m); /* NULL is fine */
