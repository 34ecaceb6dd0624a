/* SPDX-License-Identifier: ISC */
/* Questions and answers between engines: both ways, and what another engine may send instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "peers/session_json.h"

#define START 3

static uint64_t id_of(unsigned start, uint64_t number)
{
    char text[32];
    uint64_t id;
    (void)snprintf(text, sizeof(text), "%x01-%llx", start, (unsigned long long)number);
    assert_int_equal(session_id_parse(str_of(text), &id), 0);
    assert_int_equal(session_id_start(id), start);
    return id;
}

static json_t *parsed(struct buf *text)
{
    json_error_t error;
    json_t *m = json_loadb(text->data + text->start, text->len, 0, &error);
    assert_non_null(m);
    return m;
}

static void test_query(void **state)
{
    AUTO_FREE char *error = NULL;
    struct filter *filter;
    assert_int_equal(filter_parse(STR("user=a*@x !tls=no"), session_filter_fields,
                                  SESSION_FIELD_COUNT, &filter, &error),
                     0);
    const uint64_t ids[] = {id_of(START, 1), id_of(START, 2)};
    const struct session_key after = {.id = ids[0],
                                      .v = {.text = STR("anna"), .number = UINT64_MAX}};
    const struct session_query_spec spec = {
        .number = 7,
        .filter = filter,
        .ids = ids,
        .n_ids = 2,
        .fields = SESSION_FIELD_BIT(SESSION_FIELD_USER),
        .is_sorted = true,
        .is_keys = true,
        .order = {.by = SESSION_FIELD_IDLE, .is_descending = true, .is_from_end = true},
        .after = &after,
        .limit = 12};
    json_t *m = session_query_json(&spec);
    struct session_query_spec got;
    struct session_asked asked;
    assert_int_equal(session_query_read(m, &got, &asked), 0);
    assert_int_equal(json_number(m, "n"), 7);
    assert_string_equal(filter_text(got.filter), "user=a*@x !tls=no");
    assert_true(got.n_ids == 2 && got.ids[0] == ids[0] && got.ids[1] == ids[1]);
    /* a row without its id would be of no use */
    assert_int_equal(got.fields,
                     SESSION_FIELD_BIT(SESSION_FIELD_USER) | SESSION_FIELD_BIT(SESSION_FIELD_ID));
    assert_true(got.is_sorted && got.is_keys && got.limit == 12 &&
                got.order.by == SESSION_FIELD_IDLE && got.order.is_descending &&
                got.order.is_from_end);
    assert_true(got.after->id == ids[0] && got.after->v.number == UINT64_MAX &&
                str_eq(got.after->v.text, STR("anna")));
    session_asked_fini(&asked);
    json_decref(m);
    filter_unref(filter);
}

static void test_chunk(void **state)
{
    struct session_row rows[2] = {{.id = id_of(START, 1)}, {.id = id_of(START + 1, 1)}};
    struct session_key keys[2] = {{.id = rows[0].id, .v = {.text = STR("b\"\xff")}},
                                  {.id = rows[1].id, .v = {.number = 5}}};
    char text[2][32];
    for (size_t i = 0; i < 2; i++) {
        session_id_format(text[i], rows[i].id);
        rows[i].v[SESSION_FIELD_ID].text = str_of(text[i]);
        rows[i].v[SESSION_FIELD_USER].text = STR("anna");
        rows[i].v[SESSION_FIELD_IDLE].number = 99;
    }
    const struct session_chunk chunk = {.worker = 1,
                                        .is_last = true,
                                        .seen = 5,
                                        .matched = 4,
                                        .passed = 3,
                                        .rows = rows,
                                        .n = 2,
                                        .keys = keys,
                                        .n_keys = 2};
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(session_chunk_append(&out, &chunk, 8), 0);
    json_t *m = parsed(&out);
    struct session_chunk *got;
    assert_int_equal(json_number(m, "n"), 8);
    assert_int_equal(session_chunk_read(m, START, &got), 0);
    json_decref(m);
    /* sessions of another engine are none of its business */
    assert_int_equal(got->n, 1);
    assert_int_equal(got->n_keys, 1);
    assert_true(got->is_last && got->seen == 5 && got->matched == 4 && got->passed == 3);
    assert_true(got->rows[0].id == rows[0].id && got->rows[0].v[SESSION_FIELD_IDLE].number == 99 &&
                str_eq(got->rows[0].v[SESSION_FIELD_USER].text, STR("anna")));
    assert_true(str_eq(got->keys[0].v.text, STR("b\"?")));
    session_chunk_free(got);
}

static void test_killed(void **state)
{
    struct session_killed *k = calloc(1, sizeof(*k) + sizeof(k->v[0]));
    struct session_killed *got;
    k->worker = 2;
    k->is_told = true;
    k->n_told = 3;
    k->n = 1;
    k->v[0].at = 2;
    k->v[0].outcome = (struct session_outcome){
        .id = id_of(START, 9), .n_cut = 4, .verb = "FETCH", .user = "anna"};
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(session_killed_append(&out, k, 5), 0);
    free(k);
    json_t *m = parsed(&out);
    assert_int_equal(session_killed_read(m, START, 3, &got), 0);
    assert_true(got->is_told && !got->is_last && got->n_told == 3 && got->n == 1);
    assert_true(got->v[0].at == 2 && got->v[0].outcome.n_cut == 4 && !got->v[0].outcome.is_clean);
    assert_string_equal(got->v[0].outcome.verb, "FETCH");
    assert_string_equal(got->v[0].outcome.user, "anna");
    free(got);
    /* a place behind the last one, more than were told to end, another engine's session */
    assert_int_equal(session_killed_read(m, START, 2, &got), -ERR_PROTOCOL);
    assert_int_equal(session_killed_read(m, START + 1, 3, &got), -ERR_PROTOCOL);
    json_decref(m);
}

static void test_trace_event(void **state)
{
    static const char bytes[] = "a\0\xff\r\n\"";
    struct session_trace_event *e = calloc(1, sizeof(*e) + sizeof(bytes)), *got;
    e->worker = 1;
    e->session = id_of(START, 4);
    e->direction = TRACE_RELAY_OUT;
    e->is_masked = true;
    e->left_out = 6;
    e->weight = 77;
    e->n = sizeof(bytes);
    memcpy(e->bytes, bytes, sizeof(bytes));
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(session_trace_event_append(&out, e, 5), 0);
    json_t *m = parsed(&out);
    assert_int_equal(session_trace_event_read(m, START, &got), 0);
    assert_true(got->direction == TRACE_RELAY_OUT && got->is_masked && got->left_out == 6 &&
                got->weight == 77 && got->n == sizeof(bytes) && got->session == e->session);
    assert_memory_equal(got->bytes, bytes, sizeof(bytes));
    free(got);
    free(e);
    assert_int_equal(session_trace_event_read(m, START + 1, &got), -ERR_PROTOCOL);
    json_decref(m);
}

/* What makes no sense is refused as a whole. */
static void test_nonsense(void **state)
{
    static const char *const chunks[] = {
        "{\"rows\":[1]}",
        "{\"rows\":[{}]}",
        "{\"rows\":[{\"id\":\"x\"}]}",
        "{\"keys\":[[]]}",
        "{\"keys\":[[\"301-1\",1,1]]}",
        "{\"keys\":[[\"301-1\",null,\"1\"]]}",
    };
    static const char *const kills[] = {
        "{\"ended\":[1]}",
        "{\"ended\":[[]]}",
        "{\"ended\":[[-1,\"301-1\",true,0,\"\",\"\"]]}",
        "{\"ended\":[[9,\"301-1\",true,0,\"\",\"\"]]}",
        "{\"ended\":[[0,\"301-1\",true,0,1,\"\"]]}",
        "{\"n_told\":9}",
        "{\"n_told\":-1}",
    };
    static const char *const queries[] = {
        "{\"filter\":1}", "{\"filter\":\"nonsense\"}", "{\"sort\":\"nonsense\"}", "{\"sort\":1}",
        "{\"ids\":[1]}",  "{\"ids\":[\"\"]}",          "{\"after\":[\"301-1\"]}",
    };
    json_error_t error;
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        struct session_chunk *c;
        json_t *m = json_loads(chunks[i], 0, &error);
        if (session_chunk_read(m, START, &c) != -ERR_PROTOCOL)
            fail_msg("chunk %zu is taken", i);
        json_decref(m);
    }
    for (size_t i = 0; i < ARRAY_LEN(kills); i++) {
        struct session_killed *k;
        json_t *m = json_loads(kills[i], 0, &error);
        if (session_killed_read(m, START, 5, &k) != -ERR_PROTOCOL)
            fail_msg("kill %zu is taken", i);
        json_decref(m);
    }
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct session_query_spec spec;
        struct session_asked asked;
        json_t *m = json_loads(queries[i], 0, &error);
        if (session_query_read(m, &spec, &asked) != -ERR_PROTOCOL)
            fail_msg("query %zu is taken", i);
        session_asked_fini(&asked);
        json_decref(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),    cmocka_unit_test(test_chunk),
        cmocka_unit_test(test_killed),   cmocka_unit_test(test_trace_event),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
