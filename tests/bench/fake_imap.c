/* SPDX-License-Identifier: ISC */
/* IMAP of the fake backend: the number of a message is its size. */
#include "fake.h"

#define FAKE_CAPABILITIES "IMAP4rev1 LITERAL+ SASL-IR ID IDLE UIDPLUS AUTH=PLAIN"

static void imap_ok(struct fake_session *f, const char *text)
{
    fake_say(f, "%s OK %s\r\n", f->tag, text);
    f->command = NULL;
}

static void imap_capability(struct fake_session *f, struct str args)
{
    (void)args;
    fake_say(f, "* CAPABILITY " FAKE_CAPABILITIES "\r\n");
    imap_ok(f, "Capability completed.");
}

static void imap_login(struct fake_session *f, struct str args)
{
    (void)args;
    imap_ok(f, "[CAPABILITY " FAKE_CAPABILITIES "] Logged in");
}

/* Without an initial response the next line is the response. */
static void imap_authenticate(struct fake_session *f, struct str args)
{
    struct str mechanism = str_word(&args);
    if (mechanism.n > 0 && str_ieq(mechanism, STR("PLAIN")) && args.n == 0)
        fake_say(f, "+ \r\n");
    else
        imap_login(f, args);
}

static void imap_id(struct fake_session *f, struct str args)
{
    (void)args;
    fake_say(f, "* ID NIL\r\n");
    imap_ok(f, "ID completed.");
}

static void imap_noop(struct fake_session *f, struct str args)
{
    (void)args;
    imap_ok(f, "Completed.");
}

static void imap_fetch(struct fake_session *f, struct str args)
{
    uint64_t size;
    if (str_to_u64(str_word(&args), UINT32_MAX, &size) < 0)
        size = 0;
    fake_say(f, "* 1 FETCH (BODY[] {%llu}\r\n", (unsigned long long)size);
    f->body = size;
    fake_say(f, ")\r\n");
    imap_ok(f, "Fetch completed.");
}

static void imap_idle(struct fake_session *f, struct str args)
{
    (void)args;
    fake_say(f, "+ idling\r\n");
    list_add_tail(&f->fake->idle, &f->link);
    f->fake->n_idle++;
}

static void imap_logout(struct fake_session *f, struct str args)
{
    (void)args;
    fake_say(f, "* BYE Logging out\r\n");
    imap_ok(f, "Logout completed.");
    f->is_closing = true;
}

static const struct fake_command imap_commands[] = {
    {"NOOP", imap_noop},
    {"FETCH", imap_fetch},
    {"APPEND", imap_noop},
    {"LOGIN", imap_login},
    {"AUTHENTICATE", imap_authenticate},
    {"IDLE", imap_idle},
    {"LOGOUT", imap_logout},
    {"CAPABILITY", imap_capability},
    {"ID", imap_id},
    {"SELECT", imap_noop},
};

/* True when the line ends in a literal, whose bytes are skipped; the command goes on behind it. */
static bool imap_literal(struct fake_session *f, struct str line)
{
    if (line.n < 3 || line.p[line.n - 1] != '}')
        return false;
    const char *open = memrchr(line.p, '{', line.n);
    if (!open)
        return false;
    struct str number = str_n(open + 1, (size_t)(line.p + line.n - 1 - (open + 1)));
    bool is_waited_for = number.n > 0 && number.p[number.n - 1] != '+';
    number.n -= is_waited_for ? 0 : 1;
    if (str_to_u64(number, UINT32_MAX, &f->skip) < 0)
        return false;
    if (is_waited_for)
        fake_say(f, "+ OK\r\n");
    return true;
}

/* The next line of a command that began before: more literals, then its answer. */
static void imap_continue(struct fake_session *f, struct str line)
{
    if (f->command->run == imap_idle) {
        list_del(&f->link);
        f->fake->n_idle--;
        imap_ok(f, "Idle completed.");
    } else if (!imap_literal(f, line)) {
        f->command->run(f, STR("PLAIN ="));
    }
}

static void imap_line(struct fake_session *f, struct str line)
{
    if (f->command) {
        imap_continue(f, line);
        return;
    }
    struct str args = line, tag = str_word(&args), verb = str_word(&args);
    (void)str_copy(f->tag, sizeof(f->tag), tag);
    if (imap_literal(f, line)) {
        for (size_t i = 0; i < ARRAY_LEN(imap_commands); i++)
            if (str_ieq(verb, str_of(imap_commands[i].verb)))
                f->command = &imap_commands[i];
    } else if (!fake_run(f, imap_commands, ARRAY_LEN(imap_commands), verb, str_trim(args))) {
        fake_say(f, "%s BAD Unknown command.\r\n", f->tag);
    }
}

static void imap_greet(struct fake_session *f)
{
    fake_say(f, "* OK [CAPABILITY " FAKE_CAPABILITIES "] Ready.\r\n");
}

const struct fake_proto fake_imap = {"imap", imap_greet, imap_line};
