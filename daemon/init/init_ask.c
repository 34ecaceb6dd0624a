/* SPDX-License-Identifier: ISC */
/* A question, a line, a check. */
#include "init/init_ask.h"

#include "base/cleanup.h"

/* A line of the answer is read in whole: what is too long is no answer. */
#define ASK_LINE_MAX 4096

/* Takes the default where nobody is asked or nothing was said. */
static int take_default(struct init_answers *a, enum init_id id, const char *value, FILE *out)
{
    AUTO_FREE char *wrong = NULL;
    int err = init_answer(a, id, value, &wrong);
    if (err == -ERR_INVAL && out)
        fprintf(out, "  \"%s\" %s\n", value, wrong);
    return err;
}

/* Reads lines until one is an answer. */
static int ask(struct init_answers *a, enum init_id id, const char *preset, FILE *in, FILE *out)
{
    char line[ASK_LINE_MAX];
    for (;;) {
        fprintf(out, "%s%s%s%s: ", init_question(id)->text, preset ? " [" : "",
                preset ? preset : "", preset ? "]" : "");
        fflush(out);
        if (!fgets(line, sizeof(line), in)) {
            fputs("\n", out);
            return -ERR_EOF;
        }
        struct str text = str_trim(str_of(line));
        bool is_cut = strlen(line) == sizeof(line) - 1 && line[sizeof(line) - 2] != '\n';
        for (int c = 0; is_cut && c != '\n' && c != EOF;)
            c = fgetc(in);
        AUTO_FREE char *value = text.n == 0 && preset ? str_dup_c(preset) : str_dup(text);
        int err = is_cut || !value ? -ERR_INVAL : take_default(a, id, value, out);
        if (err != -ERR_INVAL)
            return err;
        if (is_cut)
            fputs("  that is too long\n", out);
    }
}

int init_ask(struct init_answers *a, const struct init_machine *m, FILE *in, FILE *out,
             enum init_id *ret_missing)
{
    for (int id = 0; id < INIT_COUNT; id++) {
        const struct init_question *q = init_question(id);
        AUTO_FREE char *preset = NULL;
        const char *remark;
        if (a->v[id] || !init_matters(a, id))
            continue;
        int err = init_default(a, id, m, &preset, &remark);
        if (err == 0 && q->text && in)
            err = ask(a, id, preset, in, out);
        else if (err == 0 && preset)
            err = take_default(a, id, preset, out);
        else if (err == 0 && q->text)
            err = -ERR_MISSING_PARAM;
        *ret_missing = id;
        if (err < 0)
            return err == -ERR_INVAL ? -ERR_MISSING_PARAM : err;
        if (remark && out && str_eq(str_of(preset), init_text(a, id)))
            fprintf(out, "  %s\n", remark);
    }
    return 0;
}
