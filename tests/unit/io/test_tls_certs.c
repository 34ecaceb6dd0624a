/* SPDX-License-Identifier: ISC */
/* Certificates of a directory in memory: wanted once, kept while they are used, replaced by good
 * ones only. */
#include "tests/unit/backend/cert.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "io/tls/tls_certs.h"

#define MAX 3

static struct tls_certs *certs;
static char *text; /* chain and key */
static unsigned n_wanted, n_woken;

static void on_wanted(void *arg)
{
    (void)arg;
    n_wanted++;
}

static void on_wake(void *arg)
{
    (void)arg;
    n_woken++;
}

/* n names from "n000.test" on, of a version each. */
static void configure(unsigned n, unsigned version, size_t max)
{
    AUTO_BUF listing = BUF_INIT;
    struct tls_directory *d = NULL;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(buf_printf(&listing, "n%03u.test %016x p\n", i, version), 0);
    assert_int_equal(tls_directory_new(buf_str(&listing), &d), 0);
    tls_certs_configure(certs, d, max);
}

static int make(void **state)
{
    struct cert c;
    char bytes[8192];
    cert_make(&c, "n000.test", NULL, 30);
    FILE *f = fopen(c.path, "r");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    assert_int_equal(fclose(f), 0);
    cert_remove(&c);
    text = str_dup(str_n(bytes, n));
    n_wanted = n_woken = 0;
    assert_int_equal(tls_certs_new(on_wanted, NULL, &certs), 0);
    configure(10, 1, MAX);
    return 0;
}

static int end(void **state)
{
    tls_certs_free(certs);
    free(text);
    return 0;
}

static const char *name_of(unsigned i)
{
    static char name[24];
    snprintf(name, sizeof(name), "n%03u.test", i);
    return name;
}

static int pick_late(unsigned i, uint64_t now_ms, bool is_late)
{
    static int loop;
    struct tls_pair *p = NULL;
    const struct tls_waker w = {on_wake, &loop};
    int err = tls_certs_pick(certs, str_of(name_of(i)), now_ms, is_late, &w, &p);
    assert_int_equal(err == 0, p != NULL);
    tls_pair_unref(p);
    return err;
}

static int pick(unsigned i, uint64_t now_ms)
{
    return pick_late(i, now_ms, false);
}

/* Is that news? */
static bool put(unsigned i, uint64_t version, int err, uint64_t now_ms)
{
    struct tls_pair *p = NULL;
    if (err == 0)
        assert_int_equal(tls_pair_new(str_of(text), str_of(text), false, &p), 0);
    return tls_certs_put(certs, str_of(name_of(i)), version, p, err, now_ms);
}

/* The next wanted one, UINT32_MAX = none. */
static uint32_t next(uint64_t now_ms)
{
    uint32_t number;
    return tls_certs_next(certs, now_ms, &number) ? number : UINT32_MAX;
}

static void load(unsigned i, uint64_t version)
{
    assert_int_equal(pick(i, 1000), -ERR_AGAIN);
    assert_int_equal(next(1000), i);
    put(i, version, 0, 1000);
    assert_int_equal(pick(i, 1000), 0);
}

/* Several that want the same share one load; a name that there is not costs nothing. */
static void test_once(void **state)
{
    assert_int_equal(pick(99, 1000), -ERR_NOT_FOUND);
    assert_int_equal(pick(4, 1000), -ERR_AGAIN);
    assert_int_equal(pick(4, 1000), -ERR_AGAIN);
    assert_int_equal(pick(5, 1000), -ERR_AGAIN);
    assert_int_equal(n_wanted, 1); /* somebody comes for all of them */
    assert_int_equal(next(1000), 4);
    assert_int_equal(next(1000), 5);
    assert_int_equal(next(1000), UINT32_MAX);
    assert_int_equal(pick(4, 2000), -ERR_AGAIN);
    assert_int_equal(next(2000), UINT32_MAX);
    put(4, 1, 0, 2000);
    tls_certs_wake(certs);
    tls_certs_wake(certs);
    assert_int_equal(n_woken, 1);
    assert_int_equal(pick(4, 2000), 0);
    struct tls_certs_figures f = tls_certs_figures(certs);
    assert_true(f.names == 10 && f.loaded == 1 && f.pending == 1 && f.n_loads == 1);
    put(7, 1, 0, 2000); /* nobody wants it any more */
    assert_int_equal(tls_certs_figures(certs).loaded, 1);
}

/* The longest unused goes; what is asked for meanwhile stays. */
static void test_evict(void **state)
{
    for (unsigned i = 0; i < MAX; i++)
        load(i, 1);
    assert_int_equal(pick(0, 1000), 0);
    load(5, 1);
    struct tls_certs_figures f = tls_certs_figures(certs);
    assert_true(f.loaded == MAX && f.n_evictions == 1);
    assert_int_equal(pick(0, 1000), 0);
    assert_int_equal(pick(2, 1000), 0);
    assert_int_equal(pick(1, 1000), -ERR_AGAIN);
    configure(10, 1, 1); /* fewer from now on, also of what is there */
    assert_true(tls_certs_figures(certs).loaded <= 2);
    for (int turn = 0; turn < 100; turn++) /* names that are walked through */
        for (unsigned i = 0; i < 10; i++)
            if (pick(i, 1000) == -ERR_AGAIN)
                for (uint32_t n = next(1000); n != UINT32_MAX; n = next(1000))
                    put(n, 1, 0, 1000);
    assert_true(tls_certs_figures(certs).loaded <= 10);
    for (unsigned i = 0; i < 10; i++)
        (void)pick_late(i, 1000, true);
    f = tls_certs_figures(certs);
    assert_true(f.loaded == 1 && f.pending == 0);
}

/* Of many who want more than there is room for, each gets what was loaded for it; what nobody took
 * in time goes. */
static void test_room(void **state)
{
    configure(10, 1, 1);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(pick(i, 1000), -ERR_AGAIN);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(next(1000), i);
    for (unsigned i = 0; i < 10; i++)
        put(i, 1, 0, 1000);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(pick(i, 1000), 0);
    assert_int_equal(tls_certs_figures(certs).loaded, 1);
    load(3, 1);
    assert_int_equal(pick(9, 1000), 0); /* it was still waited for */
    for (unsigned i = 4; i < 8; i++) {
        assert_int_equal(pick(i, 1000), -ERR_AGAIN);
        assert_int_equal(next(1000), i);
        put(i, 1, 0, 1000);
    }
    assert_true(tls_certs_figures(certs).loaded >= 4);
    assert_int_equal(pick(2, 1000 + TLS_CERTS_FRESH_MS), -ERR_AGAIN);
    assert_int_equal(tls_certs_figures(certs).loaded, 1);
}

/* What cannot be used is not read again before its files change; who waits too long does not. */
static void test_refused(void **state)
{
    assert_int_equal(pick(1, 1000), -ERR_AGAIN);
    assert_int_equal(next(1000), 1);
    assert_int_equal(pick_late(1, 1000, true), -ERR_NOT_FOUND);
    put(1, 1, -ERR_TLS, 1000);
    assert_int_equal(pick(1, 1000000), -ERR_NOT_FOUND);
    assert_int_equal(tls_certs_figures(certs).refused, 1);
    /* A load that went on so long that another one was asked for says the same. */
    assert_false(put(1, 1, -ERR_TLS, 2000));
    assert_int_equal(tls_certs_figures(certs).refused, 1);
    configure(10, 2, MAX);
    assert_int_equal(pick(1, 1000000), -ERR_AGAIN);
    assert_int_equal(next(1000000), 1);
    put(1, 2, 0, 1000000);
    assert_int_equal(pick(1, 1000000), 0);
    assert_int_equal(tls_certs_figures(certs).refused, 0);

    assert_int_equal(pick(2, 1000), -ERR_AGAIN); /* no fault of the files */
    assert_int_equal(next(1000), 2);
    put(2, 2, -ERR_TIMEOUT, 1000);
    assert_int_equal(pick(2, 1000 + TLS_CERTS_RETRY_MS - 1), -ERR_NOT_FOUND);
    assert_int_equal(pick(2, 1000 + TLS_CERTS_RETRY_MS), -ERR_AGAIN);
}

/* The one before is used until a good one is there, and as long as there is none. */
static void test_renewed(void **state)
{
    load(1, 1);
    configure(10, 2, MAX);
    assert_int_equal(pick(1, 1000), -ERR_AGAIN);
    assert_int_equal(pick_late(1, 1000, true), 0);
    assert_int_equal(next(1000), 1);
    put(1, 2, -ERR_TLS, 1000);
    assert_int_equal(pick(1, 1000), 0);
    configure(10, 3, MAX);
    assert_int_equal(pick(1, 1000), -ERR_AGAIN);
    assert_int_equal(next(1000), 1);
    put(1, 3, 0, 1000);
    assert_int_equal(pick(1, 1000), 0);
    configure(1, 3, MAX); /* it went out of the directory: its key goes, too */
    assert_int_equal(pick(1, 1000), -ERR_NOT_FOUND);
    assert_int_equal(tls_certs_figures(certs).loaded, 0);
    tls_certs_configure(certs, NULL, MAX);
    assert_int_equal(pick(0, 1000), -ERR_NOT_FOUND);
}

/* An answer that never comes; a name that went while it was wanted. */
static void test_lost(void **state)
{
    assert_int_equal(pick(1, 1000), -ERR_AGAIN);
    assert_int_equal(next(1000), 1);
    assert_int_equal(pick(1, 1000 + TLS_CERTS_LOST_MS - 1), -ERR_AGAIN);
    assert_int_equal(next(1000), UINT32_MAX);
    assert_int_equal(pick(1, 1000 + TLS_CERTS_LOST_MS), -ERR_AGAIN);
    assert_int_equal(next(7000), 1);
    assert_int_equal(pick(2, 7000), -ERR_AGAIN);
    configure(1, 1, MAX);
    assert_int_equal(next(7000), UINT32_MAX);
    assert_int_equal(tls_certs_figures(certs).pending, 0);
}

/* So many and no more are under way; the others get their turn. */
static void test_crowd(void **state)
{
    configure(999, 1, MAX);
    for (unsigned i = 0; i < 999; i++)
        assert_int_equal(pick(i, 1000), -ERR_AGAIN);
    assert_int_equal(tls_certs_figures(certs).pending, TLS_CERTS_PENDING_MAX);
    assert_int_equal(next(1000), 0);
    put(0, 1, 0, 1000);
    assert_int_equal(pick(998, 1000), -ERR_AGAIN);
    assert_int_equal(pick(997, 1000), -ERR_AGAIN);
    uint32_t n, last = 0;
    while ((n = next(1000)) != UINT32_MAX)
        last = n;
    assert_int_equal(last, 998);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_once, make, end),
        cmocka_unit_test_setup_teardown(test_evict, make, end),
        cmocka_unit_test_setup_teardown(test_refused, make, end),
        cmocka_unit_test_setup_teardown(test_renewed, make, end),
        cmocka_unit_test_setup_teardown(test_lost, make, end),
        cmocka_unit_test_setup_teardown(test_crowd, make, end),
        cmocka_unit_test_setup_teardown(test_room, make, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
