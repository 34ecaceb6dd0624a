/* SPDX-License-Identifier: ISC */
/* Names of other machines, and what is run for them: nothing in a name is an option or a second
 * word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "ctl/remote.h"

static char *joined(const char *place, bool may_ask)
{
    char **words = NULL;
    AUTO_BUF out = BUF_INIT;
    assert_int_equal(remote_words(place, may_ask, &words), 0);
    for (size_t i = 0; words[i]; i++)
        assert_int_equal(buf_printf(&out, "%s[%s]", i ? " " : "", words[i]), 0);
    remote_words_free(words);
    assert_non_null(buf_cstr(&out));
    return buf_steal(&out);
}

static void test_words(void **state)
{
    static const struct {
        const char *place, *want;
    } cases[] = {
        {"ssh://mx1", "[--] [mx1] [mailproxyctl pipe]"},
        {"ssh://mx1/", "[--] [mx1] [mailproxyctl pipe]"},
        {"ssh://anna@mx1.example.org", "[-lanna] [--] [mx1.example.org] [mailproxyctl pipe]"},
        {"ssh://mx1:2222/run/mp.sock", "[-p2222] [--] [mx1] [mailproxyctl -s '/run/mp.sock' pipe]"},
        {"ssh://a@[2001:db8::7]:22/x",
         "[-p22] [-la] [--] [2001:db8::7] [mailproxyctl -s '/x' pipe]"},
        {"ssh://[fe80::1%eth0]", "[--] [fe80::1%eth0] [mailproxyctl pipe]"},
        {"ssh://h/a b;'$(id)'", "[--] [h] [mailproxyctl -s '/a b;'\\''$(id)'\\''' pipe]"},
    };
    unsetenv(REMOTE_PROGRAM);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *want = str_printf(
            "[ssh] [-T] [-oClearAllForwardings=yes] [-oBatchMode=yes] %s", cases[i].want);
        AUTO_FREE char *have = joined(cases[i].place, false);
        assert_string_equal(have, want);
    }
    AUTO_FREE char *asking = joined("ssh://mx1", true);
    assert_null(strstr(asking, "BatchMode"));
}

static void test_refused(void **state)
{
    static const char *const cases[] = {
        "ssh://",        "ssh:///run/x", "ssh://-oProxyCommand=id",
        "ssh://-l@host", "ssh://a@-h",   "ssh://h:0",
        "ssh://h:65536", "ssh://h:22x",  "ssh://h:-1",
        "ssh://a b",     "ssh://h;id",   "ssh://$(id)",
        "ssh://a@b@c",   "ssh://@h",     "ssh://[::1",
        "ssh://[-::1]",  "ssh://[::1]x", "ssh://h/a\nb",
        "ssh://`id`@h",  "ssh://h\t",    "ssh://[]",
        "ssh://h:",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char **words = NULL;
        int err = remote_words(cases[i], true, &words);
        if (strcmp(cases[i], "ssh://h:") == 0) /* no port is no port */
            remote_words_free(words);
        else
            assert_int_equal(err, -ERR_SYNTAX);
    }
    assert_false(remote_is_named("/run/ssh://x"));
    assert_true(remote_is_named("ssh://"));
}

static void test_program(void **state)
{
    setenv(REMOTE_PROGRAM, "my-ssh -i 'a key'", 1);
    AUTO_FREE char *have = joined("ssh://mx1", true);
    assert_string_equal(have, "[my-ssh] [-i] [a key] [-T] [-oClearAllForwardings=yes] [--] [mx1] "
                              "[mailproxyctl pipe]");
    char **words = NULL;
    setenv(REMOTE_PROGRAM, "ssh 'open", 1);
    assert_int_equal(remote_words("ssh://mx1", true, &words), -ERR_SYNTAX);
    unsetenv(REMOTE_PROGRAM);
}

/* What ssh or the other side says becomes a sentence; an end is never waited for for long. */
static void test_explain(void **state)
{
    static const struct {
        const char *program;
        int err;
        const char *text;
        bool has_hint;
    } cases[] = {
        {"sh -c 'echo Host key verification failed. >&2; exit 255'", -ERR_UNREACHABLE,
         "mx1: Host key verification failed.", true},
        {"sh -c 'echo first >&2; echo \"ssh: connect to host mx1 port 22: Connection refused\" >&2;"
         " exit 255'",
         -ERR_UNREACHABLE, "mx1: connect to host mx1 port 22: Connection refused", true},
        {"sh -c 'echo \"sh: mailproxyctl: not found\" >&2; exit 127'", -ERR_UNREACHABLE,
         "there is no mailproxyctl on mx1", true},
        {"sh -c 'echo \"mailproxyctl: permission denied for the control socket /x\" >&2; exit 4'",
         -ERR_PERM, "mx1: permission denied for the control socket /x", false},
        {"sh -c 'exit 255'", -ERR_UNREACHABLE, "mx1: the connection was closed", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct remote *r = NULL;
        int fd = -1;
        char *text = NULL;
        const char *hint = NULL;
        setenv(REMOTE_PROGRAM, cases[i].program, 1);
        assert_int_equal(remote_open("ssh://anna@mx1", &r, &fd), 0);
        assert_int_equal(remote_explain(r, &text, &hint), cases[i].err);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(hint != NULL, cases[i].has_hint);
        free(text);
        close(fd);
        remote_close(r);
    }
    struct remote *r = NULL;
    int fd = -1;
    setenv(REMOTE_PROGRAM, "/nowhere/ssh", 1);
    assert_int_equal(remote_open("ssh://mx1", &r, &fd), -ERR_NOT_FOUND);
    unsetenv(REMOTE_PROGRAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_explain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
