/* SPDX-License-Identifier: ISC */
/* SMTP's row of the protocol table. */
#include "proto/smtp/smtp.h"

#include "proto/front.h"

static const struct redact_verb smtp_public[] = {
    {"EHLO", REDACT_ALL},     {"HELO", REDACT_ALL},     {"MAIL", REDACT_ALL},
    {"RCPT", REDACT_ALL},     {"XCLIENT", REDACT_ALL},  {"STARTTLS", REDACT_NO_ARGS},
    {"DATA", REDACT_NO_ARGS}, {"RSET", REDACT_NO_ARGS}, {"NOOP", REDACT_NO_ARGS},
    {"QUIT", REDACT_NO_ARGS}, {"HELP", REDACT_NO_ARGS}, {"VRFY", REDACT_NO_ARGS},
    {"EXPN", REDACT_NO_ARGS}, {"BDAT", REDACT_NO_ARGS}, {"AUTH", REDACT_MECHANISM},
    {NULL, REDACT_NOTHING},
};

const struct proto proto_smtp = {
    .id = PROTO_SMTP,
    .name = "smtp",
    .auth_name = "smtp",
    .alpn = "smtp",
    .default_port = 587,
    .default_tls_port = 465,
    .default_mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN),
    .can_skip_login = true,
    .quit_verb = "QUIT",
    .has_client_name = true,
    .has_xclient = true,
    .redact_verbs = smtp_public,
    .front_new = smtp_front_new,
    .front_free = front_free,
    .greet = smtp_front_greet,
    .feed = smtp_front_feed,
    .auth_continue = smtp_front_auth_continue,
    .reply = smtp_front_reply,
    .success = smtp_front_success,
    .keepalive = front_no_keepalive,
    .tls_started = smtp_front_tls_started,
    .back_new = smtp_back_new,
    .back_free = smtp_back_free,
    .back_feed = smtp_back_feed,
    .back_tls_started = smtp_back_tls_started,
    .back_resume = smtp_back_resume,
    .watch_size = sizeof(struct smtp_watch),
    .watch_init = smtp_watch_init,
    .watch_feed = smtp_watch_feed,
    .farewell = smtp_farewell,
};
