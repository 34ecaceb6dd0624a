/* SPDX-License-Identifier: ISC */
/* session list: page after page, without a copy of everything. */
#pragma once

#include "control/sessions.h"

/* Ends a when it is a listing of this client. */
void listing_forget(struct ask *a, const struct client *client);
