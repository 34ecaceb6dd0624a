/* SPDX-License-Identifier: ISC */
/* Inside of the SASL exchanges: the object and the steps of mechanisms that have a file of their
 * own. */
#pragma once

#include "proto/sasl.h"

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

enum sasl_result sasl_xoauth2_step(struct sasl *s, bool has_response, struct str response,
                                   struct buf *out);
enum sasl_result sasl_oauthbearer_step(struct sasl *s, bool has_response, struct str response,
                                       struct buf *out);

int sasl_scram_new(struct sasl *s) NODISCARD;
void sasl_scram_free(struct sasl_scram *m);
enum sasl_result sasl_scram_step(struct sasl *s, bool has_response, struct str response,
                                 struct buf *out);
enum sasl_result sasl_scram_set_keys(struct sasl *s, const struct sasl_scram_keys *keys,
                                     struct buf *out);
