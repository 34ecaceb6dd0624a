/* SPDX-License-Identifier: ISC */
/* What the kernel says of this process. */
#pragma once

#include <stdint.h>

struct process_figures {
    uint64_t cpu_us;         /* user and system time of all threads */
    uint64_t resident_bytes; /* 0 = the kernel does not say */
    uint64_t virtual_bytes;  /* 0 = the kernel does not say */
    uint64_t open_fds;       /* 0 = the kernel does not say (before Linux 6.2) */
    uint64_t max_fds;
};

/* Thread: any. A few system calls. */
void process_measure(struct process_figures *ret);
/* How many descriptors this process may have now; UINT64_MAX when nothing limits it. Thread: any.
 */
uint64_t process_max_fds(void);
