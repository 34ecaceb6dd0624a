/* SPDX-License-Identifier: ISC */
/* Traces of sessions, as streams to operators. All functions: control thread. */
#pragma once

#include "rpc/request.h"

struct control;
struct session_trace_event;

/* Starts a trace of what the filter matches for the client of r, as an operation; takes over r. The
 * filter is borrowed. for_ms and max_bytes: when it ends at the latest. */
void trace_start(struct request *r, struct filter *filter, uint64_t for_ms, uint64_t max_bytes);
/* An event of a worker of another engine; owned. */
void trace_deliver(struct control *c, struct session_trace_event *e);
