/* SPDX-License-Identifier: ISC */
/* Changes of pools at runtime: each key, the lists, and what they make of a file's pools. */
#include "pools_case.h"

static size_t key(const char *name)
{
    size_t i = 0;
    assert_int_equal(config_pool_key_find(name, &i), 0);
    return i;
}

static void value(struct pool_change *ch, const char *name, const char *text)
{
    assert_int_equal(pool_change_set(ch, key(name), text), 0);
}

/* A list with one more change in it; takes over both. */
static struct pool_changes *with(struct pool_changes *list, struct pool_change *ch)
{
    struct pool_changes *next = NULL;
    assert_int_equal(pool_changes_with(list, ch, &next), 0);
    pool_change_fini(ch);
    pool_changes_unref(list);
    return next;
}

/* Each key takes its own value in words: what is printed can be set, and says the same. */
static void test_keys(void **state)
{
    struct pools_case c;
    struct config *d = NULL;
    struct config_pool *p;
    AUTO_FREE char *error = NULL;
    pools_case_init(&c);
    assert_int_equal(config_derive(&c.config, 1, &d), 0);
    p = &d->pools[0];
    assert_int_equal(config_pool_init(d, p, "made", NULL), 0);
    assert_true(config_pool_keys() > 20);
    for (size_t i = 0; i < config_pool_keys(); i++) {
        AUTO_BUF before = BUF_INIT;
        AUTO_BUF after = BUF_INIT;
        assert_int_equal(config_pool_print(p, i, &before), 0);
        if (!config_pool_key_is_live(i))
            continue;
        assert_int_equal(config_pool_set(d, p, i, before.len ? buf_cstr(&before) : "", &error), 0);
        assert_int_equal(config_pool_print(p, i, &after), 0);
        assert_true(str_eq(buf_str(&before), buf_str(&after)));
    }
    static const struct {
        const char *key, *text;
        uint64_t number;
        bool is_good;
    } rows[] = {
        {"balance", "least", 0, true},
        {"balance", "fair", 0, false},
        {"verify", "false", 0, true},
        {"verify", "no", 0, false},
        {"verify", "", 0, false},
        {"max_tries", "16", 16, true},
        {"max_tries", "0", 0, false},
        {"max_tries", "17", 0, false},
        {"max_tries", "5x", 0, false},
        {"check_interval", "90s", 90000, true},
        {"check_interval", "1ms", 0, false},
        {"check_interval", "90", 0, false},
        {"forward", "id,xclient", 0, true},
        {"forward", "id,,xclient", 0, false},
        {"forward", "off,id", 0, false},
        {"slow_start", "0ms", 0, true},
        {"source_address", "::1", 0, true},
        {"source_address", "", 0, true},
        {"master_user", "a\nb", 0, false},
        {"check_rise", "3", 3, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *why = NULL;
        int err = config_pool_set(d, p, key(rows[i].key), rows[i].text, &why);
        assert_int_equal(err, rows[i].is_good ? 0 : -ERR_CONFIG);
        assert_true(rows[i].is_good || strstr(why, config_pool_key_path(key(rows[i].key))));
        if (rows[i].is_good)
            assert_int_equal(config_pool_number(p, key(rows[i].key)), rows[i].number);
    }
    assert_null(p->source_address);
    for (const char *const *name = (const char *const[]){"name", "ca_file", "master_password_file",
                                                         "check_password_file", NULL};
         *name; name++)
        assert_false(config_pool_key_is_live(key(*name)));
    config_unref(d);
    pools_case_fini(&c);
}

static void test_lists(void **state)
{
    struct pool_change ch;
    assert_int_equal(pool_change_init(&ch, "a"), 0);
    assert_true(pool_change_is_empty(&ch));
    struct pool_changes *list = with(NULL, &ch);
    assert_null(list);
    assert_int_equal(pool_change_init(&ch, "a"), 0);
    value(&ch, "max_tries", "4");
    list = with(list, &ch);
    assert_int_equal(list->n, 1);
    assert_int_equal(pool_change_init(&ch, "b"), 0);
    ch.is_removed = true;
    list = with(list, &ch);
    assert_int_equal(list->n, 2);
    assert_true(pool_changes_find(list, "b")->is_removed);
    assert_true(pool_changes_are_equal(list, list));
    assert_false(pool_changes_are_equal(list, NULL));
    assert_int_equal(pool_change_init(&ch, "a"), 0);
    struct pool_changes *before = pool_changes_ref(list);
    list = with(list, &ch);
    assert_int_equal(list->n, 1);
    assert_null(pool_changes_find(list, "a"));
    assert_string_equal(pool_changes_find(before, "a")->values[key("max_tries")], "4");
    pool_changes_unref(before);
    pool_changes_unref(list);
}

/* What the file says too is no change any more. */
static void test_absorb(void **state)
{
    struct pool_change ch;
    const struct config_pool file = {.name = "a", .max_tries = 4, .check = {.rise = 2}};
    assert_int_equal(pool_change_init(&ch, "a"), 0);
    value(&ch, "max_tries", "4");
    value(&ch, "check_rise", "3");
    ch.is_added = true;
    assert_false(pool_change_absorb(&ch, NULL));
    assert_true(pool_change_absorb(&ch, &file));
    assert_false(ch.is_added);
    assert_null(ch.values[key("max_tries")]);
    assert_string_equal(ch.values[key("check_rise")], "3");
    assert_false(pool_change_absorb(&ch, &file));
    ch.is_removed = true;
    assert_false(pool_change_absorb(&ch, &file));
    assert_true(pool_change_absorb(&ch, NULL));
    assert_false(ch.is_removed);
    pool_change_fini(&ch);
}

static struct pools *build(struct pools_case *c, struct pool_changes *list)
{
    backend_registry_set_changes(c->registry, list);
    return pools_case_build(c, NULL, 0);
}

static void test_apply(void **state)
{
    struct pools_case c;
    struct pool_change ch;
    pools_case_init(&c);
    (void)pools_case_member(pools_case_add(&c, "a", BALANCE_USER), "a1", "127.0.0.1", 100);
    (void)pools_case_member(pools_case_add(&c, "b", BALANCE_LEAST), "b1", "127.0.0.1", 100);
    assert_int_equal(pool_change_init(&ch, "a"), 0);
    ch.is_removed = true;
    struct pool_changes *list = with(NULL, &ch);
    assert_int_equal(pool_change_init(&ch, "n"), 0);
    ch.is_added = true;
    ch.like = str_dup_c("b");
    value(&ch, "max_tries", "7");
    list = with(list, &ch);
    struct pools *p = build(&c, list);
    assert_int_equal(p->n, 2);
    assert_null(pools_find(p, "a"));
    assert_string_equal(p->v[0].config->name, "b"); /* the default pool now */
    assert_string_equal(p->v[1].config->name, "n");
    assert_int_equal(p->v[1].config->balance, BALANCE_LEAST);
    assert_int_equal(p->v[1].config->max_tries, 7);
    assert_int_equal(p->v[1].n_members, 0);
    /* A backend of the added pool is an edit like any. */
    struct pool_edit edit = {.pool = (char *)"n",
                             .name = (char *)"n1",
                             .host = (char *)"127.0.0.2",
                             .weight = -1,
                             .is_added = true};
    struct pools *q = pools_case_build(&c, &edit, 1);
    assert_int_equal(pools_find(q, "n")->n_members, 1);
    pools_unref(q);
    pools_unref(p);
    /* The pool behind it goes: an error where all have to fit, left out where they need not. */
    c.config.n_pools = 1;
    AUTO_FREE char *error = NULL;
    assert_int_equal(pools_build_changed(&c.config, list, NULL, 0, c.registry, &p, &error),
                     -ERR_CONFIG);
    assert_non_null(strstr(error, "made like pool b"));
    AUTO_FREE char *fault = pool_change_fault(pool_changes_find(list, "n"), &c.config);
    assert_non_null(fault);
    assert_null(pool_change_fault(pool_changes_find(list, "a"), &c.config));
    p = build(&c, list);
    assert_int_equal(p->n, 0);
    pools_unref(p);
    pool_changes_unref(list);
    pools_case_fini(&c);
}

/* What was loaded is shared until a key that it depends on changes: tickets stay good. */
static void test_share(void **state)
{
    struct pools_case c;
    struct pool_change ch;
    pools_case_init(&c);
    struct config_pool *a = pools_case_add(&c, "a", BALANCE_USER);
    a->tls = BACK_TLS_STARTTLS;
    a->is_verified = true;
    (void)pools_case_member(a, "a1", "127.0.0.1", 100);
    struct pools *p = build(&c, NULL);
    struct tls_client *before = p->v[0].tls;
    assert_int_equal(pool_change_init(&ch, "a"), 0);
    value(&ch, "max_tries", "5");
    struct pool_changes *list = with(NULL, &ch);
    struct pools *q = build(&c, list);
    assert_ptr_equal(q->v[0].tls, before);
    assert_int_equal(pool_change_init(&ch, "a"), 0);
    value(&ch, "verify", "false");
    list = with(list, &ch);
    struct pools *r = build(&c, list);
    assert_non_null(r->v[0].tls);
    assert_ptr_not_equal(r->v[0].tls, before);
    pools_unref(p);
    pools_unref(q);
    pools_unref(r);
    pool_changes_unref(list);
    pools_case_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),  cmocka_unit_test(test_lists), cmocka_unit_test(test_absorb),
        cmocka_unit_test(test_apply), cmocka_unit_test(test_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
