/* SPDX-License-Identifier: ISC */
/* Listings of a worker's sessions: chunks, filters, sorting, limits, sessions that end meanwhile.
 */
#include "session/admin/query.h"
#include "tests/unit/session/session_case.h"

#include "base/clock.h"
#include "base/hash.h"

static struct session_case c;
static struct loop *asker; /* gets the chunks */

/* What came for one query. */
static struct seen {
    uint64_t ids[4096];
    size_t n, chunks;
    uint64_t seen, matched;
    bool is_over, is_asking; /* asks for the next chunk by itself */
    struct session_chunk *last;
} seen;

static void on_chunk(struct mail *m, void *owner)
{
    struct session_chunk *chunk = CONTAINER_OF(m, struct session_chunk, mail);
    (void)owner;
    assert_int_equal(chunk->number, 7);
    assert_int_equal(chunk->worker, 2);
    assert_true(chunk->n <= SESSION_CHUNK_ROWS || chunk->is_last);
    assert_false(seen.is_over);
    for (size_t i = 0; i < chunk->n && seen.n < 4096; i++)
        seen.ids[seen.n++] = chunk->rows[i].id;
    seen.chunks++;
    seen.seen = chunk->seen;
    seen.matched = chunk->matched;
    seen.is_over = chunk->is_last;
    session_chunk_free(seen.last);
    seen.last = chunk;
    if (!chunk->is_last && seen.is_asking)
        assert_int_equal(session_query_next(loop_mailbox(c.loop), 7, false), 0);
}

static int setup(void **state)
{
    session_case_init(&c);
    memset(&seen, 0, sizeof(seen));
    seen.is_asking = true;
    return loop_new(NULL, &asker);
}

static int teardown(void **state)
{
    session_chunk_free(seen.last);
    loop_free(asker);
    session_queries_end(&c.env);
    session_kills_end(&c.env);
    session_case_fini(&c);
    return 0;
}

/* Turns both loops until the answer is there. */
static bool is_over(void *arg)
{
    (void)arg;
    mailbox_run(loop_mailbox(asker), NULL);
    return seen.is_over;
}

static struct filter *compile(const char *text)
{
    struct filter *f = NULL;
    char *error = NULL;
    if (filter_parse(str_of(text), session_filter_fields, SESSION_FIELD_COUNT, &f, &error) < 0)
        fail_msg("%s", error);
    return f;
}

static void ask(struct session_query_spec spec, const char *filter)
{
    spec.number = 7;
    spec.reply = loop_mailbox(asker);
    spec.deliver = on_chunk;
    spec.filter = filter ? compile(filter) : NULL;
    assert_int_equal(session_query_post(loop_mailbox(c.loop), &spec), 0);
    filter_unref(spec.filter); /* the query has its own reference */
}

static void list(struct session_query_spec spec, const char *filter)
{
    session_chunk_free(seen.last);
    memset(&seen, 0, sizeof(seen));
    seen.is_asking = true;
    ask(spec, filter);
    io_case_run(c.loop, is_over, NULL);
}

static void add_many(uint64_t n)
{
    for (uint64_t id = 1; id <= n; id++) {
        struct session *s = session_case_add(&c, id);
        s->client.in_bytes = hash_mix(id) % 1000;
    }
}

static void test_empty(void **state)
{
    list((struct session_query_spec){0}, NULL);
    assert_int_equal(seen.n, 0);
    assert_int_equal(seen.chunks, 1);
    list((struct session_query_spec){.is_sorted = true, .order.by = SESSION_FIELD_IN}, NULL);
    assert_int_equal(seen.n, 0);
    list((struct session_query_spec){.ids = (const uint64_t[]){5}, .n_ids = 1}, NULL);
    assert_int_equal(seen.n, 0);
}

static void test_chunks(void **state)
{
    const size_t n = 3 * SESSION_CHUNK_ROWS + 5;
    add_many(n);
    list((struct session_query_spec){0}, NULL);
    assert_int_equal(seen.n, n);
    assert_int_equal(seen.chunks, 4);
    assert_int_equal(seen.matched, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(seen.ids[i], i + 1); /* oldest first */
    list((struct session_query_spec){.limit = 300}, NULL);
    assert_int_equal(seen.n, 300);
    assert_int_equal(seen.matched, n); /* all are counted */
    list((struct session_query_spec){.ids = (const uint64_t[]){77}, .n_ids = 1}, NULL);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.ids[0], 77);
}

static void test_full_last_chunk(void **state)
{
    add_many(SESSION_CHUNK_ROWS);
    list((struct session_query_spec){0}, NULL);
    assert_int_equal(seen.n, SESSION_CHUNK_ROWS);
    assert_int_equal(seen.chunks, 1);
}

static uint64_t in_of(uint64_t id)
{
    return hash_mix(id) % 1000;
}

static void test_sorted(void **state)
{
    add_many(1000);
    for (int is_descending = 0; is_descending < 2; is_descending++)
        for (size_t limit = 0; limit <= 1000; limit += 250) {
            list((struct session_query_spec){.is_sorted = true,
                                             .order.is_descending = is_descending,
                                             .order.by = SESSION_FIELD_IN,
                                             .limit = limit},
                 NULL);
            assert_int_equal(seen.n, limit ? limit : 1000);
            assert_int_equal(seen.chunks, 1);
            assert_int_equal(seen.matched, 1000);
            for (size_t i = 1; i < seen.n; i++) {
                uint64_t a = in_of(seen.ids[i - 1]), b = in_of(seen.ids[i]);
                assert_true(is_descending ? a >= b : a <= b);
                assert_true(a != b || seen.ids[i - 1] < seen.ids[i]); /* older first */
            }
            /* what was left out is no better than the last */
            size_t better = 0;
            for (uint64_t id = 1; id <= 1000; id++)
                better += is_descending ? in_of(id) > in_of(seen.ids[seen.n - 1])
                                        : in_of(id) < in_of(seen.ids[seen.n - 1]);
            assert_true(better < seen.n);
        }
}

/* Keys alone, window after window: the list has no gap and nothing twice. */
static void test_windows(void **state)
{
    static const enum session_field by[] = {SESSION_FIELD_IN, SESSION_FIELD_USER, SESSION_FIELD_ID,
                                            SESSION_FIELD_IDLE};
    add_many(700);
    for (uint64_t id = 1; id <= 700; id++)
        session_find(&c.env, id)->user = str_printf("user%03u", (unsigned)(hash_mix(id) % 50));
    for (size_t i = 0; i < ARRAY_LEN(by); i++) {
        struct session_query_spec spec = {.is_sorted = true, .order.by = by[i]};
        list(spec, NULL);
        assert_int_equal(seen.n, 700);
        uint64_t ids[700];
        memcpy(ids, seen.ids, sizeof(ids));
        spec.is_keys = true;
        spec.limit = 130;
        for (size_t at = 0; at < 700; at += seen.last->n_keys) {
            struct session_key after;
            char text[64];
            if (at > 0) {
                after = seen.last->keys[seen.last->n_keys - 1];
                (void)str_copy(text, sizeof(text), after.v.text);
                after.v.text.p = text;
                spec.after = &after;
            }
            list(spec, NULL);
            assert_int_equal(seen.last->n, 0);
            assert_int_equal(seen.last->n_keys, at + 130 > 700 ? 700 - at : 130);
            assert_int_equal(seen.last->matched, 700);
            assert_int_equal(seen.last->passed, at);
            for (size_t k = 0; k < seen.last->n_keys; k++)
                assert_int_equal(seen.last->keys[k].id, ids[at + k]);
        }
    }
}

/* Rows of given sessions come in the order in which they were asked for. */
static void test_given(void **state)
{
    const uint64_t ids[] = {9, 3, 77, 5}; /* there is no 77 */
    add_many(10);
    list((struct session_query_spec){.ids = ids,
                                     .n_ids = 4,
                                     .fields = SESSION_FIELD_BIT(SESSION_FIELD_IN)},
         NULL);
    assert_int_equal(seen.n, 3);
    assert_int_equal(seen.ids[0], 9);
    assert_int_equal(seen.ids[1], 3);
    assert_int_equal(seen.ids[2], 5);
    assert_int_equal(seen.last->rows[0].v[SESSION_FIELD_IN].number, in_of(9));
    assert_int_equal(seen.last->rows[0].v[SESSION_FIELD_IP].text.n, 0); /* not wanted */
}

/* From the end it is the same list, backwards: no row is twice, none is missing. */
static void test_from_end(void **state)
{
    uint64_t ids[300];
    add_many(300); /* many of the same value */
    for (int is_descending = 0; is_descending < 2; is_descending++) {
        struct session_query_spec spec = {
            .is_sorted = true,
            .order = {.by = SESSION_FIELD_STATE, .is_descending = is_descending}};
        list(spec, NULL);
        assert_int_equal(seen.n, 300);
        memcpy(ids, seen.ids, sizeof(ids));
        spec.order.is_from_end = true;
        for (spec.limit = 1; spec.limit <= 300; spec.limit += 23) {
            list(spec, NULL);
            assert_int_equal(seen.n, spec.limit);
            for (size_t i = 0; i < seen.n; i++)
                assert_int_equal(seen.ids[i], ids[299 - i]);
        }
    }
}

static const char *text(enum session_field f)
{
    static char dst[128];
    assert_int_equal(seen.last->n, 1);
    (void)str_copy(dst, sizeof(dst), seen.last->rows[0].v[f].text);
    return dst;
}

static void test_values(void **state)
{
    struct session *s = session_case_add(&c, 3ull << 40 | 0x1a2b);
    list((struct session_query_spec){0}, NULL);
    assert_string_equal(text(SESSION_FIELD_ID), "3-1a2b");
    assert_string_equal(text(SESSION_FIELD_USER), "");
    assert_string_equal(text(SESSION_FIELD_TLS), "no");
    assert_string_equal(text(SESSION_FIELD_PHASE), "");
    assert_string_equal(text(SESSION_FIELD_BACKEND), "");
    s->user = str_dup_c("joe");
    s->state = SESSION_RELAY;
    s->watch = calloc(1, proto_imap.watch_size);
    proto_imap.watch_init(s->watch, STR_NULL);
    proto_imap.watch_feed(s->watch, WATCH_CLIENT, STR("a IDLE\r\n"));
    proto_imap.watch_feed(s->watch, WATCH_SERVER, STR("+ idling\r\n"));
    assert_int_equal(backend_new("main", "b1", &s->backend), 0);
    assert_int_equal(addr_parse(STR("10.0.0.1:143"), &s->server_addr), 0);
    s->relay_ms = 1;
    s->client.in_bytes = 1234;
    (void)str_copy(s->client_tls, sizeof(s->client_tls), STR("TLSv1.3"));
    list((struct session_query_spec){0}, NULL);
    assert_string_equal(text(SESSION_FIELD_LISTENER), "imap");
    assert_string_equal(text(SESSION_FIELD_PROTO), "imap");
    assert_string_equal(text(SESSION_FIELD_STATE), "relay");
    assert_string_equal(text(SESSION_FIELD_PHASE), "idle");
    assert_string_equal(text(SESSION_FIELD_VERB), "IDLE");
    assert_string_equal(text(SESSION_FIELD_USER), "joe");
    assert_string_equal(text(SESSION_FIELD_IP), "192.0.2.1");
    assert_string_equal(text(SESSION_FIELD_TLS), "TLSv1.3");
    assert_string_equal(text(SESSION_FIELD_POOL), "main");
    assert_string_equal(text(SESSION_FIELD_BACKEND), "b1");
    assert_string_equal(text(SESSION_FIELD_SERVER), "10.0.0.1:143");
    assert_string_equal(text(SESSION_FIELD_SERVER_TLS), "no");
    assert_int_equal(seen.last->rows[0].v[SESSION_FIELD_IN].number, 1234);
    assert_int_equal(seen.last->rows[0].v[SESSION_FIELD_PORT].number, 4711);
    assert_int_equal(seen.last->rows[0].v[SESSION_FIELD_WORKER].number, 2);
}

static void expect_matches(const char *filter, size_t n)
{
    list((struct session_query_spec){0}, filter);
    if (seen.n != n)
        fail_msg("%s: %zu instead of %zu", filter, seen.n, n);
}

static void test_filters(void **state)
{
    static const char *const users[] = {"ann@example.org", "bob@example.org", "joe@example.net"};
    for (uint64_t i = 0; i < 3; i++) {
        struct session *s = session_case_add(&c, 10 + i);
        s->user = str_dup_c(users[i]);
        s->client.in_bytes = i * 1000;
        s->active_ms -= i * 60000;
        s->started_ms -= i * 3600000;
    }
    (void)session_case_add(&c, 20); /* nobody yet */
    expect_matches("", 4);
    expect_matches("user=*@example.org", 2);
    expect_matches("!user=*@example.org", 2);
    expect_matches("user=", 1);
    expect_matches("user=ann@example.org,joe@example.net", 2);
    expect_matches("in>=1k", 1);
    expect_matches("in>0 in<2k", 2);
    expect_matches("idle>90s", 1);
    expect_matches("age>30m", 2);
    expect_matches("ip=192.0.2.0/24 proto=imap", 4);
    expect_matches("ip=10.0.0.0/8", 0);
    expect_matches("state=accept tls=no", 4);
    expect_matches("phase=idle", 0);
    expect_matches("id=0-b", 1);
    expect_matches("worker=2", 4);
}

/* A session that ends between two chunks is stepped over; one that comes is found at the end. */
static void test_change_between_chunks(void **state)
{
    const size_t n = 2 * SESSION_CHUNK_ROWS;
    add_many(n);
    seen.is_asking = false;
    ask((struct session_query_spec){0}, NULL);
    io_case_idle(c.loop, 20);
    mailbox_run(loop_mailbox(asker), NULL);
    assert_int_equal(seen.n, SESSION_CHUNK_ROWS);
    assert_false(seen.is_over);
    for (uint64_t id = SESSION_CHUNK_ROWS - 1; id <= SESSION_CHUNK_ROWS + 3; id++)
        session_end(session_find(&c.env, id), SESSION_END_KILLED);
    (void)session_case_add(&c, n + 1);
    io_case_idle(c.loop, 5); /* they are gone now */
    seen.is_asking = true;
    assert_int_equal(session_query_next(loop_mailbox(c.loop), 7, false), 0);
    io_case_run(c.loop, is_over, NULL);
    assert_int_equal(seen.n, n - 3 + 1);
    assert_int_equal(seen.ids[SESSION_CHUNK_ROWS], SESSION_CHUNK_ROWS + 4);
    assert_int_equal(seen.ids[seen.n - 1], n + 1);
}

static void test_cancel(void **state)
{
    add_many(2 * SESSION_CHUNK_ROWS);
    seen.is_asking = false;
    ask((struct session_query_spec){0}, NULL);
    io_case_idle(c.loop, 10);
    assert_int_equal(session_query_next(loop_mailbox(c.loop), 8, true), 0); /* another one */
    assert_int_equal(session_query_next(loop_mailbox(c.loop), 7, true), 0);
    assert_int_equal(session_query_next(loop_mailbox(c.loop), 7, false), 0); /* too late */
    io_case_idle(c.loop, 10);
    mailbox_run(loop_mailbox(asker), NULL);
    assert_int_equal(seen.chunks, 1);
    assert_true(list_is_empty(&c.env.queries));
}

static void test_end_of_worker(void **state)
{
    add_many(2 * SESSION_CHUNK_ROWS);
    seen.is_asking = false;
    ask((struct session_query_spec){0}, NULL);
    io_case_idle(c.loop, 10);
    session_queries_end(&c.env);
    assert_true(list_is_empty(&c.env.queries));
}

/* ---- fields ---- */

static void test_fields(void **state)
{
    enum session_field f;
    for (int i = 0; i < SESSION_FIELD_COUNT; i++) {
        assert_int_equal(session_field_find(str_of(session_filter_fields[i].name), &f), 0);
        assert_int_equal(f, i);
        assert_int_equal(session_filter_fields[i].id, i);
    }
    assert_int_equal(session_field_find(STR("protocol"), &f), 0);
    assert_int_equal(f, SESSION_FIELD_PROTO);
    assert_int_equal(session_field_find(STR("nonsense"), &f), -ERR_NO_PARAM);
}

/* ---- kill by mail ---- */

static uint64_t killed[1000];
static size_t n_killed, n_told, killed_at[1000];
static bool are_all_killed, are_all_told;

static void on_killed(struct mail *m, void *owner)
{
    struct session_killed *k = CONTAINER_OF(m, struct session_killed, mail);
    (void)owner;
    assert_int_equal(k->number, 3);
    assert_int_equal(k->worker, 2);
    assert_false(are_all_killed);
    for (size_t i = 0; i < k->n; i++) {
        assert_false(k->v[i].outcome.is_clean); /* no goodbye */
        killed[n_killed] = k->v[i].outcome.id;
        killed_at[n_killed++] = k->v[i].at;
    }
    are_all_killed = k->is_last;
    are_all_told = k->is_told;
    n_told = k->n_told;
    free(k);
}

static bool is_killed(void *arg)
{
    (void)arg;
    mailbox_run(loop_mailbox(asker), NULL);
    return are_all_killed;
}

static void kill_and_wait(const uint64_t *ids, size_t n)
{
    const struct session_kill_spec spec = {.number = 3,
                                           .reply = loop_mailbox(asker),
                                           .deliver = on_killed,
                                           .kind = REPLY_KICKED,
                                           .ids = ids,
                                           .n = n};
    n_killed = 0;
    are_all_killed = false;
    assert_int_equal(session_kill_post(loop_mailbox(c.loop), &spec), 0);
    io_case_run(c.loop, is_killed, NULL);
    assert_true(are_all_told);
    assert_int_equal(n_told, n_killed);
}

static void test_kill(void **state)
{
    const uint64_t ids[] = {4, 99, 2};
    add_many(5);
    kill_and_wait(ids, 3);
    assert_int_equal(n_killed, 2);
    assert_int_equal(killed[0], 4);
    assert_int_equal(killed[1], 2);
    assert_int_equal(killed_at[0], 0);
    assert_int_equal(killed_at[1], 2);
    assert_int_equal(c.env.count, 3);
    const struct session_kill_spec all = {.kind = REPLY_SHUTDOWN};
    assert_int_equal(session_kill_post(loop_mailbox(c.loop), &all), 0);
    io_case_idle(c.loop, 10);
    assert_int_equal(c.env.count, 0);
}

/* Many are ended a few at a time, and answered in pieces. */
static void test_kill_many(void **state)
{
    uint64_t ids[700];
    for (uint64_t i = 0; i < 700; i++)
        ids[i] = i + 1;
    add_many(900);
    kill_and_wait(ids, 700);
    assert_int_equal(n_killed, 700);
    assert_memory_equal(killed, ids, sizeof(ids));
    assert_int_equal(c.env.count, 200);
    assert_true(list_is_empty(&c.env.kills));
}

/* A worker that ends in the middle of it leaves nothing behind. */
static void test_kill_cut_short(void **state)
{
    add_many(20);
    const struct session_kill_spec older = {.kind = REPLY_SHUTDOWN, .generation = 2};
    assert_int_equal(session_kill_here(&c.env, &older), 0);
    assert_false(list_is_empty(&c.env.kills));
    session_kills_end(&c.env);
    assert_true(list_is_empty(&c.env.kills));
    assert_int_equal(c.env.count, 20);
}

static bool is_count_reached(void *arg)
{
    return c.env.count <= *(const size_t *)arg;
}

/* Never more than the rate: the first ones go when there was time for them. */
static void test_kill_paced(void **state)
{
    const struct session_kill_spec spec = {.kind = REPLY_SHUTDOWN, .rate = 80, .per = 2};
    add_many(40);
    uint64_t begin = clock_ms();
    assert_int_equal(session_kill_post(loop_mailbox(c.loop), &spec), 0);
    for (size_t left = 39; left > 15; left--) {
        io_case_run(c.loop, is_count_reached, &left);
        assert_true(40 - c.env.count <= (clock_ms() - begin + 20) * 40 / 1000);
    }
    session_kills_end(&c.env);
}

/* Only sessions of older snapshots go. */
static void test_retire(void **state)
{
    struct snapshot newer = c.snapshot;
    newer.generation = 2;
    c.snapshot.generation = 1;
    add_many(10);
    for (uint64_t id = 3; id <= 6; id++)
        session_find(&c.env, id)->snapshot = &newer;
    const struct session_kill_spec older = {.kind = REPLY_SHUTDOWN, .generation = 2};
    assert_int_equal(session_kill_here(&c.env, &older), 0);
    io_case_idle(c.loop, 10);
    assert_int_equal(c.env.count, 4);
    assert_non_null(session_find(&c.env, 3));
    LIST_FOREACH (it, &c.env.sessions)
        session_of_link(it)->snapshot = &c.snapshot;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chunks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_last_chunk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sorted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_given, setup, teardown),
        cmocka_unit_test_setup_teardown(test_from_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change_between_chunks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_worker, setup, teardown),
        cmocka_unit_test(test_fields),
        cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kill_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kill_paced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kill_cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retire, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
