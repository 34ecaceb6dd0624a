/* SPDX-License-Identifier: ISC */
/* Which column of which list has which facet. */
#include "tui/facet.h"

#include "base/addr.h"
#include "base/cleanup.h"

const struct facet_row facet_rows[FACET_COUNT] = {
    [FACET_USER] = {'u', "user", "user", "user"},
    [FACET_IP] = {'i', "address", "ip", "ip"},
    [FACET_NET] = {'n', "network", "ip", "ip"},
    [FACET_BACKEND] = {'b', "backend", "backend", "backend"},
    [FACET_POOL] = {'o', "pool", "pool", NULL},
    [FACET_LISTENER] = {'l', "listener", "listener", NULL},
    [FACET_CLIENT] = {'c', "client program", "client", NULL},
    [FACET_PROTO] = {'p', "protocol", "proto", "proto"},
    [FACET_SESSION] = {'s', "session", "id", "session"},
};

/* column: of the row. kind: what the row's column "kind" has to say then, NULL = no matter. */
static const struct {
    enum pane pane;
    enum facet facet;
    const char *column, *kind;
} facet_columns[] = {
    {PANE_SESSIONS, FACET_USER, "user", NULL},
    {PANE_SESSIONS, FACET_IP, "ip", NULL},
    {PANE_SESSIONS, FACET_BACKEND, "backend", NULL},
    {PANE_SESSIONS, FACET_POOL, "pool", NULL},
    {PANE_SESSIONS, FACET_LISTENER, "listener", NULL},
    {PANE_SESSIONS, FACET_CLIENT, "client", NULL},
    {PANE_SESSIONS, FACET_PROTO, "proto", NULL},
    {PANE_SESSIONS, FACET_SESSION, "id", NULL},
    {PANE_EVENTS, FACET_USER, "user", NULL},
    {PANE_EVENTS, FACET_IP, "ip", NULL},
    {PANE_EVENTS, FACET_BACKEND, "backend", NULL},
    {PANE_EVENTS, FACET_PROTO, "proto", NULL},
    {PANE_EVENTS, FACET_SESSION, "session", NULL},
    {PANE_USERS, FACET_USER, "name", NULL},
    {PANE_USERS, FACET_BACKEND, "backend", NULL},
    {PANE_BACKENDS, FACET_BACKEND, "name", NULL},
    {PANE_BACKENDS, FACET_POOL, "pool", NULL},
    {PANE_LISTENERS, FACET_LISTENER, "name", NULL},
    {PANE_LISTENERS, FACET_PROTO, "proto", NULL},
    {PANE_BANS, FACET_USER, "subject", "user"},
    {PANE_BANS, FACET_IP, "subject", "address"},
    {PANE_BANS, FACET_NET, "subject", "network"},
    {PANE_LIMITS, FACET_USER, "subject", "user"},
    {PANE_LIMITS, FACET_IP, "subject", "address"},
    {PANE_LIMITS, FACET_NET, "subject", "network"},
    {PANE_FAILURES, FACET_USER, "user", NULL},
    {PANE_FAILURES, FACET_IP, "ip", NULL},
    {PANE_FAILURES, FACET_BACKEND, "backend", NULL},
    {PANE_GROUPS, FACET_USER, "user", NULL},
    {PANE_GROUPS, FACET_NET, "net", NULL},
    {PANE_GROUPS, FACET_IP, "ip", NULL},
    {PANE_GROUPS, FACET_BACKEND, "backend", NULL},
    {PANE_GROUPS, FACET_LISTENER, "listener", NULL},
    {PANE_GROUPS, FACET_CLIENT, "client", NULL},
    {PANE_GROUPS, FACET_PROTO, "proto", NULL},
    {PANE_CONFLICTS, FACET_USER, "user", NULL},
    {PANE_CONFLICTS, FACET_BACKEND, "backend", NULL},
    {PANE_CONFLICTS, FACET_POOL, "pool", NULL},
};

/* The network that an address lies in: /24, or /64 of IPv6. */
static bool facet_net(const char *ip, char *dst)
{
    struct addr a;
    char text[ADDR_TEXT_MAX];
    if (addr_parse_ip(str_of(ip), &a) < 0)
        return false;
    struct addr_net net = {.bits = a.family == AF_INET ? 120 : 64, .family = a.family};
    memcpy(net.ip, a.ip, sizeof(net.ip));
    addr_mask(net.ip, net.bits);
    addr_net_format(text, &net);
    return str_copy(dst, FACET_TEXT_MAX, str_of(text));
}

bool facet_of(enum pane p, const json_t *row, enum facet f, char *dst)
{
    const char *kind = json_string_value(json_object_get(row, "kind"));
    for (size_t i = 0; i < ARRAY_LEN(facet_columns); i++) {
        const char *text = json_string_value(json_object_get(row, facet_columns[i].column));
        if (facet_columns[i].pane != p || facet_columns[i].facet != f || !text || !text[0] ||
            (facet_columns[i].kind && (!kind || strcmp(kind, facet_columns[i].kind) != 0)))
            continue;
        /* A name that looks like an address is told apart like this. */
        struct str value = str_of(text);
        if (facet_columns[i].kind && f == FACET_USER && str_is_prefix(value, STR("user:")))
            value = str_n(value.p + 5, value.n - 5);
        return str_copy(dst, FACET_TEXT_MAX, value);
    }
    char ip[FACET_TEXT_MAX];
    return f == FACET_NET && facet_of(p, row, FACET_IP, ip) && facet_net(ip, dst);
}
