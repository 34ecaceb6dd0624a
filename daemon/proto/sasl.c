/* SPDX-License-Identifier: ISC */
/* SASL mechanisms: their names. */
#include "proto/sasl.h"

static const struct sasl_row {
    const char *name;
    const char *method;
    bool is_clear_text;
} sasl_rows[SASL_MECH_COUNT] = {
#define S(id, name, method, clear, keys) [SASL_##id] = {name, method, clear},
    SASL_MECHANISMS(S)
#undef S
};

const char *sasl_name(enum sasl_mech mech)
{
    return (unsigned)mech < SASL_MECH_COUNT ? sasl_rows[mech].name : "NONE";
}

const char *sasl_method(enum sasl_mech mech)
{
    return (unsigned)mech < SASL_MECH_COUNT ? sasl_rows[mech].method : "none";
}

bool sasl_is_clear_text(enum sasl_mech mech)
{
    return (unsigned)mech < SASL_MECH_COUNT && sasl_rows[mech].is_clear_text;
}

enum sasl_mech sasl_find(struct str name)
{
    for (unsigned i = 0; i < SASL_MECH_COUNT; i++)
        if (str_ieq(name, str_of(sasl_rows[i].name)))
            return (enum sasl_mech)i;
    return SASL_NONE;
}

int sasl_append_list(struct buf *out, unsigned mask, const char *prefix)
{
    /* APOP is a POP3 command, not a mechanism that a list may offer. */
    for (unsigned i = 0; i < SASL_APOP; i++) {
        if (!(mask & SASL_BIT(i)))
            continue;
        if (buf_append_c(out, prefix) < 0 || buf_append_c(out, sasl_rows[i].name) < 0)
            return -ERR_NOMEM;
    }
    return 0;
}
