/* SPDX-License-Identifier: ISC */
/* Holds of users, and wake-ups of the logins that wait, as asked for by another thread. */
#include "session/admin/query.h"
#include "session/session_priv.h"

struct hold_mail {
    struct mail mail;
    bool is_on;
    struct mailbox *reply;
    struct session_killed *answer;
    char user[];
};

static void hold_mail_drop(struct mail *m)
{
    struct hold_mail *h = CONTAINER_OF(m, struct hold_mail, mail);
    free(h->answer);
    free(h);
}

static void on_hold(struct mail *m, void *owner)
{
    struct hold_mail *mail = CONTAINER_OF(m, struct hold_mail, mail);
    struct session_env *env = owner;
    int err = mail->is_on ? hold_begin(env, mail->user) : 0;
    if (!mail->is_on && hold_end(env, mail->user))
        session_wake_held(env, mail->user);
    /* Without memory there is no answer, and who waits for it gives up. */
    if (err == 0 && mail->answer) {
        mail->answer->worker = env->worker;
        mailbox_post(mail->reply, &STEAL(mail->answer)->mail);
    }
    hold_mail_drop(m);
}

int session_hold_post(struct mailbox *worker, const struct session_hold_spec *spec)
{
    size_t n = strlen(spec->user) + 1;
    struct hold_mail *h = calloc(1, sizeof(*h) + n);
    struct session_killed *answer = spec->reply ? calloc(1, sizeof(*answer)) : NULL;
    if (!h || (spec->reply && !answer)) {
        free(h);
        free(answer);
        return -ERR_NOMEM;
    }
    if (answer) {
        answer->mail.fn = spec->deliver;
        answer->number = spec->number;
        answer->is_told = answer->is_last = true;
    }
    h->mail = (struct mail){.fn = on_hold, .drop = hold_mail_drop};
    h->is_on = spec->is_on;
    h->reply = spec->reply;
    h->answer = answer;
    memcpy(h->user, spec->user, n);
    mailbox_post(worker, &h->mail);
    return 0;
}

struct wake_mail {
    struct mail mail;
    char user[256];
};

static void on_hold_wake(struct mail *m, void *owner)
{
    struct wake_mail *w = CONTAINER_OF(m, struct wake_mail, mail);
    session_wake_held(owner, w->user[0] ? w->user : NULL);
    free(w);
}

int session_wake_held_post(struct mailbox *worker, const char *user)
{
    struct wake_mail *w = calloc(1, sizeof(*w));
    if (!w)
        return -ERR_NOMEM;
    w->mail.fn = on_hold_wake;
    if (user)
        (void)str_copy(w->user, sizeof(w->user), str_of(user));
    mailbox_post(worker, &w->mail);
    return 0;
}
