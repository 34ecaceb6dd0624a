/* SPDX-License-Identifier: ISC */
/* Finding the listeners that commands name. */
#pragma once

#include "rpc/request.h"

struct setup_listener;

/* A listener of the present setup; when there is none the request is answered, with the nearest
 * name, and NULL returned. */
const struct setup_listener *listener_find(struct request *r, const char *name);
