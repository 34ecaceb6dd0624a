/* SPDX-License-Identifier: ISC */
/* The dialogue with a mail server: its bytes in several cuttings. Input: two bytes of choices (who
 * logs in, and how), then what the server sends; with STARTTLS what follows "<TLS>" comes within
 * TLS. */
#pragma once

#include "fuzz.h"
#include "proto/back.h"

struct fuzz_back {
    const struct proto *proto;
    struct back_env env;
    struct str clear, secured;
    struct buf first;
};

struct fuzz_back_run {
    struct fuzz_back *f;
    struct back *back;
    struct buf trace;
    size_t sent; /* bytes to the server in all */
    size_t used;
    bool is_over;
};

/* However long the server talks, it gets one dialogue. */
#define FUZZ_SENT_MAX 8192

static const struct fuzz_back_login {
    enum sasl_mech mech;
    const char *user, *authzid, *secret, *salt, *master;
    bool is_login;
} fuzz_back_logins[] = {
    {SASL_PLAIN, "joe", "", "secret", "", NULL, true},
    {SASL_NONE, "", "", "", "", NULL, false},
    {SASL_PLAIN, "j\xc3\xb6\"\\", "ann", "p\xe4ss word", "", NULL, true},
    {SASL_XOAUTH2, "a,b=c", "", "token", "", NULL, true},
    {SASL_OAUTHBEARER, "joe", "", "token", "", NULL, true},
    {SASL_CRAM_MD5, "joe", "", "0123456789abcdef", "<1.2@x>", NULL, true},
    {SASL_EXTERNAL, "joe", "", "master", "", "root", true},
    {SASL_PLAIN, "joe", "", "bad\r\nsecret", "", NULL, true},
};

static inline struct back_env fuzz_back_env(unsigned a, unsigned b)
{
    const struct fuzz_back_login *l = &fuzz_back_logins[b & 7];
    struct back_env env = {
        .master_user = l->master,
        .tls = (enum back_tls)((a & 3) % 3),
        .is_tls_active = (a & 3) == 2,
        .is_pipelining_allowed = a & 4,
        .is_pipelining_known = b & 64,
        .want_capabilities = a & 8,
        .is_check = a & 16,
        .forward_id = a & 32,
        .xclient_forced = b & 32,
        .session_id = "1-2a",
        .client_name = b & 8 ? "client.example.org" : NULL,
        .client_tls = b & 8 ? "TLSv1.3" : NULL,
        .ttl = 5,
        .client_id = b & 8 ? STR("\"name\" \"thing\"") : STR_NULL,
        .server_name = "proxy.example.org",
        .helo = b & 16 ? STR("mua") : STR_NULL,
        .is_ehlo = b & 16,
        .is_auth_wanted = !(b & 16) || (b & 8),
        .mail_from = b & 16 ? STR("MAIL FROM:<a@example.org>") : STR_NULL,
        .rcpt_to = b & 16 ? STR("RCPT TO:<b@example.org>") : STR_NULL,
    };
    FUZZ_CHECK(addr_parse(STR("192.0.2.7:4711"), &env.client) == 0);
    FUZZ_CHECK(addr_parse(STR("[2001:db8::1]:143"), &env.local) == 0);
    return env;
}

static inline void fuzz_back_sent(struct fuzz_back_run *run, struct buf *out)
{
    run->sent += out->len;
    FUZZ_CHECK(run->sent <= FUZZ_SENT_MAX);
    fuzz_note_str(&run->trace, buf_str(out));
    buf_clear(out);
}

static inline enum back_result fuzz_back_take(struct fuzz_back_run *run, struct str in)
{
    AUTO_BUF out = BUF_INIT;
    size_t used = SIZE_MAX;
    enum back_result result = run->f->proto->back_feed(run->back, in, &used, &out);
    FUZZ_CHECK(used <= in.n);
    fuzz_back_sent(run, &out);
    run->used = used;
    run->is_over = result == BACK_DONE || result == BACK_FAILED;
    if (run->is_over)
        fuzz_note(&run->trace, "{%d}", result);
    return result;
}

/* Whatever came in clear together with the go-ahead is dropped. */
static inline void fuzz_back_secure(struct fuzz_back_run *run)
{
    AUTO_BUF out = BUF_INIT;
    enum back_result result = run->f->proto->back_tls_started(run->back, &out);
    fuzz_back_sent(run, &out);
    FUZZ_CHECK(result != BACK_STARTTLS);
    run->is_over = result == BACK_DONE || result == BACK_FAILED;
}

/* The part in clear, whole: where it is cut decides what is dropped, so cutting it would compare
 * different dialogues. False: there is nothing to say within TLS. */
static inline bool fuzz_back_clear(struct fuzz_back_run *run)
{
    struct str in = run->f->clear;
    while (in.n > 0 && !run->is_over) {
        enum back_result result = fuzz_back_take(run, in);
        if (result == BACK_STARTTLS) {
            fuzz_back_secure(run);
            return !run->is_over;
        }
        if (run->used == 0)
            return false;
        in = str_n(in.p + run->used, in.n - run->used);
    }
    return false;
}

static inline void *fuzz_back_begin(void *arg)
{
    struct fuzz_back_run *run = calloc(1, sizeof(*run));
    FUZZ_CHECK(run);
    run->f = arg;
    run->back = run->f->proto->back_new(&run->f->env);
    FUZZ_CHECK(run->back);
    if (run->f->env.tls == BACK_TLS_STARTTLS)
        run->is_over = !fuzz_back_clear(run);
    return run;
}

static inline size_t fuzz_back_feed(void *object, struct str in)
{
    struct fuzz_back_run *run = object;
    if (run->is_over)
        return SPLIT_STOP;
    enum back_result result = fuzz_back_take(run, in);
    FUZZ_CHECK(result != BACK_STARTTLS);
    return run->is_over ? SPLIT_STOP : run->used;
}

static inline void fuzz_back_end(void *object, void *arg, const char *how)
{
    struct fuzz_back_run *run = object;
    struct fuzz_back *f = arg;
    const struct back *b = run->back;
    struct str message = buf_str(&b->message);
    FUZZ_CHECK(message.n <= 512 && !str_has_crlf_nul(message) && str_is_utf8(message));
    FUZZ_CHECK(!str_has_crlf_nul(buf_str(&b->success.capabilities)) || f->proto->id == PROTO_SIEVE);
    FUZZ_CHECK(b->learned.len <= 32768 && b->success.text.len <= 32768);
    FUZZ_CHECK(b->step && b->step[0]);
    fuzz_note(&run->trace, "{%s %s %d|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s}", b->step,
              back_failure_name(b->failure), b->were_credentials_sent, STR_ARG(message),
              STR_ARG(buf_str(&b->message_code)), STR_ARG(buf_str(&b->success.text)),
              STR_ARG(buf_str(&b->success.capabilities)), STR_ARG(buf_str(&b->success.raw)),
              STR_ARG(buf_str(&b->learned)));
    fuzz_compare(&f->first, &run->trace, how);
    f->proto->back_free(run->back);
    buf_fini(&run->trace);
    free(run);
}

static inline void fuzz_back(const struct proto *proto, struct str in)
{
    static const struct split_ops ops = {fuzz_back_begin, fuzz_back_feed, fuzz_back_end};
    unsigned a = fuzz_choice(&in), b = fuzz_choice(&in);
    const struct fuzz_back_login *l = &fuzz_back_logins[b & 7];
    struct credentials cred = {.mech = l->mech};
    struct fuzz_back f = {.proto = proto, .env = fuzz_back_env(a, b)};
    fuzz_note(&cred.user, "%s", l->user);
    fuzz_note(&cred.authzid, "%s", l->authzid);
    fuzz_note(&cred.secret, "%s", l->secret);
    fuzz_note(&cred.salt, "%s", l->salt);
    f.env.cred = l->is_login ? &cred : NULL;
    if (f.env.tls == BACK_TLS_STARTTLS)
        f.clear = fuzz_cut(&in, STR("<TLS>"));
    fuzz_cuttings(&ops, &f, in);
    buf_fini(&f.first);
    credentials_wipe(&cred);
}
