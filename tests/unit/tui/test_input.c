/* SPDX-License-Identifier: ISC */
/* The key table, the line editor, the prompt with history and candidates, dialogs, settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tui/dialog.h"
#include "tui/keys.h"
#include "tui/prompt.h"
#include "tui/settings.h"

/* ---- keys ---- */

/* Two meanings of one key in one place would hide one of them. */
static void test_keys_are_unique(void **state)
{
    size_t n;
    const struct key_row *k = keys_all(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            if (!(k[i].where & k[j].where))
                continue;
            bool is_same = k[i].key == k[j].key || (k[i].other && k[i].other == k[j].key) ||
                           (k[j].other && (k[j].other == k[i].key || k[j].other == k[i].other));
            if (is_same)
                fail_msg("%s and %s", k[i].help, k[j].help);
        }
}

static void test_every_function_key_has_a_letter(void **state)
{
    size_t n;
    const struct key_row *k = keys_all(&n);
    for (size_t i = 0; i < n; i++)
        assert_false(k[i].key >= INPUT_F1 && k[i].key <= INPUT_F12);
}

static void test_finding_keys(void **state)
{
    assert_int_equal(keys_find(1u << PANE_SESSIONS, 'x')->action, ACTION_KILL);
    assert_int_equal(keys_find(1u << PANE_SESSIONS, INPUT_F1 + 8)->action, ACTION_KILL);
    assert_int_equal(keys_find(1u << PANE_OPS, 'x')->action, ACTION_CANCEL);
    assert_int_equal(keys_find(KEYS_PAGE, 'q')->action, ACTION_CLOSE);
    assert_int_equal(keys_find(1u << PANE_USERS, INPUT_CTRL('C'))->action, ACTION_QUIT);
    assert_null(keys_find(1u << PANE_OVERVIEW, 'x'));
    assert_null(keys_find(1u << PANE_SESSIONS, 0x200));
}

static void test_key_names(void **state)
{
    static const struct {
        int key;
        const char *name;
    } cases[] = {
        {'x', "x"},           {' ', "Space"},     {INPUT_ENTER, "Enter"},
        {INPUT_F1 + 8, "F9"}, {INPUT_UP, "Up"},   {INPUT_CTRL('L'), "Ctrl-L"},
        {INPUT_TAB, "Tab"},   {INPUT_ESC, "Esc"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char name[16];
        keys_name(name, cases[i].key);
        assert_string_equal(name, cases[i].name);
    }
}

static void test_manual(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    keys_manual(f);
    fclose(f);
    assert_non_null(strstr(
        text, ".TP\n\\fBx\\fR, \\fBF9\\fR\nend the sessions of the marked or selected "
              "rows (sessions, users, events, groups, conflicts); needs the role operator.\n"));
    assert_non_null(strstr(text, "\\fBCtrl\\-L\\fR"));
    free(text);
}

static void test_screens(void **state)
{
    int focus = 7;
    assert_int_equal(screen_find("sessions", &focus), SCREEN_SESSIONS);
    assert_int_equal(focus, 0);
    assert_int_equal(screen_find("limits", &focus), SCREEN_BANS);
    assert_int_equal(focus, 1);
    assert_int_equal(screen_find("audit", &focus), SCREEN_OPERATIONS);
    assert_int_equal(screen_find("operations", &focus), SCREEN_OPERATIONS);
    assert_int_equal(focus, 0);
    assert_int_equal(screen_find("nonsense", &focus), -1);
    assert_int_equal(screen_find("", &focus), -1);
}

/* ---- editing ---- */

static void type(struct edit *e, const char *text)
{
    for (; *text; text++)
        (void)edit_key(e, (unsigned char)*text);
}

static void test_editing(void **state)
{
    struct edit e = {0};
    type(&e, "helo");
    assert_true(edit_key(&e, INPUT_LEFT));
    type(&e, "l");
    assert_string_equal(e.text, "hello");
    (void)edit_key(&e, INPUT_END);
    (void)edit_key(&e, 0xe9);
    (void)edit_key(&e, 0x65e5);
    (void)edit_key(&e, 0x1f600);
    assert_string_equal(e.text, "hello\u00e9\u65e5\U0001f600");
    for (int i = 0; i < 3; i++)
        (void)edit_key(&e, INPUT_BACKSPACE);
    assert_string_equal(e.text, "hello");
    (void)edit_key(&e, INPUT_CTRL('A'));
    (void)edit_key(&e, INPUT_DELETE);
    assert_string_equal(e.text, "ello");
    (void)edit_key(&e, INPUT_BACKSPACE); /* nothing before it */
    (void)edit_key(&e, INPUT_CTRL('E'));
    type(&e, " two words");
    (void)edit_key(&e, INPUT_CTRL('W'));
    assert_string_equal(e.text, "ello two ");
    (void)edit_key(&e, INPUT_CTRL('U'));
    assert_string_equal(e.text, "");
    assert_false(edit_key(&e, INPUT_F1));
    assert_false(edit_key(&e, 0xd800));
    assert_false(edit_key(&e, INPUT_CTRL('G')));
    for (int i = 0; i < 2 * EDIT_MAX; i++)
        type(&e, "x");
    assert_int_equal(strlen(e.text), EDIT_MAX - 1);
    edit_wipe(&e);
    for (size_t i = 0; i < EDIT_MAX; i++)
        assert_int_equal(e.text[i], 0);
}

static void test_drawing_the_editor(void **state)
{
    struct screen s = {.glyphs = GLYPHS_FULL};
    struct edit e = {0};
    assert_true(screen_reset(&s, 1, 6));
    edit_set(&e, "0123456789");
    edit_draw(&e, &s, 0, 0, 6, true);
    assert_string_equal(screen_at(&s, 0, 4)->text, "9");
    assert_int_equal(s.cursor_col, 5);
    e.is_secret = true;
    edit_set(&e, "p\u00e4ss");
    (void)screen_reset(&s, 1, 6);
    edit_draw(&e, &s, 0, 0, 6, true);
    for (int i = 0; i < 4; i++)
        assert_string_equal(screen_at(&s, 0, i)->text, "*");
    assert_string_equal(screen_at(&s, 0, 4)->text, " ");
    screen_fini(&s);
}

/* ---- the prompt ---- */

static void press(struct prompt *p, const char *text)
{
    for (; *text; text++)
        (void)prompt_key(p, (unsigned char)*text);
}

static void test_history(void **state)
{
    struct prompt p = {0};
    prompt_remember(&p, PROMPT_COMMAND, "one");
    prompt_remember(&p, PROMPT_COMMAND, "two");
    prompt_remember(&p, PROMPT_COMMAND, "one"); /* once, as the newest */
    prompt_remember(&p, PROMPT_COMMAND, "");
    prompt_remember(&p, PROMPT_FILTER, "a filter");
    prompt_open(&p, PROMPT_COMMAND, "");
    (void)prompt_key(&p, INPUT_UP);
    assert_string_equal(p.edit.text, "one");
    (void)prompt_key(&p, INPUT_UP);
    (void)prompt_key(&p, INPUT_UP);
    assert_string_equal(p.edit.text, "two");
    (void)prompt_key(&p, INPUT_DOWN);
    (void)prompt_key(&p, INPUT_DOWN);
    assert_string_equal(p.edit.text, "");
    for (int i = 0; i < 2 * PROMPT_HISTORY_MAX; i++) {
        char line[16];
        snprintf(line, sizeof(line), "line %d", i);
        prompt_remember(&p, PROMPT_COMMAND, line);
    }
    assert_int_equal(p.history[PROMPT_COMMAND].n, PROMPT_HISTORY_MAX);
    prompt_fini(&p);
}

static void test_words(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *last;
    } cases[] = {
        {"", 1, ""},
        {"sess", 1, "sess"},
        {"session ", 2, ""},
        {"  session   ki", 2, "ki"},
        {"session kill --text \"two wo", 4, "\"two wo"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prompt p = {0};
        char copy[EDIT_MAX];
        const char *words[16];
        prompt_open(&p, PROMPT_COMMAND, cases[i].text);
        assert_int_equal(prompt_words(&p, copy, words, 16), cases[i].n);
        assert_string_equal(words[cases[i].n - 1], cases[i].last);
        prompt_fini(&p);
    }
}

static void test_completion(void **state)
{
    struct prompt p = {0};
    prompt_open(&p, PROMPT_COMMAND, "session ki");
    assert_int_equal(prompt_key(&p, INPUT_TAB), PROMPT_COMPLETE);
    prompt_take(&p, STR("kill\tend sessions\n"));
    assert_string_equal(p.edit.text, "session kill ");
    prompt_take(&p, STR("user=\ta user\n")); /* goes on behind its end */
    assert_string_equal(p.edit.text, "session kill user=");
    prompt_open(&p, PROMPT_COMMAND, "b");
    prompt_take(&p, STR("backend\tx\nbackends\ty\nban\t\n"));
    assert_string_equal(p.edit.text, "ba");
    assert_int_equal(p.n_candidates, 3);
    assert_int_equal(prompt_key(&p, INPUT_TAB), PROMPT_OPEN);
    assert_string_equal(p.edit.text, "backend");
    (void)prompt_key(&p, INPUT_TAB);
    (void)prompt_key(&p, INPUT_TAB);
    assert_string_equal(p.edit.text, "ban");
    (void)prompt_key(&p, INPUT_BACKTAB);
    assert_string_equal(p.edit.text, "backends");
    /* Esc closes the candidates first. */
    assert_int_equal(prompt_key(&p, INPUT_ESC), PROMPT_OPEN);
    assert_int_equal(p.n_candidates, 0);
    assert_int_equal(prompt_key(&p, INPUT_ESC), PROMPT_LEFT);
    prompt_take(&p, STR(""));
    assert_int_equal(p.n_candidates, 0);
    prompt_fini(&p);
}

static void test_leaving_the_prompt(void **state)
{
    struct prompt p = {0};
    prompt_open(&p, PROMPT_FILTER, "");
    press(&p, "a");
    assert_int_equal(prompt_key(&p, INPUT_BACKSPACE), PROMPT_OPEN);
    assert_int_equal(prompt_key(&p, INPUT_BACKSPACE), PROMPT_LEFT);
    assert_int_equal(prompt_key(&p, INPUT_ENTER), PROMPT_DONE);
    prompt_fini(&p);
}

/* ---- dialogs ---- */

static void test_default_is_no(void **state)
{
    struct dialog d = {0};
    const struct command *c = commands_find("session", "kill");
    dialog_open(&d, DIALOG_OF_ACT, "Yes", "End %s?", "1");
    dialog_add_arg(&d, commands_arg(c, "text"), "");
    dialog_add_arg(&d, commands_arg(c, "now"), "");
    /* Nobody has seen the question yet. */
    assert_int_equal(dialog_key(&d, 'y'), DIALOG_OPEN);
    d.is_drawn = true;
    assert_int_equal(dialog_key(&d, INPUT_ENTER), DIALOG_NO);
    assert_int_equal(dialog_key(&d, INPUT_ESC), DIALOG_NO);
    assert_int_equal(dialog_key(&d, 'q'), DIALOG_NO);
    assert_int_equal(dialog_key(&d, 'y'), DIALOG_YES);
    assert_int_equal(dialog_key(&d, INPUT_RIGHT), DIALOG_OPEN);
    assert_int_equal(dialog_key(&d, INPUT_ENTER), DIALOG_YES);
    /* Round to the first field: there y is a letter. */
    assert_int_equal(dialog_key(&d, INPUT_TAB), DIALOG_OPEN);
    assert_int_equal(dialog_key(&d, 'y'), DIALOG_OPEN);
    assert_string_equal(d.fields[0].edit.text, "y");
    assert_int_equal(dialog_key(&d, INPUT_ENTER), DIALOG_OPEN);
    (void)dialog_key(&d, ' ');
    assert_string_equal(d.fields[1].edit.text, "yes");
    (void)dialog_key(&d, ' ');
    assert_string_equal(d.fields[1].edit.text, "");
    dialog_close(&d);
}

static void test_passwords_twice(void **state)
{
    struct dialog d = {0};
    const struct command *c = commands_find("user", "passwd");
    dialog_open(&d, DIALOG_OF_ACT, "Set", "Set the password");
    dialog_add_arg(&d, commands_arg(c, "password"), "");
    assert_int_equal(d.n_fields, 2);
    assert_true(d.fields[0].edit.is_secret && d.fields[1].edit.is_secret);
    d.focus = 0;
    d.is_drawn = true;
    type(&d.fields[0].edit, "abc");
    type(&d.fields[1].edit, "abd");
    d.focus = d.n_fields + 1;
    assert_int_equal(dialog_key(&d, INPUT_ENTER), DIALOG_OPEN);
    assert_non_null(strstr(d.wrong, "not the same"));
    (void)dialog_key(&d, INPUT_BACKSPACE);
    (void)dialog_key(&d, 'c');
    d.focus = d.n_fields + 1;
    assert_int_equal(dialog_key(&d, INPUT_ENTER), DIALOG_YES);
    dialog_close(&d);
    assert_string_equal(d.fields[0].edit.text, "");
}

/* At any size something sensible is drawn. */
static void test_dialog_sizes(void **state)
{
    size_t n;
    struct dialog d = {0};
    const struct command *c = commands_find("user", "set");
    const struct command_arg *args = commands_args(c, &n);
    dialog_open(&d, DIALOG_OF_ACT, "Yes", "Change it?");
    for (int i = 0; i < 30; i++) {
        text_page_line(&d.body);
        text_page_printf(&d.body, STYLE_NORMAL, "row %d", i);
    }
    for (size_t i = 0; i < n; i++)
        dialog_add_arg(&d, &args[i], "x");
    for (int rows = 1; rows < 60; rows += 3)
        for (int cols = 1; cols < 140; cols += 7) {
            struct screen s = {.glyphs = GLYPHS_FULL};
            assert_true(screen_reset(&s, rows, cols));
            for (d.focus = 0; d.focus < d.n_fields + 2; d.focus++)
                dialog_draw(&d, &s);
            assert_true(s.cursor_row < rows && s.cursor_col < cols);
            screen_fini(&s);
        }
    dialog_close(&d);
}

static char *drawn(const struct screen *s)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    screen_print(s, f);
    fclose(f);
    return text;
}

/* What an answer would do can be read whole on 80 columns; without room for a frame, that it is one
 * of yes and no. */
static void test_dialog_words(void **state)
{
    (void)state;
    struct dialog d = {0};
    CLEANUP(screen_fini) struct screen s = {.glyphs = GLYPHS_FULL};
    const struct command_arg *arg = commands_arg(commands_find("backend", "drain"), "hold");
    dialog_open(&d, DIALOG_OF_ACT, "Yes", "Drain a backend that has a very long name?");
    dialog_add_arg(&d, arg, "");
    d.focus = 0;
    assert_true(screen_reset(&s, 24, 80));
    dialog_draw(&d, &s);
    AUTO_FREE char *wide = drawn(&s);
    assert_non_null(strstr(wide, "hold              no"));
    assert_non_null(strstr(wide, "until ready or the"));
    assert_non_null(strstr(wide, "Space switches it"));
    assert_true(screen_reset(&s, 5, 20));
    dialog_draw(&d, &s);
    AUTO_FREE char *narrow = drawn(&s);
    assert_non_null(strstr(narrow, " y/N"));
    dialog_close(&d);
}

/* ---- settings ---- */

static void test_settings(void **state)
{
    struct settings s, t;
    char dir[] = "/tmp/tui-XXXXXX";
    AUTO_FREE char *error = NULL;
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *path = str_printf("%s/a/b/tui.conf", dir);
    settings_init(&s);
    assert_int_equal(settings_load(&s, path, &error), 0); /* none yet */
    s.interval_ms = 2500;
    s.has_mouse = true;
    s.span = 3;
    s.background = BACKGROUND_LIGHT;
    (void)str_copy(s.screen, sizeof(s.screen), STR("users"));
    s.panes[PANE_SESSIONS].is_set = true;
    (void)str_copy(s.panes[PANE_SESSIONS].sort, 72, STR("-out"));
    s.history[s.n_history++] = str_dup_c("user list note=\"x y\"");
    (void)str_copy(s.panes[PANE_SESSIONS].columns, 72, STR("id user"));
    assert_int_equal(settings_name_filter(&s, PANE_AUDIT, STR("mine"), "user=\"a b\""), 0);
    assert_int_equal(settings_name_filter(&s, PANE_USERS, STR("mine"), "state=locked"), 0);
    assert_int_equal(settings_save(&s, path), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    settings_init(&t);
    assert_int_equal(settings_load(&t, path, &error), 0);
    assert_int_equal(t.interval_ms, 2500);
    assert_true(t.has_mouse);
    assert_int_equal(t.span, 3);
    assert_int_equal(t.background, BACKGROUND_LIGHT);
    assert_string_equal(t.screen, "users");
    assert_string_equal(t.panes[PANE_SESSIONS].sort, "-out");
    assert_false(t.panes[PANE_USERS].is_set);
    assert_string_equal(t.panes[PANE_SESSIONS].columns, "id user");
    assert_int_equal(t.n_filters, 2);
    assert_string_equal(settings_filter(&t, PANE_AUDIT, STR("mine"))->text, "user=\"a b\"");
    assert_string_equal(settings_filter(&t, PANE_USERS, STR("mine"))->text, "state=locked");
    assert_null(settings_filter(&t, PANE_SESSIONS, STR("mine")));
    assert_int_equal(t.n_history, 1);
    assert_string_equal(t.history[0], "user list note=\"x y\"");
    settings_fini(&t);
    settings_fini(&s);
    FILE *f = fopen(path, "w");
    fputs("interval = \"1 week\";\nmouse = {\n", f);
    fclose(f);
    settings_init(&t);
    assert_int_equal(settings_load(&t, path, &error), -ERR_SYNTAX);
    assert_non_null(strstr(error, "tui.conf:"));
    assert_int_equal(t.interval_ms, 1000);
    settings_fini(&t);
    unlink(path);
    AUTO_FREE char *b = str_printf("%s/a/b", dir), *a = str_printf("%s/a", dir);
    rmdir(b);
    rmdir(a);
    rmdir(dir);
}

static void test_named_filters(void **state)
{
    struct settings s;
    char name[16];
    settings_init(&s);
    assert_int_equal(settings_name_filter(&s, PANE_USERS, STR(""), "x"), -ERR_BAD_PARAM);
    assert_int_equal(settings_name_filter(&s, PANE_USERS,
                                          STR("a name that is much longer than there is room for"),
                                          "x"),
                     -ERR_BAD_PARAM);
    for (int i = 0; i < SETTINGS_FILTERS_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(settings_name_filter(&s, PANE_USERS, str_of(name), "x"), 0);
    }
    assert_int_equal(settings_name_filter(&s, PANE_USERS, STR("more"), "x"), -ERR_TOO_MANY);
    assert_int_equal(settings_name_filter(&s, PANE_USERS, STR("n7"), "other"),
                     0); /* in its place */
    assert_string_equal(settings_filter(&s, PANE_USERS, STR("n7"))->text, "other");
    assert_int_equal(settings_name_filter(&s, PANE_USERS, STR("n7"), ""), 0);
    assert_null(settings_filter(&s, PANE_USERS, STR("n7")));
    assert_int_equal(s.n_filters, SETTINGS_FILTERS_MAX - 1);
    settings_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_unique),
        cmocka_unit_test(test_every_function_key_has_a_letter),
        cmocka_unit_test(test_finding_keys),
        cmocka_unit_test(test_key_names),
        cmocka_unit_test(test_manual),
        cmocka_unit_test(test_screens),
        cmocka_unit_test(test_editing),
        cmocka_unit_test(test_drawing_the_editor),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_leaving_the_prompt),
        cmocka_unit_test(test_default_is_no),
        cmocka_unit_test(test_passwords_twice),
        cmocka_unit_test(test_dialog_sizes),
        cmocka_unit_test(test_dialog_words),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_named_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
