/* SPDX-License-Identifier: ISC */
/* What both parts of live streams need: words for another node, and the next tick. */
#include "base/clock.h"
#include "fleet/live/fleet_live_priv.h"

#define LIVE_KEPT 200 /* messages that the stream of an engine keeps, about */
#define LIVE_STREAM_LIFE_MS 60000

void fleet_live_send(struct fleet_live *l, const char *to, json_t *m)
{
    const struct fleet_stream_to where = {.writer = fleet_redis(l->fleet),
                                          .key = to,
                                          .seal = &l->seal,
                                          .kept = LIVE_KEPT,
                                          .lifetime_ms = LIVE_STREAM_LIFE_MS};
    if (!m)
        return;
    l->number = fleet_message_number(l->number, clock_wall_ms());
    (void)json_object_set_new(m, "schema", json_integer(LIVE_SCHEMA));
    request_set_text(m, "from", l->node);
    request_set_text(m, "holder", fleet_holder(l->fleet));
    request_put_number(m, "number", l->number);
    /* One that is lost shows by the count of lines in the next one, or is told again. */
    (void)!fleet_stream_append(&where, m, NULL, NULL);
    json_decref(m);
}

void fleet_live_wake(struct fleet_live *l)
{
    loop_timer_set(l->loop, &l->tick, 1);
}
