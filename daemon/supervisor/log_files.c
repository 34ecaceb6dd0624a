/* SPDX-License-Identifier: ISC */
/* Opening log files as root in folders that may belong to another user. */
#include "supervisor/log_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/folder.h"
#include "base/log.h"

/* Another name of the file could be one that its owner may not write to. */
static int log_file_check(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_from_errno(errno);
    bool is_good = S_ISCHR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink == 1);
    return is_good ? 0 : -ERR_PERM;
}

static int log_file_open(const char *path, int *ret_fd)
{
    AUTO_CLOSE int folder = -1;
    AUTO_CLOSE int fd = -1;
    const char *name;
    int err = folder_open(path, &folder, &name, NULL);
    if (err < 0)
        return err;
    fd = openat(folder, name,
                O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK,
                0640);
    if (fd < 0)
        return errno == ELOOP ? -ERR_SYMLINK : err_from_errno(errno);
    err = log_file_check(fd);
    if (err < 0)
        return err;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int log_files_open(const struct plan *p, struct outbox_place *ret, size_t *ret_n)
{
    int first = 0;
    *ret_n = 0;
    for (size_t i = 0; i < p->n_logs; i++) {
        struct outbox_place place = {.fd = -1, .index = (uint32_t)p->logs[i].index};
        int err = log_file_open(p->logs[i].path, &place.fd);
        if (err == 0)
            ret[(*ret_n)++] = place;
        else
            LOG_EVENT(LOG_LEVEL_ERROR, "log-not-opened", KV_STR("path", p->logs[i].path),
                      KV_ERR("error", err));
        first = first < 0 ? first : err;
    }
    return first;
}

void log_files_close(struct outbox_place *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(v[i].fd);
}
