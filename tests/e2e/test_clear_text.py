# SPDX-License-Identifier: ISC
"""A password never goes out in clear where TLS was asked for: servers that an auth server names, STARTTLS that is taken away, and defaults."""
import base64
import subprocess

import pytest
from conftest import backend
from harness import imap, wait
from harness.server import Server

USER, PASSWORD = "bob@example.org", "never-in-clear-7"
PROTOCOLS = ("imap", "pop3", "smtp", "sieve")

GREETING = {"imap": "* OK [CAPABILITY IMAP4rev1%s] hi\r\n", "pop3": "+OK hi\r\n", "smtp": "220 mx hi\r\n",
            "sieve": '"IMPLEMENTATION" "x"\r\n"SASL" "PLAIN"\r\n"VERSION" "1.0"\r\n%sOK\r\n'}
OFFER = {"imap": " STARTTLS", "sieve": '"STARTTLS"\r\n'}
REFUSAL = {"imap": "%s BAD no\r\n", "pop3": "-ERR no\r\n", "smtp": "454 4.7.0 no\r\n", "sieve": "NO\r\n"}
GO_AHEAD = {"imap": "%s OK go\r\n", "pop3": "+OK go\r\n", "smtp": "220 2.0.0 go\r\n", "sieve": "OK\r\n"}


class ClearServer(Server):
    """A mail server without TLS that takes every login. starttls: None = not offered, "refused", or "injected": agreed to, with more
    replies in clear behind the go-ahead."""

    def __init__(self, protocol, starttls=None):
        self.protocol, self.starttls, self.heard = protocol, starttls, b""
        super().__init__(self.dialogue)

    def reply(self, line):
        word = line.split(" ")
        tag = word[0]
        verb = (word[1] if self.protocol == "imap" and len(word) > 1 else word[0]).upper()
        if verb in ("STARTTLS", "STLS"):
            text = GO_AHEAD if self.starttls == "injected" else REFUSAL
            answer = text[self.protocol] % tag if self.protocol == "imap" else text[self.protocol]
            return answer + (self.ok("a1") * 4 if self.starttls == "injected" else "")
        if verb == "EHLO":
            return "250-mx\r\n" + ("250-STARTTLS\r\n" if self.starttls else "") + "250 AUTH PLAIN\r\n"
        if verb == "CAPA":
            return "+OK\r\nUSER\r\nSASL PLAIN\r\n" + ("STLS\r\n" if self.starttls else "") + ".\r\n"
        if verb == "CAPABILITY":
            return f"* CAPABILITY IMAP4rev1\r\n{tag} OK\r\n" if self.protocol == "imap" else GREETING["sieve"] % ""
        if verb == "AUTH" and self.protocol == "smtp":
            return "235 2.7.0 in\r\n"
        return self.ok(tag)

    def ok(self, tag):
        return {"imap": f"{tag} OK\r\n", "pop3": "+OK\r\n", "smtp": "250 2.0.0 ok\r\n", "sieve": "OK\r\n"}[self.protocol]

    def dialogue(self, client):
        greeting = GREETING[self.protocol]
        client.sendall((greeting % (OFFER[self.protocol] if self.starttls else "") if "%s" in greeting else greeting).encode())
        pending = b""
        while data := client.recv(65536):
            self.heard += data
            pending += data
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                client.sendall(self.reply(line.decode(errors="replace").strip()).encode())

    @property
    def has_password(self):
        return PASSWORD.encode() in self.heard or token(PASSWORD).encode() in self.heard


def token(password):
    return base64.b64encode(f"\0{USER}\0{password}".encode()).decode()


def dialogue(c, protocol, password):
    """Logs in; returns the final line of the proxy."""
    if protocol == "imap":
        c.line()
        return c.command("a", f"LOGIN {USER} {password}")[-1]
    if protocol == "pop3":
        c.line()
        c.send(f"USER {USER}\r\n")
        c.line()
        c.send(f"PASS {password}\r\n")
        return c.line()
    if protocol == "smtp":
        c.line()
        c.send("EHLO me\r\n")
        c.until("250 ")
        c.send(f"AUTH PLAIN {token(password)}\r\n")
        return c.line()
    c.until("OK")
    c.send(f'AUTHENTICATE "PLAIN" "{token(password)}"\r\n')
    return c.line()


def log_in(p, protocol, listener=None):
    c = imap.Lines(p.host, p.ports[listener or protocol])
    try:
        return dialogue(c, protocol, PASSWORD)
    finally:
        c.close()


def is_temporary(protocol, line):
    return {"imap": "[UNAVAILABLE]", "pop3": "-ERR [SYS/TEMP]", "smtp": "451 4.", "sieve": "NO (TRYLATER)"}[protocol] in line


def listener(protocol, pool=None, **more):
    pools = {"pool": pool} if pool else {}
    return {"name": f"{protocol}-{pool}" if pool else protocol, "protocol": protocol, "tls": "off", "allow_plaintext": True, **pools, **more}


@pytest.fixture
def proxy_to(make_proxy, settings, make_auth, dovecot2):
    """proxy_to(host, port, pools) has an auth server that names this server for every login, and for each pool a listener a protocol."""
    def make(host, port, pools, **more):
        auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": host, "Auth-Port": str(port)})
        settings["auth"] = [{"type": "http", "url": auth.url}]
        settings["pools"] = pools
        settings["listeners"] = [listener(proto, pool["name"]) for proto in PROTOCOLS for pool in pools] or [listener(p) for p in PROTOCOLS]
        settings.update(more)
        return make_proxy(settings)
    return make


def pools_of(dovecot2, ca=None, **secure):
    trust = {"ca_file": ca.cert} if ca else {}
    return [{"name": "plain", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot2)]},
            {"name": "secure", "tls": "starttls", "smtp_auth": True, **trust, "backends": [backend(dovecot2)], **secure}]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pool_of_the_listener_governs(proxy_to, dovecot2, protocol):
    """The first pool says clear text, the listener's TLS: what the listener's says counts for a server that is in neither."""
    server = ClearServer(protocol)
    p = proxy_to(server.host, server.port, pools_of(dovecot2))
    line = log_in(p, protocol, f"{protocol}-secure")
    assert is_temporary(protocol, line), line
    assert not server.has_password, server.heard
    log_in(p, protocol, f"{protocol}-plain")
    assert server.has_password  # where the pool says so in so many words
    server.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_secured_as_the_pool_says(proxy_to, dovecot1, dovecot2, ca, protocol):
    """A real server is reached with TLS as the listener's pool has it: unchecked here, checked (and found to have another name) there."""
    port = dovecot1.ports["submission" if protocol == "smtp" else protocol]
    pools = pools_of(dovecot2, ca) + [{"name": "unchecked", "tls": "starttls", "smtp_auth": True, "verify": False, "backends": [backend(dovecot2)]}]
    p = proxy_to(dovecot1.host, port, pools)
    wrong = log_in(p, protocol, f"{protocol}-secure")
    assert is_temporary(protocol, wrong), wrong
    p.wait_for_log("hostname mismatch")
    c = imap.Lines(p.host, p.ports[f"{protocol}-unchecked"])
    good = dialogue(c, protocol, "secret-b")
    assert good.startswith({"imap": "a OK", "pop3": "+OK", "smtp": "235", "sieve": "OK"}[protocol]), good
    session = p.sessions()[0]
    assert session["server_tls"].startswith("TLSv1."), session
    c.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("starttls", [None, "refused", "injected"])
def test_starttls_taken_away(proxy_to, dovecot2, protocol, starttls):
    """A server, or who stands before it, that does not offer STARTTLS, refuses it, or answers more than the go-ahead in clear."""
    server = ClearServer(protocol, starttls)
    p = proxy_to(server.host, server.port, pools_of(dovecot2), timeouts={"login": "3s"})
    line = log_in(p, protocol, f"{protocol}-secure")
    assert is_temporary(protocol, line), line
    assert not server.has_password, server.heard
    server.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_pools(proxy_to, protocol):
    server = ClearServer(protocol)
    p = proxy_to(server.host, server.port, [])
    line = log_in(p, protocol)
    assert is_temporary(protocol, line), line
    assert not server.has_password, server.heard
    server.close()


def test_pool_that_says_nothing(make_proxy, settings):
    server = ClearServer("imap")
    settings["auth"] = [{"type": "backend"}]
    settings["pools"] = [{"name": "main", "backends": [{"name": "b", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy(settings)
    line = log_in(p, "imap")
    assert is_temporary("imap", line), line
    assert not server.has_password
    server.close()


def test_route_governs_where_the_listener_has_no_pool(proxy_to, dovecot2):
    server = ClearServer("imap")
    p = proxy_to(server.host, server.port, pools_of(dovecot2), routes=[{"domain": "example.org", "pool": "secure"}],
                 listeners=[listener("imap")])
    assert is_temporary("imap", log_in(p, "imap"))
    assert not server.has_password
    server.close()


def test_same_address_in_two_pools(proxy_to):
    """The listener's pool counts, not the first one that lists the server."""
    server = ClearServer("imap")
    member = {"name": "b", "host": server.host, "ports": {"imap": server.port}}
    p = proxy_to(server.host, server.port, [{"name": "plain", "tls": "off", "backends": [member]},
                                            {"name": "secure", "tls": "starttls", "backends": [{**member, "name": "s"}]}])
    assert is_temporary("imap", log_in(p, "imap", "imap-secure"))
    assert not server.has_password
    log_in(p, "imap", "imap-plain")
    assert server.has_password
    server.close()


def refuse(client):
    client.sendall(b"220 mx hi\r\n")
    while data := client.recv(65536):
        for line in data.decode().splitlines():
            verb = line.split(" ")[0].upper()
            client.sendall(b"250-mx\r\n250 AUTH PLAIN\r\n" if verb == "EHLO" else
                           b"535 5.7.8 ask for a new one\r\n" if verb == "AUTH" else b"250 2.0.0 ok\r\n")


def test_words_of_a_named_server_are_passed(proxy_to, dovecot2):
    """pass_error of the listener's pool holds for servers in no pool, too."""
    server = Server(refuse)
    p = proxy_to(server.host, server.port, [{"name": "quiet", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot2)]},
                                            {"name": "open", "tls": "off", "smtp_auth": True, "pass_error": True, "backends": [backend(dovecot2)]}])
    assert log_in(p, "smtp", "smtp-open") == "535 5.7.8 ask for a new one"
    assert log_in(p, "smtp", "smtp-quiet").startswith("454 4.7.0")
    server.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_own_errors_are_not_passed(proxy_to, dovecot2, protocol):
    """Of what the sockets and the proxy itself say nothing reaches the client."""
    server = ClearServer(protocol)
    port = server.port
    pools = [{"name": "open", "tls": "off", "pass_error": True, "smtp_auth": True, "backends": [backend(dovecot2)]},
             {"name": "strict", "tls": "starttls", "pass_error": True, "smtp_auth": True, "backends": [backend(dovecot2)]}]
    p = proxy_to(server.host, port, pools)
    words = log_in(p, protocol, f"{protocol}-strict")
    assert is_temporary(protocol, words) and "offer" not in words.lower(), words
    server.close()
    words = log_in(p, protocol, f"{protocol}-open")
    assert is_temporary(protocol, words) and "refused" not in words, words
    wait.until(lambda: "connection refused" in p.log(), "the cause in the log")


def test_check_warns(make_proxy, settings):
    settings["auth"] = [{"type": "http", "url": "http://192.0.2.1/auth"}, {"type": "http", "url": "http://localhost/auth"}]
    settings["pools"] = []
    p = make_proxy(settings, start=False)
    done = subprocess.run([p.program, "-t", "-c", p.config], capture_output=True, text=True)
    assert done.returncode == 0
    text = done.stdout + done.stderr
    assert "auth[0].url: is not https://" in text and "auth[1].url" not in text
    assert "pools: is empty" in text and "STARTTLS" in text
