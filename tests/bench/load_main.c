/* SPDX-License-Identifier: ISC */
/* The load generator: options name=value; says "ready" when its sessions are, waits for a line,
 * works, prints its report, and keeps the sessions until its input ends. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "load.h"

#define LOAD_RAMP 64        /* logins at once while sessions are made */
#define LOAD_STALL_MS 20000 /* nothing happens for so long: something is broken */

/* ---- options ---- */

static int option_tls(struct str value, enum load_tls *ret)
{
    static const char *const names[] = {"off", "starttls", "on"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(value, str_of(names[i]))) {
            *ret = (enum load_tls)i;
            return 0;
        }
    return -ERR_INVAL;
}

static int option_number(struct load_options *o, struct str name, struct str value)
{
    uint64_t resumed = 0;
    const struct {
        const char *name;
        uint64_t *number;
    } rows[] = {{"clients", &o->clients}, {"bytes", &o->bytes}, {"think_ms", &o->think_ms},
                {"run_ms", &o->run_ms},   {"units", &o->units}, {"sources", &o->sources},
                {"resumed", &resumed}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(name, str_of(rows[i].name))) {
            int err = str_to_u64(value, UINT32_MAX, rows[i].number);
            o->is_resumed = o->is_resumed || resumed > 0;
            return err;
        }
    return -ERR_INVAL;
}

static int load_option(struct load_options *o, struct str arg)
{
    struct str value = arg, name = str_cut(&value, '=');
    if (str_eq(name, STR("to")))
        return addr_parse(value, &o->to);
    if (str_eq(name, STR("tls")))
        return option_tls(value, &o->tls);
    if (str_eq(name, STR("proto")))
        return (o->proto = load_dialogue_find(value)) ? 0 : -ERR_INVAL;
    if (str_eq(name, STR("work")))
        return (o->work = load_work_find(value)) < LOAD_WORKS ? 0 : -ERR_INVAL;
    return option_number(o, name, value);
}

static int load_options(struct load_options *o, int argc, char **argv)
{
    *o = (struct load_options){.proto = load_dialogue_find(STR("imap")), .clients = 1};
    for (int i = 1; i < argc; i++)
        if (load_option(o, str_of(argv[i])) != 0) {
            fprintf(stderr, "load: cannot use option %s\n", argv[i]);
            return -ERR_INVAL;
        }
    bool has_dialogue = o->work == LOAD_LOGIN || o->proto->work[o->work];
    return has_dialogue && o->to.port > 0 && o->clients > 0 ? 0 : -ERR_INVAL;
}

/* ---- runs ---- */

static void load_turn(struct load *l, int timeout_ms)
{
    uint64_t before_us = clock_us();
    if (net_turn(&l->net, timeout_ms) < 0)
        load_report_error(&l->report, "the poller failed");
    if (timeout_ms >= LOAD_STALL_MS && clock_us() - before_us >= LOAD_STALL_MS * 1000)
        load_report_error(&l->report, "stalled with %llu sessions at work",
                          (unsigned long long)l->n_busy);
}

/* All sessions log in; those of a login run also log out, so that everything on the way is warm and
 * tickets are there. */
static void load_open_all(struct load *l)
{
    uint64_t next = 0;
    l->is_over = true;
    while (l->report.errors == 0 && (next < l->options.clients || l->n_busy > 0)) {
        while (next < l->options.clients && l->n_busy < LOAD_RAMP)
            load_session_open(&l->sessions[next++]);
        load_turn(l, LOAD_STALL_MS);
    }
    l->is_over = false;
}

/* Sessions that have thought go on; returns the ms until the next one has, or to the end. */
static int load_wake(struct load *l)
{
    uint64_t now_us = clock_us();
    while (!list_is_empty(&l->thinking)) {
        struct load_session *s = LIST_ITEM(l->thinking.next, struct load_session, link);
        if (s->due_us > now_us && now_us < l->end_us)
            return (int)((s->due_us - now_us + 999) / 1000);
        list_del(&s->link);
        load_session_work(s);
    }
    return LOAD_STALL_MS;
}

/* Thinkers begin one after the other, not all at once. */
static void load_begin(struct load *l)
{
    uint64_t n = l->options.clients, now_us = clock_us();
    l->report = (struct load_report){.begun_us = now_us};
    l->n_begun = 0;
    l->end_us = l->options.run_ms ? now_us + l->options.run_ms * 1000 : 0;
    for (uint64_t i = 0; i < n; i++) {
        struct load_session *s = &l->sessions[i];
        s->due_us = now_us + l->options.think_ms * 1000 * i / n;
        if (load_session_is_idler(s))
            continue;
        if (l->options.think_ms > 0)
            list_add_tail(&l->thinking, &s->link);
        else
            load_session_work(s);
    }
}

static void load_run(struct load *l)
{
    int timeout_ms = LOAD_STALL_MS;
    load_begin(l);
    while (l->report.errors == 0) {
        timeout_ms = load_wake(l);
        if (l->n_busy == 0 && list_is_empty(&l->thinking))
            break;
        load_turn(l, timeout_ms);
    }
    l->report.ended_us = clock_us();
}

/* ---- start ---- */

static int load_init(struct load *l, int argc, char **argv)
{
    int err = load_options(&l->options, argc, argv);
    if (err == 0)
        err = net_init(&l->net);
    if (err == 0)
        err = load_tls_init(l);
    l->sessions = err == 0 ? calloc(l->options.clients, sizeof(*l->sessions)) : NULL;
    if (err == 0 && !l->sessions)
        err = -ERR_NOMEM;
    list_init(&l->thinking);
    for (uint64_t i = 0; err == 0 && i < l->options.clients; i++)
        load_session_init(&l->sessions[i], l, (unsigned)i);
    for (size_t i = 0; i < sizeof(l->body); i++)
        l->body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i % 26);
    return err;
}

/* Waits for a line or the end of the input; false at the end. */
static bool load_wait(void)
{
    char c = 0;
    ssize_t n;
    do
        n = read(STDIN_FILENO, &c, 1);
    while (c != '\n' && (n > 0 || (n < 0 && errno == EINTR)));
    return c == '\n';
}

int main(int argc, char **argv)
{
    static struct load load;
    signal(SIGPIPE, SIG_IGN);
    net_raise_files();
    int err = load_init(&load, argc, argv);
    if (err != 0) {
        fprintf(stderr, "load: cannot start: %s\n", err_text(err));
        return 2;
    }
    load_open_all(&load);
    if (load.report.errors == 0) {
        puts("ready");
        fflush(stdout);
        if (load_wait())
            load_run(&load);
    }
    load_report_print(&load.report);
    while (load_wait())
        ;
    return load.report.errors > 0;
}
