/* SPDX-License-Identifier: ISC */
/* Putting together what comes in several packets. */
#include "engine/delivery.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "config/config_bundle.h"
#include "io/tls/key_service.h"

#define DELIVERY_WAIT_MS 30000

/* ---- descriptors ---- */

static int fds_drop(const int *fds, size_t n, int err)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
    return err;
}

int delivery_fds_add(struct delivery_fds *to, const struct wire_packet *p, size_t skip,
                     const int *fds, size_t n)
{
    if (p->size != skip + n * sizeof(uint32_t))
        return fds_drop(fds, n, -ERR_PROTOCOL);
    struct outlet *v = realloc(to->v, (to->n + n + 1) * sizeof(*v));
    if (!v)
        return fds_drop(fds, n, -ERR_NOMEM);
    to->v = v;
    for (size_t i = 0; i < n; i++) {
        v[to->n].fd = fds[i];
        memcpy(&v[to->n++].index, p->body + skip + i * sizeof(uint32_t), sizeof(uint32_t));
    }
    return 0;
}

void delivery_fds_fini(struct delivery_fds *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].fd >= 0)
            close(f->v[i].fd);
    free(f->v);
    *f = (struct delivery_fds){0};
}

int delivery_fds_take(struct delivery_fds *f, size_t index)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].index == index && f->v[i].fd >= 0) {
            int fd = f->v[i].fd;
            f->v[i].fd = -1;
            return fd;
        }
    return -1;
}

int delivery_logs_add(struct delivery_fds *to, const struct wire_packet *p, const int *fds,
                      size_t n)
{
    size_t n_logs = p->size / sizeof(struct wire_log), given = 0;
    struct outlet *v = realloc(to->v, (to->n + n_logs + 1) * sizeof(*v));
    if (!v)
        return fds_drop(fds, n, -ERR_NOMEM);
    to->v = v;
    for (size_t i = 0; i < n_logs; i++) {
        struct wire_log log;
        memcpy(&log, p->body + i * sizeof(log), sizeof(log));
        int fd = log.err < 0 ? log.err : given < n ? fds[given++] : -ERR_PROTOCOL;
        v[to->n++] = (struct outlet){fd, log.index};
    }
    return fds_drop(fds + given, n - given, 0);
}

int delivery_logs_take(struct delivery_fds *f, size_t index)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].index == index) {
            int fd = f->v[i].fd;
            f->v[i].fd = -ERR_NOT_FOUND;
            return fd;
        }
    return -ERR_NOT_FOUND;
}

int delivery_take_socket(struct delivery *d, size_t index)
{
    return delivery_fds_take(&d->sockets, index);
}

/* ---- putting together ---- */

int delivery_new(const struct wire_packet *p, const int *fds, size_t n, struct delivery **ret)
{
    struct wire_content head;
    if (p->order != WIRE_CONTENT || p->size < sizeof(head))
        return fds_drop(fds, n, -ERR_PROTOCOL);
    memcpy(&head, p->body, sizeof(head));
    if (n != (head.err == 0 ? 1 : 0))
        return fds_drop(fds, n, -ERR_PROTOCOL);
    struct delivery *d = calloc(1, sizeof(*d));
    if (!d)
        return fds_drop(fds, n, -ERR_NOMEM);
    *d = (struct delivery){.number = head.number,
                           .ask = head.ask,
                           .err = head.err,
                           .is_kept = head.is_kept,
                           .bundle = n ? fds[0] : -1,
                           .n_sockets = head.n_sockets,
                           .n_logs = head.n_logs,
                           .n_keys = head.n_keys};
    if (p->size > sizeof(head))
        d->error = str_dup(str_n(p->body + sizeof(head), p->size - sizeof(head)));
    *ret = d;
    return 0;
}

void delivery_free(struct delivery *d)
{
    if (!d)
        return;
    if (d->bundle >= 0)
        close(d->bundle);
    delivery_fds_fini(&d->sockets);
    delivery_fds_fini(&d->logs);
    free(d->error);
    free(d);
}

int delivery_add(struct delivery *d, const struct wire_packet *p, const int *fds, size_t n)
{
    if (p->order == WIRE_KEYS) { /* for whoever loads a key of the content */
        uint64_t id;
        if (p->size != sizeof(id) || n != d->n_keys)
            return fds_drop(fds, n, -ERR_PROTOCOL);
        memcpy(&id, p->body, sizeof(id));
        d->n_keys = 0;
        d->keys = id;
        return key_service_add(id, fds, n);
    }
    bool is_log = p->order == WIRE_LOG_FILES;
    if (!is_log && p->order != WIRE_SOCKETS)
        return fds_drop(fds, n, -ERR_PROTOCOL);
    return is_log ? delivery_logs_add(&d->logs, p, fds, n)
                  : delivery_fds_add(&d->sockets, p, 0, fds, n);
}

bool delivery_is_whole(const struct delivery *d)
{
    return d->n_keys == 0 && d->sockets.n >= d->n_sockets && d->logs.n >= d->n_logs;
}

int delivery_receive(int wire, struct delivery **ret)
{
    AUTO_FREE struct wire_packet *packet = malloc(sizeof(*packet));
    struct delivery *d = NULL;
    uint64_t end = clock_ms() + DELIVERY_WAIT_MS;
    int err = packet ? 0 : -ERR_NOMEM;
    while (err == 0 && !(d && delivery_is_whole(d))) {
        int fds[WIRE_FDS_MAX];
        size_t n = 0;
        uint64_t now = clock_ms();
        struct pollfd p = {.fd = wire, .events = POLLIN};
        int ready = now < end ? poll(&p, 1, (int)(end - now)) : 0;
        if (ready <= 0)
            err = ready < 0 && errno == EINTR ? 0 : -ERR_TIMEOUT;
        else if ((err = wire_receive(wire, packet, fds, &n)) == 0)
            err = d ? delivery_add(d, packet, fds, n) : delivery_new(packet, fds, n, &d);
    }
    if (err < 0)
        delivery_free(d);
    else
        *ret = d;
    return err;
}

/* ---- the configuration ---- */

int delivery_load(const struct delivery *d, struct config **ret,
                  struct config_problems *ret_problems)
{
    struct stat st;
    if (d->err < 0 || d->bundle < 0)
        return d->err < 0 ? d->err : -ERR_IO;
    if (fstat(d->bundle, &st) < 0)
        return err_from_errno(errno);
    if (st.st_size == 0)
        return -ERR_SYNTAX;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, d->bundle, 0);
    if (p == MAP_FAILED)
        return err_from_errno(errno);
    (void)madvise(p, (size_t)st.st_size, MADV_DONTDUMP);
    int err = config_bundle_load(str_n(p, (size_t)st.st_size), ret, ret_problems);
    munmap(p, (size_t)st.st_size);
    return err;
}
