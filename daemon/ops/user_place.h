/* SPDX-License-Identifier: ISC */
/* Where a user's mailbox is now, as far as the proxy can know: the pin, else the backend of the
 * user's sessions, else the one that the routes lead to. Control thread. */
#pragma once

#include "rpc/request.h"

struct control;

struct user_place {
    const char *pool, *backend, *host; /* borrowed during the callback */
};

struct user_place_spec {
    const char *user;     /* copied */
    bool is_server_named; /* an auth server says where unpinned users go: the routes tell nothing */
    /* Once, never within user_place_find, unless the control plane ends before. place NULL: text
     * says why nobody knows. */
    void (*done)(void *arg, const struct user_place *place, const char *text);
    void *arg;
};
/* -ERR_NOMEM: nothing was started. */
int user_place_find(struct control *c, const struct user_place_spec *spec) NODISCARD;
