/* SPDX-License-Identifier: ISC */
/* session trace. */
#include "ops/trace_op.h"
#include "rpc/handlers.h"
#include "session/trace.h"

#define TRACE_FOR_MS (60 * UINT64_C(1000))
#define TRACE_FOR_MAX_MS (3600 * UINT64_C(1000))
#define TRACE_BYTES (UINT64_C(1024) * 1024)

/* 0, or the request is answered. */
static int trace_limits(struct request *r, uint64_t *ret_for_ms, uint64_t *ret_bytes)
{
    *ret_for_ms = request_number(r, "for", TRACE_FOR_MS);
    *ret_bytes = request_number(r, "max_bytes", TRACE_BYTES);
    if (*ret_for_ms == 0 || *ret_for_ms > TRACE_FOR_MAX_MS) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "a trace lasts an hour at most");
        return -ERR_BAD_PARAM;
    }
    if (*ret_bytes == 0) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "max_bytes has to be above 0");
        return -ERR_BAD_PARAM;
    }
    return 0;
}

void command_session_trace(struct request *r)
{
    struct filter *filter = NULL;
    uint64_t for_ms, max_bytes;
    if (!r->client) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, NULL);
        return;
    }
    size_t n;
    const struct filter_field *fields = session_trace_fields(&n);
    if (trace_limits(r, &for_ms, &max_bytes) < 0 ||
        request_filter(r, "filter", fields, n, &filter) < 0)
        return;
    if (!filter) {
        request_fail(r, -ERR_MISSING_PARAM, "user=NAME", "say which session, user or address");
        return;
    }
    trace_start(r, filter, for_ms, max_bytes);
    filter_unref(filter);
}
