/* SPDX-License-Identifier: ISC */
/* Inside of SMTP (RFC 5321, 4954, 3207, 6409): replies of a server, and the functions of its vtable
 * row. */
#pragma once

#include "proto/proto.h"
#include "proto/watch.h"

/* One reply of a server, borrowed from the input. */
struct smtp_reply {
    unsigned code;   /* 200..599 */
    struct str body; /* all its lines, each with its code and end */
};

/* Cuts one reply, of one line or several, at the start of `in`. 0 with *ret and *ret_consumed;
 * -ERR_AGAIN; -ERR_SYNTAX: not a reply, or its lines have different codes: *ret_consumed ends with
 * the wrong line; -ERR_TOO_LONG. */
int smtp_cut_reply(struct str in, struct smtp_reply *ret, size_t *ret_consumed) NODISCARD;
/* Cuts the next line off a reply's body and returns what follows its code; false when none is left.
 */
bool smtp_next_text(struct str *body, struct str *ret_text);
/* Is the text led by an enhanced status (RFC 3463) of the code's class? Cuts it off *text. */
bool smtp_cut_status(struct str *text, unsigned code, struct str *ret_status);
/* Is it a code that an auth server or a backend may fail a client with: "535" or "535 5.7.8", class
 * 4 or 5, the same in both? */
bool smtp_is_failure_code(struct str code);

/* front */
struct front *smtp_front_new(const struct front_env *env);
int smtp_front_greet(struct front *f, struct buf *reply);
enum proto_intent smtp_front_feed(struct front *f, struct str in, size_t *ret_consumed,
                                  struct buf *reply);
int smtp_front_auth_continue(struct front *f, struct str challenge, struct buf *reply);
int smtp_front_reply(struct front *f, enum reply_kind kind, const char *code, const char *text,
                     struct buf *reply);
int smtp_front_success(struct front *f, const struct back_success *s, struct buf *reply);
int smtp_front_tls_started(struct front *f, struct buf *reply);
int smtp_farewell(enum reply_kind kind, const char *text, struct buf *out);

/* back */
struct back *smtp_back_new(const struct back_env *env);
void smtp_back_free(struct back *b);
enum back_result smtp_back_feed(struct back *b, struct str in, size_t *ret_consumed,
                                struct buf *out);
enum back_result smtp_back_tls_started(struct back *b, struct buf *out);
enum back_result smtp_back_resume(struct back *b, struct buf *out);

/* watch */

enum smtp_client_state {
    SMTP_CLIENT_WORD,     /* the verb of a command */
    SMTP_CLIENT_ARGS,     /* the rest of its line */
    SMTP_CLIENT_RESPONSE, /* a SASL response */
    SMTP_CLIENT_DATA,     /* message data */
    SMTP_CLIENT_CHUNK,    /* octets of BDAT */
};

/* How much of CR LF '.' CR LF, the only end of message data (RFC 5321 section 4.1.1.4), was seen.
 */
/* BARE: behind a CR or LF alone, of which only a strict watcher takes note. */
enum smtp_dot {
    SMTP_DOT_NONE,
    SMTP_DOT_CR,
    SMTP_DOT_LINE,
    SMTP_DOT_DOT,
    SMTP_DOT_DOT_CR,
    SMTP_DOT_BARE_LINE,
    SMTP_DOT_BARE_DOT
};

struct smtp_watch {
    struct watch head;
    uint64_t chunk_left; /* octets of the chunk still to come, or its size as far as read */
    uint8_t client;      /* enum smtp_client_state */
    uint8_t dot;         /* enum smtp_dot */
    uint8_t word_len;
    char word[9]; /* of the command that is coming in */
    uint8_t reply_pos;
    char reply[4]; /* code and what follows it, of the reply line that is coming in */
    bool is_in_reply, is_mid_line;
    bool is_chunk_number, has_chunk_digit; /* the number of BDAT comes in, and has begun */
    bool has_chunks;                       /* the server knows BDAT */
    bool is_end_doubtful; /* some servers take the message for ended, and what follows for commands
                           */
    bool is_word_over;    /* of a line behind such an end */
};

/* See proto.h: the watcher of a relay, at its start. */
void smtp_watch_init(struct watch *w, struct str learned);
/* See watch_feed. */
size_t smtp_watch_feed(struct watch *w, enum watch_side side, struct str bytes);
