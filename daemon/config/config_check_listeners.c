/* SPDX-License-Identifier: ISC */
/* Checks of addresses and listeners. */
#include "config/config_check.h"
#include "config/config_hosts.h"

#include <stdio.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/container/map.h"

#define CHECK_UNIX "unix:"

/* ---- addresses ---- */

static bool check_is_unix(const char *address)
{
    return str_is_prefix(str_of(address), STR(CHECK_UNIX));
}

static void check_address(struct check *k, const char *name, const char *address)
{
    struct addr a;
    size_t path_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    if (check_is_unix(address)) {
        size_t n = strlen(address) - strlen(CHECK_UNIX);
        if (address[strlen(CHECK_UNIX)] != '/' || n > path_max)
            check_error(k, name, "\"%s\" is no socket: unix:/path of at most %zu bytes", address,
                        path_max);
    } else if (addr_parse(str_of(address), &a) < 0) {
        check_error(k, name,
                    "\"%s\" is no address: 1.2.3.4:143, [2001:db8::1]:143, HOST:143 or unix:/path; "
                    "[::]:143 is all addresses",
                    address);
    } else if (a.port == 0) {
        check_error(k, name, "\"%s\" has no port%s", address,
                    a.family == AF_INET6 && address[0] != '[' ? ": [2001:db8::1]:143" : "");
    }
}

/* One address of a listener, as others may be in its way. */
struct address_claim {
    const struct config_listener *listener;
    const char *text;
};

/* All addresses of the listeners: normalised text -> claim. */
struct address_claims {
    struct map by_text;
    struct address_claim *v;
    size_t n;
};

static void check_claim(struct check *k, struct address_claims *all,
                        const struct config_listener *l, const char *address)
{
    char text[ADDR_TEXT_MAX + 128];
    struct addr a;
    struct address_claim *claim = &all->v[all->n++];
    *claim = (struct address_claim){l, address};
    if (check_is_unix(address) || addr_parse(str_of(address), &a) < 0)
        (void)snprintf(text, sizeof(text), "%s", address);
    else
        addr_format(text, &a);
    const struct address_claim *before = map_get(&all->by_text, str_of(text));
    if (before)
        check_error(k, "address", "\"%s\" is taken by listener \"%s\"", address,
                    before->listener->name ? before->listener->name : "");
    else if (map_put(&all->by_text, str_of(text), claim, NULL) < 0)
        all->n--;
}

/* The wildcard address that takes what is sent to `a` too; NULL when there is none but itself. */
static const struct address_claim *check_wildcard(const struct address_claims *all,
                                                  const struct addr *a)
{
    char self[ADDR_TEXT_MAX], any4[ADDR_TEXT_MAX], any6[ADDR_TEXT_MAX];
    addr_format(self, a);
    (void)snprintf(any4, sizeof(any4), "0.0.0.0:%u", a->port);
    (void)snprintf(any6, sizeof(any6), "[::]:%u", a->port);
    const struct address_claim *in4 = map_get(&all->by_text, str_of(any4));
    const struct address_claim *in6 = map_get(&all->by_text, str_of(any6));
    if (a->family == AF_INET6)
        return strcmp(self, any6) == 0 ? NULL : in6;
    if (in4 && strcmp(self, any4) != 0)
        return in4;
    return in6 && !in6->listener->is_v6_only ? in6 : NULL;
}

static void check_claims(struct check *k, struct address_claims *all)
{
    const struct config *c = k->config;
    for (size_t i = 0; i < c->n_listeners; i++) {
        const struct config_listener *l = &c->listeners[i];
        struct str host;
        uint16_t port;
        check_enter(k, "listeners", i);
        for (size_t j = 0; j < l->address.n; j++) {
            if (!k->is_here || !config_host_split(str_of(l->address.v[j]), &host, &port))
                check_address(k, "address", l->address.v[j]); /* of a name all is said */
            check_claim(k, all, l, l->address.v[j]);
        }
    }
    for (size_t i = 0; i < c->n_listeners; i++) {
        const struct config_listener *l = &c->listeners[i];
        check_enter(k, "listeners", i);
        for (size_t j = 0; j < l->address.n; j++) {
            const char *address = l->address.v[j];
            struct addr a, b;
            if (check_is_unix(address) || addr_parse(str_of(address), &a) < 0)
                continue;
            const struct address_claim *in = check_wildcard(all, &a);
            if (in && addr_parse(str_of(in->text), &b) == 0)
                check_error(k, "address", "\"%s\" is taken by \"%s\"%s", address, in->text,
                            a.family == b.family ? "" : ", which takes IPv4 too without v6_only");
        }
    }
}

static void check_name_servers(struct check *k, const struct config_resolver *c)
{
    struct addr a;
    for (size_t i = 0; i < c->name_servers.n; i++)
        if (addr_parse(str_of(c->name_servers.v[i]), &a) < 0)
            check_error(k, "resolver.name_servers", "\"%s\" is no IP address",
                        c->name_servers.v[i]);
}

void check_addresses(struct check *k)
{
    const struct config *c = k->config;
    struct address_claims all = {0};
    size_t n = 0;
    for (size_t i = 0; i < c->n_listeners; i++)
        n += c->listeners[i].address.n;
    all.v = calloc(n + 1, sizeof(*all.v));
    if (all.v)
        check_claims(k, &all);
    map_fini(&all.by_text);
    free(all.v);
    k->key[0] = '\0';
    if (c->metrics.address && check_is_unix(c->metrics.address))
        check_error(k, "metrics.address", "\"%s\" is no IP address", c->metrics.address);
    else if (c->metrics.address)
        check_address(k, "metrics.address", c->metrics.address);
    check_name_servers(k, &c->resolver);
}

/* ---- listeners ---- */

static void check_mechanism_names(struct check *k, const struct proto *p, const char *key,
                                  unsigned mask)
{
    if (mask & SASL_BIT_COMMAND && !(p->default_mechanisms & SASL_BIT_COMMAND))
        check_error(k, key, "%s has no login command", p->name);
    if (mask & SASL_BIT(SASL_APOP) && !p->has_apop)
        check_error(k, key, "%s has no APOP", p->name);
}

/* Nobody but an auth server can judge who has no certificate. */
static void check_external(struct check *k, const struct config_listener *l, unsigned mechanisms)
{
    bool has_http = false;
    for (size_t i = 0; i < k->config->n_auths; i++)
        has_http =
            has_http || (k->config->auths[i].type == AUTH_TYPE_HTTP && l->provider_mask >> i & 1);
    if (!(mechanisms & SASL_BIT(SASL_EXTERNAL))) {
        if (l->is_external_any)
            check_warning(k, "external", "has no effect: EXTERNAL is not among the mechanisms");
    } else if (l->is_external_any) {
        if (!has_http)
            check_error(k, "external",
                        "any lets everybody in but for an auth server that judges: there is none");
    } else if (l->tls == LISTENER_TLS_OFF || l->tls_config.client_auth == TLS_CLIENT_AUTH_OFF)
        check_warning(k, "mechanisms", "EXTERNAL needs client certificates: client_auth");
}

static void check_mechanisms(struct check *k, const struct config_listener *l)
{
    const struct proto *p = l->proto;
    unsigned mechanisms = l->mechanisms | l->hidden_mechanisms;
    check_mechanism_names(k, p, "mechanisms", l->mechanisms);
    check_mechanism_names(k, p, "hidden_mechanisms", l->hidden_mechanisms);
    if (l->mechanisms & l->hidden_mechanisms)
        check_warning(k, "hidden_mechanisms", "some are in mechanisms, too: they are announced");
    check_external(k, l, mechanisms);
    if (l->bare_newline != BARE_NEWLINE_PASS && !p->can_skip_login && !l->is_auth_optional)
        check_error(k, "bare_newline", "%s has no message data that ends in a dot", p->name);
    if (l->is_auth_optional && !p->can_skip_login)
        check_error(k, "auth", "%s has no mail without login", p->name);
    bool is_nothing = mechanisms == SASL_BIT_NOTHING;
    if (is_nothing && !l->is_auth_optional)
        check_warning(k, "mechanisms", "nobody can log in: there are none");
    bool needs_tls = true; /* all mechanisms send the password as it is */
    for (int mech = 0; mech < SASL_MECH_COUNT; mech++)
        if (mechanisms & SASL_BIT(mech) && !sasl_is_clear_text((enum sasl_mech)mech))
            needs_tls = false;
    if (l->tls == LISTENER_TLS_OFF && !l->allow_plaintext && !l->is_auth_optional && needs_tls &&
        !is_nothing)
        check_warning(k, "tls", "nobody can log in: passwords need TLS or allow_plaintext");
}

/* Mail without a login. A server that is not told of the client takes it for the proxy's own. */
static void check_open_relay(struct check *k, const struct config_listener *l)
{
    const unsigned told =
        FORWARD_XCLIENT | FORWARD_XCLIENT_FORCED | FORWARD_PROXY_V1 | FORWARD_PROXY_V2;
    size_t n_pools = 0, n_telling = 0;
    for (size_t i = 0; i < k->config->n_pools; i++) {
        const struct config_pool *p = &k->config->pools[i];
        if (l->pool && (!p->name || strcmp(p->name, l->pool) != 0))
            continue;
        n_pools++;
        n_telling += (p->forward & told) != 0;
    }
    if (l->is_auth_optional && n_pools > 0 && n_telling == 0)
        check_warning(k, "auth",
                      "is none, and no pool says by forward who the client is: a server that "
                      "relays for this proxy does so for everybody");
}

static void check_listener_tls(struct check *k, const struct config_listener *l)
{
    const struct config_tls *t = &l->tls_config;
    if (l->tls == LISTENER_TLS_OFF) {
        if (check_is_set(k, "tls_options"))
            check_warning(k, "tls_options", "has no effect: tls is off");
        return;
    }
    /* A dump with all defaults repeats it here. */
    if (check_is_set(k, "tls_options.key_process") &&
        t->is_key_process != k->config->tls.is_key_process)
        check_error(k, "tls_options.key_process", "it is for the whole daemon: set it in tls");
    if (check_is_set(k, "tls_options.directory") &&
        !str_eq_c(t->directory, k->config->tls.directory))
        check_error(k, "tls_options.directory", "it is for the whole daemon: set it in tls");
    if (check_is_set(k, "tls_options.directory_cache") &&
        t->directory_cache != k->config->tls.directory_cache)
        check_error(k, "tls_options.directory_cache", "it is for the whole daemon: set it in tls");
    if (check_is_set(k, "tls_options.watch") && t->is_watched != k->config->tls.is_watched)
        check_error(k, "tls_options.watch", "it is for the whole daemon: set it in tls");
    if (t->n_certs == 0)
        check_error(k, "tls", "needs certificates, here in tls_options or in tls of all listeners");
    if ((t->client_auth == TLS_CLIENT_AUTH_OPTIONAL ||
         t->client_auth == TLS_CLIENT_AUTH_REQUIRED) &&
        !t->client_ca)
        check_error(k, "tls_options.client_auth", "needs client_ca");
}

static void check_log_names(struct check *k, const struct config_listener *l)
{
    const struct config *c = k->config;
    if (l->log.v && l->log.n == 0)
        check_error(k, "log", "must not be empty: leave it out, or name a log");
    for (size_t i = 0; i < l->log.n; i++) {
        bool is_known = false;
        for (size_t j = 0; j < c->n_logs; j++)
            is_known = is_known || (c->logs[j].name && strcmp(c->logs[j].name, l->log.v[i]) == 0);
        if (!is_known)
            check_error(k, "log", "no log has the name \"%s\"", l->log.v[i]);
    }
}

void check_listeners(struct check *k)
{
    for (size_t i = 0; i < k->config->n_listeners; i++) {
        const struct config_listener *l = &k->config->listeners[i];
        check_enter(k, "listeners", i);
        check_listener_tls(k, l);
        /* The kernel counts in seconds. */
        if (l->keepalive_idle_ms % 1000)
            check_error(k, "keepalive_idle", "must be whole seconds");
        if (l->keepalive_interval_ms % 1000)
            check_error(k, "keepalive_interval", "must be whole seconds");
        if (!l->so_keepalive &&
            (l->keepalive_idle_ms || l->keepalive_interval_ms || l->keepalive_count))
            check_warning(k, "so_keepalive", "is false: the other keepalive keys have no effect");
        if (l->proto)
            check_mechanisms(k, l);
        check_open_relay(k, l);
        if (l->providers.v && l->providers.n == 0)
            check_error(k, "providers", "must not be empty: nobody could log in");
        for (size_t n = 0; n < l->providers.n; n++)
            if (config_auth_find(k->config, l->providers.v[n]) == k->config->n_auths)
                check_error(k, "providers", "no provider in auth has the name \"%s\"",
                            l->providers.v[n]);
        check_log_names(k, l);
        if (check_is_set(k, "resolver.name_servers"))
            check_name_servers(k, &l->resolver);
        uint64_t command = l->limits.line_bytes + l->limits.literal_bytes;
        if (check_is_set(k, "limits") && command > k->config->limits.preauth_bytes)
            check_error(k, "limits",
                        "line and literal together must not be more than preauth in "
                        "limits of the top level");
        if (check_is_set(k, "proxy_protocol_trusted") && l->proxy_protocol.n == 0)
            check_warning(k, "proxy_protocol_trusted", "has no effect: proxy_protocol is not set");
        if (l->capabilities.v && check_is_set(k, "learn_capabilities") && l->learn_capabilities)
            check_warning(k, "learn_capabilities", "has no effect: capabilities is set");
    }
}
