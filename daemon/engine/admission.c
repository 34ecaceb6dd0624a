/* SPDX-License-Identifier: ISC */
/* Verdicts of limits as sessions and log lines need them. */
#include "engine/admission.h"

#include "base/log/log.h"
#include "control/control.h"

static const char *const admission_reasons[] = {
    [LIMIT_NONE] = "none",
    [LIMIT_BAN] = "banned",
    [LIMIT_ADDRESS_SESSIONS] = "sessions of the address",
    [LIMIT_USER_SESSIONS] = "sessions of the user",
    [LIMIT_RATE] = "login rate of the address",
};

static void admission_log(const struct limit_verdict *v, const char *event, const struct addr *peer,
                          const char *user)
{
    char ip[ADDR_TEXT_MAX];
    addr_format_ip(ip, peer);
    LOG_EVENT(LOG_LEVEL_NOTICE, event, KV_STR("client", ip), KV_STR("user", user),
              KV_STR("reason", admission_reasons[v->kind]));
}

static void admission_say(const struct limit_verdict *v, struct session_verdict *ret)
{
    ret->is_refused = v->kind != LIMIT_NONE;
    ret->is_counted = v->is_counted;
    ret->kind = v->kind == LIMIT_BAN ? REPLY_BANNED : REPLY_LIMIT;
    ret->delay_ms = 0;
    (void)str_copy(ret->text, sizeof(ret->text), str_of(v->text));
}

void admission_client(const struct admission *a, const struct config_limits *c,
                      const struct addr *peer, uint64_t now_ms, struct session_verdict *ret)
{
    struct limit_verdict v;
    limits_connect(a->limits, c, peer, now_ms, &v);
    if (v.is_news)
        admission_log(&v, "client-refused", peer, NULL);
    admission_say(&v, ret);
}

void admission_release_client(const struct admission *a, const struct config_limits *c,
                              const struct addr *peer, uint64_t now_ms)
{
    limits_disconnect(a->limits, c, peer, now_ms);
}

void admission_login(const struct admission *a, const struct config_limits *c,
                     const struct addr *peer, const char *user, unsigned own_max, uint64_t now_ms,
                     struct session_verdict *ret)
{
    struct limit_verdict v;
    limits_login(a->limits, c, peer, user, own_max, now_ms, &v);
    if (v.kind != LIMIT_NONE) {
        const struct log_quota_max max = {
            .per_address = config_limits_trust(c, peer) ? 0 : c->log_lines_per_minute,
            .total = c->log_total_per_minute};
        if (!a->log_quota || log_quota_take(a->log_quota, peer, true, &max, now_ms))
            admission_log(&v, "login-refused", peer, user);
    }
    admission_say(&v, ret);
}

/* ---- what follows from failures ---- */

struct failure_mail {
    struct mail mail;
    struct limit_failure failure;
    struct addr peer;
    char user[256];
};

/* Thread: control. */
static void on_failure_mail(struct mail *m, void *owner)
{
    struct failure_mail *f = CONTAINER_OF(m, struct failure_mail, mail);
    struct control *c = *(struct control **)owner;
    if (f->failure.is_ban_due)
        control_ban_due(c, &f->peer, f->failure.is_spraying, f->failure.n);
    if (f->failure.is_guessed_at)
        control_guessed_at(c, f->user, f->failure.n_passwords, f->failure.n_addresses);
    free(f);
}

void admission_failure(const struct admission *a, const struct config_limits *c,
                       const struct addr *peer, struct str user, uint32_t credentials,
                       uint64_t delay_ms, uint64_t now_ms, struct session_verdict *ret)
{
    char name[256];
    struct limit_failure f;
    bool is_name = user.n > 0 && user_name_normalise(user, name) == 0;
    limits_fail(a->limits, c, peer, is_name ? name : NULL, credentials, delay_ms, now_ms, &f);
    ret->is_refused = f.is_banned;
    ret->is_counted = false;
    ret->kind = REPLY_BANNED;
    ret->delay_ms = f.delay_ms;
    (void)str_copy(ret->text, sizeof(ret->text), str_of(f.text));
    if (!f.is_ban_due && !f.is_guessed_at)
        return;
    /* The owner of the bans has to know. Without memory for it the address is let in again in
     * LIMITS_BAN_DUE_MS. */
    struct failure_mail *m = calloc(1, sizeof(*m));
    if (!m)
        return;
    m->mail.fn = on_failure_mail;
    m->failure = f;
    m->peer = *peer;
    (void)str_copy(m->user, sizeof(m->user), str_of(is_name ? name : NULL));
    mailbox_post(a->control, &m->mail);
}
