/* SPDX-License-Identifier: ISC */
/* The registry of protocols and the common head of their fronts. */
#include "proto/proto.h"

#include "base/cleanup.h"

/* One row a protocol, by its number. */
static const struct proto *const protos[PROTO_COUNT] = {
    [PROTO_IMAP] = &proto_imap,
    [PROTO_POP3] = &proto_pop3,
    [PROTO_SMTP] = &proto_smtp,
    [PROTO_SIEVE] = &proto_sieve,
};

const struct proto *proto_get(enum proto_id id)
{
    return (unsigned)id < PROTO_COUNT ? protos[id] : NULL;
}

const struct proto *proto_find(struct str name)
{
    for (size_t i = 0; i < PROTO_COUNT; i++)
        if (protos[i] && str_ieq(name, str_of(protos[i]->name)))
            return protos[i];
    return NULL;
}

void front_init(struct front *f, const struct proto *proto, const struct front_env *env)
{
    *f = (struct front){
        .proto = proto, .env = env, .auth_mech = SASL_NONE, .cred = {.mech = SASL_NONE}};
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
