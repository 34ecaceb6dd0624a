# SPDX-License-Identifier: ISC
"""POP3 through the proxy to real Dovecots: ways in, TLS, pipelining, and goodbyes at a boundary."""
import base64
import poplib
import subprocess
import threading

import pytest
from conftest import backend
from harness import imap, wait
from harness.server import Server

USER, PASSWORD = "alice@example.org", "secret-a"
DIGEST_USER, DIGEST_PASSWORD = "carol@example.org", "secret-c"


@pytest.fixture
def make_pop3(make_proxy, settings, dovecot1):
    def make(**pool):
        settings["listeners"] = [
            {"name": "pop3", "protocol": "pop3", "tls": "starttls", "allow_plaintext": True,
             "mechanisms": ["COMMAND", "PLAIN", "LOGIN", "APOP", "CRAM-MD5"]},
            {"name": "pop3s", "protocol": "pop3", "tls": "implicit"},
        ]
        settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)], **pool}]
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD)
        return p
    return make


@pytest.fixture
def proxy(make_pop3):
    return make_pop3()


def connect(p, listener="pop3"):
    c = imap.Lines(p.host, p.ports[listener], tls=imap.context() if listener == "pop3s" else None)
    assert c.line().startswith("+OK")
    return c


def ask(c, command):
    c.send(command + "\r\n")
    return c.line()


def multi(c, command):
    assert ask(c, command).startswith("+OK")
    return c.until(".")[:-1]


def login(c, user=USER, password=PASSWORD):
    assert ask(c, f"USER {user}").startswith("+OK")
    return ask(c, f"PASS {password}")


def poplib_session(p, front):
    if front == "tls":
        return poplib.POP3_SSL(p.host, p.ports["pop3s"], context=imap.context(), timeout=30)
    m = poplib.POP3(p.host, p.ports["pop3"], timeout=30)
    if front == "starttls":
        m.stls(imap.context())
    return m


@pytest.mark.parametrize("tls", ["off", "starttls"])
@pytest.mark.parametrize("front", ["plain", "starttls", "tls"])
def test_user_pass(make_pop3, front, tls):
    m = poplib_session(make_pop3(tls=tls, verify=False), front)
    m.user(USER)
    m.pass_(PASSWORD)
    assert b"This is dc1." in m.retr(1)[1]
    assert b"+OK" in m.quit()


class Recorder(Server):
    """A POP3 server that keeps what came together with each USER, and answers every line."""

    def __init__(self, capabilities):
        super().__init__(self.answer)
        self.capabilities, self.logins = capabilities, []

    def answer(self, client):
        client.sendall(b"+OK ready\r\n")
        while data := client.recv(4096):
            if data.startswith(b"USER"):
                self.logins.append(data)
            for line in data.splitlines():
                client.sendall(b"+OK\r\n" + (b"".join(c + b"\r\n" for c in (*self.capabilities, b".")) if line == b"CAPA" else b""))
                if line == b"QUIT":
                    client.close()
                    return


def test_pipelining_of_checked_servers(make_pop3):
    """USER and PASS leave together where the last check heard that the server takes that, and only there."""
    server = Recorder([b"USER", b"PIPELINING"])
    together, apart = f"USER {USER}\r\nPASS {PASSWORD}\r\n".encode(), f"USER {USER}\r\n".encode()
    p = make_pop3(backends=[{"name": "b1", "host": server.host, "ports": {"pop3": server.port}}])
    for capabilities, expected in (([b"USER", b"PIPELINING"], together), ([b"USER"], apart)):
        server.capabilities = capabilities
        assert p.ctl("backend", "check", "b1")["result"] == "good"
        assert login(connect(p)).startswith("+OK")
        assert server.logins.pop() == expected
    server.close()


def test_sasl(proxy):
    token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    c = connect(proxy)
    assert ask(c, f"AUTH PLAIN {token}").startswith("+OK")
    assert ask(c, "STAT").startswith("+OK")
    c.close()
    c = connect(proxy)
    assert ask(c, "AUTH LOGIN").startswith("+ ")
    assert ask(c, base64.b64encode(USER.encode()).decode()).startswith("+ ")
    assert ask(c, base64.b64encode(PASSWORD.encode()).decode()).startswith("+OK")
    c.close()


def test_capabilities_and_mechanisms(proxy):
    c = connect(proxy)
    capabilities = multi(c, "CAPA")
    assert "STLS" in capabilities and "USER" in capabilities
    assert any(line.startswith("SASL PLAIN") for line in capabilities)
    assert "PLAIN" in multi(c, "AUTH")
    assert login(c).startswith("+OK")
    assert "TOP" in multi(c, "CAPA")  # Dovecot's own now
    c.close()


def test_apop_and_cram_from_a_kept_password(make_pop3):
    p = make_pop3()
    p.ctl("user", "add", DIGEST_USER, "--password-stdin", "--keep-plain", stdin=DIGEST_PASSWORD + "\n")
    m = poplib.POP3(p.host, p.ports["pop3"], timeout=30)
    assert b"<" in m.welcome
    m.apop(DIGEST_USER, DIGEST_PASSWORD)
    m.quit()
    import hmac
    c = connect(p)
    challenge = base64.b64decode(ask(c, "AUTH CRAM-MD5")[2:])
    digest = hmac.new(DIGEST_PASSWORD.encode(), challenge, "md5").hexdigest()
    assert ask(c, base64.b64encode(f"{DIGEST_USER} {digest}".encode()).decode()).startswith("+OK")
    c.close()


def test_pipelined(proxy):
    c = connect(proxy)
    c.send(f"CAPA\r\nNOOP\r\nUSER {USER}\r\nPASS {PASSWORD}\r\nSTAT\r\nRETR 1\r\nQUIT\r\n")
    text = c.rest().decode()
    assert "This is dc1." in text and text.count("+OK") == 7
    c.close()


def test_password_with_blanks_and_long_names(proxy):
    proxy.add_user("dave@example.org", 'pa ss"w\\ord')
    c = connect(proxy)
    assert login(c, "dave@example.org", 'pa ss"w\\ord').startswith("+OK")
    c.close()
    c = connect(proxy)
    # NGINX closes at 125 characters; here a name is a name
    assert "[AUTH]" in login(c, "x" * 200 + "@example.org", "y" * 2000)
    assert ask(c, "NOOP").startswith("+OK")
    c.close()


def test_wrong_password_and_afterwards(proxy):
    c = connect(proxy)
    assert login(c, USER, "wrong").startswith("-ERR [AUTH]")
    assert ask(c, f"PASS {PASSWORD}").startswith("-ERR")  # needs a USER again
    assert login(c).startswith("+OK")
    c.close()


def test_clear_text_waits_for_tls(make_proxy, settings):
    settings["listeners"] = [{"name": "pop3", "protocol": "pop3", "tls": "required"}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = connect(p)
    capabilities = multi(c, "CAPA")
    assert "STLS" in capabilities and "USER" not in capabilities and not [x for x in capabilities if x.startswith("SASL")]
    assert ask(c, f"USER {USER}").startswith("-ERR")
    assert ask(c, "AUTH PLAIN AAAA").startswith("-ERR")
    c.close()


def test_disabled_command(make_proxy, settings):
    settings["listeners"] = [{"name": "pop3", "protocol": "pop3", "allow_plaintext": True, "mechanisms": ["PLAIN"]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = connect(p)
    assert "USER" not in multi(c, "CAPA")
    assert ask(c, f"USER {USER}").startswith("-ERR")
    c.close()


def test_bytes_before_tls_are_dropped(proxy):
    c = connect(proxy)
    c.send("STLS\r\nNOOP\r\n")
    assert c.line().startswith("+OK")
    tls = imap.context().wrap_socket(c.sock, server_hostname="proxy.test")
    tls.sendall(b"CAPA\r\n")
    answer = tls.recv(1000)
    assert answer.startswith(b"+OK") and b"STLS" not in answer
    tls.close()


def test_kill_waits_for_the_end_of_a_message(proxy, dovecot1):
    dovecot1.deliver(USER, "Big", "\r\n".join("x" * 70 for _ in range(60000)))
    c = connect(proxy)
    assert login(c).startswith("+OK")
    count = int(ask(c, "STAT").split()[1])
    c.send(f"RETR {count}\r\n")
    assert c.line().startswith("+OK")
    answer = []
    killer = threading.Thread(target=lambda: answer.append(
        proxy.ctl("session", "kill", "user=" + USER, "--text", "Gone fishing")))
    killer.start()
    wait.until(lambda: proxy.sessions("phase=ending"), "the session that is told")
    lines = c.rest().decode().split("\r\n")
    killer.join()
    assert answer[0]["count"] == 1 and answer[0]["clean"] == 1 and answer[0]["cut"] == 0
    end = lines.index(".")
    assert lines[end + 1] == "-ERR [SYS/TEMP] Gone fishing" and lines[end + 2:] == [""]
    assert len([x for x in lines[:end] if x == "x" * 70]) == 60000
    c.close()


def test_identity_reaches_the_backend(make_pop3, dovecot1):
    p = make_pop3(forward="xclient")
    p.add_user(DIGEST_USER, DIGEST_PASSWORD)
    c = connect(p)
    local = c.sock.getsockname()[0]
    assert login(c, DIGEST_USER, DIGEST_PASSWORD).startswith("+OK")
    c.close()
    wait.until(lambda: dovecot1.logins("pop3", f"user=<{DIGEST_USER}>, method=PLAIN, rip={local}"), "rip")


def test_curl(proxy):
    done = subprocess.run(["curl", "-sk", "--user", f"{USER}:{PASSWORD}", f"pop3s://{proxy.host}:{proxy.ports['pop3s']}/1"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "This is dc1." in done.stdout, done.stderr
