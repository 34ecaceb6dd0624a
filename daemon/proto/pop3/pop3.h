/* SPDX-License-Identifier: ISC */
/* Inside of POP3 (RFC 1939, 2449, 5034): the words its two ends share, and the functions of its
 * vtable row. */
#pragma once

#include "proto/proto.h"
#include "proto/watch.h"

#define POP3_RESPONSE_MAX 8192 /* one line of a mail server before login */
#define POP3_CAPA_MAX 8192     /* its whole list of capabilities */
#define POP3_INITIAL_MAX 255   /* an AUTH line with initial response, RFC 5034 section 4 */
#define POP3_PIPELINE_MAX 1024 /* commands in flight that are told apart */

/* Cuts a response code "[CODE]" (RFC 2449 section 8) and the blank behind it off the front of
 * *text. False when there is none. */
bool pop3_cut_code(struct str *text, struct str *ret_code);

/* front */
struct front *pop3_front_new(const struct front_env *env);
void pop3_front_free(struct front *f);
int pop3_front_greet(struct front *f, struct buf *reply);
enum proto_intent pop3_front_feed(struct front *f, struct str in, size_t *ret_consumed,
                                  struct buf *reply);
int pop3_front_reply(struct front *f, enum reply_kind kind, const char *code, const char *text,
                     struct buf *reply);
int pop3_front_success(struct front *f, const struct back_success *s, struct buf *reply);
int pop3_front_tls_started(struct front *f, struct buf *reply);
int pop3_farewell(enum reply_kind kind, const char *text, struct buf *out);

/* back */
struct back *pop3_back_new(const struct back_env *env);
void pop3_back_free(struct back *b);
enum back_result pop3_back_feed(struct back *b, struct str in, size_t *ret_consumed,
                                struct buf *out);
enum back_result pop3_back_tls_started(struct back *b, struct buf *out);
enum back_result pop3_back_resume(struct back *b, struct buf *out);

/* watch */
struct pop3_watch {
    struct watch w;
    /* A ring, from the oldest command without its response on: bit = it is answered by several
     * lines. */
    uint8_t multi[POP3_PIPELINE_MAX / 8];
    uint16_t oldest;
    uint8_t words; /* of the client's line: 0 within the verb, 1 behind it, 2 has an argument */
    uint8_t verb_len;
    uint8_t head_len; /* bytes of head; a longer line counts as one more than fits */
    char head[3];     /* start of the server's line */
    bool is_client_within, is_server_within;
    bool is_body;       /* between the first line of a response and its final dot */
    bool is_challenged; /* the server has asked for a line that is no command (RFC 5034) */
};

/* See proto.h: the watcher of a relay, at its start. */
void pop3_watch_init(struct watch *w, struct str learned);
/* See watch_feed. */
size_t pop3_watch_feed(struct watch *w, enum watch_side side, struct str bytes);
