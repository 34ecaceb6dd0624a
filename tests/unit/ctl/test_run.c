/* SPDX-License-Identifier: ISC */
/* Whole runs of mailproxyctl against daemons of the test's own: output, exit codes, guards. */
#include "fake.h"

#include <setjmp.h>

#include <cmocka.h>

#include "ctl/args.h"
#include "ctl/batch.h"
#include "ctl/complete.h"
#include "ctl/run.h"
#include "ctl/words.h"

/* Five rows in chunks of two. */
static char *answer_list(const json_t *params, json_int_t id)
{
    char text[512] = "{\"rows\":[";
    const char *cursor = json_string_value(json_object_get(params, "cursor"));
    int first = cursor ? cursor[0] - '0' : 0;
    for (int i = first; i < first + 2 && i < 5; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s{\"id\":\"%d\",\"age\":%d%s}",
                 i > first ? "," : "", i, 10 - i, i == 4 ? ",\"user\":\"anna@example.org\"" : "");
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "],\"more\":%s,\"cursor\":\"%d\"}",
             first + 2 < 5 ? "true" : "false", first + 2);
    return fake_result(id, text);
}

static char *answer_kill(const json_t *params, json_int_t id)
{
    const char *filter = json_string_value(json_object_get(params, "filter"));
    if (filter && strcmp(filter, "user=nobody") == 0)
        return fake_result(id, "{\"count\":0,\"ids\":[]}");
    if (json_is_true(json_object_get(params, "all")))
        return fake_result(id, "{\"count\":0,\"changed\":false,\"clean\":0,\"cut\":0,\"rows\":[]}");
    if (filter && strcmp(filter, "id=1") == 0 && json_is_true(json_object_get(params, "dry_run")))
        return fake_result(id, "{\"count\":1,\"changed\":false,\"ids\":[\"1\"]}");
    if (filter && strcmp(filter, "id=1") == 0)
        return fake_result(id, "{\"count\":1,\"ids\":[\"1\"]}");
    return fake_result(id, "{\"count\":2,\"rows\":[{\"id\":\"1\",\"user\":\"a\"},{\"id\":\"2\"}]}");
}

static char *answer_event(json_int_t id)
{
    char *line = NULL;
    if (asprintf(&line,
                 "{\"id\":%lld,\"result\":{\"stream\":4}}\n"
                 "{\"method\":\"event\",\"params\":{\"stream\":4,\"type\":\"login\"}}\n"
                 "{\"method\":\"event\",\"params\":{\"stream\":9,\"type\":\"other\"}}\n"
                 "{\"method\":\"event\",\"params\":{\"stream\":4,\"type\":\"end\"}}\n"
                 "{\"id\":null,\"error\":{\"code\":-32000,\"message\":\"dropped\",\"data\":"
                 "{\"name\":\"E_SLOW\"}}}\n",
                 (long long)id) < 0)
        abort();
    return line;
}

/* Operation "6" is never over, "7" at the second look, the others end otherwise; "9" hangs up once.
 */
static char *answer_op(const json_t *params, json_int_t id)
{
    static int looks;
    const char *op = json_string_value(json_object_get(params, "id"));
    if (strcmp(op, "9") == 0 && looks++ == 0)
        return strdup("");
    if (strcmp(op, "6") == 0 || (strcmp(op, "7") == 0 && looks++ == 0))
        return fake_result(id, "{\"id\":\"7\",\"state\":\"running\",\"percent\":50,\"done\":1,"
                               "\"total\":2,\"eta\":900}");
    looks = 0;
    const char *state = strcmp(op, "7") == 0   ? "done"
                        : strcmp(op, "8") == 0 ? "partly done"
                                               : "interrupted";
    AUTO_FREE char *text = NULL;
    if (asprintf(&text,
                 "{\"id\":\"%s\",\"kind\":\"drain\",\"target\":\"main/b1\",\"state\":\"%s\","
                 "\"text\":\"2 left\"}",
                 op, state) < 0)
        abort();
    return fake_result(id, text);
}

static char *answer_drain(const json_t *params, json_int_t id)
{
    const char *name = json_string_value(json_array_get(json_object_get(params, "name"), 0));
    AUTO_FREE char *text = NULL;
    if (strcmp(name, "empty") == 0 || json_is_true(json_object_get(params, "dry_run")))
        return fake_result(id, "{\"count\":0,\"changed\":false}");
    if (asprintf(&text, "{\"count\":2,\"changed\":true,\"op\":\"%s\",\"message\":\"operation %s\"}",
                 name, name) < 0)
        abort();
    return fake_result(id, text);
}

static char *answer(const char *method, const json_t *params, json_int_t id)
{
    static const struct {
        const char *method, *result;
    } plain[] = {
        {"system.whoami", "{\"user\":\"root\",\"uid\":0,\"pid\":5,\"role\":\"admin\"}"},
        {"config.show", "{\"text\":\"a = 1;\\nb = 2;\\n\"}"},
        {"config.diff", "{\"rows\":[{\"path\":\"a\"}],\"message\":\"said\"}"},
        {"config.check", "{\"rows\":[{\"file\":\"f\",\"line\":3,\"severity\":\"error\"}]}"},
        {"pool.list", "{\"rows\":[{\"name\":\"b\",\"sessions\":5},{\"name\":\"a\",\"sessions\":7},"
                      "{\"name\":\"c\",\"sessions\":6}]}"},
        {"user.list", "{\"rows\":[{\"name\":\"anna\",\"state\":\"active\"},"
                      "{\"name\":\"a b\",\"state\":\"active\"}]}"},
        {"backend.list", "{\"rows\":[]}"},
        {"user.unlock", "{\"changed\":false,\"count\":0}"},
        {"user.import", "{\"count\":3,\"message\":\"3 users\"}"},
        {"user.passwd", "{\"count\":1,\"changed\":true}"},
        {"backend.ready", "{\"changed\":false,\"count\":0}"},
        {"listener.pause", "{\"count\":1,\"changed\":true,\"message\":\"paused \\u001b[31m\"}"},
        {"stream.cancel", "{}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (strcmp(method, plain[i].method) == 0)
            return fake_result(id, plain[i].result);
    if (strcmp(method, "session.list") == 0)
        return answer_list(params, id);
    if (strcmp(method, "session.kill") == 0)
        return answer_kill(params, id);
    if (strcmp(method, "event.watch") == 0)
        return answer_event(id);
    if (strcmp(method, "op.show") == 0)
        return answer_op(params, id);
    if (strcmp(method, "backend.drain") == 0)
        return answer_drain(params, id);
    if (strcmp(method, "user.export") == 0)
        return fake_result(id, json_object_get(params, "cursor")
                                   ? "{\"rows\":[{\"text\":\"bert\\n\"}],\"more\":false}"
                                   : "{\"rows\":[{\"text\":\"anna\\n\"}],\"more\":true,"
                                     "\"cursor\":\"x\"}");
    if (strcmp(method, "user.show") == 0)
        return fake_error(id, "E_NO_USER", "no such user", "anna");
    if (strcmp(method, "system.stop") == 0)
        return fake_error(id, "E_PERM", "not permitted", "admin");
    if (strcmp(method, "route.explain") == 0)
        return fake_error(id, "E_NO_COMMAND", "no such command", "");
    return NULL;
}

/* What one run came to. */
struct outcome {
    int code;
    char *out, *err;
};

static void outcome_fini(struct outcome *o)
{
    free(o->out);
    free(o->err);
}

/* Runs a line with the sockets of the environment (and those of the line). */
static struct outcome run(const char *text)
{
    struct outcome o = {0};
    struct run r;
    struct args a;
    struct args_options defaults;
    struct problem problem = {0};
    const char *words[64];
    size_t n = 0, n_out, n_err;
    AUTO_FREE char *line = strdup(text);
    FILE *out = open_memstream(&o.out, &n_out), *err = open_memstream(&o.err, &n_err);
    run_init(&r, out, err);
    args_options_init(&defaults);
    assert_int_equal(words_split(line, words, &n), 0);
    o.code = args_parse(&a, &defaults, n, words, &problem);
    assert_int_equal(o.code, 0);
    o.code = a.command ? run_command(&r, &a) : batch_run(&r, &a.options);
    args_fini(&a);
    run_fini(&r);
    fclose(out);
    fclose(err);
    return o;
}

static void check(const char *line, int code, const char *out, const char *err)
{
    struct outcome o = run(line);
    if (o.code != code || strcmp(o.out, out) != 0 || (err && strcmp(o.err, err) != 0))
        fail_msg("%s: code %d\n%s%s", line, o.code, o.out, o.err);
    outcome_fini(&o);
}

static int setup(void **state)
{
    static struct fake s;
    s = (struct fake){.answer = answer};
    fake_start(&s);
    setenv("MAILPROXY_SOCKET", s.path, 1);
    *state = &s;
    return 0;
}

static int teardown(void **state)
{
    fake_stop(*state);
    unsetenv("MAILPROXY_SOCKET");
    return 0;
}

static json_t *last_params(const struct fake *s)
{
    return json_object_get(json_array_get(s->requests, json_array_size(s->requests) - 1), "params");
}

static void test_lists(void **state)
{
    check("sessions -c id,age", 0, "id\tage\n0\t10\n1\t9\n2\t8\n3\t7\n4\t6\n", "");
    check("sessions -o id", 0, "0\n1\n2\n3\n4\n", "");
    check("sessions -o id --limit 3", 0, "0\n1\n2\n", "");
    check("sessions -o jsonl --limit 1", 0, "{\"id\":\"0\",\"age\":10}\n", "");
    check("-o table sessions -c id,age --limit 2", 0, "ID  AGE\n0    0s\n1    0s\n", "");
    /* Rows of all answers have the widths that all need. */
    check("-o table sessions -c user,id", 0,
          "USER              ID\n"
          "-                 0\n-                 1\n-                 2\n-                 3\n"
          "anna@example.org  4\n",
          "");
    /* The daemon does not sort pools: it is done here. */
    check("pools -o id --sort -sessions", 0, "a\nc\nb\n", "");
    check("pools -o id --sort name --limit 2", 0, "a\nb\n", "");
    /* Nothing matched, or nothing there. */
    check("backends -H", 0, "", "");
    check("backends -H pool=x", 3, "", "");
    check("backends -H pool=x --allow-empty", 0, "", "");
    check("backends -o json pool=x", 3, "[]\n", "");
    check("config check -c line", 1, "line\n3\n", "");
    check("-o table config diff -c path", 0, "KEY\na\nsaid\n", "");
}

static void test_objects(void **state)
{
    check("whoami", 0, "user\tuid\tpid\trole\nroot\t0\t5\tadmin\n", "");
    check("-o table whoami", 0, "USER  root\nUID   0\nPID   5\nROLE  admin\n", "");
    check("-o json whoami -c role", 0, "{\n  \"role\": \"admin\"\n}\n", "");
    check("config show", 0, "a = 1;\nb = 2;\n", "");
    check("-o table config show", 0, "a = 1;\nb = 2;\n", "");
    check("user export", 0, "anna\nbert\n", "");
    check("user export -o jsonl", 0, "{\"text\":\"anna\\n\"}\n{\"text\":\"bert\\n\"}\n", "");
}

static void test_errors(void **state)
{
    check("user show bert", 3, "", "mailproxyctl: no such user (anna?)\n");
    check("-o json user show bert", 3,
          "{\"error\": {\"name\": \"E_NO_USER\", \"exit\": 3, \"message\": \"no such user\", "
          "\"hint\": \"anna\"}}\n",
          "");
    check("-o json --fleet -s /a -s /b session list", 2,
          "{\"error\": {\"name\": \"E_USAGE\", \"exit\": 2, \"message\": \"--fleet with several "
          "-s\", "
          "\"hint\": \"one daemon leads to the others\"}}\n",
          "");
    check("system stop --yes", 4, "", "mailproxyctl: not permitted (admin?)\n");
    check("explain anna", 8, "", NULL);
    check("pool list -s /nowhere", 5, "", NULL);
    check("session show 1 --timeout 50ms", 6, "",
          "mailproxyctl: the daemon did not answer in time\n");
    check("user unlock anna", 0, "", "already so\n");
    check("user unlock anna -q", 0, "", "");
    check("backend ready --filter pool=main", 0, "",
          "already so\n"); /* nothing found is an error */
    check("-o table user unlock anna", 0, "already so\n", "");
    /* Words of a daemon do not steer the terminal. */
    check("listener pause imap", 0, "", "paused \\x1b[31m\n");
}

static void test_guard(void **state)
{
    const struct fake *s = *state;
    check("session kill user=a", 1, "",
          "mailproxyctl: session kill would hit 2 (--yes does it, --dry-run lists them)\n");
    assert_true(json_is_true(json_object_get(last_params(s), "dry_run")));
    check("session kill user=a --yes", 0, "id\tuser\tip\tcut\tverb\n1\ta\t\t\t\n2\t\t\t\t\n",
          "session kill: 2\n");
    assert_null(json_object_get(last_params(s), "dry_run"));
    check("session kill user=a --dry-run -o id", 0, "1\n2\n", "session kill would hit 2\n");
    check("session kill id=1 --dry-run -o id", 0, "1\n", "session kill would hit 1\n");
    /* One alone needs no word, but then it must not be more. */
    check("session kill 1 -o id", 0, "1\n", "session kill: 1\n");
    assert_int_equal(json_integer_value(json_object_get(last_params(s), "max")), 1);
    check("session kill user=nobody", 3, "", "session kill: 0\n");
    check("session kill --all --yes", 3, "", "session kill: 0 (0 clean)\n");
    check(
        "-o json session kill user=a", 1,
        "{\"error\": {\"name\": \"E_CONFIRM\", \"exit\": 1, \"message\": \"session kill would hit "
        "2\", \"hint\": \"--yes does it, --dry-run lists them\"}}\n",
        "");
}

static void test_several_daemons(void **state)
{
    const struct fake *first = *state;
    struct fake s = {.answer = answer,
                     .greeting = "{\"method\":\"hello\",\"params\":{\"product\":\"mailproxy\","
                                 "\"protocol\":1,\"node\":\"n2\"}}\n"};
    char line[256];
    fake_start(&s);
    snprintf(line, sizeof(line), "-s %s -s %s whoami -c user", first->path, s.path);
    check(line, 0, "node\tuser\nn1\troot\nn2\troot\n", "");
    snprintf(line, sizeof(line), "-s %s -s %s sessions -c id -H --sort -age --limit 3", first->path,
             s.path);
    check(line, 0, "n1\t0\nn2\t0\nn1\t1\n", "");
    /* One that is not there is no reason to ask nobody, and to do nothing. */
    snprintf(line, sizeof(line), "-s /nowhere -s %s session kill user=a", s.path);
    check(line, 1, "", NULL);
    assert_true(json_is_true(json_object_get(last_params(&s), "dry_run")));
    snprintf(line, sizeof(line), "-s /nowhere -s %s session kill 1 -o id", s.path);
    check(line, 7, "1\n", NULL);
    snprintf(line, sizeof(line), "-s /nowhere -s /nowhere2 session kill 1");
    check(line, 5, "", NULL);
    /* People are told the sums and how many rows are whose; programs count themselves. */
    snprintf(line, sizeof(line), "-s %s -s %s -o table pools -c name,sessions", first->path,
             s.path);
    check(line, 0,
          "NODE   POOL  SESSIONS\n"
          "n1     b            5\n"
          "n1     a            7\n"
          "n1     c            6\n"
          "n2     b            5\n"
          "n2     a            7\n"
          "n2     c            6\n"
          "total  -           36\n"
          "6 rows: 3 of n1, 3 of n2\n",
          "");
    snprintf(line, sizeof(line), "-s %s -s %s -o table pools -c name --sort -sessions --limit 1",
             first->path, s.path);
    check(line, 0, "NODE   POOL\nn1     a\n1 row: 1 of n1, 0 of n2\n", "");
    snprintf(line, sizeof(line), "-s %s -s /nowhere -o table pools -c name", first->path);
    check(line, 7, "NODE   POOL\nn1     b\nn1     a\nn1     c\n3 rows: 3 of n1\n", NULL);
    snprintf(line, sizeof(line), "-s %s -s %s -o tsv -H pools -c sessions --limit 1", first->path,
             s.path);
    check(line, 0, "n1\t5\n", "");
    snprintf(line, sizeof(line), "-s /nowhere -s %s user show bert", s.path);
    struct outcome refused = run(line);
    assert_non_null(strstr(refused.err, "mailproxyctl: /nowhere: no daemon at /nowhere"));
    assert_non_null(strstr(refused.err, "mailproxyctl: n2: no such user (anna?)\n"));
    outcome_fini(&refused);
    snprintf(line, sizeof(line), "-s %s -s /nowhere whoami -c user -H", s.path);
    check(line, 7, "n2\troot\n", NULL);
    snprintf(line, sizeof(line), "-s /nowhere -s /nowhere/else whoami -o json");
    struct outcome o = run(line);
    assert_int_equal(o.code, 5);
    json_t *error = json_loads(o.out, 0, NULL);
    assert_non_null(json_object_get(error, "error"));
    json_decref(error);
    outcome_fini(&o);
    fake_stop(&s);
}

/* The second daemon has no such session. */
static char *answer_without(const char *method, const json_t *params, json_int_t id)
{
    return strcmp(method, "session.kill") == 0
               ? fake_error(id, "E_NO_MATCH", "no session matches", "none")
               : answer(method, params, id);
}

/* What one of several daemons does not have is no failure where another has it. */
static void test_no_match_at_one_of_several(void **state)
{
    const struct fake *first = *state;
    struct fake s = {.answer = answer_without,
                     .greeting = "{\"method\":\"hello\",\"params\":{\"product\":\"mailproxy\","
                                 "\"protocol\":1,\"node\":\"n2\"}}\n"};
    char line[256];
    fake_start(&s);
    for (int i = 0; i < 2; i++) {
        const char *a = i ? first->path : s.path, *b = i ? s.path : first->path;
        snprintf(line, sizeof(line), "-s %s -s %s session kill user=a --yes -o id", a, b);
        check(line, 0, "1\n2\n", "n1: session kill: 2\n");
        snprintf(line, sizeof(line), "-s %s -s %s session kill user=a", a, b);
        check(line, 1, "",
              "mailproxyctl: session kill would hit 2 (--yes does it, --dry-run lists them)\n");
        snprintf(line, sizeof(line), "-s %s -s %s session kill 1 -o id", a, b);
        check(line, 0, "1\n", "n1: session kill: 1\n");
    }
    snprintf(line, sizeof(line), "-s %s -s %s session kill user=nobody --yes", s.path, first->path);
    check(line, 3, "", "n1: session kill: 0\n");
    snprintf(line, sizeof(line), "-s %s -s %s session kill user=a", s.path, s.path);
    check(line, 3, "", "mailproxyctl: no session matches (none?)\n");
    check("session kill user=a --yes --max 0 -o id", 0, "1\n2\n", NULL); /* the daemon judges */
    fake_stop(&s);
}

/* --max is of all together. */
static void test_max_of_several(void **state)
{
    const struct fake *first = *state;
    struct fake s = {.answer = answer, .greeting = FAKE_GREETING};
    char line[256];
    fake_start(&s);
    snprintf(line, sizeof(line), "-s %s -s %s session kill user=a --yes --max 3", first->path,
             s.path);
    check(line, 1, "", "mailproxyctl: 4 would be hit, more than 3; nothing was done\n");
    assert_true(json_is_true(json_object_get(last_params(&s), "dry_run")));
    snprintf(line, sizeof(line), "-s %s -s %s session kill user=a --yes --max 4 -o id", first->path,
             s.path);
    check(line, 0, "1\n2\n1\n2\n", NULL);
    fake_stop(&s);
}

static void test_stream(void **state)
{
    const struct fake *s = *state;
    check("event watch -o jsonl --limit 2", 0, "{\"type\":\"login\"}\n{\"type\":\"end\"}\n", "");
    check("event watch -c type --limit 1", 0, "type\nlogin\n", "");
    check("event watch -c type", 1, "type\nlogin\nend\n", "mailproxyctl: dropped\n");
    (void)s;
}

static void write_file(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_import(void **state)
{
    const struct fake *s = *state;
    char path[96], line[160];
    size_t size = 100000;
    AUTO_FREE char *text = malloc(size + 1), *joined = calloc(1, size + 1);
    for (size_t i = 0; i < size; i++)
        text[i] = i % 50 == 49 ? '\n' : i % 50 == 7 ? '"' : 'x';
    text[size] = '\0';
    snprintf(path, sizeof(path), "%s/users", s->dir);
    write_file(path, text, size);
    snprintf(line, sizeof(line), "user import %s --mode add", path);
    size_t before = json_array_size(s->requests);
    check(line, 0, "", "3 users\n");
    size_t n = json_array_size(s->requests);
    assert_int_equal(n - before, 3);
    for (size_t i = before; i < n; i++) {
        const json_t *r = json_array_get(s->requests, i);
        const json_t *params = json_object_get(r, "params");
        assert_true(json_integer_value(json_object_get(r, "bytes")) < 65536);
        assert_int_equal(json_integer_value(json_object_get(params, "part")), i - before + 1);
        assert_int_equal(json_is_true(json_object_get(params, "more")), i + 1 < n);
        assert_string_equal(json_string_value(json_object_get(params, "mode")), "add");
        snprintf(joined + strlen(joined), size + 1 - strlen(joined), "%s",
                 json_string_value(json_object_get(params, "data")));
    }
    assert_string_equal(joined, text);
    /* A short file goes without part numbers; what is no text is not sent. */
    write_file(path, "anna\n", 5);
    check(line, 0, "", "3 users\n");
    assert_null(json_object_get(last_params(s), "part"));
    write_file(path, "anna\n\xff\n", 7);
    snprintf(text, size, "mailproxyctl: %s:2: not UTF-8 text\n", path);
    check(line, 1, "", text);
    unlink(path);
}

static void test_secret_file(void **state)
{
    const struct fake *s = *state;
    char path[96], line[160];
    snprintf(path, sizeof(path), "%s/secret", s->dir);
    snprintf(line, sizeof(line), "user passwd anna --password-file %s", path);
    write_file(path, "s3cret w\u00f6rd\r\nsecond\n", 21);
    check(line, 0, "", "user passwd: 1\n");
    assert_string_equal(json_string_value(json_object_get(last_params(s), "password")),
                        "s3cret w\u00f6rd");
    write_file(path, "\n", 1);
    check(line, 1, "", "mailproxyctl: the password is empty\n");
    unlink(path);
    check("user passwd anna --password-file /", 1, "",
          "mailproxyctl: cannot read /: Is a directory\n");
}

static void test_batch(void **state)
{
    const struct fake *s = *state;
    char path[96], line[160], err[256];
    static const char commands[] =
        "# a comment\n\nwhoami -c user -H\nuser show bert\npools -H -o id # c\n";
    snprintf(path, sizeof(path), "%s/batch", s->dir);
    write_file(path, commands, sizeof(commands) - 1);
    snprintf(line, sizeof(line), "-f %s", path);
    snprintf(err, sizeof(err),
             "mailproxyctl: no such user (anna?)\n"
             "mailproxyctl: %s:4: failed with code 3; the rest was not run\n",
             path);
    check(line, 3, "root\n", err);
    snprintf(line, sizeof(line), "-f %s --keep-going", path);
    check(line, 7, "root\nb\na\nc\n", NULL);
    write_file(path, "whoami -c user -H", 17);
    check(line, 0, "root\n", "");
    unlink(path);
    check("-f /", 1, "", "mailproxyctl: cannot read /: Is a directory\n");
}

/* Commands on the standard input: what they would read from there is not there. */
static void test_batch_stdin(void **state)
{
    const struct fake *s = *state;
    static const char commands[] = "whoami -c user -H\nuser passwd anna --password-stdin\nsecret\n";
    static const char err[] = "mailproxyctl: the standard input holds the commands, nothing else\n"
                              "mailproxyctl: stdin:2: failed with code 2; the rest was not run\n";
    char path[96];
    snprintf(path, sizeof(path), "%s/batch", s->dir);
    write_file(path, commands, sizeof(commands) - 1);
    assert_non_null(freopen(path, "r", stdin));
    check("-f -", 2, "root\n", err);
    assert_non_null(freopen("/dev/null", "r", stdin));
    unlink(path);
}

static void test_wait(void **state)
{
    check("backend drain 7", 0, "", "operation 7\n");
    check("backend drain 7 --wait", 0, "", "drain main/b1: done: 2 left\n");
    check("backend drain 7 --wait -q", 0, "", "");
    check("backend drain empty --wait", 0, "", "already so\n");
    check("backend drain 8 --wait", 7, "", "mailproxyctl: drain main/b1: partly done: 2 left\n");
    check("-o jsonl backend drain 8 --wait", 7,
          "{\"id\":\"8\",\"kind\":\"drain\",\"target\":\"main/b1\",\"state\":\"partly done\","
          "\"text\":\"2 left\"}\n",
          "");
    /* It takes longer than one wants to wait, and goes on. */
    check("backend drain 6 --wait=1ms", 6, "",
          "mailproxyctl: not over after 1ms; operation 6 goes on (op cancel stops it)\n");
    check("backend drain 7 --wait=10s", 0, "", "drain main/b1: done: 2 left\n");
    /* The daemon goes away and comes back. */
    check("backend drain 9 --wait", 1, "", "mailproxyctl: drain main/b1: interrupted: 2 left\n");
    check("pools --wait", 2, "", "mailproxyctl: pool list begins no operation to wait for\n");
}

static void test_completion(void **state)
{
    static const struct {
        const char *words[4];
        const char *want; /* a line of the candidates */
    } cases[] = {
        {{"sess"}, "sessions\tlist sessions\n"},
        {{"session", "ki"}, "kill\tend sessions\n"},
        {{"session", "kill", "--dr"}, "--dry-run\tonly say what would be hit\n"},
        {{"user", "passwd", "--password-s"}, "--password-stdin\t"},
        {{"user", "show", ""}, "anna\tactive\n"},
        {{"session", "show", "1"}, "1\t\n"},
        {{"sessions", "id="}, "id=1\t\n"},
        {{"sessions", "us"}, "user=\tauthenticated user\n"},
        {{"sessions", "--sort", "-ag"}, "-age\ttime since it was accepted\n"},
        {{"sessions", "--columns", "id,ag"}, "id,age\t"},
        {{"-o", "jsonl"}, "jsonl\t"},
        {{"user", "import", "--format", "cs"}, "csv\t"},
        {{"user", "import", "--mode=re"}, "--mode=replace\t"},
        {{"completion", "z"}, "zsh\t"},
        {{"lim"}, "limits\t"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r;
        char *text = NULL;
        size_t size, n = 0;
        FILE *f = open_memstream(&text, &size);
        while (n < ARRAY_LEN(cases[i].words) && cases[i].words[n])
            n++;
        run_init(&r, f, f);
        complete_print(&r, f, n, cases[i].words);
        run_fini(&r);
        fclose(f);
        if (!strstr(text, cases[i].want))
            fail_msg("%s: %s", cases[i].want, text);
        /* Names that a shell would cut are left out. */
        assert_null(strstr(text, "a b"));
        free(text);
    }
    assert_false(complete_script(stdout, "tcsh"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_daemons, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_match_at_one_of_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_max_of_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secret_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch_stdin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_completion, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
