/* SPDX-License-Identifier: ISC */
/* The filter language: a list of terms compiled once and matched against many rows. */
#include "proto/filter.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "proto/reply.h"

#define FILTER_TERMS_MAX 32
#define FILTER_VALUES_MAX 256 /* in all terms together */
#define FILTER_OUTER_MAX 128  /* bytes of a name that is compared before a slash */
#define FILTER_SHOWN_MAX 80   /* bytes of a wrong term repeated in the error */
#define FILTER_SAME (-1)      /* id of the field that is the same in all rows */

enum filter_op { FILTER_EQ, FILTER_IS, FILTER_LT, FILTER_GT, FILTER_LE, FILTER_GE };

struct filter_want {
    char *text; /* owned */
    size_t
        outer_n; /* bytes of the text before its first slash, where that is about another field */
    uint64_t number;
    struct addr_net net;
    bool yes;
};

struct filter_term {
    int id;
    enum filter_type type;
    enum filter_op op;
    bool is_negated;
    int within; /* id of the other field of values with outer_n; -1: there are none */
    size_t n_wants;
    struct filter_want *wants; /* owned; any of them suffices */
};

struct filter {
    atomic_uint refs;
    char *text;       /* as it was written */
    char *same_value; /* of the field that is the same in all rows; NULL = no term is about it */
    size_t n_terms;
    struct filter_term terms[FILTER_TERMS_MAX];
};

/* Where the compiler is. */
struct filter_parser {
    struct str rest;
    const struct filter_field *fields, *field; /* field: of the term */
    size_t n_fields;
    struct filter_field same; /* the field that is the same in all rows; no name = there is none */
    struct filter *filter;
    size_t n_values;
    struct buf error; /* the sentence */
};

static bool filter_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool filter_is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static void filter_skip(struct filter_parser *p, size_t n)
{
    p->rest = str_n(p->rest.p + n, p->rest.n - n);
}

/* Writes `before "shown" after` as the sentence; memory that runs out here only shortens it. */
static int filter_error(struct filter_parser *p, int err, const char *before, struct str shown,
                        const char *after)
{
    buf_clear(&p->error);
    bool is_cut = buf_printf(&p->error, "%s \"", before) < 0 ||
                  reply_append_clean(&p->error, shown, FILTER_SHOWN_MAX) < 0 ||
                  buf_append_char(&p->error, '"') < 0 || buf_append_c(&p->error, after) < 0;
    return is_cut ? -ERR_NOMEM : err;
}

static int filter_unknown(struct filter_parser *p, struct str name)
{
    char word[64];
    AUTO_FREE const char **names = calloc(2 * p->n_fields + 1, sizeof(*names));
    if (!names)
        return -ERR_NOMEM;
    for (size_t i = 0; i < p->n_fields; i++) {
        names[2 * i] = p->fields[i].name;
        names[2 * i + 1] = p->fields[i].alias;
    }
    names[2 * p->n_fields] = p->same.name;
    (void)str_copy(word, sizeof(word), name);
    const char *nearest = str_nearest(word, names, 2 * p->n_fields + 1);
    if (!nearest)
        return filter_error(p, -ERR_NO_PARAM, "unknown filter field", name, "");
    AUTO_FREE char *hint = str_printf("; did you mean \"%s\"?", nearest);
    return filter_error(p, -ERR_NO_PARAM, "unknown filter field", name, hint ? hint : "");
}

static const struct filter_field *filter_find(const struct filter_parser *p, struct str name)
{
    for (size_t i = 0; i < p->n_fields; i++) {
        const struct filter_field *f = &p->fields[i];
        if (str_ieq(name, str_of(f->name)) || (f->alias && str_ieq(name, str_of(f->alias))))
            return f;
    }
    return p->same.name && str_ieq(name, str_of(p->same.name)) ? &p->same : NULL;
}

/* "=", "==", "!=", "<", ">", "<=", ">=": false when there is none. */
static bool filter_cut_op(struct filter_parser *p, struct filter_term *t)
{
    static const struct {
        struct str text;
        enum filter_op op;
        bool is_negated;
    } ops[] = {{{"<=", 2}, FILTER_LE, false}, {{">=", 2}, FILTER_GE, false},
               {{"!=", 2}, FILTER_EQ, true},  {{"==", 2}, FILTER_IS, false},
               {{"=", 1}, FILTER_EQ, false},  {{"<", 1}, FILTER_LT, false},
               {{">", 1}, FILTER_GT, false}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (!str_is_prefix(p->rest, ops[i].text))
            continue;
        t->op = ops[i].op;
        t->is_negated ^= ops[i].is_negated;
        filter_skip(p, ops[i].text.n);
        return true;
    }
    return false;
}

/* One value up to a comma or blank, or in quotes with \" and \\. False when a quote is open or
 * followed by more. */
static int filter_cut_value(struct filter_parser *p, struct buf *value)
{
    if (p->rest.n > 0 && p->rest.p[0] == '"') {
        filter_skip(p, 1);
        while (p->rest.n > 0 && p->rest.p[0] != '"') {
            if (p->rest.p[0] == '\\' && p->rest.n > 1)
                filter_skip(p, 1);
            if (buf_append_char(value, p->rest.p[0]) < 0)
                return -ERR_NOMEM;
            filter_skip(p, 1);
        }
        if (p->rest.n == 0)
            return -ERR_SYNTAX;
        filter_skip(p, 1);
        bool is_end = p->rest.n == 0 || p->rest.p[0] == ',' || filter_is_blank(p->rest.p[0]);
        return is_end ? 0 : -ERR_SYNTAX;
    }
    size_t n = 0;
    while (n < p->rest.n && p->rest.p[n] != ',' && !filter_is_blank(p->rest.p[n]))
        n++;
    int r = buf_append(value, p->rest.p, n);
    filter_skip(p, n);
    return r;
}

/* Gives a value its type; the sentence's middle part says what was expected. */
static int filter_parse_want(enum filter_type type, struct str text, struct filter_want *want,
                             const char **ret_expected)
{
    switch (type) {
    case FILTER_TEXT:
        *ret_expected = "a text without NUL";
        if (str_index(text, '\0') >= 0)
            return -ERR_SYNTAX;
        want->text = str_dup(text);
        return want->text ? 0 : -ERR_NOMEM;
    case FILTER_NUMBER:
        *ret_expected = "a number";
        return str_to_u64(text, UINT64_MAX, &want->number);
    case FILTER_SIZE:
        *ret_expected = "a size like 10m";
        return units_parse_size(text, &want->number);
    case FILTER_DURATION:
        *ret_expected = "a duration like 30m";
        return units_parse_duration(text, &want->number);
    case FILTER_IP:
        *ret_expected = "an address or network like 10.0.0.0/8";
        return addr_net_parse(text, &want->net);
    case FILTER_BOOL:
        *ret_expected = "yes or no";
        want->yes =
            str_ieq(text, STR("yes")) || str_ieq(text, STR("true")) || str_ieq(text, STR("on"));
        if (want->yes || str_ieq(text, STR("no")) || str_ieq(text, STR("false")) ||
            str_ieq(text, STR("off")))
            return 0;
        return -ERR_SYNTAX;
    }
    *ret_expected = "a known type";
    return -ERR_SYNTAX;
}

/* Is there a word of the field that the value means? */
static int filter_check_word(struct filter_parser *p, enum filter_op op, struct str text)
{
    const struct filter_field *f = p->field;
    const char *word = f->words && text.n > 0 ? f->words(f->id, 0) : NULL;
    AUTO_BUF known = BUF_INIT;
    if (!word)
        return 0;
    for (size_t i = 0; (word = f->words(f->id, i)); i++) {
        if (op == FILTER_IS ? str_ieq(text, str_of(word)) : str_glob(text, str_of(word)))
            return 0;
        if (buf_printf(&known, "%s%s", i ? ", " : "", word) < 0)
            return -ERR_NOMEM;
    }
    AUTO_FREE char *after =
        str_printf(" is nothing that \"%s\" can be: %s", f->name, buf_cstr(&known));
    return filter_error(p, -ERR_SYNTAX, "filter value", text, after ? after : "");
}

static int filter_add_want(struct filter_parser *p, struct filter_term *t, struct str name,
                           struct str text)
{
    const char *expected = "";
    struct filter_want want = {0};
    if (++p->n_values > FILTER_VALUES_MAX)
        return filter_error(p, -ERR_SYNTAX, "too many values at filter field", name, "");
    int r = filter_parse_want(t->type, text, &want, &expected);
    if (r == -ERR_NOMEM)
        return r;
    if (r < 0) {
        AUTO_FREE char *after =
            str_printf(" is not %s (filter field \"%.*s\")", expected, STR_ARG(name));
        return filter_error(p, -ERR_SYNTAX, "filter value", text, after ? after : "");
    }
    if ((r = filter_check_word(p, t->op, text)) < 0) {
        free(want.text);
        return r;
    }
    const struct filter_field *f = p->field;
    const char *slash = want.text && f->within ? strchr(want.text, '/') : NULL;
    if (slash && f->within(f->id) >= 0) {
        t->within = f->within(f->id);
        want.outer_n = (size_t)(slash - want.text);
    }
    struct filter_want *wants = realloc(t->wants, (t->n_wants + 1) * sizeof(*wants));
    if (!wants) {
        free(want.text);
        return -ERR_NOMEM;
    }
    t->wants = wants;
    t->wants[t->n_wants++] = want;
    return 0;
}

static int filter_parse_values(struct filter_parser *p, struct filter_term *t, struct str name,
                               struct str shown)
{
    for (;;) {
        AUTO_BUF value = BUF_INIT;
        int r = filter_cut_value(p, &value);
        if (r == -ERR_SYNTAX)
            return filter_error(p, r, "misplaced or missing quote in filter term", shown, "");
        if (r == 0)
            r = filter_add_want(p, t, name, buf_str(&value));
        if (r < 0)
            return r;
        if (p->rest.n == 0 || p->rest.p[0] != ',')
            return 0;
        filter_skip(p, 1);
    }
}

static int filter_parse_term(struct filter_parser *p)
{
    size_t n = 0;
    while (n < p->rest.n && !filter_is_blank(p->rest.p[n]))
        n++;
    struct str shown = str_head(p->rest, n); /* the term, for showing it */
    struct filter *f = p->filter;
    if (f->n_terms == FILTER_TERMS_MAX)
        return filter_error(p, -ERR_SYNTAX, "too many filter terms at", shown, "");
    /* counted from the start so that a failure frees what it holds */
    struct filter_term *t = &f->terms[f->n_terms++];
    t->within = -1;
    if (p->rest.p[0] == '!') {
        t->is_negated = true;
        filter_skip(p, 1);
    }
    n = 0;
    while (n < p->rest.n && filter_is_name_char(p->rest.p[n]))
        n++;
    struct str name = str_n(p->rest.p, n);
    filter_skip(p, n);
    if (n == 0 || !filter_cut_op(p, t))
        return filter_error(p, -ERR_SYNTAX, "filter term", shown,
                            " is not of the form field=value");
    const struct filter_field *field = filter_find(p, name);
    if (!field)
        return filter_unknown(p, name);
    p->field = field;
    t->id = field->id;
    t->type = field->type;
    bool is_ordered =
        t->type == FILTER_NUMBER || t->type == FILTER_SIZE || t->type == FILTER_DURATION;
    if (t->op != FILTER_EQ && t->op != FILTER_IS && !is_ordered)
        return filter_error(p, -ERR_SYNTAX, "filter field", name, " is compared by = only");
    return filter_parse_values(p, t, name, shown);
}

int filter_parse(struct str text, const struct filter_field *fields, size_t n_fields,
                 struct filter **ret, char **ret_error)
{
    return filter_parse_same(text, fields, n_fields, NULL, ret, ret_error);
}

int filter_parse_same(struct str text, const struct filter_field *fields, size_t n_fields,
                      const struct filter_same *same, struct filter **ret, char **ret_error)
{
    struct filter_parser p = {.rest = text, .fields = fields, .n_fields = n_fields};
    int r = 0;
    if (same)
        p.same = (struct filter_field){.name = same->name, .type = FILTER_TEXT, .id = FILTER_SAME};
    p.filter = calloc(1, sizeof(*p.filter));
    if (!p.filter)
        return -ERR_NOMEM;
    atomic_init(&p.filter->refs, 1);
    p.filter->text = str_dup(text);
    if (!p.filter->text) {
        free(p.filter);
        return -ERR_NOMEM;
    }
    for (;;) {
        while (p.rest.n > 0 && filter_is_blank(p.rest.p[0]))
            filter_skip(&p, 1);
        if (p.rest.n == 0 || r < 0)
            break;
        r = filter_parse_term(&p);
    }
    if (r == 0 && same && filter_names(p.filter, FILTER_SAME) &&
        !(p.filter->same_value = str_dup_c(same->value)))
        r = -ERR_NOMEM;
    if (r < 0) {
        if (r != -ERR_NOMEM)
            *ret_error = buf_steal(&p.error);
        filter_unref(p.filter);
    } else {
        *ret = p.filter;
    }
    buf_fini(&p.error);
    return r;
}

int filter_print_value(struct buf *out, struct str value)
{
    int err = buf_append_char(out, '"');
    for (size_t i = 0; i < value.n && err == 0; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            err = buf_append_char(out, '\\');
        if (err == 0)
            err = buf_append_char(out, value.p[i]);
    }
    return err == 0 ? buf_append_char(out, '"') : err;
}

int filter_make(const struct filter_is *terms, size_t n, const struct filter_field *fields,
                size_t n_fields, struct filter **ret)
{
    struct filter_parser p = {.fields = fields, .n_fields = n_fields};
    AUTO_BUF text = BUF_INIT;
    int err = n <= FILTER_TERMS_MAX ? 0 : -ERR_SYNTAX;
    if (err == 0 && !(p.filter = calloc(1, sizeof(*p.filter))))
        err = -ERR_NOMEM;
    if (err < 0)
        return err;
    atomic_init(&p.filter->refs, 1);
    for (size_t i = 0; i < n && err == 0; i++) {
        struct filter_term *t = &p.filter->terms[p.filter->n_terms++];
        p.field = fields;
        while (p.field + 1 < fields + n_fields && p.field->id != terms[i].id)
            p.field++;
        if (p.field->id != terms[i].id) /* never what it does not mean */
            err = -ERR_SYNTAX;
        *t = (struct filter_term){.id = p.field->id,
                                  .type = p.field->type,
                                  .op = FILTER_IS,
                                  .is_negated = terms[i].is_negated,
                                  .within = -1};
        if (err == 0)
            err = buf_printf(&text, "%s%s%s==", i ? " " : "", t->is_negated ? "!" : "",
                             p.field->name);
        for (size_t k = 0; k < terms[i].n_values && err == 0; k++) {
            const char *value = terms[i].values[k];
            err = k > 0 ? buf_append_char(&text, ',') : 0;
            if (err == 0)
                err = filter_print_value(&text, str_of(value));
            if (err == 0)
                err = filter_add_want(&p, t, str_of(p.field->name), str_of(value));
        }
    }
    buf_fini(&p.error);
    if (err == 0 && !(p.filter->text = str_dup(buf_str(&text))))
        err = -ERR_NOMEM;
    if (err == 0)
        *ret = p.filter;
    else
        filter_unref(p.filter);
    return err;
}

struct filter *filter_ref(struct filter *f)
{
    if (f)
        atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void filter_unref(struct filter *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < f->n_terms; i++) {
        for (size_t j = 0; j < f->terms[i].n_wants; j++)
            free(f->terms[i].wants[j].text);
        free(f->terms[i].wants);
    }
    free(f->text);
    free(f->same_value);
    free(f);
}

const char *filter_text(const struct filter *f)
{
    return f->text;
}

const char *filter_same_value(const struct filter *f)
{
    return f->same_value;
}

bool filter_is_empty(const struct filter *f)
{
    return f->n_terms == 0;
}

bool filter_names(const struct filter *f, int id)
{
    for (size_t i = 0; i < f->n_terms; i++)
        if (f->terms[i].id == id)
            return true;
    return false;
}

static bool filter_compare(enum filter_op op, uint64_t have, uint64_t want)
{
    switch (op) {
    case FILTER_LT:
        return have < want;
    case FILTER_GT:
        return have > want;
    case FILTER_LE:
        return have <= want;
    case FILTER_GE:
        return have >= want;
    case FILTER_EQ:
    case FILTER_IS:
        break;
    }
    return have == want;
}

static bool filter_match_text(const struct filter_term *t, struct str want, struct str have)
{
    return t->op == FILTER_IS ? str_ieq(want, have) : str_glob(want, have);
}

/* outer: the other field of a value with a slash. */
static bool filter_match_want(const struct filter_term *t, const struct filter_want *want,
                              const struct filter_value *have, struct str outer)
{
    struct str text;
    switch (t->type) {
    case FILTER_TEXT:
        text = str_of(want->text);
        return filter_match_text(t, text, have->text) ||
               (want->outer_n > 0 && filter_match_text(t, str_head(text, want->outer_n), outer) &&
                filter_match_text(t, str_of(want->text + want->outer_n + 1), have->text));
    case FILTER_IP:
        return have->addr && addr_net_has(&want->net, have->addr);
    case FILTER_BOOL:
        return have->yes == want->yes;
    case FILTER_NUMBER:
    case FILTER_SIZE:
    case FILTER_DURATION:
        break;
    }
    return filter_compare(t->op, have->number, want->number);
}

bool filter_match(const struct filter *f,
                  bool (*get)(const void *row, int id, struct filter_value *ret), const void *row)
{
    for (size_t i = 0; i < f->n_terms; i++) {
        const struct filter_term *t = &f->terms[i];
        struct filter_value have = {0};
        char outer[FILTER_OUTER_MAX] = "";
        if (t->within >= 0 && get(row, t->within, &have))
            (void)str_copy(outer, sizeof(outer), have.text);
        have = (struct filter_value){0};
        bool has_value = true, does_match = false;
        if (t->id == FILTER_SAME)
            have.text = str_of(f->same_value);
        else
            has_value = get(row, t->id, &have);
        /* "backend=" finds the rows that have no backend */
        for (size_t k = 0; k < t->n_wants && !does_match; k++)
            does_match = has_value ? filter_match_want(t, &t->wants[k], &have, str_of(outer))
                                   : t->type == FILTER_TEXT && t->wants[k].text[0] == '\0';
        if (does_match == t->is_negated)
            return false;
    }
    return true;
}
