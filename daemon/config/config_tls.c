/* SPDX-License-Identifier: ISC */
/* From the TLS keys of a config to credentials. */
#include "base/cleanup.h"
#include "config/config.h"
#include "io/http/http_url.h"

int config_tls_server(const struct config_tls *c, struct files *files, struct tls_server **ret,
                      char **ret_error)
{
    AUTO_FREE struct tls_cert_spec *certs = calloc(c->n_certs + 1, sizeof(*certs));
    if (!certs)
        return -ERR_NOMEM;
    for (size_t i = 0; i < c->n_certs; i++)
        certs[i] = (struct tls_cert_spec){c->certs[i].cert, c->certs[i].key, c->certs[i].ocsp};
    const struct tls_server_spec spec = {
        .files = files,
        .certs = certs,
        .n_certs = c->n_certs,
        .password_file = c->password_file,
        .priority = c->priority,
        .has_tickets = c->has_tickets,
        .session_timeout_ms = c->session_timeout_ms,
        .ticket_key_file = c->ticket_key,
        .client_auth = c->client_auth,
        .client_ca_file = c->client_ca,
        .client_crl_file = c->client_crl,
        .verify_depth = c->verify_depth,
        .dh_params_file = c->dh_params,
        .has_directory = c->directory != NULL,
    };
    return tls_server_new(&spec, ret, ret_error);
}

enum back_tls config_backend_tls(const struct config_pool *pool, enum config_backend_tls t)
{
    static const enum back_tls modes[] = {[BACKEND_TLS_OFF] = BACK_TLS_OFF,
                                          [BACKEND_TLS_STARTTLS] = BACK_TLS_STARTTLS,
                                          [BACKEND_TLS_IMPLICIT] = BACK_TLS_IMPLICIT};
    return t == BACKEND_TLS_POOL ? pool->tls : modes[t];
}

bool config_pool_has_tls(const struct config_pool *pool)
{
    bool has_tls = pool->tls != BACK_TLS_OFF;
    for (size_t i = 0; i < pool->n_backends; i++)
        has_tls = has_tls || config_backend_tls(pool, pool->backends[i].tls) != BACK_TLS_OFF;
    return has_tls;
}

int config_tls_client(const struct config_pool *c, struct files *files, struct tls_client **ret,
                      char **ret_error)
{
    const struct tls_client_spec spec = {.files = files,
                                         .is_verified = c->is_verified,
                                         .ca_file = c->ca_file,
                                         .cert_file = c->cert,
                                         .key_file = c->key,
                                         .priority = c->priority};
    return tls_client_new(&spec, ret, ret_error);
}

int config_tls_auth(const struct config_auth *c, struct files *files, struct tls_client **ret,
                    char **ret_error)
{
    struct http_url url;
    const char *why;
    *ret = NULL;
    if (!c->url || http_url_parse(c->url, &url, &why) < 0 || !url.is_tls)
        return 0;
    const struct tls_client_spec spec = {.files = files,
                                         .is_verified = c->is_verified,
                                         .ca_file = c->ca_file,
                                         .cert_file = c->cert,
                                         .key_file = c->key,
                                         .alpn = "http/1.1"};
    return tls_client_new(&spec, ret, ret_error);
}
