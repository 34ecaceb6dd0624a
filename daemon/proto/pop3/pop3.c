/* SPDX-License-Identifier: ISC */
/* POP3's row of the protocol table. */
#include "proto/pop3/pop3.h"

#include "proto/front.h"

static const struct redact_verb pop3_public[] = {
    {"LIST", REDACT_NO_ARGS}, {"STAT", REDACT_NO_ARGS},   {"UIDL", REDACT_NO_ARGS},
    {"CAPA", REDACT_NO_ARGS}, {"NOOP", REDACT_NO_ARGS},   {"QUIT", REDACT_NO_ARGS},
    {"STLS", REDACT_NO_ARGS}, {"XCLIENT", REDACT_ALL},    {"USER", REDACT_NAME},
    {"APOP", REDACT_FIRST},   {"AUTH", REDACT_MECHANISM}, {"PASS", REDACT_NOTHING},
    {NULL, REDACT_NOTHING},
};

const struct proto proto_pop3 = {
    .id = PROTO_POP3,
    .name = "pop3",
    .auth_name = "pop3",
    .alpn = "pop3",
    .default_port = 110,
    .default_tls_port = 995,
    .default_mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT_COMMAND,
    .has_apop = true,
    .quit_verb = "QUIT",
    .login_command = "user-pass",
    .has_client_name = false,
    .has_xclient = true,
    .redact_verbs = pop3_public,
    .front_new = pop3_front_new,
    .front_free = pop3_front_free,
    .greet = pop3_front_greet,
    .feed = pop3_front_feed,
    .auth_continue = front_auth_continue,
    .reply = pop3_front_reply,
    .success = pop3_front_success,
    .keepalive = front_no_keepalive,
    .tls_started = pop3_front_tls_started,
    .back_new = pop3_back_new,
    .back_free = pop3_back_free,
    .back_feed = pop3_back_feed,
    .back_tls_started = pop3_back_tls_started,
    .back_resume = pop3_back_resume,
    .watch_size = sizeof(struct pop3_watch),
    .watch_init = pop3_watch_init,
    .watch_feed = pop3_watch_feed,
    .farewell = pop3_farewell,
};
