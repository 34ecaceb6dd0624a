/* SPDX-License-Identifier: ISC */
/* What the kernel says of this process. */
#pragma once

#include <stdbool.h>
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
/* Standard input, output and error that are closed lead to /dev/null, so that no socket or file
 * gets their numbers and what is said to people. is_heard: reading or writing them fails, as it
 * does while they are closed; else there is nothing to be read, and what is written is lost. First
 * of all, before any descriptor is opened. Without /dev/null they stay closed. */
void process_open_standard(bool is_heard);
/* How many descriptors this process may have now; UINT64_MAX when nothing limits it. Thread: any.
 */
uint64_t process_max_fds(void);
