/* SPDX-License-Identifier: ISC */
/* Record locks of the process (fcntl): the kernel says who has one. The one rule that they ask for:
 * a file whose lock we have is never opened again, since closing any descriptor of it gives the
 * lock back. */
#include "supervisor/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/os/folder.h"
#include "base/str.h"

/* The folder of a store (O_PATH, owned) and the name of its lock's file (owned). */
static int lock_place(const char *store, int *ret_folder, char **ret_name)
{
    const char *name;
    int err = folder_open(store, ret_folder, &name, NULL);
    if (err < 0)
        return err;
    *ret_name = str_printf("%s" STORE_LOCK_SUFFIX, name);
    return *ret_name ? 0 : -ERR_NOMEM;
}

static struct store_lock *lock_find(const struct store_locks *l, const struct stat *st)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].device == st->st_dev && l->v[i].inode == st->st_ino)
            return &l->v[i];
    return NULL;
}

static int lock_add(struct store_locks *l, int fd)
{
    struct stat st;
    struct store_lock *v = realloc(l->v, (l->n + 1) * sizeof(*v));
    if (!v)
        return -ERR_NOMEM;
    l->v = v;
    if (fstat(fd, &st) < 0)
        return err_from_errno(errno);
    l->v[l->n++] = (struct store_lock){fd, st.st_dev, st.st_ino};
    return 0;
}

/* Whoever may write the folder may write the file, also when another user starts the daemon. */
static int lock_open(int folder, const char *name)
{
    struct stat st;
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -ERR_INVAL;
    }
    if (geteuid() == 0 && fstat(folder, &st) == 0)
        (void)!fchown(fd, st.st_uid, st.st_gid);
    return fd;
}

/* Asks again when who had it ended between the two questions. */
static int lock_set(int fd, const char *store, char **ret_error)
{
    for (;;) {
        struct flock want = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_SETLK, &want) == 0)
            return 0;
        if (errno != EACCES && errno != EAGAIN)
            return err_from_errno(errno);
        if (fcntl(fd, F_GETLK, &want) < 0)
            return err_from_errno(errno);
        if (want.l_type == F_UNLCK)
            continue;
        *ret_error = want.l_pid > 0
                         ? str_printf("%s: the store is in use by another mailproxyd (PID %d); "
                                      "give each daemon a state_dir of its own",
                                      store, (int)want.l_pid)
                         : str_printf("%s: the store is in use by another mailproxyd; give each "
                                      "daemon a state_dir of its own",
                                      store);
        return -ERR_BUSY;
    }
}

int store_locks_take(struct store_locks *l, const char *store, char **ret_error)
{
    AUTO_CLOSE int folder = -1;
    AUTO_CLOSE int fd = -1;
    AUTO_FREE char *name = NULL;
    struct stat st;
    int err = lock_place(store, &folder, &name);
    if (err < 0)
        return err;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && lock_find(l, &st))
        return 0;
    fd = lock_open(folder, name);
    if (fd < 0)
        return fd;
    err = lock_set(fd, store, ret_error);
    if (err == 0)
        err = lock_add(l, fd);
    if (err == 0)
        fd = -1; /* it is theirs */
    return err;
}

void store_locks_keep(struct store_locks *l, const char *const *stores, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        bool is_used = false;
        for (size_t k = 0; k < n && !is_used; k++) {
            AUTO_CLOSE int folder = -1;
            AUTO_FREE char *name = NULL;
            struct stat st;
            /* A place that cannot be looked at may be the one. */
            is_used = lock_place(stores[k], &folder, &name) < 0 ||
                      fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                      lock_find(l, &st) == &l->v[i];
        }
        if (is_used)
            l->v[kept++] = l->v[i];
        else
            close(l->v[i].fd);
    }
    l->n = kept;
}

/* ---- handing over ---- */

void store_locks_hand_over(const struct store_locks *l, bool is_handed)
{
    AUTO_BUF text = BUF_INIT;
    for (size_t i = 0; i < l->n; i++) {
        (void)fcntl(l->v[i].fd, F_SETFD, is_handed ? 0 : FD_CLOEXEC);
        (void)!buf_printf(&text, "%s%d", i ? "," : "", l->v[i].fd);
    }
    if (is_handed && l->n > 0 && buf_cstr(&text))
        (void)setenv(STORE_LOCK_ENV, buf_cstr(&text), 1);
    else
        (void)unsetenv(STORE_LOCK_ENV);
}

void store_locks_adopt(struct store_locks *l)
{
    const char *text = getenv(STORE_LOCK_ENV);
    struct str list = str_of(text ? text : "");
    uint64_t fd;
    while (list.n > 0)
        if (str_to_u64(str_cut(&list, ','), INT32_MAX, &fd) == 0 && lock_add(l, (int)fd) == 0)
            (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    (void)unsetenv(STORE_LOCK_ENV);
}

void store_locks_fini(struct store_locks *l)
{
    for (size_t i = 0; i < l->n; i++)
        close(l->v[i].fd);
    free(l->v);
    *l = (struct store_locks){0};
}
