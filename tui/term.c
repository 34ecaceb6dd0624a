/* SPDX-License-Identifier: ISC */
/* curses: set-up, keys, colours, and giving the terminal back whatever happens. */
#define NCURSES_WIDECHAR 1
#include "tui/term.h"

#include <curses.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define TERM_ESC_MS 50
#define TERM_MOUSE_OFF "\033[?1006l\033[?1000l"
/* Text that is pasted comes between two sequences, so that it is not taken for keys. */
#define TERM_PASTE_ON "\033[?2004h"
#define TERM_PASTE_OFF "\033[?2004l"
#define TERM_PASTE_MAX (64 * 1024)
/* A paste whose end does not come is over then. */
#define TERM_PASTE_WAIT_MS 1000
#define TERM_KEY_PASTE (KEY_MAX + 1)
#define TERM_KEY_PASTE_END (KEY_MAX + 2)
/* A terminal takes no more into its clipboard. */
#define TERM_COPY_MAX (72 * 1024)

static struct {
    bool is_open, has_mouse, is_pressed;
    bool is_pasting;
    uint64_t pasted_ms; /* when its last character came */
    struct buf pasted;
    SCREEN *curses;
    struct termios saved;
    char restore[256];   /* what makes the screen normal again, for the crash handler */
    struct screen shown; /* what curses was told last */
    MEVENT mouse;
} term;

static volatile sig_atomic_t has_end, has_stop, has_continued;

/* ---- colours: pairs of foreground and background, -1 = the terminal's own ---- */

struct term_style {
    short fg, bg;
    attr_t attrs;
};

/* With 256 colours those are taken that stand out from black and from white alike. */
static const struct term_style styles_256[STYLE_COUNT] = {
    [STYLE_NORMAL] = {-1, -1, A_NORMAL},   [STYLE_DIM] = {245, -1, A_NORMAL},
    [STYLE_TITLE] = {-1, -1, A_BOLD},      [STYLE_BAR] = {231, 24, A_BOLD},
    [STYLE_TAB] = {245, -1, A_NORMAL},     [STYLE_TAB_HERE] = {231, 31, A_BOLD},
    [STYLE_HEADER] = {231, 240, A_NORMAL}, [STYLE_SELECTED] = {231, 31, A_NORMAL},
    [STYLE_MARKED] = {172, -1, A_BOLD},    [STYLE_GOOD] = {34, -1, A_NORMAL},
    [STYLE_WARN] = {172, -1, A_NORMAL},    [STYLE_BAD] = {196, -1, A_BOLD},
    [STYLE_ALARM] = {231, 160, A_BOLD},    [STYLE_KEY] = {32, -1, A_BOLD},
    [STYLE_INPUT] = {231, 239, A_NORMAL},  [STYLE_BORDER] = {32, -1, A_NORMAL},
    [STYLE_GRAPH] = {32, -1, A_NORMAL},    [STYLE_BUTTON] = {231, 31, A_BOLD},
};

static const struct term_style styles_8[STYLE_COUNT] = {
    [STYLE_NORMAL] = {-1, -1, A_NORMAL},
    [STYLE_DIM] = {-1, -1, A_DIM},
    [STYLE_TITLE] = {-1, -1, A_BOLD},
    [STYLE_BAR] = {COLOR_WHITE, COLOR_BLUE, A_BOLD},
    [STYLE_TAB] = {-1, -1, A_NORMAL},
    [STYLE_TAB_HERE] = {-1, -1, A_REVERSE | A_BOLD},
    [STYLE_HEADER] = {-1, -1, A_BOLD | A_UNDERLINE},
    [STYLE_SELECTED] = {-1, -1, A_REVERSE},
    [STYLE_MARKED] = {COLOR_YELLOW, -1, A_BOLD},
    [STYLE_GOOD] = {COLOR_GREEN, -1, A_NORMAL},
    [STYLE_WARN] = {COLOR_YELLOW, -1, A_NORMAL},
    [STYLE_BAD] = {COLOR_RED, -1, A_BOLD},
    [STYLE_ALARM] = {COLOR_WHITE, COLOR_RED, A_BOLD},
    [STYLE_KEY] = {COLOR_CYAN, -1, A_BOLD},
    [STYLE_INPUT] = {-1, -1, A_REVERSE},
    [STYLE_BORDER] = {COLOR_CYAN, -1, A_NORMAL},
    [STYLE_GRAPH] = {COLOR_CYAN, -1, A_NORMAL},
    [STYLE_BUTTON] = {-1, -1, A_REVERSE | A_BOLD},
};

static const attr_t styles_mono[STYLE_COUNT] = {
    [STYLE_DIM] = A_DIM,
    [STYLE_TITLE] = A_BOLD,
    [STYLE_BAR] = A_REVERSE,
    [STYLE_TAB_HERE] = A_REVERSE | A_BOLD,
    [STYLE_HEADER] = A_BOLD | A_UNDERLINE, /* the selected row is reversed */
    [STYLE_SELECTED] = A_REVERSE,
    [STYLE_MARKED] = A_BOLD,
    [STYLE_WARN] = A_BOLD,
    [STYLE_BAD] = A_BOLD,
    [STYLE_ALARM] = A_REVERSE | A_BOLD,
    [STYLE_KEY] = A_BOLD,
    [STYLE_INPUT] = A_REVERSE,
    [STYLE_BUTTON] = A_REVERSE | A_BOLD,
};

static attr_t style_attrs[STYLE_COUNT];

static struct term_style term_style(int style, bool is_light)
{
    struct term_style v = COLORS >= 256 ? styles_256[style] : styles_8[style];
    /* Yellow and cyan cannot be read on a white background. */
    if (is_light && COLORS < 256 && v.bg == -1)
        v.fg = v.fg == COLOR_YELLOW ? COLOR_MAGENTA : v.fg == COLOR_CYAN ? COLOR_BLUE : v.fg;
    return v;
}

static void term_make_styles(const struct term_options *o)
{
    bool has_colours = !o->is_monochrome && has_colors();
    if (has_colours) {
        start_color();
        use_default_colors();
    }
    for (short i = 0; i < STYLE_COUNT; i++) {
        if (!has_colours) {
            style_attrs[i] = styles_mono[i];
            continue;
        }
        struct term_style v = term_style(i, o->is_light);
        style_attrs[i] = v.attrs;
        if (v.fg < 0 && v.bg < 0)
            continue;
        init_pair((short)(i + 1), v.fg, v.bg);
        style_attrs[i] |= (attr_t)COLOR_PAIR(i + 1);
    }
}

/* ---- signals ---- */

/* Only calls that a signal handler may make. */
static void on_crash(int number)
{
    (void)!write(STDOUT_FILENO, TERM_PASTE_OFF, sizeof(TERM_PASTE_OFF) - 1);
    if (term.has_mouse)
        (void)!write(STDOUT_FILENO, TERM_MOUSE_OFF, sizeof(TERM_MOUSE_OFF) - 1);
    (void)!write(STDOUT_FILENO, term.restore, strlen(term.restore));
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &term.saved);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void on_end_signal(int number)
{
    (void)number;
    has_end = 1;
}

static void on_stop_signal(int number)
{
    (void)number;
    has_stop = 1;
}

static void on_continue(int number)
{
    (void)number;
    has_continued = 1;
}

static void term_catch(const int *numbers, size_t n, void (*fn)(int), int flags)
{
    struct sigaction action = {.sa_handler = fn, .sa_flags = flags};
    for (size_t i = 0; i < n; i++)
        (void)sigaction(numbers[i], &action, NULL);
}

static void term_catch_all(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
    static const int ends[] = {SIGTERM, SIGHUP, SIGQUIT, SIGINT};
    static const int stops[] = {SIGTSTP}, continues[] = {SIGCONT};
    static char stack[64 * 1024]; /* for a crash because there was no stack */
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
    (void)sigaltstack(&own, NULL);
    term_catch(crashes, ARRAY_LEN(crashes), on_crash, (int)SA_RESETHAND | SA_ONSTACK);
    term_catch(ends, ARRAY_LEN(ends), on_end_signal, 0);
    term_catch(stops, ARRAY_LEN(stops), on_stop_signal, 0);
    term_catch(continues, ARRAY_LEN(continues), on_continue, 0);
}

static bool term_take_flag(volatile sig_atomic_t *flag)
{
    bool is_set = *flag;
    *flag = 0;
    return is_set;
}

bool term_wants_end(void)
{
    return has_end;
}

bool term_wants_suspend(void)
{
    return term_take_flag(&has_stop);
}

bool term_was_continued(void)
{
    return term_take_flag(&has_continued);
}

/* ---- life ---- */

enum glyphs term_glyphs(bool is_ascii)
{
    const char *kind = getenv("TERM");
    if (is_ascii || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        return GLYPHS_ASCII;
    return kind && strcmp(kind, "linux") == 0 ? GLYPHS_CONSOLE : GLYPHS_FULL;
}

bool term_is_light(void)
{
    const char *text = getenv("COLORFGBG"), *last = text ? strrchr(text, ';') : NULL;
    return last && (strcmp(last, ";7") == 0 || strcmp(last, ";15") == 0);
}

static void term_add_restore(const char *capability)
{
    const char *s = tigetstr(capability);
    size_t n = strlen(term.restore);
    if (s && s != (char *)-1)
        (void)str_copy(term.restore + n, sizeof(term.restore) - n, str_of(s));
}

static const struct {
    const char *sequence;
    int key;
} plain_keys[] = {
    {"\033[A", KEY_UP},
    {"\033[B", KEY_DOWN},
    {"\033[C", KEY_RIGHT},
    {"\033[D", KEY_LEFT},
    {"\033OA", KEY_UP},
    {"\033OB", KEY_DOWN},
    {"\033OC", KEY_RIGHT},
    {"\033OD", KEY_LEFT},
    {"\033[H", KEY_HOME},
    {"\033[F", KEY_END},
    {"\033[1~", KEY_HOME},
    {"\033[4~", KEY_END},
    {"\033[Z", KEY_BTAB},
    {"\033OH", KEY_HOME},
    {"\033OF", KEY_END},
    {"\033[200~", TERM_KEY_PASTE},
    {"\033[201~", TERM_KEY_PASTE_END},
};

static void term_send(const char *sequence)
{
    fputs(sequence, stdout);
    fflush(stdout);
}

static void term_modes(void)
{
    raw(); /* Ctrl-C and the like are keys */
    noecho();
    nonl();
    intrflush(stdscr, FALSE);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    /* Some terminals do not change to the other form of these keys when they are told to. */
    for (size_t i = 0; i < ARRAY_LEN(plain_keys); i++)
        (void)define_key(plain_keys[i].sequence, plain_keys[i].key);
    term_send(TERM_PASTE_ON);
}

/* Whether the terminal is known and lets its cursor be placed. */
static bool term_is_able(void)
{
    int err;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &term.saved) < 0)
        return false;
    if (setupterm(NULL, STDOUT_FILENO, &err) != OK)
        return false;
    const char *cup = tigetstr("cup");
    bool is_able = cup && cup != (char *)-1;
    (void)del_curterm(cur_term);
    return is_able;
}

bool term_open(const struct term_options *o)
{
    if (!term_is_able())
        return false;
    term.curses = newterm(NULL, stdout, stdin);
    if (!term.curses)
        return false;
    term.is_open = true;
    (void)atexit(term_close);
    term_add_restore("sgr0");
    term_add_restore("cnorm");
    term_add_restore("rmkx");
    term_add_restore("rmcup");
    term_catch_all();
    set_escdelay(TERM_ESC_MS);
    term_modes();
    term_make_styles(o);
    return true;
}

void term_close(void)
{
    if (!term.is_open)
        return;
    term_set_mouse(false);
    term_send(TERM_PASTE_OFF);
    term_forget_paste();
    term.is_open = false;
    endwin();
    delscreen(term.curses);
    screen_fini(&term.shown);
}

void term_suspend(void)
{
    bool had_mouse = term.has_mouse;
    const struct sigaction stop = {.sa_handler = SIG_DFL};
    struct sigaction own;
    term_set_mouse(false);
    term_send(TERM_PASTE_OFF);
    endwin();
    (void)sigaction(SIGTSTP, &stop, &own);
    (void)raise(SIGTSTP);
    /* Somebody typed fg. */
    (void)sigaction(SIGTSTP, &own, NULL);
    has_continued = 0;
    term_modes();
    term_set_mouse(had_mouse);
    term_redraw();
}

/* ---- keys ---- */

void term_size(int *ret_rows, int *ret_cols)
{
    getmaxyx(stdscr, *ret_rows, *ret_cols);
}

static int term_special(wint_t key)
{
    static const struct {
        int curses, ours;
    } keys[] = {
        {KEY_UP, INPUT_UP},       {KEY_DOWN, INPUT_DOWN},     {KEY_LEFT, INPUT_LEFT},
        {KEY_RIGHT, INPUT_RIGHT}, {KEY_PPAGE, INPUT_PAGE_UP}, {KEY_NPAGE, INPUT_PAGE_DOWN},
        {KEY_HOME, INPUT_HOME},   {KEY_END, INPUT_END},       {KEY_BACKSPACE, INPUT_BACKSPACE},
        {KEY_DC, INPUT_DELETE},   {KEY_BTAB, INPUT_BACKTAB},  {KEY_RESIZE, INPUT_RESIZE},
        {KEY_MOUSE, INPUT_MOUSE}, {KEY_ENTER, INPUT_ENTER},   {KEY_FIND, INPUT_HOME},
        {KEY_SELECT, INPUT_END},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if ((int)key == keys[i].curses)
            return keys[i].ours;
    for (int i = 0; i < 12; i++)
        if ((int)key == KEY_F(i + 1))
            return INPUT_F1 + i;
    return INPUT_RESIZE; /* a key without a meaning */
}

/* The rest of a sequence that means nothing to us is no row of keys: ESC [ 1 ; 5 D would disable a
 * backend. Returns whether there was one. */
static bool term_swallow_sequence(void)
{
    wint_t key;
    int kind = get_wch(&key);
    if (kind == ERR)
        return false;
    if (kind == KEY_CODE_YES) {
        (void)ungetch((int)key);
        return false;
    }
    if (key != '[' && key != 'O') {
        (void)unget_wch((wchar_t)key);
        return false;
    }
    while (get_wch(&key) == OK && (key < '@' || key > '~'))
        ;
    return true;
}

/* Whether the mouse did something. When a key follows at once, curses forgets the press of a click
 * and tells of the release alone. */
static bool term_take_mouse(void)
{
    const mmask_t wanted = BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED;
    if (getmouse(&term.mouse) != OK)
        return false;
    bool is_lone = term.mouse.bstate & BUTTON1_RELEASED && !term.is_pressed;
    term.is_pressed = term.mouse.bstate & BUTTON1_PRESSED;
    return is_lone || term.mouse.bstate & wanted;
}

/* ---- pasted text ---- */

struct str term_pasted(void)
{
    return buf_str(&term.pasted);
}

void term_forget_paste(void)
{
    if (term.pasted.data)
        explicit_bzero(term.pasted.data, term.pasted.cap);
    buf_fini(&term.pasted);
    term.pasted = BUF_INIT;
    term.is_pasting = false;
}

void term_drop_keys(void)
{
    flushinp();
}

static void term_paste_add(wint_t key)
{
    char c[MB_LEN_MAX];
    int n = wctomb(c, (wchar_t)key);
    if (n > 0 && term.pasted.len < TERM_PASTE_MAX)
        (void)!buf_append(&term.pasted, c, (size_t)n);
}

/* Reads on until the end of what is pasted; INPUT_NONE while it has not come. */
static int term_paste(void)
{
    wint_t key;
    int kind;
    while ((kind = get_wch(&key)) != ERR) {
        term.pasted_ms = clock_ms();
        if (kind == KEY_CODE_YES && (int)key == TERM_KEY_PASTE_END) {
            term.is_pasting = false;
            return INPUT_PASTE;
        }
        if (kind != KEY_CODE_YES)
            term_paste_add(key);
        else if (key == KEY_ENTER)
            term_paste_add('\n');
    }
    if (clock_ms() - term.pasted_ms > TERM_PASTE_WAIT_MS)
        term_forget_paste();
    return INPUT_NONE;
}

int term_key(void)
{
    wint_t key;
    if (term.is_pasting)
        return term_paste();
    int kind = get_wch(&key);
    if (kind == ERR)
        return INPUT_NONE;
    if (kind == KEY_CODE_YES && (int)key == TERM_KEY_PASTE) {
        term_forget_paste();
        /* All at once: what grows leaves copies behind, and it may be a secret. */
        (void)!buf_reserve(&term.pasted, TERM_PASTE_MAX + MB_LEN_MAX);
        term.is_pasting = true;
        term.pasted_ms = clock_ms();
        return term_paste();
    }
    if (kind != KEY_CODE_YES && key == INPUT_ESC && term_swallow_sequence())
        return INPUT_RESIZE;
    if (kind != KEY_CODE_YES)
        return key == 127 || key == 8 ? INPUT_BACKSPACE : key == '\n' ? INPUT_ENTER : (int)key;
    int special = term_special(key);
    return special == INPUT_MOUSE && !term_take_mouse() ? INPUT_RESIZE : special;
}

void term_set_mouse(bool is_on)
{
    if (is_on == term.has_mouse)
        return;
    term.has_mouse = is_on;
    /* curses would wait, with all keys, for the next event behind one that is not asked for. */
    mousemask(is_on ? ALL_MOUSE_EVENTS : 0, NULL);
    mouseinterval(0);
}

void term_mouse(int *ret_row, int *ret_col, int *ret_wheel)
{
    *ret_row = term.mouse.y;
    *ret_col = term.mouse.x;
    *ret_wheel = term.mouse.bstate & BUTTON4_PRESSED   ? -1
                 : term.mouse.bstate & BUTTON5_PRESSED ? 1
                                                       : 0;
}

/* ---- showing ---- */

/* What the C library would not print, or prints in another width than was laid out, is replaced:
 * nothing may shift what stands behind it. */
static const char *term_printable(const struct screen_cell *c, int width)
{
    wchar_t w[sizeof(c->text)];
    if ((unsigned char)c->text[0] < 0x80)
        return c->text;
    size_t n = mbstowcs(w, c->text, ARRAY_LEN(w));
    if (n == (size_t)-1 || n == 0 || wcwidth(w[0]) != width)
        return width == 2 ? "??" : "?";
    for (size_t i = 1; i < n; i++)
        if (wcwidth(w[i]) != 0)
            return width == 2 ? "??" : "?";
    return c->text;
}

void term_show(const struct screen *s)
{
    bool is_new = s->rows != term.shown.rows || s->cols != term.shown.cols;
    if (is_new)
        erase();
    /* Rows that are as they were need not go through curses at all. */
    size_t row_size = (size_t)s->cols * sizeof(struct screen_cell);
    for (int row = 0; row < s->rows; row++) {
        if (!is_new && memcmp(screen_at(s, row, 0), screen_at(&term.shown, row, 0), row_size) == 0)
            continue;
        for (int col = 0; col < s->cols; col++) {
            const struct screen_cell *c = screen_at(s, row, col);
            if (!c->text[0])
                continue;
            bool is_wide = col + 1 < s->cols && !screen_at(s, row, col + 1)->text[0];
            attrset((int)style_attrs[c->style]);
            mvaddstr(row, col, term_printable(c, is_wide ? 2 : 1));
        }
    }
    if (!is_new || screen_reset(&term.shown, s->rows, s->cols))
        memcpy(term.shown.cells, s->cells, (size_t)s->rows * row_size);
    curs_set(s->cursor_row >= 0);
    if (s->cursor_row >= 0)
        move(s->cursor_row, s->cursor_col);
    refresh();
}

void term_redraw(void)
{
    screen_fini(&term.shown);
    clearok(stdscr, TRUE);
}

void term_copy(struct str text)
{
    AUTO_BUF out = BUF_INIT;
    text.n = text.n < TERM_COPY_MAX ? text.n : TERM_COPY_MAX;
    if (buf_append_c(&out, "\033]52;c;") < 0 || str_base64_encode(text, &out) < 0 ||
        buf_append_c(&out, "\a") < 0)
        return;
    fwrite(out.data + out.start, 1, out.len, stdout);
    fflush(stdout);
}
