/* SPDX-License-Identifier: ISC */
/* The engine's listening sockets: given by the supervisor, or bound here where there is none. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log/log.h"
#include "engine/engine_priv.h"

void engine_closed(void *arg, const char *address)
{
    const struct engine *e = arg;
    struct listen_file file;
    LOG_EVENT(LOG_LEVEL_NOTICE, "listener-closed", KV_STR("address", address));
    if (e->options->supervisor >= 0)
        return; /* whose file it is */
    listen_file_of(address, &file);
    listen_unlink(address, &file);
}

/* The socket of place i; *ret_fd is owned. */
static int engine_socket(struct delivery *d, const struct listen_spec *spec, size_t i, int *ret_fd,
                         char **ret_error)
{
    if (!d)
        return listen_open(spec, ret_fd, ret_error);
    *ret_fd = delivery_take_socket(d, i);
    if (*ret_fd >= 0) {
        (void)fcntl(*ret_fd, F_SETFL, O_NONBLOCK);
        return 0;
    }
    *ret_error = str_printf("there is no socket for %s", spec->address);
    return -ERR_NOT_FOUND;
}

/* One of a listener: as it is, new, or in the place of one whose file was lost. */
static int engine_listen_mail(struct engine *e, const struct listen_spec *spec, struct delivery *d,
                              size_t i, char **ret_error)
{
    struct stat before, now;
    int fd, has = acceptors_find(e->acceptors, spec->address);
    if (has >= 0 && !d)
        return 0;
    int err = engine_socket(d, spec, i, &fd, ret_error);
    bool is_same = err == 0 && has >= 0 && fstat(has, &before) == 0 && fstat(fd, &now) == 0 &&
                   before.st_ino == now.st_ino;
    if (is_same)
        close(fd);
    else if (err == 0 && (err = acceptors_add(e->acceptors, spec->address, fd)) < 0)
        close(fd);
    return err;
}

int engine_listen_new(struct engine *e, const struct config *c, struct delivery *d,
                      char **ret_error)
{
    struct listen_list want;
    int err = listen_list_make(c, &want);
    if (err < 0)
        return err;
    for (size_t i = 0; i < want.n && err == 0; i++)
        if (want.v[i].use == LISTEN_MAIL)
            err = engine_listen_mail(e, &want.v[i], d, i, ret_error);
    listen_list_fini(&want);
    if (err < 0)
        acceptors_configure(e->acceptors, e->snapshot, engine_closed, e);
    return err;
}

/* Takes over fd unless it fails. */
static int engine_listen_at(struct engine *e, const struct listen_spec *spec, int fd)
{
    switch (spec->use) {
    case LISTEN_CONTROL:
        return control_listen(e->control, fd, spec->index);
    case LISTEN_METRICS:
        return metrics_new(e->loop, fd, e->control, &e->metrics);
    case LISTEN_MAIL:
        break;
    }
    return acceptors_add(e->acceptors, spec->address, fd);
}

int engine_listen(struct engine *e, const struct config *c, struct delivery *d, char **ret_error)
{
    struct listen_list want;
    int err = listen_list_make(c, &want);
    if (err < 0)
        return err;
    for (size_t i = 0; i < want.n && err == 0; i++) {
        int fd;
        err = engine_socket(d, &want.v[i], i, &fd, ret_error);
        if (err == 0 && (err = engine_listen_at(e, &want.v[i], fd)) < 0)
            close(fd);
    }
    listen_list_fini(&want);
    return err;
}

/* 0: fd belongs to whoever listens. */
static int engine_replace(struct engine *e, const struct listen_spec *spec, int fd)
{
    int err = -ERR_SHUTDOWN;
    if (spec->use == LISTEN_CONTROL)
        return control_relisten(e->control, fd, spec->index);
    if (spec->use == LISTEN_METRICS) {
        struct metrics *next = NULL;
        err = metrics_new(e->loop, fd, e->control, &next);
        if (err < 0)
            return err; /* the page goes on at its old socket */
        metrics_free(e->metrics);
        e->metrics = next;
        return 0;
    }
    if (e->acceptors && (err = acceptors_add(e->acceptors, spec->address, fd)) == 0)
        acceptors_configure(e->acceptors, e->snapshot, engine_closed, e);
    return err;
}

void engine_listen_again(struct engine *e, int fd)
{
    struct listen_list want = {0};
    int err = e->is_stopping ? -ERR_SHUTDOWN : listen_list_make(e->snapshot->config, &want);
    size_t i = 0;
    while (err == 0 && i < want.n && !listen_is_at(fd, want.v[i].address))
        i++;
    if (err == 0)
        err = i < want.n ? engine_replace(e, &want.v[i], fd) : -ERR_NOT_FOUND;
    if (err < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "socket-not-taken", KV_ERR("error", err));
        close(fd);
    }
    listen_list_fini(&want);
}
