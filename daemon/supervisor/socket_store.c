/* SPDX-License-Identifier: ISC */
/* Binding and keeping listening sockets, for a content as a whole or not at all. */
#include "supervisor/socket_store.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"

#define SOCKET_STORE_FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* Takes over fd, also when it fails. */
static int socket_store_add(struct socket_store *k, const struct kept_socket *s,
                            const char *address)
{
    struct kept_socket *v = realloc(k->v, (k->n + 1) * sizeof(*v));
    char *copy = str_dup_c(address);
    if (v)
        k->v = v;
    if (!v || !copy) {
        free(copy);
        close(s->fd);
        return -ERR_NOMEM;
    }
    (void)fcntl(s->fd, F_SETFD, FD_CLOEXEC);
    k->v[k->n] = *s;
    k->v[k->n].address = copy;
    listen_file_of(address, &k->v[k->n].file);
    k->n++;
    return 0;
}

static void socket_store_forget_at(struct socket_store *k, size_t i)
{
    struct kept_socket *s = &k->v[i];
    close(s->fd);
    listen_unlink(s->address, &s->file);
    free(s->address);
    *s = k->v[--k->n];
}

/* A UNIX socket is there as long as its file is: somebody may have removed the run folder. */
static bool socket_store_is_there(const struct kept_socket *s)
{
    struct listen_file now;
    listen_file_of(s->address, &now);
    return now.inode == s->file.inode && now.device == s->file.device;
}

/* Of whoever serves; with two of one address the one that is new. */
static struct kept_socket *socket_store_search(const struct socket_store *k, const char *address,
                                               uint64_t number)
{
    struct kept_socket *found = NULL;
    for (size_t i = 0; i < k->n; i++) {
        struct kept_socket *s = &k->v[i];
        bool is_usable = s->owner == 0 && (s->number == 0 || s->number == number);
        if (is_usable && strcmp(s->address, address) == 0 && (!found || s->number))
            found = s;
    }
    return found;
}

void socket_store_forget_network(struct socket_store *k)
{
    for (size_t i = k->n; i-- > 0;)
        if (!str_is_prefix(str_of(k->v[i].address), STR("unix:")))
            socket_store_forget_at(k, i);
}

int socket_store_find(const struct socket_store *k, const struct plan_socket *s, uint64_t number)
{
    const struct kept_socket *found = socket_store_search(k, s->address, number);
    return found ? found->fd : -1;
}

/* Sockets that systemd bound for us (man 3 sd_listen_fds). */
static int socket_store_inherited(const char *address)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t p, n;
    if (!pid || !count || str_to_u64(str_of(pid), INT32_MAX, &p) < 0 || (pid_t)p != getpid() ||
        str_to_u64(str_of(count), 4096, &n) < 0)
        return -1;
    for (int fd = SOCKET_STORE_FIRST_FD; fd < SOCKET_STORE_FIRST_FD + (int)n; fd++)
        if (listen_is_at(fd, address))
            return fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return -1;
}

int socket_store_prepare(struct socket_store *k, const struct plan *p, unsigned uses,
                         uint64_t number, char **ret_error)
{
    int err = 0;
    for (size_t i = 0; i < p->n_sockets && err == 0; i++) {
        const struct plan_socket *s = &p->sockets[i];
        const struct kept_socket *kept = socket_store_search(k, s->address, number);
        if (!(uses & SOCKET_STORE_USE(s->spec.use)) || (kept && socket_store_is_there(kept)))
            continue;
        struct kept_socket fresh = {.fd = kept ? -1 : socket_store_inherited(s->address),
                                    .use = s->spec.use,
                                    .number = number};
        if (fresh.fd < 0)
            err = listen_open(&s->spec, &fresh.fd, ret_error);
        if (err == 0)
            err = socket_store_add(k, &fresh, s->address);
    }
    if (err < 0)
        socket_store_roll_back(k, number);
    return err;
}

struct kept_socket *socket_store_in_force(const struct socket_store *k, const struct plan_socket *s)
{
    struct kept_socket *kept = socket_store_search(k, s->address, 0);
    return kept && kept->use == s->spec.use ? kept : NULL;
}

bool socket_store_is_lost(const struct socket_store *k, const struct plan_socket *s)
{
    const struct kept_socket *kept = socket_store_in_force(k, s);
    return kept && !socket_store_is_there(kept);
}

int socket_store_rebind(struct socket_store *k, const struct plan_socket *s, int *ret_fd,
                        char **ret_error)
{
    int fd;
    struct kept_socket *kept = socket_store_in_force(k, s);
    int err = kept ? listen_open(&s->spec, &fd, ret_error) : -ERR_NOT_FOUND;
    if (err < 0)
        return err;
    close(kept->fd);
    kept->fd = *ret_fd = fd;
    listen_file_of(kept->address, &kept->file);
    return 0;
}

void socket_store_commit(struct socket_store *k, const struct plan *p, unsigned uses,
                         uint64_t number)
{
    for (size_t i = k->n; i-- > 0;) {
        const struct kept_socket *s = &k->v[i];
        bool is_ours = s->owner == 0 && (s->number == 0 || s->number == number);
        bool is_planned = !(uses & SOCKET_STORE_USE(s->use));
        for (size_t j = 0; j < p->n_sockets && !is_planned; j++)
            is_planned = strcmp(p->sockets[j].address, s->address) == 0;
        /* Of two with one address the new one stays. */
        bool is_replaced = s->number != number && socket_store_search(k, s->address, number) != s;
        if (is_ours && (!is_planned || is_replaced))
            socket_store_forget_at(k, i);
    }
    for (size_t i = 0; i < k->n; i++)
        if (k->v[i].number == number)
            k->v[i].number = 0;
}

void socket_store_roll_back(struct socket_store *k, uint64_t number)
{
    for (size_t i = k->n; i-- > 0;)
        if (k->v[i].owner == 0 && k->v[i].number && k->v[i].number == number)
            socket_store_forget_at(k, i);
}

int socket_store_bind_for(struct socket_store *k, const struct listen_spec *spec, pid_t owner,
                          int *ret_fd, char **ret_error)
{
    struct kept_socket s = {.owner = owner, .use = spec->use};
    int err = listen_open(spec, &s.fd, ret_error);
    if (err == 0)
        err = socket_store_add(k, &s, spec->address);
    if (err == 0)
        *ret_fd = s.fd;
    return err;
}

void socket_store_forget_owner(struct socket_store *k, pid_t owner)
{
    for (size_t i = k->n; i-- > 0;)
        if (k->v[i].owner == owner)
            socket_store_forget_at(k, i);
}

void socket_store_hand_over(const struct socket_store *k, bool is_handed)
{
    for (size_t i = 0; i < k->n; i++)
        (void)fcntl(k->v[i].fd, F_SETFD, is_handed ? 0 : FD_CLOEXEC);
}

void socket_store_fini(struct socket_store *k)
{
    while (k->n > 0)
        socket_store_forget_at(k, k->n - 1);
    free(k->v);
    *k = (struct socket_store){0};
}
