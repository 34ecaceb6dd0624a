/* SPDX-License-Identifier: ISC */
/* Runtime edits: as values, in the store and back, and rows that cannot be read. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "runtime/backend_ports.h"
#include "runtime/runtime.h"
#include "runtime/state.h"

/* ---- values ---- */

static void test_round_trip(void **state)
{
    static const char *const rows[] = {
        "{}",
        "{\"host\":\"10.0.0.1\"}",
        "{\"ports\":{\"imap\":1143,\"sieve\":4190}}",
        "{\"weight\":0}",
        "{\"max_sessions\":0}",
        "{\"max_sessions\":500}",
        "{\"host\":\"h\",\"weight\":7,\"added\":true}",
        "{\"removed\":true}",
        "{\"admin\":\"drain\",\"since\":1700000000000,\"reason\":\"kernel\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct runtime_edit e, copy;
        AUTO_FREE char *error = NULL;
        assert_int_equal(runtime_edit_parse(rows[i], &e, &error), 0);
        assert_int_equal(runtime_edit_is_empty(&e), i == 0);
        json_t *v = runtime_edit_json(&e);
        AUTO_FREE char *text = json_dumps(v, JSON_COMPACT);
        assert_string_equal(text, rows[i]);
        assert_int_equal(runtime_edit_copy(&copy, &e), 0);
        assert_true(runtime_edit_is_equal(&e, &copy));
        json_decref(v);
        runtime_edit_fini(&e);
        runtime_edit_fini(&copy);
    }
}

static void test_bad_rows(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "7",
        "{\"host\":7}",
        "{\"host\":\"\"}",
        "{\"ports\":{\"imap\":0}}",
        "{\"ports\":{\"gopher\":70}}",
        "{\"ports\":{\"imap\":65536}}",
        "{\"ports\":143}",
        "{\"weight\":-1}",
        "{\"max_sessions\":-1}",
        "{\"max_sessions\":10000001}",
        "{\"max_sessions\":\"7\"}",
        "{\"weight\":1001}",
        "{\"weight\":\"7\"}",
        "{\"admin\":\"asleep\"}",
        "{\"admin\":\"drain\",\"since\":-1}",
        "{\"colour\":\"red\"}",
        "{\"weight\":1,\"weight\":2}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct runtime_edit e = {.since_ms = 42};
        AUTO_FREE char *error = NULL;
        assert_true(runtime_edit_parse(rows[i], &e, &error) < 0);
        assert_non_null(error);
        assert_int_equal(e.since_ms, 42);
    }
}

static void test_differences(void **state)
{
    static const char *const rows[] = {
        "{}",
        "{\"host\":\"a\"}",
        "{\"host\":\"b\"}",
        "{\"weight\":0}",
        "{\"weight\":1}",
        "{\"ports\":{\"imap\":1}}",
        "{\"ports\":{\"pop3\":1}}",
        "{\"added\":true}",
        "{\"removed\":true}",
        "{\"admin\":\"drain\"}",
        "{\"admin\":\"hold\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
            struct runtime_edit a, b;
            char *error = NULL;
            assert_int_equal(runtime_edit_parse(rows[i], &a, &error), 0);
            assert_int_equal(runtime_edit_parse(rows[k], &b, &error), 0);
            assert_int_equal(runtime_edit_is_equal(&a, &b), i == k);
            runtime_edit_fini(&a);
            runtime_edit_fini(&b);
        }
}

static void test_describe(void **state)
{
    struct runtime_edit e;
    AUTO_BUF text = BUF_INIT;
    char *error = NULL;
    assert_int_equal(runtime_edit_parse("{\"host\":\"a\",\"ports\":{\"imap\":1},\"weight\":3,"
                                        "\"admin\":\"hold\"}",
                                        &e, &error),
                     0);
    assert_int_equal(runtime_edit_describe(&e, NULL, &text), 0);
    assert_string_equal(buf_cstr(&text), "host, ports, weight, hold");
    struct runtime_edit stored;
    assert_int_equal(runtime_edit_parse("{\"host\":\"a\",\"weight\":4}", &stored, &error), 0);
    buf_clear(&text);
    assert_int_equal(runtime_edit_describe(&e, &stored, &text), 0);
    assert_string_equal(buf_cstr(&text), "host, ports (until restart), weight (until restart), "
                                         "hold (until restart)");
    runtime_edit_fini(&stored);
    runtime_edit_fini(&e);
}

/* What the file says too goes, all else stays. */
static void test_settle(void **state)
{
    static const struct config_backend file = {
        .host = "h", .weight = 30, .ports = {[PROTO_IMAP] = 1143}, .tls = BACKEND_TLS_STARTTLS};
    static const struct {
        const char *edit;
        bool is_in_file;
        const char *left; /* NULL = the same */
    } rows[] = {
        {"{}", true, NULL},
        {"{\"host\":\"h\"}", true, "{}"},
        {"{\"host\":\"h2\",\"weight\":30}", true, "{\"host\":\"h2\"}"},
        {"{\"ports\":{\"imap\":1143,\"pop3\":1110}}", true, "{\"ports\":{\"pop3\":1110}}"},
        {"{\"ports\":{\"imap\":143}}", true, NULL},
        {"{\"tls\":\"starttls\"}", true, "{}"},
        {"{\"tls\":\"implicit\"}", true, NULL},
        {"{\"weight\":0}", true, NULL},
        {"{\"host\":\"h\",\"weight\":30,\"added\":true}", true, "{}"},
        {"{\"host\":\"x\",\"added\":true}", true, "{\"host\":\"x\"}"},
        {"{\"host\":\"h\",\"weight\":30,\"added\":true}", false, NULL},
        {"{\"removed\":true}", true, NULL},
        {"{\"removed\":true}", false, "{}"},
        {"{\"weight\":30,\"admin\":\"drain\",\"since\":5}", true,
         "{\"admin\":\"drain\",\"since\":5}"},
        {"{\"admin\":\"drain\",\"since\":5}", false, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct runtime_edit e;
        char *error = NULL;
        assert_int_equal(runtime_edit_parse(rows[i].edit, &e, &error), 0);
        bool is_dropped = runtime_edit_absorb(&e, rows[i].is_in_file ? &file : NULL);
        json_t *v = runtime_edit_json(&e);
        AUTO_FREE char *text = json_dumps(v, JSON_COMPACT);
        assert_string_equal(text, rows[i].left ? rows[i].left : rows[i].edit);
        assert_int_equal(is_dropped, rows[i].left != NULL);
        json_decref(v);
        runtime_edit_fini(&e);
    }
}

/* The file says what an edit until the restart says: an older one does not come back. */
static void test_follow(void **state)
{
    static const struct config_backend file = {
        .host = "h", .weight = 70, .ports = {[PROTO_IMAP] = 1143}};
    struct runtime_edit before, now, stored;
    char *error = NULL;
    assert_int_equal(runtime_edit_parse("{\"host\":\"h\",\"weight\":70,\"ports\":{\"imap\":1143,"
                                        "\"pop3\":1110}}",
                                        &before, &error),
                     0);
    assert_int_equal(runtime_edit_copy(&now, &before), 0);
    assert_int_equal(runtime_edit_parse("{\"host\":\"old\",\"weight\":50,\"tls\":\"off\","
                                        "\"ports\":{\"imap\":1,\"pop3\":2}}",
                                        &stored, &error),
                     0);
    assert_true(runtime_edit_absorb(&now, &file));
    runtime_edit_follow(&stored, &before, &now);
    json_t *v = runtime_edit_json(&stored);
    AUTO_FREE char *text = json_dumps(v, JSON_COMPACT);
    assert_string_equal(text, "{\"ports\":{\"pop3\":2},\"tls\":\"off\"}");
    json_decref(v);
    runtime_edit_fini(&before);
    runtime_edit_fini(&now);
    runtime_edit_fini(&stored);
}

static void test_ports(void **state)
{
    static const struct {
        const char *text, *printed; /* NULL = refused */
    } rows[] = {
        {"", ""},
        {"imap=143", "imap=143"},
        {" pop3 = 110 , imap=1143", "imap=1143,pop3=110"},
        {"imap=1,imap=2", "imap=2"},
        {"imap", NULL},
        {"imap=", NULL},
        {"imap=0", NULL},
        {"imap=65536", NULL},
        {"imap=-1", NULL},
        {"143", NULL},
        {"gopher=70", NULL},
        {"imap=143;pop3=110", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint16_t ports[PROTO_COUNT];
        AUTO_FREE char *error = NULL;
        AUTO_BUF text = BUF_INIT;
        int err = backend_ports_parse(rows[i].text, ports, &error);
        assert_int_equal(err < 0, rows[i].printed == NULL);
        assert_int_equal(error != NULL, err < 0);
        if (err < 0)
            continue;
        assert_int_equal(backend_ports_print(ports, &text), 0);
        assert_string_equal(buf_cstr(&text), rows[i].printed);
    }
}

/* ---- the store ---- */

struct rig {
    char folder[64], path[96];
    struct engine_api host;
    struct control control;
};

static int rig_open(struct rig *g)
{
    const struct store_spec spec = {.type = "sqlite", .path = g->path};
    AUTO_FREE char *error = NULL;
    assert_int_equal(store_open(&spec, &g->host.store, &error), 0);
    assert_int_equal(backend_registry_new(&g->host.registry), 0);
    g->control.host = &g->host;
    assert_int_equal(runtime_new(&g->control, &g->control.runtime, &error), 0);
    return 0;
}

static void rig_close(struct rig *g)
{
    runtime_free(g->control.runtime);
    backend_registry_free(g->host.registry);
    store_close(g->host.store);
}

static int setup(void **state)
{
    struct rig *g = calloc(1, sizeof(*g));
    (void)snprintf(g->folder, sizeof(g->folder), "/tmp/mailproxy-runtime-XXXXXX");
    assert_non_null(mkdtemp(g->folder));
    (void)snprintf(g->path, sizeof(g->path), "%s/store.db", g->folder);
    *state = g;
    return rig_open(g);
}

static int teardown(void **state)
{
    struct rig *g = *state;
    rig_close(g);
    AUTO_FREE char *command = str_printf("rm -rf %s", g->folder);
    int rc = system(command);
    free(g);
    return rc;
}

static void rig_restart(struct rig *g)
{
    rig_close(g);
    rig_open(g);
}

static void change(struct rig *g, const char *pool, const char *name, const char *now,
                   const char *stored)
{
    struct runtime_stage s;
    struct runtime_edit *edits[2];
    const char *texts[2] = {now, stored};
    AUTO_FREE char *error = NULL;
    assert_int_equal(runtime_stage_begin(g->control.runtime, pool, name, &s), 0);
    edits[0] = &s.entry->now;
    edits[1] = &s.entry->stored;
    for (size_t i = 0; i < 2; i++) {
        runtime_edit_fini(edits[i]);
        assert_int_equal(runtime_edit_parse(texts[i], edits[i], &error), 0);
        edits[i]->edit.pool = str_dup_c(pool);
        edits[i]->edit.name = str_dup_c(name);
    }
    assert_int_equal(runtime_stage_list(g->control.runtime, &s), 0);
    assert_int_equal(runtime_stage_store(&s, g->host.store), 0);
    runtime_stage_commit(g->control.runtime, &s);
    runtime_stage_fini(&s);
}

static size_t n_edits(const struct rig *g)
{
    size_t n;
    (void)runtime_edits(g->control.runtime, &n);
    return n;
}

static void test_survives_restart(void **state)
{
    struct rig *g = *state;
    change(g, "main", "b1", "{\"weight\":7}", "{\"weight\":7}");
    change(g, "main", "b2", "{\"admin\":\"drain\"}", "{\"admin\":\"drain\",\"reason\":\"disk\"}");
    assert_int_equal(n_edits(g), 2);
    rig_restart(g);
    assert_int_equal(n_edits(g), 2);
    const struct runtime_entry *e = runtime_find(g->control.runtime, "main", "b1");
    assert_int_equal(e->now.edit.weight, 7);
    struct backend *b = backend_registry_get(g->host.registry, "main", "b2", NULL);
    char reason[BACKEND_REASON_MAX];
    backend_admin_reason(b, reason);
    assert_int_equal(atomic_load(&b->admin), BACKEND_DRAIN);
    assert_string_equal(reason, "disk");
    backend_unref(b);
    change(g, "main", "b1", "{}", "{}");
    assert_null(runtime_find(g->control.runtime, "main", "b1"));
    rig_restart(g);
    assert_int_equal(n_edits(g), 1);
}

static void test_until_restart(void **state)
{
    struct rig *g = *state;
    size_t n;
    change(g, "main", "b1", "{\"weight\":7}", "{\"weight\":7}");
    change(g, "main", "b1", "{\"weight\":7,\"admin\":\"hold\"}", "{\"weight\":7}");
    const struct pool_edit *edits = runtime_edits(g->control.runtime, &n);
    assert_int_equal(n, 1);
    assert_true(edits[0].is_temporary);
    assert_string_equal(edits[0].admin, "hold");
    rig_restart(g);
    edits = runtime_edits(g->control.runtime, &n);
    assert_int_equal(n, 1);
    assert_false(edits[0].is_temporary);
    assert_string_equal(edits[0].admin, "");
    assert_int_equal(edits[0].weight, 7);
}

static void test_bad_row_is_kept(void **state)
{
    struct rig *g = *state;
    assert_int_equal(store_runtime_put(g->host.store, "backend", "main/b1", "{\"weight\":-5}", 1),
                     0);
    assert_int_equal(store_runtime_put(g->host.store, "backend", "nowhere", "{\"weight\":5}", 1),
                     0);
    change(g, "main", "b2", "{\"weight\":5}", "{\"weight\":5}");
    rig_restart(g);
    assert_int_equal(n_edits(g), 1);
    assert_int_equal(json_array_size(runtime_unreadable(g->control.runtime)), 2);
    assert_true(runtime_is_unreadable(g->control.runtime, "main", "b1"));
    rig_restart(g); /* it was not written over */
    assert_true(runtime_is_unreadable(g->control.runtime, "main", "b1"));
    change(g, "main", "b1", "{}", "{}");
    assert_false(runtime_is_unreadable(g->control.runtime, "main", "b1"));
    rig_restart(g);
    assert_false(runtime_is_unreadable(g->control.runtime, "main", "b1"));
}

static void test_dynamic(void **state)
{
    struct rig *g = *state;
    change(g, RUNTIME_DYNAMIC, "[fd00::1]:143", "{\"admin\":\"drain\"}", "{\"admin\":\"drain\"}");
    rig_restart(g);
    assert_int_equal(n_edits(g), 0); /* in no pool */
    struct backend *b = backend_registry_dynamic(g->host.registry, "fd00::1", 143);
    assert_int_equal(atomic_load(&b->admin), BACKEND_DRAIN);
    backend_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_settle),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_ports),
        cmocka_unit_test_setup_teardown(test_survives_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_until_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_row_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dynamic, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
