/* SPDX-License-Identifier: ISC */
/* mailproxy-tui: options and the loop over keys and the daemon's socket. */
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "ctl/client.h"
#include "tui/app.h"

#define MAIN_ONCE_TIMEOUT_MS 5000

struct main_options {
    struct app_options app;
    struct term_options term;
    bool is_once;
};

static const char main_usage[] =
    "usage: mailproxy-tui [-s SOCKET] [-i INTERVAL] [-r] [--screen NAME] [--ascii] [--once]\n"
    "  -s, --socket PATH    control socket (" CLIENT_SOCKET_DEFAULT ", or MAILPROXY_SOCKET)\n"
    "  -i, --interval TIME  refresh so often (1s)\n"
    "  -r, --read-only      change nothing\n"
    "      --screen NAME    overview, sessions, backends, users, listeners, events, audit\n"
    "      --ascii          no characters beyond ASCII\n"
    "      --once           print the screen as text and end (size: COLUMNS, LINES)\n"
    "  -V, --version        print the version\n"
    "  -h, --help           print this; ? shows the keys\n";

static int main_usage_error(const char *what, const char *value)
{
    fprintf(stderr, "mailproxy-tui: %s %s\n%s", what, value, main_usage);
    return 2;
}

/* Returns an exit status to end with, or -1 to go on. */
static int main_option(struct main_options *o, int opt, const char *value)
{
    uint64_t ms;
    switch (opt) {
    case 's':
        o->app.socket = value;
        return -1;
    case 'i':
        if (units_parse_duration(str_of(value), &ms) < 0 || ms < APP_INTERVAL_MIN_MS ||
            ms > APP_INTERVAL_MAX_MS)
            return main_usage_error("not an interval from 250ms to 1m:", value);
        o->app.interval_ms = ms;
        return -1;
    case 'r':
        o->app.is_read_only = true;
        return -1;
    case 'n': {
        int v = app_view_find(value);
        if (v < 0)
            return main_usage_error("no such screen:", value);
        o->app.view = (enum view)v;
        return -1;
    }
    case 'a':
        o->term.is_ascii = true;
        return -1;
    case 'o':
        o->is_once = true;
        return -1;
    case 'V':
        puts("mailproxy-tui " MAILPROXY_VERSION);
        return 0;
    case 'h':
        fputs(main_usage, stdout);
        return 0;
    default:
        fputs(main_usage, stderr);
        return 2;
    }
}

static int main_parse(int argc, char **argv, struct main_options *o)
{
    static const struct option longs[] = {
        {"socket", required_argument, NULL, 's'},
        {"interval", required_argument, NULL, 'i'},
        {"read-only", no_argument, NULL, 'r'},
        {"screen", required_argument, NULL, 'n'},
        {"ascii", no_argument, NULL, 'a'},
        {"once", no_argument, NULL, 'o'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int opt, status = -1;
    while (status < 0 && (opt = getopt_long(argc, argv, "s:i:rVh", longs, NULL)) != -1)
        status = main_option(o, opt, optarg);
    if (status < 0 && optind < argc)
        return main_usage_error("unexpected argument", argv[optind]);
    return status;
}

static void main_wait(struct app *a, int ms, bool with_keys)
{
    struct pollfd p[2] = {{.fd = feed_fd(a->feed), .events = feed_events(a->feed)},
                          {.fd = with_keys ? STDIN_FILENO : -1, .events = POLLIN}};
    (void)poll(p, 2, ms); /* a signal (resize) ends it too */
}

static int main_env(const char *name, int fallback)
{
    uint64_t n;
    const char *text = getenv(name);
    return text && str_to_u64(str_of(text), 1000, &n) == 0 && n > 0 ? (int)n : fallback;
}

/* The first complete screen goes to stdout. */
static int main_once(struct app *a)
{
    uint64_t end = clock_ms() + MAIN_ONCE_TIMEOUT_MS;
    int rows = main_env("LINES", 24), cols = main_env("COLUMNS", 80);
    app_draw(a, rows, cols);
    while (clock_ms() < end) {
        int ms = app_tick(a);
        if (a->is_lost || (a->refreshed_ms && feed_pending(a->feed) == 0))
            break;
        main_wait(a, ms < 50 ? ms : 50, false);
    }
    if (a->is_lost || !a->refreshed_ms) {
        fprintf(stderr, "mailproxy-tui: %s\n", a->message[0] ? a->message : "no answer");
        return 5;
    }
    app_draw(a, rows, cols);
    screen_print(&a->screen, stdout);
    return 0;
}

static void main_keys(struct app *a)
{
    for (int key; (key = term_key()) != TERM_NONE;) {
        int row, col, wheel;
        if (key != TERM_MOUSE) {
            app_key(a, key);
            continue;
        }
        term_mouse(&row, &col, &wheel);
        app_click(a, row, col, wheel);
    }
}

static int main_run(struct app *a)
{
    while (!a->is_over) {
        int rows, cols;
        int ms = app_tick(a);
        main_keys(a);
        if (a->wants_redraw)
            term_redraw();
        a->wants_redraw = false;
        term_size(&rows, &cols);
        app_draw(a, rows, cols);
        term_show(&a->screen);
        if (!a->is_over)
            main_wait(a, a->next_ms == 0 && feed_hello(a->feed) ? 0 : ms, true);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *socket = getenv("MAILPROXY_SOCKET"), *no_color = getenv("NO_COLOR");
    struct main_options o = {.app = {.socket = socket && socket[0] ? socket : CLIENT_SOCKET_DEFAULT,
                                     .interval_ms = 1000},
                             .term.is_monochrome = no_color && no_color[0]};
    struct app app;
    int status = main_parse(argc, argv, &o);
    if (status >= 0)
        return status;
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_ALL, "");
    if (!o.is_once && !term_open(&o.term)) {
        fputs("mailproxy-tui: this is no terminal; --once prints a screen as text\n", stderr);
        return 2;
    }
    o.app.is_utf8 = o.is_once ? !o.term.is_ascii : term_is_utf8();
    if (app_init(&app, &o.app) < 0)
        return 1;
    status = o.is_once ? main_once(&app) : main_run(&app);
    app_fini(&app);
    if (!o.is_once)
        term_close();
    return status;
}
