/* SPDX-License-Identifier: ISC */
/* Values that nobody wrote and that no constant can give: they follow from other keys or from the
 * machine. */
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/config_places.h"

enum { COMPLETE_WORKERS_MAX = 254, COMPLETE_USERS_CACHE_MS = 60000 };

static int complete_text(struct config *c, const char **member, struct str text)
{
    *member = config_alloc_text(config_memory_of(c), text);
    return *member ? 0 : -ERR_NOMEM;
}

static int complete_file(struct config *c, const char **member, const char *folder,
                         const char *name)
{
    AUTO_FREE char *path = str_printf("%s/%s", folder, name);
    return path ? complete_text(c, member, str_of(path)) : -ERR_NOMEM;
}

/* One element with its defaults for a top-level list that nobody wrote. */
static int complete_list(struct config *c, const char *name)
{
    const struct config_key *k = config_key_find(config_group_top(), name);
    const struct config_reading r = {.memory = config_memory_of(c)};
    void *element = config_alloc(r.memory, k->group()->size);
    if (!element)
        return -ERR_NOMEM;
    *(void **)config_member(k, c) = element;
    *(size_t *)((char *)c + k->count_offset) = 1;
    return config_group_default(k->group(), element, NULL, &r);
}

static int complete_lists(struct config *c, const struct config_places *places)
{
    int err = 0;
    if (c->n_logs == 0 && !config_place_has(places, "log"))
        err = complete_list(c, "log");
    if (err == 0 && c->n_controls == 0 && !config_place_has(places, "control")) {
        err = complete_list(c, "control");
        if (err == 0)
            err = complete_file(c, &c->controls[0].path, c->run_dir, "control.sock");
    }
    return err;
}

/* ---- listeners ---- */

/* Bits of the ports on which some listener takes an IPv4 address. */
struct complete_ports {
    uint8_t v4[(UINT16_MAX + 1) / 8];
};

static int complete_listeners(struct config *c, const struct config_places *places)
{
    static const uint8_t any[sizeof(((struct addr *)NULL)->ip)];
    AUTO_FREE struct complete_ports *ports = calloc(1, sizeof(*ports));
    struct addr a;
    if (!ports)
        return -ERR_NOMEM;
    for (size_t i = 0; i < c->n_listeners; i++) {
        const struct config_strings *address = &c->listeners[i].address;
        for (size_t j = 0; j < address->n; j++)
            if (addr_parse(str_of(address->v[j]), &a) == 0 && a.family == AF_INET)
                ports->v4[a.port / 8] |= (uint8_t)(1u << a.port % 8);
    }
    for (size_t i = 0; i < c->n_listeners; i++) {
        struct config_listener *l = &c->listeners[i];
        AUTO_FREE char *key = str_printf("listeners[%zu].v6_only", i);
        if (!key)
            return -ERR_NOMEM;
        bool is_given = config_place_has(places, key);
        if (!is_given)
            l->is_v6_only = false;
        /* [::]:143 takes IPv4 clients too, but leaves them to 0.0.0.0:143 where that is listed. */
        for (size_t j = 0; !is_given && j < l->address.n; j++)
            if (addr_parse(str_of(l->address.v[j]), &a) == 0 && a.family == AF_INET6 &&
                memcmp(a.ip, any, sizeof(any)) == 0 && ports->v4[a.port / 8] & 1u << a.port % 8)
                l->is_v6_only = true;
        if (l->mechanisms == 0 && l->proto)
            l->mechanisms = l->proto->default_mechanisms;
        if (l->bare_newline == BARE_NEWLINE_UNSET)
            l->bare_newline = l->is_auth_optional ? BARE_NEWLINE_REJECT : BARE_NEWLINE_PASS;
        if (l->hidden_mechanisms == SASL_BIT_NOTHING)
            l->hidden_mechanisms = 0;
        if (!l->server_name)
            l->server_name = c->server_name;
        /* Which of the providers it asks. Names that there are not are found by the checks. */
        l->provider_mask = l->providers.v ? 0 : UINT64_MAX;
        for (size_t j = 0; j < l->providers.n; j++) {
            size_t k = config_auth_find(c, l->providers.v[j]);
            if (k < c->n_auths && k < CONFIG_AUTHS_MAX)
                l->provider_mask |= UINT64_C(1) << k;
        }
    }
    return 0;
}

int config_complete(struct config *c, const struct config_places *places)
{
    char host[256] = "";
    if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
        snprintf(host, sizeof(host), "localhost");
    int err = c->server_name ? 0 : complete_text(c, &c->server_name, str_of(host));
    struct str rest = str_of(c->server_name);
    if (err == 0 && !c->node)
        err = complete_text(c, &c->node, str_cut(&rest, '.'));
    if (err == 0)
        err = complete_lists(c, places);
    if (err < 0)
        return err;
    const struct config_reading r = {.memory = config_memory_of(c)};
    struct config_pool *no_pool = config_alloc(r.memory, sizeof(*no_pool));
    if (!no_pool)
        return -ERR_NOMEM;
    no_pool->name = "";
    c->no_pool = no_pool;
    err = config_group_default(config_key_find(config_group_top(), "pools")->group(), no_pool, NULL,
                               &r);
    for (size_t i = 0; i < c->n_auths && err == 0; i++) {
        AUTO_FREE char *key = str_printf("auth[%zu].cache", i);
        if (!key)
            err = -ERR_NOMEM;
        else if (c->auths[i].type == AUTH_TYPE_USERS && !config_place_has(places, key))
            c->auths[i].cache_ms = COMPLETE_USERS_CACHE_MS;
    }
    if (err == 0 && !c->store.path)
        err = complete_file(c, &c->store.path, c->state_dir, "mailproxy.db");
    if (c->workers == 0) { /* CPUs that we may run on: a container has fewer than the machine */
        cpu_set_t set;
        long n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                              : sysconf(_SC_NPROCESSORS_ONLN);
        c->workers = n < 1 ? 1 : n > COMPLETE_WORKERS_MAX ? COMPLETE_WORKERS_MAX : (unsigned)n;
    }
    return err < 0 ? err : complete_listeners(c, places);
}
