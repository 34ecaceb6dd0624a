/* SPDX-License-Identifier: ISC */
/* What clients say, and what they expect to hear. */
#include "load.h"

#define SAYS(text)                                                                                 \
    {                                                                                              \
        LOAD_SEND, text "\r\n"                                                                     \
    }
#define HEARS(text)                                                                                \
    {                                                                                              \
        LOAD_EXPECT, text                                                                          \
    }
#define CLOSED                                                                                     \
    {                                                                                              \
        LOAD_EOF, NULL                                                                             \
    }
#define END                                                                                        \
    {                                                                                              \
        LOAD_END, NULL                                                                             \
    }

/* ---- IMAP ---- */

static const struct load_step imap_greeting[] = {HEARS("* OK"), END};
static const struct load_step imap_starttls[] = {SAYS("s STARTTLS"), HEARS("s OK"), END};
static const struct load_step imap_login[] = {SAYS("l LOGIN $u secret"), HEARS("l OK"), END};
static const struct load_step imap_logout[] = {SAYS("q LOGOUT"), HEARS("q OK"), CLOSED, END};
static const struct load_step imap_noop[] = {SAYS("n NOOP"), HEARS("n OK"), END};
static const struct load_step imap_idle[] = {SAYS("i IDLE"), HEARS("+"), END};
static const struct load_step imap_fetch[] = {SAYS("f FETCH $n BODY[]"), HEARS("f OK"), END};
static const struct load_step imap_append[] = {
    SAYS("a APPEND INBOX {$n}"), HEARS("+"), {LOAD_BODY, NULL}, SAYS(""), HEARS("a OK"), END};

/* ---- POP3 ---- */

static const struct load_step pop3_greeting[] = {HEARS("+OK"), END};
static const struct load_step pop3_starttls[] = {SAYS("STLS"), HEARS("+OK"), END};
static const struct load_step pop3_login[] = {SAYS("USER $u"), HEARS("+OK"), SAYS("PASS secret"),
                                              HEARS("+OK"), END};
static const struct load_step pop3_logout[] = {SAYS("QUIT"), HEARS("+OK"), CLOSED, END};
static const struct load_step pop3_noop[] = {SAYS("NOOP"), HEARS("+OK"), END};

/* ---- SMTP ---- */

static const struct load_step smtp_greeting[] = {HEARS("220 "), END};
static const struct load_step smtp_starttls[] = {SAYS("EHLO load.test"), HEARS("250 "),
                                                 SAYS("STARTTLS"), HEARS("220 "), END};
static const struct load_step smtp_login[] = {SAYS("EHLO load.test"), HEARS("250 "),
                                              SAYS("AUTH PLAIN $a"), HEARS("235 "), END};
static const struct load_step smtp_logout[] = {SAYS("QUIT"), HEARS("221 "), CLOSED, END};
static const struct load_step smtp_noop[] = {SAYS("NOOP"), HEARS("250 "), END};

static const struct load_dialogue dialogues[] = {
    {.name = "imap",
     .notes = "*",
     .greeting = imap_greeting,
     .starttls = imap_starttls,
     .login = imap_login,
     .logout = imap_logout,
     .work = {[LOAD_IDLE] = imap_idle,
              [LOAD_NOOP] = imap_noop,
              [LOAD_FETCH] = imap_fetch,
              [LOAD_APPEND] = imap_append,
              [LOAD_DAY] = imap_fetch}},
    {.name = "pop3",
     .greeting = pop3_greeting,
     .starttls = pop3_starttls,
     .login = pop3_login,
     .logout = pop3_logout,
     .work = {[LOAD_NOOP] = pop3_noop}},
    {.name = "smtp",
     .notes = "250-",
     .greeting = smtp_greeting,
     .starttls = smtp_starttls,
     .login = smtp_login,
     .logout = smtp_logout,
     .work = {[LOAD_NOOP] = smtp_noop}},
};

const struct load_dialogue *load_dialogue_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(dialogues); i++)
        if (str_eq(name, str_of(dialogues[i].name)))
            return &dialogues[i];
    return NULL;
}

enum load_work load_work_find(struct str name)
{
    static const char *const names[LOAD_WORKS] = {
        [LOAD_LOGIN] = "login", [LOAD_IDLE] = "idle",     [LOAD_NOOP] = "noop",
        [LOAD_FETCH] = "fetch", [LOAD_APPEND] = "append", [LOAD_DAY] = "day"};
    enum load_work work = LOAD_LOGIN;
    while (work < LOAD_WORKS && !str_eq(name, str_of(names[work])))
        work++;
    return work;
}
