/* SPDX-License-Identifier: ISC */
/* A queue of packets that a full socket did not take. */
#include "supervisor/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/container/list.h"

#define OUTBOX_PACKETS_MAX 4096 /* a content with 65536 sockets needs 1024 */

struct outbox {
    struct list packets; /* struct waiting */
    size_t n;
    bool is_short; /* of memory, ours or the kernel's: room in the socket says nothing */
};

struct waiting {
    struct list link;
    size_t n_fds;
    int fds[WIRE_FDS_MAX];
    struct wire_packet packet;
};

static void waiting_free(struct waiting *w)
{
    for (size_t i = 0; i < w->n_fds; i++)
        close(w->fds[i]);
    list_del(&w->link);
    free(w);
}

void outbox_free(struct outbox *o)
{
    if (!o)
        return;
    LIST_FOREACH_SAFE (it, &o->packets)
        waiting_free(LIST_ITEM(it, struct waiting, link));
    free(o);
}

bool outbox_waits_for_room(const struct engine_process *p)
{
    return !outbox_is_empty(p) && !p->outbox->is_short;
}

bool outbox_is_empty(const struct engine_process *p)
{
    return !p->outbox || p->outbox->n == 0;
}

static int outbox_keep(struct engine_process *p, const struct wire_packet *packet, const int *fds,
                       size_t n)
{
    int err = 0;
    if (!p->outbox && (p->outbox = calloc(1, sizeof(*p->outbox))))
        list_init(&p->outbox->packets);
    if (!p->outbox)
        err = -ERR_NOMEM;
    else if (p->outbox->n >= OUTBOX_PACKETS_MAX)
        err = -ERR_LIMIT;
    struct waiting *w = err == 0 ? malloc(sizeof(*w)) : NULL;
    if (!w)
        return err < 0 ? err : -ERR_NOMEM;
    w->n_fds = 0;
    w->packet = *packet;
    list_add_tail(&p->outbox->packets, &w->link);
    for (size_t i = 0; i < n && err == 0; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
            err = err_from_errno(errno);
        else
            w->fds[w->n_fds++] = copy;
    }
    if (err < 0)
        waiting_free(w);
    else
        p->outbox->n++;
    return err;
}

int outbox_send(struct engine_process *p, const struct wire_packet *packet, const int *fds,
                size_t n)
{
    if (p->wire < 0)
        return 0;
    bool was_empty = outbox_is_empty(p);
    int err = was_empty ? wire_order(p->wire, packet, fds, n) : -ERR_AGAIN;
    bool is_short = err_is_shortage(err);
    if (err == -ERR_AGAIN || is_short) {
        err = outbox_keep(p, packet, fds, n);
        if (err == 0 && was_empty)
            p->outbox->is_short = is_short;
        return err;
    }
    /* The engine is gone or going: its end is on the way, and needs no help. Anything else leaves
     * an engine that waits for what will not come. */
    return err == -ERR_CLOSED ? 0 : err;
}

int outbox_flush(struct engine_process *p)
{
    while (!outbox_is_empty(p)) {
        struct waiting *w = LIST_ITEM(p->outbox->packets.next, struct waiting, link);
        int err = wire_order(p->wire, &w->packet, w->fds, w->n_fds);
        p->outbox->is_short = err_is_shortage(err);
        if (err < 0)
            return err == -ERR_AGAIN || p->outbox->is_short ? 0 : err;
        waiting_free(w);
        p->outbox->n--;
    }
    return 0;
}

int outbox_send_places(struct engine_process *p, enum wire_order order,
                       const struct outbox_place *v, size_t n)
{
    int err = 0;
    for (size_t at = 0; at < n && err == 0;) {
        int fds[WIRE_FDS_MAX];
        uint32_t indexes[WIRE_FDS_MAX];
        struct wire_packet packet;
        size_t some = 0;
        for (; some < WIRE_FDS_MAX && at < n; at++, some++) {
            fds[some] = v[at].fd;
            indexes[some] = v[at].index;
        }
        wire_packet_init(&packet, order, indexes, some * sizeof(indexes[0]));
        err = outbox_send(p, &packet, fds, some);
    }
    return err;
}
