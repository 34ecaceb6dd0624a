/* SPDX-License-Identifier: ISC */
/* Groups of sessions, and their sums. */
#include "session/admin/groups.h"

void session_groups_fini(struct session_groups *g)
{
    size_t pos = 0;
    struct str key;
    void *group;
    while (map_next(&g->by_key, &pos, &key, &group))
        free(group);
    map_fini(&g->by_key);
    *g = (struct session_groups){0};
}

void session_groups_free(struct session_groups *g)
{
    if (g)
        session_groups_fini(g);
    free(g);
}

static struct session_group *group_new(struct session_groups *g, struct str key)
{
    struct session_group *one = calloc(1, sizeof(*one) + key.n + 1);
    if (!one)
        return NULL;
    char *text = (char *)(one + 1);
    if (key.n > 0)
        memcpy(text, key.p, key.n);
    one->key = str_n(text, key.n);
    if (map_put(&g->by_key, key, one, NULL) == 0)
        return one;
    free(one);
    return NULL;
}

int session_groups_add(struct session_groups *g, struct str key, const struct session_group *more)
{
    struct session_group *one = map_get(&g->by_key, key);
    if (!one && g->by_key.count >= SESSION_GROUPS_MAX)
        return 0;
    if (!one && !(one = group_new(g, key)))
        return -ERR_NOMEM;
    one->sessions += more->sessions;
    one->young += more->young;
    one->in_bytes += more->in_bytes;
    one->out_bytes += more->out_bytes;
    one->oldest_ms = more->oldest_ms > one->oldest_ms ? more->oldest_ms : one->oldest_ms;
    return 0;
}

int session_groups_merge(struct session_groups *g, const struct session_groups *more)
{
    size_t pos = 0;
    int err = 0;
    struct str key;
    void *group;
    while (err == 0 && map_next(&more->by_key, &pos, &key, &group))
        err = session_groups_add(g, key, group);
    return err;
}

void session_group_net(char dst[ADDR_TEXT_MAX], const struct addr *ip)
{
    struct addr_net net = {.bits = ip->family == AF_INET ? 120 : 64, .family = ip->family};
    dst[0] = '\0';
    if (ip->family != AF_INET && ip->family != AF_INET6)
        return;
    memcpy(net.ip, ip->ip, sizeof(net.ip));
    addr_mask(net.ip, net.bits);
    addr_net_format(dst, &net);
}
