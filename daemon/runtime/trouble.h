/* SPDX-License-Identifier: ISC */
/* What the daemon cannot do at present although mail goes on: write a log, change the store,
 * use a certificate, have a part in its fleet. The first two are looked at every few seconds. All
 * functions: control thread.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct control;
struct trouble;

/* 0 or -ERR_NOMEM. */
int trouble_new(struct control *c, struct trouble **ret) NODISCARD;
void trouble_free(struct trouble *t); /* NULL is fine */
/* Sentences, joined by "; "; NULL: none. Borrowed until the next turn. */
const char *trouble_text(const struct trouble *t);
/* What of it, for figures: each is 0 or 1. */
struct trouble_parts {
    bool store, log, certificates, fleet;
};
struct trouble_parts trouble_parts(const struct trouble *t);
/* Looks now, as far as that needs no file system: the logs. */
void trouble_look(struct trouble *t);
/* What is wrong with certificates on the disk (taken over); NULL: nothing. */
void trouble_set_certificates(struct trouble *t, char *text);
/* The same of the fleet. */
void trouble_set_fleet(struct trouble *t, char *text);
