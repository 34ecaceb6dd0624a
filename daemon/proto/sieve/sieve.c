/* SPDX-License-Identifier: ISC */
/* ManageSieve's row of the protocol table. */
#include "proto/sieve/sieve.h"

#include "proto/front.h"

static const struct redact_verb sieve_public[] = {
    {"CAPABILITY", REDACT_NO_ARGS},  {"STARTTLS", REDACT_NO_ARGS},
    {"LOGOUT", REDACT_NO_ARGS},      {"NOOP", REDACT_NO_ARGS},
    {"LISTSCRIPTS", REDACT_NO_ARGS}, {"UNAUTHENTICATE", REDACT_NO_ARGS},
    {"XCLIENT", REDACT_ALL},         {"AUTHENTICATE", REDACT_MECHANISM},
    {NULL, REDACT_NOTHING},
};

const struct proto proto_sieve = {
    .id = PROTO_SIEVE,
    .name = "sieve",
    .auth_name = "sieve",
    .alpn = "managesieve",
    .default_port = 4190,
    .default_tls_port = 4190, /* there is none of its own */
    .default_mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN),
    .quit_verb = "LOGOUT",
    .has_client_name = false,
    .has_xclient = true,
    .redact_verbs = sieve_public,
    .front_new = sieve_front_new,
    .front_free = front_free,
    .greet = sieve_front_greet,
    .feed = sieve_front_feed,
    .auth_continue = sieve_front_auth_continue,
    .reply = sieve_front_reply,
    .success = sieve_front_success,
    .keepalive = front_no_keepalive,
    .tls_started = sieve_front_tls_started,
    .back_new = sieve_back_new,
    .back_free = sieve_back_free,
    .back_feed = sieve_back_feed,
    .back_tls_started = sieve_back_tls_started,
    .back_resume = sieve_back_resume,
    .watch_size = sizeof(struct sieve_watch),
    .watch_init = sieve_watch_init,
    .watch_feed = sieve_watch_feed,
    .farewell = sieve_farewell,
};
