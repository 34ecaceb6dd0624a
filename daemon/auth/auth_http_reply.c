/* SPDX-License-Identifier: ISC */
/* What an auth server answers, header by header. */
#include "auth/auth_http_reply.h"

#include "base/addr.h"
#include "base/cleanup.h"

#define WAIT_MAX_S 3600
#define HOST_MAX 253
#define CODE_MAX 16

/* A header's function returns what is wrong with the value, NULL = nothing. */
struct reader {
    struct auth_http_reply *r;
    bool has_status, has_port;
};

static const char *read_status(struct reader *d, struct str v)
{
    enum auth_http_verdict verdict = str_eq(v, STR("OK"))     ? AUTH_HTTP_OK
                                     : str_eq(v, STR("WAIT")) ? AUTH_HTTP_WAIT
                                                              : AUTH_HTTP_REFUSED;
    if (!d->has_status || verdict > d->r->verdict) {
        d->r->verdict = verdict;
        d->r->text = v;
    }
    d->has_status = true;
    return NULL;
}

/* Nonsense is as good as nothing here: servers send it along with every answer. */
static const char *read_wait(struct reader *d, struct str v)
{
    uint64_t seconds = 0;
    int err = str_to_u64(v, WAIT_MAX_S, &seconds);
    d->r->wait_ms = (err == -ERR_RANGE ? WAIT_MAX_S : seconds) * 1000;
    return NULL;
}

static bool is_host_name(struct str v)
{
    if (v.n == 0 || v.n > HOST_MAX || v.p[0] == '-' || v.p[0] == '.')
        return false;
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
            return false;
    }
    return true;
}

static bool is_address(struct str v, bool is_v6)
{
    struct addr a;
    return (str_index(v, ':') >= 0) == is_v6 && addr_parse_ip(v, &a) == 0;
}

static const char *read_server(struct reader *d, struct str v)
{
    bool has_brackets = v.n > 2 && v.p[0] == '[' && v.p[v.n - 1] == ']';
    bool is_number = true; /* digits and dots alone are an address, and then a right one */
    for (size_t i = 0; i < v.n; i++)
        is_number = is_number && (v.p[i] == '.' || (v.p[i] >= '0' && v.p[i] <= '9'));
    bool is_name = !is_number && is_host_name(v);
    if (has_brackets)
        v = str_n(v.p + 1, v.n - 2);
    if (!is_name && !is_address(v, true) && (has_brackets || !is_address(v, false)))
        return "Auth-Server is neither an address nor a name";
    d->r->server = v;
    return NULL;
}

static const char *read_port(struct reader *d, struct str v)
{
    uint64_t port;
    if (str_to_u64(v, UINT16_MAX, &port) < 0 || port == 0)
        return "Auth-Port is not a port";
    d->r->port = (uint16_t)port;
    d->has_port = true;
    return NULL;
}

static const char *read_pool(struct reader *d, struct str v)
{
    d->r->pool = v;
    return NULL;
}

static const char *read_backend(struct reader *d, struct str v)
{
    d->r->backend = v;
    return NULL;
}

static const char *read_user(struct reader *d, struct str v)
{
    if (!str_is_utf8(v))
        return "Auth-User is not UTF-8";
    d->r->user = v;
    d->r->has_user = v.n > 0;
    return NULL;
}

static const char *read_pass(struct reader *d, struct str v)
{
    d->r->pass = v;
    d->r->has_pass = v.n > 0;
    return NULL;
}

static const char *read_smtp(struct reader *d, struct str v)
{
    bool is_yes = str_ieq(v, STR("yes"));
    if (!is_yes && !str_ieq(v, STR("no")))
        return "Auth-SMTP is neither yes nor no";
    d->r->smtp_auth = is_yes;
    return NULL;
}

/* "d.ddd.ddd" of RFC 3463. */
static bool is_enhanced_code(struct str s, char class)
{
    for (int i = 0; i < 3; i++) {
        uint64_t n;
        struct str part = str_cut(&s, '.');
        if (part.n > 3 || str_to_u64(part, 999, &n) < 0 || (i == 0 && part.p[0] != class))
            return false;
        if (i == 0 && part.n != 1)
            return false;
    }
    return s.p == NULL;
}

/* A code that is none is left out: the default then says that the login failed. */
static const char *read_code(struct reader *d, struct str v)
{
    uint64_t code;
    struct str rest = v;
    struct str basic = str_cut(&rest, ' ');
    bool is_good = v.n <= CODE_MAX && basic.n == 3 && str_to_u64(basic, 599, &code) == 0 &&
                   code >= 400 && (!rest.p || is_enhanced_code(rest, v.p[0]));
    d->r->code = is_good ? v : STR_NULL;
    return NULL;
}

static const char *read_sasl_error(struct reader *d, struct str v)
{
    d->r->sasl_error = v;
    return NULL;
}

static const struct reply_row {
    struct str name; /* behind "Auth-" */
    const char *(*read)(struct reader *d, struct str v);
} rows[] = {
    {STR("Status"), read_status},
    {STR("Wait"), read_wait},
    {STR("Server"), read_server},
    {STR("Port"), read_port},
    {STR("Pool"), read_pool},
    {STR("Backend"), read_backend},
    {STR("User"), read_user},
    {STR("Pass"), read_pass},
    {STR("SMTP"), read_smtp},
    {STR("Error-Code"), read_code},
    {STR("Error-SASL"), read_sasl_error},
};

/* A refusal stands whatever is wrong with the rest. */
static void find_problem(const struct reader *d, const char *problem)
{
    struct auth_http_reply *r = d->r;
    if (!d->has_status)
        problem = "the reply has no Auth-Status";
    else if (r->verdict != AUTH_HTTP_OK)
        return;
    else if (!problem && r->server.n > 0 && !d->has_port)
        problem = "Auth-Server comes without Auth-Port";
    else if (!problem && r->server.n == 0 && d->has_port)
        problem = "Auth-Port comes without Auth-Server";
    if (problem) {
        r->verdict = AUTH_HTTP_NONSENSE;
        r->problem = problem;
    }
}

/* What reads a header; NULL: it is none of ours. */
static const struct reply_row *row_of(struct str name)
{
    if (!str_is_iprefix(name, STR("Auth-")))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_ieq(str_skip(name, 5), rows[i].name))
            return &rows[i];
    return NULL;
}

void auth_http_reply_parse(const struct http_header *headers, size_t n, struct auth_http_reply *ret)
{
    struct auth_http_reply r = {.smtp_auth = -1};
    struct reader d = {.r = &r};
    const char *problem = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct reply_row *row = row_of(headers[i].name);
        if (!row)
            continue;
        const char *bad = str_has_crlf_nul(headers[i].value) ? "the reply holds a line end or a NUL"
                                                             : row->read(&d, headers[i].value);
        problem = problem ? problem : bad;
    }
    find_problem(&d, problem);
    *ret = r;
}
