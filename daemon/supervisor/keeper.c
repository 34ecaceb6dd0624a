/* SPDX-License-Identifier: ISC */
/* Binding and keeping listening sockets. */
#include "supervisor/keeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"

#define KEEPER_FIRST_FD 3 /* SD_LISTEN_FDS_START */

int keeper_add(struct keeper *k, const char *address, int fd, pid_t owner)
{
    struct kept_socket *v = realloc(k->v, (k->n + 1) * sizeof(*v));
    char *copy = str_dup_c(address);
    if (v)
        k->v = v;
    if (!v || !copy) {
        free(copy);
        close(fd);
        return -ERR_NOMEM;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    k->v[k->n++] = (struct kept_socket){copy, fd, owner};
    return 0;
}

int keeper_find(const struct keeper *k, const char *address)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->v[i].owner == 0 && strcmp(k->v[i].address, address) == 0)
            return k->v[i].fd;
    return -1;
}

static void keeper_forget_at(struct keeper *k, size_t i)
{
    close(k->v[i].fd);
    listen_unlink(k->v[i].address);
    free(k->v[i].address);
    k->v[i] = k->v[--k->n];
}

void keeper_forget(struct keeper *k, const char *address)
{
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->v[i].address, address) == 0 || listen_is_at(k->v[i].fd, address)) {
            keeper_forget_at(k, i);
            return;
        }
}

void keeper_forget_owner(struct keeper *k, pid_t owner)
{
    for (size_t i = k->n; i-- > 0;)
        if (k->v[i].owner == owner)
            keeper_forget_at(k, i);
}

void keeper_forget_network(struct keeper *k)
{
    for (size_t i = k->n; i-- > 0;)
        if (!str_is_prefix(str_of(k->v[i].address), STR("unix:")))
            keeper_forget_at(k, i);
}

void keeper_adopt(struct keeper *k, pid_t owner)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->v[i].owner == owner)
            k->v[i].owner = 0;
}

/* Sockets that systemd bound for us (man 3 sd_listen_fds). */
static int keeper_inherited(const char *address)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t p, n;
    if (!pid || !count || str_to_u64(str_of(pid), INT32_MAX, &p) < 0 || (pid_t)p != getpid() ||
        str_to_u64(str_of(count), 4096, &n) < 0)
        return -1;
    for (int fd = KEEPER_FIRST_FD; fd < KEEPER_FIRST_FD + (int)n; fd++)
        if (listen_is_at(fd, address))
            return fd;
    return -1;
}

int keeper_bind_all(struct keeper *k, const struct config *c)
{
    struct listen_list want = {0};
    int err = listen_list_make(c, &want);
    for (size_t i = 0; err == 0 && i < want.n; i++) {
        AUTO_FREE char *error = NULL;
        int fd = keeper_inherited(want.v[i].address);
        if (fd < 0)
            err = listen_open(&want.v[i], &fd, &error);
        if (err == 0)
            err = keeper_add(k, want.v[i].address, fd, 0);
        if (err < 0)
            fprintf(stderr, "mailproxyd: %s\n", error ? error : err_text(err));
    }
    listen_list_fini(&want);
    return err;
}

void keeper_hand_over(const struct keeper *k, bool is_handed)
{
    for (size_t i = 0; i < k->n; i++)
        (void)fcntl(k->v[i].fd, F_SETFD, is_handed ? 0 : FD_CLOEXEC);
}

void keeper_fini(struct keeper *k)
{
    while (k->n > 0)
        keeper_forget_at(k, k->n - 1);
    free(k->v);
    *k = (struct keeper){0};
}
