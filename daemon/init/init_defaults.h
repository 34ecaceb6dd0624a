/* SPDX-License-Identifier: ISC */
/* What is answered for who says nothing, from the machine as it is. */
#pragma once

#include "init/init_answers.h"

/* What the answers of later questions depend on. */
struct init_machine {
    const char *root; /* a folder that stands before each path of a certificate; "" = none */
    const char *host; /* name of the machine */
    const char *home; /* of who calls; NULL = unknown */
    bool is_root, has_ipv6;
};

/* The machine that this runs on. Strings are static or of the environment. Thread: the first. */
void init_machine_get(struct init_machine *ret);
/* The answer to a question, as the answers are until now; NULL in *ret_value when only a person
 * knows it. Owned. *ret_remark: a sentence about it, static, or NULL. 0 or -ERR_NOMEM. */
int init_default(const struct init_answers *a, enum init_id id, const struct init_machine *m,
                 char **ret_value, const char **ret_remark) NODISCARD;
