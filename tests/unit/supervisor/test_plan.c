/* SPDX-License-Identifier: ISC */
/* What a configuration asks of the supervisor: as records and back; broken records are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/record.h"
#include "supervisor_case.h"

static const char text[] =
    "state_dir = \"/tmp/mp-state\";\nrun_dir = \"/tmp/mp-run\";\n"
    "shutdown_timeout = \"7s\";\n"
    "log = ( { target = \"stderr\"; }, { target = \"file\"; path = \"/tmp/mp.log\"; } );\n"
    "listeners = ( { name = \"a\"; address = \"127.0.0.1:1143\"; protocol = \"imap\"; "
    "allow_plaintext = true; backlog = 77; } );\n";

static void make(struct buf *out)
{
    struct config *c = case_config(text);
    assert_int_equal(plan_append(c, out), 0);
    config_unref(c);
}

static void test_both_ways(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct plan p;
    make(&out);
    assert_int_equal(plan_read(buf_str(&out), &p), 0);
    assert_int_equal(p.stop_limit_ms, 7000);
    assert_int_equal(p.n_folders, 2);
    assert_string_equal(p.folders[0].path, "/tmp/mp-state");
    assert_string_equal(p.folders[1].path, "/tmp/mp-run");
    assert_null(p.folders[1].owner); /* sockets are put there by us alone */
    assert_string_equal(p.store, "/tmp/mp-state/mailproxy.db");
    assert_true(p.n_sockets >= 1);
    assert_string_equal(p.sockets[0].address, "127.0.0.1:1143");
    assert_int_equal(p.sockets[0].spec.use, LISTEN_MAIL);
    assert_int_equal(p.sockets[0].spec.backlog, 77);
    assert_ptr_equal(p.sockets[0].spec.address, p.sockets[0].address);
    assert_int_equal(p.n_logs, 1);
    assert_int_equal(p.logs[0].index, 1);
    assert_string_equal(p.logs[0].path, "/tmp/mp.log");
    plan_fini(&p);
    plan_fini(&p); /* again is nothing */
}

/* Each cut and each record without a field: refused, or a plan without it; nothing is lost. */
static void test_cut(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct plan p;
    make(&out);
    for (size_t n = 0; n < out.len; n++)
        if (plan_read(str_head(buf_str(&out), n), &p) == 0)
            plan_fini(&p);
}

static void test_broken(void **state)
{
    enum { LIMITS = BUNDLE_FIRST_OTHER, FOLDER, SOCKET, LOG, STORE = LOG + 6 };
    const uint64_t big = UINT64_MAX, zero = 0, use = LISTEN_CONTROL + 1;
    const struct str b = record_field(&big), z = record_field(&zero), t = STR("x"), e = STR("");
    const struct record rows[] = {
        {FOLDER, 3, {e, e, e}},
        {FOLDER, 1, {t}},
        {LOG, 2, {z, e}},
        {LOG, 2, {b, t}},
        {LOG, 2, {t, t}},
        {LIMITS, 1, {t}},
        {STORE, 1, {e}},
        {SOCKET, 10, {record_field(&use), z, t, z, z, z, z, z, e, e}},
        {SOCKET, 10, {z, z, e, z, z, z, z, z, e, e}},
        {SOCKET, 10, {z, z, t, z, z, z, z, b, e, e}},
        {SOCKET, 10, {z, z, t, b, z, z, z, z, e, e}},
        {SOCKET, 9, {z, z, t, z, z, z, z, z, e}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF out = BUF_INIT;
        struct plan p;
        assert_int_equal(record_append(&out, &rows[i]), 0);
        if (plan_read(buf_str(&out), &p) == 0)
            fail_msg("row %zu was taken", i);
    }
}

/* Who is to start the key process, and with how many channels. */
static void test_keys(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct plan p;
    struct config *c = case_config("workers = 3;\nuser = \"root\";\n");
    make(&out);
    assert_int_equal(plan_append_keys(c, UINT64_MAX, &out), 0);
    assert_int_equal(plan_read(buf_str(&out), &p), 0);
    assert_true(p.keys.service == UINT64_MAX && p.keys.n_channels == 3 + 4);
    assert_string_equal(p.keys.user, "root");
    plan_fini(&p);
    c->workers = 254;
    assert_int_equal(plan_append_keys(c, 1, &out), 0); /* twice */
    assert_int_equal(plan_read(buf_str(&out), &p), -ERR_SYNTAX);
    buf_clear(&out);
    assert_int_equal(plan_append_keys(c, 1, &out), 0);
    assert_int_equal(plan_read(buf_str(&out), &p), 0);
    assert_int_equal(p.keys.n_channels, 64);
    plan_fini(&p);
    config_unref(c);
}

/* Which files are watched, each once and as it was when it was read. */
static void test_files(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct plan p;
    struct files *read;
    struct str content;
    char name[] = "/tmp/mailproxy-plan-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    close(fd);
    struct config_pool pools[] = {{.name = "a", .ca_file = name}, {.name = "b", .ca_file = name}};
    struct config *c = case_config("state_dir = \"/tmp\";\n");
    c->pools = pools;
    c->n_pools = ARRAY_LEN(pools);
    assert_int_equal(files_new(&read), 0);
    assert_int_equal(files_read(read, name, &content), 0);
    assert_int_equal(plan_append_files(c, read, &out), 0);
    assert_int_equal(plan_append_refresh(true, false, &out), 0);
    assert_int_equal(plan_read(buf_str(&out), &p), 0);
    assert_true(p.n_files == 1 && p.is_same && !p.is_refused);
    assert_string_equal(p.files[0].path, name);
    struct file_stamp now;
    file_stamp_of(name, &now);
    assert_true(now.inode && file_stamp_eq(&now, &p.files[0].stamp));
    plan_fini(&p);
    buf_clear(&out);
    c->tls.is_watched = false;
    assert_int_equal(plan_append_files(c, read, &out), 0);
    assert_int_equal(plan_append_refresh(false, true, &out), 0);
    assert_int_equal(plan_read(buf_str(&out), &p), 0);
    assert_true(p.n_files == 0 && !p.is_same && p.is_refused);
    plan_fini(&p);
    c->pools = NULL;
    c->n_pools = 0;
    files_unref(read);
    config_unref(c);
    unlink(name);
}

/* Another version of the program may have written more. */
static void test_unknown_kind(void **state)
{
    AUTO_BUF out = BUF_INIT;
    struct plan p;
    const struct record later = {BUNDLE_FIRST_OTHER + 50, 1, {STR("of a later version")}};
    assert_int_equal(record_append(&out, &later), 0);
    make(&out);
    assert_int_equal(plan_read(buf_str(&out), &p), 0);
    assert_int_equal(p.n_folders, 2);
    plan_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),    cmocka_unit_test(test_cut),
        cmocka_unit_test(test_broken),       cmocka_unit_test(test_keys),
        cmocka_unit_test(test_unknown_kind), cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
