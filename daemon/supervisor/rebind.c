/* SPDX-License-Identifier: ISC */
/* UNIX sockets whose files were removed or replaced under the daemon: nobody could come any more,
 * so they are bound again. */
#include "base/cleanup.h"
#include "base/log/log.h"
#include "supervisor/supervisor_priv.h"

#define REBIND_LOOK_MS 1000

/* Said once until there is none left that cannot be bound. */
static void rebind_one(struct supervisor *s, const struct plan_socket *p)
{
    AUTO_FREE char *error = NULL;
    int fd = -1;
    int err = reading_make_folders(s->running, &error);
    if (err == 0)
        err = socket_store_rebind(&s->sockets, p, &fd, &error);
    if (err == 0) {
        LOG_EVENT(LOG_LEVEL_WARN, "socket-bound-again", KV_STR("address", p->address));
        /* The engine goes on with this one; who is connected stays. */
        struct wire_packet packet;
        const uint32_t place = 0;
        wire_packet_init(&packet, WIRE_REBOUND, &place, sizeof(place));
        if (outbox_send(&s->now, &packet, &fd, 1) < 0)
            engine_kill(&s->now, "it does not read");
        return;
    }
    if (!s->is_socket_lost)
        LOG_EVENT(LOG_LEVEL_ERROR, "socket-lost", KV_STR("address", p->address),
                  KV_ERR("error", err), KV_STR("detail", error));
    s->is_socket_lost = true;
}

void rebind_tick(struct supervisor *s, uint64_t now_ms)
{
    const struct content *c = s->running;
    bool is_lost = false;
    if (now_ms < s->rebind_at_ms || !s->now.is_ready || s->pending || s->is_stopping ||
        s->is_quitting || upgrade_is_running(&s->upgrade))
        return;
    s->rebind_at_ms = now_ms + REBIND_LOOK_MS;
    for (size_t i = 0; i < c->plan.n_sockets; i++)
        if (socket_store_is_lost(&s->sockets, &c->plan.sockets[i])) {
            is_lost = true;
            rebind_one(s, &c->plan.sockets[i]);
        }
    s->is_socket_lost = s->is_socket_lost && is_lost;
}
