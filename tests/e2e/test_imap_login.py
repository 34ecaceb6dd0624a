# SPDX-License-Identifier: ISC
"""Logins over IMAP: ways in × TLS in front × TLS behind, and what is refused."""
import base64
import imaplib
import subprocess

import pytest
from conftest import backend
from harness import imap

USER, PASSWORD = "alice@example.org", "secret-a"


def one_pool(d, **more):
    return [{"name": "main", "backends": [backend(d)], **more}]


def login_command(m):
    m.login(USER, PASSWORD)


def login_plain(m):
    m.authenticate("PLAIN", lambda _: b"\0" + USER.encode() + b"\0" + PASSWORD.encode())


def login_login(m):
    answers = iter([USER.encode(), PASSWORD.encode()])
    m.authenticate("LOGIN", lambda _: next(answers))


WAYS = {"LOGIN": login_command, "AUTH=PLAIN": login_plain, "AUTH=LOGIN": login_login}


def open_front(proxy, front):
    if front == "plain":
        return imap.plain(proxy.host, proxy.ports["imap"])
    if front == "starttls":
        return imap.starttls(proxy.host, proxy.ports["imap"])
    return imap.tls(proxy.host, proxy.ports["imaps"])


@pytest.fixture(params=["off", "starttls", "implicit"])
def proxy_by_backend_tls(request, make_proxy, settings, dovecot1, ca):
    b = backend(dovecot1)
    if request.param == "implicit":
        b["ports"] = {"imap": dovecot1.ports["imaps"]}
    settings["pools"] = [{"name": "main", "tls": request.param, "verify": False, "backends": [b]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


@pytest.mark.parametrize("front", ["plain", "starttls", "tls"])
@pytest.mark.parametrize("way", WAYS)
def test_login(proxy_by_backend_tls, front, way):
    m = open_front(proxy_by_backend_tls, front)
    WAYS[way](m)
    assert m.select()[0] == "OK"
    subject = m.fetch("1", "(BODY[HEADER.FIELDS (SUBJECT)])")[1][0][1]
    assert b"Welcome to dc1" in subject
    assert m.logout()[0] == "BYE"


def test_backend_capabilities_reach_the_client(make_proxy, settings, dovecot1):
    settings["pools"] = one_pool(dovecot1, tls="off")
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = imap.Lines(p.host, p.ports["imap"])
    assert c.line().startswith("* OK [CAPABILITY IMAP4rev1")
    reply = c.command("a", f"LOGIN {USER} {PASSWORD}")
    text = " ".join(reply)
    assert reply[-1].startswith("a OK") and "CAPABILITY" in text and "SORT" in text
    c.close()


def test_verified_backend(make_proxy, settings, dovecot1, ca):
    # The certificate is for dc1.test and localhost: by its address the backend has the wrong name.
    settings["pools"] = one_pool(dovecot1, tls="starttls", verify=True, ca_file=ca.cert)
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert "[UNAVAILABLE]" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    c.close()
    p.wait_for_log("hostname mismatch")  # of the login, or of the check that came before it


def test_backend_of_another_ca_is_refused(make_proxy, settings, dovecot1, folder):
    from harness import certs
    other = certs.Authority(folder + "/other", "Other CA")
    settings["pools"] = one_pool(dovecot1, tls="starttls", verify=True, ca_file=other.cert)
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert "[UNAVAILABLE]" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    c.close()


@pytest.fixture
def proxy(make_proxy, settings, dovecot1):
    settings["pools"] = one_pool(dovecot1, tls="off")
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


def test_wrong_password(proxy):
    m = imap.plain(proxy.host, proxy.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        m.login(USER, "wrong")
    # the connection lives on
    m.login(USER, PASSWORD)
    m.logout()


def test_unknown_user_looks_like_a_wrong_password(proxy):
    replies = []
    for user in (USER, "nobody@example.org"):
        c = imap.Lines(proxy.host, proxy.ports["imap"])
        c.line()
        replies.append(c.command("a", f"LOGIN {user} wrong")[-1])
        c.close()
    assert replies[0] == replies[1] and "[AUTHENTICATIONFAILED]" in replies[0]


def test_literals(proxy):
    for end in ("", "+"):
        c = imap.Lines(proxy.host, proxy.ports["imap"])
        c.line()
        c.send(f"a LOGIN {{{len(USER)}{end}}}\r\n")
        if not end:
            assert c.line().startswith("+")
        c.send(f"{USER} {{{len(PASSWORD)}{end}}}\r\n")
        if not end:
            assert c.line().startswith("+")
        c.send(f"{PASSWORD}\r\n")
        assert c.until("a ")[-1].startswith("a OK")
        c.close()


def test_odd_password(proxy):
    proxy.add_user("dave@example.org", 'pa ss"w\\ord')
    m = imap.plain(proxy.host, proxy.ports["imap"])
    m.login("dave@example.org", 'pa ss"w\\ord')
    m.logout()


def test_initial_response_cancel_and_bad_base64(proxy):
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send("a AUTHENTICATE PLAIN\r\n")
    assert c.line().startswith("+")
    c.send("*\r\n")
    assert c.until("a ")[-1].startswith("a BAD")
    c.send("b AUTHENTICATE PLAIN ???\r\n")
    assert c.until("b ")[-1].startswith("b BAD")
    token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    assert c.command("c", f"AUTHENTICATE PLAIN {token}")[-1].startswith("c OK")
    c.close()


def test_pipelined_login_select_fetch(proxy):
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send(f"a LOGIN {USER} {PASSWORD}\r\nb SELECT INBOX\r\nc FETCH 1 BODY[TEXT]\r\nd LOGOUT\r\n")
    text = "\n".join(c.until("d "))
    assert "a OK" in text and "b OK" in text and "This is dc1." in text and "c OK" in text
    c.close()


def test_before_login(proxy):
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    assert c.command("a", "NOOP")[-1].startswith("a OK")
    assert any(line.startswith("* CAPABILITY IMAP4rev1") for line in c.command("b", "CAPABILITY"))
    assert c.command("c", 'ID ("name" "test")')[-1].startswith("c OK")
    assert c.command("d", "SELECT INBOX")[-1].startswith(("d BAD", "d NO"))
    assert c.command("e", "LOGOUT")[-1].startswith("e OK")
    assert c.rest() == b""
    c.close()


def test_too_many_bad_commands(proxy):
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send("".join(f"x{i} NONSENSE\r\n" for i in range(50)))
    text = c.rest().decode()
    assert "* BYE" in text and text.count(" BAD") < 20
    c.close()


def test_http_request_is_refused(proxy):
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert c.rest().count(b"\r\n") <= 1
    c.close()
    proxy.wait_for_log("reason=protocol-error")


def test_plaintext_is_refused_without_tls(make_proxy, settings):
    settings["listeners"] = [{"name": "imap", "protocol": "imap", "tls": "starttls"}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    m = imap.plain(p.host, p.ports["imap"])
    assert "LOGINDISABLED" in m.capabilities
    with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
        m.login(USER, PASSWORD)
    m.starttls(imap.context())
    assert "LOGINDISABLED" not in m.capabilities
    m.login(USER, PASSWORD)
    m.logout()


def test_bytes_before_tls_are_dropped(proxy):
    """A command injected in clear behind STARTTLS must not run inside TLS (CVE-2011-0411)."""
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send("a STARTTLS\r\nb NOOP\r\n")
    assert c.line().startswith("a OK")
    tls = imap.context().wrap_socket(c.sock, server_hostname="proxy.test")
    tls.sendall(b"c NOOP\r\n")
    assert tls.recv(1000).startswith(b"c OK")
    tls.close()


def test_openssl_s_client(proxy):
    script = f"a LOGIN {USER} {PASSWORD}\nb LOGOUT\n"
    done = subprocess.run(["openssl", "s_client", "-quiet", "-crlf", "-starttls", "imap", "-connect",
                           f"{proxy.host}:{proxy.ports['imap']}"], input=script, capture_output=True, text=True, timeout=30)
    assert "a OK" in done.stdout and "b OK" in done.stdout


def test_curl(proxy):
    done = subprocess.run(["curl", "-sk", "--user", f"{USER}:{PASSWORD}",
                           f"imaps://{proxy.host}:{proxy.ports['imaps']}/INBOX;MAILINDEX=1"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "This is dc1." in done.stdout, done.stderr


def test_no_secret_in_the_log(proxy):
    m = imap.plain(proxy.host, proxy.ports["imap"])
    login_plain(m)
    m.logout()
    with pytest.raises(imaplib.IMAP4.error):
        imap.plain(proxy.host, proxy.ports["imap"]).login(USER, "wrong-but-secret")
    text = proxy.whole_log()
    assert PASSWORD not in text and "wrong-but-secret" not in text
    assert base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode() not in text


def test_client_identity_reaches_the_backend(make_proxy, settings, dovecot1):
    settings["pools"] = one_pool(dovecot1, tls="off", forward="id")
    p = make_proxy(settings)
    p.add_user("carol@example.org", "secret-c")
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.command("i", 'ID ("name" "tester" "version" "7")')
    local = c.sock.getsockname()
    assert c.command("a", "LOGIN carol@example.org secret-c")[-1].startswith("a OK")
    c.close()
    from harness import wait
    wait.until(lambda: f"user=<carol@example.org>, method=PLAIN, rip={local[0]}" in dovecot1.log(), "rip in Dovecot's log")
