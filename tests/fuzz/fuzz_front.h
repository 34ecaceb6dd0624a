/* SPDX-License-Identifier: ISC */
/* The client's side of a protocol: a client's bytes in several cuttings, the core played by simple
 * rules. Input: two bytes of choices (what the listener offers), then what the client sends. */
#pragma once

#include "fuzz.h"
#include "proto/proto.h"

struct fuzz_front {
    const struct proto *proto;
    struct front_env env; /* as at the start */
    struct buf first;     /* trace of the first cutting */
};

/* One cutting. */
struct fuzz_front_run {
    struct fuzz_front *f;
    struct front_env env;
    struct front *front;
    struct buf trace;
};

/* Longest answer to one command: its own tag or the capabilities, and a text. */
#define FUZZ_REPLY_MAX 4096

static const char *const fuzz_capabilities[] = {"IMAP4rev1", "LITERAL+",  "SASL-IR",
                                                "X-\"Q\"",   "SIZE 1000", NULL};

static inline struct front_env fuzz_front_env(unsigned a, unsigned b)
{
    static const unsigned masks[] = {
        SASL_BIT_COMMAND,
        SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN),
        SASL_BIT(SASL_CRAM_MD5) | SASL_BIT(SASL_EXTERNAL) | SASL_BIT(SASL_APOP),
        SASL_BIT(SASL_XOAUTH2) | SASL_BIT(SASL_OAUTHBEARER),
        SASL_BIT(SASL_SCRAM_SHA_256) | SASL_BIT(SASL_SCRAM_SHA_256_PLUS),
    };
    struct front_env env = {
        .server_name = "proxy.example.org",
        .greeting = b & 32 ? "hello" : NULL,
        .capabilities = a & 32 ? fuzz_capabilities : NULL,
        .tls = (enum front_tls)(a & 3),
        .is_clear_text_refused = a & 4,
        .is_auth_optional = a & 8,
        .max_line_bytes = a & 16 ? 64 : 8192,
        .max_literal_bytes = a & 16 ? 48 : 4096,
        .apop_salt = "<1.2@proxy.example.org>",
        .smtp_size = 1000,
    };
    for (size_t i = 0; i < ARRAY_LEN(masks); i++)
        if (!(b & (1u << i))) /* '@' is everything */
            env.mechanisms |= masks[i];
    return env;
}

static inline void *fuzz_front_begin(void *arg)
{
    struct fuzz_front_run *run = calloc(1, sizeof(*run));
    FUZZ_CHECK(run);
    run->f = arg;
    run->env = run->f->env;
    run->front = run->f->proto->front_new(&run->env);
    FUZZ_CHECK(run->front);
    FUZZ_CHECK(run->f->proto->greet(run->front, &run->trace) == 0);
    fuzz_check_lines(buf_str(&run->trace));
    return run;
}

static inline void fuzz_front_reply(struct fuzz_front_run *run, struct buf *reply)
{
    FUZZ_CHECK(reply->len <= FUZZ_REPLY_MAX);
    if (run->f->proto->id != PROTO_SIEVE) /* whose strings may be literals */
        fuzz_check_lines(buf_str(reply));
    fuzz_note_str(&run->trace, buf_str(reply));
    buf_clear(reply);
}

static inline void fuzz_front_note_login(struct fuzz_front_run *run)
{
    const struct credentials *c = &run->front->cred;
    FUZZ_CHECK(!str_has_crlf_nul(buf_str(&c->user)) && str_is_utf8(buf_str(&c->user)));
    FUZZ_CHECK(!str_has_crlf_nul(buf_str(&c->secret)));
    fuzz_note(&run->trace, "{READY %s ", sasl_method(c->mech));
    fuzz_note_str(&run->trace, buf_str(&c->user));
    fuzz_note_str(&run->trace, buf_str(&c->secret));
    fuzz_note_str(&run->trace, buf_str(&c->salt));
    fuzz_note(&run->trace, "}");
}

/* The login ends in one way or another, whatever is fed decides; text from outside goes along. */
static inline int fuzz_front_judge(struct fuzz_front_run *run, struct str what, struct buf *reply)
{
    const struct proto *p = run->f->proto;
    struct front *f = run->front;
    uint64_t h = hash_stable(what);
    AUTO_FREE char *text = str_dup(what);
    struct back_success success = {0};
    FUZZ_CHECK(text);
    if (h % 8 == 0 && p->keepalive(f, reply) < 0)
        return -ERR_NOMEM;
    if (h % 8 == 1 && p->reply(f, REPLY_HELD, NULL, text, reply) < 0)
        return -ERR_NOMEM;
    if (h % 4 == 3) {
        FUZZ_CHECK(buf_append_str(&success.text, what) == 0);
        int r = p->success(f, &success, reply);
        buf_fini(&success.text);
        return r;
    }
    return p->reply(f, (enum reply_kind)((h >> 8) % REPLY_KIND_COUNT), NULL, h & 4 ? text : NULL,
                    reply);
}

/* What the core does. False: the session is over. */
static inline bool fuzz_front_act(struct fuzz_front_run *run, enum proto_intent intent,
                                  struct buf *reply)
{
    struct front *f = run->front;
    const struct proto *p = run->f->proto;
    struct str data = buf_str(&f->auth_data);
    int r = 0;
    switch (intent) {
    case PROTO_NEED_MORE:
    case PROTO_REPLIED: /* octets to be skipped are reported as they come */
        return true;
    case PROTO_BAD:
        fuzz_note(&run->trace, "{BAD}");
        return true;
    case PROTO_REFUSED:
        FUZZ_CHECK(f->cred.secret.len == 0 && f->auth_data.len == 0);
        FUZZ_CHECK(!str_has_crlf_nul(buf_str(&f->cred.user)) &&
                   str_is_utf8(buf_str(&f->cred.user)));
        fuzz_note(&run->trace, "{REFUSED %s %d}", reply_name(f->refusal), (int)f->auth_mech);
        fuzz_note_str(&run->trace, buf_str(&f->cred.user));
        return true;
    case PROTO_STARTTLS:
        run->env.tls = FRONT_TLS_ACTIVE;
        r = p->tls_started(f, reply);
        FUZZ_CHECK(f->client_id.len == 0 && f->cred.secret.len == 0);
        break;
    case PROTO_AUTH_BEGIN:
        FUZZ_CHECK(f->auth_mech < SASL_MECH_COUNT && f->auth_mech != SASL_APOP);
        FUZZ_CHECK(run->env.mechanisms & SASL_BIT(f->auth_mech));
        fuzz_note(&run->trace, "{BEGIN %s %d}", sasl_name(f->auth_mech), f->has_initial);
        fuzz_note_str(&run->trace, data);
        r = f->has_initial ? fuzz_front_judge(run, data, reply)
                           : p->auth_continue(f, STR("challenge\n\x80"), reply);
        break;
    case PROTO_AUTH_DATA:
        fuzz_note(&run->trace, "{DATA}");
        fuzz_note_str(&run->trace, data);
        r = data.n % 2 ? p->auth_continue(f, data, reply) : fuzz_front_judge(run, data, reply);
        break;
    case PROTO_AUTH_ABORT:
        r = p->reply(f, REPLY_AUTH_CANCELLED, NULL, NULL, reply);
        break;
    case PROTO_AUTH_BAD:
        r = p->reply(f, REPLY_AUTH_BAD_RESPONSE, NULL, NULL, reply);
        break;
    case PROTO_READY:
        fuzz_front_note_login(run);
        r = fuzz_front_judge(run, buf_str(&f->cred.user), reply);
        break;
    case PROTO_ROUTE:
        FUZZ_CHECK(!str_has_crlf_nul(buf_str(&f->mail_from)));
        FUZZ_CHECK(!str_has_crlf_nul(buf_str(&f->rcpt_to)));
        fuzz_note_str(&run->trace, buf_str(&f->mail_from));
        fuzz_note_str(&run->trace, buf_str(&f->rcpt_to));
        r = fuzz_front_judge(run, buf_str(&f->rcpt_to), reply);
        break;
    case PROTO_QUIT:
    case PROTO_FATAL:
        fuzz_note(&run->trace, "{%d}", intent);
        return false;
    }
    FUZZ_CHECK(r == 0);
    fuzz_front_reply(run, reply);
    return true;
}

/* What a trace would show of the command that was just used up: no byte of its secret. */
static inline void fuzz_front_check_shown(const struct fuzz_front_run *run,
                                          enum proto_intent intent, size_t shown, size_t used)
{
    const struct front *f = run->front;
    size_t hidden = shown < used ? used - shown : 0;
    if (intent == PROTO_READY)
        FUZZ_CHECK(hidden > f->cred.secret.len);
    if (intent == PROTO_AUTH_DATA || (intent == PROTO_AUTH_BEGIN && f->auth_data.len > 0))
        FUZZ_CHECK(hidden > f->auth_data.len);
    if (intent == PROTO_AUTH_DATA)
        FUZZ_CHECK(shown == 0);
}

static inline size_t fuzz_front_feed(void *object, struct str in)
{
    struct fuzz_front_run *run = object;
    AUTO_BUF reply = BUF_INIT;
    size_t used = SIZE_MAX;
    size_t shown = redact_bytes(run->f->proto, in, run->front->is_exchange);
    enum proto_intent intent = run->f->proto->feed(run->front, in, &used, &reply);
    FUZZ_CHECK(shown <= in.n);
    FUZZ_CHECK(used <= in.n);
    FUZZ_CHECK(intent != PROTO_NEED_MORE || used == 0);
    FUZZ_CHECK(intent == PROTO_NEED_MORE || intent == PROTO_FATAL || used > 0);
    fuzz_front_check_shown(run, intent, shown, used);
    fuzz_front_reply(run, &reply);
    return fuzz_front_act(run, intent, &reply) ? used : SPLIT_STOP;
}

static inline void fuzz_front_end(void *object, void *arg, const char *how)
{
    struct fuzz_front_run *run = object;
    struct fuzz_front *f = arg;
    const struct front *front = run->front;
    FUZZ_CHECK(!str_has_crlf_nul(buf_str(&front->client_id)));
    FUZZ_CHECK(!str_has_crlf_nul(buf_str(&front->helo)));
    fuzz_note(&run->trace, "{%.*s|%.*s}", STR_ARG(buf_str(&front->client_id)),
              STR_ARG(buf_str(&front->helo)));
    fuzz_compare(&f->first, &run->trace, how);
    f->proto->front_free(run->front);
    buf_fini(&run->trace);
    free(run);
}

static inline void fuzz_front(const struct proto *proto, struct str in)
{
    static const struct split_ops ops = {fuzz_front_begin, fuzz_front_feed, fuzz_front_end};
    unsigned a = fuzz_choice(&in), b = fuzz_choice(&in);
    struct fuzz_front f = {.proto = proto, .env = fuzz_front_env(a, b)};
    fuzz_cuttings(&ops, &f, in);
    buf_fini(&f.first);
}
