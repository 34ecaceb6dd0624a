/* SPDX-License-Identifier: ISC */
/* Users as the nodes of a fleet have them: their texts, and two changes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "fleet/user_record.h"

static struct user_record record(struct store_user user, uint64_t at_ms, const char *writer)
{
    struct user_record r = {.name = str_dup_c(user.name), .revision = 7, .at_ms = at_ms};
    (void)str_copy(r.writer, sizeof(r.writer), str_of(writer));
    assert_int_equal(store_user_copy(&r.user, &user), 0);
    return r;
}

static const struct store_user full = {.name = "anna@example.org",
                                       .is_stored = true,
                                       .password_hash = "$6$salt$hash",
                                       .scram = "SCRAM-SHA-256$4096:c2FsdA==$a:b",
                                       .pool = "main",
                                       .backend = "b1",
                                       .backend_user = "Anna",
                                       .backend_password = "s3,cret \"quoted\"",
                                       .master_user = "boss",
                                       .plain_password = " plain, with blanks ",
                                       .state = USER_LOCKED,
                                       .state_text = "moving\nhouse, \"soon\"",
                                       .state_until_ms = INT64_MAX,
                                       .protocols = 3,
                                       .max_sessions = 12,
                                       .note = "\xc3\xa4\xe2\x82\xac"};

static void test_text(void **state)
{
    const struct store_user name_only = {.name = "b", .state = USER_HELD, .pool = "p"};
    const struct store_user users[] = {full, name_only, {.name = "c", .is_stored = true}};
    for (size_t i = 0; i < ARRAY_LEN(users) + 1; i++) {
        bool is_removed = i == ARRAY_LEN(users);
        CLEANUP(user_record_fini) struct user_record r = record(users[i % 3], 1234, "px1");
        CLEANUP(user_record_fini) struct user_record back = {0};
        AUTO_SECRET_BUF text = BUF_INIT;
        r.is_removed = is_removed;
        assert_int_equal(user_record_text(&r, &text), 0);
        assert_int_equal(user_record_read(buf_str(&text), &back), 0);
        assert_string_equal(back.name, r.name);
        assert_int_equal(back.revision, 7);
        assert_int_equal(back.at_ms, 1234);
        assert_string_equal(back.writer, "px1");
        assert_int_equal(back.is_removed, is_removed);
        assert_true(user_record_is_same(&r, &back));
    }
}

static void test_bad_text(void **state)
{
    static const char *const texts[] = {
        "",
        "1",
        "1 7 8 px1",
        "2 7 8 px1\na\n",
        "1 0 8 px1\na\n",
        "1 -7 8 px1\na\n",
        "1 7 x px1\na\n",
        "1 7 8 \na\n",
        "1 7 8 px1\n\n",
        "1 7 8 px1\nA\n",
        "1 7 8 px1\n a\n",
        "1 7 8 px1\na\nname\nb\n",
        "1 7 8 px1\na\nname\na\nb\n",
        "1 7 8 px1\na\nname\n",
        "1 7 8 px1\na\nname,unheard\na,1\n",
        "1 7 8 px1\na\nname,state\na,elated\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct user_record r = {0};
        int err = user_record_read(str_of(texts[i]), &r);
        if (err == 0)
            fail_msg("%s is no record", texts[i]);
        assert_int_equal(err, -ERR_SYNTAX);
    }
    AUTO_FREE char *big = calloc(1, USER_RECORD_MAX);
    memset(big, 'x', USER_RECORD_MAX - 1);
    CLEANUP(user_record_fini)
    struct user_record r =
        record((struct store_user){.name = "a", .is_stored = true, .note = big}, 1, "px1");
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(user_record_text(&r, &text), -ERR_TOO_LONG);
}

/* ---- two changes at once ---- */

#define BASE .name = "a", .is_stored = true, .note = "n", .pool = "p1"

static const struct {
    struct store_user base, ours, theirs, both;
    const char *lost;
    bool is_ours_later;
} merges[] = {
    /* each its own property: both hold, whoever was later */
    {{BASE},
     {BASE, .state = USER_LOCKED},
     {BASE, .max_sessions = 3},
     {BASE, .state = USER_LOCKED, .max_sessions = 3},
     "",
     true},
    {{BASE},
     {BASE, .state = USER_LOCKED},
     {BASE, .max_sessions = 3},
     {BASE, .state = USER_LOCKED, .max_sessions = 3},
     "",
     false},
    /* the same one: the later */
    {{BASE},
     {BASE, .max_sessions = 2},
     {BASE, .max_sessions = 3},
     {BASE, .max_sessions = 2},
     "max_sessions",
     true},
    {{BASE},
     {BASE, .max_sessions = 2},
     {BASE, .max_sessions = 3},
     {BASE, .max_sessions = 3},
     "max_sessions",
     false},
    /* the same change */
    {{BASE},
     {BASE, .max_sessions = 3},
     {BASE, .max_sessions = 3},
     {BASE, .max_sessions = 3},
     "",
     true},
    /* what belongs together is not mixed */
    {{BASE, .password_hash = "h0", .scram = "s0", .plain_password = "0"},
     {BASE, .password_hash = "h1", .scram = "s1"},
     {BASE, .password_hash = "h2", .scram = "s2", .plain_password = "0"},
     {BASE, .password_hash = "h2", .scram = "s2", .plain_password = "0"},
     "password_hash",
     false},
    {{BASE},
     {.name = "a", .is_stored = true, .note = "n", .pool = "p2", .backend = "x"},
     {BASE, .backend = "y"},
     {.name = "a", .is_stored = true, .note = "n", .pool = "p2", .backend = "x"},
     "pool",
     true},
    /* something is taken away */
    {{BASE},
     {.name = "a", .is_stored = true, .pool = "p1"},
     {BASE, .state = USER_HELD},
     {.name = "a", .is_stored = true, .pool = "p1", .state = USER_HELD},
     "",
     false},
    /* halves that do not go together: as the later one has it */
    {{BASE},
     {.name = "a", .pool = "p1"},
     {BASE, .backend_user = "b"},
     {BASE, .backend_user = "b"},
     "everything",
     false},
};

static void test_merge(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(merges); i++) {
        CLEANUP(user_record_fini) struct user_record base = record(merges[i].base, 1, "px1");
        CLEANUP(user_record_fini)
        struct user_record ours = record(merges[i].ours, merges[i].is_ours_later ? 9 : 3, "px1");
        CLEANUP(user_record_fini) struct user_record theirs = record(merges[i].theirs, 5, "px2");
        CLEANUP(user_record_fini) struct user_record both = record(merges[i].both, 1, "px1");
        CLEANUP(user_record_fini) struct user_record merged = {0};
        AUTO_BUF lost = BUF_INIT;
        AUTO_FREE char *text = user_record_base(&base);
        assert_int_equal(user_record_merge(text, &ours, &theirs, &merged, &lost), 0);
        if (!user_record_is_same(&merged, &both) || !str_eq(buf_str(&lost), str_of(merges[i].lost)))
            fail_msg("case %zu: lost %s", i, buf_cstr(&lost));
    }
}

/* Where one removed it, and where nobody knows what was before, the later one holds as a whole. */
static void test_merge_whole(void **state)
{
    for (unsigned i = 0; i < 16; i++) {
        bool is_later = i & 1, is_removed = i & 2, are_both = i & 4, has_base = i & 8;
        CLEANUP(user_record_fini)
        struct user_record ours =
            record((struct store_user){BASE, .max_sessions = 1}, is_later ? 9 : 3, "px1");
        CLEANUP(user_record_fini)
        struct user_record theirs = record((struct store_user){BASE, .state = USER_HELD}, 5, "px2");
        CLEANUP(user_record_fini) struct user_record merged = {0};
        AUTO_BUF lost = BUF_INIT;
        ours.is_removed = is_removed;
        theirs.is_removed = is_removed && are_both;
        AUTO_FREE char *base = has_base ? user_record_base(&theirs) : NULL;
        if (!is_removed && has_base)
            continue;
        assert_int_equal(user_record_merge(base, &ours, &theirs, &merged, &lost), 0);
        assert_true(user_record_is_same(&merged, is_later ? &ours : &theirs));
        assert_string_equal(buf_cstr(&lost), theirs.is_removed ? "" : "everything");
    }
    CLEANUP(user_record_fini) struct user_record a = record((struct store_user){BASE}, 5, "px1");
    CLEANUP(user_record_fini) struct user_record b = record((struct store_user){BASE}, 5, "px2");
    assert_true(user_record_is_later(&b, &a));
    assert_false(user_record_is_later(&a, &b));
    assert_false(user_record_is_later(&a, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_merge_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
