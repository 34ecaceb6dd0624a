/* SPDX-License-Identifier: ISC */
/* What operators said of a name holds whoever judged its password: locks, holds, protocols, pins
 * and session limits are put on a provider's answer here. Worker's thread. */
#pragma once

struct auth_query;

/* Puts them on q->result, which a provider filled with AUTH_OK; looks them up before where they are
 * not known. Ends, now or later, in query_finish or in query_refuse. */
void name_rules_apply(struct auth_query *q);
/* Gives up a look-up of a query that ends. */
void name_rules_abandon(struct auth_query *q);
