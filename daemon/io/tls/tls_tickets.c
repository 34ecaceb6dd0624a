/* SPDX-License-Identifier: ISC */
/* The shared secret of tickets, under a lock that is held for a copy. */
#include "io/tls/tls_tickets.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tls_tickets {
    pthread_mutex_t mutex;
    uint8_t secret[TLS_TICKETS_BYTES];
    bool is_set;
};

int tls_tickets_new(struct tls_tickets **ret)
{
    struct tls_tickets *t = calloc(1, sizeof(*t));
    if (!t)
        return -ERR_NOMEM;
    pthread_mutex_init(&t->mutex, NULL);
    *ret = t;
    return 0;
}

void tls_tickets_free(struct tls_tickets *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->mutex);
    explicit_bzero(t->secret, sizeof(t->secret));
    free(t);
}

void tls_tickets_set(struct tls_tickets *t, const uint8_t secret[TLS_TICKETS_BYTES])
{
    pthread_mutex_lock(&t->mutex);
    memcpy(t->secret, secret, sizeof(t->secret));
    t->is_set = true;
    pthread_mutex_unlock(&t->mutex);
}

bool tls_tickets_get(struct tls_tickets *t, uint8_t ret[TLS_TICKETS_BYTES])
{
    pthread_mutex_lock(&t->mutex);
    bool is_set = t->is_set;
    if (is_set)
        memcpy(ret, t->secret, sizeof(t->secret));
    pthread_mutex_unlock(&t->mutex);
    return is_set;
}
