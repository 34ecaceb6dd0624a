/* SPDX-License-Identifier: ISC */
/* Checks of pools and of authentication: where logins go and who judges them. */
#include "config/config_check.h"

#include "base/cleanup.h"
#include "config/config_pool.h"
#include "io/http/http_url.h"

/* Two keys that only make sense together. */
static void check_pair(struct check *k, const char *name_a, const void *a, const char *name_b,
                       const void *b)
{
    if (a && !b)
        check_error(k, name_b, "is missing: %s needs it", name_a);
    else if (b && !a)
        check_error(k, name_a, "is missing: %s needs it", name_b);
}

/* ---- pools ---- */

/* A port within the host is the usual slip. */
const char *config_host_fault(const char *host)
{
    struct addr a;
    bool is_printable = str_is_printable_ascii(str_of(host));
    if (str_is_prefix(str_of(host), STR("unix:")))
        return host[strlen("unix:")] == '/' && is_printable ? NULL : "is no socket: unix:/path";
    bool is_address = addr_parse(str_of(host), &a) == 0;
    if (is_address ? a.port != 0 : strchr(host, ':') != NULL)
        return "is no host: ports stand in ports";
    return is_address || (*host && is_printable && !strpbrk(host, " \t/@\"[]"))
               ? NULL
               : "is no host name, address or unix:/path";
}

/* An auth server names the servers itself. */
static bool check_needs_backends(const struct config *c)
{
    for (size_t i = 0; i < c->n_auths; i++)
        if (c->auths[i].type != AUTH_TYPE_HTTP)
            return true;
    return c->n_auths == 0;
}

static void check_pool(struct check *k, const struct config_pool *p)
{
    struct addr a;
    check_pair(k, "cert", p->cert, "key", p->key);
    check_pair(k, "master_user", p->master_user, "master_password_file", p->master_password_file);
    check_pair(k, "check.user", p->check.user, "check.password_file", p->check.password_file);
    if (p->forward & FORWARD_PROXY_V1 && p->forward & FORWARD_PROXY_V2)
        check_error(k, "forward", "proxy-v1 and proxy-v2 exclude each other");
    if (p->warm > 0 && p->forward & (FORWARD_PROXY_V1 | FORWARD_PROXY_V2))
        check_warning(k, "warm", "has no effect: a PROXY header opens each client's connection");
    if (p->source_address && addr_parse(str_of(p->source_address), &a) < 0)
        check_error(k, "source_address", "\"%s\" is no IP address", p->source_address);
    if (!config_pool_has_tls(p) && (p->ca_file || p->cert || p->priority))
        check_warning(k, "tls", "is off: ca_file, cert, key and priority have no effect");
    if (p->n_backends == 0 && check_needs_backends(k->config))
        check_warning(k, "backends", "is empty: logins fail until one is added");
}

int config_pool_check(const struct config *c, const struct config_pool *p, char **ret_error)
{
    const struct config_places nowhere = {0};
    CLEANUP(config_problems_fini) struct config_problems problems = {0};
    struct check k = {.config = c, .places = &nowhere, .problems = &problems};
    check_pool(&k, p);
    for (size_t i = 0; i < problems.n; i++)
        if (!problems.v[i].is_warning) {
            *ret_error = str_printf("%s: %s", problems.v[i].key, problems.v[i].text);
            return -ERR_CONFIG;
        }
    return 0;
}

/* ---- authentication ---- */

static bool check_is_header(const char *text)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t n = strspn(text, name);
    return n > 0 && text[n] == ':' && !str_has_crlf_nul(str_of(text));
}

/* The auth server hears the clients' passwords. */
static void check_url(struct check *k, const char *text)
{
    struct http_url url;
    struct addr a;
    const char *why;
    if (http_url_parse(text, &url, &why) < 0) {
        check_error(k, "url", "%s", why);
        return;
    }
    bool is_near = url.unix_path.n > 0 || str_ieq(url.name, STR("localhost")) ||
                   (addr_parse_ip(url.name, &a) == 0 && addr_is_loopback(&a));
    if (!url.is_tls && !is_near)
        check_warning(k, "url", "is not https://: passwords go over the network in clear");
}

/* Does a listener that asks this provider ask one after it, too? */
static bool check_hides_others(const struct config *c, size_t at)
{
    for (size_t i = 0; i < c->n_listeners; i++) {
        uint64_t asked = c->listeners[i].provider_mask;
        for (size_t k = at + 1; k < c->n_auths && k < CONFIG_AUTHS_MAX; k++)
            if (asked >> at & 1 && asked >> k & 1)
                return true;
    }
    return c->n_listeners == 0 && at + 1 < c->n_auths;
}

static void check_auths(struct check *k)
{
    static const char *const only_http[] = {"url",  "timeout", "headers", "client_cert", "ca_file",
                                            "cert", "key",     "verify",  "connections"};
    const struct config *c = k->config;
    bool is_needed = false;
    for (size_t i = 0; i < c->n_auths; i++) {
        const struct config_auth *a = &c->auths[i];
        bool is_http = a->type == AUTH_TYPE_HTTP;
        check_enter(k, "auth", i);
        if (!check_is_set(k, "type"))
            continue;
        for (size_t j = 0; !is_http && j < ARRAY_LEN(only_http); j++)
            if (check_is_set(k, only_http[j]))
                check_warning(k, only_http[j], "has no effect: it belongs to type \"http\"");
        if (is_http && !a->url)
            check_error(k, "url", "is missing: type \"http\" needs it");
        else if (is_http)
            check_url(k, a->url);
        for (size_t j = 0; is_http && j < a->headers.n; j++)
            if (!check_is_header(a->headers.v[j]))
                check_error(k, "headers", "element %zu is not \"Name: value\"", j);
        if (is_http)
            check_pair(k, "cert", a->cert, "key", a->key);
        if (a->type == AUTH_TYPE_BACKEND && check_hides_others(c, i))
            check_warning(k, "", "judges every login: the providers after it are never asked");
        if (a->name && config_auth_find(c, a->name) < i)
            check_error(k, "name", "\"%s\" is the name of another provider", a->name);
    }
    for (size_t i = 0; i < c->n_listeners; i++)
        is_needed = is_needed || !c->listeners[i].is_auth_optional;
    k->key[0] = '\0';
    if (is_needed && c->n_auths == 0)
        check_error(k, "auth", "is missing: nobody could log in");
    if (c->n_auths > CONFIG_AUTHS_MAX)
        check_error(k, "auth", "has more than %d providers", CONFIG_AUTHS_MAX);
}

void check_pools(struct check *k)
{
    const struct config *c = k->config;
    for (size_t i = 0; i < c->n_pools; i++) {
        const struct config_pool *p = &c->pools[i];
        check_enter(k, "pools", i);
        check_pool(k, p);
        AUTO_FREE char *list = str_printf("pools[%zu].backends", i);
        for (size_t j = 0; list && j < p->n_backends; j++) {
            const char *host = p->backends[j].host;
            const char *fault = host ? config_host_fault(host) : NULL;
            check_enter(k, list, j);
            if (fault)
                check_error(k, "host", "\"%s\" %s", host, fault);
        }
    }
    check_auths(k);
    if (c->n_pools == 0 && c->n_listeners > 0)
        check_warning(
            k, "pools",
            "is empty: only servers that an auth server names can be reached, by STARTTLS "
            "and with certificates that the system's CAs vouch for");
}
