/* SPDX-License-Identifier: ISC */
/* Figures from /proc and getrusage(2). */
#include "base/os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

static uint64_t process_us(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

static void process_memory(struct process_figures *f)
{
    char text[128];
    AUTO_CLOSE int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), total, resident;
    struct str rest = str_n(text, n > 0 ? (size_t)n : 0);
    if (str_to_u64(str_word(&rest), UINT64_MAX / page, &total) < 0 ||
        str_to_u64(str_word(&rest), UINT64_MAX / page, &resident) < 0)
        return;
    f->virtual_bytes = total * page;
    f->resident_bytes = resident * page;
}

void process_open_standard(bool is_heard)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int mode = !is_heard ? O_RDWR : fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", mode); /* the lowest number that is free: this one */
    }
}

uint64_t process_max_fds(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : UINT64_MAX;
}

void process_measure(struct process_figures *ret)
{
    struct process_figures f = {0};
    struct rusage usage;
    struct stat st;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        f.cpu_us = process_us(&usage.ru_utime) + process_us(&usage.ru_stime);
    f.max_fds = process_max_fds();
    /* Counting the entries would take long with many clients; the folder's size is their number. */
    if (stat("/proc/self/fd", &st) == 0)
        f.open_fds = (uint64_t)st.st_size;
    process_memory(&f);
    *ret = f;
}
