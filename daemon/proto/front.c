/* SPDX-License-Identifier: ISC */
/* The common head of the fronts, and what none of them takes for a command. */
#include "base/cleanup.h"
#include "proto/proto.h"

void front_init(struct front *f, const struct front_env *env)
{
    *f = (struct front){.env = env, .auth_mech = SASL_NONE, .cred = {.mech = SASL_NONE}};
}

void front_fini(struct front *f)
{
    if (!f)
        return;
    buf_wipe(&f->auth_data);
    credentials_wipe(&f->cred);
    buf_fini(&f->client_id);
    buf_fini(&f->helo);
    buf_fini(&f->mail_from);
    buf_fini(&f->rcpt_to);
    buf_fini(&f->last_verb);
}

/* Does the line end in "HTTP/1.1" or the like? */
static bool front_has_http_version(struct str line)
{
    const struct str name = STR(" HTTP/");
    size_t end = line.n;
    while (end > 0 &&
           (line.p[end - 1] == '.' || (line.p[end - 1] >= '0' && line.p[end - 1] <= '9')))
        end--;
    return end < line.n && end >= name.n && str_eq(str_n(line.p + end - name.n, name.n), name);
}

bool front_is_http(struct str in)
{
    static const char *const methods[] = {"GET",     "POST",    "HEAD",  "PUT",   "DELETE",
                                          "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"};
    struct str rest = in;
    struct str line = str_cut(&rest, '\n');
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    rest = line;
    struct str verb = str_cut(&rest, ' ');
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(verb, str_of(methods[i])))
            return (rest.n > 0 && rest.p[0] == '/') || front_has_http_version(rest);
    return false;
}
