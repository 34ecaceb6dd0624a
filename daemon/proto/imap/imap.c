/* SPDX-License-Identifier: ISC */
/* IMAP's row of the protocol table. */
#include "proto/imap/imap.h"

#include "proto/front.h"

/* Those that come too early are shown too, so that they can be told from secrets. */
static const struct redact_verb imap_public[] = {
    {"CAPABILITY", REDACT_NO_ARGS}, {"NOOP", REDACT_NO_ARGS},
    {"LOGOUT", REDACT_NO_ARGS},     {"STARTTLS", REDACT_NO_ARGS},
    {"COMPRESS", REDACT_NO_ARGS},   {"ENABLE", REDACT_NO_ARGS},
    {"IDLE", REDACT_NO_ARGS},       {"LIST", REDACT_NO_ARGS},
    {"NAMESPACE", REDACT_NO_ARGS},  {"SELECT", REDACT_NO_ARGS},
    {"STATUS", REDACT_NO_ARGS},     {"ID", REDACT_ALL},
    {"LOGIN", REDACT_FIRST},        {"AUTHENTICATE", REDACT_MECHANISM},
    {NULL, REDACT_NOTHING},
};

const struct proto proto_imap = {
    .id = PROTO_IMAP,
    .name = "imap",
    .auth_name = "imap",
    .alpn = "imap",
    .default_port = 143,
    .default_tls_port = 993,
    .default_mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT_COMMAND,
    .quit_verb = "LOGOUT",
    .login_command = "login-command",
    .has_client_name = false,
    .has_xclient = false,
    .has_tags = true,
    .redact_verbs = imap_public,
    .front_new = imap_front_new,
    .front_free = imap_front_free,
    .greet = imap_front_greet,
    .feed = imap_front_feed,
    .auth_continue = front_auth_continue,
    .reply = imap_front_reply,
    .success = imap_front_success,
    .keepalive = imap_front_keepalive,
    .tls_started = imap_front_tls_started,
    .back_new = imap_back_new,
    .back_free = imap_back_free,
    .back_feed = imap_back_feed,
    .back_tls_started = imap_back_tls_started,
    .back_resume = imap_back_resume,
    .watch_size = sizeof(struct imap_watch),
    .watch_init = imap_watch_init,
    .watch_feed = imap_watch_feed,
    .farewell = imap_farewell,
};
