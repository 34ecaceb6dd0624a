/* SPDX-License-Identifier: ISC */
/* Who changed what: into the store, the log and the events. */
#pragma once

#include "rpc/request.h"

struct control;

/* Records a changing command. result: "ok" or the error's name. */
void audit_record(struct control *c, const struct request *r, const char *result);
