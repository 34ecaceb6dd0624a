/* SPDX-License-Identifier: ISC */
/* What the ssl_ directives of a server say together. */
#include "nginx/nginx_tls.h"

#include "base/cleanup.h"
#include "nginx/nginx_ciphers.h"
#include "nginx/nginx_put.h"
#include "nginx/nginx_values.h"

static const struct {
    const char *name;
    unsigned bit;
} tls_versions[] = {
    {"TLSv1", NGINX_TLS_1_0},   {"TLSv1.0", NGINX_TLS_1_0}, {"TLSv1.1", NGINX_TLS_1_1},
    {"TLSv1.2", NGINX_TLS_1_2}, {"TLSv1.3", NGINX_TLS_1_3},
};

static unsigned tls_version(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(tls_versions); i++)
        if (strcmp(tls_versions[i].name, name) == 0)
            return tls_versions[i].bit;
    return 0;
}

/* What is gathered; the priority comes from all of these directives. */
struct tls_work {
    struct nginx_import *im;
    struct nginx_server *server;
    struct nginx_tls_wish wish;
    char *from;
};

static int tls_from(struct tls_work *w, const struct nginx_directive *d)
{
    AUTO_FREE char *from = nginx_origin(w->im, d);
    char *all = !from ? NULL : w->from ? nginx_origins(w->from, from) : str_dup_c(from);
    if (!all)
        return -ERR_NOMEM;
    free(w->from);
    w->from = all;
    return 0;
}

/* ---- ssl_conf_command: it stands above the other directives ---- */

static int tls_min(struct tls_work *w, struct nginx_directive *d)
{
    unsigned v = tls_version(d->words[2]);
    if (v)
        w->wish.versions =
            (NGINX_TLS_1_0 | NGINX_TLS_1_1 | NGINX_TLS_1_2 | NGINX_TLS_1_3) & ~(v - 1);
    else
        nginx_note(d, NGINX_NO_EQUAL, "the version is not known: say it in ssl_protocols");
    return 0;
}

static int tls_max(struct tls_work *w, struct nginx_directive *d)
{
    unsigned v = tls_version(d->words[2]);
    if (v)
        w->wish.versions &= v | (v - 1);
    else
        nginx_note(d, NGINX_NO_EQUAL, "the version is not known: say it in ssl_protocols");
    return 0;
}

static int tls_suites(struct tls_work *w, struct nginx_directive *d)
{
    w->wish.suites = str_of(d->words[2]);
    return 0;
}

static int tls_ciphers(struct tls_work *w, struct nginx_directive *d)
{
    w->wish.ciphers = str_of(d->words[2]);
    return 0;
}

static int tls_groups(struct tls_work *w, struct nginx_directive *d)
{
    w->wish.groups = str_of(d->words[2]);
    return 0;
}

static int tls_options(struct tls_work *w, struct nginx_directive *d)
{
    struct str rest = str_of(d->words[2]);
    AUTO_FREE char *from = nginx_origin(w->im, d);
    int err = from ? 0 : -ERR_NOMEM;
    while (rest.n > 0 && err == 0) {
        struct str one = str_cut(&rest, ',');
        if (str_eq(one, STR("ServerPreference")))
            w->wish.is_server_choosing = true;
        else if (str_eq(one, STR("-ServerPreference")))
            w->wish.is_server_choosing = false;
        else if (str_eq(one, STR("-SessionTicket")))
            err = nginx_settings_set(&w->server->groups[NGINX_OF_TLS], "tickets", "false", from);
        else if (!str_eq(one, STR("NoRenegotiation")) && !str_eq(one, STR("-Compression")))
            nginx_note(d, NGINX_NO_EQUAL,
                       "GnuTLS has no such option: of Options, ServerPreference and -SessionTicket "
                       "are known");
    }
    return err;
}

static const struct {
    const char *name;
    int (*apply)(struct tls_work *w, struct nginx_directive *d);
} tls_commands[] = {
    {"Ciphersuites", tls_suites}, {"CipherString", tls_ciphers}, {"MinProtocol", tls_min},
    {"MaxProtocol", tls_max},     {"Curves", tls_groups},        {"Groups", tls_groups},
    {"Options", tls_options},
};

static int tls_command(struct tls_work *w, struct nginx_directive *d)
{
    for (size_t i = 0; i < ARRAY_LEN(tls_commands); i++)
        if (str_ieq(str_of(tls_commands[i].name), str_of(d->words[1]))) {
            int err = tls_commands[i].apply(w, d);
            return err < 0 ? err : tls_from(w, d);
        }
    nginx_note(d, NGINX_NO_EQUAL, "a command of OpenSSL that is not known: see priority of tls");
    return 0;
}

/* ---- the parts ---- */

static int tls_priority(struct tls_work *w)
{
    const struct nginx_server *s = w->server;
    struct nginx_directive *protocols = nginx_kept(s, "ssl_protocols");
    struct nginx_directive *ciphers = nginx_kept(s, "ssl_ciphers");
    struct nginx_directive *groups = nginx_kept(s, "ssl_ecdh_curve");
    const struct nginx_directive *prefer = nginx_kept(s, "ssl_prefer_server_ciphers");
    const struct nginx_directive *const all[] = {protocols, ciphers, groups, prefer};
    AUTO_BUF priority = BUF_INIT;
    AUTO_BUF why = BUF_INIT;
    AUTO_BUF quoted = BUF_INIT;
    int err = 0;
    for (size_t i = 1; i < protocols->n_words; i++)
        if (tls_version(protocols->words[i]))
            w->wish.versions |= tls_version(protocols->words[i]);
        else
            nginx_note(protocols, NGINX_APPROXIMATE, "SSL 2 and 3 are gone");
    w->wish.ciphers = str_of(ciphers->words[1]);
    w->wish.groups = groups ? str_of(groups->words[1]) : STR_NULL;
    w->wish.is_server_choosing = prefer && str_ieq(str_of(prefer->words[1]), STR("on"));
    w->wish.has_dh_params = nginx_kept(s, "ssl_dhparam") != NULL;
    for (size_t i = 0; i < ARRAY_LEN(all) && err == 0; i++)
        err = all[i] ? tls_from(w, all[i]) : 0;
    for (size_t i = 0; i < s->n_kept && err == 0; i++)
        if (strcmp(s->kept[i]->words[0], "ssl_conf_command") == 0)
            err = tls_command(w, s->kept[i]);
    if (err == 0)
        err = nginx_ciphers_priority(&w->wish, &priority, &why);
    struct nginx_directive *blamed = ciphers->file || !groups ? ciphers : groups;
    if (err == -ERR_INVAL) {
        nginx_note(blamed->file ? blamed : protocols, NGINX_NO_EQUAL,
                   "GnuTLS has none of this: set priority in tls yourself");
        return 0;
    }
    if (why.len > 0 && err == 0)
        nginx_note(blamed, NGINX_APPROXIMATE, buf_cstr(&why));
    if (err == 0)
        err = nginx_quote(buf_str(&priority), &quoted);
    if (err < 0)
        return -ERR_NOMEM;
    return nginx_settings_set(&w->server->groups[NGINX_OF_TLS], "priority", buf_cstr(&quoted),
                              w->from);
}

/* "{ cert = ...; key = ...; }", behind those that the list has. */
static int tls_add_pair(struct nginx_import *im, const struct nginx_directive *cert,
                        const struct nginx_directive *key, struct buf *list)
{
    AUTO_FREE char *cert_path = nginx_path(im, cert->words[1]);
    AUTO_FREE char *key_path = nginx_path(im, key->words[1]);
    if (!cert_path || !key_path)
        return -ERR_NOMEM;
    int err = BUF_APPEND(list, list->len > 0 ? "," : "(", " { cert = ");
    if (err == 0)
        err = nginx_quote(str_of(cert_path), list);
    if (err == 0)
        err = buf_append_c(list, "; key = ");
    if (err == 0)
        err = nginx_quote(str_of(key_path), list);
    if (err == -ERR_INVAL)
        return nginx_fail(im, cert, "the name of the file is no text");
    return err < 0 ? err : buf_append_c(list, "; }");
}

/* Both have to be files: how_certificate has noted which are none. */
static bool tls_has_files(struct nginx_directive *cert, struct nginx_directive *key)
{
    if (cert->verdict != NGINX_NO_EQUAL && key->verdict != NGINX_NO_EQUAL)
        return true;
    nginx_note(cert, NGINX_APPROXIMATE, "left out where its key is no file");
    nginx_note(key, NGINX_APPROXIMATE, "left out where its certificate is no file");
    return false;
}

/* Certificates and keys go together in the order in which they stand. */
static int tls_certificates(struct nginx_import *im, struct nginx_server *s)
{
    AUTO_BUF list = BUF_INIT;
    AUTO_FREE char *from = NULL;
    size_t key = 0;
    int err = 0;
    for (size_t i = 0; i < s->n_kept && err == 0; i++) {
        struct nginx_directive *cert = s->kept[i];
        if (strcmp(cert->words[0], "ssl_certificate") != 0)
            continue;
        while (key < s->n_kept && strcmp(s->kept[key]->words[0], "ssl_certificate_key") != 0)
            key++;
        if (key == s->n_kept)
            return nginx_fail(im, cert, "no \"ssl_certificate_key\" is defined for it");
        struct nginx_directive *its_key = s->kept[key++];
        if (!tls_has_files(cert, its_key))
            continue;
        AUTO_FREE char *origin = nginx_origin(im, cert);
        char *all = !origin ? NULL : from ? nginx_origins(from, origin) : STEAL(origin);
        if (!all)
            return -ERR_NOMEM;
        free(from);
        from = all;
        err = tls_add_pair(im, cert, its_key, &list);
    }
    if (err == 0 && list.len > 0)
        err = buf_append_c(&list, " )");
    if (err < 0 || list.len == 0)
        return err;
    return nginx_settings_set(&s->groups[NGINX_OF_TLS], "certificates", buf_cstr(&list), from);
}

int nginx_tls_server(struct nginx_import *im, struct nginx_server *s)
{
    struct tls_work w = {.im = im, .server = s};
    const struct nginx_directive *cert = nginx_kept(s, "ssl_certificate");
    const struct nginx_setting *auth = nginx_settings_find(&s->groups[NGINX_OF_TLS], "client_auth");
    bool needs_ca = auth && (strcmp(auth->value, "\"required\"") == 0 ||
                             strcmp(auth->value, "\"optional\"") == 0);
    if (!cert)
        return nginx_fail(im, s->block, "no \"ssl_certificate\" is defined");
    if (needs_ca && !nginx_settings_find(&s->groups[NGINX_OF_TLS], "client_ca"))
        return nginx_fail(im, s->block, "no ssl_client_certificate for ssl_verify_client");
    int err = tls_certificates(im, s);
    if (err == 0)
        err = tls_priority(&w);
    free(w.from);
    return err;
}
