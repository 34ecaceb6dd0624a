/* SPDX-License-Identifier: ISC */
/* Answers from the machine. */
#include "init/init_defaults.h"

#include <netdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "init/init_certs.h"

static const char own_sign_remark[] =
    "the certificate is self-signed: good for a trial, but no mail client trusts it";

/* Of a certificate that was found, the key of the same place; else what stands beside it. */
static int default_key(const struct init_answers *a, const struct init_machine *m, char **ret_value)
{
    AUTO_FREE char *cert = NULL;
    AUTO_FREE char *key = NULL;
    bool is_own_sign;
    int err = init_certs_find(m->root, a->v[INIT_SERVER_NAME], &cert, &key, &is_own_sign);
    if (err < 0)
        return err;
    bool is_found = cert && str_eq(str_of(cert), init_text(a, INIT_CERT));
    *ret_value = is_found ? STEAL(key) : init_certs_key_beside(a->v[INIT_CERT]);
    return 0;
}

static const char *default_word(const struct init_answers *a, enum init_id id,
                                const struct init_machine *m)
{
    bool is_http = str_is_prefix(init_text(a, INIT_AUTH), STR("http"));
    switch (id) {
    case INIT_SERVER_NAME:
        return m->host;
    case INIT_PROTOCOLS:
        return "imap,smtp";
    case INIT_AUTH:
        return "backend";
    case INIT_BACKENDS:
        return is_http ? "none" : NULL;
    case INIT_BACKEND_TLS:
        return "starttls";
    case INIT_BACKEND_CA:
        return "system";
    case INIT_LISTEN:
        return m->has_ipv6 ? "0.0.0.0,::" : "0.0.0.0";
    case INIT_PORT_OFFSET:
        return m->is_root ? "0" : "10000";
    case INIT_USER:
        return m->is_root ? "mailproxy" : NULL;
    case INIT_CERT:
    case INIT_KEY:
    case INIT_FOLDER:
    case INIT_COUNT:
        break;
    }
    return NULL;
}

int init_default(const struct init_answers *a, enum init_id id, const struct init_machine *m,
                 char **ret_value, const char **ret_remark)
{
    *ret_value = NULL;
    *ret_remark = NULL;
    if (id == INIT_CERT) {
        AUTO_FREE char *key = NULL;
        bool is_own_sign;
        int err = init_certs_find(m->root, a->v[INIT_SERVER_NAME], ret_value, &key, &is_own_sign);
        if (err == 0 && is_own_sign)
            *ret_remark = own_sign_remark;
        return err;
    }
    if (id == INIT_KEY)
        return default_key(a, m, ret_value);
    bool has_folder = id == INIT_FOLDER && !m->is_root && m->home;
    const char *word = default_word(a, id, m);
    if (has_folder)
        *ret_value = str_printf("%s/.local/state/mailproxy", m->home);
    else if (word)
        *ret_value = str_dup_c(word);
    return (has_folder || word) && !*ret_value ? -ERR_NOMEM : 0;
}

void init_machine_get(struct init_machine *ret)
{
    static char host[256];
    struct stat st;
    *ret = (struct init_machine){.root = "", .host = host, .home = getenv("HOME")};
    if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
        (void)str_copy(host, sizeof(host), STR("localhost"));
    if (!strchr(host, '.')) { /* the whole name, where /etc/hosts or DNS has it */
        const struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM};
        struct addrinfo *found = NULL;
        if (getaddrinfo(host, NULL, &hints, &found) == 0 && found && found->ai_canonname)
            (void)str_copy(host, sizeof(host), str_of(found->ai_canonname));
        if (found)
            freeaddrinfo(found);
    }
    ret->is_root = geteuid() == 0;
    ret->has_ipv6 = stat("/proc/net/if_inet6", &st) == 0;
}
