/* SPDX-License-Identifier: ISC */
/* Finding the listeners that commands name. */
#pragma once

#include "rpc/request.h"

struct snapshot_listener;

/* A listener of the present snapshot; when there is none the request is answered, with the nearest
 * name, and NULL returned. */
const struct snapshot_listener *listener_find(struct request *r, const char *name);
