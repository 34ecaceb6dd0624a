/* SPDX-License-Identifier: ISC */
/* Mailbox: a mutex-guarded list, and an eventfd that is rung once for whatever lies in it. */
#include "io/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/clock.h"

struct mailbox {
    pthread_mutex_t mutex;
    struct list mails; /* under the mutex */
    bool is_closed;    /* under the mutex */
    bool is_rung;      /* under the mutex: fd is readable */
    atomic_bool has_mail;
    atomic_bool has_urgent; /* some of it is not lazy */
    atomic_bool is_awake;   /* the receiver looks at has_urgent before it waits */
    int fd;
};

static void mail_drop(struct mail *m)
{
    if (m->drop)
        m->drop(m);
    else
        free(m);
}

int mailbox_new(struct mailbox **ret)
{
    struct mailbox *b = calloc(1, sizeof(*b));
    if (!b)
        return -ERR_NOMEM;
    b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (b->fd < 0) {
        free(b);
        return err_from_errno(errno);
    }
    pthread_mutex_init(&b->mutex, NULL);
    list_init(&b->mails);
    *ret = b;
    return 0;
}

void mailbox_free(struct mailbox *b)
{
    if (!b)
        return;
    mailbox_close(b);
    pthread_mutex_destroy(&b->mutex);
    close(b->fd);
    free(b);
}

int mailbox_fd(const struct mailbox *b)
{
    return b->fd;
}

/* The bell is rung under the mutex: a receiver that frees the mailbox because of this very mail
 * must not find the sender still writing. Sender and receiver each write their flag before they
 * read the other's: one of them sees it. */
static void mailbox_put(struct mailbox *b, struct mail *m, bool is_urgent)
{
    pthread_mutex_lock(&b->mutex);
    bool is_closed = b->is_closed;
    if (!is_closed) {
        list_add_tail(&b->mails, &m->link);
        atomic_store_explicit(&b->has_mail, true, memory_order_relaxed);
        if (is_urgent)
            atomic_store(&b->has_urgent, true);
        if (is_urgent && !b->is_rung && !atomic_load(&b->is_awake)) {
            uint64_t one = 1;
            /* Only a counter at its maximum could refuse, and then the receiver is awake anyway. */
            (void)!write(b->fd, &one, sizeof(one));
            b->is_rung = true;
        }
    }
    pthread_mutex_unlock(&b->mutex);
    if (is_closed) {
        list_init(&m->link);
        mail_drop(m);
    }
}

void mailbox_post(struct mailbox *b, struct mail *m)
{
    mailbox_put(b, m, true);
}

void mailbox_post_lazily(struct mailbox *b, struct mail *m)
{
    mailbox_put(b, m, false);
}

void mailbox_set_awake(struct mailbox *b)
{
    atomic_store_explicit(&b->is_awake, true, memory_order_relaxed);
}

bool mailbox_may_wait(struct mailbox *b)
{
    atomic_store(&b->is_awake, false);
    if (!atomic_load(&b->has_urgent))
        return true;
    mailbox_set_awake(b);
    return false;
}

bool mailbox_has_mail(const struct mailbox *b)
{
    return atomic_load_explicit(&b->has_mail, memory_order_relaxed);
}

void mailbox_close(struct mailbox *b)
{
    struct list mails;
    list_init(&mails);
    pthread_mutex_lock(&b->mutex);
    b->is_closed = true;
    list_splice_tail(&mails, &b->mails);
    pthread_mutex_unlock(&b->mutex);
    while (!list_is_empty(&mails)) {
        struct mail *m = LIST_ITEM(mails.next, struct mail, link);
        list_del(&m->link);
        mail_drop(m);
    }
}

/* The bell is silenced under the mutex: whoever posts later rings again. */
static void mailbox_take(struct mailbox *b, struct list *mails)
{
    pthread_mutex_lock(&b->mutex);
    if (b->is_rung) {
        uint64_t count;
        ssize_t n = read(b->fd, &count, sizeof(count));
        (void)n;
        b->is_rung = false;
    }
    atomic_store_explicit(&b->has_mail, false, memory_order_relaxed);
    atomic_store_explicit(&b->has_urgent, false, memory_order_relaxed);
    list_splice_tail(mails, &b->mails);
    pthread_mutex_unlock(&b->mutex);
}

bool mailbox_run_for(struct mailbox *b, void *owner, uint64_t us)
{
    struct list mails;
    uint64_t end_us = 0;
    list_init(&mails);
    mailbox_take(b, &mails);
    while (!list_is_empty(&mails)) {
        struct mail *m = LIST_ITEM(mails.next, struct mail, link);
        bool is_alone = m->link.next == &mails;
        if (!end_us && !is_alone)
            end_us = clock_us() + us;
        list_del(&m->link);
        m->fn(m, owner);
        if (!is_alone && clock_us() >= end_us)
            break;
    }
    if (list_is_empty(&mails))
        return false;
    /* What is left goes before what came meanwhile. */
    pthread_mutex_lock(&b->mutex);
    list_splice_tail(&mails, &b->mails);
    list_splice_tail(&b->mails, &mails);
    atomic_store_explicit(&b->has_mail, true, memory_order_relaxed);
    pthread_mutex_unlock(&b->mutex);
    return true;
}

void mailbox_run(struct mailbox *b, void *owner)
{
    (void)!mailbox_run_for(b, owner, UINT32_MAX);
}
