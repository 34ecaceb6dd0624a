/* SPDX-License-Identifier: ISC */
/* Messages between threads: a locked list and an eventfd that wakes the receiver's loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/container/list.h"
#include "base/err.h"

/* Embed first in a message. The sender gives it away with mailbox_post; the receiver's fn owns and
 * frees it. */
struct mail {
    struct list link;
    void (*fn)(struct mail *m, void *owner); /* runs on the receiving thread; owner is the loop's */
    void (*drop)(struct mail *m); /* when it can no longer be delivered; NULL = free(m) */
};

struct mailbox;

/* Delivers m. Thread: any. Never fails; after mailbox_close m is dropped at once. One wake-up for
 * any number of pending mails. */
void mailbox_post(struct mailbox *b, struct mail *m);
/* The same without waking the receiver: it finds m in its next turn, a loop after LOOP_HEARTBEAT_MS
 * at the latest. */
void mailbox_post_lazily(struct mailbox *b, struct mail *m);
/* Refuses and drops everything from now on. Thread: any. */
void mailbox_close(struct mailbox *b);

/* The receiving side; loops make their own, so only code without a loop needs these. */

/* Makes an open mailbox. 0, -ERR_NOMEM or what eventfd(2) said. */
int mailbox_new(struct mailbox **ret) NODISCARD;
/* Closes it, drops what is in it, frees it. No other thread may post any more. NULL is fine. */
void mailbox_free(struct mailbox *b);
/* Descriptor that is readable while mail waits that is not lazy, of a receiver that waits, too.
 * Thread: any. */
int mailbox_fd(const struct mailbox *b);
/* The receiver works and will look at its mail before it waits again: nobody has to ring. A mailbox
 * begins as one whose receiver waits. Thread: the receiver. */
void mailbox_set_awake(struct mailbox *b);
/* Before it waits. False: mail that is not lazy is there, and it goes on being awake. Thread: the
 * receiver. */
bool mailbox_may_wait(struct mailbox *b) NODISCARD;
/* Is there any mail, lazy or not? Thread: any; for the receiver in time. */
bool mailbox_has_mail(const struct mailbox *b);
/* Runs the fn of every mail that waits now, in order of arrival; mail posted meanwhile is for the
 * next call. Thread: the receiver. */
void mailbox_run(struct mailbox *b, void *owner);
/* The same until so many µs are over. True: some is left, and comes first in the next call. */
bool mailbox_run_for(struct mailbox *b, void *owner, uint64_t us) NODISCARD;
