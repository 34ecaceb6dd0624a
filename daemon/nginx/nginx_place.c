/* SPDX-License-Identifier: ISC */
/* What nginx does without a word, and what servers have in common. */
#include "nginx/nginx_place.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "nginx/nginx_put.h"
#include "nginx/nginx_tls.h"
#include "nginx/nginx_values.h"

/* ---- one server ---- */

/* Lines that no directive asks for: what nginx does and our defaults do not. */
static int place_habits(struct nginx_server *s)
{
    static const struct {
        const char *proto; /* "" = all */
        enum nginx_group group;
        const char *key, *value, *from;
    } habits[] = {
        {"", NGINX_OF_POOL, "tls", "\"off\"", "nginx speaks no TLS to servers"},
        {"", NGINX_OF_ALL, "timeouts.failure_delay", "\"0\"",
         "nginx waits as Auth-Wait says, no longer"},
        {"imap", NGINX_OF_LISTENER, "greeting", "\"IMAP4 ready\"", "nginx's words"},
        {"pop3", NGINX_OF_LISTENER, "greeting", "\"POP3 ready\"", "nginx's words"},
    };
    int err = 0;
    for (size_t i = 0; i < ARRAY_LEN(habits) && err == 0; i++)
        if (!*habits[i].proto || strcmp(habits[i].proto, s->proto->name) == 0)
            err = nginx_settings_set(&s->groups[habits[i].group], habits[i].key, habits[i].value,
                                     habits[i].from);
    return err;
}

static int place_proxy_header(struct nginx_server *s, struct nginx_listener *l)
{
    if (!l->has_proxy_header)
        return 0;
    int err = nginx_settings_set(&l->settings, "proxy_protocol",
                                 "[ \"0.0.0.0/0\", \"::/0\", \"unix:\" ]", l->from);
    if (err < 0)
        return err;
    return s->networks ? nginx_settings_set(&l->settings, "proxy_protocol_trusted", s->networks,
                                            s->networks_from)
                       : nginx_settings_set(&l->settings, "proxy_protocol_trusted", "[ ]",
                                            "no set_real_ip_from: nobody's header is believed");
}

static int place_listener(struct nginx_server *s, struct nginx_listener *l, const char *starttls,
                          const char *starttls_from)
{
    static const struct {
        const char *nginx, *ours;
        bool is_clear_allowed;
    } modes[] = {
        {"off", "\"off\"", true}, {"on", "\"starttls\"", true}, {"only", "\"required\"", false}};
    size_t m = 0;
    while (m + 1 < ARRAY_LEN(modes) && strcmp(starttls, modes[m].nginx) != 0)
        m++;
    l->has_tls = l->is_tls || m > 0;
    int err = l->is_tls ? nginx_settings_set(&l->settings, "tls", "\"implicit\"", l->from)
                        : nginx_settings_set(&l->settings, "tls", modes[m].ours, starttls_from);
    if (err == 0 && !l->is_tls && modes[m].is_clear_allowed)
        err = nginx_settings_set(&l->settings, "allow_plaintext", "true", starttls_from);
    if (err == 0 && l->v6_only >= 0)
        err = nginx_settings_set(&l->settings, "v6_only", l->v6_only ? "true" : "false",
                                 l->v6_only ? "nginx's default: ipv6only=on" : l->from);
    return err < 0 ? err : place_proxy_header(s, l);
}

int nginx_place_server(struct nginx_import *im, struct nginx_server *s)
{
    struct nginx_directive *starttls = nginx_kept(s, "starttls");
    const char *mode = starttls->words[1];
    AUTO_FREE char *from = nginx_origin(im, starttls);
    s->has_tls = strcmp(mode, "off") != 0;
    if (!from)
        return -ERR_NOMEM;
    if (s->has_tls && strcmp(mode, "on") != 0 && strcmp(mode, "only") != 0)
        return nginx_fail(im, starttls, "invalid value \"%s\"", mode);
    for (size_t i = 0; i < s->n_listeners; i++) {
        s->listeners[i].is_tls = s->listeners[i].is_tls || s->is_old_ssl_on;
        s->has_tls = s->has_tls || s->listeners[i].is_tls;
    }
    int err = place_habits(s);
    if (!s->has_tls)
        nginx_settings_fini(&s->groups[NGINX_OF_TLS]);
    else if (err == 0)
        err = nginx_tls_server(im, s);
    for (size_t i = 0; i < s->n_listeners && err == 0; i++)
        err = place_listener(s, &s->listeners[i], mode, from);
    return err;
}

/* ---- all servers ---- */

/* The setting for a key that most servers have, the first of those that are as frequent; NULL: it
 * has to stay with the listeners. */
static const struct nginx_setting *place_most(const struct nginx_import *im, enum nginx_group group,
                                              const char *key)
{
    const struct nginx_setting *best = NULL;
    size_t n_best = 0;
    for (size_t i = 0; i < im->n_servers; i++) {
        const struct nginx_server *s = &im->servers[i];
        const struct nginx_setting *own = nginx_settings_find(&s->groups[group], key);
        size_t n = 0;
        /* A key at the top would change it, but for those of TLS where it has none. */
        if (!own && (group != NGINX_OF_TLS || s->has_tls))
            return NULL;
        for (size_t k = i; k < im->n_servers && own; k++) {
            const struct nginx_setting *other =
                nginx_settings_find(&im->servers[k].groups[group], key);
            n += other && strcmp(other->value, own->value) == 0;
        }
        if (n > n_best) {
            best = own;
            n_best = n;
        }
    }
    return best;
}

/* Takes from the servers what the top says. */
static void place_drop(struct nginx_import *im, enum nginx_group group,
                       const struct nginx_setting *top)
{
    for (size_t i = 0; i < im->n_servers; i++) {
        struct nginx_server *s = &im->servers[i];
        const struct nginx_setting *own = nginx_settings_find(&s->groups[group], top->key);
        if (own && strcmp(own->value, top->value) == 0)
            nginx_settings_drop(&s->groups[group], top->key);
    }
}

/* The one place that decides between the top of the file and a listener: what most servers have is
 * at the top, the others differ from it. */
static int place_common(struct nginx_import *im, enum nginx_group group, struct nginx_settings *top)
{
    int err = 0;
    for (size_t i = 0; i < im->n_servers; i++) {
        struct nginx_settings *own = &im->servers[i].groups[group];
        for (size_t k = 0; k < own->n && err == 0;) {
            const char *key = own->v[k].key;
            size_t n_before = own->n;
            const struct nginx_setting *most =
                nginx_settings_find(top, key) ? NULL : place_most(im, group, key);
            if (most) {
                err = nginx_settings_set(top, most->key, most->value, most->from);
                if (err == 0)
                    place_drop(im, group, &top->v[top->n - 1]);
            }
            k += own->n == n_before;
        }
    }
    return err;
}

static bool place_has_name(const struct nginx_import *im, const char *name)
{
    for (size_t i = 0; i < im->n_servers; i++)
        for (size_t j = 0; j < im->servers[i].n_listeners; j++)
            if (im->servers[i].listeners[j].name &&
                strcmp(im->servers[i].listeners[j].name, name) == 0)
                return true;
    return false;
}

static const char *place_name(const struct nginx_server *s, const struct nginx_listener *l)
{
    static const struct {
        const char *proto;
        bool is_tls;
        unsigned port; /* 0 = any */
        const char *name;
    } names[] = {{"smtp", false, 587, "submission"},
                 {"smtp", true, 465, "submissions"},
                 {"imap", true, 0, "imaps"},
                 {"pop3", true, 0, "pop3s"},
                 {"smtp", true, 0, "smtps"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i].proto, s->proto->name) == 0 && names[i].is_tls == l->is_tls &&
            (names[i].port == 0 || names[i].port == l->port))
            return names[i].name;
    return s->proto->name;
}

static int place_names(struct nginx_import *im)
{
    for (size_t i = 0; i < im->n_servers; i++)
        for (size_t j = 0; j < im->servers[i].n_listeners; j++) {
            struct nginx_listener *l = &im->servers[i].listeners[j];
            const char *base = place_name(&im->servers[i], l);
            char *name = str_dup_c(base);
            for (unsigned n = 2; name && place_has_name(im, name); n++) {
                free(name);
                name = str_printf("%s-%u", base, n);
            }
            if (!name)
                return -ERR_NOMEM;
            l->name = name;
        }
    return 0;
}

/* Of several groups that are equal, one, with a name. NULL without memory. */
static const struct nginx_named *place_share(struct nginx_named **v, size_t *n, const char *base,
                                             const struct nginx_settings *group)
{
    size_t same_base = 1;
    for (size_t i = 0; i < *n; i++) {
        if (nginx_settings_eq(&(*v)[i].settings, group))
            return &(*v)[i];
        same_base += str_is_prefix(str_of((*v)[i].name), str_of(base));
    }
    struct nginx_named *all = realloc(*v, (*n + 1) * sizeof(*all));
    if (!all)
        return NULL;
    *v = all;
    struct nginx_named *next = &all[*n];
    *next = (struct nginx_named){.name = same_base > 1 ? str_printf("%s-%zu", base, same_base)
                                                       : str_dup_c(base)};
    int err = next->name ? 0 : -ERR_NOMEM;
    for (size_t i = 0; i < group->n && err == 0; i++)
        err = nginx_settings_set(&next->settings, group->v[i].key, group->v[i].value,
                                 group->v[i].from);
    (*n)++;
    return err == 0 ? next : NULL;
}

/* Where servers log to different places, places have names. What the daemon itself says goes where
 * directives outside the servers say, else to the first server's. */
static int place_logs(struct nginx_import *im)
{
    bool is_same = true;
    int err = 0;
    for (size_t i = 1; i < im->n_servers; i++)
        is_same = is_same && im->servers[i].logs == im->servers[0].logs;
    if (is_same)
        return 0;
    unsigned of_daemon = im->outer_logs ? im->outer_logs : im->servers[0].logs;
    for (size_t i = 0; i < im->n_logs && err == 0; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "\"log-%zu\"", i + 1);
        err = nginx_settings_set(&im->logs[i], "name", name, NULL);
        if (err == 0 && of_daemon && !(of_daemon >> i & 1))
            err = nginx_settings_set(&im->logs[i], "default", "false", "of its servers only");
    }
    for (size_t i = 0; i < im->n_servers && err == 0; i++) {
        AUTO_BUF list = BUF_INIT;
        if (im->servers[i].logs == 0)
            continue;
        /* "log-1", "log-2". */
        for (size_t k = 0; k < im->n_logs && err == 0; k++) {
            char name[32];
            (void)snprintf(name, sizeof(name), "log-%zu", k + 1);
            if (im->servers[i].logs >> k & 1)
                err = nginx_quote_next(str_of(name), &list);
        }
        if (err == 0)
            err = nginx_settings_set(&im->servers[i].groups[NGINX_OF_LISTENER], "log",
                                     buf_cstr(&list), "error_log of the server");
    }
    return err;
}

/* The size of a setting, the default where there is none. */
static uint64_t place_size(const struct nginx_import *im, const struct nginx_server *s,
                           const char *key)
{
    const struct nginx_setting *own = nginx_settings_find(&s->groups[NGINX_OF_ALL], key);
    const struct nginx_setting *at = own ? own : nginx_settings_find(&im->top, key);
    uint64_t bytes = 64 * 1024;
    AUTO_FREE char *bare = at ? str_dup(str_n(at->value + 1, strlen(at->value) - 2)) : NULL;
    if (bare && nginx_size(bare, &bytes) < 0)
        bytes = 64 * 1024;
    return bytes;
}

/* Before its login a client may send a line with all its literals: that much has to be kept. */
static int place_preauth(struct nginx_import *im)
{
    uint64_t most = 0;
    char value[40];
    for (size_t i = 0; i < im->n_servers; i++) {
        uint64_t n = place_size(im, &im->servers[i], "limits.line") +
                     place_size(im, &im->servers[i], "limits.literal");
        most = n > most ? n : most;
    }
    if (most <= 128 * 1024)
        return 0;
    (void)snprintf(value, sizeof(value), "\"%lluk\"", (unsigned long long)(most + 1023) / 1024);
    return nginx_settings_set(&im->top, "limits.preauth", value, "room for the buffers");
}

int nginx_place(struct nginx_import *im)
{
    int err = place_common(im, NGINX_OF_ALL, &im->top);
    if (err == 0)
        err = place_common(im, NGINX_OF_TLS, &im->tls);
    if (err == 0)
        err = place_logs(im);
    if (err == 0)
        err = place_preauth(im);
    if (err == 0)
        err = place_names(im);
    for (size_t i = 0; i < im->n_servers && err == 0; i++) {
        struct nginx_server *s = &im->servers[i];
        const char *base =
            nginx_settings_find(&s->groups[NGINX_OF_POOL], "forward") ? s->proto->name : "mail";
        if (!place_share(&im->pools, &im->n_pools, base, &s->groups[NGINX_OF_POOL]) ||
            !place_share(&im->auths, &im->n_auths, "auth", &s->groups[NGINX_OF_AUTH]))
            err = -ERR_NOMEM;
        else if (im->n_auths > CONFIG_AUTHS_MAX)
            return nginx_fail(im, s->block,
                              "there are more than %d auth servers, or ways to ask them",
                              CONFIG_AUTHS_MAX);
    }
    /* Now that the lists stay where they are. */
    for (size_t i = 0; i < im->n_servers && err == 0; i++) {
        struct nginx_server *s = &im->servers[i];
        s->pool = place_share(&im->pools, &im->n_pools, "", &s->groups[NGINX_OF_POOL])->name;
        s->auth = place_share(&im->auths, &im->n_auths, "", &s->groups[NGINX_OF_AUTH])->name;
    }
    return err;
}
