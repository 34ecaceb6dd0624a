/* SPDX-License-Identifier: ISC */
/* Questions that are asked again and again: their parameters, and where the answers go. */
#pragma once

#include "tui/node.h"

/* Asks, unless an answer is still to come; what it cannot ask, the source says why. */
void source_ask(struct node *n, enum source_id id);
/* Asks for what is costly: not before rest_ms have gone, and the longer it took, the more. */
void source_ask_again(struct node *n, enum source_id id, uint64_t rest_ms);
/* Notes why there is no answer to a command. */
void source_fail(struct node *n, struct node_source *s, const struct command *c,
                 const struct control_client_error *e);
