# SPDX-License-Identifier: ISC
"""The http provider: an auth server written for NGINX works unchanged; everything that can go wrong with one is survived."""
import imaplib
import threading
import time

import pytest
from harness import imap, net, wait
from harness.server import Server

USER, PASSWORD = "bob@example.org", "secret-b"


def to(d, **more):
    return {"Auth-Status": "OK", "Auth-Server": d.host, "Auth-Port": str(d.ports["imap"]), **more}


@pytest.fixture
def proxy_for(make_proxy, settings, make_auth):
    def make(answer, **provider):
        auth = make_auth(answer) if callable(answer) else None
        url = auth.url if auth else answer
        settings["auth"] = [{"type": "http", "url": url, **provider}]
        return make_proxy(settings), auth
    return make


def login(p, user=USER, password=PASSWORD):
    m = imap.plain(p.host, p.ports["imap"])
    m.login(user, password)
    return m


def test_request_and_route(proxy_for, dovecot2):
    p, auth = proxy_for(lambda h: to(dovecot2))
    m = login(p)
    m.select()
    assert b"This is dc2" in m.fetch("1", "(BODY[TEXT])")[1][0][1]
    m.logout()
    h = auth.requests[0]
    assert h["Auth-Method"] == "plain" and h["Auth-User"] == USER and h["Auth-Pass"] == PASSWORD
    assert h["Auth-Protocol"] == "imap" and h["Auth-Login-Attempt"] == "1" and h["Client-Ip"].startswith("127.")
    assert "Auth-Ssl" not in h


def test_tls_headers(proxy_for, dovecot1):
    p, auth = proxy_for(lambda h: to(dovecot1))
    m = imap.tls(p.host, p.ports["imaps"])
    m.login(USER, PASSWORD)
    m.logout()
    h = auth.requests[0]
    assert h["Auth-Ssl"] == "on" and h["Auth-Ssl-Protocol"] == "TLSv1.3" and h["Auth-Ssl-Cipher"].startswith("TLS_")


def test_escaping(proxy_for, dovecot1):
    p, auth = proxy_for(lambda h: {"Auth-Status": "no", "Auth-Wait": "1"})
    with pytest.raises(imaplib.IMAP4.error):
        login(p, "dave@example.org", 'a b%c"d')
    assert auth.requests[0]["Auth-Pass"] == 'a%20b%25c"d'


def test_other_credentials_for_the_backend(proxy_for, dovecot1):
    p, _ = proxy_for(lambda h: to(dovecot1, **{"Auth-User": "carol@example.org", "Auth-Pass": "secret-c"}))
    login(p, "somebody", "whatever").logout()


def test_refused_with_words(proxy_for):
    p, _ = proxy_for(lambda h: {"Auth-Status": "Come back tomorrow", "Auth-Wait": "1"})
    m = imap.plain(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error, match="Come back tomorrow"):
        m.login(USER, PASSWORD)
    with pytest.raises(imaplib.IMAP4.error, match="Come back tomorrow"):
        m.login(USER, PASSWORD)


def test_refused_for_good(proxy_for):
    p, _ = proxy_for(lambda h: {"Auth-Status": "Invalid"})
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    text = c.rest().decode()
    assert "a NO" in text and "Invalid" in text
    c.close()


def test_attempts_are_counted(proxy_for):
    p, auth = proxy_for(lambda h: {"Auth-Status": "no", "Auth-Wait": "1"})
    m = imap.plain(p.host, p.ports["imap"])
    for _ in range(2):
        with pytest.raises(imaplib.IMAP4.error):
            m.login(USER, PASSWORD)
    assert [h["Auth-Login-Attempt"] for h in auth.requests] == ["1", "2"]


def test_connections_are_kept(proxy_for, dovecot1):
    p, auth = proxy_for(lambda h: to(dovecot1))
    for _ in range(5):
        login(p).logout()
    assert len(auth.requests) == 5


@pytest.mark.parametrize("reply", [
    {},
    {"Auth-Status": "OK", "Auth-Server": "127.0.0.1"},
    {"Auth-Status": "OK", "Auth-Server": "not an address!", "Auth-Port": "143"},
    {"Auth-Status": "OK", "Auth-Server": "127.0.0.1", "Auth-Port": "99999"},
])
def test_nonsense_is_temporary(proxy_for, reply):
    p, _ = proxy_for(lambda h: reply, timeout="2s")
    m = imap.plain(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        m.login(USER, PASSWORD)


def test_ok_without_server_uses_routes(proxy_for):
    p, _ = proxy_for(lambda h: {"Auth-Status": "OK"})
    login(p).logout()


def test_http_errors_are_temporary(proxy_for):
    p, _ = proxy_for(lambda h: ({}, 500))
    m = imap.plain(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        m.login(USER, PASSWORD)


def test_server_down(proxy_for):
    host = net.address()
    p, _ = proxy_for(f"http://{host}:{net.port(host)}/auth")
    m = imap.plain(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        m.login(USER, PASSWORD)


class RawServer(Server):
    """Answers every connection with the same bytes, or never."""

    def __init__(self, reply):
        self.reply = reply
        super().__init__(self.answer)
        self.url = f"http://{self.host}:{self.port}/auth"

    def answer(self, client):
        if self.reply is not None:
            client.recv(65536)
            client.sendall(self.reply)
            client.close()


@pytest.mark.parametrize("reply", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAuth-Ser",
                                   b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200000 + b"\r\n\r\n"],
                         ids=["nothing", "no-http", "cut-off", "too-long"])
def test_garbage(proxy_for, reply):
    raw = RawServer(reply)
    p, _ = proxy_for(raw.url)
    m = imap.plain(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        m.login(USER, PASSWORD)
    raw.close()


def test_silent_server_times_out(proxy_for):
    raw = RawServer(None)
    p, _ = proxy_for(raw.url, timeout="500ms")
    m = imap.plain(p.host, p.ports["imap"])
    start = time.monotonic()
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        m.login(USER, PASSWORD)
    assert time.monotonic() - start < 10
    raw.close()


def test_client_that_leaves_gets_no_backend_login(proxy_for, dovecot1):
    release = threading.Event()

    def answer(headers):
        release.wait(20)
        return to(dovecot1)
    p, auth = proxy_for(answer)
    before = dovecot1.logins("imap", "user=<gone@example.org>")
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send("a LOGIN gone@example.org x\r\n")
    wait.until(lambda: auth.requests, "the request")
    c.close()
    p.wait_for_log("reason=client-closed")
    release.set()
    assert dovecot1.logins("imap", "user=<gone@example.org>") == before


def test_wait_ends(proxy_for):
    p, auth = proxy_for(lambda h: {"Auth-Status": "WAIT"})
    m = imap.plain(p.host, p.ports["imap"])
    m.sock.settimeout(60)
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        m.login(USER, PASSWORD)
    assert len(auth.requests) == 11


def test_wait_asks_again(proxy_for, dovecot1):
    answers = iter([{"Auth-Status": "WAIT", "Auth-Wait": "1"}])
    p, auth = proxy_for(lambda h: next(answers, to(dovecot1)))
    login(p).logout()
    assert len(auth.requests) == 2


def test_dynamic_backend_is_listed(proxy_for, settings, dovecot1):
    settings["timeouts"] = {"login": "2s"}
    p, _ = proxy_for(lambda h: {"Auth-Status": "OK", "Auth-Server": dovecot1.host, "Auth-Port": str(dovecot1.ports["imaps"])})
    m = imap.plain(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        m.login(USER, PASSWORD)  # TLS is off for it and the port wants TLS
    names = [b["name"] for b in p.ctl("backend", "list")]
    assert any(str(dovecot1.ports["imaps"]) in n for n in names)
