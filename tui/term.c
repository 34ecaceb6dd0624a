/* SPDX-License-Identifier: ISC */
/* curses: set-up, keys, colours, and giving the terminal back whatever happens. */
#define NCURSES_WIDECHAR 1
#include "tui/term.h"

#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"

static struct {
    bool is_open, is_utf8;
    struct termios saved;
    char restore[256]; /* what makes the screen normal again, for the crash handler */
    MEVENT mouse;
} term;

static const struct {
    short fg, bg;
    attr_t colour, mono; /* attributes with and without colours */
} term_styles[STYLE_COUNT] = {
    [STYLE_NORMAL] = {-1, -1, A_NORMAL, A_NORMAL},
    [STYLE_DIM] = {-1, -1, A_DIM, A_DIM},
    [STYLE_TITLE] = {-1, -1, A_BOLD, A_BOLD},
    [STYLE_HEADER] = {COLOR_BLACK, COLOR_CYAN, A_NORMAL, A_REVERSE},
    [STYLE_SELECTED] = {-1, -1, A_REVERSE, A_REVERSE},
    [STYLE_MARKED] = {COLOR_YELLOW, -1, A_BOLD, A_BOLD | A_UNDERLINE},
    [STYLE_GOOD] = {COLOR_GREEN, -1, A_NORMAL, A_NORMAL},
    [STYLE_WARN] = {COLOR_YELLOW, -1, A_NORMAL, A_BOLD},
    [STYLE_BAD] = {COLOR_RED, -1, A_BOLD, A_BOLD | A_REVERSE},
    [STYLE_KEY] = {COLOR_CYAN, -1, A_BOLD, A_BOLD},
    [STYLE_INPUT] = {COLOR_BLACK, COLOR_WHITE, A_NORMAL, A_REVERSE},
    [STYLE_GRAPH] = {COLOR_CYAN, -1, A_NORMAL, A_NORMAL},
};
static attr_t style_attrs[STYLE_COUNT];

/* Only calls that a signal handler may make. */
static void on_crash(int number)
{
    (void)!write(STDOUT_FILENO, term.restore, strlen(term.restore));
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &term.saved);
    signal(number, SIG_DFL);
    raise(number);
}

static void term_add_restore(const char *capability)
{
    const char *s = tigetstr(capability);
    size_t n = strlen(term.restore);
    if (s && s != (char *)-1)
        (void)str_copy(term.restore + n, sizeof(term.restore) - n, str_of(s));
}

static void term_catch_crashes(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                                  SIGABRT, SIGTERM, SIGHUP, SIGQUIT};
    term_add_restore("sgr0");
    term_add_restore("cnorm");
    term_add_restore("rmkx");
    term_add_restore("rmcup");
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        signal(numbers[i], on_crash);
}

static void term_make_styles(bool is_monochrome)
{
    bool has_colours = !is_monochrome && has_colors();
    if (has_colours) {
        start_color();
        use_default_colors();
    }
    for (short i = 0; i < STYLE_COUNT; i++) {
        bool is_pair = has_colours && (term_styles[i].fg >= 0 || term_styles[i].bg >= 0);
        if (is_pair)
            init_pair((short)(i + 1), term_styles[i].fg, term_styles[i].bg);
        style_attrs[i] = has_colours ? term_styles[i].colour : term_styles[i].mono;
        if (is_pair)
            style_attrs[i] |= (attr_t)COLOR_PAIR(i + 1);
    }
}

bool term_open(const struct term_options *o)
{
    setlocale(LC_ALL, "");
    term.is_utf8 = !o->is_ascii && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &term.saved) < 0)
        return false;
    if (!newterm(NULL, stdout, stdin))
        return false;
    term.is_open = true;
    atexit(term_close);
    term_catch_crashes();
    raw(); /* Ctrl-C and the like are keys; Ctrl-Z is put right by the application */
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    term_make_styles(o->is_monochrome);
    return true;
}

void term_close(void)
{
    if (!term.is_open)
        return;
    term.is_open = false;
    term_set_mouse(false);
    endwin();
}

bool term_is_utf8(void)
{
    return term.is_utf8;
}

void term_size(int *ret_rows, int *ret_cols)
{
    getmaxyx(stdscr, *ret_rows, *ret_cols);
}

static int term_special(wint_t key)
{
    static const struct {
        int curses, ours;
    } keys[] = {
        {KEY_UP, TERM_UP},       {KEY_DOWN, TERM_DOWN},     {KEY_LEFT, TERM_LEFT},
        {KEY_RIGHT, TERM_RIGHT}, {KEY_PPAGE, TERM_PAGE_UP}, {KEY_NPAGE, TERM_PAGE_DOWN},
        {KEY_HOME, TERM_HOME},   {KEY_END, TERM_END},       {KEY_BACKSPACE, TERM_BACKSPACE},
        {KEY_DC, TERM_DELETE},   {KEY_BTAB, TERM_BACKTAB},  {KEY_RESIZE, TERM_RESIZE},
        {KEY_MOUSE, TERM_MOUSE}, {KEY_ENTER, '\r'},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if ((int)key == keys[i].curses)
            return keys[i].ours;
    for (int i = 0; i < 12; i++)
        if ((int)key == KEY_F(i + 1))
            return TERM_F1 + i;
    return TERM_NONE;
}

int term_key(void)
{
    wint_t key;
    int kind = get_wch(&key);
    if (kind == ERR)
        return TERM_NONE;
    if (kind != KEY_CODE_YES) {
        if (key == 26) { /* Ctrl-Z */
            endwin();
            raise(SIGSTOP);
            refresh();
            return TERM_RESIZE;
        }
        return key == 127 || key == 8 ? TERM_BACKSPACE : key == '\n' ? '\r' : (int)key;
    }
    int special = term_special(key);
    if (special == TERM_MOUSE && getmouse(&term.mouse) != OK)
        return TERM_NONE;
    return special;
}

void term_show(const struct screen *s)
{
    for (int row = 0; row < s->rows; row++)
        for (int col = 0; col < s->cols; col++) {
            const struct screen_cell *c = &s->cells[(size_t)row * (size_t)s->cols + (size_t)col];
            attrset((int)style_attrs[c->style]);
            if (c->text[0])
                mvaddstr(row, col, c->text);
        }
    if (s->cursor_row >= 0) {
        curs_set(1);
        move(s->cursor_row, s->cursor_col);
    } else {
        curs_set(0);
    }
    refresh();
}

void term_redraw(void)
{
    clearok(stdscr, TRUE);
}

void term_set_mouse(bool is_on)
{
    mousemask(is_on ? BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED : 0,
              NULL);
}

void term_mouse(int *ret_row, int *ret_col, int *ret_wheel)
{
    *ret_row = term.mouse.y;
    *ret_col = term.mouse.x;
    *ret_wheel = term.mouse.bstate & BUTTON4_PRESSED   ? -1
                 : term.mouse.bstate & BUTTON5_PRESSED ? 1
                                                       : 0;
}

void term_copy(struct str text)
{
    AUTO_BUF out = BUF_INIT;
    if (buf_append_c(&out, "\033]52;c;") < 0 || str_base64_encode(text, &out) < 0 ||
        buf_append_c(&out, "\a") < 0)
        return;
    (void)!write(STDOUT_FILENO, out.data + out.start, out.len);
}
