/* SPDX-License-Identifier: ISC */
/* Traces of sessions, as streams to operators. All functions: control thread. */
#pragma once

#include "rpc/request.h"

/* Starts a trace of what the filter matches for the client of r, as an operation; takes over r. The
 * filter is borrowed. for_ms and max_bytes: when it ends at the latest. */
void trace_start(struct request *r, struct filter *filter, uint64_t for_ms, uint64_t max_bytes);
