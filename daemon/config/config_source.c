/* SPDX-License-Identifier: ISC */
/* The text of a configuration with its included files in place. It is put together here, so that a
 * folder, a loop of files, a NUL or a tower of brackets is an error with its line before the parser
 * meets it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "config/config_key.h"

enum {
    SOURCE_INCLUDES_MAX = 10,
    SOURCE_NESTING_MAX = 32,
    SOURCE_BYTES_MAX = 4 << 20,
    SOURCE_HEX_DIGITS_MAX = 15, /* what a signed 64-bit number holds */
};

#define SOURCE_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*"
#define SOURCE_DIGITS "0123456789"
#define SOURCE_HEX SOURCE_DIGITS "abcdefABCDEF"

struct source {
    struct config_source *out;
    struct config_problems *problems;
    const char *folder; /* of the first file */
    unsigned out_line;  /* line of the text that is being written */
    unsigned nesting;
};

/* One file on its way into the text. */
struct source_file {
    const char *name;
    struct str text;
    size_t at;
    unsigned line;
    unsigned depth;
};

static int source_bad(struct source *s, const char *file, unsigned line, const char *text,
                      const char *detail)
{
    config_problem_add(s->problems, file, line, "", false, "%s%s", text, detail);
    return -ERR_CONFIG;
}

/* The text from here on stands in `file` from `line` on. */
static int source_mark(struct source *s, const char *file, unsigned line)
{
    struct config_source *o = s->out;
    struct config_segment *v = realloc(o->segments, (o->n_segments + 1) * sizeof(*v));
    if (!v)
        return -ERR_NOMEM;
    o->segments = v;
    v[o->n_segments++] = (struct config_segment){s->out_line, file, line};
    return 0;
}

/* A name that lives as long as the source. Takes name. */
static int source_keep(struct source *s, char *name)
{
    struct config_source *o = s->out;
    char **v = name ? realloc(o->files, (o->n_files + 1) * sizeof(*v)) : NULL;
    if (!v) {
        free(name);
        return -ERR_NOMEM;
    }
    o->files = v;
    v[o->n_files++] = name;
    return 0;
}

/* Only regular files: reading a FIFO or a terminal would wait. */
static int source_open(const char *path, int *ret_fd)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno;
    int failed = fstat(fd, &st) < 0              ? errno
                 : S_ISDIR(st.st_mode)           ? EISDIR
                 : !S_ISREG(st.st_mode)          ? EINVAL
                 : st.st_size > SOURCE_BYTES_MAX ? EFBIG
                                                 : 0;
    if (failed) {
        close(fd);
        return failed;
    }
    *ret_fd = fd;
    return 0;
}

static int source_slurp(int fd, struct buf *out)
{
    ssize_t n;
    do {
        if (buf_reserve(out, 65536) < 0)
            return ENOMEM;
        n = read(fd, buf_tail(out), buf_tail_room(out));
        if (n > 0)
            buf_commit(out, (size_t)n);
        if (out->len > SOURCE_BYTES_MAX)
            return EFBIG;
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? errno : 0;
}

static bool source_is_at(const struct source_file *f, const char *word)
{
    return str_is_prefix(str_n(f->text.p + f->at, f->text.n - f->at), str_of(word));
}

/* Copies n bytes and counts the lines in them. */
static int source_copy(struct source *s, struct source_file *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (f->text.p[f->at + i] == '\n') {
            f->line++;
            s->out_line++;
        }
    int err = s->out->text.len + n > SOURCE_BYTES_MAX
                  ? source_bad(s, f->name, f->line, "makes the configuration larger than 4m", "")
                  : buf_append(&s->out->text, f->text.p + f->at, n);
    f->at += n;
    return err;
}

/* Length of what begins here and ends with `end`, or with the file. */
static size_t source_until(const struct source_file *f, size_t skip, const char *end)
{
    size_t left = f->text.n - f->at;
    if (left <= skip)
        return left;
    const char *from = f->text.p + f->at;
    const char *at = memmem(from + skip, left - skip, end, strlen(end));
    return at ? (size_t)(at - from) + strlen(end) : left;
}

/* A text in quotes; 0 when its end is missing: the parser says so. */
static size_t source_quoted(const struct source_file *f)
{
    for (size_t i = f->at + 1; i < f->text.n; i++) {
        if (f->text.p[i] == '\\')
            i++;
        else if (f->text.p[i] == '"')
            return i + 1 - f->at;
    }
    return 0;
}

static size_t source_run(const struct source_file *f, size_t skip, const char *allowed)
{
    size_t i = f->at + skip;
    while (i < f->text.n && f->text.p[i] && strchr(allowed, f->text.p[i]))
        i++;
    return i - f->at;
}

static int source_add(struct source *s, const struct source_file *from, const char *path);

/* At "@include": the file comes in its place; the rest of the line follows it. */
static int source_include(struct source *s, struct source_file *f)
{
    f->at += strlen("@include");
    while (f->at < f->text.n && (f->text.p[f->at] == ' ' || f->text.p[f->at] == '\t'))
        f->at++;
    size_t n = f->at < f->text.n && f->text.p[f->at] == '"' ? source_quoted(f) : 0;
    if (n <= 2)
        return source_bad(s, f->name, f->line, "syntax error: @include needs a file in quotes", "");
    /* Relative to the first file's folder. */
    struct str name = str_n(f->text.p + f->at + 1, n - 2);
    AUTO_FREE char *path =
        name.p[0] == '/' ? str_dup(name) : str_printf("%s/%.*s", s->folder, STR_ARG(name));
    f->at += n;
    int err = path ? source_add(s, f, path) : -ERR_NOMEM;
    if (err == 0)
        err = buf_append_char(&s->out->text, '\n');
    s->out_line++;
    return err == 0 ? source_mark(s, f->name, f->line) : err;
}

/* True when only blanks stand before f->at in its line. */
static bool source_is_line_start(const struct source_file *f)
{
    size_t i = f->at;
    while (i > 0 && (f->text.p[i - 1] == ' ' || f->text.p[i - 1] == '\t'))
        i--;
    return i == 0 || f->text.p[i - 1] == '\n';
}

/* Copies one token of the file, or takes in what it includes. */
static int source_step(struct source *s, struct source_file *f)
{
    const char *at = f->text.p + f->at, c = *at;
    if (source_is_at(f, "#") || source_is_at(f, "//"))
        return source_copy(s, f, source_until(f, 1, "\n"));
    if (source_is_at(f, "/*"))
        return source_copy(s, f, source_until(f, 2, "*/"));
    if (c == '"') {
        size_t n = source_quoted(f);
        if (n == 0)
            return source_bad(s, f->name, f->line, "syntax error: the end of this text is missing",
                              "");
        for (size_t i = 0; i + 1 < n; i++) {
            if (at[i] != '\\')
                continue;
            if (str_is_iprefix(str_n(at + i, n - i), STR("\\x00"))) /* would end the text early */
                return source_bad(s, f->name, f->line, "a text holds a NUL character", "");
            i++;
        }
        return source_copy(s, f, n);
    }
    if (source_is_at(f, "@include") && source_is_line_start(f))
        return source_include(s, f);
    size_t word =
        strchr(SOURCE_LETTERS, c) ? source_run(f, 1, SOURCE_LETTERS SOURCE_DIGITS "-_") : 0;
    if (word > 0)
        return source_copy(s, f, word);
    if (strchr(SOURCE_DIGITS, c)) {
        bool is_hex = source_is_at(f, "0x") || source_is_at(f, "0X");
        size_t n = is_hex ? source_run(f, 2, SOURCE_HEX) : source_run(f, 0, SOURCE_DIGITS);
        char next = f->at + n < f->text.n ? at[n] : '\0';
        bool is_whole = !next || !strchr(".eEL", next);
        if (is_hex && n > 2 + SOURCE_HEX_DIGITS_MAX)
            return source_bad(s, f->name, f->line, "this number is too large", "");
        int err = source_copy(s, f, n);
        /* libconfig 1.5 cuts whole numbers without an L to 32 bits, silently; with one it takes
         * 64. */
        return err == 0 && is_whole && n > 8 ? buf_append_char(&s->out->text, 'L') : err;
    }
    if (strchr("{([", c))
        s->nesting++;
    else if (strchr("})]", c) && s->nesting > 0)
        s->nesting--;
    if (s->nesting > SOURCE_NESTING_MAX)
        return source_bad(s, f->name, f->line, "brackets are nested too deep", "");
    return source_copy(s, f, 1);
}

static int source_copy_all(struct source *s, struct source_file *f)
{
    int err = source_mark(s, f->name, 1);
    const char *nul = f->text.n ? memchr(f->text.p, '\0', f->text.n) : NULL;
    if (nul) {
        for (const char *p = f->text.p; p < nul; p++)
            f->line += *p == '\n';
        return source_bad(s, f->name, f->line, "the file holds a NUL byte", "");
    }
    while (err == 0 && f->at < f->text.n)
        err = source_step(s, f);
    return err;
}

/* from: the file that includes it, NULL for the first. */
static int source_add(struct source *s, const struct source_file *from, const char *path)
{
    AUTO_BUF text = BUF_INIT;
    AUTO_CLOSE int fd = -1;
    struct source_file f = {.line = 1, .depth = from ? from->depth + 1 : 0};
    if (f.depth > SOURCE_INCLUDES_MAX)
        return source_bad(s, from->name, from->line, "files include each other too deep: ", path);
    int failed = source_open(path, &fd);
    if (!failed)
        failed = source_slurp(fd, &text);
    if (failed && from) {
        config_problem_add(s->problems, from->name, from->line, "", false,
                           "%s cannot be included: %s", path, strerrordesc_np(failed));
        return 0; /* the others are looked at too */
    }
    if (failed)
        return source_bad(s, path, 0, "cannot be read: ", strerrordesc_np(failed));
    int err = source_keep(s, str_dup_c(path));
    if (err < 0)
        return err;
    f.name = s->out->files[s->out->n_files - 1];
    f.text = buf_str(&text);
    return source_copy_all(s, &f);
}

/* After the first file is in place, or could not be. Takes out over, and the folder if it succeeds.
 */
static int source_finish(struct source *s, int err, size_t n_problems, char **folder,
                         struct config_source *ret)
{
    struct config_source *out = s->out;
    if (err == 0 && s->problems->n > n_problems)
        err = -ERR_CONFIG;
    if (err == 0 && !buf_cstr(&out->text))
        err = -ERR_NOMEM;
    if (err == 0)
        out->folder = STEAL(*folder);
    if (err < 0)
        config_source_fini(out);
    else
        *ret = *out;
    return err;
}

int config_source_read(const char *path, struct config_source *ret,
                       struct config_problems *problems)
{
    struct config_source out = {0};
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *folder = !slash          ? str_dup_c(".")
                             : slash == path ? str_dup_c("/")
                                             : str_dup(str_n(path, (size_t)(slash - path)));
    char *real = folder ? realpath(folder, NULL) : NULL;
    if (real) { /* else as it is written */
        free(folder);
        folder = real;
    }
    struct source s = {.out = &out, .problems = problems, .folder = folder, .out_line = 1};
    size_t before = problems->n;
    int err = folder ? source_add(&s, NULL, path) : -ERR_NOMEM;
    return source_finish(&s, err, before, &folder, ret);
}

int config_source_text(const char *name, struct str text, struct config_source *ret,
                       struct config_problems *problems)
{
    struct config_source out = {0};
    AUTO_FREE char *folder = str_dup_c("/");
    struct source s = {.out = &out, .problems = problems, .folder = folder, .out_line = 1};
    size_t before = problems->n;
    int err = folder ? source_keep(&s, str_dup_c(name)) : -ERR_NOMEM;
    if (err == 0) {
        struct source_file f = {.name = out.files[0], .text = text, .line = 1};
        err = source_copy_all(&s, &f);
    }
    return source_finish(&s, err, before, &folder, ret);
}

void config_source_fini(struct config_source *s)
{
    buf_fini(&s->text);
    for (size_t i = 0; i < s->n_files; i++)
        free(s->files[i]);
    free(s->files);
    free(s->segments);
    free(s->folder);
    *s = (struct config_source){0};
}

void config_source_place(const struct config_source *s, unsigned line, const char **ret_file,
                         unsigned *ret_line)
{
    const struct config_segment *found = &s->segments[0];
    for (size_t i = 0; i < s->n_segments && s->segments[i].first <= line; i++)
        found = &s->segments[i];
    *ret_file = found->file;
    *ret_line = line - found->first + found->line;
}
