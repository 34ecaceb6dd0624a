/* SPDX-License-Identifier: ISC */
/* The mail server and auth server behind the proxies of a benchmark: one thread, any credentials,
 * messages of any size, nothing stored. */
#pragma once

#include "base/buf.h"
#include "base/container/list.h"
#include "net.h"

#define FAKE_READ_BYTES (256 * 1024)
#define FAKE_BODY_BYTES (1024 * 1024)
#define FAKE_HOSTS_MAX 16

struct fake_session;

/* Something a client may say: the first word of its line (after an IMAP tag). */
struct fake_command {
    const char *verb;
    void (*run)(struct fake_session *f, struct str args);
};

struct fake_proto {
    const char *name;                                   /* of the option that has its port */
    void (*greet)(struct fake_session *f);              /* NULL: the client speaks first */
    void (*line)(struct fake_session *f, struct str s); /* a line without its end */
};

/* Where it listens, and what every session shares. */
struct fake {
    struct net net;
    struct str hosts[FAKE_HOSTS_MAX]; /* addresses; each serves every mail protocol */
    size_t n_hosts, next_host;        /* the auth server names them in turn */
    uint16_t ports[4];                /* in the order of fake_protos */
    uint64_t push_ms; /* each idle session hears of new mail this often; 0 = never */
    struct list idle; /* sessions in IDLE, the one that waits longest first */
    size_t n_idle;
    char in[FAKE_READ_BYTES];
    char body[FAKE_BODY_BYTES]; /* any message is made of this */
};

struct fake_session {
    struct net_source source;
    struct fake *fake;
    const struct fake_proto *proto;
    struct list link;                   /* in fake.idle */
    struct buf in;                      /* an incomplete line */
    struct buf out, tail;               /* what is said before and after the body */
    uint64_t body;                      /* bytes of a message that are still to be sent */
    uint64_t skip;                      /* bytes of a literal that are still to come */
    char tag[32];                       /* of the IMAP command that goes on in the next line */
    const struct fake_command *command; /* that one; NULL = none */
    uint8_t mail_proto;                 /* HTTP: whose port is asked for */
    bool is_kept;                       /* HTTP: the connection stays */
    bool is_closing;                    /* close when everything was sent */
};

extern const struct fake_proto fake_imap, fake_pop3, fake_smtp, fake_http;
/* Mail protocols first, then HTTP. */
extern const struct fake_proto *const fake_protos[4];

/* Says something; it leaves at the end of the event, together with what else was said. */
void fake_say(struct fake_session *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Runs the command of that name; false when there is none. */
bool fake_run(struct fake_session *f, const struct fake_command *commands, size_t n,
              struct str verb, struct str args);
