/* SPDX-License-Identifier: ISC */
/* POP3, SMTP and the auth server of the fake backend. */
#include "fake.h"

/* ---- POP3 ---- */

static void pop3_ok(struct fake_session *f, struct str args)
{
    (void)args;
    fake_say(f, "+OK Done.\r\n");
    f->command = NULL;
}

static void pop3_capa(struct fake_session *f, struct str args)
{
    pop3_ok(f, args);
    fake_say(f, "TOP\r\nUIDL\r\nUSER\r\nPIPELINING\r\nSASL PLAIN\r\n.\r\n");
}

/* "AUTH PLAIN" alone: the response is the next line. */
static void pop3_auth(struct fake_session *f, struct str args)
{
    (void)str_word(&args);
    if (args.n == 0)
        fake_say(f, "+ \r\n");
    else
        pop3_ok(f, args);
}

static void pop3_quit(struct fake_session *f, struct str args)
{
    pop3_ok(f, args);
    f->is_closing = true;
}

static const struct fake_command pop3_commands[] = {
    {"USER", pop3_ok}, {"PASS", pop3_ok}, {"AUTH", pop3_auth}, {"CAPA", pop3_capa},
    {"NOOP", pop3_ok}, {"STAT", pop3_ok}, {"QUIT", pop3_quit},
};

static void pop3_line(struct fake_session *f, struct str line)
{
    struct str verb = str_word(&line);
    if (f->command && f->command->run == pop3_auth)
        pop3_ok(f, line);
    else if (!fake_run(f, pop3_commands, ARRAY_LEN(pop3_commands), verb, str_trim(line)))
        fake_say(f, "-ERR Unknown command.\r\n");
}

static void pop3_greet(struct fake_session *f)
{
    fake_say(f, "+OK Ready.\r\n");
}

const struct fake_proto fake_pop3 = {"pop3", pop3_greet, pop3_line};

/* ---- SMTP ---- */

static void smtp_ok(struct fake_session *f, struct str args)
{
    (void)args;
    fake_say(f, "250 2.0.0 OK\r\n");
}

static void smtp_ehlo(struct fake_session *f, struct str args)
{
    (void)args;
    fake_say(f, "250-backend.test\r\n250-PIPELINING\r\n250-SIZE 41943040\r\n"
                "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n");
}

static void smtp_authenticated(struct fake_session *f)
{
    fake_say(f, "235 2.7.0 Logged in\r\n");
    f->command = NULL;
}

static void smtp_auth(struct fake_session *f, struct str args)
{
    (void)str_word(&args);
    if (args.n == 0)
        fake_say(f, "334 \r\n");
    else
        smtp_authenticated(f);
}

static void smtp_quit(struct fake_session *f, struct str args)
{
    (void)args;
    fake_say(f, "221 2.0.0 Bye\r\n");
    f->is_closing = true;
}

static const struct fake_command smtp_commands[] = {
    {"EHLO", smtp_ehlo}, {"HELO", smtp_ok}, {"AUTH", smtp_auth},
    {"NOOP", smtp_ok},   {"RSET", smtp_ok}, {"QUIT", smtp_quit},
};

static void smtp_line(struct fake_session *f, struct str line)
{
    struct str verb = str_word(&line);
    if (f->command && f->command->run == smtp_auth)
        smtp_authenticated(f);
    else if (!fake_run(f, smtp_commands, ARRAY_LEN(smtp_commands), verb, str_trim(line)))
        fake_say(f, "502 5.5.2 Unknown command\r\n");
}

static void smtp_greet(struct fake_session *f)
{
    fake_say(f, "220 backend.test ESMTP ready\r\n");
}

const struct fake_proto fake_smtp = {"smtp", smtp_greet, smtp_line};

/* ---- the auth server ---- */

static void http_answer(struct fake_session *f)
{
    struct fake *all = f->fake;
    struct str host = all->hosts[all->next_host++ % all->n_hosts];
    fake_say(f,
             "HTTP/1.%d 200 OK\r\nContent-Length: 0\r\nAuth-Status: OK\r\nAuth-Server: %.*s\r\n"
             "Auth-Port: %u\r\n%s\r\n",
             f->is_kept, STR_ARG(host), all->ports[f->mail_proto],
             f->is_kept ? "" : "Connection: close\r\n");
    f->is_closing = !f->is_kept;
}

static void http_line(struct fake_session *f, struct str line)
{
    struct str value = line;
    if (line.n == 0) {
        http_answer(f);
    } else if (str_is_prefix(line, STR("GET "))) {
        f->is_kept = line.p[line.n - 1] == '1';
    } else if (str_ieq(str_cut(&value, ':'), STR("Auth-Protocol"))) {
        for (size_t i = 0; i < ARRAY_LEN(fake_protos); i++)
            if (str_eq(str_trim(value), str_of(fake_protos[i]->name)))
                f->mail_proto = (uint8_t)i;
    }
}

const struct fake_proto fake_http = {"http", NULL, http_line};
