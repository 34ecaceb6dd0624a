/* SPDX-License-Identifier: ISC */
/* Binding and recognising listening sockets. */
#include "engine/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/os/folder.h"

static const char listen_unix[] = "unix:";

/* Path of a UNIX address, NULL for others. */
static const char *listen_path(const char *address)
{
    bool is_unix = strncmp(address, listen_unix, sizeof(listen_unix) - 1) == 0;
    return is_unix ? address + sizeof(listen_unix) - 1 : NULL;
}

static int listen_sockaddr(const char *address, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    const char *path = listen_path(address);
    struct addr a;
    if (!path) {
        if (addr_parse(str_of(address), &a) < 0)
            return -ERR_SYNTAX;
        *ret_len = addr_to_sockaddr(&a, ret);
        return 0;
    }
    struct sockaddr_un *un = (struct sockaddr_un *)ret;
    *ret = (struct sockaddr_storage){.ss_family = AF_UNIX};
    if (!str_copy(un->sun_path, sizeof(un->sun_path), str_of(path)))
        return -ERR_TOO_LONG;
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    return 0;
}

static void listen_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* ---- UNIX sockets ---- */

/* Who is to own a socket's file. */
struct listen_owner {
    uid_t uid;
    gid_t gid;
};

/* By descriptor: whoever owns the folder may have put something else under the name meanwhile. */
static int listen_set_owner(int folder, const char *name, const struct listen_spec *spec,
                            const struct listen_owner *owner)
{
    char link[32];
    struct stat st;
    AUTO_CLOSE int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_from_errno(errno);
    if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)
        return -ERR_PERM;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (chmod(link, spec->mode ? spec->mode : 0666) < 0)
        return err_from_errno(errno);
    if ((owner->uid != (uid_t)-1 || owner->gid != (gid_t)-1) &&
        fchownat(fd, "", owner->uid, owner->gid, AT_EMPTY_PATH) < 0)
        return err_from_errno(errno);
    return 0;
}

/* Only a socket makes room, and only one that nobody answers on: the file that a crash left over.
 */
static int listen_clear(int folder, const char *name, const struct sockaddr_storage *ss,
                        socklen_t len)
{
    struct stat st;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_from_errno(errno);
    if (S_ISLNK(st.st_mode))
        return -ERR_SYMLINK;
    if (!S_ISSOCK(st.st_mode))
        return -ERR_EXISTS;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)ss, len) == 0 || errno == EAGAIN)
        return -ERR_EXISTS;
    return unlinkat(folder, name, 0) < 0 ? err_from_errno(errno) : 0;
}

/* The folder is where its path says, and stays there: then the path may be used. */
static int listen_bind_unix(int fd, const char *path, const struct sockaddr_storage *ss,
                            socklen_t len, const struct listen_spec *spec)
{
    AUTO_CLOSE int folder = -1;
    const char *name = NULL;
    bool is_fixed = false;
    const struct passwd *pw = spec->owner ? getpwnam(spec->owner) : NULL;
    const struct group *gr = spec->group ? getgrnam(spec->group) : NULL;
    const struct listen_owner owner = {pw ? pw->pw_uid : (uid_t)-1, gr ? gr->gr_gid : (gid_t)-1};
    int err = folder_open(path, &folder, &name, &is_fixed);
    if (err == 0 && !is_fixed && geteuid() == 0)
        err = -ERR_PERM;
    if (err == 0 && ((spec->owner && !pw) || (spec->group && !gr)))
        err = -ERR_NOT_FOUND;
    if (err == 0)
        err = listen_clear(folder, name, ss, len);
    if (err < 0)
        return err;
    mode_t mask = umask(0177);
    int failed = bind(fd, (const struct sockaddr *)ss, len) < 0 ? errno : 0;
    umask(mask);
    if (failed)
        return failed == EADDRINUSE ? -ERR_EXISTS : err_from_errno(failed);
    return listen_set_owner(folder, name, spec, &owner);
}

static int listen_bind(int fd, const struct sockaddr_storage *ss, socklen_t len,
                       const struct listen_spec *spec)
{
    const char *path = listen_path(spec->address);
    int err = 0;
    if (path)
        err = listen_bind_unix(fd, path, ss, len, spec);
    else if (bind(fd, (const struct sockaddr *)ss, len) < 0)
        err = errno == EADDRINUSE ? -ERR_EXISTS : err_from_errno(errno);
    if (err < 0)
        return err;
    return listen(fd, spec->backlog > 0 ? spec->backlog : SOMAXCONN) < 0 ? err_from_errno(errno)
                                                                         : 0;
}

int listen_open(const struct listen_spec *spec, int *ret_fd, char **ret_error)
{
    struct sockaddr_storage ss;
    socklen_t len;
    int err = listen_sockaddr(spec->address, &ss, &len);
    AUTO_CLOSE int fd = -1;
    if (err == 0) {
        bool is_multipath = spec->is_multipath && ss.ss_family != AF_UNIX;
        fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    is_multipath ? IPPROTO_MPTCP : 0);
        err = fd < 0 ? err_from_errno(errno) : 0;
    }
    if (err == 0) {
        if (ss.ss_family != AF_UNIX)
            listen_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (ss.ss_family == AF_INET6)
            listen_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, spec->is_v6_only);
        if (spec->so_rcvbuf)
            listen_option(fd, SOL_SOCKET, SO_RCVBUF, (int)spec->so_rcvbuf);
        if (spec->so_sndbuf)
            listen_option(fd, SOL_SOCKET, SO_SNDBUF, (int)spec->so_sndbuf);
        err = listen_bind(fd, &ss, len, spec);
    }
    if (err < 0) {
        bool is_folder = err == -ERR_PERM && listen_path(spec->address);
        const char *why = err == -ERR_EXISTS ? "address is in use"
                          : is_folder        ? "not permitted, or another user could put a folder "
                                               "of its own in the place of the socket's"
                                             : err_text(err);
        *ret_error = str_printf("%s cannot be bound: %s", spec->address, why);
        return err;
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

bool listen_is_at(int fd, const char *address)
{
    struct sockaddr_storage have = {0}, want;
    socklen_t have_len = sizeof(have), want_len;
    if (getsockname(fd, (struct sockaddr *)&have, &have_len) < 0 ||
        listen_sockaddr(address, &want, &want_len) < 0 || have.ss_family != want.ss_family)
        return false;
    if (have.ss_family == AF_UNIX)
        return strcmp(((struct sockaddr_un *)&have)->sun_path, listen_path(address)) == 0;
    struct addr a, b;
    addr_from_sockaddr(&a, (struct sockaddr *)&have, have_len);
    addr_from_sockaddr(&b, (struct sockaddr *)&want, want_len);
    return addr_eq(&a, &b);
}

void listen_file_of(const char *address, struct listen_file *ret)
{
    const char *path = listen_path(address), *name;
    AUTO_CLOSE int folder = -1;
    struct stat st;
    *ret = (struct listen_file){0};
    if (path && folder_open(path, &folder, &name, NULL) == 0 &&
        fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
        *ret = (struct listen_file){st.st_dev, st.st_ino};
}

void listen_unlink(const char *address, const struct listen_file *file)
{
    const char *path = listen_path(address), *name;
    AUTO_CLOSE int folder = -1;
    struct listen_file now;
    listen_file_of(address, &now);
    if (path && now.inode && now.inode == file->inode && now.device == file->device &&
        folder_open(path, &folder, &name, NULL) == 0)
        (void)unlinkat(folder, name, 0);
}

static int listen_add_control(struct listen_list *l, const struct config_control *c, size_t i)
{
    char *address = str_printf("%s%s", listen_unix, c->path);
    if (!address)
        return -ERR_NOMEM;
    l->owned[l->n_owned++] = address;
    l->v[l->n++] = (struct listen_spec){.use = LISTEN_CONTROL,
                                        .index = i,
                                        .address = address,
                                        .mode = c->mode,
                                        .owner = c->owner,
                                        .group = c->group};
    return 0;
}

int listen_list_make(const struct config *c, struct listen_list *ret)
{
    size_t n = c->n_controls;
    for (size_t i = 0; i < c->n_listeners; i++)
        n += c->listeners[i].address.n;
    struct listen_list l = {.v = calloc(n + 2, sizeof(*l.v)),
                            .owned = calloc(c->n_controls + 1, sizeof(*l.owned))};
    int err = l.v && l.owned ? 0 : -ERR_NOMEM;
    for (size_t i = 0; i < c->n_listeners && err == 0; i++) {
        const struct config_listener *m = &c->listeners[i];
        for (size_t k = 0; k < m->address.n; k++)
            l.v[l.n++] = (struct listen_spec){.address = m->address.v[k],
                                              .backlog = m->backlog,
                                              .is_v6_only = m->is_v6_only,
                                              .is_multipath = m->is_multipath,
                                              .so_rcvbuf = m->so_rcvbuf,
                                              .so_sndbuf = m->so_sndbuf};
    }
    if (err == 0 && c->metrics.address)
        l.v[l.n++] = (struct listen_spec){.use = LISTEN_METRICS, .address = c->metrics.address};
    for (size_t i = 0; i < c->n_controls && err == 0; i++)
        err = listen_add_control(&l, &c->controls[i], i);
    if (err < 0) {
        listen_list_fini(&l);
        return err;
    }
    *ret = l;
    return 0;
}

void listen_list_fini(struct listen_list *l)
{
    for (size_t i = 0; i < l->n_owned; i++)
        free(l->owned[i]);
    free(l->owned);
    free(l->v);
    *l = (struct listen_list){0};
}
