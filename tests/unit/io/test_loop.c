/* SPDX-License-Identifier: ISC */
/* The loop: timers, work for the end of the turn and for the next one, mail between threads. */
#include "io_case.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

static struct loop *loop;
static int owner; /* handed to mail */

static int setup(void **state)
{
    return loop_new(&owner, &loop);
}

static int teardown(void **state)
{
    loop_free(loop);
    return 0;
}

/* ---- timers ---- */

struct alarm {
    struct loop_timer timer;
    uint64_t set_ms, delay_ms;
    unsigned rang;
    struct alarm *victim; /* is cancelled, or set anew, when this one rings */
    bool is_victim_set;
};

static void on_alarm(struct loop_timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);
    assert_true(loop_now_ms(loop) >= a->set_ms + a->delay_ms); /* never early */
    a->rang++;
    if (a->victim && a->is_victim_set)
        loop_timer_set(loop, &a->victim->timer, 50);
    else if (a->victim)
        loop_timer_cancel(loop, &a->victim->timer);
}

static void alarm_init(struct alarm *a)
{
    *a = (struct alarm){0};
    loop_timer_init(&a->timer, on_alarm);
}

static void alarm_set(struct alarm *a, uint64_t delay_ms)
{
    a->set_ms = loop_now_ms(loop);
    a->delay_ms = delay_ms;
    loop_timer_set(loop, &a->timer, delay_ms);
}

static bool has_rung(void *arg)
{
    return ((struct alarm *)arg)->rang > 0;
}

static void test_timers(void **state)
{
    struct alarm now, soon, late, never;
    alarm_init(&now);
    alarm_init(&soon);
    alarm_init(&late);
    alarm_init(&never);
    loop_timer_cancel(loop, &never.timer); /* harmless */
    alarm_set(&late, 400);
    alarm_set(&soon, 100);
    alarm_set(&never, 100);
    alarm_set(&now, 0);
    loop_timer_cancel(loop, &never.timer);
    io_case_run(loop, has_rung, &now);
    assert_int_equal(late.rang, 0);
    io_case_run(loop, has_rung, &soon);
    assert_int_equal(late.rang, 0);
    alarm_set(&late, 600); /* later, while it is set */
    io_case_run(loop, has_rung, &late);
    assert_int_equal(now.rang + soon.rang + late.rang + never.rang, 3);
    alarm_set(&now, 10); /* after a time without timers */
    now.rang = 0;
    io_case_run(loop, has_rung, &now);
}

/* Timers that are due in the same turn: the first decides over the other. */
static void test_timer_stops_another(void **state)
{
    for (int is_set = 0; is_set < 2; is_set++) {
        struct alarm first, second;
        alarm_init(&first);
        alarm_init(&second);
        first.victim = &second;
        second.victim = &first;
        first.is_victim_set = second.is_victim_set = is_set;
        alarm_set(&first, 20);
        alarm_set(&second, 20);
        uint64_t end_ms = clock_ms() + 20 + 3 * WHEEL_TICK_MS;
        io_case_run(loop, io_case_after, &end_ms);
        if (is_set)
            assert_true(first.rang > 0 && second.rang > 0); /* in turns, for ever */
        else
            assert_int_equal(first.rang + second.rang, 1);
        loop_timer_cancel(loop, &first.timer);
        loop_timer_cancel(loop, &second.timer);
    }
}

/* ---- deferred work ---- */

static char order[32];
static size_t n_order;

struct work {
    struct loop_deferred d;
    char name;
    struct work *then; /* deferred by this one */
    bool is_then_again;
    bool is_last;
};

static void on_work(struct loop_deferred *d)
{
    struct work *w = CONTAINER_OF(d, struct work, d);
    order[n_order++] = w->name;
    if (w->then && w->is_then_again)
        loop_again(loop, &w->then->d);
    else if (w->then)
        loop_defer(loop, &w->then->d);
    if (w->is_last)
        loop_stop(loop);
}

static void work_init(struct work *w, char name)
{
    *w = (struct work){.d.fn = on_work, .name = name};
    list_init(&w->d.link);
}

static void test_deferred(void **state)
{
    struct work a, b, c, gone, next, twice;
    n_order = 0;
    work_init(&a, 'a');
    work_init(&b, 'b');
    work_init(&c, 'c');
    work_init(&gone, 'x');
    work_init(&next, 'n');
    work_init(&twice, 't');
    a.then = &c; /* still in this turn, behind the others */
    c.then = &next;
    c.is_then_again = true;
    next.is_last = true;
    loop_defer(loop, &a.d);
    loop_defer(loop, &gone.d);
    loop_defer(loop, &twice.d);
    loop_defer(loop, &twice.d);
    loop_defer(loop, &b.d);
    loop_undefer(&gone.d);
    loop_undefer(&gone.d);
    uint64_t turns = loop_turns(loop);
    assert_int_equal(loop_run(loop), 0);
    assert_true(str_eq(str_n(order, n_order), STR("atbcn")));
    assert_true(loop_turns(loop) > turns);
    assert_true(loop_heartbeat_ms(loop) > 0);
}

#define LONG_US (LOOP_AGAIN_US * 6 / 10)
#define N_LONG 10

static void on_long_work(struct loop_deferred *d)
{
    uint64_t end_us = clock_us() + LONG_US;
    while (clock_us() < end_us)
        continue;
    on_work(d);
}

/* Long work shares a part of each turn, in its order: what else there is to do comes in between. */
static void test_again_is_bounded(void **state)
{
    struct work work[N_LONG];
    n_order = 0;
    for (int i = 0; i < N_LONG; i++) {
        work_init(&work[i], (char)('0' + i));
        work[i].d.fn = on_long_work;
        work[i].is_last = i == N_LONG - 1;
        loop_again(loop, &work[i].d);
    }
    uint64_t turns = loop_turns(loop);
    assert_int_equal(loop_run(loop), 0);
    assert_true(str_eq(str_n(order, n_order), STR("0123456789")));
    assert_true(loop_turns(loop) - turns >= N_LONG / 2);
}

/* Objects that wait for the end of the turn are not leaked by the end of the loop. */
static void test_free_runs_deferred(void **state)
{
    struct loop *other;
    struct work w;
    n_order = 0;
    work_init(&w, 'w');
    assert_int_equal(loop_new(NULL, &other), 0);
    loop_defer(other, &w.d);
    loop_free(other);
    assert_int_equal(n_order, 1);
    loop_free(NULL);
}

/* ---- mail ---- */

#define SENDERS 4
#define LETTERS 2000

struct letter {
    struct mail mail;
    unsigned sender, number;
};

static unsigned next_number[SENDERS];
static unsigned received;
static atomic_uint dropped;
static pthread_t receiver;

static void on_letter(struct mail *m, void *who)
{
    struct letter *l = CONTAINER_OF(m, struct letter, mail);
    assert_ptr_equal(who, &owner);
    assert_true(pthread_equal(pthread_self(), receiver));
    assert_int_equal(l->number, next_number[l->sender]); /* in order */
    next_number[l->sender]++;
    received++;
    free(l);
}

static void drop_letter(struct mail *m)
{
    atomic_fetch_add(&dropped, 1);
    free(CONTAINER_OF(m, struct letter, mail));
}

/* Every other letter wakes nobody. */
static void post(struct mailbox *box, unsigned sender, unsigned number)
{
    struct letter *l = calloc(1, sizeof(*l));
    if (!l)
        abort();
    *l = (struct letter){{.fn = on_letter, .drop = drop_letter}, sender, number};
    if (number % 2 == 0)
        mailbox_post_lazily(box, &l->mail);
    else
        mailbox_post(box, &l->mail);
}

static void *sender_main(void *arg)
{
    unsigned sender = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < LETTERS; i++)
        post(loop_mailbox(loop), sender, i);
    return NULL;
}

static bool has_all(void *arg)
{
    (void)arg;
    return received == SENDERS * LETTERS;
}

static int snapshot_mail(void **state)
{
    memset(next_number, 0, sizeof(next_number));
    received = 0;
    atomic_store(&dropped, 0);
    receiver = pthread_self();
    return setup(state);
}

static void test_mail(void **state)
{
    pthread_t threads[SENDERS];
    for (uintptr_t i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sender_main, (void *)i), 0);
    io_case_run(loop, has_all, NULL);
    for (size_t i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&dropped), 0);
}

static bool is_ringing(const struct mailbox *box)
{
    struct pollfd p = {.fd = mailbox_fd(box), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void test_lazy_mail(void **state)
{
    struct mailbox *box = loop_mailbox(loop);
    for (unsigned round = 0; round < 2; round++) {
        post(box, 0, 2 * round);
        assert_true(mailbox_has_mail(box));
        assert_false(is_ringing(box));
        post(box, 0, 2 * round + 1); /* what lies there already does not keep it from ringing */
        assert_true(is_ringing(box));
        mailbox_run(box, &owner);
        assert_int_equal(received, 2 * round + 2);
        assert_false(mailbox_has_mail(box));
        assert_false(is_ringing(box));
    }
}

/* Nobody rings for a receiver that is awake: it does not wait while there is mail. */
static void test_awake(void **state)
{
    struct mailbox *box = loop_mailbox(loop);
    mailbox_set_awake(box);
    post(box, 0, 0);
    post(box, 0, 1);
    assert_false(is_ringing(box));
    assert_false(mailbox_may_wait(box));
    assert_false(is_ringing(box));
    mailbox_run(box, &owner);
    assert_int_equal(received, 2);
    post(box, 0, 2); /* lazy: nobody stays awake for it */
    assert_true(mailbox_may_wait(box));
    post(box, 0, 3);
    assert_true(is_ringing(box));
    mailbox_run(box, &owner);
    assert_int_equal(received, 4);
}

static void test_closed_mailbox(void **state)
{
    post(loop_mailbox(loop), 0, 0);
    mailbox_close(loop_mailbox(loop));
    post(loop_mailbox(loop), 0, 1);
    assert_int_equal(atomic_load(&dropped), 2);
    assert_int_equal(received, 0);
}

static void test_free_drops_mail(void **state)
{
    struct loop *other;
    assert_int_equal(loop_new(&owner, &other), 0);
    post(loop_mailbox(other), 0, 0);
    loop_free(other);
    assert_int_equal(atomic_load(&dropped), 1);
}

/* Mail wakes a loop that has nothing else to do, and work that was put off never lets it sleep. */
static void on_stop(struct mail *m, void *who)
{
    (void)who;
    free(m);
    loop_stop(loop);
}

static void *stopper_main(void *arg)
{
    struct mail *m = calloc(1, sizeof(*m));
    if (!m)
        abort();
    m->fn = on_stop;
    mailbox_post(arg, m);
    return NULL;
}

static void test_mail_wakes(void **state)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stopper_main, loop_mailbox(loop)), 0);
    assert_int_equal(loop_run(loop), 0);
    pthread_join(thread, NULL);
}

static void test_scratch(void **state)
{
    char *scratch = loop_scratch(loop);
    memset(scratch, 0xa5, LOOP_SCRATCH_BYTES);
    assert_int_equal((unsigned char)scratch[LOOP_SCRATCH_BYTES - 1], 0xa5);
}

/* ---- slices ---- */

struct digging {
    struct loop_slice slice;
    unsigned steps, most;
    uint64_t busy_us;
};

static void on_dig(struct loop_slice *s)
{
    struct digging *d = CONTAINER_OF(s, struct digging, slice);
    uint64_t end_us = clock_us() + d->busy_us;
    while (clock_us() < end_us)
        ;
    if (++d->steps == d->most)
        loop_unslice(s);
}

static void dig(struct digging *d, unsigned most, uint64_t busy_us)
{
    *d = (struct digging){.slice.step = on_dig, .most = most, .busy_us = busy_us};
    list_init(&d->slice.link);
    loop_slice(loop, &d->slice);
    loop_slice(loop, &d->slice); /* harmless */
}

static bool are_dug(void *arg)
{
    const struct digging *d = arg;
    return d[0].steps == d[0].most && d[1].steps == d[1].most;
}

struct turn {
    uint64_t n;
    unsigned most; /* steps of one turn */
    unsigned before;
    const struct digging *d;
};

static void on_turn(void *arg)
{
    struct turn *t = arg;
    unsigned now = t->d[0].steps + t->d[1].steps;
    t->most = now - t->before > t->most ? now - t->before : t->most;
    t->before = now;
    t->n++;
}

/* Long work takes many turns, short work as few as its time allows; nobody waits for somebody
 * else's end. */
static void test_slices(void **state)
{
    struct digging d[2];
    struct turn t = {.d = d};
    dig(&d[0], 40, LOOP_SLICES_US / 4);
    dig(&d[1], 3, LOOP_SLICES_US / 4);
    loop_on_turn(loop, on_turn, &t);
    io_case_run(loop, are_dug, d);
    assert_true(t.most <= 5);
    assert_true(t.n >= 8);
    dig(&d[0], 5000, 0);
    dig(&d[1], 1, 0);
    t = (struct turn){.d = d, .before = 0};
    io_case_run(loop, are_dug, d);
    assert_true(t.most > 100); /* in one turn */
    dig(&d[0], 10, 0);
    loop_unslice(&d[0].slice);
    loop_unslice(&d[0].slice); /* harmless */
    io_case_idle(loop, 5);
    assert_int_equal(d[0].steps, 0);
}

static void test_slices_take_turns(void **state)
{
    struct digging d[2];
    dig(&d[0], 1000, LOOP_SLICES_US);
    dig(&d[1], 4, LOOP_SLICES_US);
    while (d[1].steps < 4)
        io_case_idle(loop, 1);
    assert_true(d[0].steps < 100);
    loop_unslice(&d[0].slice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_stops_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deferred, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_runs_deferred, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mail, snapshot_mail, teardown),
        cmocka_unit_test_setup_teardown(test_lazy_mail, snapshot_mail, teardown),
        cmocka_unit_test_setup_teardown(test_awake, snapshot_mail, teardown),
        cmocka_unit_test_setup_teardown(test_closed_mailbox, snapshot_mail, teardown),
        cmocka_unit_test_setup_teardown(test_free_drops_mail, snapshot_mail, teardown),
        cmocka_unit_test_setup_teardown(test_mail_wakes, snapshot_mail, teardown),
        cmocka_unit_test_setup_teardown(test_scratch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slices_take_turns, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
