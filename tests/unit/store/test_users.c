/* SPDX-License-Identifier: ISC */
/* Users in the store: every property, writing one and many, pages, and many threads at once. */
#include "store_case.h"

#include <pthread.h>
#include <string.h>

#include "user_case.h"

static const struct store_user full = {
    .name = "anna@example.org",
    .is_stored = true,
    .password_hash = "$6$salt$hash",
    .scram = "SCRAM-SHA-256$4096:c2FsdA==$a:b",
    .pool = "main",
    .backend = "b1",
    .backend_user = "Anna",
    .backend_password = "s3cret",
    .master_user = "boss",
    .plain_password = "plain 'quoted' \"text\"; DROP TABLE user",
    .state = USER_HELD,
    .state_text = "moving\nhouse",
    .state_until_ms = INT64_MAX,
    .protocols = 0x80000001u,
    .max_sessions = INT32_MAX,
    .note = "\xc3\xa4\xe2\x82\xac",
    .created_ms = 5, /* set by the store */
    .changed_ms = 6,
    .last_login_ms = 7,
};

static int put(const char *name, const char *note, enum store_write how, uint64_t now_ms)
{
    const struct store_user u = {.name = (char *)name, .is_stored = true, .note = (char *)note};
    return store_user_put(store_case.store, &u, how, now_ms);
}

/* The user; free it with store_user_fini. */
static struct store_user get(const char *name)
{
    struct store_user u = {0};
    assert_int_equal(store_user_get(store_case.store, name, &u), 0);
    return u;
}

static uint64_t count(void)
{
    uint64_t n = UINT64_MAX;
    assert_int_equal(store_user_count(store_case.store, &n), 0);
    return n;
}

static void note_is(const char *name, const char *note)
{
    CLEANUP(store_user_fini) struct store_user u = get(name);
    same_text(u.note, note);
}

/* ---- one user ---- */

/* Lists and nodes of a fleet carry each user as a whole. */
static void test_long_texts(void **state)
{
    static char text[USER_TEXT_MAX + 2];
    struct store_user u = {.name = (char *)"long", .state = USER_LOCKED, .state_text = text};
    memset(text, '"', sizeof(text) - 1);
    assert_int_equal(put("long", text, STORE_UPSERT, 1), -ERR_TOO_LONG);
    assert_int_equal(store_user_put(store_case.store, &u, STORE_UPSERT, 1), -ERR_TOO_LONG);
    text[USER_TEXT_MAX] = '\0';
    assert_int_equal(put("long", text, STORE_UPSERT, 1), 0);
    assert_int_equal(store_user_put(store_case.store, &u, STORE_UPSERT, 1), 0);
}

static void test_all_properties(void **state)
{
    assert_int_equal(store_user_put(store_case.store, &full, STORE_ADD, 1000), 0);
    for (int i = 0; i < 2; i++) {
        CLEANUP(store_user_fini) struct store_user u = get(full.name);
        same(&u, &full);
        assert_int_equal(u.created_ms, 1000);
        assert_int_equal(u.changed_ms, 1000);
        store_case_close();
        store_case_open();
    }
    /* and all can be taken away again, but the logins */
    struct store_user bare = {.name = full.name, .is_stored = true, .last_login_ms = 7};
    assert_int_equal(store_user_put(store_case.store, &bare, STORE_REPLACE, 2000), 0);
    CLEANUP(store_user_fini) struct store_user u = get(full.name);
    same(&u, &bare);
    assert_int_equal(u.created_ms, 1000);
    assert_int_equal(u.changed_ms, 2000);
}

static void test_ways_to_write(void **state)
{
    assert_int_equal(put("bob", "1", STORE_REPLACE, 1), -ERR_NO_USER);
    assert_int_equal(put("bob", "2", STORE_ADD, 1), 0);
    assert_int_equal(put("bob", "3", STORE_ADD, 1), -ERR_EXISTS);
    note_is("bob", "2");
    assert_int_equal(put("bob", "4", STORE_REPLACE, 1), 0);
    note_is("bob", "4");
    assert_int_equal(put("bob", "5", STORE_UPSERT, 1), 0);
    note_is("bob", "5");
    assert_int_equal(put("eve", "6", STORE_UPSERT, 1), 0);
    note_is("eve", "6");
    assert_int_equal(count(), 2);
    assert_int_equal(put("", "7", STORE_ADD, 1), -ERR_INVAL);
    assert_int_equal(put(NULL, "7", STORE_ADD, 1), -ERR_INVAL);
}

static void test_absent(void **state)
{
    struct store_user u = {.max_sessions = 9};
    assert_int_equal(put("bob", NULL, STORE_ADD, 1), 0);
    assert_int_equal(store_user_get(store_case.store, "bo", &u), -ERR_NO_USER);
    assert_int_equal(store_user_get(store_case.store, "Bob", &u), -ERR_NO_USER);
    assert_int_equal(store_user_get(store_case.store, "", &u), -ERR_NO_USER);
    assert_int_equal(store_user_get(store_case.store, "b%", &u), -ERR_NO_USER);
    assert_int_equal(u.max_sessions, 9);
    assert_int_equal(store_user_remove(store_case.store, "bo"), -ERR_NO_USER);
    assert_int_equal(store_user_remove(store_case.store, "bob"), 0);
    assert_int_equal(store_user_remove(store_case.store, "bob"), -ERR_NO_USER);
    assert_int_equal(count(), 0);
}

/* ---- what is said of names that have no account ---- */

static bool has_names(void)
{
    bool has = false;
    assert_int_equal(store_has_names(store_case.store, &has), 0);
    return has;
}

static void test_names_without_account(void **state)
{
    struct store_user other = {.name = "eve",
                               .state = USER_LOCKED,
                               .state_text = "call us",
                               .pool = "main",
                               .backend = "b1",
                               .protocols = 1,
                               .max_sessions = 2};
    assert_false(has_names());
    assert_int_equal(store_user_put(store_case.store, &other, STORE_REPLACE, 1), -ERR_NO_USER);
    assert_int_equal(store_user_put(store_case.store, &other, STORE_ADD, 1000), 0);
    assert_int_equal(store_user_put(store_case.store, &other, STORE_ADD, 1), -ERR_EXISTS);
    assert_true(has_names());
    CLEANUP(store_user_fini) struct store_user u = get("eve");
    same(&u, &other);
    assert_int_equal(u.changed_ms, 1000);
    assert_int_equal(u.created_ms, 0);
    assert_int_equal(count(), 0); /* it is no account */
    /* nothing more is said of it: it is gone */
    other = (struct store_user){.name = "eve"};
    assert_int_equal(store_user_put(store_case.store, &other, STORE_UPSERT, 1), 0);
    assert_false(has_names());
    assert_int_equal(store_user_remove(store_case.store, "eve"), -ERR_NO_USER);
}

/* A word about the name neither makes an account nor ends one. */
static void test_name_and_account(void **state)
{
    const struct store_user said = {.name = "bob", .state = USER_LOCKED};
    assert_int_equal(store_user_put(store_case.store, &said, STORE_ADD, 1), 0);
    assert_int_equal(put("bob", "1", STORE_REPLACE, 1), -ERR_NO_USER);
    CLEANUP(store_user_fini) struct store_user alone = get("bob");
    same(&alone, &said);
    /* an account may be added to it */
    const struct store_user both = {
        .name = "bob", .is_stored = true, .note = "1", .state = USER_LOCKED};
    assert_int_equal(store_user_put(store_case.store, &both, STORE_ADD, 1), 0);
    const struct store_user held = {.name = "bob", .state = USER_HELD};
    assert_int_equal(store_user_put(store_case.store, &held, STORE_REPLACE, 1), 0);
    CLEANUP(store_user_fini) struct store_user u = get("bob");
    assert_true(u.is_stored && u.state == USER_HELD);
    same_text(u.note, "1");
    /* both go together */
    assert_int_equal(store_user_remove(store_case.store, "bob"), 0);
    assert_false(has_names());
    assert_int_equal(count(), 0);
}

/* ---- pages ---- */

struct page {
    char names[128];
    size_t n, stop_at; /* 0 = never */
};

static bool on_user(void *arg, const struct store_user *u)
{
    struct page *p = arg;
    size_t used = strlen(p->names);
    snprintf(p->names + used, sizeof(p->names) - used, "%s ", u->name);
    return ++p->n != p->stop_at;
}

static void page_is(const char *after, size_t limit, size_t stop_at, const char *names)
{
    struct page p = {.stop_at = stop_at};
    assert_int_equal(store_user_each(store_case.store, after, limit, on_user, &p), 0);
    assert_string_equal(p.names, names);
}

static void test_pages(void **state)
{
    static const char *const names[] = {"d", "a", "c", "b", "a@x"};
    page_is(NULL, 10, 0, "");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(put(names[i], NULL, STORE_ADD, 1), 0);
    page_is(NULL, 100, 0, "a a@x b c d ");
    page_is(NULL, SIZE_MAX, 0, "a a@x b c d ");
    page_is(NULL, 2, 0, "a a@x ");
    page_is("a@x", 2, 0, "b c ");
    page_is("c", 2, 0, "d ");
    page_is("d", 2, 0, "");
    page_is("bb", 2, 0, "c d "); /* whoever it was is gone meanwhile */
    page_is(NULL, 100, 3, "a a@x b ");
    page_is(NULL, 0, 0, "");
    /* names without an account stand among the others, in one order */
    const struct store_user said[] = {{.name = "b1", .max_sessions = 1},
                                      {.name = "c", .is_stored = true, .pool = "x"},
                                      {.name = "zoe", .state = USER_HELD}};
    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        assert_int_equal(store_user_put(store_case.store, &said[i], STORE_UPSERT, 1), 0);
    page_is(NULL, 100, 0, "a a@x b b1 c d zoe ");
    page_is("b", 3, 0, "b1 c d ");
    page_is("d", 100, 0, "zoe ");
}

/* What is read while a page is read: the store must not lock itself. */
static bool on_user_nested(void *arg, const struct store_user *u)
{
    CLEANUP(store_user_fini) struct store_user again = get(u->name);
    assert_string_equal(again.name, u->name);
    assert_int_equal(put("new", "x", STORE_UPSERT, 1), 0);
    ++*(int *)arg;
    return true;
}

static void test_use_within_a_page(void **state)
{
    int n = 0;
    assert_int_equal(put("a", NULL, STORE_ADD, 1), 0);
    assert_int_equal(put("b", NULL, STORE_ADD, 1), 0);
    assert_int_equal(store_user_each(store_case.store, NULL, 10, on_user_nested, &n), 0);
    assert_int_equal(n, 2); /* a page is of one moment */
    assert_int_equal(count(), 3);
}

/* ---- many ---- */

#define MANY 1200

static struct store_user many[MANY];

static void make_many(void)
{
    for (int i = 0; i < MANY; i++)
        many[i] = (struct store_user){
            .name = str_printf("user%04d", i), .is_stored = true, .note = "new"};
}

static void free_many(void)
{
    for (int i = 0; i < MANY; i++)
        free(many[i].name);
}

static int import(enum store_write how, bool (*progress)(void *, size_t), void *arg, size_t *added,
                  size_t *changed)
{
    *added = *changed = 77;
    return store_user_import(store_case.store, many, MANY, how, 1, progress, arg, added, changed);
}

static void test_import(void **state)
{
    size_t added, changed;
    make_many();
    assert_int_equal(put("user0007", "old", STORE_ADD, 1), 0);
    assert_int_equal(put("other", "old", STORE_ADD, 1), 0);
    /* all or nothing */
    assert_int_equal(import(STORE_ADD, NULL, NULL, &added, &changed), -ERR_EXISTS);
    assert_int_equal(added, 77);
    assert_int_equal(changed, 77);
    assert_int_equal(count(), 2);
    note_is("user0007", "old");
    assert_int_equal(import(STORE_REPLACE, NULL, NULL, &added, &changed), -ERR_NO_USER);
    assert_int_equal(count(), 2);
    note_is("user0007", "old");
    assert_int_equal(import(STORE_UPSERT, NULL, NULL, &added, &changed), 0);
    assert_int_equal(added, MANY - 1);
    assert_int_equal(changed, 1);
    assert_int_equal(count(), MANY + 1);
    note_is("user0007", "new");
    note_is("other", "old");
    many[3].note = "newer";
    assert_int_equal(import(STORE_REPLACE, NULL, NULL, &added, &changed), 0);
    assert_int_equal(added, 0);
    assert_int_equal(changed, 1);
    free_many();
}

/* Whichever property differs, it is a change; none is none. */
static void test_import_counts_changes(void **state)
{
    size_t added, changed;
    static const struct store_user versions[] = {
        {.name = "a", .is_stored = true},
        {.name = "a", .is_stored = true, .password_hash = "x"},
        {.name = "a", .is_stored = true, .scram = "x"},
        {.name = "a", .is_stored = true, .pool = "x"},
        {.name = "a", .is_stored = true, .backend = "x"},
        {.name = "a", .is_stored = true, .backend_user = "x"},
        {.name = "a", .is_stored = true, .backend_password = "x"},
        {.name = "a", .is_stored = true, .master_user = "x"},
        {.name = "a", .is_stored = true, .plain_password = "x"},
        {.name = "a", .is_stored = true, .state = USER_HELD},
        {.name = "a", .is_stored = true, .state_text = "x"},
        {.name = "a", .is_stored = true, .state_until_ms = 1},
        {.name = "a", .is_stored = true, .protocols = 1},
        {.name = "a", .is_stored = true, .max_sessions = 1},
        {.name = "a", .is_stored = true, .note = "x"},
        {.name = "a", .is_stored = true, .last_login_ms = 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(versions); i++)
        for (size_t again = 0; again < 2; again++) {
            assert_int_equal(store_user_import(store_case.store, &versions[i], 1, STORE_UPSERT, 1,
                                               NULL, NULL, &added, &changed),
                             0);
            assert_int_equal(added, i == 0 && again == 0);
            assert_int_equal(changed, i > 0 && again == 0);
        }
}

static void test_import_refuses(void **state)
{
    size_t added, changed;
    make_many();
    free(many[MANY - 1].name);
    many[MANY - 1].name = NULL;
    assert_int_equal(import(STORE_UPSERT, NULL, NULL, &added, &changed), -ERR_INVAL);
    assert_int_equal(count(), 0);
    assert_int_equal(
        store_user_import(store_case.store, NULL, 0, STORE_UPSERT, 1, NULL, NULL, &added, &changed),
        0);
    assert_int_equal(added + changed, 0);
    free_many();
}

struct progress {
    size_t calls, last, stop_at;
};

static bool on_progress(void *arg, size_t done)
{
    struct progress *p = arg;
    assert_true(p->calls == 0 || done > p->last);
    p->last = done;
    return ++p->calls != p->stop_at;
}

static void test_import_progress(void **state)
{
    size_t added, changed;
    struct progress all = {0}, some = {.stop_at = 2};
    make_many();
    assert_int_equal(import(STORE_UPSERT, on_progress, &some, &added, &changed), -ERR_CANCELLED);
    assert_true(some.last > 0); /* part of them were written, and taken back */
    assert_int_equal(count(), 0);
    assert_int_equal(import(STORE_UPSERT, on_progress, &all, &added, &changed), 0);
    assert_true(all.calls > 2 && all.last < MANY);
    assert_int_equal(count(), MANY);
    free_many();
}

static void test_logins(void **state)
{
    const struct store_login first[] = {{"bob", 100}, {"nobody", 100}, {"eve", 200}};
    const struct store_login late[] = {{"bob", 50}, {"eve", 300}};
    assert_int_equal(put("bob", NULL, STORE_ADD, 1), 0);
    assert_int_equal(put("eve", NULL, STORE_ADD, 1), 0);
    assert_int_equal(store_user_logins(store_case.store, first, 3), 0);
    assert_int_equal(store_user_logins(store_case.store, late, 2), 0);
    assert_int_equal(store_user_logins(store_case.store, NULL, 0), 0);
    CLEANUP(store_user_fini) struct store_user bob = get("bob");
    CLEANUP(store_user_fini) struct store_user eve = get("eve");
    assert_int_equal(bob.last_login_ms, 100); /* never back */
    assert_int_equal(eve.last_login_ms, 300);
    assert_int_equal(bob.changed_ms, 1); /* nobody edited them */
    assert_int_equal(count(), 2);
    /* an edit that was begun before the login does not undo it */
    assert_int_equal(put("eve", "x", STORE_REPLACE, 2), 0);
    CLEANUP(store_user_fini) struct store_user edited = get("eve");
    assert_int_equal(edited.last_login_ms, 300);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 40

static void *hammer(void *arg)
{
    char name[16];
    for (int i = 0; i < ROUNDS; i++) {
        struct store_user u = {0};
        struct page p = {0};
        uint64_t n;
        snprintf(name, sizeof(name), "t%d", (int)(uintptr_t)arg);
        const struct store_user mine = {.name = name, .is_stored = true, .note = "x"};
        bool is_good = store_user_put(store_case.store, &mine, STORE_UPSERT, 1) == 0 &&
                       store_user_get(store_case.store, name, &u) == 0 &&
                       strcmp(u.name, name) == 0 &&
                       store_user_each(store_case.store, NULL, THREADS, on_user, &p) == 0 &&
                       store_user_count(store_case.store, &n) == 0 && n >= 1 && n <= THREADS &&
                       (i % 2 || store_user_remove(store_case.store, name) == 0);
        store_user_fini(&u);
        if (!is_good)
            return arg;
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    void *result;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    assert_int_equal(count(), THREADS); /* the last round keeps them */
}

/* ---- values ---- */

static void test_copy(void **state)
{
    struct store_user copy = {0};
    assert_int_equal(store_user_copy(&copy, &full), 0);
    same(&copy, &full);
    assert_true(copy.note != full.note);
    store_user_fini(&copy);
    assert_null(copy.name);
    store_user_fini(&copy);
    store_user_fini(NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, store_case_setup, store_case_teardown)
    const struct CMUnitTest tests[] = {
        T(test_long_texts),
        T(test_all_properties),
        T(test_ways_to_write),
        T(test_absent),
        T(test_names_without_account),
        T(test_name_and_account),
        T(test_pages),
        T(test_use_within_a_page),
        T(test_import),
        T(test_import_counts_changes),
        T(test_import_refuses),
        T(test_import_progress),
        T(test_logins),
        T(test_threads),
        T(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
