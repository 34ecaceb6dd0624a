/* SPDX-License-Identifier: ISC */
/* Command lines: what they mean, and what is said when they mean nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "ctl/args.h"
#include "ctl/transfer.h"
#include "ctl/words.h"

/* Parses a line as a shell would cut it. The words live in `line`. */
static int parse(struct args *a, char *line, struct problem *problem)
{
    static const char *words[512];
    size_t n = 0;
    struct args_options defaults;
    args_options_init(&defaults);
    assert_int_equal(words_split(line, words, &n), 0);
    return args_parse(a, &defaults, n, words, problem);
}

static void test_params(void **state)
{
    static const struct {
        const char *line, *method, *params;
    } cases[] = {
        {"session list", "session.list", "{}"},
        {"sessions", "session.list", "{}"},
        {"sessions list", "session.list", "{}"},
        {"sessions kill --all", "session.kill", "{\"all\":true}"},
        {"who", "session.list", "{}"},
        {"status", "system.status", "{}"},
        {"events", "event.list", "{}"},
        {"limits", "limit.list", "{}"},
        {"stats", "stats.show", "{}"},
        {"stats history", "stats.history", "{}"},
        {"routes", "route.list", "{}"},
        {"route explain anna", "route.explain", "{\"user\":\"anna\"}"},
        {"sessions user=a proto=imap", "session.list", "{\"filter\":\"user=a proto=imap\"}"},
        {"sessions 'user=a proto=imap' idle>30m", "session.list",
         "{\"filter\":\"user=a proto=imap idle>30m\"}"},
        {"sessions 'client=Apple Mail' !tls=no", "session.list",
         "{\"filter\":\"client=\\\"Apple Mail\\\" !tls=no\"}"},
        {"session kill 3-1a 3-1b proto=imap", "session.kill",
         "{\"filter\":\"proto=imap id=3-1a,3-1b\"}"},
        {"user show -- state=locked", "user.show", "{\"name\":\"state=locked\"}"},
        {"user kick -- state=locked", "user.kick", "{\"name\":[\"state=locked\"]}"},
        {"user kick x=locked", "user.kick", "{\"name\":[\"x=locked\"]}"},
        {"users anna bert", "user.list", "{\"filter\":\"name=anna,bert\"}"},
        {"session kill user=a --grace 10s --text=bye --now --no-dry-run --max 5 --reason 'a b'",
         "session.kill",
         "{\"filter\":\"user=a\",\"grace\":\"10s\",\"text\":\"bye\",\"now\":true,\"dry_run\":false,"
         "\"max\":5,\"reason\":\"a b\"}"},
        {"session kill --dry_run user=a --now=no", "session.kill",
         "{\"filter\":\"user=a\",\"dry_run\":true,\"now\":false}"},
        {"sessions --sort -out --limit 10", "session.list", "{\"sort\":\"-out\",\"limit\":10}"},
        {"pools --sort -sessions --limit 3", "pool.list", "{}"},
        {"user remove anna bert --kick", "user.remove",
         "{\"name\":[\"anna\",\"bert\"],\"kick\":true}"},
        {"user rm --name anna --name bert", "user.remove", "{\"name\":[\"anna\",\"bert\"]}"},
        {"backend weight b1 0", "backend.weight", "{\"name\":\"b1\",\"weight\":0}"},
        {"backend add main b3 192.0.2.1 --ports imap=143", "backend.add",
         "{\"pool\":\"main\",\"name\":\"b3\",\"host\":\"192.0.2.1\",\"ports\":\"imap=143\"}"},
        {"user set anna --pool '' --max-sessions 5", "user.set",
         "{\"name\":\"anna\",\"pool\":\"\",\"max_sessions\":5}"},
        {"user add anna --no-password", "user.add", "{\"name\":\"anna\",\"no_password\":true}"},
        {"system log-level debug", "system.log_level", "{\"level\":\"debug\"}"},
        {"-o json user show -- -anna", "user.show", "{\"name\":\"-anna\"}"},
        {"user add M\u00fcller", "user.add", "{\"name\":\"M\u00fcller\"}"},
        {"user lock anna --until 1h30m", "user.lock", "{\"name\":[\"anna\"],\"until\":\"1h30m\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct args a;
        struct problem problem = {0};
        AUTO_FREE char *line = strdup(cases[i].line);
        json_t *want = json_loads(cases[i].params, 0, NULL);
        if (parse(&a, line, &problem))
            fail_msg("%s: %s", cases[i].line, problem.text);
        assert_string_equal(a.command->method, cases[i].method);
        if (!json_equal(a.params, want))
            fail_msg("%s: %s", cases[i].line, json_dumps(a.params, 0));
        json_decref(want);
        args_fini(&a);
    }
}

static void test_options(void **state)
{
    struct args a;
    struct problem problem = {0};
    char line[] = "-s /a -s/b --socket=/c -ojson -Hyq sessions --columns=+x,y -w 5 --timeout 500ms";
    assert_int_equal(parse(&a, line, &problem), 0);
    const struct args_options *o = &a.options;
    assert_int_equal(o->n_sockets, 3);
    assert_string_equal(o->sockets[0], "/a");
    assert_string_equal(o->sockets[1], "/b");
    assert_string_equal(o->sockets[2], "/c");
    assert_int_equal(o->format, ARGS_JSON);
    assert_true(o->no_header && o->yes && o->quiet && o->is_watch);
    assert_int_equal(o->watch_ms, 5000);
    assert_int_equal(o->timeout_ms, 500);
    assert_string_equal(o->columns, "+x,y");

    static const struct {
        const char *word;
        uint64_t ms;
    } times[] = {{"0.5", 500}, {"1.25", 1250}, {"0.005", 100}, {"250ms", 250}};
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        char watch[64];
        args_fini(&a);
        snprintf(watch, sizeof(watch), "sessions -w %s", times[i].word);
        assert_int_equal(parse(&a, watch, &problem), 0);
        assert_int_equal(a.options.watch_ms, times[i].ms);
    }
    args_fini(&a);
    /* --wait takes no word that may be a name. */
    char wait[] = "user move 5 --to b2 --wait 7";
    assert_int_equal(parse(&a, wait, &problem), 0);
    assert_true(a.options.wait && a.options.wait_ms == 0);
    assert_int_equal(json_array_size(json_object_get(a.params, "name")), 2);
    args_fini(&a);
    char wait_long[] = "user move anna --to b2 --wait=1m";
    assert_int_equal(parse(&a, wait_long, &problem), 0);
    assert_int_equal(a.options.wait_ms, 60000);
    args_fini(&a);
    /* --watch takes the next word only when it is a time. */
    char plain[] = "sessions -w user=a";
    assert_int_equal(parse(&a, plain, &problem), 0);
    assert_int_equal(a.options.watch_ms, 2000);
    assert_string_equal(json_string_value(json_object_get(a.params, "filter")), "user=a");
    args_fini(&a);

    char socket[] = "whoami";
    setenv("MAILPROXY_SOCKET", "/from/environment", 1);
    assert_int_equal(parse(&a, socket, &problem), 0);
    assert_string_equal(a.options.sockets[0], "/from/environment");
    args_fini(&a);
    unsetenv("MAILPROXY_SOCKET");
    assert_int_equal(parse(&a, socket, &problem), 0);
    assert_string_equal(a.options.sockets[0], CLIENT_SOCKET_DEFAULT);
    assert_int_equal(a.options.n_sockets, 1);
    args_fini(&a);
}

static void test_help(void **state)
{
    static const struct {
        const char *line, *noun, *method;
    } cases[] = {
        {"--help", NULL, NULL},
        {"help", NULL, NULL},
        {"help session", "session", NULL},
        {"session --help", "session", NULL},
        {"session kill --help", "session", "session.kill"},
        {"help user passwd", "user", "user.passwd"},
        {"user passwd -h", "user", "user.passwd"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct args a;
        struct problem problem = {0};
        AUTO_FREE char *line = strdup(cases[i].line);
        assert_int_equal(parse(&a, line, &problem), 0);
        assert_true(a.options.help);
        if (cases[i].noun)
            assert_string_equal(a.noun, cases[i].noun);
        else
            assert_null(a.noun);
        if (cases[i].method)
            assert_string_equal(a.command->method, cases[i].method);
        else
            assert_null(a.command);
        args_fini(&a);
    }
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *line, *text, *hint;
    } cases[] = {
        {"", "no command given", NULL},
        {"sesions", "no command sesions", "sessions?"},
        {"system", "system needs a verb", NULL},
        {"session kil", "session has no verb kil", "kill?"},
        {"session list --limt 3", "no option --limt", "--limit?"},
        {"session show", "session show needs id", NULL},
        {"session show a b", "no place for b", NULL},
        {"sessions --sort agee", "no column agee", "age?"},
        {"sessions --limit 0", "limit", NULL},
        {"sessions -o jsn", "no output format jsn", "json?"},
        {"sessions -Z", "no option -Z", NULL},
        {"sessions -o", "needs a value", NULL},
        {"sessions --yes=no", "takes no value", NULL},
        {"session kill --max five x", "five is not a whole number", NULL},
        {"session kill --max -1 x", "-1 is not a whole number", NULL},
        {"session kill --now=perhaps x", "perhaps is not yes or no", NULL},
        {"user kick state=locked", "state=locked looks like a filter",
         "--filter 'state=locked', or -- before a name"},
        {"backend drain pool=main b1", "pool=main looks like a filter",
         "--filter 'pool=main', or -- before a name"},
        {"backend ready !admin=ready", "looks like a filter", NULL},
        {"user lock anna --until 30", "30 is not a length", "30s, 30m or 30h?"},
        {"user lock anna --until noon", "or tomorrow", NULL},
        {"event list --since noon", "or yesterday", NULL},
        {"user lock anna --text a --text b", "text is given twice", NULL},
        {"user import x --format csw", "csw is not one of", "csv?"},
        {"system log-level wran", "wran is not one of", "warn?"},
        {"user show \xff", "not UTF-8", NULL},
        {"sessions user=\xff", "not UTF-8", NULL},
        {"--sort x", "no command given", NULL},
        {"--kick", "no option --kick before a command", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct args a;
        struct problem problem = {0};
        AUTO_FREE char *line = strdup(cases[i].line);
        int code = parse(&a, line, &problem);
        if (code != PROBLEM_USAGE || !strstr(problem.text, cases[i].text))
            fail_msg("%s: %d %s", cases[i].line, code, problem.text ? problem.text : "");
        if (cases[i].hint)
            assert_string_equal(problem.hint, cases[i].hint);
        problem_fini(&problem);
        args_fini(&a);
    }
}

static void test_secrets(void **state)
{
    static const char *const refused[] = {
        "user add anna --password geheim",
        "user add anna --password=geheim",
        "user passwd anna geheim",
        "user set anna --backend-password geheim",
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct args a;
        struct problem problem = {0};
        AUTO_FREE char *line = strdup(refused[i]);
        assert_int_equal(parse(&a, line, &problem), PROBLEM_USAGE);
        assert_non_null(strstr(problem.text, "secret on the command line"));
        assert_null(strstr(problem.text, "geheim"));
        assert_non_null(strstr(problem.hint, "-stdin"));
        problem_fini(&problem);
        args_fini(&a);
    }
    static const struct {
        const char *line, *name, *path;
        enum args_secret_source source;
    } taken[] = {
        {"user passwd anna", "password", NULL, ARGS_SECRET_PROMPT},
        {"user add anna --password", "password", NULL, ARGS_SECRET_PROMPT},
        {"user add --password-stdin anna", "password", NULL, ARGS_SECRET_STDIN},
        {"user add anna --password-file /x", "password", "/x", ARGS_SECRET_FILE},
        {"user add anna --backend-password-file=/x", "backend_password", "/x", ARGS_SECRET_FILE},
        {"user add anna --password-hash-stdin", "password_hash", NULL, ARGS_SECRET_STDIN},
    };
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        struct args a;
        struct problem problem = {0};
        AUTO_FREE char *line = strdup(taken[i].line);
        assert_int_equal(parse(&a, line, &problem), 0);
        assert_int_equal(a.n_secrets, 1);
        assert_string_equal(a.secrets[0].arg->name, taken[i].name);
        assert_int_equal(a.secrets[0].source, taken[i].source);
        if (taken[i].path)
            assert_string_equal(a.secrets[0].path, taken[i].path);
        assert_string_equal(json_string_value(json_object_get(a.params, "name")), "anna");
        args_fini(&a);
    }
}

static void test_split(void **state)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"", ""},
        {"  \t\n", ""},
        {"# all of it", ""},
        {"a b  c", "a|b|c|"},
        {"a 'b  c' \"d 'e'\" f\\ g", "a|b  c|d 'e'|f g|"},
        {"a # comment", "a|"},
        {"a#b", "a#b|"},
        {"a='b c'd", "a=b cd|"},
        {"a '' \"\" b", "a|||b|"},
        {"'\\n' \"\\\"\"", "\\n|\"|"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *words[64];
        size_t n = 0;
        AUTO_FREE char *line = strdup(cases[i].line);
        char joined[256] = "";
        assert_int_equal(words_split(line, words, &n), 0);
        for (size_t k = 0; k < n; k++)
            snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s|", words[k]);
        assert_string_equal(joined, cases[i].words);
    }
    char open[] = "a 'b";
    const char *words[8];
    size_t n = 0;
    assert_int_equal(words_split(open, words, &n), -ERR_SYNTAX);
}

static void test_parts(void **state)
{
    size_t size = 3 * TRANSFER_PART_BYTES;
    AUTO_FREE char *text = malloc(size);
    memset(text, 'a', size);
    assert_int_equal(transfer_part(STR_NULL), 0);
    assert_int_equal(transfer_part(str_n(text, 10)), 10);
    assert_int_equal(transfer_part(str_n(text, size)), TRANSFER_PART_BYTES);
    /* Behind a line. */
    text[1000] = '\n';
    assert_int_equal(transfer_part(str_n(text, size)), 1001);
    text[1000] = 'a';
    /* Never within a character. */
    memcpy(text + TRANSFER_PART_BYTES - 1, "\xc3\xbc", 2);
    assert_int_equal(transfer_part(str_n(text, size)), TRANSFER_PART_BYTES - 1);
    /* What takes more room as JSON makes smaller parts: the request stays below its limit. */
    memset(text, '\x01', size);
    size_t n = transfer_part(str_n(text, size));
    assert_true(n > 0 && n * 6 < CLIENT_REQUEST_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params),  cmocka_unit_test(test_options),
        cmocka_unit_test(test_help),    cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_secrets), cmocka_unit_test(test_split),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
