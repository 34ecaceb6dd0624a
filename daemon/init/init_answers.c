/* SPDX-License-Identifier: ISC */
/* Checking of answers, each by the function of its row. */
#include "init/init_answers.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "io/http/http_url.h"
#include "proto/registry/registry.h"

#define INIT_BACKENDS_MAX 64       /* more than that are better written into the file */
#define INIT_PORT_OFFSET_MAX 61000 /* and 4190 is still a port */

bool init_list_next(struct str *list, struct str *ret)
{
    do {
        if (list->n == 0)
            return false;
        *ret = str_trim(str_cut(list, ','));
    } while (ret->n == 0);
    return true;
}

/* ---- what is wrong with a value; NULL = nothing ---- */

static char *fault(const char *text)
{
    return str_dup_c(text);
}

static char *answer_check_name(const char *value)
{
    const char *wrong = config_host_fault(value);
    return wrong || strchr(value, ':') ? fault("is no host name") : NULL;
}

static char *answer_check_protocols(const char *value)
{
    struct str list = str_of(value), word;
    unsigned seen = 0;
    while (init_list_next(&list, &word)) {
        const struct proto *p = proto_find(word);
        if (!p)
            return str_printf("has \"%.*s\", which is not " PROTO_NAMES, STR_ARG(word));
        if (seen & 1u << p->id)
            return str_printf("has %s twice", p->name);
        seen |= 1u << p->id;
    }
    return seen ? NULL : fault("is not " PROTO_NAMES);
}

static char *answer_check_auth(const char *value)
{
    struct http_url url;
    const char *why;
    if (strcmp(value, "backend") == 0 || strcmp(value, "users") == 0)
        return NULL;
    if (!str_is_prefix(str_of(value), STR("http://")) &&
        !str_is_prefix(str_of(value), STR("https://")))
        return fault("is not backend, users, or an http:// or https:// address");
    return http_url_parse(value, &url, &why) < 0 ? fault(why) : NULL;
}

static bool backend_port(struct init_backend *b, struct str word, char **ret_fault)
{
    struct str rest = word;
    const struct proto *p = proto_find(str_cut(&rest, '='));
    uint64_t port;
    if (!p || str_to_u64(rest, UINT16_MAX, &port) < 0 || port == 0) {
        if (ret_fault)
            *ret_fault = str_printf("has \"%.*s\", which is no port as imap=1143", STR_ARG(word));
        return false;
    }
    b->ports[p->id] = (uint16_t)port;
    return true;
}

bool init_backend_next(struct str *list, struct init_backend *ret, char **ret_fault)
{
    struct str rest, word;
    if (!init_list_next(list, &rest))
        return false;
    *ret = (struct init_backend){.host = str_word(&rest)};
    AUTO_FREE char *host = str_dup(ret->host);
    const char *wrong = host ? config_host_fault(host) : NULL;
    if (wrong && ret_fault)
        *ret_fault = str_printf("has \"%s\", which %s", host, wrong);
    while (!wrong && (word = str_word(&rest)).n > 0)
        if (!backend_port(ret, word, ret_fault))
            break;
    return true;
}

static char *answer_check_backends(const char *value)
{
    struct str list = str_of(value);
    struct init_backend b;
    char *wrong = NULL;
    size_t n = 0;
    if (strcmp(value, "none") == 0)
        return NULL;
    while (!wrong && init_backend_next(&list, &b, &wrong))
        n++;
    if (wrong)
        return wrong;
    return n == 0                  ? fault("names no mail server")
           : n > INIT_BACKENDS_MAX ? fault("is too long")
                                   : NULL;
}

static char *answer_check_backend_tls(const char *value)
{
    enum config_backend_tls tls;
    bool is_mode = config_backend_tls_find(value, &tls) == 0 && tls != BACKEND_TLS_POOL;
    return is_mode ? NULL : fault("is not starttls, implicit or off");
}

static char *answer_check_file(const char *value)
{
    if (value[0] != '/')
        return fault("is no absolute path");
    return access(value, F_OK) == 0 ? NULL : fault("is not there");
}

static char *answer_check_backend_ca(const char *value)
{
    if (strcmp(value, "system") == 0 || strcmp(value, "none") == 0)
        return NULL;
    return value[0] == '/' ? answer_check_file(value)
                           : fault("is not system, none or the path of a file");
}

static char *answer_check_listen(const char *value)
{
    struct str list = str_of(value), word;
    struct addr a;
    size_t n = 0;
    for (; init_list_next(&list, &word); n++)
        if (addr_parse(word, &a) < 0 || a.port != 0 ||
            (a.family != AF_INET && a.family != AF_INET6))
            return str_printf("has \"%.*s\", which is no IP address", STR_ARG(word));
    return n ? NULL : fault("names no address");
}

static char *answer_check_port_offset(const char *value)
{
    uint64_t n;
    return str_to_u64(str_of(value), INIT_PORT_OFFSET_MAX, &n) < 0
               ? fault("is no number from 0 to 61000")
               : NULL;
}

static char *answer_check_user(const char *value)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    bool is_name = value[0] != '-' && value[strspn(value, chars)] == '\0';
    return is_name ? NULL : fault("is no user name");
}

static char *answer_check_folder(const char *value)
{
    return value[0] == '/' ? NULL : fault("is no absolute path");
}

/* ---- the table ---- */

static const struct {
    struct init_question question;
    char *(*check)(const char *value);
} rows[INIT_COUNT] = {
#define QUESTION(id, option, argument, check, question, help)                                      \
    {{option, argument, question, help}, check},
#include "init/questions.def"
#undef QUESTION
};

const struct init_question *init_question(enum init_id id)
{
    return &rows[id].question;
}

void init_answers_fini(struct init_answers *a)
{
    for (int i = 0; i < INIT_COUNT; i++)
        free(STEAL(a->v[i]));
}

int init_answer(struct init_answers *a, enum init_id id, const char *value, char **ret_fault)
{
    struct str text = str_trim(str_of(value));
    AUTO_FREE char *copy = str_dup(text);
    *ret_fault = NULL;
    if (!copy)
        return -ERR_NOMEM;
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f)
            *ret_fault = fault("has control characters");
    if (text.n == 0)
        *ret_fault = fault("is empty");
    if (!*ret_fault)
        *ret_fault = rows[id].check(copy);
    if (*ret_fault)
        return -ERR_INVAL;
    free(a->v[id]);
    a->v[id] = STEAL(copy);
    return 0;
}

struct str init_text(const struct init_answers *a, enum init_id id)
{
    return str_of(a->v[id]);
}

bool init_matters(const struct init_answers *a, enum init_id id)
{
    return id != INIT_BACKEND_CA || !str_eq(init_text(a, INIT_BACKEND_TLS), STR("off"));
}

bool init_serves(const struct init_answers *a, enum proto_id id)
{
    struct str list = init_text(a, INIT_PROTOCOLS), word;
    while (init_list_next(&list, &word))
        if (str_ieq(word, str_of(proto_get(id)->name)))
            return true;
    return false;
}
