/* SPDX-License-Identifier: ISC */
/* mailproxy-tui: options, and the loop over keys and the daemons' sockets. */
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/os/process.h"
#include "base/units.h"
#include "ctl/control_client.h"
#include "ctl/remote.h"
#include "tui/app.h"
#include "tui/term.h"

#define MAIN_ONCE_TIMEOUT_MS 5000
/* Between two drawings, when nobody pressed a key. */
#define MAIN_FRAME_MS 40
/* Without a reason: ages and clocks go on. */
#define MAIN_IDLE_MS 1000

struct tui_options {
    struct app_options app;
    struct settings settings;
    char *path; /* of the settings; owned */
    bool is_once;
};

static const char main_usage[] =
    "usage: mailproxy-tui [-s SOCKET]... [-i TIME] [-r] [--screen NAME] [--ascii] [--once]\n"
    "  -s, --socket PATH    control socket (" CLIENT_SOCKET_DEFAULT ", or MAILPROXY_SOCKET),\n"
    "                       or ssh://[user@]host[:port][/socket];\n"
    "                       given several times: all daemons in one view,\n"
    "                       and a tab for each\n"
    "  -i, --interval TIME  refresh so often: 250ms to 1m (1s)\n"
    "  -r, --read-only      change nothing\n"
    "      --screen NAME    overview, sessions, backends, users, bans, events, operations,\n"
    "                       failures, groups, fleet (in one)\n"
    "      --ascii          no characters beyond ASCII\n"
    "      --once           print the screen as text and end (size: COLUMNS, LINES)\n"
    "  -V, --version        print the version\n"
    "  -h, --help           print this; ? shows the keys\n";

static int main_usage_error(const char *what, const char *value)
{
    fprintf(stderr, "mailproxy-tui: %s %s\n%s", what, value, main_usage);
    return 2;
}

static int main_interval(struct tui_options *o, const char *value)
{
    uint64_t ms;
    AUTO_FREE char *seconds = str_printf("%ss", value);
    /* A bare number is one of seconds. */
    bool is_good = units_parse_duration(str_of(value), &ms) == 0 ||
                   (seconds && units_parse_duration(str_of(seconds), &ms) == 0);
    if (!is_good || ms < SETTINGS_INTERVAL_MIN_MS || ms > SETTINGS_INTERVAL_MAX_MS)
        return main_usage_error("not an interval from 250ms to 1m:", value);
    o->settings.interval_ms = ms;
    return -1;
}

/* Returns an exit status to end with, or -1 to go on. */
static int main_option(struct tui_options *o, int opt, const char *value)
{
    switch (opt) {
    case 's':
        if (o->app.n_sockets == ARRAY_LEN(o->app.sockets))
            return main_usage_error("too many sockets:", value);
        o->app.sockets[o->app.n_sockets++] = value;
        return -1;
    case 'i':
        return main_interval(o, value);
    case 'r':
        o->app.is_read_only = true;
        return -1;
    case 'n':
        o->app.screen = screen_find(value, &o->app.focus);
        return o->app.screen < 0 ? main_usage_error("no such screen:", value) : -1;
    case 'a':
        o->settings.is_ascii = true;
        return -1;
    case 'o':
        o->is_once = true;
        return -1;
    case 'k':
        keys_manual(stdout);
        return 0;
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

static int main_read_options(int argc, char **argv, struct tui_options *o)
{
    static const struct option longs[] = {
        {"socket", required_argument, NULL, 's'},
        {"interval", required_argument, NULL, 'i'},
        {"read-only", no_argument, NULL, 'r'},
        {"screen", required_argument, NULL, 'n'},
        {"ascii", no_argument, NULL, 'a'},
        {"once", no_argument, NULL, 'o'},
        {"print-keys", no_argument, NULL, 'k'}, /* for the manual */
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *socket = getenv("MAILPROXY_SOCKET");
    int opt, status = -1;
    remote_never_ask(); /* the terminal is the dashboard's */
    while (status < 0 && (opt = getopt_long(argc, argv, "s:i:rVh", longs, NULL)) != -1)
        status = main_option(o, opt, optarg);
    if (status < 0 && optind < argc)
        return main_usage_error("unexpected argument", argv[optind]);
    if (o->app.n_sockets == 0)
        o->app.sockets[o->app.n_sockets++] = socket && socket[0] ? socket : CLIENT_SOCKET_DEFAULT;
    return status;
}

/* ---- waiting ---- */

static void main_wait(struct app *a, int ms, bool with_keys)
{
    struct pollfd p[APP_NODES_MAX + 3];
    nfds_t n = 0;
    p[n++] = (struct pollfd){.fd = with_keys ? STDIN_FILENO : -1, .events = POLLIN};
    for (size_t i = 0; i < a->n_nodes; i++)
        if (a->nodes[i].rpc)
            p[n++] = (struct pollfd){.fd = rpc_client_fd(a->nodes[i].rpc),
                                     .events = rpc_client_events(a->nodes[i].rpc)};
    if (child_is_running(&a->shell.child))
        p[n++] = (struct pollfd){.fd = a->shell.child.fd, .events = POLLIN};
    if (child_is_running(&a->shell.completer))
        p[n++] = (struct pollfd){.fd = a->shell.completer.fd, .events = POLLIN};
    /* A signal (resize) ends it too. A terminal that is gone would be readable for ever. */
    if (poll(p, n, ms) > 0 && p[0].revents & (POLLHUP | POLLERR | POLLNVAL))
        a->is_over = true;
}

/* ---- one screen as text ---- */

static int main_env(const char *name, int fallback)
{
    uint64_t n;
    const char *text = getenv(name);
    return text && str_to_u64(str_of(text), 1000, &n) == 0 && n > 0 ? (int)n : fallback;
}

static int main_once(struct app *a)
{
    uint64_t end = clock_ms() + MAIN_ONCE_TIMEOUT_MS;
    const struct node *n = app_node(a);
    int rows = main_env("LINES", 24), cols = main_env("COLUMNS", 80);
    app_draw(a, rows, cols);
    while (clock_ms() < end && !n->is_lost && !app_is_complete(a)) {
        int ms = app_tick(a);
        main_wait(a, ms < 0 || ms > 50 ? 50 : ms, false);
    }
    if (n->is_lost || !n->refreshed_ms) {
        fprintf(stderr, "mailproxy-tui: %s%s%s%s\n",
                n->is_lost ? n->why : "the daemon does not answer", n->hint[0] ? " (" : "", n->hint,
                n->hint[0] ? ")" : "");
        return 5;
    }
    app_draw(a, rows, cols);
    screen_print(&a->view, stdout);
    return 0;
}

/* ---- the loop ---- */

static void main_draw(struct app *a)
{
    int rows, cols;
    term_size(&rows, &cols);
    app_draw(a, rows, cols);
    term_show(&a->view);
}

static void main_key(struct app *a, int key)
{
    int row, col, wheel;
    if (key == INPUT_PASTE) {
        app_paste(a, term_pasted());
        term_forget_paste();
    } else if (key == INPUT_MOUSE) {
        term_mouse(&row, &col, &wheel);
        app_click(a, row, col, wheel);
    } else {
        app_key(a, key);
    }
}

/* True when there was any. */
static bool main_keys(struct app *a)
{
    bool had_key = false;
    for (int key; (key = term_key()) != INPUT_NONE; had_key = true) {
        main_key(a, key);
        if (!app_has_new_question(a))
            continue;
        /* Only what is pressed when the question can be read answers it. */
        main_draw(a);
        term_drop_keys();
    }
    return had_key;
}

/* What keys and signals ask of the terminal. */
static void main_serve(struct app *a)
{
    if (term_wants_suspend() || a->wants_suspend)
        term_suspend();
    if (term_was_continued() || a->wants_redraw)
        term_redraw();
    a->wants_suspend = a->wants_redraw = false;
    term_set_mouse(a->settings.has_mouse);
    if (a->clip)
        term_copy(str_of(a->clip));
    free(STEAL(a->clip));
}

static int main_run(struct app *a)
{
    uint64_t drawn_ms = 0;
    while (!a->is_over && !term_wants_end()) {
        bool had_key = main_keys(a);
        main_serve(a);
        int ms = app_tick(a);
        uint64_t now = clock_ms();
        if (had_key || now >= drawn_ms + MAIN_FRAME_MS) {
            main_draw(a);
            drawn_ms = now;
            ms = ms < 0 || ms > MAIN_IDLE_MS ? MAIN_IDLE_MS : ms;
        } else {
            ms = (int)(drawn_ms + MAIN_FRAME_MS - now); /* what came is drawn then */
        }
        main_wait(a, ms, true);
    }
    return 0;
}

static int main_open(struct tui_options *o)
{
    const char *no_color = getenv("NO_COLOR");
    const struct term_options term = {
        .is_ascii = o->settings.is_ascii,
        .is_monochrome = no_color && no_color[0],
        .is_light = o->settings.background == BACKGROUND_LIGHT ||
                    (o->settings.background == BACKGROUND_AUTO && term_is_light()),
    };
    if (o->is_once || term_open(&term))
        return -1;
    fputs("mailproxy-tui: this terminal cannot show screens; --once prints one as text\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct tui_options o = {.app.screen = -1};
    static struct app app;
    process_open_standard(true);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setlocale(LC_ALL, "");
    AUTO_FREE char *error = NULL;
    settings_init(&o.settings);
    o.path = settings_path();
    if (o.path && settings_load(&o.settings, o.path, &error) < 0)
        fprintf(stderr, "mailproxy-tui: %s; going on without it\n", error ? error : "no settings");
    bool was_ascii = o.settings.is_ascii;
    int status = main_read_options(argc, argv, &o);
    if (status < 0)
        status = main_open(&o);
    if (status >= 0) {
        settings_fini(&o.settings);
        free(o.path);
        return status;
    }
    o.app.glyphs = term_glyphs(o.settings.is_ascii);
    status = app_init(&app, &o.app, &o.settings) < 0 ? 1
             : o.is_once                             ? main_once(&app)
                                                     : main_run(&app);
    app.settings.is_ascii = was_ascii;
    if (!o.is_once && status == 0 && o.path)
        (void)!settings_save(app_settings(&app), o.path);
    app_fini(&app);
    free(o.path);
    if (!o.is_once)
        term_close();
    return status;
}
