/* SPDX-License-Identifier: ISC */
/* Messages between threads: a locked list and an eventfd that wakes the receiver's loop. */
#pragma once

#include "base/err.h"
#include "base/list.h"

/* Embed first in a message. The sender gives it away with mailbox_post; the receiver's fn owns and frees it. */
struct mail {
    struct list link;
    void (*fn)(struct mail *m, void *owner); /* runs on the receiving thread; owner is the loop's */
    void (*drop)(struct mail *m);            /* when it can no longer be delivered; NULL = free(m) */
};

struct mailbox;

/* Delivers m. Thread: any. Never fails; after mailbox_close m is dropped at once. One wake-up for any number of pending mails. */
void mailbox_post(struct mailbox *b, struct mail *m);
/* Refuses and drops everything from now on. Thread: any. */
void mailbox_close(struct mailbox *b);
