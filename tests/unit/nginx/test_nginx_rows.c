/* SPDX-License-Identifier: ISC */
/* Each directive of nginx: what becomes of it in our file, and what the report says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nginx/nginx_import.h"
#include "nginx_case.h"

#define PATH "/n/nginx.conf"

static int import(const char *text, struct nginx_result *ret)
{
    AUTO_FREE char *files = str_printf("=== " PATH "\n%s\n", text);
    struct str all = str_of(files);
    struct nginx_source source = nginx_case_source(&all);
    assert_non_null(files);
    return nginx_import(PATH, &source, ret);
}

/* A server that says nothing but what it must. */
#define MAIL(server) "mail { auth_http localhost:9000; server { " server " } }"
#define IMAP(more) MAIL("listen 143; " more)
#define POP3(more) MAIL("listen 110; " more)
#define SMTP(more) MAIL("listen 25; " more)
#define TLS(more) MAIL("listen 993 ssl; ssl_certificate c.pem; ssl_certificate_key /k.pem; " more)

static const struct row_case {
    const char *name; /* of the row */
    const char *text;
    const char *conf;   /* in our file; NULL = no line */
    const char *report; /* "name: verdict"; NULL = a default, not reported */
} cases[] = {
    {"user", "user www mail; " IMAP(""), "user = \"www\";", "user: approximate: state_dir"},
    {"user", "user www mail; " IMAP(""), "group = \"mail\";", "user: approximate: state_dir"},
    {"worker_processes", "worker_processes 4; " IMAP(""), "workers = 4;",
     "worker_processes: exact"},
    {"worker_processes", "worker_processes auto; " IMAP(""), "workers = 0;",
     "worker_processes: exact"},
    {"worker_processes", "worker_processes 500; " IMAP(""), "workers = 254;",
     "worker_processes: approximate"},
    {"worker_shutdown_timeout", "worker_shutdown_timeout 1h; " IMAP(""),
     "reload_session_timeout = \"1h\";", "worker_shutdown_timeout: exact"},
    {"error_log", "error_log /l; " IMAP(""), "path = \"/l\";\n    level = \"error\";",
     "error_log: exact"},
    {"error_log", "error_log /l; " IMAP("error_log /s notice;"),
     "path = \"/s\";\n    level = \"notice\";", "error_log: not used: no server uses it"},
    {"error_log", IMAP("error_log stderr debug;"), "level = \"debug\";", "error_log: exact"},
    {"error_log", IMAP("error_log logs/e.log;"), "target = \"stderr\";", "error_log: approximate"},
    {"error_log", IMAP("error_log syslog:server=unix:/dev/log,facility=local5 info;"),
     "facility = \"local5\";", "error_log: exact"},
    {"error_log", IMAP("error_log syslog:server=10.0.0.1 info;"),
     "server = \"10.0.0.1\";\n    facility = \"local7\";\n    hostname = true;",
     "error_log: exact"},
    {"error_log", IMAP("error_log syslog:server=[::1]:5140,tag=mx,severity=warn,nohostname;"),
     "tag = \"mx\";\n    hostname = false;", "error_log: exact"},
    {"error_log", IMAP("error_log syslog:server=log.test info;"), NULL, "error_log: no equal"},
    {"error_log",
     "mail { auth_http a; error_log /m; server { listen 143; error_log /i; } server { listen 110; "
     "} }",
     "log = [ \"log-1\" ];", "error_log: exact"},
    {"error_log",
     "mail { auth_http a; error_log /m; server { listen 143; error_log /i; } server { listen 110; "
     "} }",
     "name = \"log-1\";\n    default = false;", "error_log: exact"},
    {"error_log", IMAP("error_log memory:32m debug;"), NULL, "error_log: no equal"},
    {"error_log", IMAP("error_log /l\xae;"), NULL, "error_log: no equal"},
    {"error_log", IMAP("error_log 'syslog:server=unix:/\xae';"), NULL, "error_log: no equal"},
    {"server_name", IMAP("server_name mx.test;"), "server_name = \"mx.test\";",
     "server_name: exact"},
    {"listen", IMAP(""), "address = [ \"0.0.0.0:143\" ];", "listen: exact"},
    {"listen", IMAP("listen *:144; listen [::1]:143; listen unix:/s; listen 127.0.0.1:200-202;"),
     "address = [ \"0.0.0.0:143\", \"0.0.0.0:144\", \"[::1]:143\", \"unix:/s\", "
     "\"127.0.0.1:200\", \"127.0.0.1:201\", \"127.0.0.1:202\" ];",
     "listen: exact"},
    {"listen", IMAP("listen mx.test:144-145;"),
     "\"0.0.0.0:143\", \"mx.test:144\", \"mx.test:145\" ];", "listen: exact"},
    {"listen", IMAP("listen mx.test:143;"), "address = [ \"0.0.0.0:143\" ];", "listen: exact"},
    {"listen ssl", TLS("listen 143;"), "name = \"imaps\"", "listen: exact"},
    {"listen ssl", TLS("listen 143;"), "tls = \"implicit\";", "listen: exact"},
    {"listen proxy_protocol", IMAP("listen 1143 proxy_protocol; set_real_ip_from 10.0.0.0/8;"),
     "proxy_protocol_trusted = [ \"10.0.0.0/8\" ];", "listen: exact"},
    {"listen proxy_protocol", MAIL("listen 143 proxy_protocol;"),
     "proxy_protocol = [ \"0.0.0.0/0\", \"::/0\", \"unix:\" ];", "listen: exact"},
    {"listen proxy_protocol", MAIL("listen 143 proxy_protocol;"), "proxy_protocol_trusted = [ ];",
     "listen: exact"},
    {"listen bind", MAIL("listen 143 bind;"), "\"0.0.0.0:143\"", "listen: exact"},
    {"listen backlog=", MAIL("listen 143 backlog=77;"), "backlog = 77;", "listen: exact"},
    {"listen rcvbuf=", MAIL("listen 143 rcvbuf=64k;"), "so_rcvbuf = \"64k\";", "listen: exact"},
    {"listen sndbuf=", MAIL("listen 143 sndbuf=1m;"), "so_sndbuf = \"1m\";", "listen: exact"},
    {"listen ipv6only=", MAIL("listen [::]:143 ipv6only=off;"), "v6_only = false;",
     "listen: exact"},
    {"listen ipv6only=", MAIL("listen [::]:143;"), "v6_only = true;", "listen: exact"},
    {"listen so_keepalive=", MAIL("listen 143 so_keepalive=30m::10;"),
     "keepalive_idle = \"1800s\";", "listen: exact"},
    {"listen so_keepalive=", MAIL("listen 143 so_keepalive=on;"), "so_keepalive = true;",
     "listen: exact"},
    {"listen multipath", MAIL("listen 143 multipath;"), "multipath = true;", "listen: exact"},
    {"protocol", MAIL("listen 10143; protocol imap;"), "protocol = \"imap\";", "protocol: exact"},
    {"protocol", POP3(""), "protocol = \"pop3\";", NULL},
    {"set_real_ip_from",
     MAIL("listen 143 proxy_protocol; set_real_ip_from ::1; set_real_ip_from unix:;"),
     "proxy_protocol_trusted = [ \"::1\", \"unix:\" ];", "set_real_ip_from: exact"},
    {"set_real_ip_from", IMAP("set_real_ip_from lb.test;"), NULL, "set_real_ip_from: no equal"},
    {"timeout", IMAP("timeout 1m30s;"), "preauth = \"90s\";", "timeout: approximate"},
    {"timeout", IMAP("timeout '1h 30m';"), "preauth = \"90m\";", "timeout: approximate"},
    {"timeout", IMAP("timeout '1h  30m '; "), "preauth = \"90m\";", "timeout: approximate"},
    {"timeout", IMAP(""), "login = \"1m\";", NULL},
    {"max_errors", IMAP("max_errors 9;"), "max_errors = 9;", "max_errors: approximate"},
    {"max_errors", IMAP("max_errors 0;"), "max_errors = 1;", "max_errors: approximate"},
    {"max_commands", IMAP("max_commands 50;"), "max_commands = 50;", "max_commands: exact"},
    {"resolver", SMTP("resolver 127.0.0.1 [::1]:5353;"),
     "name_servers = [ \"127.0.0.1\", \"[::1]:5353\" ];", "resolver: exact"},
    {"resolver", SMTP("resolver dns.test;"), "enabled = true;", "resolver: no equal"},
    {"resolver", SMTP(""), "enabled = false;", NULL},
    {"resolver", IMAP("resolver 127.0.0.1;"), NULL, "resolver: not used: no server uses it"},
    {"resolver valid=", SMTP("resolver ::1 valid=30s;"), "valid = \"30s\";", "resolver: exact"},
    {"resolver ipv4=", SMTP("resolver ::1 ipv4=off;"), "no_ipv4 = true;", "resolver: exact"},
    {"resolver ipv6=", SMTP("resolver ::1 ipv6=on;"), "no_ipv6 = false;", "resolver: exact"},
    {"resolver_timeout", SMTP("resolver_timeout 5s;"), "timeout = \"5s\";",
     "resolver_timeout: exact"},
    {"auth_http", IMAP(""), "url = \"http://localhost:9000/\";", "auth_http: exact"},
    {"auth_http", IMAP("auth_http http://a.test/x?y=z;"), "url = \"http://a.test/x?y=z\";",
     "auth_http: exact"},
    {"auth_http", IMAP("auth_http unix:/run/a:/x;"), "url = \"http://unix:/run/a:/x\";",
     "auth_http: exact"},
    {"auth_http", IMAP("auth_http unix:/run/a;"), "url = \"http://unix:/run/a:/\";",
     "auth_http: exact"},
    {"auth_http_timeout", IMAP("auth_http_timeout 5s;"), "auth = \"5s\";",
     "auth_http_timeout: exact"},
    {"auth_http_header", IMAP("auth_http_header X-A \"a b\"; auth_http_header X-B 'c\"d';"),
     "headers = [ \"X-A: a b\", \"X-B: c\\\"d\" ];", "auth_http_header: exact"},
    {"auth_http_header", IMAP("auth_http_header X-A 'a\\nb';"), NULL, "auth_http_header: no equal"},
    {"auth_http_pass_client_cert", IMAP("auth_http_pass_client_cert on;"), "client_cert = true;",
     "auth_http_pass_client_cert: exact"},
    {"proxy", IMAP("proxy on;"), NULL, "proxy: exact"},
    {"proxy_buffer", IMAP("proxy_buffer 8k;"), NULL, "proxy_buffer: exact"},
    {"proxy_timeout", IMAP(""), "relay_idle = \"1d\";", NULL},
    {"proxy_timeout", IMAP("proxy_timeout 10m;"), "relay_idle = \"10m\";", "proxy_timeout: exact"},
    {"proxy_pass_error_message", IMAP("proxy_pass_error_message on;"), "pass_error = true;",
     "proxy_pass_error_message: exact"},
    {"xclient", SMTP(""), "forward = [ \"xclient-forced\" ];", NULL},
    {"xclient", SMTP("xclient off;"), NULL, "xclient: exact"},
    {"proxy_smtp_auth", SMTP("proxy_smtp_auth on;"), "smtp_auth = \"forced\";",
     "proxy_smtp_auth: exact"},
    {"proxy_protocol", IMAP("proxy_protocol v2;"), "forward = [ \"proxy-v2\" ];",
     "proxy_protocol: exact"},
    {"proxy_protocol", SMTP("proxy_protocol on;"),
     "forward = [ \"xclient-forced\", \"proxy-v1\" ];", "proxy_protocol: exact"},
    {"ssl", MAIL("listen 143; ssl on; ssl_certificate c; ssl_certificate_key k;"),
     "tls = \"implicit\";", "ssl: exact"},
    {"starttls", IMAP(""), "tls = \"off\";", NULL},
    {"starttls", IMAP(""), "allow_plaintext = true;", NULL},
    {"starttls", IMAP("starttls on; ssl_certificate c; ssl_certificate_key k;"),
     "tls = \"starttls\";", "starttls: exact"},
    {"starttls", IMAP("starttls only; ssl_certificate c; ssl_certificate_key k;"),
     "tls = \"required\";", "starttls: exact"},
    {"ssl_certificate", TLS(""), "certificates = ( { cert = \"/n/c.pem\"; key = \"/k.pem\"; } );",
     "ssl_certificate: exact"},
    {"ssl_certificate", TLS("ssl_certificate d; ssl_certificate_key e;"),
     "}, { cert = \"/n/d\"; key = \"/n/e\"; } );", "ssl_certificate: exact"},
    {"ssl_certificate_key",
     TLS("ssl_certificate d; ssl_certificate_key e; ssl_certificate_key engine:x:y;"), NULL,
     "ssl_certificate_key: no equal"},
    {"ssl_certificate_key",
     MAIL("listen 993 ssl; ssl_certificate c; ssl_certificate_key engine:x:y;"),
     "tls = \"implicit\";", "ssl_certificate: approximate: left out where"},
    {"ssl_certificate_key",
     MAIL("listen 993 ssl; ssl_certificate c; ssl_certificate d; ssl_certificate_key store:x; "
          "ssl_certificate_key k;"),
     "certificates = ( { cert = \"/n/d\"; key = \"/n/k\"; } );", "ssl_certificate_key: no equal"},
    {"ssl_certificate",
     MAIL("listen 993 ssl; ssl_certificate c; ssl_certificate data:x; ssl_certificate_key j; "
          "ssl_certificate_key k;"),
     "certificates = ( { cert = \"/n/c\"; key = \"/n/j\"; } );", "ssl_certificate: no equal"},
    {"ssl_certificate",
     "mail { auth_http a; ssl_certificate c; server { listen 993 ssl; ssl_certificate_key "
     "engine:x; "
     "} server { listen 995 ssl; ssl_certificate_key k; } }",
     "certificates = ( { cert = \"/n/c\"; key = \"/n/k\"; } );", "ssl_certificate: approximate"},
    {"ssl_password_file", TLS("ssl_password_file p;"), "password_file = \"/n/p\";",
     "ssl_password_file: exact"},
    {"ssl_certificate_compression", TLS("ssl_certificate_compression on;"), NULL,
     "ssl_certificate_compression: approximate"},
    {"ssl_certificate_compression", TLS("ssl_certificate_compression off;"), NULL,
     "ssl_certificate_compression: exact"},
    {"ssl_protocols", TLS("ssl_protocols TLSv1.3;"),
     "\"NONE:+VERS-TLS1.3:+AES-256-GCM:", "ssl_protocols: exact"},
    {"ssl_protocols", TLS("ssl_protocols SSLv3 TLSv1.2;"),
     "\"NONE:+VERS-TLS1.2:", "ssl_protocols: approximate"},
    {"ssl_ciphers", TLS("ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256; ssl_protocols TLSv1.2;"),
     "\"NONE:+VERS-TLS1.2:+ECDHE-RSA:+AES-128-GCM:+AEAD:", "ssl_ciphers: exact"},
    {"ssl_ciphers", TLS("ssl_ciphers RC4; ssl_protocols TLSv1.2;"), NULL, "ssl_ciphers: no equal"},
    {"ssl_prefer_server_ciphers", TLS("ssl_prefer_server_ciphers on;"), ":%SERVER_PRECEDENCE\";",
     "ssl_prefer_server_ciphers: exact"},
    {"ssl_ecdh_curve", TLS("ssl_ecdh_curve X25519;"), ":+GROUP-X25519\";", "ssl_ecdh_curve: exact"},
    {"ssl_conf_command", TLS("ssl_conf_command MinProtocol TLSv1.3;"), "\"NONE:+VERS-TLS1.3:+AES",
     "ssl_conf_command: exact"},
    {"ssl_conf_command", TLS("ssl_conf_command Options -SessionTicket,ServerPreference;"),
     "tickets = false;", "ssl_conf_command: exact"},
    {"ssl_conf_command",
     TLS("ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_protocols TLSv1.3;"),
     "+VERS-TLS1.3:+AES-128-GCM:+AEAD", "ssl_conf_command: exact"},
    {"ssl_conf_command", TLS("ssl_conf_command RecordPadding 512;"), NULL,
     "ssl_conf_command: no equal"},
    {"ssl_dhparam", TLS("ssl_dhparam dh.pem;"), "dh_params = \"/n/dh.pem\";", "ssl_dhparam: exact"},
    {"ssl_session_cache", TLS("ssl_session_cache shared:M:1m;"), NULL,
     "ssl_session_cache: approximate"},
    {"ssl_session_cache", TLS("ssl_session_cache off;"), NULL, "ssl_session_cache: exact"},
    {"ssl_session_timeout", TLS("ssl_session_timeout 1d;"), "session_timeout = \"1d\";",
     "ssl_session_timeout: exact"},
    {"ssl_session_tickets", TLS("ssl_session_tickets off;"), "tickets = false;",
     "ssl_session_tickets: exact"},
    {"ssl_session_ticket_key", TLS("ssl_session_ticket_key t;"), "ticket_key = \"/n/t\";",
     "ssl_session_ticket_key: exact"},
    {"ssl_session_ticket_key", TLS("ssl_session_ticket_key t; ssl_session_ticket_key u;"),
     "ticket_key = \"/n/t\";", "ssl_session_ticket_key: approximate"},
    {"ssl_verify_client", TLS("ssl_verify_client on; ssl_client_certificate ca;"),
     "client_auth = \"required\";", "ssl_verify_client: exact"},
    {"ssl_verify_client", TLS("ssl_verify_client optional_no_ca;"),
     "client_auth = \"optional_no_ca\";", "ssl_verify_client: exact"},
    {"ssl_verify_depth", TLS("ssl_verify_depth 3;"), "verify_depth = 3;",
     "ssl_verify_depth: exact"},
    {"ssl_client_certificate", TLS("ssl_client_certificate ca;"), "client_ca = \"/n/ca\";",
     "ssl_client_certificate: exact"},
    {"ssl_trusted_certificate", TLS("ssl_trusted_certificate ca;"), "client_ca = \"/n/ca\";",
     "ssl_trusted_certificate: approximate"},
    {"ssl_trusted_certificate", TLS("ssl_trusted_certificate ca; ssl_client_certificate cb;"),
     "client_ca = \"/n/cb\";", "ssl_trusted_certificate: no equal"},
    {"ssl_crl", TLS("ssl_crl crl;"), "client_crl = \"/n/crl\";", "ssl_crl: exact"},
    {"imap_client_buffer", IMAP("imap_client_buffer 16k;"), "literal = \"16k\";",
     "imap_client_buffer: exact"},
    {"imap_client_buffer", IMAP("imap_client_buffer 128k;"), "preauth = \"256k\";",
     "imap_client_buffer: exact"},
    {"listen", IMAP("listen unix:relative;"), "\"0.0.0.0:143\" ];", "listen: no equal"},
    {"listen", IMAP("listen 127.0.0.1:143;"), "address = [ \"0.0.0.0:143\" ];", "listen: exact"},
    {"imap_client_buffer", IMAP("imap_client_buffer 128;"), "line = \"512\";",
     "imap_client_buffer: approximate"},
    {"imap_capabilities", IMAP(""), "capabilities = [ \"IMAP4\", \"IMAP4rev1\", \"UIDPLUS\" ];",
     NULL},
    {"imap_capabilities", IMAP("imap_capabilities IMAP4rev1 \"X Y\";"),
     "capabilities = [ \"IMAP4rev1\", \"X Y\" ];", "imap_capabilities: exact"},
    {"imap_auth", IMAP(""), "mechanisms = [ \"PLAIN\", \"COMMAND\" ];", NULL},
    {"imap_auth", IMAP("imap_auth plain login cram-md5 external;"),
     "mechanisms = [ \"PLAIN\", \"LOGIN\", \"CRAM-MD5\", \"EXTERNAL\", \"COMMAND\" ];",
     "imap_auth: exact"},
    {"imap_auth", IMAP("imap_auth external;"), "external = \"any\";", "imap_auth: exact"},
    {"imap_auth", IMAP("imap_auth cram-md5;"), "hidden_mechanisms = [ \"PLAIN\", \"LOGIN\" ];",
     "imap_auth: exact"},
    {"imap_auth", IMAP("imap_auth plain login;"), NULL, "imap_auth: exact"},
    {"imap_auth", IMAP("imap_auth plain;"), "hidden_mechanisms = [ \"LOGIN\" ];",
     "imap_auth: exact"},
    {"pop3_auth", POP3("pop3_auth plain;"), NULL, "pop3_auth: exact"},
    {"pop3_capabilities", POP3(""), "capabilities = [ \"TOP\", \"USER\", \"UIDL\" ];", NULL},
    {"pop3_auth", POP3("pop3_auth plain login;"),
     "mechanisms = [ \"PLAIN\", \"LOGIN\", \"COMMAND\" ];", "pop3_auth: exact"},
    {"pop3_auth", POP3("pop3_auth apop;"), "mechanisms = [ \"APOP\", \"COMMAND\" ];",
     "pop3_auth: exact"},
    {"smtp_client_buffer", SMTP("smtp_client_buffer 8k;"), "line = \"8k\";",
     "smtp_client_buffer: exact"},
    {"smtp_greeting_delay", SMTP("smtp_greeting_delay 500ms;"), "greeting_delay = \"500ms\";",
     "smtp_greeting_delay: exact"},
    {"smtp_capabilities", SMTP("smtp_capabilities \"SIZE 10\" DSN;"),
     "capabilities = [ \"SIZE 10\", \"DSN\" ];", "smtp_capabilities: exact"},
    {"smtp_capabilities", SMTP(""), "capabilities = [ ];", NULL},
    {"smtp_auth", SMTP(""), "mechanisms = [ \"PLAIN\", \"LOGIN\" ];", NULL},
    {"smtp_auth", SMTP("smtp_auth none;"), "auth = \"none\";", "smtp_auth: exact"},
    {"smtp_auth", SMTP("smtp_auth none;"), "mechanisms = [ ];", "smtp_auth: exact"},
    {"smtp_auth", SMTP("smtp_auth none;"), "hidden_mechanisms = [ \"PLAIN\", \"LOGIN\" ];",
     "smtp_auth: exact"},
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct row_case *c = &cases[i];
        struct nginx_result r = {0};
        int err = import(c->text, &r);
        const char *conf = buf_cstr(&r.conf), *report = buf_cstr(&r.report);
        if (err < 0 || (c->conf && !strstr(conf, c->conf)) ||
            (c->report && !strstr(report, c->report)))
            print_error("%s\n%.*s%s\n%s\n", c->text, STR_ARG(buf_str(&r.error)), conf, report);
        assert_int_equal(err, 0);
        if (c->conf)
            assert_non_null(strstr(conf, c->conf));
        if (c->report)
            assert_non_null(strstr(report, c->report));
        nginx_result_fini(&r);
    }
}

/* ---- numbers beyond the bounds of our keys ---- */

static void test_bounds(void **state)
{
    static const struct {
        const char *text, *conf, *report;
    } bounds[] = {
        {"worker_processes 99999999999; " IMAP(""), "workers = 254;",
         "worker_processes: approximate: workers is at most 254"},
        {"worker_shutdown_timeout 2d; " IMAP(""), "\nshutdown_timeout = \"1d\";",
         "worker_shutdown_timeout: approximate: shutdown_timeout is at most 1d"},
        {"worker_shutdown_timeout 2d; " IMAP(""), "\nreload_session_timeout = \"2d\";",
         "worker_shutdown_timeout: approximate"},
        {IMAP("max_errors 100000;"), "max_errors = 1000;",
         "max_errors: approximate: max_errors is at most 1000"},
        {IMAP("timeout 10ms;"), "preauth = \"100ms\";",
         "timeout: approximate: timeouts.preauth is at least 100ms"},
        {SMTP("smtp_greeting_delay 2m;"), "greeting_delay = \"1m\";",
         "smtp_greeting_delay: approximate: greeting_delay is at most 1m"},
        {IMAP("auth_http_timeout 2h;"), "  timeout = \"1h\";",
         "auth_http_timeout: approximate: timeout is at most 1h"},
        {IMAP("auth_http_timeout 50ms;"), "  auth = \"100ms\";",
         "auth_http_timeout: approximate: timeouts.auth is at least 100ms"},
        {SMTP("resolver 127.0.0.1 valid=7d;"), "valid = \"1d\";",
         "resolver: approximate: resolver.valid is at most 1d"},
        {SMTP("resolver_timeout 1h;"), "timeout = \"10m\";",
         "resolver_timeout: approximate: resolver.timeout is at most 10m"},
        {IMAP("proxy_timeout 500ms;"), "relay_idle = \"1s\";",
         "proxy_timeout: approximate: timeouts.relay_idle is at least 1s"},
        {TLS("ssl_verify_depth 20;"), "verify_depth = 16;",
         "ssl_verify_depth: approximate: verify_depth is at most 16"},
        {IMAP("imap_client_buffer 128;"), "literal = \"128\";",
         "imap_client_buffer: approximate: limits.line is at least 512"},
        {SMTP("smtp_client_buffer 1g;"), "line = \"1m\";",
         "smtp_client_buffer: approximate: limits.line is at most 1m"},
        {MAIL("listen 143 backlog=100000;"), "backlog = 65535;",
         "listen: approximate: backlog is at most 65535"},
        {MAIL("listen 143 rcvbuf=1g;"), "so_rcvbuf = \"64m\";",
         "listen: approximate: so_rcvbuf is at most 64m"},
        {MAIL("listen 143 so_keepalive=1d::;"), "keepalive_idle = \"32767s\";",
         "listen: approximate: keepalive_idle is at most 32767s"},
        {MAIL("listen 143 so_keepalive=::200;"), "keepalive_count = 127;",
         "listen: approximate: keepalive_count is at most 127"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        struct nginx_result r = {0};
        assert_int_equal(import(bounds[i].text, &r), 0);
        const char *conf = buf_cstr(&r.conf), *report = buf_cstr(&r.report);
        if (!strstr(conf, bounds[i].conf) || !strstr(report, bounds[i].report))
            print_error("%s\n%s\n%s\n", bounds[i].text, conf, report);
        assert_non_null(strstr(conf, bounds[i].conf));
        assert_non_null(strstr(report, bounds[i].report));
        nginx_result_fini(&r);
    }
}

static void on_row(void *arg, const char *name, const char *keys, const char *verdict,
                   const char *words)
{
    size_t *n = arg;
    bool is_tried = false;
    (void)keys;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        is_tried = is_tried || strcmp(cases[i].name, name) == 0;
    if (!is_tried)
        print_error("%s has no case here\n", name);
    assert_true(is_tried);
    assert_true(strcmp(verdict, "exact") == 0 || *words);
    (*n)++;
}

static void test_all_rows_have_a_case(void **state)
{
    size_t n = 0;
    assert_int_equal(nginx_each_directive(on_row, &n), 0);
    assert_true(n > 50);
}

/* ---- inheritance ---- */

static void test_inheritance(void **state)
{
    static const struct {
        const char *text, *yes, *no;
    } trees[] = {
        /* what all servers have is at the top */
        {"mail { auth_http a; timeout 9s; server { listen 143; } server { listen 110; } }",
         "\ntimeouts = {\n  preauth = \"9s\";", "    timeouts = {"},
        /* a server's own stands in its listener; the others keep the top's */
        {"mail { auth_http a; server { listen 143; } server { listen 110; timeout 7s; } server { "
         "listen 25; } }",
         "    timeouts = {\n      preauth = \"7s\"; ", "\ntimeouts = {\n  preauth = \"7s\""},
        /* lists replace, they are not added up */
        {"mail { auth_http a; auth_http_header A 1; auth_http_header B 2; server { listen 143; "
         "auth_http_header C 3; } }",
         "headers = [ \"C: 3\" ];", "A: 1"},
        /* a name that only one server has is no name for all */
        {"mail { auth_http a; server { listen 143; server_name x; } server { listen 110; } }",
         "    server_name = \"x\";", "\nserver_name"},
        /* one auth server needs no name */
        {"mail { auth_http a; server { listen 143; } server { listen 110; auth_http a; } }",
         "url = \"http://a/\";", "providers"},
        {"mail { auth_http a; server { listen 143; } server { listen 110; auth_http b; } }",
         "providers = [ \"auth-2\" ];", NULL},
        /* pools that are equal are one */
        {"mail { auth_http a; server { listen 143; } server { listen 110; } server { listen 25; } "
         "server { listen 587; xclient off; } }",
         "pool = \"smtp\";", "mail-2"},
        /* certificates of one server only */
        {"mail { auth_http a; ssl_certificate c; ssl_certificate_key k; server { listen 993 ssl; } "
         "server { listen 995 ssl; ssl_certificate d; ssl_certificate_key e; } server { listen 25; "
         "} }",
         "    tls_options = {\n      certificates = ( { cert = \"/n/d\"", NULL},
        {"mail { auth_http a; server { listen 993; listen 994; protocol imap; } }",
         "name = \"imap\";", "imap-2"},
        {"mail { auth_http a; server { listen 143; } server { listen 144; protocol imap; } }",
         "name = \"imap-2\";", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
        struct nginx_result r = {0};
        assert_int_equal(import(trees[i].text, &r), 0);
        const char *conf = buf_cstr(&r.conf);
        if (!strstr(conf, trees[i].yes) || (trees[i].no && strstr(conf, trees[i].no)))
            print_error("%s\n%s\n", trees[i].text, conf);
        assert_non_null(strstr(conf, trees[i].yes));
        assert_true(!trees[i].no || !strstr(conf, trees[i].no));
        nginx_result_fini(&r);
    }
}

/* Each server keeps its own, and what the mail block says where it says nothing; IMAP has none. */
static void test_resolvers(void **state)
{
    struct nginx_result r = {0};
    assert_int_equal(import("mail { auth_http a;\nresolver ::1 valid=9s;\nresolver_timeout 9s;\n"
                            "server { listen 25; }\nserver { listen 587; resolver ::2; }\n"
                            "server { listen 465; resolver_timeout 8s; }\nserver { listen 143; } }",
                            &r),
                     0);
    static const char *const listeners[] = {
        "\"smtp\";",         "enabled = true;",   "[ \"::1\" ];",    "valid = \"9s\";",
        "timeout = \"9s\";", "\"submission\";",   "enabled = true;", "[ \"::2\" ];",
        "timeout = \"9s\";", "\"smtp-2\";",       "enabled = true;", "[ \"::1\" ];",
        "valid = \"9s\";",   "timeout = \"8s\";", "\"imap\";"};
    const char *at = strstr(buf_cstr(&r.conf), "listeners = (");
    assert_null(strstr(buf_cstr(&r.conf), "\nresolver = "));
    for (size_t i = 0; i < ARRAY_LEN(listeners); i++) {
        const char *next = at ? strstr(at, listeners[i]) : NULL;
        if (!next)
            print_error("no %s\n%s\n", listeners[i], buf_cstr(&r.conf));
        assert_non_null(next);
        at = next;
    }
    assert_null(strstr(at, "name_servers"));
    static const char *const exact[] = {":2: resolver: exact", ":3: resolver_timeout: exact",
                                        ":5: resolver: exact", ":6: resolver_timeout: exact"};
    for (size_t i = 0; i < ARRAY_LEN(exact); i++)
        assert_non_null(strstr(buf_cstr(&r.report), exact[i]));
    nginx_result_fini(&r);
}

/* ---- what nginx would refuse, too ---- */

static void test_errors(void **state)
{
    static const char *const errors[][2] = {
        {"events { }", PATH ":1: there is no mail{} in it"},
        {"mail { }", PATH ":1: mail: there is no server in it"},
        {"mail { auth_http a; server { listen 143; } }\nmail { }",
         PATH ":2: mail: directive is duplicate"},
        {"mail { auth_http a;\nserver { } }", PATH ":2: server: no \"listen\" is defined"},
        {"mail { server { listen 143; } }", PATH ":1: server: no \"auth_http\" is defined"},
        {"mail { auth_http a; server { listen 2; } }",
         PATH ":1: server: unknown mail protocol: \"protocol\" is missing"},
        {IMAP("protocol sieve;"), PATH ":1: protocol: unknown protocol \"sieve\""},
        {IMAP("protocol 'ap p';"), PATH ":1: protocol: unknown protocol \"ap p\""},
        {IMAP("timeout 1s; timeout 2s;"), PATH ":1: timeout: directive is duplicate"},
        {IMAP("timeout;"), PATH ":1: timeout: invalid number of arguments"},
        {IMAP("timeout 1 2;"), PATH ":1: timeout: invalid number of arguments"},
        {IMAP("timeout soon;"), PATH ":1: timeout: \"soon\" is no time"},
        {IMAP("timeout '90 s';"), PATH ":1: timeout: \"90 s\" is no time"},
        {IMAP("timeout ' 90s';"), PATH ":1: timeout: \" 90s\" is no time"},
        {IMAP("timeout { }"), PATH ":1: timeout: directive is not terminated by \";\""},
        {"mail { listen 143; server { } }", PATH ":1: listen: directive is not allowed here"},
        {"timeout 1s; mail { }", PATH ":1: timeout: directive is not allowed here"},
        {MAIL("listen 143; listen 143;"),
         PATH ":1: listen: duplicate \"0.0.0.0:143\" address and port pair"},
        {MAIL("listen 127.0.0.1:143; listen 143;"),
         PATH ":1: listen: port 143 has the address 0.0.0.0 and others besides: it takes "
              "connections to all, so leave the others out"},
        {"mail { auth_http a; server { listen [::]:143; } server { listen [::1]:143; } }",
         PATH ":1: listen: port 143 has the address [::] and others besides: it takes connections "
              "to all, so leave the others out"},
        {"mail { auth_http a; server { listen 10.0.0.1:143; listen [::1]:143; } server { listen "
         "143; } }",
         PATH ":1: listen: port 143 has the address 0.0.0.0 and others besides: it takes "
              "connections to all, so leave the others out"},
        {MAIL("protocol imap; listen unix:/s; listen unix:/s;"),
         PATH ":1: listen: duplicate \"unix:/s\" address"},
        {MAIL("listen 143 reuseport;"), PATH ":1: listen: invalid parameter \"reuseport\""},
        {MAIL("listen 99999;"), PATH ":1: listen: \"99999\" is no address with a port"},
        {MAIL("listen 127.0.0.1;"), PATH ":1: listen: \"127.0.0.1\" is no address with a port"},
        {IMAP("starttls on;"), PATH ":1: server: no \"ssl_certificate\" is defined"},
        {IMAP("starttls maybe;"), PATH ":1: starttls: invalid value \"maybe\""},
        {MAIL("listen 993 ssl; ssl_certificate c;"),
         PATH ":1: ssl_certificate: no \"ssl_certificate_key\" is defined for it"},
        {MAIL("listen 993 ssl; ssl_certificate c; ssl_certificate d; ssl_certificate_key data:x;"),
         PATH ":1: ssl_certificate: no \"ssl_certificate_key\" is defined for it"},
        {TLS("ssl_verify_client on;"),
         PATH ":1: server: no ssl_client_certificate for ssl_verify_client"},
        {IMAP("imap_auth none;"), PATH ":1: imap_auth: invalid value \"none\""},
        {IMAP("auth_http https://a/;"),
         PATH ":1: auth_http: nginx speaks no https to auth servers"},
        {IMAP("proxy_protocol v3;"), PATH ":1: proxy_protocol: must be \"on\", \"v2\" or \"off\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct nginx_result r = {0};
        int err = import(errors[i][0], &r);
        if (err != -ERR_CONFIG)
            print_error("%s\n", errors[i][0]);
        assert_int_equal(err, -ERR_CONFIG);
        assert_string_equal(buf_cstr(&r.error), errors[i][1]);
        nginx_result_fini(&r);
    }
}

/* Addresses are counted for all servers together, before anything is done with them. */
static void test_many_addresses(void **state)
{
    AUTO_BUF text = BUF_INIT;
    struct nginx_result r = {0};
    assert_int_equal(buf_append_c(&text, "mail { auth_http a; "), 0);
    for (int i = 0; i < 128; i++)
        assert_int_equal(buf_printf(&text,
                                    "server { protocol imap; listen 127.0.%d.1:1-4; "
                                    "listen 127.0.%d.2:1-3; listen unix:/s%d;\n }",
                                    i, i, i),
                         0);
    assert_int_equal(buf_append_c(&text, "}"), 0);
    assert_int_equal(import(buf_cstr(&text), &r), -ERR_CONFIG);
    assert_string_equal(buf_cstr(&r.error),
                        PATH ":126: listen: there are more than 1000 addresses");
    nginx_result_fini(&r);
    assert_int_equal(import(MAIL("listen 1-1000; protocol imap;"), &r), 0);
    nginx_result_fini(&r);
    assert_int_equal(import(MAIL("listen 1-1001; protocol imap;"), &r), -ERR_CONFIG);
    nginx_result_fini(&r);
}

#define PATH_53 "/12345678901234567890123456789012345678901234567890/s"

/* As long as the kernel takes them: 107 bytes. */
static void test_long_sockets(void **state)
{
    struct nginx_result r = {0};
    assert_int_equal(import(MAIL("protocol imap; listen unix:/" PATH_53 PATH_53 ";"), &r), 0);
    assert_non_null(strstr(buf_cstr(&r.conf), "\"unix:/" PATH_53 PATH_53 "\""));
    nginx_result_fini(&r);
    assert_int_equal(import(MAIL("protocol imap; listen unix://" PATH_53 PATH_53 ";"), &r),
                     -ERR_CONFIG);
    nginx_result_fini(&r);
}

/* Our file takes 64 auth servers. */
static void test_many_auth_servers(void **state)
{
    for (int n = 64; n <= 65; n++) {
        AUTO_BUF text = BUF_INIT;
        struct nginx_result r = {0};
        assert_int_equal(buf_append_c(&text, "mail {\n"), 0);
        for (int i = 1; i <= n; i++)
            assert_int_equal(
                buf_printf(&text, "server { protocol imap; listen %d; auth_http a%d; }\n", i, i),
                0);
        assert_int_equal(buf_append_c(&text, "}"), 0);
        assert_int_equal(import(buf_cstr(&text), &r), n > 64 ? -ERR_CONFIG : 0);
        assert_string_equal(buf_cstr(&r.error),
                            n > 64 ? PATH ":66: server: there are more than 64 auth servers, or "
                                          "ways to ask them"
                                   : "");
        nginx_result_fini(&r);
    }
}

static void test_unknown(void **state)
{
    struct nginx_result r = {0};
    assert_int_equal(import("pid p; http { } " IMAP("limit_rate 1k; extra { a b; }"), &r), 0);
    const char *report = buf_cstr(&r.report);
    assert_non_null(strstr(report, "pid: passed over"));
    assert_non_null(strstr(report, "http: passed over"));
    assert_non_null(strstr(report, "limit_rate: no equal: unknown"));
    assert_non_null(strstr(report, "extra: no equal: unknown"));
    assert_int_equal(r.n_no_equal, 2);
    assert_int_equal(r.n_passed, 2);
    nginx_result_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),         cmocka_unit_test(test_all_rows_have_a_case),
        cmocka_unit_test(test_inheritance),  cmocka_unit_test(test_errors),
        cmocka_unit_test(test_unknown),      cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_long_sockets), cmocka_unit_test(test_many_auth_servers),
        cmocka_unit_test(test_resolvers),    cmocka_unit_test(test_many_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
