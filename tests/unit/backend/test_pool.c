/* SPDX-License-Identifier: ISC */
/* Building pools: ports, edits of operators, living backends, secrets, TLS; and looking members up.
 */
#include "pools_case.h"

#include <fcntl.h>

#define NO_EDIT .weight = -1

static void test_build(void **state)
{
    struct pools_case c;
    pools_case_init(&c);
    struct config_pool *main_pool = pools_case_add(&c, "main", BALANCE_USER);
    struct config_backend *b1 = pools_case_member(main_pool, "b1", "10.0.0.1", 100);
    (void)pools_case_member(main_pool, "b2", "10.0.0.2", 0);
    b1->ports[PROTO_IMAP] = 1143;
    (void)pools_case_add(&c, "empty", BALANCE_LEAST);
    struct pools *p = pools_case_build(&c, NULL, 0);
    assert_int_equal(p->n, 2);
    assert_ptr_equal(p->config, &c.config);
    assert_int_equal(p->v[0].n_members, 2);
    assert_int_equal(p->v[1].n_members, 0);
    const struct pool_member *m = pools_case_find(p, "b1");
    assert_string_equal(m->host, "10.0.0.1");
    assert_int_equal(m->ports[PROTO_IMAP], 1143);
    assert_int_equal(m->ports[PROTO_POP3], 110);
    assert_int_equal(m->ports[PROTO_SMTP], proto_smtp.default_port);
    assert_int_equal(m->ports[PROTO_SIEVE], 4190);
    assert_int_equal(m->weight, 100);
    assert_int_equal(pools_case_find(p, "b2")->weight, 0);
    assert_true(m->is_in_file);
    assert_false(m->is_runtime);
    assert_null(p->v[0].tls);
    assert_int_equal(p->v[0].master.secret.len, 0);
    assert_ptr_equal(pools_ref(p), p);
    pools_unref(p);
    pools_unref(p);
    pools_unref(NULL);
    pools_case_fini(&c);
}

static void test_tls_ports(void **state)
{
    struct pools_case c;
    pools_case_init(&c);
    struct config_pool *pool = pools_case_add(&c, "main", BALANCE_USER);
    pool->tls = BACK_TLS_IMPLICIT;
    (void)pools_case_member(pool, "b1", "10.0.0.1", 100);
    struct pools *p = pools_case_build(&c, NULL, 0);
    const struct pool_member *m = pools_case_find(p, "b1");
    assert_int_equal(m->ports[PROTO_IMAP], 993);
    assert_int_equal(m->ports[PROTO_POP3], 995);
    assert_non_null(p->v[0].tls);
    pools_unref(p);
    pools_case_fini(&c);
}

/* A backend's own mode comes before the pool's, an operator's before both; the usual port follows,
 * and the credentials are there as soon as one needs them. */
static void test_tls_of_members(void **state)
{
    struct pools_case c;
    pools_case_init(&c);
    struct config_pool *pool = pools_case_add(&c, "main", BALANCE_USER);
    (void)pools_case_member(pool, "a", "h1", 100);
    pools_case_member(pool, "b", "h2", 100)->tls = BACKEND_TLS_IMPLICIT;
    assert_true(config_pool_has_tls(pool));
    struct pools *p = pools_case_build(&c, NULL, 0);
    assert_int_equal(pools_case_find(p, "a")->tls, BACK_TLS_OFF);
    assert_int_equal(pools_case_find(p, "b")->tls, BACK_TLS_IMPLICIT);
    assert_int_equal(pools_case_find(p, "a")->ports[PROTO_IMAP], 143);
    assert_int_equal(pools_case_find(p, "b")->ports[PROTO_IMAP], 993);
    assert_non_null(p->v[0].tls);
    pools_unref(p);
    pool->tls = BACK_TLS_STARTTLS;
    p = pools_case_build(&c, NULL, 0);
    assert_int_equal(pools_case_find(p, "a")->tls, BACK_TLS_STARTTLS);
    assert_int_equal(pools_case_find(p, "b")->tls, BACK_TLS_IMPLICIT);
    pools_unref(p);
    pools_case_fini(&c);
}

static void test_tls_edits(void **state)
{
    struct pools_case c;
    pools_case_init(&c);
    struct config_pool *pool = pools_case_add(&c, "main", BALANCE_USER);
    (void)pools_case_member(pool, "a", "h1", 100);
    struct pools *p = pools_case_build(&c, NULL, 0);
    assert_null(p->v[0].tls);
    assert_false(config_pool_has_tls(pool));
    struct pool_edit edits[] = {
        {.pool = "main", .name = "a", .has_tls = true, .tls = BACKEND_TLS_STARTTLS, NO_EDIT},
        {.pool = "main",
         .name = "c",
         .host = "h3",
         .is_added = true,
         .has_tls = true,
         .tls = BACKEND_TLS_IMPLICIT,
         NO_EDIT}};
    struct pools *edited = pools_case_build(&c, edits, 2);
    assert_int_equal(pools_case_find(edited, "a")->tls, BACK_TLS_STARTTLS);
    assert_true(pools_case_find(edited, "a")->is_runtime);
    assert_int_equal(pools_case_find(edited, "c")->tls, BACK_TLS_IMPLICIT);
    assert_int_equal(pools_case_find(edited, "c")->ports[PROTO_POP3], 995);
    assert_non_null(edited->v[0].tls);
    assert_null(p->v[0].tls);
    pools_unref(p);
    /* once loaded it is shared: what can be resumed is not forgotten */
    p = pools_case_build(&c, edits, 1);
    assert_ptr_equal(p->v[0].tls, edited->v[0].tls);
    pools_unref(edited);
    pools_unref(p);
    pools_case_fini(&c);
}

/* ---- edits ---- */

/* Members as "name host:imap-port weight flags," with f = in the file, r = runtime. */
static void assert_members(const struct pool *p, const char *want)
{
    AUTO_BUF seen = BUF_INIT;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pool_member *m = &p->members[i];
        assert_int_equal(buf_printf(&seen, "%s%s %s:%u %u %s%s", i ? ", " : "", m->backend->name,
                                    m->host, (unsigned)m->ports[PROTO_IMAP], m->weight,
                                    m->is_in_file ? "f" : "", m->is_runtime ? "r" : ""),
                         0);
    }
    assert_int_equal(buf_append_char(&seen, '\0'), 0);
    assert_string_equal(buf_str(&seen).p, want);
}

static void test_edits(void **state)
{
    static const struct {
        const char *want;
        struct pool_edit edits[3];
        size_t n;
    } rows[] = {
        {"a h1:143 100 f, b h2:143 50 f", {{0}}, 0},
        {"a h1:143 7 fr, b h2:143 50 f", {{.pool = "main", .name = "a", .weight = 7}}, 1},
        {"a h1:143 0 fr, b h2:143 50 f", {{.pool = "main", .name = "a", .weight = 0}}, 1},
        {"a h9:143 100 fr, b h2:143 50 f",
         {{.pool = "main", .name = "a", .host = "h9", NO_EDIT}},
         1},
        {"a h1:1143 100 fr, b h2:143 50 f",
         {{.pool = "main", .name = "a", .ports = {[PROTO_IMAP] = 1143}, NO_EDIT}},
         1},
        {"b h2:143 50 f", {{.pool = "main", .name = "a", .is_removed = true, NO_EDIT}}, 1},
        {"a h1:143 100 f, b h2:143 50 f, c h3:143 100 r",
         {{.pool = "main", .name = "c", .host = "h3", .is_added = true, NO_EDIT}},
         1},
        {"a h1:143 100 f, b h2:143 50 f, c h3:99 5 r",
         {{.pool = "main",
           .name = "c",
           .host = "h3",
           .ports = {[PROTO_IMAP] = 99},
           .is_added = true,
           .weight = 5}},
         1},
        /* added by hand first, in the file later: one member */
        {"a h8:143 100 fr, b h2:143 50 f",
         {{.pool = "main", .name = "a", .host = "h8", .is_added = true, NO_EDIT}},
         1},
        /* added and removed again */
        {"a h1:143 100 f, b h2:143 50 f",
         {{.pool = "main",
           .name = "c",
           .host = "h3",
           .is_added = true,
           .is_removed = true,
           NO_EDIT}},
         1},
        /* of what is no more */
        {"a h1:143 100 f, b h2:143 50 f",
         {{.pool = "main", .name = "z", .weight = 3},
          {.pool = "gone", .name = "a", .weight = 3},
          {.pool = "gone", .name = "c", .host = "h3", .is_added = true, NO_EDIT}},
         3},
        /* several at once; an operator's word alone is no other address or weight */
        {"b h2:143 1 fr, c h3:143 100 r",
         {{.pool = "main", .name = "a", .is_removed = true, NO_EDIT},
          {.pool = "main", .name = "b", .weight = 1},
          {.pool = "main", .name = "c", .host = "h3", .is_added = true, NO_EDIT}},
         3},
        {"a h1:143 100 f, b h2:143 50 f",
         {{.pool = "main", .name = "a", .admin = "drain", NO_EDIT}},
         1},
        /* the last one counts */
        {"a h1:143 2 fr, b h2:143 50 f, c h4:143 100 r",
         {{.pool = "main", .name = "c", .host = "h3", .is_added = true, NO_EDIT},
          {.pool = "main", .name = "a", .weight = 2},
          {.pool = "main", .name = "c", .host = "h4", .is_added = true, NO_EDIT}},
         3},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pools_case c;
        pools_case_init(&c);
        struct config_pool *pool = pools_case_add(&c, "main", BALANCE_USER);
        (void)pools_case_member(pool, "a", "h1", 100);
        (void)pools_case_member(pool, "b", "h2", 50);
        struct pools *p = pools_case_build(&c, rows[i].edits, rows[i].n);
        assert_members(&p->v[0], rows[i].want);
        pools_unref(p);
        pools_case_fini(&c);
    }
}

/* After a restart the operator's word comes back; later it is the object that knows. */
static void test_admin_edit(void **state)
{
    struct pools_case c;
    pools_case_init(&c);
    struct config_pool *pool = pools_case_add(&c, "main", BALANCE_USER);
    (void)pools_case_member(pool, "a", "h1", 100);
    (void)pools_case_member(pool, "b", "h2", 100);
    struct pool_edit edits[] = {{.pool = "main", .name = "a", .admin = "drain", NO_EDIT},
                                {.pool = "main", .name = "b", .admin = "nonsense", NO_EDIT}};
    struct pools *p = pools_case_build(&c, edits, 2);
    assert_int_equal(pools_case_backend(p, "a")->admin, BACKEND_DRAIN);
    assert_true(pools_case_backend(p, "a")->admin_since_ms > 0);
    assert_int_equal(pools_case_backend(p, "b")->admin, BACKEND_READY);
    backend_set_admin(pools_case_backend(p, "a"), BACKEND_HOLD, 1, NULL);
    struct pools *next = pools_case_build(&c, edits, 2);
    assert_int_equal(pools_case_backend(next, "a")->admin, BACKEND_HOLD);
    pools_unref(p);
    pools_unref(next);
    pools_case_fini(&c);
}

/* A reload keeps what is known of names that stay, and forgets what is gone. */
static void test_reload(void **state)
{
    struct pools_case c;
    pools_case_init(&c);
    struct config_pool *pool = pools_case_add(&c, "main", BALANCE_USER);
    (void)pools_case_member(pool, "a", "h1", 100);
    (void)pools_case_member(pool, "b", "h2", 100);
    struct pools *old = pools_case_build(&c, NULL, 0);
    struct backend *a = pools_case_backend(old, "a");
    atomic_store(&pools_case_backend(old, "a")->logins, 7);
    atomic_store(&pools_case_backend(old, "b")->logins, 8);
    struct config other = c.config;
    struct config_pool other_pool = *pool;
    other.refs = 1;
    other.pools = &other_pool;
    other_pool.n_backends = 1;
    struct pools *p = NULL;
    char *error = NULL;
    assert_int_equal(pools_build(&other, NULL, 0, c.registry, &p, &error), 0);
    assert_ptr_equal(pools_case_backend(p, "a"), a);
    assert_null(pools_member(p, NULL, "b", NULL));
    pools_unref(old); /* nobody holds b any more */
    pools_unref(p);
    p = pools_case_build(&c, NULL, 0);
    assert_int_equal(pools_case_backend(p, "a")->logins, 7);
    assert_int_equal(pools_case_backend(p, "b")->logins, 0);
    pools_unref(p);
    pools_case_fini(&c);
    assert_int_equal(other.refs, 1);
}

/* ---- files ---- */

static const char *write_file(char path[64], const char *text)
{
    (void)str_copy(path, 64, STR("/tmp/mailproxy-pool-XXXXXX"));
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void test_secrets(void **state)
{
    static const struct {
        const char *text;
        const char *secret; /* NULL = refused */
    } rows[] = {
        {"secret\n", "secret"},
        {"secret", "secret"},
        {"se cret \r\nmore\n", "se cret "},
        {"secret\n# comment", "secret"},
        {"", NULL},
        {"\n", NULL},
        {"\r\n", NULL},
        {"a\rb\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char path[64] = "";
        char *error = NULL;
        struct pools *p = NULL;
        struct pools_case c;
        pools_case_init(&c);
        struct config_pool *pool = pools_case_add(&c, "main", BALANCE_USER);
        pool->master_user = "master";
        pool->master_password_file = write_file(path, rows[i].text);
        pool->check.user = "probe";
        pool->check.password_file = path;
        int err = pools_build(&c.config, NULL, 0, c.registry, &p, &error);
        (void)unlink(path);
        if (rows[i].secret) {
            assert_int_equal(err, 0);
            assert_true(str_eq(buf_str(&p->v[0].master.secret), str_of(rows[i].secret)));
            assert_true(str_eq(buf_str(&p->v[0].master.user), STR("master")));
            assert_true(str_eq(buf_str(&p->v[0].check.user), STR("probe")));
            assert_true(str_eq(buf_str(&p->v[0].check.secret), str_of(rows[i].secret)));
            assert_int_equal(p->v[0].check.mech, SASL_PLAIN);
        } else {
            assert_int_equal(err, -ERR_SYNTAX);
            assert_non_null(strstr(error, path));
            assert_non_null(strstr(error, "pool main"));
            assert_null(p);
        }
        free(error);
        pools_unref(p);
        pools_case_fini(&c);
    }
}

static void test_missing_files(void **state)
{
    char *error = NULL;
    struct pools *p = NULL;
    struct pools_case c;
    pools_case_init(&c);
    (void)pools_case_member(pools_case_add(&c, "good", BALANCE_USER), "a", "h1", 100);
    struct config_pool *pool = pools_case_add(&c, "bad", BALANCE_USER);
    pool->master_user = "master";
    pool->master_password_file = "/nonexistent/secret";
    assert_true(pools_build(&c.config, NULL, 0, c.registry, &p, &error) < 0);
    assert_non_null(strstr(error, "pool bad"));
    assert_non_null(strstr(error, "/nonexistent/secret"));
    free(error);
    error = NULL;
    pool->master_user = NULL;
    pool->tls = BACK_TLS_STARTTLS;
    pool->is_verified = true;
    pool->ca_file = "/nonexistent/ca.pem";
    assert_true(pools_build(&c.config, NULL, 0, c.registry, &p, &error) < 0);
    assert_non_null(strstr(error, "/nonexistent/ca.pem"));
    free(error);
    assert_null(p);
    pools_case_fini(&c);
}

/* Files are read once for a config: an edit neither fails nor forgets because of them. */
static void test_shared_files(void **state)
{
    char path[64] = "";
    struct pools_case c;
    pools_case_init(&c);
    struct config_pool *pool = pools_case_add(&c, "main", BALANCE_USER);
    (void)pools_case_member(pool, "a", "h1", 100);
    pool->tls = BACK_TLS_STARTTLS;
    pool->master_user = "master";
    pool->master_password_file = write_file(path, "secret\n");
    struct pools *old = pools_case_build(&c, NULL, 0);
    (void)unlink(path);
    struct pool_edit edit = {.pool = "main", .name = "a", .weight = 3};
    struct pools *p = pools_case_build(&c, &edit, 1);
    assert_ptr_equal(p->v[0].tls, old->v[0].tls);
    assert_true(str_eq(buf_str(&p->v[0].master.secret), STR("secret")));
    assert_int_equal(pools_case_find(p, "a")->weight, 3);
    struct config other = c.config;
    struct pools *none = NULL;
    char *error = NULL;
    other.refs = 1;
    assert_true(pools_build(&other, NULL, 0, c.registry, &none, &error) < 0);
    free(error);
    pools_unref(old);
    pools_unref(p);
    pools_case_fini(&c);
    assert_int_equal(other.refs, 1);
}

/* ---- look-up ---- */

static void test_find(void **state)
{
    const struct pool *in = NULL;
    struct pools_case c;
    pools_case_init(&c);
    struct config_pool *one = pools_case_add(&c, "one", BALANCE_USER);
    struct config_pool *two = pools_case_add(&c, "two", BALANCE_USER);
    (void)pools_case_member(one, "a", "10.0.0.1", 100);
    (void)pools_case_member(one, "b", "fd00::1", 100);
    (void)pools_case_member(two, "a", "Mail.Test", 100);
    pools_case_member(two, "c", "10.0.0.1", 100)->ports[PROTO_IMAP] = 1143;
    struct pools *p = pools_case_build(&c, NULL, 0);
    assert_ptr_equal(pools_find(p, "two"), &p->v[1]);
    assert_null(pools_find(p, "three"));
    assert_ptr_equal(pools_member(p, NULL, "a", &in), &p->v[0].members[0]);
    assert_ptr_equal(in, &p->v[0]);
    assert_ptr_equal(pools_member(p, "two", "a", &in), &p->v[1].members[0]);
    assert_ptr_equal(in, &p->v[1]);
    assert_null(pools_member(p, "one", "c", &in));
    assert_null(pools_member(p, "three", "a", NULL));
    static const struct {
        const char *host;
        uint16_t port;
        enum proto_id proto;
        size_t pool, member; /* 9 = none */
    } rows[] = {
        {"10.0.0.1", 143, PROTO_IMAP, 0, 0},        {"10.0.0.1", 1143, PROTO_IMAP, 1, 1},
        {"10.0.0.1", 110, PROTO_POP3, 0, 0},        {"10.0.0.1", 143, PROTO_POP3, 9, 0},
        {"10.0.0.2", 143, PROTO_IMAP, 9, 0},        {"FD00:0:0::1", 143, PROTO_IMAP, 0, 1},
        {"mail.test", 143, PROTO_IMAP, 1, 0},       {"mail.test.", 143, PROTO_IMAP, 9, 0},
        {"::ffff:10.0.0.1", 143, PROTO_IMAP, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct pool_member *want =
            rows[i].pool == 9 ? NULL : &p->v[rows[i].pool].members[rows[i].member];
        const struct pool_member *m =
            pools_member_at(p, &p->v[0], rows[i].host, rows[i].port, rows[i].proto, &in);
        assert_ptr_equal(m, want);
        if (want)
            assert_ptr_equal(in, &p->v[rows[i].pool]);
    }
    pools_unref(p);
    pools_case_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),          cmocka_unit_test(test_tls_ports),
        cmocka_unit_test(test_tls_of_members), cmocka_unit_test(test_tls_edits),
        cmocka_unit_test(test_edits),          cmocka_unit_test(test_admin_edit),
        cmocka_unit_test(test_reload),         cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_missing_files),  cmocka_unit_test(test_shared_files),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
