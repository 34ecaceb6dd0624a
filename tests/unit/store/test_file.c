/* SPDX-License-Identifier: ISC */
/* The file of a store: made, brought up to date, and refused untouched when it is not a good one.
 */
#include "store_case.h"

#include <sqlite3.h>
#include <string.h>

#include "user_case.h"

#include "store/store_sqlite.h"

/* Runs SQL on the file behind the store's back. */
static void sql(const char *text)
{
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open(store_case.path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The store does not open, says why in a sentence with the words, and the file stays as it is. */
static void refused(int err, const char *words)
{
    AUTO_BUF before = BUF_INIT;
    AUTO_BUF after = BUF_INIT;
    char *error = NULL;
    store_case_read(&before);
    assert_int_equal(store_case_try(&error), err);
    if (!strstr(error, words) || !strstr(error, store_case.path))
        fail_msg("\"%s\" lacks \"%s\"", error, words);
    free(error);
    store_case_read(&after);
    assert_true(str_eq(buf_str(&before), buf_str(&after)));
}

static void add_users(int n)
{
    char name[32];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "user%06d@example.org", i);
        const struct store_user u = {
            .name = name, .is_stored = true, .note = "a note that fills some space"};
        assert_int_equal(store_user_put(store_case.store, &u, STORE_ADD, 1), 0);
    }
}

static uint64_t count(void)
{
    uint64_t n = 0;
    assert_int_equal(store_user_count(store_case.store, &n), 0);
    return n;
}

static void test_create(void **state)
{
    struct stat st;
    store_case_open();
    assert_int_equal(count(), 0);
    assert_int_equal(stat(store_case.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600); /* passwords are in it */
    add_users(3);
    store_case_close();
    store_case_open();
    assert_int_equal(count(), 3);
}

/* A file that was made in advance, with rights of the operator's choice. */
static void test_empty_file(void **state)
{
    store_case_write(STR(""), 0);
    store_case_open();
    assert_int_equal(count(), 0);
}

static void test_kind(void **state)
{
    const struct store_spec spec = {.type = "paper", .path = store_case.path};
    struct store *s = NULL;
    char *error = NULL;
    assert_int_equal(store_open(&spec, &s, &error), -ERR_UNSUPPORTED);
    assert_non_null(strstr(error, "paper"));
    assert_null(s);
    free(error);
    store_close(NULL);
}

static void test_no_folder(void **state)
{
    char *error = NULL;
    char path[64];
    memcpy(path, store_case.path, sizeof(path));
    snprintf(store_case.path, sizeof(store_case.path), "%s/none/store", store_case.folder);
    assert_true(store_case_try(&error) < 0);
    assert_non_null(strstr(error, "cannot be opened"));
    free(error);
    memcpy(store_case.path, path, sizeof(path));
}

static void test_no_regular_file(void **state)
{
    char *error = NULL;
    assert_int_equal(mkfifo(store_case.path, 0600), 0);
    assert_int_equal(store_case_try(&error), -ERR_STORE_CORRUPT); /* and does not wait for it */
    assert_non_null(strstr(error, "not a regular file"));
    free(error);
}

static void test_foreign_files(void **state)
{
    AUTO_BUF long_text = BUF_INIT;
    store_case_write(STR("users = ();\n"), 0);
    refused(-ERR_STORE_CORRUPT, "not an SQLite file");
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_append_c(&long_text, "text "), 0);
    store_case_write(buf_str(&long_text), 0);
    refused(-ERR_STORE_CORRUPT, "not an SQLite file");
}

static void test_foreign_databases(void **state)
{
    sql("CREATE TABLE other (x); INSERT INTO other VALUES (1)");
    refused(-ERR_STORE_CORRUPT, "another program");
    sql("PRAGMA application_id = 7");
    refused(-ERR_STORE_CORRUPT, "another program");
    /* one with a table of our name is none of ours */
    sql("CREATE TABLE user (name); PRAGMA user_version = 1");
    refused(-ERR_STORE_CORRUPT, "another program");
}

static void test_newer_schema(void **state)
{
    store_case_open();
    add_users(1);
    store_case_close();
    /* what a later version changed is unknown: the program before it has to say so, and stop */
    sql("PRAGMA user_version = 5; ALTER TABLE name RENAME TO names");
    refused(-ERR_VERSION, "was written by a newer mailproxy (schema 5, this one knows 4)");
    sql("PRAGMA user_version = 99");
    refused(-ERR_VERSION, "newer mailproxy");
}

/* The tables of the versions before this one, word for word. */
static const char version_1[] =
    "CREATE TABLE user (name TEXT NOT NULL PRIMARY KEY, password_hash TEXT, scram TEXT, pool TEXT, "
    "backend TEXT, backend_user TEXT, backend_password TEXT, master_user TEXT, "
    "plain_password TEXT, state INTEGER NOT NULL, state_text TEXT, "
    "state_until_ms INTEGER NOT NULL, protocols INTEGER NOT NULL, max_sessions INTEGER NOT NULL, "
    "note TEXT, created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, "
    "last_login_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE runtime (kind TEXT NOT NULL, name TEXT NOT NULL, json TEXT NOT NULL, "
    "at_ms INTEGER NOT NULL, PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID;"
    "PRAGMA application_id = 1297111129; PRAGMA user_version = 1;";
static const char version_2[] =
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, "
    "uid INTEGER NOT NULL, pid INTEGER NOT NULL, user TEXT, command TEXT, args TEXT, reason TEXT, "
    "result TEXT, count INTEGER NOT NULL) STRICT;"
    "CREATE INDEX audit_at ON audit (at_ms); PRAGMA user_version = 2;"
    "INSERT INTO audit VALUES (7, 1, 2, 3, 'root', 'user lock', '', '', 'done', 1);";
static const char old_rows[] =
    "INSERT INTO user VALUES ('anna', '$6$a$b', 'scram', 'main', 'b1', 'Anna', 'secret', 'boss', "
    "'plain', 1, 'call us', 9000, 3, 5, 'note', 10, 20, 30);"
    "INSERT INTO user VALUES ('bob', '$6$c$d', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, "
    "0, 0, 0, NULL, 11, 21, 31);"
    "INSERT INTO user VALUES ('carol', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, NULL, "
    "0, 0, 0, NULL, 12, 22, 32);"
    "INSERT INTO runtime VALUES ('backend', 'main/b1', '{}', 5);";

static bool on_runtime(void *arg, const char *kind, const char *name, const char *json,
                       uint64_t at_ms)
{
    assert_string_equal(kind, "backend");
    assert_string_equal(name, "main/b1");
    assert_string_equal(json, "{}");
    assert_int_equal(at_ms, 5);
    (*(int *)arg)++;
    return true;
}

static bool on_audit(void *arg, const struct store_audit *a)
{
    assert_int_equal(a->id, 7);
    assert_string_equal(a->command, "user lock");
    (*(int *)arg)++;
    return true;
}

static void old_rows_are_there(int n_audit)
{
    const struct store_user anna = {.name = "anna",
                                    .is_stored = true,
                                    .password_hash = "$6$a$b",
                                    .scram = "scram",
                                    .pool = "main",
                                    .backend = "b1",
                                    .backend_user = "Anna",
                                    .backend_password = "secret",
                                    .master_user = "boss",
                                    .plain_password = "plain",
                                    .state = USER_LOCKED,
                                    .state_text = "call us",
                                    .state_until_ms = 9000,
                                    .protocols = 3,
                                    .max_sessions = 5,
                                    .note = "note",
                                    .last_login_ms = 30};
    const struct store_user bob = {
        .name = "bob", .is_stored = true, .password_hash = "$6$c$d", .last_login_ms = 31};
    const struct store_user carol = {
        .name = "carol", .is_stored = true, .state = USER_HELD, .last_login_ms = 32};
    const struct store_user *const all[] = {&anna, &bob, &carol};
    int n = 0;
    assert_int_equal(count(), 3);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        CLEANUP(store_user_fini) struct store_user u = {0};
        assert_int_equal(store_user_get(store_case.store, all[i]->name, &u), 0);
        same(&u, all[i]);
        assert_int_equal(u.created_ms, 10 + i);
        assert_int_equal(u.changed_ms, 20 + i);
    }
    assert_int_equal(store_runtime_each(store_case.store, on_runtime, &n), 0);
    assert_int_equal(n, 1);
    n = 0;
    assert_int_equal(store_audit_each(store_case.store, 0, 10, on_audit, &n), 0);
    assert_int_equal(n, n_audit);
}

/* A store of any earlier version gets what came later, and keeps all that it has. */
static void test_migration(void **state)
{
    for (int version = 1; version <= 2; version++) {
        sql(version_1);
        if (version > 1)
            sql(version_2);
        sql(old_rows);
        for (int i = 0; i < 2; i++) {
            store_case_open();
            old_rows_are_there(version > 1);
            store_case_close();
        }
        assert_int_equal(remove(store_case.path), 0);
    }
}

/* A migration that fails leaves the old version behind: here a table is in its way. */
static void test_failed_migration(void **state)
{
    sql(version_1);
    sql(version_2);
    sql(old_rows);
    sql("CREATE TABLE name (x)");
    refused(-ERR_STORE, "cannot be brought to schema");
    sql("DROP TABLE name");
    store_case_open();
    old_rows_are_there(1);
}

static void make_large(void)
{
    store_case_open();
    add_users(2000);
    store_case_close();
}

static void test_damaged_pages(void **state)
{
    char garbage[4096];
    make_large();
    memset(garbage, 0xa5, sizeof(garbage));
    store_case_write(str_n(garbage, sizeof(garbage)), 4096 * 3);
    store_case_write(str_n(garbage, sizeof(garbage)), 4096 * 9);
    refused(-ERR_STORE_CORRUPT, "damaged");
}

static void test_damaged_header(void **state)
{
    make_large();
    store_case_write(STR("XXXX"), 0);
    refused(-ERR_STORE_CORRUPT, "not an SQLite file");
}

static void test_cut_off(void **state)
{
    make_large();
    assert_int_equal(truncate(store_case.path, 4096 * 8), 0);
    refused(-ERR_STORE_CORRUPT, "damaged");
    assert_int_equal(truncate(store_case.path, 50), 0);
    refused(-ERR_STORE_CORRUPT, "not an SQLite file");
}

/* ---- a copy ---- */

/* What is in the log only is in the copy too, which is a store of its own. */
static void test_copy(void **state)
{
    char *copy = NULL, *error = NULL;
    store_case_open();
    add_users(3);
    assert_int_equal(sqlite_copy_make(store_case.path, &copy), 0);
    const struct store_spec spec = {.type = "sqlite", .path = copy};
    struct store *s = NULL;
    uint64_t n = 0;
    assert_int_equal(store_open(&spec, &s, &error), 0);
    assert_int_equal(store_user_count(s, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(store_user_remove(s, "user000001@example.org"), 0);
    store_close(s);
    assert_int_equal(count(), 3);
    sqlite_copy_remove(str_dup_c(copy));
    assert_int_not_equal(access(copy, F_OK), 0);
    free(copy);
}

/* What one that died has left is no part of it. */
static void test_copy_again(void **state)
{
    char *copy = NULL, *again = NULL;
    store_case_open();
    add_users(3);
    assert_int_equal(sqlite_copy_make(store_case.path, &copy), 0);
    store_case_close(); /* takes the log into the file */
    assert_int_equal(sqlite_copy_make(store_case.path, &again), 0);
    assert_string_equal(copy, again);
    AUTO_FREE char *log = str_printf("%s-wal", again);
    assert_int_not_equal(access(log, F_OK), 0);
    free(copy);
    sqlite_copy_remove(again);
}

static void test_copy_of_nothing(void **state)
{
    char *copy = NULL;
    assert_int_equal(sqlite_copy_make(store_case.path, &copy), -ERR_NOT_FOUND);
    store_case_write(STR(""), 0);
    assert_int_equal(sqlite_copy_make(store_case.path, &copy), -ERR_NOT_FOUND);
    assert_null(copy);
    sqlite_copy_remove(NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, store_case_setup_folder, store_case_teardown)
    const struct CMUnitTest tests[] = {
        T(test_create),
        T(test_empty_file),
        T(test_kind),
        T(test_no_folder),
        T(test_no_regular_file),
        T(test_foreign_files),
        T(test_foreign_databases),
        T(test_newer_schema),
        T(test_migration),
        T(test_failed_migration),
        T(test_damaged_pages),
        T(test_damaged_header),
        T(test_cut_off),
        T(test_copy),
        T(test_copy_again),
        T(test_copy_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
