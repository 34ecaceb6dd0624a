/* SPDX-License-Identifier: ISC */
/* Repeated listings. */
#include "ctl/watch.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "ctl/run.h"
#include "ctl/run_stream.h"

#define WATCH_HOME "\033[H"
#define WATCH_CLEAR_LINE "\033[K"
#define WATCH_CLEAR_REST "\033[J"

static size_t watch_height(FILE *f)
{
    struct winsize size;
    if (ioctl(fileno(f), TIOCGWINSZ, &size) || size.ws_row < 3)
        return 24;
    return size.ws_row;
}

static void watch_title(FILE *out, const struct args *a, int width)
{
    char every[32], now[32] = "";
    struct tm tm;
    time_t t = time(NULL);
    units_format_duration(every, a->options.watch_ms);
    if (localtime_r(&t, &tm))
        (void)strftime(now, sizeof(now), "%H:%M:%S", &tm);
    AUTO_FREE char *title =
        str_printf("every %s: %s %s  %s", every, a->command->noun, a->command->verb, now);
    if (title)
        fprintf(out, "%.*s" WATCH_CLEAR_LINE "\n", width > 0 ? width : 80, title);
}

/* As many lines as the terminal has; the rest is counted. */
static void watch_paint(FILE *out, const struct args *a, struct str text, int width)
{
    size_t room = watch_height(out) - 2;
    fputs(WATCH_HOME, out);
    watch_title(out, a, width);
    while (text.n && room--) {
        struct str line = str_cut(&text, '\n');
        fprintf(out, "%.*s" WATCH_CLEAR_LINE "%s", STR_ARG(line), text.n && room ? "\n" : "");
    }
    fputs(WATCH_CLEAR_REST, out);
    fflush(out);
}

static void watch_once(struct run *r, struct args *a, FILE *out)
{
    char *text = NULL;
    size_t n = 0;
    FILE *err = r->err;
    FILE *page = open_memstream(&text, &n);
    if (!page)
        return;
    run_measure(r, out);
    r->out = r->err = page;
    run_command(r, a);
    r->out = out;
    r->err = err;
    fclose(page);
    watch_paint(out, a, (struct str){text, n}, r->width);
    free(text);
}

int watch_run(struct run *r, struct args *a)
{
    const struct timespec pause = {.tv_sec = (time_t)(a->options.watch_ms / 1000),
                                   .tv_nsec = (long)(a->options.watch_ms % 1000) * 1000000};
    if (!(a->command->flags & (COMMANDS_LIST | COMMANDS_ONE)) ||
        a->command->flags & COMMANDS_CHANGES) {
        struct problem problem = {0};
        int code = problem_usage(&problem, NULL, "%s %s cannot be watched: it is no listing",
                                 a->command->noun, a->command->verb);
        problem_print(&problem, false, r->out, r->err);
        problem_fini(&problem);
        return code;
    }
    bool is_page = r->is_terminal && a->options.limit == 0 && a->command->flags & COMMANDS_LIST &&
                   run_format(r, &a->options) == OUTPUT_TABLE;
    run_stop_quietly();
    if (r->is_terminal)
        fputs(WATCH_HOME WATCH_CLEAR_REST, r->out);
    while (!ferror(r->out)) {
        if (is_page) { /* rows that nobody can see are not asked for */
            a->options.limit = watch_height(r->out) - 2;
            if (commands_arg(a->command, "limit"))
                json_object_set_new(a->params, "limit", json_integer((json_int_t)a->options.limit));
        }
        if (r->is_terminal)
            watch_once(r, a, r->out);
        else
            run_command(r, a);
        nanosleep(&pause, NULL);
    }
    return PROBLEM_FAILED; /* the reason is told at the end, as of everything that is printed */
}
