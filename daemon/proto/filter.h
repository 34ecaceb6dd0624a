/* SPDX-License-Identifier: ISC */
/* The filter language of list, kill, watch and the TUI: `user=*@example.org proto=imap idle>30m
 * !tls=no`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/str.h"

enum filter_type {
    FILTER_TEXT,     /* any ASCII case; = takes a glob, == the text as it is */
    FILTER_NUMBER,   /* = < > <= >= */
    FILTER_SIZE,     /* the same, written 10m */
    FILTER_DURATION, /* the same, written 30m; value in ms */
    FILTER_IP,       /* address or network; = */
    FILTER_BOOL,     /* yes/no/true/false/on/off; = */
};

/* One filterable field. `id` is what the value callback is asked for. */
struct filter_field {
    const char *name;
    const char *alias; /* may be NULL */
    enum filter_type type;
    int id;
    const char *(*words)(int id, size_t i); /* all texts that it can have, NULL behind the last;
                                               NULL: any */
    /* The id of the field that the part of a value before a slash is about (backend=pool/name), -1
     * = none; NULL: none has such. */
    int (*within)(int id);
};

struct filter_value {
    struct str text;
    uint64_t number;
    const struct addr *addr;
    bool yes;
};

/* A text field that has the same in all rows that one program lists: node=mx1. Borrowed. */
struct filter_same {
    const char *name, *value;
};

struct filter;

/* Compiles `text` (terms ANDed, separated by blanks; `!` negates a term; `,` lists alternatives;
 * values may be "quoted"; `!=` is `=` negated; `==` is `=` without wildcards; an empty text matches
 * all). fields: n_fields rows,
 * static. A text that the field cannot have is an error. Where a field is within another, a/b finds
 * the rows that have b in it and a in the other one, besides those that have a/b. 0; -ERR_SYNTAX /
 * -ERR_NO_PARAM with an English sentence naming the term (and the nearest field name) in *ret_error
 * (owned); -ERR_NOMEM, without a sentence. */
int filter_parse(struct str text, const struct filter_field *fields, size_t n_fields,
                 struct filter **ret, char **ret_error) NODISCARD;
/* The same with one more field, unless one of `fields` has its name (NULL = none). A filter with
 * terms about it alone is not empty. */
int filter_parse_same(struct str text, const struct filter_field *fields, size_t n_fields,
                      const struct filter_same *same, struct filter **ret,
                      char **ret_error) NODISCARD;
/* A term as values: its field has one of these texts, exactly. */
struct filter_is {
    int id;
    bool is_negated;
    const char *const *values; /* n_values, 1 at least */
    size_t n_values;
};
/* Makes a filter of terms that are values already, for who asks without words of an operator. A
 * network is a text, too. Its text says the same to another program. 0; -ERR_SYNTAX (a text that
 * the field cannot have, too many), -ERR_NOMEM. */
int filter_make(const struct filter_is *terms, size_t n, const struct filter_field *fields,
                size_t n_fields, struct filter **ret) NODISCARD;
/* Appends a value in quotes, for a text that is to be parsed. -ERR_NOMEM. */
int filter_print_value(struct buf *out, struct str value) NODISCARD;
/* A filter is immutable after parsing and may be used from several threads; counted references. */
struct filter *filter_ref(struct filter *f);
void filter_unref(struct filter *f);
/* What was compiled; borrowed. */
const char *filter_text(const struct filter *f);
/* What the field that is the same in all rows has; borrowed, NULL = the filter does not name it. */
const char *filter_same_value(const struct filter *f);
/* True when it has no term. */
bool filter_is_empty(const struct filter *f);
/* True when a term is about the field of this id. */
bool filter_names(const struct filter *f, int id);
/* Does a row match? get fills *ret for a field id (borrowed until the next call) or returns false
 * when the row has no such value (the comparison is false, so the negated term is true; an empty
 * text, `backend=`, finds such rows). */
bool filter_match(const struct filter *f,
                  bool (*get)(const void *row, int id, struct filter_value *ret), const void *row);
