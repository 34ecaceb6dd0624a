/* SPDX-License-Identifier: ISC */
/* Streams of events: those that were before come in slices and in their order, what happens
 * meanwhile follows them, and a reader that is slow is waited for. */
#include "runtime/events.h"

#include "control_case.h"
#include "rpc/client.h"

#define KEPT 10000

static struct plane plane;
static size_t backlog;
static uint64_t n_sent, n_disordered, last_number, most_a_turn, n_this_turn;

/* ---- a client of the test's own ---- */

void client_attach(struct client *c, struct client_link *l)
{
    l->client = c;
}

void client_detach(struct client_link *l)
{
    l->client = NULL;
}

/* The user of each event is its number. */
void client_send(struct client *c, const json_t *message)
{
    const json_t *params = json_object_get(message, "params");
    const char *user = json_string_value(json_object_get(params, "user"));
    uint64_t number = user ? strtoull(user, NULL, 10) : 0;
    (void)c;
    n_disordered += n_sent > 0 && number != last_number + 1;
    last_number = number;
    n_sent++;
    n_this_turn++;
}

size_t client_backlog(const struct client *c)
{
    (void)c;
    return backlog;
}

/* ---- the tests ---- */

static struct events *events;

static void happen(uint64_t number)
{
    char user[32];
    snprintf(user, sizeof(user), "%llu", (unsigned long long)number);
    control_event(plane.control, "login", "1-1", "imap", user, "192.0.2.1", "main/b1", "users");
}

static void on_turn(void *arg)
{
    (void)arg;
    most_a_turn = n_this_turn > most_a_turn ? n_this_turn : most_a_turn;
    n_this_turn = 0;
}

static int begin(void **state)
{
    plane_begin(&plane);
    backlog = 0;
    n_sent = n_disordered = last_number = most_a_turn = n_this_turn = 0;
    assert_int_equal(events_new(plane.control, &events), 0);
    plane.control->events = events;
    loop_on_turn(plane.host.loop, on_turn, NULL);
    return 0;
}

static int end(void **state)
{
    events_free(events);
    plane.control->events = NULL;
    plane_end(&plane);
    return 0;
}

static void watch(uint64_t from)
{
    static int client; /* only its address matters */
    uint64_t stream;
    assert_int_equal(events_watch(events, (struct client *)&client, NULL, from, &stream), 0);
    assert_true(plane.is_watched);
}

static bool has_all(struct plane *p)
{
    (void)p;
    return last_number == KEPT + 10;
}

/* No turn sends more than its share, and nothing is sent before the loop runs. */
static void test_slices(void **state)
{
    for (uint64_t i = 1; i <= KEPT; i++)
        happen(i);
    watch(0);
    assert_int_equal(n_sent, 0);
    for (uint64_t i = 1; i <= 10; i++)
        happen(KEPT + i);
    plane_run(&plane, has_all);
    /* Ten of the oldest were given up for what happened meanwhile. */
    assert_int_equal(n_sent, KEPT);
    assert_int_equal(n_disordered, 0);
    assert_true(most_a_turn < KEPT / 2);
    happen(KEPT + 11);
    assert_int_equal(n_sent, KEPT + 1);
    assert_int_equal(n_disordered, 0);
}

static void test_from_now_on(void **state)
{
    happen(1);
    watch(EVENTS_NOW);
    happen(2);
    assert_int_equal(n_sent, 1);
    assert_int_equal(last_number, 2);
}

static uint64_t waited_until_ms;

static bool has_waited(struct plane *p)
{
    (void)p;
    return clock_ms() >= waited_until_ms;
}

static bool has_some(struct plane *p)
{
    (void)p;
    return n_sent == 20;
}

/* The reader does not read: nothing more is sent, and the loop rests. */
static void test_slow_reader(void **state)
{
    for (uint64_t i = 1; i <= 20; i++)
        happen(i);
    backlog = 64 * 1024 * 1024;
    watch(0);
    waited_until_ms = clock_ms() + 50;
    plane_run(&plane, has_waited);
    assert_int_equal(n_sent, 0);
    backlog = 0;
    plane_run(&plane, has_some);
    assert_int_equal(n_disordered, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slices, begin, end),
        cmocka_unit_test_setup_teardown(test_from_now_on, begin, end),
        cmocka_unit_test_setup_teardown(test_slow_reader, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
