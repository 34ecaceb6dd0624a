/* SPDX-License-Identifier: ISC */
/* The fair queue: turns between sources, shares of the places, and leaving before one's turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/container/fair_queue.h"

#define ITEMS 5000

struct ticket {
    struct fair_item item;
    uint64_t source;
    unsigned number; /* of its source's */
};

static struct fair_queue queue;
static struct ticket tickets[ITEMS];
static size_t n_tickets;

static void begin(size_t max)
{
    fair_queue_init(&queue, max);
    n_tickets = 0;
    memset(tickets, 0, sizeof(tickets));
}

static int push(uint64_t source, unsigned number)
{
    struct ticket *t = &tickets[n_tickets];
    *t = (struct ticket){.source = source, .number = number};
    int err = fair_queue_push(&queue, &t->item, source);
    n_tickets += err == 0;
    assert_true(n_tickets < ITEMS);
    return err;
}

static const struct ticket *pop(void)
{
    struct fair_item *i = fair_queue_pop(&queue);
    return i ? CONTAINER_OF(i, struct ticket, item) : NULL;
}

/* How many a source gets in before it is refused. */
static unsigned fill(uint64_t source)
{
    unsigned n = 0;
    while (push(source, n) == 0)
        n++;
    return n;
}

static void end(void)
{
    while (pop())
        ;
    assert_int_equal(queue.n, 0);
    assert_int_equal(queue.by_source.count, 0);
    fair_queue_fini(&queue);
}

static void test_order_of_one_source(void **state)
{
    begin(100);
    assert_null(pop());
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(push(7, i), 0);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(pop()->number, i);
    assert_null(pop());
    end();
}

/* Whoever queued a thousand before: a newcomer waits for one of them. */
static void test_newcomer_is_next_but_one(void **state)
{
    begin(4096);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(push(1, i), 0);
    assert_int_equal(pop()->source, 1);
    assert_int_equal(push(2, 0), 0);
    assert_int_equal(pop()->source, 1);
    assert_int_equal(pop()->source, 2);
    assert_int_equal(pop()->source, 1);
    end();
}

static void test_sources_take_turns(void **state)
{
    begin(4096);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(push(1, i), 0);
    for (unsigned i = 0; i < 3; i++)
        for (uint64_t s = 2; s <= 4; s++)
            assert_int_equal(push(s, i), 0);
    for (unsigned i = 0; i < 3; i++)
        for (uint64_t s = 1; s <= 4; s++) {
            const struct ticket *t = pop();
            assert_int_equal(t->source, s);
            assert_int_equal(t->number, i);
        }
    for (unsigned i = 3; i < 300; i++)
        assert_int_equal(pop()->number, i);
    assert_null(pop());
    end();
}

/* One takes half, the next half of the rest: there is always room for another. */
static void test_shares(void **state)
{
    begin(1024);
    assert_int_equal(fill(1), 512);
    assert_int_equal(fill(2), 256);
    assert_int_equal(fill(3), 128);
    unsigned n = 0;
    for (uint64_t s = 4; queue.n < 1024; s++)
        n += fill(s) > 0;
    assert_in_range(n, 7, 1024);
    assert_int_equal(push(99999, 0), -ERR_BUSY);
    (void)pop();
    assert_int_equal(push(99999, 0), 0);
    end();
}

static void test_own_source_has_no_share(void **state)
{
    begin(100);
    assert_int_equal(fill(FAIR_SOURCE_OWN), 100);
    end();
    begin(0);
    assert_int_equal(fill(FAIR_SOURCE_OWN), 0);
    assert_int_equal(fill(1), 0);
    end();
}

static void test_leaving(void **state)
{
    begin(100);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(push(1, i), 0);
    assert_int_equal(push(2, 0), 0);
    assert_true(fair_queue_remove(&queue, &tickets[0].item));
    assert_false(fair_queue_remove(&queue, &tickets[0].item));
    assert_true(fair_queue_remove(&queue, &tickets[3].item));
    assert_true(fair_queue_remove(&queue, &tickets[5].item)); /* the last of its source */
    assert_int_equal(queue.by_source.count, 1);
    assert_int_equal(pop()->number, 1);
    assert_int_equal(pop()->number, 2);
    assert_false(fair_queue_remove(&queue, &tickets[2].item));
    assert_int_equal(pop()->number, 4);
    assert_null(pop());
    end();
}

/* Places come back to the source that left them. */
static void test_share_after_leaving(void **state)
{
    begin(64);
    assert_int_equal(fill(1), 32);
    for (unsigned i = 0; i < 32; i++)
        assert_true(fair_queue_remove(&queue, &tickets[i].item));
    n_tickets = 0;
    assert_int_equal(fill(1), 32);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_one_source),
        cmocka_unit_test(test_newcomer_is_next_but_one),
        cmocka_unit_test(test_sources_take_turns),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_own_source_has_no_share),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_share_after_leaving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
