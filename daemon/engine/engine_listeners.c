/* SPDX-License-Identifier: ISC */
/* The engine's listening sockets: inherited, bound by the supervisor, closed. */
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/engine_priv.h"
#include "engine/wire.h"

void engine_closed(void *arg, const char *address)
{
    const struct engine *e = arg;
    LOG_EVENT(LOG_LEVEL_NOTICE, "listener-closed", KV_STR("address", address));
    if (e->options->supervisor < 0)
        listen_unlink(address);
    wire_say(e->options->supervisor, "close %s", address);
}

int engine_bind(struct engine *e, const struct listen_spec *spec, int *ret_fd, char **ret_error)
{
    if (e->options->supervisor >= 0)
        return wire_ask_bind(e->options->supervisor, spec, ret_fd, ret_error);
    return listen_open(spec, ret_fd, ret_error);
}

int engine_bind_new(struct engine *e, const struct config *c, char **ret_error)
{
    struct listen_list want;
    int err = listen_list_make(c, &want);
    if (err < 0)
        return err;
    for (size_t i = 0; i < want.n && err == 0; i++) {
        int fd;
        if (want.v[i].use != LISTEN_MAIL || acceptors_has(e->acceptors, want.v[i].address))
            continue;
        err = engine_bind(e, &want.v[i], &fd, ret_error);
        if (err == 0 && (err = acceptors_add(e->acceptors, want.v[i].address, fd)) < 0)
            close(fd);
    }
    listen_list_fini(&want);
    if (err < 0)
        acceptors_configure(e->acceptors, e->setup, engine_closed, e);
    return err;
}

/* The inherited socket of an address, -1 when there is none. */
static int engine_inherited(struct engine *e, const char *address)
{
    const struct engine_options *o = e->options;
    for (int fd = o->first_fd; fd < o->first_fd + o->n_fds; fd++)
        if (listen_is_at(fd, address)) {
            e->is_claimed[fd - o->first_fd] = true;
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
            (void)fcntl(fd, F_SETFL, O_NONBLOCK);
            return fd;
        }
    return -1;
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

int engine_listen(struct engine *e, const struct config *c, char **ret_error)
{
    struct listen_list want;
    e->is_claimed = calloc((size_t)e->options->n_fds + 1, sizeof(*e->is_claimed));
    int err = e->is_claimed ? listen_list_make(c, &want) : -ERR_NOMEM;
    if (err < 0)
        return err;
    for (size_t i = 0; i < want.n && err == 0; i++) {
        int fd = engine_inherited(e, want.v[i].address);
        if (fd < 0)
            err = engine_bind(e, &want.v[i], &fd, ret_error);
        if (err == 0 && (err = engine_listen_at(e, &want.v[i], fd)) < 0)
            close(fd);
    }
    listen_list_fini(&want);
    return err;
}

void engine_close_others(struct engine *e)
{
    const struct engine_options *o = e->options;
    for (int i = 0; i < o->n_fds; i++) {
        AUTO_FREE char *address = e->is_claimed[i] ? NULL : listen_address(o->first_fd + i);
        if (!address)
            continue;
        close(o->first_fd + i);
        engine_closed(e, address);
    }
}
