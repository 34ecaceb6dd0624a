# SPDX-License-Identifier: ISC
"""Lessons of other mail proxies' security history: each of their holes has a test here."""
import base64
import imaplib
import socket
import ssl

import pytest
from conftest import backend
from harness import dns, imap, sasl, wait
from harness.server import Server

USER, PASSWORD = "alice@example.org", "secret-a"


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Script(Server):
    """A mail server that says hello and answers each line by the first rule whose prefix it has; lines are kept."""

    def __init__(self, hello, rules):
        self.hello, self.rules, self.heard = hello, rules, []
        super().__init__(self.talk)

    def talk(self, client):
        file = client.makefile("rwb", buffering=0)
        file.write(self.hello)
        for line in file:
            self.heard.append(line.decode(errors="replace").rstrip("\r\n"))
            for prefix, reply in self.rules:
                if line.upper().startswith(prefix):
                    file.write(reply)
                    break


@pytest.fixture
def script():
    made = []

    def make(hello, rules):
        made.append(Script(hello, rules))
        return made[-1]
    yield make
    for s in made:
        s.close()


SMTP_RULES = [(b"EHLO", b"250-mx\r\n250-PIPELINING\r\n250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN\r\n250 8BITMIME\r\n"),
              (b"XCLIENT", b"220 mx\r\n"), (b"DATA", b"354 go\r\n"), (b"QUIT", b"221 bye\r\n"), (b"", b"250 ok\r\n")]


@pytest.fixture
def make(make_proxy, settings, dovecot1):
    def make(listeners, auth=None, pools=None, **more):
        settings["listeners"] = listeners
        settings["resolver"] = {"enabled": False}
        settings["pools"] = pools or [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot1)]}]
        if auth:
            settings["auth"] = auth
        settings.update(more)
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD)
        return p
    return make


def listener(protocol, **more):
    return {"name": protocol, "protocol": protocol, "tls": "starttls", "allow_plaintext": True, **more}


def server(s, protocol):
    return {"name": "scripted", "host": s.host, "ports": {protocol: s.port}}


# ---- CR, LF and NUL ----

@pytest.mark.parametrize("secret", ["pw\r\nDELE 1", "pw\nx", "p\0w"])
@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_line_ends_in_credentials_never_reach_a_backend(make, script, protocol, secret):
    hello = {"imap": b"* OK [CAPABILITY IMAP4rev1] hi\r\n", "pop3": b"+OK hi\r\n", "smtp": b"220 mx\r\n"}[protocol]
    s = script(hello, {"imap": [(b"", b"* NO\r\n")], "pop3": [(b"", b"-ERR\r\n")], "smtp": SMTP_RULES}[protocol])
    p = make([listener(protocol)], auth=[{"type": "backend"}],
             pools=[{"name": "main", "tls": "off", "smtp_auth": True, "backends": [server(s, protocol)], "check": {"enabled": False}}])
    c = imap.Lines(p.host, p.ports[protocol])
    c.line()
    dialogue = {"imap": sasl.imap, "pop3": sasl.pop3, "smtp": sasl.smtp}[protocol](c)
    line = dialogue.run("PLAIN", iter([f"\0{USER}\0{secret}".encode()]))
    assert line.startswith(("a NO", "a BAD", "-ERR", "4", "5")), line
    c.close()
    assert not [x for x in s.heard if "DELE" in x or "pw" in x]


def test_line_ends_are_escaped_for_the_auth_server(make, make_auth):
    """NGINX 0.3.38 sent them raw."""
    auth = make_auth(lambda h: {"Auth-Status": "no", "Auth-Wait": "1"})
    p = make([listener("imap")], auth=[{"type": "http", "url": auth.url}])
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send('a LOGIN {9+}\r\nu\r\nX-Y: z "p w"\r\n')
    assert c.until("a ")[-1].startswith(("a NO", "a BAD"))
    c.close()
    for h in auth.requests:
        assert "X-Y" not in h and h["Auth-User"] == "u%0D%0AX-Y:%20z"


@pytest.mark.parametrize("helo", ["a\rb", "a\0b", "a b", "x" * 1000, "<script>", "a\x7fb"])
def test_bad_helo_names(make, script, helo):
    s = script(b"220 mx\r\n", SMTP_RULES)
    p = make([listener("smtp", auth="none")], auth=[{"type": "users"}],
             pools=[{"name": "main", "tls": "off", "forward": "xclient", "backends": [server(s, "smtp")], "check": {"enabled": False}}])
    c = imap.Lines(p.host, p.ports["smtp"])
    c.line()
    c.send(f"EHLO {helo}\r\n".encode())
    c.line()
    c.send(b"HELO good.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n")
    wait.until(lambda: [x for x in s.heard if x.startswith("RCPT")], "the recipient")
    c.close()
    assert all(helo not in x for x in s.heard)


NAMES = {
    "good": ("client.test", ["127.0.0.1"]),
    "line end": ([b"evil\r\nX-Injected: 1", b"test"], []),
    "blank": ([b"evil name", b"test"], []),
    "not confirmed": ("liar.test", ["192.0.2.55"]),
    "unknown": (None, []),
}


@pytest.mark.parametrize("case", NAMES)
def test_client_names(make, make_auth, script, case):
    """CVE-2026-28753: a PTR record with a line end must not reach headers or XCLIENT."""
    name, addresses = NAMES[case]
    s = script(b"220 mx\r\n", SMTP_RULES)
    records = {}
    answer = {"Auth-Status": "OK", "Auth-Server": s.host, "Auth-Port": str(s.port)}
    auth = make_auth(lambda h: answer)
    ns = dns.NameServer(records)
    p = make([listener("smtp", auth="none")], auth=[{"type": "http", "url": auth.url}],
             pools=[{"name": "main", "tls": "off", "forward": "xclient", "backends": [server(s, "smtp")], "check": {"enabled": False}}],
             resolver={"enabled": True, "name_servers": [f"{ns.host}:{ns.port}"], "timeout": "2s"})
    c = imap.Lines(p.host, p.ports["smtp"])
    local = c.sock.getsockname()[0]
    if name:
        records[("PTR", dns.reverse(local))] = [name]
        if isinstance(name, str):
            records[("A", name)] = [local if a == "127.0.0.1" else a for a in addresses]
    c.line()
    c.send("EHLO x.test\r\n")
    c.until("250 ")
    c.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n")
    wait.until(lambda: auth.requests and [x for x in s.heard if x.startswith("RCPT")], "the recipient")
    host = auth.requests[0]["Client-Host"]
    assert host == "client.test" if case == "good" else host in ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
    assert "X-Injected" not in auth.requests[0]
    xclient = " ".join(x for x in s.heard if x.startswith("XCLIENT"))
    assert ("NAME=client.test" in xclient) == (case == "good") and "evil" not in xclient and "liar" not in xclient
    c.close()
    ns.close()


def test_xclient_login_is_xtext(make, make_auth, script):
    """NGINX 1.29.2: a user name with blanks added attributes."""
    s = script(b"220 mx\r\n", SMTP_RULES)
    auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": s.host, "Auth-Port": str(s.port)})
    p = make([listener("smtp")], auth=[{"type": "http", "url": auth.url}],
             pools=[{"name": "main", "tls": "off", "forward": "xclient", "backends": [server(s, "smtp")], "check": {"enabled": False}}])
    c = imap.Lines(p.host, p.ports["smtp"])
    c.line()
    c.send("EHLO x.test\r\n")
    c.until("250 ")
    c.send(f"AUTH PLAIN {b64(chr(0) + 'a b ADDR=1.2.3.4+=' + chr(0) + 'pw')}\r\n")
    assert c.line().startswith("235")
    xclient = [x for x in s.heard if x.startswith("XCLIENT")]
    assert "LOGIN=a+20b+20ADDR+3D1.2.3.4+2B+3D" in " ".join(xclient)
    c.close()


# ---- credentials of an earlier attempt ----

def test_no_stale_password_for_external(make_proxy, settings, make_auth, ca):
    """NGINX sends the password of a failed LOGIN with a later EXTERNAL."""
    cert, key = ca.issue("stale", f"email:{USER}", usage="clientAuth")
    auth = make_auth(lambda h: {"Auth-Status": "no", "Auth-Wait": "1"})
    settings["listeners"] = [{"name": "imaps", "protocol": "imap", "tls": "implicit", "mechanisms": ["COMMAND", "EXTERNAL"],
                              "tls_options": {**settings["tls"], "client_auth": "optional", "client_ca": ca.cert}}]
    settings["auth"] = [{"type": "http", "url": auth.url}]
    p = make_proxy(settings)
    c = imap.Lines(p.host, p.ports["imaps"], tls=imap.context(cert=cert, key=key))
    c.line()
    assert c.command("a", "LOGIN bob very-secret")[-1].startswith("a NO")
    assert sasl.imap(c, "b").run("EXTERNAL", sasl.external()).startswith("b NO")
    c.close()
    assert auth.requests[0]["Auth-Pass"] == "very-secret" and auth.requests[1]["Auth-Pass"] == ""
    assert auth.requests[1]["Auth-Method"] == "external" and auth.requests[1]["Auth-User"] != "bob"


def test_no_stale_credentials_for_mail_without_login(make, make_auth):
    """CVE-2025-53859: smtp_auth none after a failed AUTH."""
    auth = make_auth(lambda h: {"Auth-Status": "no", "Auth-Error-Code": "550 5.7.1", "Auth-Wait": "1"})
    p = make([listener("smtp", auth="optional", mechanisms=["PLAIN", "LOGIN"])], auth=[{"type": "http", "url": auth.url}])
    c = imap.Lines(p.host, p.ports["smtp"])
    c.line()
    c.send("EHLO x.test\r\n")
    c.until("250 ")
    c.send(f"AUTH PLAIN {b64(chr(0) + USER + chr(0) + 'x' * 500)}\r\n")
    assert c.line().startswith("5")
    c.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n")
    assert c.line().startswith("250") and c.line().startswith("550")
    c.close()
    assert auth.requests[0]["Auth-Pass"] == "x" * 500
    assert auth.requests[1]["Auth-Method"] == "none" and auth.requests[1]["Auth-User"] == "" and auth.requests[1]["Auth-Pass"] == ""


def test_cram_md5_with_wait(make, make_auth):
    """CVE-2026-27651: the same digest and challenge go to the auth server again."""
    answers = iter([{"Auth-Status": "WAIT", "Auth-Wait": "1"}])
    auth = make_auth(lambda h: next(answers, {"Auth-Status": "no", "Auth-Wait": "1"}))
    p = make([listener("imap", mechanisms=["CRAM-MD5"])], auth=[{"type": "http", "url": auth.url}])
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert sasl.imap(c).run("CRAM-MD5", sasl.cram_md5(USER, PASSWORD)).startswith("a NO")
    c.close()
    first, second = auth.requests
    assert first["Auth-Salt"] == second["Auth-Salt"] and first["Auth-Pass"] == second["Auth-Pass"] and len(first["Auth-Pass"]) == 32
    assert first["Auth-Salt"].startswith("<") and first["Auth-Salt"].endswith("@proxy.test>")


def test_external_that_is_not_configured(make):
    """NGINX 1.11.9: it was accepted all the same."""
    p = make([listener("imap")])
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert sasl.imap(c).run("EXTERNAL", sasl.external(USER)).startswith(("a NO", "a BAD"))
    c.close()


# ---- parsers ----

@pytest.mark.parametrize("size", ["18446744073709551615", "18446744073709551616", "4294967296", "9999999999999999999999", "-1", "99999999+"])
def test_literal_overflow(make, size):
    p = make([listener("imap")])
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send(f"a LOGIN {{{size}}}\r\n")
    assert c.line().startswith(("a BAD", "a NO", "* BYE", "* BAD"))
    c.close()
    m = imap.plain(p.host, p.ports["imap"])
    m.login(USER, PASSWORD)
    m.logout()


def test_empty_literal_is_no_carriage_return(make, make_auth):
    """NGINX takes the line end for the password; an empty one is refused at once."""
    auth = make_auth(lambda h: {"Auth-Status": "no", "Auth-Wait": "1"})
    p = make([listener("imap")], auth=[{"type": "http", "url": auth.url}])
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send("a LOGIN u {0+}\r\n\r\n")
    assert c.until("a ")[-1].startswith("a NO")
    assert c.command("b", "NOOP")[-1].startswith("b OK")
    c.close()
    assert all(h["Auth-Pass"] == "" for h in auth.requests)


def test_long_password_is_not_logged(make):
    p = make([listener("pop3")])
    c = imap.Lines(p.host, p.ports["pop3"])
    c.line()
    c.send(f"USER {USER}\r\n")
    c.line()
    c.send("PASS very-secret" + "x" * 200000 + "\r\n")
    c.rest()
    c.close()
    assert "very-secret" not in p.whole_log()


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n", b"CONNECT a:1 HTTP/1.1\r\n"])
@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp", "sieve"])
def test_http_is_refused_at_once(make, protocol, request_line):
    p = make([listener(protocol)])
    c = imap.Lines(p.host, p.ports[protocol])
    c.line()
    c.send(request_line + b"Host: x\r\n\r\nNOOP\r\nNOOP\r\n")
    try:
        text = c.rest()
    except ConnectionResetError:
        text = b""
    assert b"OK NOOP" not in text and text.count(b"\r\n") < 12
    c.close()


# ---- TLS ----

@pytest.mark.parametrize("protocol,alpn", [("imap", "imap"), ("pop3", "pop3"), ("smtp", "smtp"), ("sieve", "managesieve")])
def test_alpn(make, protocol, alpn):
    p = make([{"name": "x", "protocol": protocol, "tls": "implicit"}])
    for offered, is_welcome in (([alpn], True), (None, True), (["http/1.1"], False), (["h2", "http/1.1"], False)):
        context = imap.context()
        if offered:
            context.set_alpn_protocols(offered)
        s = socket.create_connection((p.host, p.ports["x"]), timeout=30)
        if is_welcome:
            tls = context.wrap_socket(s, server_hostname="proxy.test")
            assert tls.recv(100)
            assert tls.selected_alpn_protocol() == (alpn if offered else None)
            tls.close()
        else:
            with pytest.raises(ssl.SSLError):
                tls = context.wrap_socket(s, server_hostname="proxy.test")
                tls.recv(100)
            s.close()


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp", "sieve"])
def test_required_tls_gates_every_login(make, protocol):
    """NGINX 0.5.15: `starttls only` did not cover all verbs."""
    p = make([{"name": protocol, "protocol": protocol, "tls": "required", "allow_plaintext": True}])
    commands = {
        "imap": [f"a LOGIN {USER} {PASSWORD}", "a AUTHENTICATE PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), "a AUTHENTICATE LOGIN"],
        "pop3": [f"USER {USER}", f"PASS {PASSWORD}", "AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), "APOP x y"],
        "smtp": ["AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"), "AUTH LOGIN", "MAIL FROM:<a@b.test>"],
        "sieve": [f'AUTHENTICATE "PLAIN" "{b64(chr(0) + USER + chr(0) + PASSWORD)}"'],
    }[protocol]
    for command in commands:
        c = imap.Lines(p.host, p.ports[protocol])
        c.line() if protocol != "sieve" else c.until("OK")
        c.send(command + "\r\n")
        assert c.line().startswith(("a NO", "a BAD", "-ERR", "5", "NO"))
        c.close()
    text = p.whole_log()
    assert "event=login " not in text and " login session" not in text


@pytest.mark.parametrize("protocol,hello,rules", [
    ("imap", b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n", [(b"", b"* OK\r\n")]),
    ("pop3", b"+OK hi\r\n", [(b"STLS", b"+OK go\r\n+OK injected\r\n+OK injected\r\n"), (b"", b"+OK\r\n")]),
    ("smtp", b"220 mx\r\n", [(b"EHLO", b"250-mx\r\n250 STARTTLS\r\n"), (b"STARTTLS", b"220 go\r\n235 injected\r\n"), (b"", b"250 ok\r\n")]),
])
def test_answers_injected_before_tls_of_a_backend(make, script, protocol, hello, rules):
    if protocol == "imap":
        rules = [(b"", b"* OK\r\n")]
    s = script(hello, rules)
    p = make([listener(protocol)], auth=[{"type": "backend"}],
             pools=[{"name": "main", "tls": "starttls", "verify": False, "smtp_auth": True, "backends": [server(s, protocol)],
                     "check": {"enabled": False}}], timeouts={"login": "1s", "failure_delay": "50ms"})
    c = imap.Lines(p.host, p.ports[protocol])
    c.line()
    line = {"imap": sasl.imap, "pop3": sasl.pop3, "smtp": sasl.smtp}[protocol](c).run("PLAIN", sasl.plain(USER, PASSWORD))
    assert line.startswith(("a NO", "-ERR", "4", "5")), line
    c.close()
    assert not [x for x in s.heard if PASSWORD in x or b64(f"\0{USER}\0{PASSWORD}") in x]


def test_no_client_event_is_lost_while_connecting(make, dovecot1):
    """NGINX 1.23.4: what a client sent while the backend was connected hung."""
    p = make([listener("imap")])
    for _ in range(20):
        c = imap.Lines(p.host, p.ports["imap"])
        c.line()
        c.send(f"a LOGIN {USER} {PASSWORD}\r\n")
        c.send("b NOOP\r\n")
        assert c.until("b ")[-1].startswith("b OK")
        c.close()


def test_failed_login_keeps_what_was_pipelined(make):
    p = make([listener("imap")])
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send(f"a LOGIN {USER} wrong\r\nb NOOP\r\nc LOGIN {USER} {PASSWORD}\r\nd SELECT INBOX\r\n")
    text = "\n".join(c.until("d "))
    assert "a NO" in text and "b OK" in text and "c OK" in text and "d OK" in text
    c.close()


@pytest.mark.parametrize("protocol, login, more", [
    ("imap", f"a LOGIN {USER} {PASSWORD}", "b UNAUTHENTICATE\r\nc LOGIN other@example.org pw"),
    ("imap", f"a LOGIN {USER} {PASSWORD}", "b NOOP\r\nc unauthenticate\r\nd LOGIN other@example.org pw"),
    ("sieve", 'AUTHENTICATE "PLAIN" "' + b64(f"\0{USER}\0{PASSWORD}") + '"', 'UNAUTHENTICATE\r\nAUTHENTICATE "PLAIN" "AGEAYg=="'),
], ids=["imap", "imap behind another", "sieve"])
@pytest.mark.parametrize("is_at_once", [False, True], ids=["later", "with the login"])
def test_nobody_else_logs_in_over_a_relay(make, protocol, login, more, is_at_once):
    """A server that forgets who the client is (RFC 8437, RFC 5804) would let it log in past locks, bans and limits."""
    p = make([listener(protocol)])
    p.add_user("other@example.org", "pw")
    with socket.create_connection((p.host, p.ports[protocol]), timeout=30) as s, s.makefile("rb") as f:
        s.sendall(login.encode() + b"\r\n" + (more.encode() + b"\r\n" if is_at_once else b""))
        while not f.readline().startswith((b"a OK", b'OK "Logged in')):
            pass
        if not is_at_once:
            s.sendall(more.encode() + b"\r\n")
        rest = f.read().decode()
    assert "BYE" in rest and "Connect again" in rest and "OK" not in rest.replace("b OK", "")
    p.wait_for_log("forbidden-command")
    wait.until(lambda: not p.sessions(), "the end of the session", timeout=3)


@pytest.mark.parametrize("more, expected", [
    ("b APPEND nosuch {30}\r\nc UNAUTHENTICATE\r\n", ["b NO", "Connect again"]),
    ("b IDLE\r\nx APPEND INBOX {100+}\r\nc UNAUTHENTICATE\r\n", ["+ idling", "Servers differ"]),
    ("b NOOP\r\nb APPEND nosuch {30}\r\nc UNAUTHENTICATE\r\n", ["b OK", "b NO", "Connect again"]),
], ids=["refused literal", "literal within IDLE", "a tag twice"])
@pytest.mark.parametrize("is_at_once", [False, True], ids=["later", "with the login"])
def test_what_looks_like_a_literal_is_none(make, more, expected, is_at_once):
    """Octets where the server has not asked for any are a command, or not, as the server decides: it is waited for."""
    p = make([listener("imap")])
    with socket.create_connection((p.host, p.ports["imap"]), timeout=30) as s, s.makefile("rb") as f:
        s.sendall(f"a LOGIN {USER} {PASSWORD}\r\n".encode() + (more.encode() if is_at_once else b""))
        while not f.readline().startswith(b"a OK"):
            pass
        if not is_at_once:
            s.sendall(more.encode())
        rest = f.read().decode()
    at = -1
    for text in expected:
        at = rest.index(text, at + 1)
    assert "c " not in rest.replace("mpatic ", "")
    p.wait_for_log("forbidden-command")


@pytest.mark.parametrize("is_ended", [False, True], ids=["whole", "half closed"])
@pytest.mark.parametrize("is_at_once", [False, True], ids=["later", "with the login"])
def test_impatient_client_is_served(make, is_at_once, is_ended):
    """One that waits for nothing, with literals, IDLE and a message of more than fits into one read."""
    p = make([listener("imap")])
    text = "Subject: x\r\n\r\n" + "b UNAUTHENTICATE\r\n" * 30000
    more = (f"b APPEND INBOX {{{len(text)}}}\r\n{text}\r\nc SELECT INBOX\r\nd IDLE\r\nDONE\r\n"
            f"e APPEND nosuch {{4}}\r\nf NOOP\r\ng LOGOUT\r\n")
    with socket.create_connection((p.host, p.ports["imap"]), timeout=30) as s, s.makefile("rb") as f:
        s.sendall(f"a LOGIN {USER} {PASSWORD}\r\n".encode() + (more.encode() if is_at_once else b""))
        if not is_at_once:
            while not f.readline().startswith(b"a OK"):
                pass
            s.sendall(more.encode())
        if is_ended:
            s.shutdown(socket.SHUT_WR)
        rest = f.read().decode()
    for answer in ("b OK", "c OK", "d OK", "e NO", "f OK", "g OK"):
        assert "\n" + answer in "\n" + rest, rest[-2000:]


def test_imaplib_sees_no_difference(make):
    p = make([listener("imap")])
    m = imap.plain(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error):
        m.login(USER, "wrong")
    m.login(USER, PASSWORD)
    assert m.list()[0] == "OK"
    m.logout()
