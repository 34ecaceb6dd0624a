/* SPDX-License-Identifier: ISC */
/* Users of several nodes over one store: everybody ends up with the same, whatever they change at
 * once, and whatever the store loses or makes up. The fleet's store is a table here, with the
 * script's rule: a text is replaced by who expects what is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "fleet/user_exchange.h"

#define NODES 3
#define ENTRIES 64

static const uint8_t secret[SEAL_SECRET_BYTES] = "one secret of 32 bytes, and more";

struct entry {
    char field[USER_FIELD_SIZE];
    struct buf value;
};
static struct {
    struct entry v[ENTRIES];
    size_t n;
} shared;

static struct node {
    char name[8], folder[32], path[64];
    struct store *store;
    struct pins_shared *pins;
    struct user_exchange exchange;
    struct user_effects effects; /* of the last step */
} nodes[NODES];

static uint64_t now_ms;

/* ---- the fleet's store ---- */

static struct entry *entry_of(const char *field)
{
    for (size_t i = 0; i < shared.n; i++)
        if (strcmp(shared.v[i].field, field) == 0)
            return &shared.v[i];
    assert_true(shared.n < ENTRIES);
    struct entry *e = &shared.v[shared.n++];
    (void)str_copy(e->field, sizeof(e->field), str_of(field));
    buf_clear(&e->value);
    return e;
}

static void entry_set(struct entry *e, struct str value)
{
    buf_clear(&e->value);
    assert_int_equal(buf_append_str(&e->value, value), 0);
}

/* As the script has it. */
static void entry_revision(const struct entry *e, char ret[USER_EXPECTED_SIZE])
{
    struct str value = buf_str(&e->value);
    size_t n = strspn(value.n ? value.p : "", "0123456789");
    if (value.n == 0)
        (void)str_copy(ret, USER_EXPECTED_SIZE, STR("0"));
    else if (n > 0 && n < value.n && value.p[n] == ':' && n < USER_EXPECTED_SIZE)
        (void)str_copy(ret, USER_EXPECTED_SIZE, str_head(value, n));
    else
        (void)str_copy(ret, USER_EXPECTED_SIZE, STR("x"));
}

/* ---- a node's steps ---- */

static void step_begin(struct node *n)
{
    user_effects_fini(&n->effects);
    assert_int_equal(user_effects_init(&n->effects), 0);
}

static void push(struct node *n, enum store_sync_state state)
{
    struct user_batch *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    step_begin(n);
    assert_int_equal(user_exchange_collect(&n->exchange, state, 64, b, &n->effects), 0);
    bool is_over = b->n == 0;
    for (unsigned round = 0; !is_over; round++) {
        struct user_reply replies[64] = {{0}};
        is_over = true;
        assert_true(round < 5);
        for (size_t i = 0; i < b->n; i++) {
            char revision[USER_EXPECTED_SIZE];
            struct entry *e = entry_of(b->v[i].field);
            if (b->v[i].is_over)
                continue;
            is_over = false;
            entry_revision(e, revision);
            replies[i].is_taken = strcmp(revision, b->v[i].expected) == 0;
            if (replies[i].is_taken)
                entry_set(e, buf_str(&b->v[i].value));
            else
                replies[i].now = buf_str(&e->value);
        }
        if (!is_over)
            assert_int_equal(user_exchange_answered(&n->exchange, b, replies, &n->effects), 0);
    }
    user_batch_fini(b);
    free(b);
}

static void pull(struct node *n)
{
    struct user_heard heard[ENTRIES];
    step_begin(n);
    for (size_t i = 0; i < shared.n; i++)
        heard[i] = (struct user_heard){str_of(shared.v[i].field), buf_str(&shared.v[i].value)};
    assert_int_equal(user_exchange_take(&n->exchange, heard, shared.n, &n->effects), 0);
}

/* As fleet_users has it, until nothing happens any more. */
static void settle(void)
{
    for (unsigned i = 0; i < 4; i++)
        for (size_t k = 0; k < NODES; k++) {
            push(&nodes[k], STORE_EDITED);
            pull(&nodes[k]);
            push(&nodes[k], STORE_DOUBTED);
        }
    for (size_t k = 0; k < NODES; k++) {
        uint64_t edited, doubted;
        assert_int_equal(store_sync_count(nodes[k].store, STORE_EDITED, &edited), 0);
        assert_int_equal(store_sync_count(nodes[k].store, STORE_DOUBTED, &doubted), 0);
        assert_int_equal(edited + doubted, 0);
    }
}

static void doubt(void)
{
    for (size_t k = 0; k < NODES; k++)
        assert_int_equal(store_sync_doubt_all(nodes[k].store), 0);
}

/* ---- users ---- */

static void put(size_t node, struct store_user u)
{
    u.is_stored = true;
    assert_int_equal(store_user_put(nodes[node].store, &u, STORE_UPSERT, ++now_ms), 0);
}

static void is_note(size_t node, const char *name, const char *note)
{
    CLEANUP(store_user_fini) struct store_user u = {0};
    int err = store_user_get(nodes[node].store, name, &u);
    if (err < 0 ? note != NULL : !str_eq_c(u.note, note))
        fail_msg("%s at node %zu: %s, not %s", name, node, err < 0 ? "none" : u.note, note);
}

static void all_note(const char *name, const char *note)
{
    for (size_t k = 0; k < NODES; k++)
        is_note(k, name, note);
}

static int setup(void **state)
{
    now_ms = 1000;
    shared.n = 0;
    for (size_t k = 0; k < NODES; k++) {
        struct node *n = &nodes[k];
        char *error = NULL;
        char holder[16];
        *n = (struct node){.folder = "/tmp/exchange.XXXXXX"};
        snprintf(n->name, sizeof(n->name), "px%zu", k);
        snprintf(holder, sizeof(holder), "px%zu#1", k);
        assert_non_null(mkdtemp(n->folder));
        snprintf(n->path, sizeof(n->path), "%s/store", n->folder);
        const struct store_spec spec = {.type = "sqlite", .path = n->path};
        assert_int_equal(store_open(&spec, &n->store, &error), 0);
        const struct pins_shared_spec pins = {.fleet = "mail", .holder = holder, .secret = secret};
        assert_int_equal(pins_shared_new(&pins, &n->pins), 0);
        n->exchange = (struct user_exchange){
            .store = n->store, .pins = n->pins, .key = "mp:mail:users", .node = n->name};
        assert_int_equal(seal_init(&n->exchange.seal, secret, "user"), 0);
    }
    return 0;
}

static int teardown(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t k = 0; k < NODES; k++) {
        user_effects_fini(&nodes[k].effects);
        pins_shared_free(nodes[k].pins);
        store_close(nodes[k].store);
        for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
            char path[80];
            snprintf(path, sizeof(path), "%s%s", nodes[k].path, suffixes[i]);
            (void)remove(path);
        }
        assert_int_equal(rmdir(nodes[k].folder), 0);
    }
    for (size_t i = 0; i < ENTRIES; i++)
        buf_fini(&shared.v[i].value);
    shared.n = 0;
    return 0;
}

static void track(void)
{
    for (size_t k = 0; k < NODES; k++)
        assert_int_equal(store_sync_track(nodes[k].store), 0);
}

/* ---- tests ---- */

/* Sets of nodes that never knew each other become one; of the same name the later one holds. */
static void test_begin(void **state)
{
    put(0, (struct store_user){.name = "a", .note = "0"});
    put(1, (struct store_user){.name = "b", .note = "1"});
    put(0, (struct store_user){.name = "c", .note = "older"});
    put(2, (struct store_user){.name = "c", .note = "newer"});
    track();
    settle();
    all_note("a", "0");
    all_note("b", "1");
    all_note("c", "newer");
    for (size_t i = 0; i < shared.n; i++) /* nothing is in clear */
        assert_null(memmem(buf_str(&shared.v[i].value).p, shared.v[i].value.len, "newer", 5));
}

/* Two operators at two nodes at once; one locks a user, whose sessions end everywhere. */
static void test_at_once(void **state)
{
    track();
    put(0, (struct store_user){.name = "a", .note = "n"});
    settle();
    put(0, (struct store_user){.name = "a", .note = "n", .state = USER_LOCKED});
    put(1, (struct store_user){.name = "a", .note = "other"});
    push(&nodes[0], STORE_EDITED);
    push(&nodes[1], STORE_EDITED); /* is refused, and put together with what is there */
    assert_int_equal(nodes[1].effects.locked.count, 1);
    assert_int_equal(json_array_size(nodes[1].effects.events), 0);
    push(&nodes[1], STORE_EDITED);
    pull(&nodes[0]);
    assert_int_equal(nodes[0].effects.locked.count, 0); /* it was locked there before */
    assert_int_equal(json_array_size(nodes[0].effects.changed), 1);
    settle();
    for (size_t k = 0; k < NODES; k++) {
        CLEANUP(store_user_fini) struct store_user u = {0};
        assert_int_equal(store_user_get(nodes[k].store, "a", &u), 0);
        assert_string_equal(u.note, "other");
        assert_int_equal(u.state, USER_LOCKED);
    }
    /* The same property: the later, and who lost it is told. */
    put(1, (struct store_user){.name = "a", .note = "first"});
    put(0, (struct store_user){.name = "a", .note = "second"});
    push(&nodes[0], STORE_EDITED);
    push(&nodes[1], STORE_EDITED);
    assert_int_equal(json_array_size(nodes[1].effects.events), 1);
    settle();
    all_note("a", "second");
}

static void test_removed(void **state)
{
    track();
    put(0, (struct store_user){.name = "a", .note = "n"});
    settle();
    assert_int_equal(store_user_remove(nodes[1].store, "a"), 0);
    settle();
    all_note("a", NULL);
    doubt(); /* nobody brings it back */
    shared.n = 0;
    settle();
    all_note("a", NULL);
    put(2, (struct store_user){.name = "a", .note = "again"});
    settle();
    all_note("a", "again");
}

/* Changed while it was on its way: that is told, too. */
static void test_changed_under_way(void **state)
{
    track();
    put(0, (struct store_user){.name = "a", .note = "1"});
    struct user_batch *b = calloc(1, sizeof(*b));
    step_begin(&nodes[0]);
    assert_int_equal(
        user_exchange_collect(&nodes[0].exchange, STORE_EDITED, 64, b, &nodes[0].effects), 0);
    put(0, (struct store_user){.name = "a", .note = "2"});
    entry_set(entry_of(b->v[0].field), buf_str(&b->v[0].value));
    step_begin(&nodes[0]);
    const struct user_reply taken = {.is_taken = true};
    assert_int_equal(user_exchange_answered(&nodes[0].exchange, b, &taken, &nodes[0].effects), 0);
    user_batch_fini(b);
    free(b);
    pull(&nodes[1]);
    is_note(1, "a", "1");
    settle();
    all_note("a", "2");
}

/* A store that is empty, and one that has fallen back: the nodes know better. */
static void test_lost(void **state)
{
    AUTO_BUF old = BUF_INIT;
    char field[USER_FIELD_SIZE];
    track();
    put(0, (struct store_user){.name = "a", .note = "1"});
    put(0, (struct store_user){.name = "b", .note = "1"});
    settle();
    memcpy(field, shared.v[0].field, sizeof(field));
    assert_int_equal(buf_append_str(&old, buf_str(&shared.v[0].value)), 0);
    put(1, (struct store_user){.name = "a", .note = "2"});
    settle();
    shared.n = 0;
    doubt();
    settle();
    all_note("a", "2");
    all_note("b", "1");
    assert_int_equal(shared.n, 2);
    for (size_t i = 0; i < shared.n; i++) /* an older revision of the first */
        if (strcmp(shared.v[i].field, field) == 0)
            entry_set(&shared.v[i], buf_str(&old));
    settle();
    all_note("a", "2");
    all_note("b", "1");
}

/* A store that lies changes nobody, and is put right. */
static void test_lies(void **state)
{
    static const char *const texts[] = {
        "", "x", "5:", "999999999999:abc", "99999999999999999999999999:a", "1:\x01zzzz", "0:"};
    track();
    put(0, (struct store_user){.name = "a", .note = "1"});
    put(0, (struct store_user){.name = "b", .note = "2"});
    settle();
    for (size_t i = 0; i < ARRAY_LEN(texts) + 2; i++) {
        AUTO_BUF a = BUF_INIT, b = BUF_INIT;
        assert_int_equal(buf_append_str(&a, buf_str(&shared.v[0].value)), 0);
        assert_int_equal(buf_append_str(&b, buf_str(&shared.v[1].value)), 0);
        if (i < ARRAY_LEN(texts)) {
            entry_set(&shared.v[0], str_of(texts[i]));
        } else if (i == ARRAY_LEN(texts)) { /* swapped */
            entry_set(&shared.v[0], buf_str(&b));
            entry_set(&shared.v[1], buf_str(&a));
        } else { /* another revision in front */
            entry_set(&shared.v[0], STR("77"));
            struct str rest = str_skip(buf_str(&a), str_index(buf_str(&a), ':'));
            assert_int_equal(buf_append_str(&shared.v[0].value, rest), 0);
        }
        for (size_t k = 0; k < NODES; k++) {
            pull(&nodes[k]);
            assert_true(nodes[k].effects.n_refused > 0);
            assert_int_equal(json_array_size(nodes[k].effects.changed), 0);
        }
        all_note("a", "1");
        all_note("b", "2");
        doubt();
        settle();
        pull(&nodes[2]);
        assert_int_equal(nodes[2].effects.n_refused, 0);
    }
    /* Of users that were never there it makes none. */
    (void)entry_of("00112233445566778899aabbccddeeff");
    entry_set(&shared.v[2], buf_str(&shared.v[0].value));
    pull(&nodes[1]);
    assert_int_equal(nodes[1].effects.n_refused, 1);
    assert_int_equal(json_array_size(nodes[1].effects.changed), 0);
}

/* ---- removals that are forgotten ---- */

/* Time passes: removals before are not remembered any more, neither by the store nor by those that
 * are there. */
static void forget(size_t first)
{
    uint64_t before = clock_wall_ms() + 1;
    for (size_t k = first; k < NODES; k++) {
        struct user_batch *b = calloc(1, sizeof(*b));
        nodes[k].exchange.removals_since_ms = before;
        assert_int_equal(user_exchange_removed(&nodes[k].exchange, before, 64, b), 0);
        for (size_t i = 0; i < b->n; i++) {
            char revision[USER_EXPECTED_SIZE];
            struct entry *e = entry_of(b->v[i].field);
            entry_revision(e, revision);
            if (strcmp(revision, b->v[i].expected) == 0)
                buf_clear(&e->value);
            b->v[i].is_over = e->value.len == 0;
        }
        assert_int_equal(user_exchange_forget(&nodes[k].exchange, b), 0);
        user_batch_fini(b);
        free(b);
    }
    for (size_t i = 0; i < shared.n;) /* what is empty is not there */
        if (shared.v[i].value.len == 0) {
            struct entry last = shared.v[--shared.n], gone = shared.v[i];
            shared.v[i] = last;
            shared.v[shared.n] = gone;
        } else {
            i++;
        }
}

static void removed_row(size_t node, const char *name, bool is_there)
{
    CLEANUP(store_sync_fini) struct store_sync row = {0};
    assert_int_equal(store_sync_get(nodes[node].store, name, &row), is_there ? 0 : -ERR_NOT_FOUND);
}

/* The steps of some nodes only: the others are away. */
static void settle_from(size_t first)
{
    for (unsigned i = 0; i < 4; i++)
        for (size_t k = first; k < NODES; k++) {
            push(&nodes[k], STORE_EDITED);
            pull(&nodes[k]);
            push(&nodes[k], STORE_DOUBTED);
        }
}

/* Node 0 is away while users are removed, and comes back when nobody remembers that. */
static void test_away_for_too_long(void **state)
{
    track();
    put(0, (struct store_user){.name = "gone", .note = "1"});
    put(0, (struct store_user){.name = "kept", .note = "1"});
    put(0, (struct store_user){.name = "again", .note = "old"});
    put(0, (struct store_user){.name = "same", .note = "1"});
    put(0, (struct store_user){.name = "removed", .note = "1"});
    put(0, (struct store_user){.name = "edited", .note = "1"});
    settle();
    put(0, (struct store_user){.name = "edited", .note = "while away"});
    put(0, (struct store_user){.name = "own", .note = "while away"});
    put(0, (struct store_user){.name = "same", .note = "while away"});
    assert_int_equal(store_user_remove(nodes[0].store, "removed"), 0);
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"gone", "again", "edited"};
        assert_int_equal(store_user_remove(nodes[1].store, names[i]), 0);
    }
    settle_from(1);
    forget(1);
    removed_row(1, "gone", false);
    removed_row(2, "gone", false);
    put(2, (struct store_user){.name = "again", .note = "new"});
    put(2, (struct store_user){.name = "kept", .note = "2"});
    settle_from(1);
    is_note(1, "again", "new");
    nodes[0].exchange.is_late = true;
    nodes[0].exchange.removals_since_ms = clock_wall_ms() + 1;
    doubt();
    settle();
    all_note("gone", NULL);
    all_note("edited", NULL);
    all_note("again", "new");
    all_note("kept", "2");
    all_note("own", "while away");
    all_note("same", "while away"); /* which nobody else has changed */
    all_note("removed", NULL);
}

/* The same of a change that is younger than what may be forgotten: it is later than any such
 * removal. And where the store was lost nobody is removed. */
static void test_away_but_sure(void **state)
{
    track();
    put(0, (struct store_user){.name = "edited", .note = "1"});
    put(0, (struct store_user){.name = "b", .note = "1"});
    settle();
    put(0, (struct store_user){.name = "edited", .note = "while away"});
    assert_int_equal(store_user_remove(nodes[1].store, "edited"), 0);
    settle_from(1);
    forget(1);
    nodes[0].exchange.is_late = true;
    nodes[0].exchange.removals_since_ms = 0; /* all that is here is younger */
    doubt();
    settle();
    all_note("edited", "while away");
    all_note("b", "1");
    nodes[0].exchange.is_late = false;
    shared.n = 0;
    doubt();
    settle();
    all_note("edited", "while away");
    all_note("b", "1");
}

/* A user who is there again, with a first revision, before each node has forgotten the removal. */
static void test_again_while_some_remember(void **state)
{
    track();
    put(0, (struct store_user){.name = "a", .note = "1"});
    put(0, (struct store_user){.name = "a", .note = "2"});
    settle();
    assert_int_equal(store_user_remove(nodes[1].store, "a"), 0);
    settle();
    forget(2); /* the store, and one node */
    nodes[0].exchange.removals_since_ms = nodes[1].exchange.removals_since_ms =
        nodes[2].exchange.removals_since_ms;
    removed_row(0, "a", true);
    put(2, (struct store_user){.name = "a", .note = "new"});
    push(&nodes[2], STORE_EDITED);
    doubt(); /* and one of the two that remember is asked first */
    push(&nodes[0], STORE_DOUBTED);
    settle();
    all_note("a", "new");
}

/* One text that no node reads, from an older version, keeps nobody waiting, and is named. */
static void test_too_long(void **state)
{
    char note[USER_TEXT_MAX + 2];
    memset(note, 'x', sizeof(note) - 1);
    note[sizeof(note) - 1] = '\0';
    track();
    put(0, (struct store_user){.name = "a", .note = "1"});
    AUTO_FREE char *sql = str_printf("UPDATE user SET note = '%s'", note);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(nodes[0].path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    put(0, (struct store_user){.name = "b", .note = "1"});
    push(&nodes[0], STORE_EDITED);
    assert_int_equal(json_array_size(nodes[0].effects.events), 1);
    settle();
    is_note(0, "a", note);
    is_note(1, "a", NULL);
    all_note("b", "1");
    doubt(); /* and said again when all is compared */
    push(&nodes[0], STORE_DOUBTED);
    assert_int_equal(json_array_size(nodes[0].effects.events), 1);
    put(0, (struct store_user){.name = "a", .note = "short"});
    settle();
    all_note("a", "short");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_begin),
                                       TEST(test_at_once),
                                       TEST(test_removed),
                                       TEST(test_changed_under_way),
                                       TEST(test_lost),
                                       TEST(test_lies),
                                       TEST(test_away_for_too_long),
                                       TEST(test_away_but_sure),
                                       TEST(test_again_while_some_remember),
                                       TEST(test_too_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
