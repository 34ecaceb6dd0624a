/* SPDX-License-Identifier: ISC */
/* User files: every format there and back, and the words about what is wrong. */
#include "user_case.h"

#include "base/buf.h"
#include "proto/proto.h"
#include "store/user_file.h"

static const struct store_user full = {
    .name = "anna@example.org",
    .is_stored = true,
    .password_hash = "$6$salt$hash",
    .scram = "SCRAM-SHA-256$4096:c2FsdA==$a:b",
    .plain_password = "pa\"ss,\\word ",
    .pool = "main",
    .backend = "b1",
    .backend_user = "anna",
    .backend_password = "back,end",
    .master_user = "boss",
    .state = USER_LOCKED,
    .state_text = "Call us,\n\"please\"",
    .state_until_ms = 1900000000123,
    .protocols = 1u << PROTO_IMAP | 1u << PROTO_SIEVE,
    .max_sessions = 7,
    .note = "\xc3\xa4 note",
};

static void users_free(struct store_user *users, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_user_fini(&users[i]);
    free(users);
}

static void check_round_trip(enum user_file_format f, const struct store_user *users, size_t n)
{
    AUTO_BUF text = BUF_INIT, errors = BUF_INIT;
    struct store_user *got = NULL;
    size_t n_got = 0;
    assert_int_equal(user_file_begin(f, &text), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(user_file_user(f, &users[i], i == 0, &text), 0);
    assert_int_equal(user_file_end(f, &text), 0);
    int err = user_file_parse(f, buf_str(&text), &got, &n_got, &errors);
    if (err < 0)
        fail_msg("%s: %s", buf_cstr(&text), buf_cstr(&errors));
    assert_int_equal(n_got, n);
    for (size_t i = 0; i < n; i++)
        same(&got[i], &users[i]);
    users_free(got, n_got);
}

static void test_round_trips(void **state)
{
    const struct store_user users[] = {full,
                                       {.name = "bob", .is_stored = true},
                                       {.name = "carol", .is_stored = true, .note = "x"},
                                       {.name = "eve", .state = USER_LOCKED, .pool = "main"}};
    check_round_trip(USER_FILE_CSV, users, ARRAY_LEN(users));
    check_round_trip(USER_FILE_LIBCONFIG, users, ARRAY_LEN(users));
    check_round_trip(USER_FILE_LIBCONFIG, users, 1);
    const struct store_user plain[] = {{.name = "anna",
                                        .is_stored = true,
                                        .password_hash = "{PLAIN}x",
                                        .backend = "b1",
                                        .backend_user = "a",
                                        .backend_password = "p",
                                        .master_user = "m",
                                        .state = USER_LOCKED,
                                        .state_text = "No."},
                                       {.name = "bob", .is_stored = true}};
    check_round_trip(USER_FILE_PASSWD, plain, ARRAY_LEN(plain));
}

/* A user that would be another one, or nobody, when the file is read again. */
static void test_passwd_has_no_room(void **state)
{
    static const struct store_user users[] = {
        {.name = "a:b", .is_stored = true},
        {.name = "#carol", .is_stored = true},
        {.name = "a", .is_stored = true, .password_hash = "{X}a:b"}};
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        AUTO_BUF text = BUF_INIT;
        assert_int_equal(user_file_user(USER_FILE_PASSWD, &users[i], true, &text),
                         -ERR_UNSUPPORTED);
        assert_int_equal(text.len, 0);
    }
}

/* As spreadsheets write it. */
static void test_byte_order_mark(void **state)
{
    AUTO_BUF errors = BUF_INIT;
    struct store_user *got = NULL;
    size_t n = 0;
    (void)state;
    const struct str text = STR("\xef\xbb\xbfname,note\r\nanna,x\r\n");
    assert_int_equal(user_file_parse(USER_FILE_CSV, text, &got, &n, &errors), 0);
    assert_int_equal(n, 1);
    assert_string_equal(got[0].name, "anna");
    users_free(got, n);
}

static void test_passwd(void **state)
{
    AUTO_BUF errors = BUF_INIT;
    struct store_user *got = NULL;
    size_t n = 0;
    const struct str text = STR("# users\n"
                                "Anna@Example.org:{SHA512-CRYPT}$6$a$b:1000:1000:A:/home/a:/bin/sh:"
                                "userdb_mail=x host=b2 nologin reason=Moved\r\n"
                                "\n"
                                "bob:$y$x\n");
    assert_int_equal(user_file_parse(USER_FILE_PASSWD, text, &got, &n, &errors), 0);
    assert_int_equal(n, 2);
    assert_string_equal(got[0].name, "anna@example.org");
    assert_string_equal(got[0].password_hash, "{SHA512-CRYPT}$6$a$b");
    assert_string_equal(got[0].backend, "b2");
    assert_int_equal(got[0].state, USER_LOCKED);
    assert_string_equal(got[0].state_text, "Moved");
    assert_string_equal(got[1].password_hash, "$y$x");
    users_free(got, n);
}

static const struct bad {
    enum user_file_format format;
    const char *text, *errors;
} bads[] = {
    {USER_FILE_CSV, "",
     "line 1: a column has no name\nline 1: the first line names the columns: name, source, "},
    {USER_FILE_CSV, "name,colour\na,b\n",
     "line 1: there is no column colour\nline 1: the first line names the columns: name, source, "
     "password_hash, "},
    {USER_FILE_CSV, "note\nx\n", "line 1: the first line names no column name\n"},
    {USER_FILE_CSV, "name,note\na,b,c\n", "line 2: there are more values than columns\n"},
    {USER_FILE_CSV, "name,note\na,\"b\n", "line 2: a quote is out of place\n"},
    {USER_FILE_CSV, "name,note\na,b\"c\nd,\n", "line 2: a quote is out of place\n"},
    {USER_FILE_CSV, "name,note\n\n\"a\",\"x\ny\"\na,\n,z\n", "line 5: user a is there twice\n"},
    {USER_FILE_CSV, "name\n\" a\"\n", "line 2: this is not a user name\n"},
    {USER_FILE_CSV, "name,max_sessions,state,protocols\na,-1,gone,uucp\n",
     "line 2: max_sessions must be a number\nline 2: state is one of active, locked, held\n"
     "line 2: protocols has an unknown protocol\n"},
    {USER_FILE_CSV, "name,backend_password\na,\"x\ny\"\n",
     "line 2: backend_password has bytes that are not allowed\n"},
    {USER_FILE_PASSWD, "a:x\ry\n", "line 1: password_hash has bytes that are not allowed\n"},
    {USER_FILE_CSV, "name,note\na,\xff\n", "line 2: note has bytes that are not allowed\n"},
    {USER_FILE_PASSWD, "a:x\na:y\n", "line 2: user a is there twice\n"},
    {USER_FILE_PASSWD, ":x\n", "line 1: a user has no name\n"},
    {USER_FILE_LIBCONFIG, "users = (\n{ name = 3.5; } );", "line 2: name has the wrong type\n"},
    {USER_FILE_LIBCONFIG, "users = (\n{ nam = \"a\"; } );", "line 2: there is no key nam\n"},
    {USER_FILE_LIBCONFIG, "users = ( { } );", "line 1: a user has no name\n"},
    {USER_FILE_LIBCONFIG, "users = ( \"a\" );", "line 1: a user must be a group"},
    {USER_FILE_LIBCONFIG, "users = 1;\nx = 2;",
     "line 1: users must be a list\nline 2: there is no key x\n"},
    {USER_FILE_LIBCONFIG, "users = (\n\n", "line 3: syntax error\n"},
    {USER_FILE_LIBCONFIG, "@include \"/etc/passwd\"\n", "line 1: brackets nest too deep"},
    {USER_FILE_LIBCONFIG, "x = ((((((((((((((((((((((((", "line 1: brackets nest too deep"},
};

static void test_errors(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
        AUTO_BUF errors = BUF_INIT;
        struct store_user *got = NULL;
        size_t n = 0;
        int err = user_file_parse(bads[i].format, str_of(bads[i].text), &got, &n, &errors);
        if (err != -ERR_SYNTAX)
            fail_msg("%s: %d", bads[i].text, err);
        if (!str_is_prefix(buf_str(&errors), str_of(bads[i].errors)))
            fail_msg("%s:\n%s", bads[i].text, buf_cstr(&errors));
    }
}

static void test_many_errors_are_bounded(void **state)
{
    AUTO_BUF text = BUF_INIT, errors = BUF_INIT;
    struct store_user *got = NULL;
    size_t n = 0;
    assert_int_equal(buf_append_c(&text, "name\n"), 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_append_c(&text, "\" \"\n"), 0);
    assert_int_equal(user_file_parse(USER_FILE_CSV, buf_str(&text), &got, &n, &errors),
                     -ERR_SYNTAX);
    assert_true(errors.len < 8192);
    assert_non_null(strstr(buf_cstr(&errors), "and 4900 more\n"));
}

static void test_names(void **state)
{
    static const struct {
        const char *given, *want;
    } rows[] = {
        {"Anna@Example.ORG", "anna@example.org"},
        {"\xc3\x84nna", "\xc3\x84nna"},
        {"a b", "a b"},
        {"", NULL},
        {" a", NULL},
        {"a\n", NULL},
        {"a\x01", NULL},
        {"a\x7f", NULL},
        {"\xff", NULL},
    };
    char dst[256], longest[300];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int err = user_name_normalise(str_of(rows[i].given), dst);
        assert_int_equal(err, rows[i].want ? 0 : -ERR_SYNTAX);
        if (rows[i].want)
            assert_string_equal(dst, rows[i].want);
    }
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(user_name_normalise(str_n(longest, 255), dst), 0);
    assert_int_equal(user_name_normalise(str_n(longest, 256), dst), -ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_passwd),      cmocka_unit_test(test_passwd_has_no_room),
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_many_errors_are_bounded),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
