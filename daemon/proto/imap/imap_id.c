/* SPDX-License-Identifier: ISC */
/* What a mail server is told of the client by the command ID (RFC 2971). */
#include "base/cleanup.h"
#include "proto/back.h"
#include "proto/imap/imap.h"

static int imap_id_field(struct buf *out, const char *name, const char *value)
{
    if (!value || !value[0])
        return 0;
    if (BUF_APPEND(out, out->len > 0 ? " \"" : "\"", name, "\" ") < 0)
        return -ERR_NOMEM;
    return imap_append_quoted(out, str_of(value));
}

static int imap_id_addr(struct buf *out, const char *ip_name, const char *port_name,
                        const struct addr *a)
{
    char ip[ADDR_TEXT_MAX], port[8];
    if (a->family != AF_INET && a->family != AF_INET6)
        return 0;
    addr_format_ip(ip, a);
    (void)snprintf(port, sizeof(port), "%u", (unsigned)a->port);
    if (imap_id_field(out, ip_name, ip) < 0)
        return -ERR_NOMEM;
    return imap_id_field(out, port_name, port);
}

int imap_id_own(const struct back_env *env, struct buf *out)
{
    char ttl[16];
    (void)snprintf(ttl, sizeof(ttl), "%u", env->ttl);
    if (imap_id_field(out, "x-session-id", env->session_id) < 0 ||
        imap_id_addr(out, "x-originating-ip", "x-originating-port", &env->client) < 0 ||
        imap_id_addr(out, "x-connected-ip", "x-connected-port", &env->local) < 0 ||
        imap_id_field(out, "x-proxy-ttl", ttl) < 0 ||
        imap_id_field(out, "x-client-name", env->client_name) < 0 ||
        imap_id_field(out, "x-client-transport", env->client_tls ? "TLS" : "insecure") < 0)
        return -ERR_NOMEM;
    return imap_id_field(out, "x-client-tls", env->client_tls);
}

int imap_id_client(struct str list, struct buf *out)
{
    AUTO_BUF name = BUF_INIT;
    AUTO_BUF value = BUF_INIT;
    for (unsigned pairs = 10; list.n > 0 && pairs < IMAP_ID_PAIRS; pairs++) {
        (void)imap_cut_blank(&list);
        if (imap_cut_string(&list, &name) < 0 || !imap_cut_blank(&list) ||
            imap_cut_string(&list, &value) < 0)
            return 0;
        if (str_is_iprefix(buf_str(&name), STR("x-")))
            continue;
        if ((out->len > 0 && buf_append_char(out, ' ') < 0) ||
            imap_append_quoted(out, buf_str(&name)) < 0 || buf_append_char(out, ' ') < 0 ||
            imap_append_quoted(out, buf_str(&value)) < 0)
            return -ERR_NOMEM;
    }
    return 0;
}
