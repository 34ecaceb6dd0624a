/* SPDX-License-Identifier: ISC */
/* Walking down a path with descriptors, as the kernel does, but with an eye on who owns what. */
#include "base/os/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define FOLDER_LINKS_MAX 40 /* as in the kernel */

struct walk {
    int fd;     /* the folder that was reached */
    char *rest; /* of the path, relative to it; owned */
    unsigned n_links;
    bool is_fixed;
};

static bool folder_is_ours(const struct stat *st)
{
    return st->st_uid == 0 || st->st_uid == geteuid();
}

/* Can nobody else rename the entry `st` of the folder `in`? */
static bool folder_is_kept(const struct stat *in, const struct stat *st)
{
    bool is_shared = in->st_mode & S_IWOTH || (in->st_mode & S_IWGRP && in->st_gid != 0);
    if (!folder_is_ours(in))
        return false;
    return !is_shared || (in->st_mode & S_ISVTX && folder_is_ours(st));
}

static int folder_enter(struct walk *w, int fd)
{
    close(w->fd);
    w->fd = fd;
    return 0;
}

/* Takes fd, of the link, over. */
static int folder_follow(struct walk *w, int fd, const struct stat *st, const char *rest)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);
    int failed = errno;
    close(fd);
    if (!folder_is_ours(st) || ++w->n_links > FOLDER_LINKS_MAX)
        return -ERR_SYMLINK;
    if (n <= 0)
        return n < 0 ? err_from_errno(failed) : -ERR_NOT_FOUND;
    target[n] = '\0';
    char *path = str_printf("%s/%s", target, rest);
    if (!path)
        return -ERR_NOMEM;
    free(w->rest);
    w->rest = path;
    if (target[0] != '/')
        return 0;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? err_from_errno(errno) : folder_enter(w, root);
}

static int folder_step(struct walk *w, const char *name, const char *rest)
{
    struct stat in, st;
    int fd = openat(w->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    if (fstat(fd, &st) < 0 || fstat(w->fd, &in) < 0) {
        int failed = errno;
        close(fd);
        return err_from_errno(failed);
    }
    w->is_fixed = w->is_fixed && folder_is_kept(&in, &st);
    if (S_ISLNK(st.st_mode))
        return folder_follow(w, fd, &st, rest);
    if (!S_ISDIR(st.st_mode)) {
        close(fd);
        return err_from_errno(ENOTDIR);
    }
    char *left = str_dup_c(rest);
    if (!left) {
        close(fd);
        return -ERR_NOMEM;
    }
    free(w->rest);
    w->rest = left;
    return folder_enter(w, fd);
}

static int folder_walk(struct walk *w)
{
    int err = w->fd < 0 ? err_from_errno(errno) : w->rest ? 0 : -ERR_NOMEM;
    while (err == 0) {
        const char *name = w->rest + strspn(w->rest, "/");
        size_t n = strcspn(name, "/");
        char copy[NAME_MAX + 1];
        if (n == 0)
            return 0;
        if (!str_copy(copy, sizeof(copy), str_n(name, n)))
            return -ERR_TOO_LONG;
        err = folder_step(w, copy, name + n);
    }
    return err;
}

int folder_open(const char *path, int *ret_fd, const char **ret_name, bool *ret_is_fixed)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -ERR_INVAL;
    struct walk w = {.fd = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC),
                     .rest = str_dup(str_n(path, (size_t)(name - path))),
                     .is_fixed = true};
    int err = folder_walk(&w);
    free(w.rest);
    if (err < 0) {
        if (w.fd >= 0)
            close(w.fd);
        return err;
    }
    *ret_fd = w.fd;
    *ret_name = name;
    if (ret_is_fixed)
        *ret_is_fixed = w.is_fixed;
    return 0;
}
