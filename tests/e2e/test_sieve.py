# SPDX-License-Identifier: ISC
"""ManageSieve (RFC 5804) through the proxy to Dovecot's pigeonhole."""
import base64

import pytest
from conftest import backend
from harness import imap, wait

USER, PASSWORD = "alice@example.org", "secret-a"
SCRIPT = 'require ["fileinto"];\r\nfileinto "Trash";\r\n'


def token(user=USER, password=PASSWORD):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


@pytest.fixture
def make_sieve(make_proxy, settings, dovecot1):
    def make(listener=None, **pool):
        settings["listeners"] = [listener or {"name": "sieve", "protocol": "sieve", "tls": "starttls", "allow_plaintext": True}]
        settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)], **pool}]
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD)
        return p
    return make


def connect(p):
    c = imap.Lines(p.host, p.ports["sieve"])
    return c, c.until("OK")


def secure(c):
    c.send("STARTTLS\r\n")
    c.until("OK")
    c.sock = imap.context().wrap_socket(c.sock, server_hostname="proxy.test")
    c.file = c.sock.makefile("rb")
    return c.until("OK")


@pytest.mark.parametrize("tls", ["off", "starttls"])
@pytest.mark.parametrize("front", ["plain", "starttls"])
def test_scripts(make_sieve, front, tls):
    c, _ = connect(make_sieve(tls=tls, verify=False))
    if front == "starttls":
        assert not [x for x in secure(c) if "STARTTLS" in x]
    c.send(f'AUTHENTICATE "PLAIN" "{token()}"\r\n')
    c.until("OK")
    c.send(f'PUTSCRIPT "test" {{{len(SCRIPT)}+}}\r\n{SCRIPT}\r\n')
    c.until("OK")
    c.send("LISTSCRIPTS\r\n")
    assert any('"test"' in line for line in c.until("OK"))
    c.send('GETSCRIPT "test"\r\n')
    assert any("fileinto" in line for line in c.until("OK"))
    c.send('DELETESCRIPT "test"\r\n')
    c.until("OK")
    c.send("LOGOUT\r\n")
    c.until("OK")
    c.close()


def test_greeting(make_sieve):
    c, greeting = connect(make_sieve())
    text = "\n".join(greeting)
    assert '"IMPLEMENTATION"' in text and '"SASL" "PLAIN LOGIN"' in text and '"STARTTLS"' in text and '"SIEVE"' in text
    c.send("NOOP\r\n")
    assert c.line().startswith("OK")
    c.send('NOOP "tag"\r\n')
    assert c.line().startswith('OK (TAG "tag")') or c.line().startswith('OK (TAG {3}')
    c.send("CAPABILITY\r\n")
    assert c.until("OK")
    c.send("LISTSCRIPTS\r\n")
    assert c.line().startswith("NO")
    c.send("LOGOUT\r\n")
    assert c.line().startswith("OK")
    c.close()


def test_literals_and_continuation(make_sieve):
    p = make_sieve()
    for command in (f'AUTHENTICATE "PLAIN" {{{len(token())}+}}\r\n{token()}\r\n', None):
        c, _ = connect(p)
        if command:
            c.send(command)
        else:
            c.send('AUTHENTICATE "PLAIN"\r\n')
            assert c.line() in ('""', "{0}")
            c.send(f'"{token()}"\r\n')
        assert c.until("OK")
        c.send("LISTSCRIPTS\r\n")
        c.until("OK")
        c.close()


def test_wrong_password(make_sieve):
    c, _ = connect(make_sieve())
    c.send(f'AUTHENTICATE "PLAIN" "{token(password="wrong")}"\r\n')
    assert c.line().startswith("NO")
    c.send(f'AUTHENTICATE "PLAIN" "{token()}"\r\n')
    c.until("OK")
    c.close()


def test_clear_text_waits_for_tls(make_sieve):
    c, greeting = connect(make_sieve({"name": "sieve", "protocol": "sieve", "tls": "starttls"}))
    assert '"SASL" ""' in greeting
    c.send(f'AUTHENTICATE "PLAIN" "{token()}"\r\n')
    assert c.line().startswith("NO (ENCRYPT-NEEDED)")
    assert any("PLAIN" in line for line in secure(c))
    c.send(f'AUTHENTICATE "PLAIN" "{token()}"\r\n')
    c.until("OK")
    c.close()


def test_bytes_before_tls_are_dropped(make_sieve):
    c, _ = connect(make_sieve())
    c.send('STARTTLS\r\nNOOP "early"\r\n')
    c.until("OK")
    c.sock = imap.context().wrap_socket(c.sock, server_hostname="proxy.test")
    c.file = c.sock.makefile("rb")
    c.until("OK")
    c.send('NOOP "late"\r\n')
    assert "late" in c.line()
    c.close()


def test_kill_says_try_later(make_sieve):
    p = make_sieve()
    c, _ = connect(p)
    c.send(f'AUTHENTICATE "PLAIN" "{token()}"\r\n')
    c.until("OK")
    p.ctl("session", "kill", "user=" + USER, "--text", "Gone fishing")
    assert c.line() == 'BYE (TRYLATER) "Gone fishing"' and c.rest() == b""
    c.close()


def test_identity_reaches_the_backend(make_sieve, dovecot1):
    p = make_sieve(forward="xclient")
    p.add_user("carol@example.org", "secret-c")
    c, _ = connect(p)
    local = c.sock.getsockname()[0]
    c.send(f'AUTHENTICATE "PLAIN" "{token("carol@example.org", "secret-c")}"\r\n')
    c.until("OK")
    c.close()
    wait.until(lambda: dovecot1.logins("managesieve", f"user=<carol@example.org>, method=PLAIN, rip={local}"), "rip")
