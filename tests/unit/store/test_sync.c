/* SPDX-License-Identifier: ISC */
/* Revisions of users: every change is noted with what was before, and nothing of others is. */
#include "store_case.h"

#include <string.h>

#include "store/store_sync.h"

static int put(const char *name, const char *note, uint64_t now_ms)
{
    const struct store_user u = {.name = (char *)name, .is_stored = true, .note = (char *)note};
    return store_user_put(store_case.store, &u, STORE_UPSERT, now_ms);
}

/* To be freed with store_sync_fini. */
static struct store_sync row_of(const char *name)
{
    struct store_sync row = {0};
    assert_int_equal(store_sync_get(store_case.store, name, &row), 0);
    return row;
}

static uint64_t count(enum store_sync_state state)
{
    uint64_t n = UINT64_MAX;
    assert_int_equal(store_sync_count(store_case.store, state, &n), 0);
    return n;
}

static void is_row(const char *name, enum store_sync_state state, uint64_t revision, uint64_t edit,
                   const char *base_has)
{
    CLEANUP(store_sync_fini) struct store_sync row = row_of(name);
    assert_int_equal(row.state, state);
    assert_int_equal(row.revision, revision);
    assert_int_equal(row.edit, edit);
    if (base_has)
        assert_non_null(strstr(row.base, base_has));
    else
        assert_null(row.base);
}

static int write_row(const char *name, int what, const struct store_user *u, uint64_t revision,
                     uint64_t edit, enum store_sync_state state, const char *base)
{
    const struct store_sync_write w = {.name = name,
                                       .what = what,
                                       .user = u,
                                       .row = {.revision = revision,
                                               .at_ms = 77,
                                               .edit = edit,
                                               .writer = "px9",
                                               .state = state,
                                               .base = (char *)base}};
    return store_sync_write(store_case.store, &w, 1);
}

static bool take_name(void *arg, const char *name, const struct store_sync *row)
{
    (void)row;
    struct buf *all = arg;
    return buf_append_c(all, name) == 0 && buf_append_char(all, ' ') == 0;
}

static void names_are(enum store_sync_state state, const char *names)
{
    AUTO_BUF all = BUF_INIT;
    assert_int_equal(store_sync_each(store_case.store, state, 10, take_name, &all), 0);
    assert_string_equal(buf_cstr(&all), names);
}

/* Without a fleet nothing is noted; those that were there before are told at its beginning. */
static void test_begin(void **state)
{
    struct store_sync row;
    assert_int_equal(put("a", "1", 10), 0);
    assert_int_equal(store_sync_get(store_case.store, "a", &row), -ERR_NOT_FOUND);
    const struct store_user locked = {.name = "b", .state = USER_LOCKED};
    assert_int_equal(store_user_put(store_case.store, &locked, STORE_UPSERT, 20), 0);
    uint64_t edits = store_sync_edits(store_case.store);
    assert_int_equal(store_sync_track(store_case.store), 0);
    assert_true(store_sync_edits(store_case.store) > edits);
    is_row("a", STORE_EDITED, 0, 1, NULL);
    is_row("b", STORE_EDITED, 0, 1, NULL);
    names_are(STORE_EDITED, "a b ");
    assert_int_equal(store_sync_track(store_case.store), 0);
    assert_int_equal(count(STORE_EDITED), 2);
}

static void test_edits(void **state)
{
    assert_int_equal(store_sync_track(store_case.store), 0);
    assert_int_equal(put("a", "1", 10), 0);
    is_row("a", STORE_EDITED, 0, 1, NULL); /* nobody knows what others have */
    assert_int_equal(write_row("a", STORE_SYNC_ROW, NULL, 5, 1, STORE_SYNCED, "unused"), 0);
    is_row("a", STORE_SYNCED, 5, 1, NULL);
    uint64_t edits = store_sync_edits(store_case.store);
    assert_int_equal(put("a", "1", 20), 0); /* no change */
    is_row("a", STORE_SYNCED, 5, 1, NULL);
    assert_int_equal(store_sync_edits(store_case.store), edits);
    assert_int_equal(put("a", "2", 30), 0);
    is_row("a", STORE_EDITED, 5, 2, ",1\n"); /* the note as it was, the last column */
    assert_int_equal(put("a", "3", 40), 0);
    is_row("a", STORE_EDITED, 5, 3, ",1\n"); /* still as others have it */
    CLEANUP(store_sync_fini) struct store_sync row = row_of("a");
    assert_int_equal(row.at_ms, 40);
    assert_string_equal(row.writer, "");
    /* Also after the store was opened again, whoever follows. */
    store_case_close();
    store_case_open();
    assert_int_equal(write_row("a", STORE_SYNC_ROW, NULL, 6, 3, STORE_SYNCED, NULL), 0);
    assert_int_equal(store_user_remove(store_case.store, "a"), 0);
    is_row("a", STORE_EDITED, 6, 4, ",3\n");
    assert_int_equal(write_row("a", STORE_SYNC_ROW, NULL, 7, 4, STORE_SYNCED, NULL), 0);
    assert_int_equal(put("a", "4", 50), 0);
    is_row("a", STORE_EDITED, 7, 5, STORE_NOBODY);
    const struct store_login login = {"a", 999};
    assert_int_equal(write_row("a", STORE_SYNC_ROW, NULL, 8, 5, STORE_SYNCED, NULL), 0);
    assert_int_equal(store_user_logins(store_case.store, &login, 1), 0);
    is_row("a", STORE_SYNCED, 8, 5, NULL); /* a login is no change of the user */
}

/* What others have is written and is no edit; what was edited meanwhile stays so. */
static void test_write(void **state)
{
    struct store_user u = {.name = "a", .is_stored = true, .note = "theirs", .pool = "p"};
    assert_int_equal(store_sync_track(store_case.store), 0);
    uint64_t edits = store_sync_edits(store_case.store);
    assert_int_equal(write_row("a", STORE_SYNC_USER, &u, 3, 0, STORE_SYNCED, NULL), 0);
    is_row("a", STORE_SYNCED, 3, 0, NULL);
    assert_int_equal(store_sync_edits(store_case.store), edits);
    CLEANUP(store_user_fini) struct store_user now = {0};
    assert_int_equal(store_user_get(store_case.store, "a", &now), 0);
    assert_string_equal(now.note, "theirs");
    assert_int_equal(now.changed_ms, 77);
    assert_int_equal(put("a", "ours", 100), 0);
    u.note = "theirs again";
    assert_int_equal(write_row("a", STORE_SYNC_USER, &u, 4, 0, STORE_SYNCED, NULL), 0);
    is_row("a", STORE_EDITED, 3, 1, ",theirs\n"); /* not written: it was changed */
    assert_int_equal(write_row("a", STORE_SYNC_ROW, NULL, 4, 0, STORE_SYNCED, "told"), 0);
    is_row("a", STORE_EDITED, 4, 1, "told"); /* what was told is the base of what was not */
    u.is_stored = false;                     /* the account goes, the pin stays */
    u.note = NULL;
    assert_int_equal(write_row("a", STORE_SYNC_USER, &u, 5, 1, STORE_SYNCED, NULL), 0);
    store_user_fini(&now);
    assert_int_equal(store_user_get(store_case.store, "a", &now), 0);
    assert_false(now.is_stored);
    assert_string_equal(now.pool, "p");
    assert_int_equal(write_row("a", STORE_SYNC_REMOVE, NULL, 6, 1, STORE_SYNCED, NULL), 0);
    assert_int_equal(store_user_get(store_case.store, "a", &(struct store_user){0}), -ERR_NO_USER);
    is_row("a", STORE_SYNCED, 6, 1, NULL);
    assert_int_equal(store_sync_doubt_all(store_case.store), 0);
    is_row("a", STORE_DOUBTED, 6, 1, NULL);
    names_are(STORE_DOUBTED, "a ");
    names_are(STORE_EDITED, "");
    assert_int_equal(put("a", "5", 200), 0);
    is_row("a", STORE_EDITED, 6, 2, STORE_NOBODY);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, store_case_setup, store_case_teardown)
    const struct CMUnitTest tests[] = {TEST(test_begin), TEST(test_edits), TEST(test_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
