/* SPDX-License-Identifier: ISC */
/* What a first configuration has to know: the table of questions, and checked answers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "proto/proto.h"

enum init_id {
#define QUESTION(id, option, argument, check, question, help) INIT_##id,
#include "init/questions.def"
#undef QUESTION
    INIT_COUNT
};

/* A row of the table; all static. */
struct init_question {
    const char *option;   /* "server-name" */
    const char *argument; /* of the option, as the usage shows it */
    const char *text;     /* the question; NULL = never asked */
    const char *help;     /* of the option */
};
const struct init_question *init_question(enum init_id id);

/* Zero-initialised is valid: nothing is answered. */
struct init_answers {
    char *v[INIT_COUNT]; /* owned, checked; NULL = not answered */
};
void init_answers_fini(struct init_answers *a);

/* Checks an answer and keeps a copy. 0; -ERR_INVAL with *ret_fault, what is wrong with it as the
 * end of a sentence that begins with the answer (owned); -ERR_NOMEM. Reads no more of the disk than
 * whether a file is there. */
int init_answer(struct init_answers *a, enum init_id id, const char *value,
                char **ret_fault) NODISCARD;
/* "" when it is not answered. */
struct str init_text(const struct init_answers *a, enum init_id id);
/* Does a question matter, as the answers are until now? A CA does not without TLS. */
bool init_matters(const struct init_answers *a, enum init_id id);
/* Is the protocol among those to serve? */
bool init_serves(const struct init_answers *a, enum proto_id id);

/* One of the mail servers. */
struct init_backend {
    struct str host;
    uint16_t ports[PROTO_COUNT]; /* 0 = the usual one */
};
/* Cuts the next mail server off *list ("HOST imap=1143, HOST2"). False at the end; *ret_fault (may
 * be NULL, owned) tells what is wrong with it. */
bool init_backend_next(struct str *list, struct init_backend *ret, char **ret_fault);
/* Cuts the next part of a list with commas off *list, without blanks around it. False at the end.
 */
bool init_list_next(struct str *list, struct str *ret);
