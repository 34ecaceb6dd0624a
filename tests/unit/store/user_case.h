/* SPDX-License-Identifier: ISC */
/* Comparing users, for the tests of the store. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

static void same_text(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_true(!a && !b);
}

static void same(const struct store_user *a, const struct store_user *b)
{
    same_text(a->name, b->name);
    assert_int_equal(a->is_stored, b->is_stored);
    same_text(a->password_hash, b->password_hash);
    same_text(a->scram, b->scram);
    same_text(a->pool, b->pool);
    same_text(a->backend, b->backend);
    same_text(a->backend_user, b->backend_user);
    same_text(a->backend_password, b->backend_password);
    same_text(a->master_user, b->master_user);
    same_text(a->plain_password, b->plain_password);
    same_text(a->state_text, b->state_text);
    same_text(a->note, b->note);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->state_until_ms, b->state_until_ms);
    assert_int_equal(a->protocols, b->protocols);
    assert_int_equal(a->max_sessions, b->max_sessions);
    assert_int_equal(a->last_login_ms, b->last_login_ms);
}
