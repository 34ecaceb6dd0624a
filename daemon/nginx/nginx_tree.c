/* SPDX-License-Identifier: ISC */
/* Words to directives, blocks and includes. */
#include "nginx/nginx_tree.h"

#include "base/cleanup.h"
#include "nginx/nginx_words.h"

struct tree_reading {
    const struct nginx_source *source;
    struct str folder; /* of the first file: includes are relative to it */
    struct buf *error;
    size_t n_files, n_words, n_bytes;
    unsigned depth;
};

/* A file that is being read. */
struct tree_file {
    struct tree_reading *all;
    const char *path;
    struct nginx_words words;
};

void nginx_tree_free(struct nginx_directive *d)
{
    if (!d)
        return;
    for (struct nginx_directive *child = d->first, *next; child; child = next) {
        next = child->next;
        nginx_tree_free(child);
    }
    for (size_t i = 0; i < d->n_words; i++)
        free(d->words[i]);
    free(d->words);
    free(d->file);
    free(d->remark);
    free(d);
}

void nginx_note(struct nginx_directive *d, enum nginx_verdict verdict, const char *remark)
{
    if (verdict <= d->verdict)
        return;
    d->verdict = verdict;
    free(d->remark);
    d->remark = str_dup_c(remark);
}

const char *nginx_verdict_name(enum nginx_verdict v)
{
    static const char *const names[NGINX_VERDICT_COUNT] = {[NGINX_UNSEEN] = "not used",
                                                           [NGINX_PASSED] = "passed over",
                                                           [NGINX_EXACT] = "exact",
                                                           [NGINX_APPROXIMATE] = "approximate",
                                                           [NGINX_NO_EQUAL] = "no equal"};
    return names[v];
}

static int tree_add_word(struct nginx_directive *d, struct str word)
{
    char **words = realloc(d->words, (d->n_words + 1) * sizeof(*words));
    if (!words)
        return -ERR_NOMEM;
    d->words = words;
    words[d->n_words] = str_dup(word);
    return words[d->n_words] ? (d->n_words++, 0) : -ERR_NOMEM;
}

struct nginx_directive *nginx_tree_default(const char *text)
{
    struct nginx_directive *d = calloc(1, sizeof(*d));
    struct str rest = str_of(text), word;
    int err = d ? 0 : -ERR_NOMEM;
    while (err == 0 && (word = str_word(&rest)).n > 0)
        err = tree_add_word(d, word);
    if (err == 0)
        return d;
    nginx_tree_free(d);
    return NULL;
}

/* ---- reading ---- */

static int tree_fail(const struct tree_file *f, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int tree_fail(const struct tree_file *f, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int err = buf_printf(f->all->error, "%s:%u: ", f->path, line);
    if (err == 0)
        err = buf_vprintf(f->all->error, fmt, ap);
    va_end(ap);
    return err < 0 ? err : -ERR_CONFIG;
}

static int tree_next(struct tree_file *f, enum nginx_token *ret)
{
    const char *why = "";
    int err = nginx_words_next(&f->words, ret, &why);
    if (err == -ERR_SYNTAX)
        return tree_fail(f, f->words.word_line, "%s", why);
    if (err == 0 && *ret == NGINX_WORD && ++f->all->n_words > NGINX_WORDS_MAX)
        return tree_fail(f, f->words.word_line, "there are more than %d words", NGINX_WORDS_MAX);
    return err;
}

/* Words up to ";" or "{": *ret tells which. NGINX_CLOSE or NGINX_END: of the block around. */
static int tree_read_words(struct tree_file *f, struct nginx_directive *d, enum nginx_token *ret)
{
    int err = tree_next(f, ret);
    d->line = f->words.word_line;
    for (; err == 0 && *ret == NGINX_WORD; err = tree_next(f, ret)) {
        if (d->n_words >= NGINX_ARGUMENTS_MAX)
            return tree_fail(f, d->line, "it has more than %d words", NGINX_ARGUMENTS_MAX);
        err = tree_add_word(d, buf_str(&f->words.word));
        if (err < 0)
            return err;
    }
    if (err < 0 || (d->n_words > 0) == (*ret == NGINX_SEMICOLON || *ret == NGINX_OPEN))
        return err;
    static const char *const names[] = {[NGINX_SEMICOLON] = "\";\"",
                                        [NGINX_OPEN] = "\"{\"",
                                        [NGINX_CLOSE] = "\"}\"",
                                        [NGINX_END] = "end of file, \";\" or \"}\" is missing"};
    return tree_fail(f, f->words.word_line, "unexpected %s", names[*ret]);
}

static int tree_read_file(struct tree_reading *all, const char *path,
                          struct nginx_directive *parent);

/* One file of an include. */
struct tree_include {
    struct tree_file *from;
    struct nginx_directive *parent;
};

static int on_include(void *arg, const char *path)
{
    const struct tree_include *i = arg;
    return tree_read_file(i->from->all, path, i->parent);
}

static int tree_include(struct tree_file *f, struct nginx_directive *d,
                        struct nginx_directive *parent)
{
    if (d->n_words != 2)
        return tree_fail(f, d->line, "include needs one file");
    AUTO_FREE char *path = d->words[1][0] == '/'
                               ? str_dup_c(d->words[1])
                               : str_printf("%.*s/%s", STR_ARG(f->all->folder), d->words[1]);
    struct tree_include i = {f, parent};
    if (!path)
        return -ERR_NOMEM;
    int err = strpbrk(path, "*?[") ? f->all->source->each(f->all->source->arg, path, on_include, &i)
                                   : on_include(&i, path);
    if (err < 0 && err != -ERR_CONFIG && err != -ERR_NOMEM)
        return tree_fail(f, d->line, "include %s: %s", path, err_text(err));
    return err;
}

/* Passes over a block whose "{" was read. */
static int tree_skip_block(struct tree_file *f)
{
    enum nginx_token token;
    unsigned from = f->words.line;
    for (size_t depth = 1; depth > 0;) {
        int err = tree_next(f, &token);
        if (err < 0)
            return err;
        if (token == NGINX_END)
            return tree_fail(f, from, "the block has no end");
        depth = depth + (token == NGINX_OPEN) - (token == NGINX_CLOSE);
    }
    return 0;
}

/* Directives up to the end of a block, or of the file. */
static int tree_read_block(struct tree_file *f, struct nginx_directive *parent, bool is_file)
{
    int err = 0;
    if (++f->all->depth > NGINX_DEPTH_MAX)
        return tree_fail(f, f->words.line, "blocks and includes are deeper than %d",
                         NGINX_DEPTH_MAX);
    while (err == 0) {
        enum nginx_token token;
        struct nginx_directive *d = calloc(1, sizeof(*d));
        if (!d)
            return -ERR_NOMEM;
        d->parent = parent;
        d->file = str_dup_c(f->path);
        err = d->file ? tree_read_words(f, d, &token) : -ERR_NOMEM;
        bool is_end = err == 0 && d->n_words == 0;
        if (is_end && (token == NGINX_END) != is_file)
            err = tree_fail(f, f->words.word_line,
                            is_file ? "unexpected \"}\""
                                    : "unexpected end of file, \"}\" is missing");
        bool is_include =
            err == 0 && !is_end && token == NGINX_SEMICOLON && strcmp(d->words[0], "include") == 0;
        if (is_include)
            err = tree_include(f, d, parent);
        else if (err == 0 && !is_end && ++parent->n_block > NGINX_BLOCK_MAX)
            err = tree_fail(f, d->line, "a block has more than %d directives", NGINX_BLOCK_MAX);
        if (err < 0 || is_end || is_include) {
            nginx_tree_free(d);
            if (is_end)
                break;
            continue;
        }
        *(parent->last ? &parent->last->next : &parent->first) = d;
        parent->last = d;
        d->has_block = token == NGINX_OPEN;
        bool is_kept = parent->parent || strcmp(d->words[0], "mail") == 0;
        if (d->has_block)
            err = is_kept ? tree_read_block(f, d, false) : tree_skip_block(f);
    }
    f->all->depth--;
    return err;
}

static int tree_read_file(struct tree_reading *all, const char *path,
                          struct nginx_directive *parent)
{
    AUTO_SECRET_BUF text = BUF_INIT;
    struct tree_file f = {.all = all, .path = path};
    if (++all->n_files > NGINX_FILES_MAX)
        return tree_fail(&f, 1, "more than %d files are included", NGINX_FILES_MAX);
    int err = all->source->read(all->source->arg, path, &text);
    if (err < 0)
        return err;
    all->n_bytes += text.len;
    if (all->n_bytes > NGINX_TEXT_BYTES_MAX)
        return tree_fail(&f, 1, "the files have more than %d bytes", NGINX_TEXT_BYTES_MAX);
    f.words = (struct nginx_words){.text = buf_str(&text), .line = 1};
    err = tree_read_block(&f, parent, true);
    nginx_words_fini(&f.words);
    return err;
}

int nginx_tree_read(const char *path, const struct nginx_source *source,
                    struct nginx_directive **ret, struct buf *ret_error)
{
    const char *slash = strrchr(path, '/');
    struct tree_reading all = {.source = source,
                               .folder = slash ? str_n(path, (size_t)(slash - path)) : STR("."),
                               .error = ret_error};
    struct nginx_directive *root = calloc(1, sizeof(*root));
    int err = root ? tree_read_file(&all, path, root) : -ERR_NOMEM;
    if (err < 0 && err != -ERR_CONFIG && err != -ERR_NOMEM)
        err = buf_printf(ret_error, "%s: cannot be read: %s", path, err_text(err)) < 0
                  ? -ERR_NOMEM
                  : -ERR_CONFIG;
    if (err < 0)
        nginx_tree_free(root);
    else
        *ret = root;
    return err;
}
