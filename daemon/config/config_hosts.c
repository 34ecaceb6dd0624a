/* SPDX-License-Identifier: ISC */
/* Addresses of listeners whose hosts have names. */
#include "config/config_hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- names ---- */

bool config_is_host(struct str name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    bool has_letter = false;
    for (size_t i = 0; i < name.n; i++) {
        if (!memchr(letters, name.p[i], sizeof(letters) - 1))
            return false;
        has_letter = has_letter || !memchr("0123456789.", name.p[i], 11);
    }
    return has_letter && name.n <= 253;
}

bool config_host_split(struct str address, struct str *ret_host, uint16_t *ret_port)
{
    ptrdiff_t colon = str_index(address, ':');
    uint64_t port;
    if (colon <= 0 || !config_is_host(str_head(address, (size_t)colon)) ||
        str_to_u64(str_skip(address, (size_t)colon + 1), UINT16_MAX, &port) < 0 || port == 0)
        return false;
    *ret_host = str_head(address, (size_t)colon);
    *ret_port = (uint16_t)port;
    return true;
}

/* ---- a config ---- */

struct known {
    char *host;
    struct addr addrs[CONFIG_HOST_ADDRS_MAX];
    size_t n;
    const char *why; /* n 0 */
};

struct resolving {
    struct config *config;
    const struct config_places *places;
    const struct config_hosts *hosts;
    struct config_problems *problems;
    struct known *known; /* each name is looked up once */
    size_t n_known;
    uint64_t until_ms;
};

/* Name servers give them in another order each time: that is no difference of two configs. */
static int resolve_order(const void *a, const void *b)
{
    const struct addr *x = a, *y = b;
    int by_family = (x->family == AF_INET6) - (y->family == AF_INET6);
    return by_family ? by_family : memcmp(x->ip, y->ip, sizeof(x->ip));
}

/* NULL without memory. */
static const struct known *resolve_host(struct resolving *r, struct str host)
{
    for (size_t i = 0; i < r->n_known; i++)
        if (str_ieq(str_of(r->known[i].host), host))
            return &r->known[i];
    struct known *all = realloc(r->known, (r->n_known + 1) * sizeof(*all));
    if (!all)
        return NULL;
    r->known = all;
    struct known *k = &all[r->n_known];
    *k = (struct known){.host = str_dup(host)};
    if (!k->host)
        return NULL;
    r->n_known++;
    if (r->until_ms == 0)
        r->until_ms = clock_ms() + r->hosts->limit_ms;
    if (clock_ms() > r->until_ms)
        k->why = "it was not looked up: other names took too long";
    else if (r->hosts->find(r->hosts->arg, k->host, k->addrs, &k->n, &k->why) < 0)
        k->n = 0;
    qsort(k->addrs, k->n, sizeof(k->addrs[0]), resolve_order);
    return k;
}

static int resolve_add(const struct resolving *r, struct config_strings *list, struct str text)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(str_of(list->v[i]), text))
            return 0;
    const char *copy = config_alloc_text(config_memory_of(r->config), text);
    if (copy)
        ((const char **)list->v)[list->n++] = copy;
    return copy ? 0 : -ERR_NOMEM;
}

/* One address into the list; room for all of a name. */
static int resolve_address(struct resolving *r, size_t listener, const char *address,
                           struct config_strings *list)
{
    struct str host;
    uint16_t port;
    int err = 0;
    if (!config_host_split(str_of(address), &host, &port))
        return resolve_add(r, list, str_of(address));
    const struct known *k = resolve_host(r, host);
    if (!k)
        return -ERR_NOMEM;
    if (k->n == 0) {
        char key[64];
        const char *file;
        (void)snprintf(key, sizeof(key), "listeners[%zu].address", listener);
        unsigned line = config_place_line(r->places, key, &file);
        config_problem_add(r->problems, file, line, key, false, "\"%s\" has no address: %s",
                           k->host, k->why);
        return resolve_add(r, list, str_of(address));
    }
    for (size_t i = 0; i < k->n && err == 0; i++) {
        char text[ADDR_TEXT_MAX];
        struct addr a = k->addrs[i];
        a.port = port;
        addr_format(text, &a);
        err = resolve_add(r, list, str_of(text));
    }
    return err;
}

static int resolve_listener(struct resolving *r, size_t listener)
{
    struct config_strings *address = &r->config->listeners[listener].address, list = {0};
    size_t n_names = 0;
    struct str host;
    uint16_t port;
    int err = 0;
    for (size_t i = 0; i < address->n; i++)
        n_names += config_host_split(str_of(address->v[i]), &host, &port);
    if (n_names == 0)
        return 0;
    size_t most = address->n + n_names * CONFIG_HOST_ADDRS_MAX;
    list.v = config_alloc(config_memory_of(r->config), (most + 1) * sizeof(*list.v));
    if (!list.v)
        return -ERR_NOMEM;
    for (size_t i = 0; i < address->n && err == 0; i++)
        err = resolve_address(r, listener, address->v[i], &list);
    if (err == 0)
        *address = list;
    return err;
}

int config_hosts_resolve(struct config *c, const struct config_places *places,
                         const struct config_hosts *hosts, struct config_problems *problems)
{
    struct resolving r = {c, places, hosts, problems, NULL, 0, 0};
    int err = 0;
    for (size_t i = 0; i < c->n_listeners && err == 0; i++)
        err = resolve_listener(&r, i);
    for (size_t i = 0; i < r.n_known; i++)
        free(r.known[i].host);
    free(r.known);
    return err;
}
