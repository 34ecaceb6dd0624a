/* SPDX-License-Identifier: ISC */
/* UNIX sockets whose files were removed or replaced under the daemon: nobody could come any more,
 * so they are bound again. */
#include "base/cleanup.h"
#include "base/log/log.h"
#include "supervisor/supervisor_priv.h"

#define REBIND_LOOK_MS 1000

static int rebind_one(struct supervisor *s, const struct plan_socket *p, char **ret_error)
{
    int fd = -1;
    int err = socket_store_rebind(&s->sockets, p, &fd, ret_error);
    if (err < 0)
        return err;
    LOG_EVENT(LOG_LEVEL_WARN, "socket-bound-again", KV_STR("address", p->address));
    /* The engine goes on with this one; who is connected stays. */
    struct wire_packet packet;
    const uint32_t place = 0;
    wire_packet_init(&packet, WIRE_REBOUND, &place, sizeof(place));
    if (outbox_send(&s->now, &packet, &fd, 1) < 0)
        engine_kill(&s->now, "it does not read");
    return 0;
}

static void rebind_lost(struct supervisor *s)
{
    const struct plan *p = &s->running->plan;
    AUTO_FREE char *folders_error = NULL;
    bool are_made = false;
    int folders = 0;
    for (size_t i = 0; i < p->n_sockets; i++) {
        AUTO_FREE char *error = NULL;
        struct kept_socket *kept = socket_store_in_force(&s->sockets, &p->sockets[i]);
        bool is_lost = socket_store_is_lost(&s->sockets, &p->sockets[i]);
        if (is_lost && !are_made)
            folders = reading_make_folders(s->running, &folders_error);
        are_made = are_made || is_lost;
        int err = !is_lost ? 0 : folders < 0 ? folders : rebind_one(s, &p->sockets[i], &error);
        if (err < 0 && !kept->is_loss_told)
            LOG_EVENT(LOG_LEVEL_ERROR, "socket-lost", KV_STR("address", kept->address),
                      KV_ERR("error", err), KV_STR("detail", error ? error : folders_error));
        if (kept)
            kept->is_loss_told = err < 0; /* once, until it is there again */
    }
}

void rebind_tick(struct supervisor *s, uint64_t now_ms)
{
    if (now_ms < s->rebind_at_ms || !s->now.is_ready || s->pending || s->is_stopping ||
        s->is_quitting || upgrade_is_running(&s->upgrade))
        return;
    s->rebind_at_ms = now_ms + REBIND_LOOK_MS;
    rebind_lost(s);
}
