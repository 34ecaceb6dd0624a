/* SPDX-License-Identifier: ISC */
/* Inside of ManageSieve (RFC 5804): the strings that commands and responses are made of, and the
 * functions of its vtable row. */
#pragma once

#include "proto/proto.h"
#include "proto/watch.h"

#define SIEVE_QUOTED_MAX 1024 /* longest content of a quoted string, RFC 5804 section 1.2 */

/* Cuts a quoted string or a literal (its announcement, line end and octets, all present) off *in
 * into ret (emptied first), unescaped. -ERR_SYNTAX: neither, or NUL, CR or LF within quotes;
 * -ERR_NOMEM. *in is untouched on failure. */
int sieve_cut_string(struct str *in, struct buf *ret) NODISCARD;
/* Cuts the blanks before the next argument; false when there is none because the line ends here. */
bool sieve_cut_blank(struct str *in);
/* Cuts an atom (letters, digits, '-', '=' ... up to a blank, quote or parenthesis); empty when
 * there is none. */
struct str sieve_cut_atom(struct str *in);
/* Appends a string: quoted when it may be, else as literal, which a client announces with "+"
 * (is_client). -ERR_NOMEM. */
int sieve_append_string(struct buf *out, struct str value, bool is_client) NODISCARD;

/* Sets bytes of a command or response aside: all of it without its last line end. */
struct str sieve_chomp(struct str command);

/* front */
struct front *sieve_front_new(const struct front_env *env);
int sieve_front_greet(struct front *f, struct buf *reply);
enum proto_intent sieve_front_feed(struct front *f, struct str in, size_t *ret_consumed,
                                   struct buf *reply);
int sieve_front_auth_continue(struct front *f, struct str challenge, struct buf *reply);
int sieve_front_reply(struct front *f, enum reply_kind kind, const char *code, const char *text,
                      struct buf *reply);
int sieve_front_success(struct front *f, const struct back_success *s, struct buf *reply);
int sieve_front_tls_started(struct front *f, struct buf *reply);
int sieve_farewell(enum reply_kind kind, const char *text, struct buf *out);

/* back */
struct back *sieve_back_new(const struct back_env *env);
void sieve_back_free(struct back *b);
enum back_result sieve_back_feed(struct back *b, struct str in, size_t *ret_consumed,
                                 struct buf *out);
enum back_result sieve_back_tls_started(struct back *b, struct buf *out);
enum back_result sieve_back_resume(struct back *b, struct buf *out);

/* watch */

/* Finds a literal's announcement at the end of a line as its bytes come in. */
struct sieve_tail {
    uint8_t state; /* of sieve_tail_char */
    uint64_t size;
};

struct sieve_watch {
    struct watch head;
    uint64_t client_literal, server_literal; /* octets still to come */
    struct sieve_tail client_tail, server_tail;
    uint8_t word_len, status_len;
    char word[14];  /* of the client's command that is coming in */
    char status[4]; /* of the server's response line that is coming in */
    bool is_word_over, is_status_over, is_mid_command, is_in_reply, is_starttls;
    bool is_challenged; /* the client's next line is an answer within AUTHENTICATE */
};

/* See proto.h: the watcher of a relay, at its start. */
void sieve_watch_init(struct watch *w, struct str learned);
/* See watch_feed. */
size_t sieve_watch_feed(struct watch *w, enum watch_side side, struct str bytes);
