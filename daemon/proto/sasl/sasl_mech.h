/* SPDX-License-Identifier: ISC */
/* Inside of the SASL exchanges: the object and the steps of mechanisms that have a file of their
 * own. */
#pragma once

#include "proto/sasl/sasl.h"

struct sasl_scram;

struct sasl {
    enum sasl_mech mech;
    const struct sasl_env *env;
    struct credentials cred;
    unsigned step;            /* steps taken so far, counted by sasl_step */
    bool is_over;             /* finished or failed: no further step is taken */
    bool is_error_sent;       /* OAuth: the error challenge is out, its answer ends the exchange */
    struct sasl_scram *scram; /* SCRAM only */
};

/* Takes a value into the credentials; false when it holds CR, LF or NUL or there is no memory. */
bool sasl_take(struct buf *dst, struct str value) NODISCARD;
/* The same for names, which besides must be UTF-8. */
bool sasl_take_name(struct buf *dst, struct str value) NODISCARD;
/* A saslname of RFC 5801 ("=2C" and "=3D" decoded); false also for a lone '=', ',' or an empty
 * name. */
bool sasl_take_saslname(struct buf *dst, struct str value) NODISCARD;

/* A response of XOAUTH2 (Google's and Microsoft's documents): the token, or the empty one after an
 * error. */
enum sasl_result sasl_xoauth2_step(struct sasl *s, bool has_response, struct str response,
                                   struct buf *out);
/* The same for OAUTHBEARER, RFC 7628. */
enum sasl_result sasl_oauthbearer_step(struct sasl *s, bool has_response, struct str response,
                                       struct buf *out);

/* What SCRAM keeps over its steps. 0 or -ERR_NOMEM. */
int sasl_scram_new(struct sasl *s) NODISCARD;
/* Wiped; NULL is fine. */
void sasl_scram_free(struct sasl_scram *m);
/* A message of the client, RFC 5802 section 5; after the first one the owner finds the user's keys.
 */
enum sasl_result sasl_scram_step(struct sasl *s, bool has_response, struct str response,
                                 struct buf *out);
/* Goes on with the keys of that user, NULL = none: then made-up ones, so that nobody learns who
 * exists. */
enum sasl_result sasl_scram_set_keys(struct sasl *s, const struct sasl_scram_keys *keys,
                                     struct buf *out);
