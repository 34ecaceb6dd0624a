/* SPDX-License-Identifier: ISC */
/* event watch. */
#include "runtime/events.h"

#include "control/handlers.h"
#include "runtime/state.h"

void command_event_watch(struct request *r)
{
    struct events *e = request_control(r)->events;
    struct filter *filter = NULL;
    uint64_t stream, last = request_number(r, "last", 0);
    size_t n;
    const struct filter_field *fields = command_filter_fields(r->command, &n);
    if (!r->client) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, NULL);
        return;
    }
    if (request_filter(r, "filter", fields, n, &filter) < 0)
        return;
    int err = events_watch(e, r->client, filter, &stream);
    filter_unref(filter);
    if (err < 0) {
        request_fail(r, err, NULL,
                     err == -ERR_TOO_MANY ? "this connection has too many streams" : NULL);
        return;
    }
    request_answer(r, json_pack("{s:I}", "stream", (json_int_t)stream));
    events_send_last(e, stream, last);
}
