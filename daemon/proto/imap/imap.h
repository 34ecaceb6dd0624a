/* SPDX-License-Identifier: ISC */
/* Inside of IMAP (RFC 3501, RFC 9051): the strings that commands and responses are made of, and the
 * functions of its vtable row. */
#pragma once

#include "proto/proto.h"
#include "proto/watch.h"

#define IMAP_RESPONSE_MAX 16384 /* one response of a mail server before login, without literals */
#define IMAP_ID_PAIRS 30        /* fields of an ID, RFC 2971 section 3.3 */
#define IMAP_QUOTED_MAX 1024    /* longest string sent within quotes; longer ones go as literals */

/* Cuts atom characters off *in; empty when there are none. */
struct str imap_cut_atom(struct str *in);
/* Cuts the blanks before the next argument; false when there are none. */
bool imap_cut_blank(struct str *in);
/* Cuts a quoted string or literal (announcement, line end and octets all present) off *in into ret
 * (emptied first), unescaped. Quoted strings may hold UTF-8 (RFC 9051). -ERR_SYNTAX: neither, or
 * NUL, CR, LF or broken UTF-8 within quotes, or NUL in a literal; -ERR_NOMEM. *in is untouched on
 * failure. */
int imap_cut_string(struct str *in, struct buf *ret) NODISCARD;
/* The same, an atom being allowed too. */
int imap_cut_astring(struct str *in, struct buf *ret) NODISCARD;
/* Cuts a response code "[CODE arguments]" and the blank behind it off the front of *text; *ret_code
 * is what stands between the brackets. False when there is none. */
bool imap_cut_code(struct str *text, struct str *ret_code);
/* May the value be sent within quotes to any server: printable ASCII that is not too long? */
bool imap_is_quotable(struct str value);
/* Appends a quoted string; whatever is not printable ASCII becomes '?'. -ERR_NOMEM. */
int imap_append_quoted(struct buf *out, struct str value) NODISCARD;
/* All of a command or response without its last line end. */
struct str imap_chomp(struct str command);

/* front */
struct front *imap_front_new(const struct front_env *env);
void imap_front_free(struct front *f);
int imap_front_greet(struct front *f, struct buf *reply);
enum proto_intent imap_front_feed(struct front *f, struct str in, size_t *ret_consumed,
                                  struct buf *reply);
int imap_front_reply(struct front *f, enum reply_kind kind, const char *code, const char *text,
                     struct buf *reply);
int imap_front_success(struct front *f, const struct back_success *s, struct buf *reply);
int imap_front_keepalive(struct front *f, struct buf *reply);
int imap_front_tls_started(struct front *f, struct buf *reply);
int imap_farewell(enum reply_kind kind, const char *text, struct buf *out);

/* ID: appends what the proxy itself knows of the client, in the fields that Dovecot reads; the
 * fields of the client's own list, but none that could pass for one of the proxy's. -ERR_NOMEM. */
int imap_id_own(const struct back_env *env, struct buf *out) NODISCARD;
int imap_id_client(struct str list, struct buf *out) NODISCARD;

/* back */
struct back *imap_back_new(const struct back_env *env);
void imap_back_free(struct back *b);
enum back_result imap_back_feed(struct back *b, struct str in, size_t *ret_consumed,
                                struct buf *out);
enum back_result imap_back_tls_started(struct back *b, struct buf *out);
enum back_result imap_back_resume(struct back *b, struct buf *out);

/* watch */

#define IMAP_TAIL 24    /* enough for the longest literal announcement */
#define IMAP_TAGS_MAX 8 /* commands in flight that are told apart; the others are counted */

/* One direction of the relay. */
struct imap_stream {
    uint64_t literal;     /* octets of a literal still to be skipped */
    uint32_t tag;         /* hash of the first word of the line */
    uint8_t tag_len;      /* bytes of that word, 255 = that many or more */
    char tag_first;       /* the first of them */
    uint8_t words;        /* blanks seen at the start of the line, as far as they matter */
    uint8_t tail_len;     /* bytes in tail */
    bool is_within;       /* in the middle of a command or response */
    bool is_tail_line;    /* a line of the command or response after its first one */
    char tail[IMAP_TAIL]; /* end of the line so far */
    char word[12];        /* second word of a server's line */
    uint8_t word_len;
};

/* What the client has said last and the server answers before the client may go on: with a
 * continuation request, or with the tagged response that refuses it. Until then nobody knows
 * whether the client's next bytes are another command. */
enum imap_asked {
    IMAP_ASKED_NOTHING,
    IMAP_ASKED_LITERAL, /* a synchronizing one, RFC 3501 section 4.3 */
    IMAP_ASKED_IDLE,
    IMAP_ASKED_AUTH,
    IMAP_ASKED_COMPRESS /* or STARTTLS: with OK the bytes are others */
};

struct imap_watch {
    struct watch w;
    struct imap_stream client, server;
    uint32_t tags[IMAP_TAGS_MAX]; /* hashes, of commands without their tagged response */
    uint32_t more;                /* such commands whose tags found no room */
    uint32_t more_bits;           /* a bit for the hash of each of those */
    uint32_t bare_bits; /* the same of lines that were a tag alone: servers answer them, too */
    uint32_t asked_tag; /* of the command that asked last */
    uint64_t waiting_literal; /* octets of the literal that IMAP_ASKED_LITERAL is about */
    uint8_t verb_len, n_tags;
    uint8_t asked;      /* enum imap_asked */
    bool is_tag_shared; /* another open command may have asked_tag: its response refuses nothing */
    bool is_idle;       /* with asked_tag, until the client's next line */
    bool is_auth_challenged; /* the client's next line answers a challenge */
};

/* See proto.h: the watcher of a relay, at its start. */
void imap_watch_init(struct watch *w, struct str learned);
/* See watch_feed. */
size_t imap_watch_feed(struct watch *w, enum watch_side side, struct str bytes);
