/* SPDX-License-Identifier: ISC */
/* Who gets a place on a backend, and who waits for one. */
#include "backend/places.h"

#include "backend/login_queue.h"

#define PLACES_ROUNDS 8 /* picks before it counts as full: others take places all the time */

/* ---- the queue, under its lock ---- */

static struct place_wait *queue_first(const struct login_queue *q, const struct backend *b)
{
    LIST_FOREACH (it, &q->waiters) {
        struct place_wait *w = LIST_ITEM(it, struct place_wait, link);
        bool would_go =
            w->fixed ? w->fixed == b && backend_may_be_usable(b, w->choice.proto, w->choice.now_ms)
                     : pool_would_take(w->pool, &w->choice, b);
        if (would_go)
            return w;
    }
    return NULL;
}

static void queue_remove(struct login_queue *q, struct place_wait *w)
{
    list_del(&w->link);
    w->is_queued = false;
    atomic_fetch_sub(&q->n, 1);
}

/* The mail to who has the place now. It is posted without the lock: a mailbox that is closed drops
 * it at once, which gives the place back. */
struct place_post {
    struct mailbox *mailbox;
    struct place_grant *grant;
};

static struct place_post queue_grant(struct login_queue *q, struct place_wait *w, struct backend *b)
{
    struct place_post post = {.mailbox = w->mailbox, .grant = w->grant};
    w->grant = NULL;
    post.grant->backend = backend_ref(b);
    queue_remove(q, w);
    return post;
}

static void post_send(const struct place_post *p)
{
    if (p->grant)
        mailbox_post(p->mailbox, &p->grant->mail);
}

/* The free places of one backend go to the first of the queue. */
static void backend_serve(struct backend *b)
{
    struct login_queue *q = b->queue;
    bool is_going_on = q && atomic_load(&q->n) > 0;
    while (is_going_on) {
        struct place_post post = {0};
        pthread_mutex_lock(&q->lock);
        struct place_wait *w = backend_is_full(b) ? NULL : queue_first(q, b);
        if (w && backend_take_place(b))
            post = queue_grant(q, w, b);
        pthread_mutex_unlock(&q->lock);
        post_send(&post);
        is_going_on = post.grant != NULL;
    }
}

/* ---- taking and giving ---- */

int places_pick(const struct pool *p, const struct pool_choice *c, const struct pool_member **ret)
{
    for (int i = 0; i < PLACES_ROUNDS; i++) {
        int err = pool_pick(p, c, ret);
        if (err < 0 || backend_take_place((*ret)->backend))
            return err;
    }
    return -ERR_POOL_FULL;
}

void places_give(struct backend *b)
{
    struct login_queue *q = b->queue;
    struct place_post post = {0};
    if (q && atomic_load(&q->n) > 0) {
        pthread_mutex_lock(&q->lock);
        /* Handed on within the lock, a place is never free for those who came later. */
        struct place_wait *w = backend_is_overfull(b) ? NULL : queue_first(q, b);
        if (w)
            post = queue_grant(q, w, b);
        else
            backend_give_place(b);
        pthread_mutex_unlock(&q->lock);
        post_send(&post);
        return;
    }
    backend_give_place(b);
    backend_serve(b); /* somebody may have begun to wait between the look and the giving */
}

void places_drop_grant(struct mail *m)
{
    struct place_grant *g = CONTAINER_OF(m, struct place_grant, mail);
    if (g->backend) {
        places_give(g->backend);
        backend_unref(g->backend);
    }
    free(g);
}

/* ---- waiting ---- */

int places_wait(struct place_wait *w, const struct place_request *r)
{
    struct login_queue *q = NULL;
    if (r->fixed)
        q = r->fixed->queue;
    else if (r->pool->n_members > 0)
        q = r->pool->members[0].backend->queue;
    if (places_is_waiting(w))
        return 0;
    places_leave(w);
    if (!q)
        return -ERR_INVAL;
    struct place_grant *grant = calloc(1, sizeof(*grant));
    if (!grant)
        return -ERR_NOMEM;
    grant->mail = (struct mail){.fn = r->granted, .drop = places_drop_grant};
    grant->session = r->session;
    *w = (struct place_wait){.queue = login_queue_ref(q),
                             .is_queued = true,
                             .pool = r->pool,
                             .fixed = r->fixed,
                             .choice = *r->choice,
                             .mailbox = r->mailbox,
                             .grant = grant};
    pthread_mutex_lock(&q->lock);
    list_add_tail(&q->waiters, &w->link);
    atomic_fetch_add(&q->n, 1);
    pthread_mutex_unlock(&q->lock);
    /* A place may have come free before anybody could see this one wait. */
    if (r->fixed)
        backend_serve(r->fixed);
    else
        places_serve(r->pool);
    return 0;
}

void places_follow(struct place_wait *w, const struct pool *p)
{
    if (!w->queue)
        return;
    pthread_mutex_lock(&w->queue->lock);
    w->pool = p;
    pthread_mutex_unlock(&w->queue->lock);
}

void places_leave(struct place_wait *w)
{
    struct login_queue *q = w->queue;
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    if (w->is_queued)
        queue_remove(q, w);
    pthread_mutex_unlock(&q->lock);
    free(w->grant);
    *w = (struct place_wait){0};
    login_queue_unref(q);
}

bool places_is_waiting(const struct place_wait *w)
{
    if (!w->queue)
        return false;
    pthread_mutex_lock(&w->queue->lock);
    bool is_queued = w->is_queued;
    pthread_mutex_unlock(&w->queue->lock);
    return is_queued;
}

void places_serve(const struct pool *p)
{
    for (size_t i = 0; i < p->n_members; i++)
        backend_serve(p->members[i].backend);
}

void places_apply(const struct pools *pools)
{
    for (size_t i = 0; i < pools->n; i++) {
        const struct pool *p = &pools->v[i];
        for (size_t k = 0; k < p->n_members; k++)
            atomic_store(&p->members[k].backend->max_sessions, p->members[k].max_sessions);
        places_serve(p);
    }
}

uint64_t places_waiting(const struct pool *p)
{
    const struct login_queue *q = p->n_members > 0 ? p->members[0].backend->queue : NULL;
    return q ? atomic_load(&q->n) : 0;
}
