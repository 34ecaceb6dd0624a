/* SPDX-License-Identifier: ISC */
/* Which addresses of an HTTP server work: one that failed several times in a row is left alone for
 * a while, so that its logins neither wait for it nor keep the connections from others. */
#include "io/http/http_priv.h"

#define FAILURES_MAX 3 /* in a row, before an address is passed over */
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 4000

struct http_server *http_server_find(struct http_client *c, const struct addr *at)
{
    for (size_t i = 0; i < c->n_servers; i++)
        if (addr_eq(&c->servers[i].at, at))
            return &c->servers[i];
    return NULL;
}

/* Room for an address that was not known; the one that worked last makes it. */
static struct http_server *server_get(struct http_client *c, const struct addr *at)
{
    struct http_server *s = http_server_find(c, at);
    if (s)
        return s;
    s = &c->servers[0];
    if (c->n_servers < HTTP_ADDRESSES_MAX)
        s = &c->servers[c->n_servers++];
    else
        for (size_t i = 1; i < c->n_servers; i++)
            if (c->servers[i].failures < s->failures)
                s = &c->servers[i];
    *s = (struct http_server){.at = *at};
    return s;
}

static uint64_t server_pause_ms(const struct http_server *s)
{
    unsigned doublings = s->failures - FAILURES_MAX;
    return doublings < 2 ? PAUSE_MIN_MS << doublings : PAUSE_MAX_MS;
}

bool http_server_try(struct http_client *c, const struct addr *at)
{
    struct http_server *s = http_server_find(c, at);
    uint64_t now = loop_now_ms(c->loop);
    if (!s || s->failures < FAILURES_MAX)
        return true;
    if (now < s->closed_until_ms)
        return false;
    s->closed_until_ms = now + server_pause_ms(s); /* one try, not all that wait for it */
    return true;
}

void http_server_failed(struct http_client *c, const struct addr *at, int err)
{
    if (err_is_shortage(err))
        return;
    struct http_server *s = server_get(c, at);
    s->failures++;
    if (s->failures >= FAILURES_MAX)
        s->closed_until_ms = loop_now_ms(c->loop) + server_pause_ms(s);
}

void http_server_worked(struct http_client *c, const struct addr *at)
{
    struct http_server *s = server_get(c, at);
    s->failures = 0;
    s->last_success_ms = loop_now_ms(c->loop);
}
