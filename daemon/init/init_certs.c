/* SPDX-License-Identifier: ISC */
/* The usual places of certificates, as a table. */
#include "init/init_certs.h"

#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

/* @ = the name of the server or of a domain above it */
static const struct cert_place {
    const char *cert, *key;
} places[] = {
    {"/etc/mailproxy/fullchain.pem", "/etc/mailproxy/privkey.pem"},
    {"/etc/mailproxy/cert.pem", "/etc/mailproxy/key.pem"},
    {"/etc/letsencrypt/live/@/fullchain.pem", "/etc/letsencrypt/live/@/privkey.pem"},
    {"/var/lib/dehydrated/certs/@/fullchain.pem", "/var/lib/dehydrated/certs/@/privkey.pem"},
    {"/etc/dehydrated/certs/@/fullchain.pem", "/etc/dehydrated/certs/@/privkey.pem"},
    {"/var/lib/lego/certificates/@.crt", "/var/lib/lego/certificates/@.key"},
    {"/etc/lego/certificates/@.crt", "/etc/lego/certificates/@.key"},
    {"/root/.acme.sh/@_ecc/fullchain.cer", "/root/.acme.sh/@_ecc/@.key"},
    {"/root/.acme.sh/@/fullchain.cer", "/root/.acme.sh/@/@.key"},
    {"/etc/ssl/certs/@.pem", "/etc/ssl/private/@.key"},
};
static const struct cert_place own_sign = {"/etc/ssl/certs/ssl-cert-snakeoil.pem",
                                           "/etc/ssl/private/ssl-cert-snakeoil.key"};

/* The path of a place, with a name for each @. Owned. */
static char *place_path(const char *root, const char *pattern, const char *name)
{
    char *path = str_dup_c(root);
    for (struct str rest = str_of(pattern); path && rest.n > 0;) {
        bool has_name = str_index(rest, '@') >= 0;
        struct str part = str_cut(&rest, '@');
        char *longer = str_printf("%s%.*s%s", path, STR_ARG(part), has_name ? name : "");
        free(path);
        path = longer;
    }
    return path;
}

/* Are both files there? 1 with *ret, 0, or -ERR_NOMEM. */
static int place_try(const char *root, const struct cert_place *p, const char *name,
                     char **ret_cert, char **ret_key)
{
    AUTO_FREE char *cert = place_path(root, p->cert, name);
    AUTO_FREE char *key = place_path(root, p->key, name);
    if (!cert || !key)
        return -ERR_NOMEM;
    if (access(cert, F_OK) < 0 || access(key, F_OK) < 0)
        return 0;
    *ret_cert = STEAL(cert);
    *ret_key = STEAL(key);
    return 1;
}

int init_certs_find(const char *root, const char *server_name, char **ret_cert, char **ret_key,
                    bool *ret_is_own_sign)
{
    int found = 0;
    *ret_cert = *ret_key = NULL;
    *ret_is_own_sign = false;
    /* mail.example.org, then example.org: certificates are often the domain's. */
    for (const char *name = server_name; name && found == 0; name = strchr(name, '.')) {
        name += *name == '.';
        for (size_t i = 0; i < ARRAY_LEN(places) && found == 0; i++)
            found = place_try(root, &places[i], name, ret_cert, ret_key);
    }
    if (found == 0) {
        found = place_try(root, &own_sign, "", ret_cert, ret_key);
        *ret_is_own_sign = found > 0;
    }
    return found < 0 ? found : 0;
}

char *init_certs_key_beside(const char *cert)
{
    const char *slash = strrchr(cert, '/'), *dot = strrchr(cert, '.');
    struct str folder = str_n(cert, slash ? (size_t)(slash - cert) + 1 : 0);
    struct str stem = str_n(cert, dot > slash ? (size_t)(dot - cert) : strlen(cert));
    static const char *const names[] = {"privkey.pem", "key.pem"};
    AUTO_FREE char *path = str_printf("%.*s.key", STR_ARG(stem));
    for (size_t i = 0; path && access(path, F_OK) < 0; i++) {
        free(STEAL(path));
        if (i < ARRAY_LEN(names))
            path = str_printf("%.*s%s", STR_ARG(folder), names[i]);
    }
    return STEAL(path);
}
