/* SPDX-License-Identifier: ISC */
/* Ending sessions and waking held ones from another thread. */
#include "session/query.h"
#include "session/session_priv.h"

struct kill_mail {
    struct mail mail;
    uint64_t number;
    struct mailbox *reply;
    void (*deliver)(struct mail *result, void *owner);
    enum reply_kind kind;
    bool has_text, is_all;
    char text[REPLY_TEXT_MAX + 1];
    uint64_t grace_ms;
    size_t n;
    uint64_t ids[];
};

static void kill_answer(const struct kill_mail *k, const struct session_env *env,
                        struct session_killed *done)
{
    if (!done)
        return;
    done->mail = (struct mail){.fn = k->deliver};
    done->number = k->number;
    done->worker = env->worker;
    mailbox_post(k->reply, &done->mail);
}

static void kill_ids(const struct kill_mail *k, struct session_env *env)
{
    struct session_killed *done = NULL;
    if (k->reply)
        done = calloc(1, sizeof(*done) + k->n * sizeof(done->ids[0]));
    for (size_t i = 0; i < k->n; i++) {
        struct session *s = session_find(env, k->ids[i]);
        if (!s)
            continue;
        session_kill(s, k->kind, k->has_text ? k->text : NULL, k->grace_ms);
        if (done)
            done->ids[done->n++] = k->ids[i];
    }
    kill_answer(k, env, done);
}

static void on_kill(struct mail *m, void *owner)
{
    struct kill_mail *k = CONTAINER_OF(m, struct kill_mail, mail);
    struct session_env *env = owner;
    if (k->is_all)
        LIST_FOREACH_SAFE (it, &env->sessions)
            session_kill(LIST_ITEM(it, struct session, link), k->kind, k->has_text ? k->text : NULL,
                         k->grace_ms);
    else
        kill_ids(k, env);
    free(k);
}

int session_kill_post(struct mailbox *worker, const struct session_kill_spec *spec)
{
    struct kill_mail *k = calloc(1, sizeof(*k) + spec->n * sizeof(k->ids[0]));
    if (!k)
        return -ERR_NOMEM;
    k->mail.fn = on_kill;
    k->number = spec->number;
    k->reply = spec->reply;
    k->deliver = spec->deliver;
    k->kind = spec->kind;
    k->grace_ms = spec->grace_ms;
    k->has_text = spec->text != NULL;
    if (spec->text)
        (void)str_copy(k->text, sizeof(k->text), str_of(spec->text));
    k->n = spec->n;
    if (spec->n > 0)
        memcpy(k->ids, spec->ids, spec->n * sizeof(k->ids[0]));
    mailbox_post(worker, &k->mail);
    return 0;
}

int session_kill_all_post(struct mailbox *worker, enum reply_kind kind, const char *text,
                          uint64_t grace_ms)
{
    struct kill_mail *k = calloc(1, sizeof(*k));
    if (!k)
        return -ERR_NOMEM;
    *k = (struct kill_mail){.mail.fn = on_kill,
                            .kind = kind,
                            .is_all = true,
                            .has_text = text != NULL,
                            .grace_ms = grace_ms};
    if (text)
        (void)str_copy(k->text, sizeof(k->text), str_of(text));
    mailbox_post(worker, &k->mail);
    return 0;
}

struct wake_mail {
    struct mail mail;
    char user[256];
};

static void on_wake(struct mail *m, void *owner)
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
    w->mail.fn = on_wake;
    if (user)
        (void)str_copy(w->user, sizeof(w->user), str_of(user));
    mailbox_post(worker, &w->mail);
    return 0;
}
