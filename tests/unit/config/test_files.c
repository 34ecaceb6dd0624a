/* SPDX-License-Identifier: ISC */
/* The files that are delivered: the sample is valid as it is and with all that it shows, and shows
 * every key; the demonstration's is valid. */
#include <sys/stat.h>

#include "load_case.h"

#include "tests/unit/backend/cert.h"

static char *read_file(const char *path)
{
    AUTO_BUF text = BUF_INIT;
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is not here: run from the project's folder", path);
    size_t n;
    do {
        assert_int_equal(buf_reserve(&text, 65536), 0);
        n = fread(buf_tail(&text), 1, buf_tail_room(&text), f);
        buf_commit(&text, n);
    } while (n > 0);
    assert_int_equal(fclose(f), 0);
    return buf_steal(&text);
}

/* ---- the sample ---- */

/* An installation makes its user; the machine of a test may not have it. */
static char *read_sample(void)
{
    static const char installed[] = "\nuser = \"mailproxy\";", here[] = "\nuser = \"root\";     ";
    char *text = read_file("conf/mailproxy.conf");
    char *user = strstr(text, installed);
    assert_non_null(user);
    memcpy(user, here, sizeof(here) - 1);
    return text;
}

static void test_sample(void **state)
{
    AUTO_FREE char *text = read_sample();
    struct loaded l;
    load_text(&l, text);
    load_assert_words(&l, "main.conf: warning: listeners: is empty: no client can connect\n");
    assert_int_equal(l.err, 0);
    load_fini(&l);
}

static bool is_code(struct str line)
{
    return line.n > 1 && line.p[0] == '#' &&
           (strchr("abcdefghijklmnopqrstuvwxyz(){}", line.p[1]) ||
            (line.n > 2 && line.p[1] == ' ' && line.p[2] == ' '));
}

/* Files of kinds that the test does not make, and a user that this machine may not have. */
static bool is_kept_out(struct str line)
{
    static const char *const starts[] = {
        "ocsp =", "client_crl =", "dh_params =", "group = \"mailproxy\"", "directory ="};
    struct str code = str_trim(str_n(line.p + 1, line.n - 1));
    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (str_is_prefix(code, str_of(starts[i])))
            return true;
    return false;
}

/* A line with the files of /etc/mailproxy replaced by one that holds a certificate and its key. */
static void add_line(struct buf *out, struct str line, const char *file)
{
    static const char folder[] = "\"/etc/mailproxy/";
    const char *at = memmem(line.p, line.n, folder, strlen(folder));
    if (!at) {
        assert_int_equal(buf_printf(out, "%.*s\n", STR_ARG(line)), 0);
        return;
    }
    assert_int_equal(buf_printf(out, "%.*s\"%s\";\n", (int)(at - line.p), line.p, file), 0);
}

static char *with_everything(const char *sample, const char *file)
{
    AUTO_BUF all = BUF_INIT;
    struct str rest = str_of(sample);
    while (rest.n > 0) {
        struct str line = str_cut(&rest, '\n');
        if (is_code(line) && !is_kept_out(line))
            line = str_n(line.p + 1, line.n - 1);
        add_line(&all, line, file);
    }
    return buf_steal(&all);
}

static void test_sample_with_everything(void **state)
{
    struct cert cert;
    cert_make(&cert, "mail.example.org", NULL, 2);
    AUTO_FREE char *sample = read_sample();
    AUTO_FREE char *text = with_everything(sample, cert.path);
    struct loaded l;
    load_text(&l, text);
    AUTO_FREE char *words = load_words(&l);
    if (l.err < 0)
        fail_msg("%s", words);
    assert_int_equal(l.config->n_listeners, 2);
    assert_int_equal(l.config->n_auths, 2);
    assert_int_equal(l.config->pools[0].n_backends, 2);
    assert_int_equal(l.config->n_routes, 1);
    load_fini(&l);
    (void)unlink(cert.path);
}

struct shown {
    const char *text;
    size_t missing;
};

static void look_for_key(void *arg, const struct config_key_doc *doc)
{
    struct shown *s = arg;
    const char *dot = strrchr(doc->path, '.');
    AUTO_FREE char *line = str_printf("%s = ", dot ? dot + 1 : doc->path);
    if (!line || !strstr(s->text, line)) {
        print_error("%s is not in the sample\n", doc->path);
        s->missing++;
    }
}

static void test_sample_is_whole(void **state)
{
    AUTO_FREE char *text = read_sample();
    struct shown s = {.text = text};
    config_each_key(look_for_key, &s);
    assert_int_equal(s.missing, 0);
}

/* The defaults that the sample shows are those of the table. */
static void test_sample_shows_defaults(void **state)
{
    AUTO_FREE char *text = read_sample();
    struct config *c = load_good(text);
    AUTO_FREE char *set = load_dump(c, CONFIG_DUMP_ONLY_SET);
    assert_string_equal(set, "user = \"root\";\nauth = (\n  {\n    type = \"users\";\n  }\n);\n");
    config_unref(c);
}

/* ---- the demonstration ---- */

/* Fills in "${...}" as the demonstration does: numbers for ports, else a file. */
static char *with_values(const char *text, const char *file)
{
    AUTO_BUF out = BUF_INIT;
    unsigned port = 20000;
    while (*text) {
        const char *at = strstr(text, "${");
        size_t n = at ? (size_t)(at - text) : strlen(text);
        assert_int_equal(buf_append(&out, text, n), 0);
        if (!at)
            break;
        const char *end = strchr(at, '}');
        assert_non_null(end);
        struct str name = str_n(at + 2, (size_t)(end - at) - 2);
        text = end + 1;
        if (str_eq(name, STR("cert")) || str_eq(name, STR("key")))
            assert_int_equal(buf_append_c(&out, file), 0);
        else if (str_eq(name, STR("folder")))
            assert_int_equal(buf_append_c(&out, load_folder), 0);
        else if (str_eq(name, STR("uid")))
            assert_int_equal(buf_append_c(&out, "0"), 0);
        else if (str_eq(name, STR("user")))
            assert_int_equal(buf_append_c(&out, "root"), 0);
        else if (name.n > 5 && memcmp(name.p + name.n - 5, "_host", 5) == 0)
            assert_int_equal(buf_append_c(&out, "127.0.0.2"), 0);
        else
            assert_int_equal(buf_printf(&out, "%u", port++), 0);
    }
    return buf_steal(&out);
}

static void test_demo(void **state)
{
    struct cert cert;
    cert_make(&cert, "localhost", NULL, 2);
    AUTO_FREE char *template = read_file("conf/demo.conf");
    AUTO_FREE char *text = with_values(template, cert.path);
    struct loaded l;
    load_text(&l, text);
    load_assert_words(&l, "");
    assert_int_equal(l.err, 0);
    load_fini(&l);
    (void)unlink(cert.path);
}

/* Where another user could put another folder in its place root does not put its socket: said
 * before the start fails of it. */
static void test_control_folder(void **state)
{
    static const char warning[] = "another user could rename a folder of it";
    char folder[128], inner[160];
    struct loaded l;
    if (geteuid() != 0)
        skip();
    load_path(folder, "run");
    snprintf(inner, sizeof(inner), "%s/inner", folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(mkdir(inner, 0755), 0);
    AUTO_FREE char *text =
        str_printf(LOAD_AUTH "control = ( { path = \"%s/c.sock\"; admin = \"root\"; } );\n", inner);
    load_text(&l, text);
    AUTO_FREE char *before = load_words(&l);
    assert_null(strstr(before, warning));
    load_fini(&l);
    assert_int_equal(chown(folder, 65534, 65534), 0);
    load_text(&l, text);
    load_assert_has(&l, warning);
    assert_int_equal(l.err, 0);
    load_fini(&l);
    assert_int_equal(rmdir(inner), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_sample_with_everything),
        cmocka_unit_test(test_sample_is_whole),
        cmocka_unit_test(test_sample_shows_defaults),
        cmocka_unit_test(test_demo),
        cmocka_unit_test(test_control_folder),
    };
    return cmocka_run_group_tests(tests, load_setup, load_teardown);
}
