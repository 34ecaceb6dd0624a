/* SPDX-License-Identifier: ISC */
/* Opening log files as root in folders that may belong to another user. */
#include "supervisor/log_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/os/folder.h"

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
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_from_errno(errno);
    /* Another name of the file could be one that its owner may not write to. */
    if (!S_ISCHR(st.st_mode) && !(S_ISREG(st.st_mode) && st.st_nlink == 1))
        return -ERR_PERM;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

size_t log_files_count(const struct plan *p)
{
    return p->n_logs < WIRE_FDS_MAX ? p->n_logs : WIRE_FDS_MAX;
}

int log_files_send(const struct plan *p, struct engine_process *to)
{
    struct wire_log logs[WIRE_FDS_MAX] = {0};
    struct wire_packet packet;
    int fds[WIRE_FDS_MAX];
    size_t n = log_files_count(p), n_fds = 0;
    for (size_t i = 0; i < n; i++) {
        int err = log_file_open(p->logs[i].path, &fds[n_fds]);
        logs[i] = (struct wire_log){(uint32_t)p->logs[i].index, err};
        n_fds += err == 0;
    }
    wire_packet_init(&packet, WIRE_LOG_FILES, logs, n * sizeof(logs[0]));
    int err = outbox_send(to, &packet, fds, n_fds);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    return err;
}
