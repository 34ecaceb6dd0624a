/* SPDX-License-Identifier: ISC */
/* What an auth server is asked: header by header, in NGINX's order. */
#include "auth/auth_http_request.h"

#include <stdio.h>

/* A request under construction; the first failure sticks. */
struct writer {
    struct buf *out;
    int err;
};

static void write_bytes(struct writer *w, struct str s)
{
    if (w->err == 0)
        w->err = buf_append_str(w->out, s);
}

/* Each byte takes three at most, for which there is room. Returns where the text ends. */
static char *put_escaped(char *dst, struct str s, bool is_strict)
{
    static const char digits[] = "0123456789ABCDEF";
    bool has_strict = is_strict && (str_index(s, ' ') >= 0 || str_index(s, '%') >= 0);
    if (!has_strict && str_is_printable_ascii(s)) /* as most are */
        return s.n > 0 ? mempcpy(dst, s.p, s.n) : dst;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && !(is_strict && (c == ' ' || c == '%'))) {
            *dst++ = (char)c;
            continue;
        }
        *dst++ = '%';
        *dst++ = digits[c >> 4];
        *dst++ = digits[c & 15];
    }
    return dst;
}

/* Room for the whole line is made at once. */
static void write_line(struct writer *w, const char *name, struct str value, bool is_strict)
{
    size_t name_n = strlen(name);
    if (w->err == 0)
        w->err = buf_reserve(w->out, name_n + 2 + 3 * value.n + 2);
    if (w->err < 0)
        return;
    char *start = buf_tail(w->out), *dst = mempcpy(start, name, name_n);
    dst = mempcpy(dst, ": ", 2);
    dst = put_escaped(dst, value, is_strict);
    dst = mempcpy(dst, "\r\n", 2);
    buf_commit(w->out, (size_t)(dst - start));
}

static void write_text(struct writer *w, const char *name, struct str value)
{
    write_line(w, name, value, false);
}

/* Left out when there is none. */
static void write_optional(struct writer *w, const char *name, const char *value)
{
    if (value && value[0])
        write_text(w, name, str_of(value));
}

static void write_number(struct writer *w, const char *name, unsigned n)
{
    char digits[STR_NUMBER_MAX];
    write_text(w, name, str_n(digits, (size_t)(str_put_number(digits, n, 10, 0) - digits)));
}

static void write_address(struct writer *w, const char *name, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    addr_format_ip(text, a);
    write_text(w, name, str_of(text));
}

static void write_client(struct writer *w, const struct auth_request *r)
{
    write_text(w, "Auth-Protocol", str_of(r->proto->auth_name));
    write_number(w, "Auth-Login-Attempt", r->attempt);
    write_address(w, "Client-IP", &r->client);
    if (r->proto->has_client_name)
        write_text(w, "Client-Host", str_of(r->client_host ? r->client_host : "[UNAVAILABLE]"));
    if (r->has_proxy_header) {
        write_address(w, "Proxy-Protocol-Addr", &r->proxy_src);
        write_number(w, "Proxy-Protocol-Port", r->proxy_src.port);
        write_address(w, "Proxy-Protocol-Server-Addr", &r->proxy_dst);
        write_number(w, "Proxy-Protocol-Server-Port", r->proxy_dst.port);
    }
    if (r->cred->mech == SASL_NONE) {
        write_text(w, "Auth-SMTP-Helo", r->helo);
        write_text(w, "Auth-SMTP-From", r->mail_from);
        write_text(w, "Auth-SMTP-To", r->rcpt_to);
    }
}

static void write_tls(struct writer *w, const struct auth_request *r, bool has_pem)
{
    const struct tls_info *t = r->tls;
    const struct tls_peer_cert *cert = r->peer_cert;
    if (!t)
        return;
    write_text(w, "Auth-SSL", STR("on"));
    write_optional(w, "Auth-SSL-Protocol", t->version);
    write_optional(w, "Auth-SSL-Cipher", t->cipher);
    if (r->client_auth == TLS_CLIENT_AUTH_OFF)
        return;
    char verify[sizeof(t->verify_error) + 8];
    bool is_failed = t->verify == TLS_VERIFY_FAILED;
    snprintf(verify, sizeof(verify), "%s%s",
             is_failed                         ? "FAILED:"
             : t->verify == TLS_VERIFY_SUCCESS ? "SUCCESS"
                                               : "NONE",
             is_failed ? t->verify_error : "");
    write_text(w, "Auth-SSL-Verify", str_of(verify));
    if (!cert)
        return;
    write_optional(w, "Auth-SSL-Subject", cert->subject);
    write_optional(w, "Auth-SSL-Issuer", cert->issuer);
    write_optional(w, "Auth-SSL-Serial", cert->serial);
    write_optional(w, "Auth-SSL-Fingerprint", cert->fingerprint);
    if (has_pem && cert->pem)
        write_line(w, "Auth-SSL-Cert", str_of(cert->pem), true);
}

int auth_http_request(const struct auth_request *r, const struct config_auth *c, struct buf *out)
{
    struct writer w = {.out = out};
    const struct credentials *cred = r->cred;
    /* With a certificate it is the client who names the login; the server says whether the
     * certificate may use it. */
    bool is_named = cred->mech == SASL_EXTERNAL && cred->authzid.len > 0;
    write_text(&w, "Auth-Method", str_of(sasl_method(cred->mech)));
    write_line(&w, "Auth-User", buf_str(is_named ? &cred->authzid : &cred->user), true);
    write_line(&w, "Auth-Pass", buf_str(&cred->secret), true);
    if (cred->salt.len > 0)
        write_text(&w, "Auth-Salt", buf_str(&cred->salt));
    write_client(&w, r);
    write_tls(&w, r, c->is_client_cert_passed);
    for (size_t i = 0; i < c->headers.n; i++) {
        write_bytes(&w, str_of(c->headers.v[i]));
        write_bytes(&w, STR("\r\n"));
    }
    return w.err;
}
