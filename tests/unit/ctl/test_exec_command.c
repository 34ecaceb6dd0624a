/* SPDX-License-Identifier: ISC */
/* The command of --exec: its words, what is put into them, and processes that end in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <signal.h>

#include "base/cleanup.h"
#include "ctl/exec_command.h"

/* The words for a user as "[one][two]", or why there are none. Owned. */
static char *words_for(const char *text, const char *user)
{
    struct problem problem = {0};
    struct exec_command c;
    AUTO_BUF out = BUF_INIT;
    if (exec_command_parse(text, &c, &problem) != 0) {
        char *why = str_dup_c(problem.text);
        assert_int_equal(problem.exit, PROBLEM_USAGE);
        problem_fini(&problem);
        return why;
    }
    char *why = NULL;
    json_t *values =
        json_pack("{s:s, s:s, s:s}", "user", user, "from", "b1", "to_host", "10.0.0.2");
    char **words = exec_command_words(&c, values, &why);
    for (size_t i = 0; words && words[i]; i++)
        assert_int_equal(buf_printf(&out, "[%s]", words[i]), 0);
    exec_words_free(words);
    json_decref(values);
    exec_command_fini(&c);
    return why ? why : str_dup(buf_str(&out));
}

static void test_words(void **state)
{
    static const struct {
        const char *text, *user, *words;
    } cases[] = {
        {"copy {user} {from} {to_host}", "anna", "[copy][anna][b1][10.0.0.2]"},
        {"copy '{user} of {from}' \"a b\" c\\ d", "anna", "[copy][anna of b1][a b][c d]"},
        /* a name is one word, and no word of a shell */
        {"copy {user}", "a b;$(c)'\"*", "[copy][a b;$(c)'\"*]"},
        {"copy {user}", "{from}", "[copy][{from}]"},
        {"copy x{user}y{user}", "a", "[copy][xaya]"},
        {"copy --user={user}", "-rf", "[copy][--user=-rf]"},
        {"copy {user}", "-rf", "user begins with -: the command would take it for an option"},
        {"copy {to}", "a", "[copy][]"}, /* there is none */
        {"copy {} {a b} {{user}} {user", "u", "[copy][{}][{a][b}][{u}][{user]"},
        {"copy {usr}", "a", "--exec: there is no placeholder {usr}"},
        {"copy 'x", "a", "--exec: a quote is not closed"},
        {"", "a", "--exec is empty"},
        {"  # nothing", "a", "--exec is empty"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *words = words_for(cases[i].text, cases[i].user);
        assert_string_equal(words, cases[i].words);
    }
}

/* Runs it to its end; the status. */
static int run(struct exec_child *c, const char *script, int sig)
{
    char *words[] = {"sh", "-c", (char *)script, NULL};
    assert_int_equal(exec_child_start(c, words), 0);
    if (sig)
        exec_child_signal(c, sig);
    while (!exec_child_has_ended(c)) {
        exec_child_read(c);
        (void)poll(NULL, 0, 5);
    }
    return c->status;
}

static void test_processes(void **state)
{
    struct exec_child c;
    assert_int_equal(run(&c, "echo out; echo err >&2; exit 3", 0), 3);
    assert_string_equal(buf_cstr(&c.output), "out\nerr\n");
    exec_child_fini(&c);
    assert_int_equal(run(&c, "cat", 0), 0); /* its input is empty */
    exec_child_fini(&c);
    /* the end of a long output is kept */
    assert_int_equal(run(&c, "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done", 0), 0);
    assert_int_equal(c.output.len, EXEC_OUTPUT_MAX);
    assert_string_equal(buf_cstr(&c.output) + EXEC_OUTPUT_MAX - 10, "4998\n4999\n");
    exec_child_fini(&c);
    /* what it started ends with it */
    assert_int_equal(run(&c, "sleep 100 & sleep 100", SIGKILL), 256 + SIGKILL);
    exec_child_fini(&c);
    char *nowhere[] = {"/nowhere/copy", NULL};
    assert_int_equal(exec_child_start(&c, nowhere), 0);
    while (!exec_child_has_ended(&c))
        (void)poll(NULL, 0, 5);
    assert_int_equal(c.status, 127);
    assert_non_null(strstr(buf_cstr(&c.output), "No such file"));
    exec_child_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
