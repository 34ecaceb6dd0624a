/* SPDX-License-Identifier: ISC */
/* SASL server side (RFC 4422): mechanisms as pure state machines that end in credentials. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* One row a mechanism: S(ID, wire name, nginx Auth-Method name, clear-text secret on the wire,
 * needs stored keys). */
#define SASL_MECHANISMS(S)                                                                         \
    S(PLAIN, "PLAIN", "plain", true, false)                                                        \
    S(LOGIN, "LOGIN", "plain", true, false)                                                        \
    S(CRAM_MD5, "CRAM-MD5", "cram-md5", false, false)                                              \
    S(EXTERNAL, "EXTERNAL", "external", false, false)                                              \
    S(XOAUTH2, "XOAUTH2", "xoauth2", true, false)                                                  \
    S(OAUTHBEARER, "OAUTHBEARER", "oauthbearer", true, false)                                      \
    S(SCRAM_SHA_256, "SCRAM-SHA-256", "scram-sha-256", false, true)                                \
    S(SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", "scram-sha-256-plus", false, true)                 \
    S(APOP, "APOP", "apop", false, false)

enum sasl_mech {
#define S(id, name, method, clear, keys) SASL_##id,
    SASL_MECHANISMS(S)
#undef S
        SASL_MECH_COUNT,
    SASL_NONE = SASL_MECH_COUNT /* no authentication: SMTP relay, nginx's Auth-Method none */
};

#define SASL_BIT(mech) (1u << (mech))
/* The commands LOGIN and USER/PASS: gated like a mechanism of their own. */
#define SASL_BIT_COMMAND (1u << 16)
/* In a listener's mask, alone: no mechanism at all, which 0 does not say. */
#define SASL_BIT_NOTHING (1u << 17)

/* The name that IANA has registered, such as "CRAM-MD5"; static. */
const char *sasl_name(enum sasl_mech mech);
/* Auth-Method value of nginx's auth_http ("plain", "apop", ... "none"). */
const char *sasl_method(enum sasl_mech mech);
/* True when the client sends a secret that an eavesdropper could use. */
bool sasl_is_clear_text(enum sasl_mech mech);
/* Finds a mechanism by its wire name, any case; SASL_NONE when unknown. APOP is found too: mask it
 * out (no client may ask for it by AUTHENTICATE). */
enum sasl_mech sasl_find(struct str name);
/* Appends " AUTH=PLAIN AUTH=LOGIN"-style lists: each mechanism of mask (APOP never) preceded by
 * `prefix`. */
int sasl_append_list(struct buf *out, unsigned mask, const char *prefix) NODISCARD;

/* What a client proved or claims; every buffer is wiped by credentials_wipe. */
struct credentials {
    enum sasl_mech mech;
    struct buf user;    /* authentication identity, "" for SASL_NONE */
    struct buf authzid; /* authorisation identity, empty = the same as user */
    struct buf secret;  /* password, token, or hex digest (CRAM-MD5, APOP); for SCRAM empty: proved
                           already */
    struct buf salt;    /* challenge with angle brackets (CRAM-MD5, APOP) */
    bool is_proved; /* the mechanism itself proved the identity (EXTERNAL, SCRAM): providers only
                       look the user up */
};

/* Overwrites and frees; it is empty afterwards, and may be before. */
void credentials_wipe(struct credentials *c);
/* Deep copy. -ERR_NOMEM. */
int credentials_copy(struct credentials *dst, const struct credentials *src) NODISCARD;

/* Keys of SCRAM-SHA-256 of one user (RFC 5803), as a provider returns them. */
struct sasl_scram_keys {
    uint32_t iterations;
    uint8_t salt[64];
    size_t salt_len;
    uint8_t stored_key[32];
    uint8_t server_key[32];
};

/* Crypto that this floor may not link itself; filled by io/crypto.c (GnuTLS). */
struct sasl_crypto {
    void (*hmac_md5)(struct str key, struct str data, uint8_t ret[16]);
    void (*hmac_sha256)(struct str key, struct str data, uint8_t ret[32]);
    void (*sha256)(struct str data, uint8_t ret[32]);
    void (*random)(void *p, size_t n);
};

enum sasl_result {
    SASL_CHALLENGE,   /* send `out` to the client and wait for its response */
    SASL_CREDENTIALS, /* finished: credentials are complete, the provider decides */
    SASL_NEED_KEYS,   /* SCRAM: look up the keys of credentials.user, then sasl_set_keys */
    SASL_FAILED,      /* the exchange is malformed or the proof is wrong */
};

struct sasl_env {
    const struct sasl_crypto *crypto;
    const char *server_name;      /* CRAM-MD5 challenge */
    struct str external_identity; /* identity from the client certificate; empty: EXTERNAL fails,
                                     but with is_external_any */
    bool is_external_any; /* without a certificate EXTERNAL names a user without proving anything:
                             whoever judges decides what that is worth, as nginx's auth server */
    struct str channel_binding; /* data of cb_name; empty when there is none OR SCRAM-SHA-256-PLUS
                                   is not offered now (else honest clients look downgraded) */
    const char *cb_name;        /* "tls-exporter" or "tls-unique" */
    uint64_t challenge_seed;    /* random + time for CRAM-MD5, given by the caller: no clock here */
    struct str fake_secret;   /* SCRAM: stable secret from which salts of unknown users are derived,
                                 so that asking twice tells nothing; empty: random salts */
    uint32_t fake_iterations; /* SCRAM: iteration count shown for unknown users, as for real ones; 0
                                 = 4096 */
};

struct sasl;
/* Starts an exchange. env is borrowed until sasl_free. NULL when out of memory or the mechanism is
 * not an exchange (APOP). */
struct sasl *sasl_new(enum sasl_mech mech, const struct sasl_env *env);
void sasl_free(struct sasl *s);
/* One step. response: decoded bytes from the client; has_response false only for the first step
 * without initial response. out: bytes of the challenge (not base64) or, with SASL_CREDENTIALS,
 * final server data that must reach the client with the success (SCRAM v=...). */
enum sasl_result sasl_step(struct sasl *s, bool has_response, struct str response, struct buf *out);
/* Answers SASL_NEED_KEYS; keys NULL = unknown user (a fake challenge goes out so that nobody can
 * tell). Continue as for sasl_step. */
enum sasl_result sasl_set_keys(struct sasl *s, const struct sasl_scram_keys *keys, struct buf *out);
/* After a rejected token: the RFC 7628 / XOAUTH2 error challenge (JSON) that must be sent before
 * the failure reply; false when the mechanism has none. text: the judge's own, NULL = the usual. */
bool sasl_error_challenge(struct sasl *s, const char *text, struct buf *out);
/* Credentials collected so far; owned by s. */
struct credentials *sasl_credentials(struct sasl *s);
