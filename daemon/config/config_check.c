/* SPDX-License-Identifier: ISC */
/* What a file's keys must have in common: names, references between parts, and the parts that are
 * small. */
#include "config/config_check.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/container/map.h"
#include "base/log/log_syslog.h"

/* ---- names ---- */

/* Lists whose elements have names must not have one twice. */
static void check_names(struct check *k, const struct config_key *list, const void *base,
                        const char *path)
{
    struct map seen = {0};
    for (size_t i = 0; i < config_list_count(list, base); i++) {
        const void *element = config_list_item(list, base, i);
        const char *name = config_element_name(list, element);
        void *before = NULL;
        if (!name || map_put(&seen, str_of(name), (void *)element, &before) < 0 || !before)
            continue;
        check_enter(k, path, i);
        check_error(k, list->group()->keys[0].name, "\"%s\" is there twice", name);
    }
    map_fini(&seen);
}

static void check_group_names(struct check *k, const struct config_group *g, const void *base,
                              const char *path)
{
    for (size_t i = 0; i < g->n_keys; i++) {
        const struct config_key *key = &g->keys[i];
        char at[160];
        (void)snprintf(at, sizeof(at), "%s%s%s", path, *path ? "." : "", key->name);
        if (key->type == CONFIG_PART && (*path == '\0' || config_place_has(k->places, at)))
            check_group_names(k, key->group(), config_member_const(key, base), at);
        if (key->type != CONFIG_LIST)
            continue;
        if (config_list_has_names(key))
            check_names(k, key, base, at);
        for (size_t j = 0; j < config_list_count(key, base); j++) {
            char element[192];
            (void)snprintf(element, sizeof(element), "%s[%zu]", at, j);
            check_group_names(k, key->group(), config_list_item(key, base, j), element);
        }
    }
}

/* ---- references ---- */

static void check_pool_name(struct check *k, const char *name)
{
    const struct config *c = k->config;
    char near[128];
    if (!name)
        return;
    AUTO_FREE const char **names = calloc(c->n_pools + 1, sizeof(*names));
    for (size_t i = 0; names && i < c->n_pools; i++) {
        if (c->pools[i].name && strcmp(c->pools[i].name, name) == 0)
            return;
        names[i] = c->pools[i].name;
    }
    if (names)
        check_error(k, "pool", "there is no pool \"%s\"%s", name,
                    check_nearest(near, name, names, c->n_pools));
}

/* The listener of a route; NULL when there is none or it is not known. */
static const struct config_listener *check_listener_name(struct check *k, const char *name)
{
    const struct config *c = k->config;
    char near[128];
    if (!name)
        return NULL;
    AUTO_FREE const char **names = calloc(c->n_listeners + 1, sizeof(*names));
    for (size_t i = 0; names && i < c->n_listeners; i++) {
        if (c->listeners[i].name && strcmp(c->listeners[i].name, name) == 0)
            return &c->listeners[i];
        names[i] = c->listeners[i].name;
    }
    if (names)
        check_error(k, "listener", "there is no listener \"%s\"%s", name,
                    check_nearest(near, name, names, c->n_listeners));
    return NULL;
}

static void check_routes(struct check *k)
{
    const struct config *c = k->config;
    for (size_t i = 0; i < c->n_routes; i++) {
        const struct config_route *r = &c->routes[i];
        check_enter(k, "routes", i);
        check_pool_name(k, r->pool);
        const struct config_listener *l = check_listener_name(k, r->listener);
        if (l && l->pool)
            check_warning(k, "listener", "never matches: listener \"%s\" has a pool of its own",
                          l->name);
        else if (l && r->proto && l->proto && l->proto != r->proto)
            check_warning(k, "protocol", "never matches: listener \"%s\" speaks %s", l->name,
                          l->proto->name);
        if (!r->domain && !r->user && !r->listener && !r->proto && i + 1 < c->n_routes)
            check_warning(k, "", "takes everybody: the routes after it are never reached");
    }
    for (size_t i = 0; i < c->n_listeners; i++) {
        check_enter(k, "listeners", i);
        check_pool_name(k, c->listeners[i].pool);
    }
}

/* ---- small parts ---- */

static void check_syslog(struct check *k, const struct config_log *l)
{
    struct sockaddr_storage to;
    socklen_t n;
    if (log_syslog_facility(l->facility) < 0)
        check_error(k, "facility", "\"%s\" is no syslog facility", l->facility);
    if (!log_syslog_is_tag(l->tag))
        check_error(k, "tag", "must be at most %d letters, digits, '-', '_', '.' or '/'",
                    LOG_SYSLOG_TAG_MAX);
    if (l->server && l->path)
        check_error(k, "server", "and path are two places: say one");
    else if (l->server && log_syslog_address(l->server, true, &to, &n) < 0)
        check_error(k, "server",
                    "\"%s\" is no address: 192.0.2.1, 192.0.2.1:514 or [2001:db8::1]:514",
                    l->server);
}

static void check_logs(struct check *k)
{
    for (size_t i = 0; i < k->config->n_logs; i++) {
        const struct config_log *l = &k->config->logs[i];
        check_enter(k, "log", i);
        if (l->target == LOG_TARGET_FILE && !l->path)
            check_error(k, "path", "is missing: target \"file\" needs it");
        if (l->target == LOG_TARGET_STDERR && l->path)
            check_warning(k, "path", "has no effect: the target is \"stderr\"");
        if (l->target == LOG_TARGET_SYSLOG)
            check_syslog(k, l);
        else if (l->server)
            check_warning(k, "server", "has no effect: the target is not \"syslog\"");
        if (!l->is_default && !l->name)
            check_error(k, "name",
                        "is missing: with default = false only listeners that name it "
                        "write to it");
    }
}

/* Too many members for the buffer is an answer too: the name is known. */
static void check_user(struct check *k, const char *name, const char *user, bool is_needed)
{
    char buffer[16384];
    struct passwd entry, *found;
    if (!k->is_here || !user || getpwnam_r(user, &entry, buffer, sizeof(buffer), &found) != 0 ||
        found)
        return;
    (is_needed ? check_error : check_warning)(k, name, "there is no user \"%s\"", user);
}

static void check_group(struct check *k, const char *name, const char *group, bool is_needed)
{
    char buffer[16384];
    struct group entry, *found;
    if (!k->is_here || !group || getgrnam_r(group, &entry, buffer, sizeof(buffer), &found) != 0 ||
        found)
        return;
    (is_needed ? check_error : check_warning)(k, name, "there is no group \"%s\"", group);
}

/* Names that the system does not know: a person may come later, so it is no error. */
static void check_people(struct check *k, const char *name, const struct config_strings *people)
{
    uint64_t id;
    for (size_t i = 0; i < people->n; i++) {
        const char *who = people->v[i];
        const char *bare = who[0] == '@' ? who + 1 : who;
        if (strcmp(who, "*") == 0 || str_to_u64(str_of(bare), UINT32_MAX, &id) == 0)
            continue;
        if (who[0] == '@')
            check_group(k, name, bare, false);
        else
            check_user(k, name, bare, false);
    }
}

static void check_controls(struct check *k)
{
    for (size_t i = 0; i < k->config->n_controls; i++) {
        const struct config_control *c = &k->config->controls[i];
        check_enter(k, "control", i);
        if (c->path && strlen(c->path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
            check_error(k, "path", "is too long for a socket: at most %zu bytes",
                        sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
        if (c->admin_reserve >= c->max_clients)
            check_error(k, "admin_reserve", "leaves nobody else room: max_clients is %u",
                        c->max_clients);
        check_user(k, "owner", c->owner, true);
        check_group(k, "group", c->group, true);
        check_people(k, "viewer", &c->viewer);
        check_people(k, "operator", &c->operator_);
        check_people(k, "admin", &c->admin);
    }
}

static void check_top(struct check *k)
{
    const struct config *c = k->config;
    k->key[0] = '\0';
    /* Only root changes its user; others may look at a file for another machine. */
    check_user(k, "user", c->user, geteuid() == 0);
    check_group(k, "group", c->group, geteuid() == 0);
    if (c->group && !c->user)
        check_warning(k, "group", "has no effect without user");
    if (!*c->server_name || strpbrk(c->server_name, " \t\"<>\\"))
        check_error(k, "server_name", "\"%s\" is no host name", c->server_name);
    if (c->limits.preauth_bytes < c->limits.line_bytes + c->limits.literal_bytes)
        check_error(k, "limits.preauth", "must not be smaller than line and literal together");
    if (c->n_listeners == 0)
        check_warning(k, "listeners", "is empty: no client can connect");
}

void config_check(const struct config *c, const struct config_places *places, bool is_here,
                  struct config_problems *problems)
{
    struct check k = {.config = c, .places = places, .problems = problems, .is_here = is_here};
    check_group_names(&k, config_group_top(), c, "");
    check_routes(&k);
    check_logs(&k);
    check_controls(&k);
    check_top(&k);
    check_addresses(&k);
    check_listeners(&k);
    check_pools(&k);
    check_fleet(&k);
    if (is_here)
        check_files(&k);
}
