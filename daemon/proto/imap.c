/* SPDX-License-Identifier: ISC */
/* IMAP's row of the protocol table. */
#include "proto/imap.h"

/* Those that come too early are shown too, so that they can be told from secrets. */
static const struct public_verb imap_public[] = {
    {"CAPABILITY", PUBLIC_NO_ARGS}, {"NOOP", PUBLIC_NO_ARGS},
    {"LOGOUT", PUBLIC_NO_ARGS},     {"STARTTLS", PUBLIC_NO_ARGS},
    {"COMPRESS", PUBLIC_NO_ARGS},   {"ENABLE", PUBLIC_NO_ARGS},
    {"IDLE", PUBLIC_NO_ARGS},       {"LIST", PUBLIC_NO_ARGS},
    {"NAMESPACE", PUBLIC_NO_ARGS},  {"SELECT", PUBLIC_NO_ARGS},
    {"STATUS", PUBLIC_NO_ARGS},     {"ID", PUBLIC_ALL},
    {"LOGIN", PUBLIC_FIRST},        {"AUTHENTICATE", PUBLIC_MECHANISM},
    {NULL, PUBLIC_NOTHING},
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
    .has_client_name = false,
    .has_xclient = false,
    .has_tags = true,
    .public_verbs = imap_public,
    .front_new = imap_front_new,
    .front_free = imap_front_free,
    .greet = imap_front_greet,
    .feed = imap_front_feed,
    .auth_continue = imap_front_auth_continue,
    .reply = imap_front_reply,
    .success = imap_front_success,
    .keepalive = imap_front_keepalive,
    .tls_started = imap_front_tls_started,
    .back_new = imap_back_new,
    .back_free = imap_back_free,
    .back_feed = imap_back_feed,
    .back_tls_started = imap_back_tls_started,
    .watch_size = sizeof(struct imap_watch),
    .watch_init = imap_watch_init,
    .watch_feed = imap_watch_feed,
    .farewell = imap_farewell,
};
