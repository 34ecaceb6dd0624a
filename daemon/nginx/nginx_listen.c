/* SPDX-License-Identifier: ISC */
/* The addresses of a server, sorted into listeners whose sockets are alike. */
#include <stdio.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "config/config_hosts.h"
#include "nginx/nginx_how.h"
#include "nginx/nginx_values.h"

/* ---- parameters ---- */

int how_listen_ssl(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d)
{
    (void)row;
    (void)d;
    job->listener->is_tls = true;
    return 0;
}

int how_listen_proxy(const struct nginx_job *job, const struct nginx_row *row,
                     struct nginx_directive *d)
{
    (void)row;
    (void)d;
    job->listener->has_proxy_header = true;
    return 0;
}

/* on, off, or idle:interval:count, each of which may be empty. */
int how_keepalive(const struct nginx_job *job, const struct nginx_row *row,
                  struct nginx_directive *d)
{
    static const char *const keys[] = {"keepalive_idle", "keepalive_interval"};
    struct str rest = str_of(d->words[1]);
    bool is_on = strcmp(d->words[1], "on") == 0;
    if (is_on || strcmp(d->words[1], "off") == 0)
        return nginx_put(job, row, d, "so_keepalive", is_on ? "true" : "false");
    int err = nginx_put(job, row, d, "so_keepalive", "true");
    for (size_t i = 0; i < ARRAY_LEN(keys) && err == 0; i++) {
        AUTO_FREE char *one = str_dup(str_cut(&rest, ':'));
        uint64_t ms;
        char value[40];
        if (!one)
            return -ERR_NOMEM;
        if (!*one)
            continue;
        if (nginx_time(one, &ms) < 0)
            return nginx_fail(job->import, d, "\"%s\" is no time", one);
        ms = nginx_put_within(d, row->group, keys[i], ms);
        (void)snprintf(value, sizeof(value), "\"%llus\"", (unsigned long long)(ms / 1000));
        err = nginx_put(job, row, d, keys[i], value);
    }
    uint64_t count;
    if (err < 0 || rest.n == 0)
        return err;
    if (str_to_u64(rest, INT64_MAX, &count) < 0)
        return nginx_fail(job->import, d, "\"%s\" is not idle:interval:count", d->words[1]);
    return nginx_put_number(job, row->group, d, "keepalive_count", count);
}

/* ---- addresses ---- */

/* Where nginx would listen; port_last > port for a range. */
struct listen_at {
    char host[256]; /* "0.0.0.0", "[::]", a name, or "unix:/path" with port 0 */
    bool is_v6, is_unix;
    unsigned port, port_last;
};

static int listen_port(struct str text, struct listen_at *ret)
{
    uint64_t first, last;
    struct str from = str_cut(&text, '-');
    if (str_to_u64(from, 65535, &first) < 0 || first == 0)
        return -ERR_SYNTAX;
    last = first;
    if (text.n > 0 && (str_to_u64(text, 65535, &last) < 0 || last < first))
        return -ERR_SYNTAX;
    ret->port = (unsigned)first;
    ret->port_last = (unsigned)last;
    return 0;
}

static int listen_parse(struct str text, struct listen_at *ret)
{
    struct addr a;
    *ret = (struct listen_at){.host = "0.0.0.0"};
    if (str_is_prefix(text, STR("unix:"))) {
        ret->is_unix = true;
        size_t most = strlen("unix:") + sizeof(((struct sockaddr_un *)NULL)->sun_path);
        return str_copy(ret->host, most, text) ? 0 : -ERR_TOO_LONG;
    }
    ptrdiff_t bracket = str_index(text, ']');
    ptrdiff_t colon = str_index(str_skip(text, bracket > 0 ? (size_t)bracket : 0), ':');
    if (colon < 0)
        return bracket < 0 ? listen_port(text, ret) : -ERR_SYNTAX;
    size_t n = (size_t)colon + (bracket > 0 ? (size_t)bracket : 0);
    struct str host = str_head(text, n);
    if (listen_port(str_skip(text, n + 1), ret) < 0)
        return -ERR_SYNTAX;
    if (str_eq(host, STR("*")))
        return 0;
    if (str_eq(host, STR("localhost")))
        host = STR("127.0.0.1");
    ret->is_v6 = bracket > 0;
    struct str bare = ret->is_v6 ? str_n(host.p + 1, host.n > 2 ? host.n - 2 : 0) : host;
    if (addr_parse_ip(bare, &a) < 0 && (ret->is_v6 || !config_is_host(host)))
        return -ERR_SYNTAX;
    return str_copy(ret->host, sizeof(ret->host), host) ? 0 : -ERR_TOO_LONG;
}

static bool listen_is_taken(const struct nginx_import *im, const char *quoted)
{
    for (size_t i = 0; i < im->n_servers; i++)
        for (size_t j = 0; j < im->servers[i].n_listeners; j++)
            if (strstr(im->servers[i].listeners[j].addresses, quoted))
                return true;
    return false;
}

/* Has the list an address of this family with this port? */
static bool listen_has_port(const char *addresses, bool is_v6, unsigned port)
{
    char end[16];
    (void)snprintf(end, sizeof(end), ":%u\"", port);
    struct str rest = str_of(addresses);
    while (rest.n > 0) {
        struct str one = str_cut(&rest, ','); /* [ "10.0.0.1:143", "[::1]:143" ] */
        bool is_of_family = (str_find(one, STR("\"[")) >= 0) == is_v6;
        if (is_of_family && str_find(one, str_of(end)) >= 0)
            return true;
    }
    return false;
}

/* The kernel binds no address beside the wildcard of its port, which takes what is sent there, too.
 * 1: the server has the wildcard already. -ERR_CONFIG: they are of two servers, or the wildcard
 * comes later. */
static int listen_find_wildcard(const struct nginx_job *job, const struct nginx_directive *d,
                                const struct listen_at *at, unsigned port)
{
    const char *any = at->is_v6 ? "[::]" : "0.0.0.0";
    char wildcard[40];
    (void)snprintf(wildcard, sizeof(wildcard), "\"%s:%u\"", any, port);
    bool is_any = strcmp(at->host, any) == 0;
    const struct nginx_import *im = job->import;
    for (size_t i = 0; i < im->n_servers; i++)
        for (size_t j = 0; j < im->servers[i].n_listeners; j++) {
            const char *addresses = im->servers[i].listeners[j].addresses;
            if (!is_any && strstr(addresses, wildcard) && &im->servers[i] == job->server)
                return 1;
            if (is_any ? listen_has_port(addresses, at->is_v6, port)
                       : strstr(addresses, wildcard) != NULL)
                return nginx_fail(job->import, d,
                                  "port %u has the address %s and others besides: it takes "
                                  "connections to all, so leave the others out",
                                  port, any);
        }
    return 0;
}

static int listen_addresses(const struct nginx_job *job, const struct nginx_directive *d,
                            const struct listen_at *at, struct buf *list)
{
    int err = 0;
    if (at->is_unix) {
        char quoted[sizeof(at->host) + 2];
        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", at->host);
        if (listen_is_taken(job->import, quoted))
            return nginx_fail(job->import, d, "duplicate \"%s\" address", at->host);
        err = nginx_quote_next(str_of(at->host), list);
    }
    for (unsigned port = at->port; port && port <= at->port_last && err == 0; port++) {
        char text[sizeof(at->host) + 12], quoted[sizeof(text) + 2];
        (void)snprintf(text, sizeof(text), "%s:%u", at->host, port);
        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", text);
        if (listen_is_taken(job->import, quoted))
            return nginx_fail(job->import, d, "duplicate \"%s\" address and port pair", text);
        err = listen_find_wildcard(job, d, at, port);
        if (err == 1)
            err = 0;
        else if (err == 0)
            err = nginx_quote_next(str_of(text), list);
    }
    return err == -ERR_INVAL ? nginx_fail(job->import, d, "the path is no text") : err;
}

static void listener_fini(struct nginx_listener *l)
{
    nginx_settings_fini(&l->settings);
    free(l->addresses);
    free(l->from);
    free(l->name);
}

/* Takes next, into a listener that is there or as one of its own. */
static int listen_add(struct nginx_server *s, struct nginx_listener *next)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        struct nginx_listener *l = &s->listeners[i];
        /* Could the addresses of both be those of one listener? */
        bool is_v6_alike = l->v6_only < 0 || next->v6_only < 0 || l->v6_only == next->v6_only;
        if (l->is_tls != next->is_tls || l->has_proxy_header != next->has_proxy_header ||
            !is_v6_alike || !nginx_settings_eq(&l->settings, &next->settings))
            continue;
        size_t n = strlen(l->addresses) - strlen(" ]");
        char *all = str_printf("%.*s, %s", (int)n, l->addresses, next->addresses + strlen("[ "));
        char *from = nginx_origins(l->from, next->from);
        if (all && from) {
            free(l->addresses);
            free(l->from);
            l->addresses = all;
            l->from = from;
        }
        l->v6_only = l->v6_only < 0 ? next->v6_only : l->v6_only;
        listener_fini(next);
        return all && from ? 0 : -ERR_NOMEM;
    }
    struct nginx_listener *v = realloc(s->listeners, (s->n_listeners + 1) * sizeof(*v));
    if (!v) {
        listener_fini(next);
        return -ERR_NOMEM;
    }
    s->listeners = v;
    v[s->n_listeners++] = *next;
    return 0;
}

int how_listen(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    struct listen_at at;
    struct nginx_listener next = {.v6_only = -1};
    struct nginx_job inner = {job->import, job->server, &next, job->param};
    AUTO_BUF list = BUF_INIT;
    (void)row;
    int err = listen_parse(str_of(d->words[1]), &at);
    if (err < 0)
        return nginx_fail(job->import, d, "\"%s\" is no address with a port", d->words[1]);
    job->import->n_addresses += at.is_unix ? 1 : at.port_last - at.port + 1;
    if (job->import->n_addresses > NGINX_ADDRESSES_MAX)
        return nginx_fail(job->import, d, "there are more than %d addresses", NGINX_ADDRESSES_MAX);
    if (at.is_unix && at.host[strlen("unix:")] != '/')
        return nginx_note(d, NGINX_NO_EQUAL,
                          "a socket is told by its whole path (this listener is missing)"),
               0;
    err = listen_addresses(job, d, &at, &list);
    if (err == 0 && list.len == 0)
        return nginx_note(d, NGINX_EXACT, NULL), 0; /* the wildcard of its port has it */
    next.port = at.port;
    next.from = nginx_origin(job->import, d);
    next.addresses = buf_steal(&list);
    if (err == 0 && (!next.from || !next.addresses))
        err = -ERR_NOMEM;
    for (size_t i = 2; i < d->n_words && err == 0; i++)
        err = job->param(&inner, d, d->words[i]);
    const struct nginx_setting *v6 = nginx_settings_find(&next.settings, "v6_only");
    if (err == 0 && at.is_v6)
        next.v6_only = !v6 || strcmp(v6->value, "true") == 0;
    nginx_settings_drop(&next.settings, "v6_only");
    /* nginx infers the protocol from the port of any of the addresses */
    static const struct {
        unsigned port;
        const char *proto;
    } usual[] = {{143, "imap"}, {993, "imap"}, {110, "pop3"}, {995, "pop3"},
                 {25, "smtp"},  {465, "smtp"}, {587, "smtp"}};
    for (size_t i = 0; i < ARRAY_LEN(usual) && !job->server->proto; i++)
        if (at.port == usual[i].port)
            job->server->proto = proto_find(str_of(usual[i].proto));
    if (err == 0)
        return listen_add(job->server, &next);
    listener_fini(&next);
    return err;
}
