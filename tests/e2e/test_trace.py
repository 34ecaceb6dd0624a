# SPDX-License-Identifier: ISC
"""session trace: every byte of a dialogue is seen, no secret is, and it ends by itself."""
import base64
import json
import os
import re
import socket
import stat
import subprocess

import pytest
from conftest import backend, site_settings
from harness import control, imap, sasl, wait
from harness.proxy import BUILD
from harness.server import Server
from harness.trace import Trace

USER, PASSWORD = "alice@example.org", "secret-a"
OTHER = "bob@example.org"
ALL = ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "SCRAM-SHA-256"]
PROTOCOLS = {"imap": ("* OK", sasl.imap), "pop3": ("+OK", sasl.pop3), "smtp": ("220", sasl.smtp)}


def forms(secret):
    """A secret as it may stand in a dialogue: as it is, and in base64 from each of the three places of a byte."""
    raw = secret.encode()
    yield secret
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw).decode()
        # what neighbours of the secret would change is left out
        yield coded[(0, 2, 3)[before]:len(coded) - 4].rstrip("=")


def check_hidden(text, *secrets):
    for secret in secrets:
        for form in forms(secret):
            assert len(form) >= 4 and form not in text, f"{form} of {secret}"


@pytest.fixture(scope="module")
def shared(make_shared_proxy, dovecot1, dovecot2, server_cert):
    p = make_shared_proxy({
        **site_settings(dovecot1, dovecot2, server_cert),
        "listeners": [
            {"name": p + s, "protocol": p, "tls": tls, "allow_plaintext": True,
             "mechanisms": ([] if p == "smtp" else ["COMMAND"]) + (["APOP"] if p == "pop3" else []) + ALL}
            for p in PROTOCOLS for s, tls in (("", "starttls"), ("s", "implicit"))
        ] + [{"name": "sieve", "protocol": "sieve", "tls": "starttls", "allow_plaintext": True}],
        "resolver": {"enabled": False},
        "pools": [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot1)]}]})
    for name, password in ((USER, PASSWORD), (OTHER, "pass-of-b")):
        p.ctl("user", "add", name, "--password-stdin", "--keep-plain", "--backend-password-stdin", stdin=f"{password}\n{password}\n")
    return p


@pytest.fixture
def proxy(shared):
    """Without sessions or traces of the test before."""
    wait.until(lambda: not shared.sessions() and shared.ctl("--allow-empty", "op", "list", "kind=trace", "state=running") == [],
               "the end of sessions and traces")
    return shared


@pytest.fixture
def make_trace(request):
    """make_trace(filter...) traces `proxy`, or the proxy `of`; all of them are ended at the end."""
    made = []

    def make(*args, of=None):
        made.append(Trace(of or request.getfixturevalue("proxy"), *args))
        return made[-1]

    yield make
    for t in made:
        t.end()


def connect(p, protocol="imap", tls=False):
    c = imap.Lines(p.host, p.ports[protocol + ("s" if tls else "")], tls=imap.context() if tls else None)
    c.until({"sieve": "OK"}.get(protocol) or PROTOCOLS[protocol][0])
    if protocol == "smtp":
        c.send("EHLO client.test\r\n")
        c.until("250 ")
    return c


# ---- what is seen ----

def test_a_login_from_the_first_byte_into_the_relay(proxy, make_trace):
    t = make_trace(f"user={USER}")
    c = connect(proxy)
    c.command("a1", "NOOP")
    assert c.command("a2", f"LOGIN {USER} {PASSWORD}")[-1].startswith("a2 OK")
    c.command("a3", 'LIST "" INBOX')
    c.command("a4", "LOGOUT")
    c.close()
    t.wait_for("ended by", "--")
    said = [(r["mark"], r["text"]) for r in t.rows()]
    marks = [m for m, _ in said]
    assert said[0] == ("--", said[0][1]) and said[0][1].startswith("imap session of 127.")
    assert said[1][0] == "C<" and said[1][1].startswith("* OK [CAPABILITY")
    assert said[2:4] == [("C>", "a1 NOOP\\r\\n"), ("C<", "a1 OK NOOP completed.\\r\\n")]
    assert said[4] == ("C>", f"a2 LOGIN {USER} ****\\r\\n")
    assert ("--", "connecting to main/dc1") in said and ("--", f"logged in as {USER}; relaying to main/dc1") in said
    assert any(m == "B<" and x.startswith("* OK [CAPABILITY") for m, x in said)
    assert any(m == "B>" and x.endswith("****\\r\\n") for m, x in said)
    assert (">>", 'a3 LIST "" INBOX\\r\\n') in said and any(m == "<<" and x.startswith("a3 OK") for m, x in said)
    assert marks.index("B<") < marks.index("B>") < marks.index(">>") < marks.index("<<")
    assert len({r["session"] for r in t.rows()}) == 1
    assert all(r["masked"] for r in t.rows() if "****" in r["text"])
    check_hidden(t.text(), PASSWORD)


def test_somebody_who_cannot_log_in(proxy, make_trace):
    """What was said before the name was known is told when it is; others are not."""
    t = make_trace(f"user={USER}")
    other = connect(proxy)
    other.command("b1", f"LOGIN {OTHER} pass-of-b")
    c = connect(proxy)
    assert c.command("a1", f"LOGIN {USER} not-the-password")[-1].startswith("a1 NO [AUTHENTICATIONFAILED]")
    t.wait_for("a1 NO [AUTHENTICATIONFAILED]", "C<")
    assert t.said()[1].startswith("* OK [CAPABILITY") and any("wrong password" in x for x in t.said("--"))
    check_hidden(t.text(), "not-the-password")
    assert OTHER not in t.text() and "b1" not in t.text()
    c.close()
    other.close()


def test_an_unknown_name_and_an_address(proxy, make_trace):
    t = make_trace("ip=127.0.0.0/8", "user=nobody*")
    other = connect(proxy)
    other.command("a0", f"LOGIN {OTHER} pass-of-b")
    other.close()
    c = connect(proxy)
    c.command("a1", "LOGIN nobody@example.org whatever-it-is")
    c.close()
    t.wait_for("ended by client", "--")
    assert "a1 LOGIN nobody@example.org ****\\r\\n" in t.said("C>")
    assert "a0" not in t.text()
    check_hidden(t.text(), "whatever-it-is", "pass-of-b")


def test_a_session_that_is_there(proxy, make_trace):
    c, other = connect(proxy), connect(proxy)
    for x in (c, other):
        x.command("a1", f"LOGIN {USER} {PASSWORD}")
    old = {s["id"] for s in proxy.sessions("state=relay")}
    c.command("a2", "NOOP")
    mine = [s for s in proxy.sessions() if s["port"] == c.sock.getsockname()[1]][0]["id"]
    assert mine in old
    t = make_trace(mine)
    t.wait_for(f"under way: relay, user {USER}, backend main/dc1", "--")
    other.command("b9", "NOOP")
    c.command("a9", "SELECT INBOX")
    t.wait_for("a9 OK", "<<")
    assert "a9 SELECT INBOX\\r\\n" in t.said(">>") and "b9" not in t.text()
    c.close()
    other.close()


def test_a_session_before_its_login(proxy, make_trace):
    c = connect(proxy)
    mine = proxy.sessions()[0]["id"]
    t = make_trace(mine)
    t.wait_for("under way: command", "--")
    c.send("a1 AUTHENTICATE PLAIN\r\n")
    assert c.line().startswith("+")
    c.send(base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()) + b"\r\n")
    c.until("a1 OK")
    t.wait_for("logged in", "--")
    assert t.said("C>") == ["a1 AUTHENTICATE PLAIN\\r\\n", "****\\r\\n"]
    check_hidden(t.text(), PASSWORD)
    c.close()


def test_a_tls_handshake_that_fails(proxy, make_trace):
    t = make_trace("ip=127.0.0.1", "listener=imaps")
    with socket.create_connection((proxy.host, proxy.ports["imaps"])) as s:
        s.sendall(b"a1 LOGIN in clear\r\n")
        s.recv(100)
    t.wait_for("TLS with the client failed", "--")
    t.wait_for("ended by", "--")


def test_starttls_is_followed_inside(proxy, make_trace):
    t = make_trace("ip=127.0.0.1")
    m = imap.starttls(proxy.host, proxy.ports["imap"])
    m.login(USER, PASSWORD)
    m.logout()
    t.wait_for("ended by", "--")
    assert any(re.match(r"TLSv1\.\d with the client", x) for x in t.said("--"))
    assert any(" STARTTLS\\r\\n" in x for x in t.said("C>")) and any(f"LOGIN {USER} ****" in x for x in t.said("C>"))
    check_hidden(t.text(), PASSWORD)


def test_behind_a_load_balancer(make_proxy, settings, make_trace):
    """The address is that of the PROXY header, which is seen too."""
    settings["listeners"] = [{"name": "imap", "protocol": "imap", "allow_plaintext": True, "proxy_protocol": ["127.0.0.0/8"]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    t, other = make_trace("ip=198.51.100.7", of=p), make_trace("ip=127.0.0.1", of=p)
    c = imap.Lines(p.host, p.ports["imap"])
    c.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 143\r\n")
    c.until("* OK")
    t.wait_for("* OK", "C<")
    assert t.said()[:2] == ["imap session of 198.51.100.7:4711 on listener imap", "PROXY TCP4 198.51.100.7 192.0.2.1 4711 143\\r\\n"]
    c.close()
    t.wait_for("ended by", "--")
    assert other.rows() == []


def test_a_backend_that_is_not_there(make_proxy, settings, make_trace):
    server = Server(lambda client: None)
    server.close()
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [{"name": "gone", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    t = make_trace(f"user={USER}", of=p)
    c = connect(p)
    assert c.command("a1", f"LOGIN {USER} {PASSWORD}")[-1].startswith("a1 NO [UNAVAILABLE]")
    c.close()
    t.wait_for("ended by", "--")
    said = t.said("--")
    assert any("no backend of the pool is up" in x or re.match(r"backend main/gone \(127\.\S+\) failed at step connect: connect", x) for x in said), said
    check_hidden(t.text(), PASSWORD)


def test_words_of_a_server_that_repeats(make_proxy, settings, make_trace):
    """What the proxy told it comes back neither to the trace nor to the client's side of it."""
    def serve(client):
        with client, client.makefile("rwb", buffering=0) as f:
            f.write(b"+OK ready\r\n")
            for line in f:
                f.write(b"+OK\r\n" if line.startswith(b"USER") else b"-ERR [AUTH] what is \"" + line.strip() + b"\"?\r\n")

    server = Server(serve)
    settings["listeners"] = [{"name": "pop3", "protocol": "pop3", "allow_plaintext": True}]
    settings["auth"] = [{"type": "backend"}]
    settings["pools"] = [{"name": "main", "tls": "off", "pass_error": True,
                          "backends": [{"name": "b", "host": server.host, "ports": {"pop3": server.port}}]}]
    p = make_proxy(settings)
    t = make_trace(f"user={USER}", of=p)
    c = connect(p, "pop3")
    c.send(f"USER {USER}\r\n")
    c.until("+OK")
    c.send(f"PASS {PASSWORD}\r\n")
    c.until("-ERR")
    c.close()
    t.wait_for("ended by", "--")
    assert '-ERR [AUTH] what is "PASS ****"?\\r\\n' in t.said("B<")
    check_hidden(t.text(), PASSWORD)
    server.close()


def test_long_bytes_are_cut_and_counted(proxy, make_trace, dovecot1):
    dovecot1.deliver(USER, "long", "x" * 70 + "\r\n" + "line of a long message\r\n" * 2000)
    t = make_trace(f"user={USER}")
    c = connect(proxy)
    c.command("a1", f"LOGIN {USER} {PASSWORD}")
    c.command("a2", "SELECT INBOX")
    c.command("a3", "FETCH * BODY.PEEK[]")
    t.wait_for("bytes that came along are left out", "--")
    note = [x for x in t.said("--") if "left out" in x][0]
    assert int(note.split()[0]) > 1000
    assert max(len(x) for x in t.said("<<")) <= 4 * 4096
    c.close()


# ---- what is not seen ----

def exchange(mechanism, password):
    return {"PLAIN": lambda: sasl.plain(USER, password), "LOGIN": lambda: sasl.login(USER, password),
            "CRAM-MD5": lambda: sasl.cram_md5(USER, password), "SCRAM-SHA-256": lambda: sasl.scram_sha_256(USER, password)}[mechanism]()


class Recorder:
    """A connection that remembers what was sent on it."""

    def __init__(self, connection):
        self.connection, self.sent = connection, []

    def send(self, data):
        self.sent.append(data if isinstance(data, str) else data.decode())
        self.connection.send(data)

    def line(self):
        return self.connection.line()


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mechanisms_hide_their_responses(proxy, make_trace, protocol, mechanism, tls):
    t = make_trace("ip=127.0.0.1")
    for initial in (True, False):
        for password in ("wrong-password", PASSWORD):
            c = connect(proxy, protocol, tls)
            r = Recorder(c)
            try:
                line = PROTOCOLS[protocol][1](r).run(mechanism, exchange(mechanism, password), initial)
            except AssertionError:  # the client of SCRAM finds the fault itself
                line = ""
            is_right = line.startswith(("a OK", "+OK", "235"))
            assert is_right == (password == PASSWORD), line
            if is_right:  # a server of mail to send takes its time when its client just goes, or is gone itself
                c.send({"imap": "z LOGOUT\r\n"}.get(protocol, "QUIT\r\n"))
                c.rest()
            c.close()
            wait.until(lambda: t.said("--")[-1].startswith("ended by"), "the end in the trace")
            said = t.text()
            check_hidden(said, password)
            for sent in r.sent:
                for word in sent.split():
                    assert word in ("a", "AUTHENTICATE", "AUTH", mechanism, "=") or f" {word}" not in said, word
            assert any(mechanism in x for x in t.said("C>")) and "****\\r\\n" in " ".join(t.said("C>"))
    if protocol != "smtp":
        assert any("logged in as" in x for x in t.said("--"))


@pytest.mark.parametrize("initial", [True, False])
def test_tokens(make_proxy, make_auth, settings, dovecot1, make_trace, initial):
    token = "a-token-that-is-wrong"
    auth = make_auth(lambda headers: {"Auth-Status": "Invalid login or password"})
    settings["listeners"] = [{"name": "imap", "protocol": "imap", "allow_plaintext": True, "mechanisms": ["XOAUTH2"]}]
    settings["auth"] = [{"type": "http", "url": auth.url}]
    p = make_proxy(settings)
    t = make_trace(f"user={USER}", of=p)
    c = connect(p)
    assert sasl.imap(c).run("XOAUTH2", sasl.xoauth2(USER, token), initial).startswith("a NO")
    t.wait_for("a NO", "C<")
    assert any(x.startswith("a AUTHENTICATE XOAUTH2 ") for x in t.said("C>")) == initial
    check_hidden(t.text(), token)
    c.close()


def test_pop3_words(proxy, make_trace):
    t = make_trace("ip=127.0.0.1")
    c = connect(proxy, "pop3")
    c.send(f"USER {USER}\r\nPASS wrong {PASSWORD}\r\n")
    c.until("-ERR")
    c.send(f"USER {USER}\r\nPASS {PASSWORD}\r\nSTAT\r\nQUIT\r\n")
    c.until("+OK Logging out")
    c.close()
    t.wait_for("ended by", "--")
    assert t.said("C>")[:4] == [f"USER {USER}\\r\\n", "PASS ****\\r\\n"] * 2
    assert f"USER {USER}\\r\\n" in t.said("B>") and "PASS ****\\r\\n" in t.said("B>")
    assert "STAT\\r\\n" in t.said(">>")
    check_hidden(t.text(), PASSWORD)


def test_apop(proxy, make_trace):
    import poplib
    t = make_trace("proto=pop3", "ip=127.0.0.1")
    m = poplib.POP3(proxy.host, proxy.ports["pop3"], timeout=30)
    m.apop(USER, PASSWORD)
    m.quit()
    t.wait_for("ended by", "--")
    assert t.said("C>")[0] == f"APOP {USER} ****\\r\\n"
    assert not re.search(r"\b[0-9a-f]{32}\b", t.text())
    check_hidden(t.text(), PASSWORD)


@pytest.mark.parametrize("form", ["quoted", "literal", "exchange"])
def test_sieve(proxy, make_trace, form):
    t = make_trace(f"user={USER}")
    token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    c = connect(proxy, "sieve")
    if form == "quoted":
        c.send(f'AUTHENTICATE "PLAIN" "{token}"\r\n')
    elif form == "literal":
        c.send(f'AUTHENTICATE "PLAIN" {{{len(token)}+}}\r\n{token}\r\n')
    else:
        c.send('AUTHENTICATE "PLAIN"\r\n')
        c.line()
        c.send(f'"{token}"\r\n')
    c.until("OK")
    c.send("LOGOUT\r\n")
    c.until("OK")
    c.close()
    t.wait_for("ended by", "--")
    assert t.said("C>")[0].startswith('AUTHENTICATE "PLAIN"') and any('AUTHENTICATE "PLAIN" ****' in x for x in t.said("B>"))
    assert token not in t.text() and "LOGOUT\\r\\n" in t.said(">>")
    check_hidden(t.text(), PASSWORD)


def test_a_literal_bit_by_bit(proxy, make_trace):
    t = make_trace(f"user={USER}")
    c = connect(proxy)
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in f"a1 LOGIN {{{len(USER)}+}}\r\n{USER} {{{len(PASSWORD)}+}}\r\n{PASSWORD}\r\n":
        before = proxy.sessions()[0]["in"]
        c.send(byte)
        wait.until(lambda n=before: all(s["in"] > n for s in proxy.sessions()), "the byte", step=0.005)
    c.until("a1 OK")
    t.wait_for("logged in", "--")
    check_hidden(t.text(), PASSWORD)
    assert "".join(t.said("C>")) == f"a1 LOGIN {{{len(USER)}+}}\\r\\n{USER} ****\\r\\n"
    c.close()


def test_secrets_where_no_command_is(proxy, make_trace):
    """A response that nobody asked for is a command that nobody knows, and its answer repeats it."""
    t = make_trace("ip=127.0.0.1")
    token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    c = connect(proxy)
    c.send(f"a1 AUTHENTICATE NTLM\r\n{token}\r\n{PASSWORD} x y\r\n")
    c.until(f"{PASSWORD} BAD")
    c.close()
    t.wait_for("ended by", "--")
    assert "a1 AUTHENTICATE NTLM\\r\\n" in t.said("C>") and any(x.startswith("**** BAD") for x in t.said("C<"))
    assert token not in t.text()
    check_hidden(t.text(), PASSWORD)


def serve_mail(client):
    """A mail server that takes everything."""
    with client, client.makefile("rwb", buffering=0) as f:
        f.write(b"220 mx.test\r\n")
        for _ in f:
            f.write(b"250 fine\r\n")


def test_a_login_within_the_relay(make_proxy, settings, make_trace):
    """It is refused, and nobody sees what was said."""
    server = Server(serve_mail)
    settings["listeners"] = [{"name": "mx", "protocol": "smtp", "auth": "none"}]
    settings["resolver"] = {"enabled": False}
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [{"name": "b", "host": server.host, "ports": {"smtp": server.port}}]}]
    p = make_proxy(settings)
    t = make_trace("ip=127.0.0.1", of=p)
    token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    c = imap.Lines(p.host, p.ports["mx"])
    c.line()
    for line in ("EHLO x", f"MAIL FROM:<{USER}>", f"RCPT TO:<{OTHER}>", "NOOP"):
        c.send(line + "\r\n")
        c.until("250 ")
    c.send(f"AUTH PLAIN {token}\r\n")
    assert c.until("503 ") and c.rest() == b""
    c.close()
    t.wait_for("ended by", "--")
    assert t.said(">>") == ["NOOP\\r\\n"]
    assert t.said("B>")[-2:] == [f"MAIL FROM:<{USER}>\\r\\n", f"RCPT TO:<{OTHER}>\\r\\n"]
    assert token not in t.text()
    check_hidden(t.text(), PASSWORD)
    server.close()


def test_the_masters_password(make_proxy, settings, dovecot1, folder, make_trace):
    path = folder + "/master-password"
    with open(path, "w", encoding="ascii") as f:
        f.write("master-secret\n")
    settings["pools"] = [{"name": "main", "tls": "off", "master_user": "master", "master_password_file": path, "backends": [backend(dovecot1)]}]
    p = make_proxy(settings)
    p.add_user(OTHER, "known to the proxy only")
    t = make_trace(f"user={OTHER}", of=p)
    c = connect(p)
    assert c.command("a1", f'LOGIN {OTHER} "known to the proxy only"')[-1].startswith("a1 OK")
    t.wait_for("logged in", "--")
    check_hidden(t.text(), "master-secret", "known to the proxy only", "proxy only")
    c.close()


# ---- how it ends, and who may ----

def operation(proxy):
    return proxy.ctl("op", "list", "kind=trace")[0]


def test_ends_by_time(proxy, make_trace):
    t = make_trace(f"user={USER}", "--for", "1s")
    assert operation(proxy)["state"] == "running" and operation(proxy)["target"] == f"user={USER}"
    assert t.wait() == (0, "")  # with -o jsonl nothing else is said
    assert operation(proxy)["state"] == "done"


def test_ends_by_bytes(proxy, make_trace):
    t = make_trace("ip=127.0.0.1", "--max-bytes", "100")
    connect(proxy).close()
    assert t.wait()[0] == 0
    assert operation(proxy)["state"] == "done" and "bytes are used up" in operation(proxy)["text"]
    assert operation(proxy)["done"] >= 100


def test_is_cancelled(proxy, make_trace):
    t = make_trace(f"user={USER}")
    proxy.ctl("op", "cancel", operation(proxy)["id"])
    assert t.wait()[0] == 0
    assert operation(proxy)["state"] == "cancelled"
    c = connect(proxy)
    c.command("a1", f"LOGIN {USER} {PASSWORD}")
    c.close()
    assert t.rows() == []


def test_ends_with_its_reader(proxy, make_trace):
    t = make_trace("ip=127.0.0.1")
    c = connect(proxy)
    t.wait_for("* OK", "C<")
    t.end()
    wait.until(lambda: operation(proxy)["state"] == "done", "the end of the trace")
    assert c.command("a1", f"LOGIN {USER} {PASSWORD}")[-1].startswith("a1 OK")
    c.close()


def test_is_cancelled_on_the_wire(proxy):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(proxy.control)
        f = s.makefile("rw")

        def ask(method, **params):
            f.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
            f.flush()

        def receive(key):
            while True:
                m = json.loads(f.readline())
                if key in m:
                    return m[key]
        ask("session.trace", filter="ip=127.0.0.1")
        answer = receive("result")
        assert answer["op"] == operation(proxy)["id"]
        connect(proxy).close()
        while True:
            row = receive("params")
            if row.get("mark") == "C<":
                break
        assert row["stream"] == answer["stream"] and row["direction"] == "proxy-client" and row["time"] > 1e12
        ask("stream.cancel", stream=answer["stream"])
        assert receive("result") == {"changed": True}
        ask("stream.cancel", stream=answer["stream"])
        assert receive("result") == {"changed": False}
    assert operation(proxy)["state"] == "cancelled"


def test_is_audited(proxy, make_trace):
    make_trace(f"user={USER}", "--reason", "ticket 7")
    row = proxy.ctl("audit", "list")[0]
    assert row["command"] == "session.trace"
    assert f"filter=user={USER}" in row["args"] and row["reason"] == "ticket 7" and row["result"] == "ok"


@pytest.mark.parametrize("args", [["user=x", "--for", "2h"], ["user=x", "--for", "0s"], ["user=x", "--max-bytes", "0"], ["idle>1m"],
                                  ["backend=b1"], []])
def test_bad_arguments(proxy, args):
    before = proxy.ctl("--allow-empty", "op", "list", "kind=trace")
    done = proxy.ctl_run("session", "trace", *args, check=False)
    assert done.returncode in (1, 2), done.stderr
    assert [r["id"] for r in proxy.ctl("--allow-empty", "op", "list", "kind=trace")] == [r["id"] for r in before]


def test_no_more_than_eight(proxy, make_trace):
    traces = [make_trace(f"user=u{i}") for i in range(8)]
    done = proxy.ctl_run("session", "trace", "user=u9", check=False)
    assert done.returncode == 1 and "8 traces run already" in done.stderr
    traces[3].end()
    wait.until(lambda: len(Trace.operations(proxy)) == 7, "room for another")
    t = make_trace(f"user={USER}")
    c = connect(proxy)
    c.command("a1", f"LOGIN {USER} {PASSWORD}")
    t.wait_for("logged in", "--")
    c.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_needs_the_role_admin(make_proxy, settings):
    p = control.proxy_for_nobody(make_proxy, settings, "operator")
    hello, answer = control.ask_as_nobody(p, ("session.trace", {"filter": "user=x"}))
    assert hello["params"]["role"] == "operator"
    assert answer["error"]["data"]["name"] == "E_PERM" and "role admin" in answer["error"]["message"]
    assert p.ctl("audit", "list")[0]["result"] == "E_PERM"


# ---- files and formats ----

def test_a_file_of_ones_own(proxy, folder):
    path = folder + "/trace.txt"
    env = {**os.environ, "MAILPROXY_SOCKET": proxy.control, "TZ": "UTC"}
    command = [os.path.join(BUILD, "mailproxyctl"), "session", "trace", f"user={USER}", "--for", "20s", "--save", path]
    old = os.umask(0)
    try:
        run = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        os.umask(old)
    wait.until(lambda: Trace.operations(proxy), "the trace to begin")
    c = connect(proxy)
    c.command("a1", f"LOGIN {USER} {PASSWORD}")
    c.close()

    def text():
        with open(path, encoding="ascii") as f:
            return f.read()
    wait.until(lambda: "ended by" in text(), "the end in the file")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    proxy.ctl("op", "cancel", operation(proxy)["id"])
    out, _ = run.communicate(timeout=30)
    assert run.returncode == 0 and "LOGIN" not in out
    assert re.search(rf"^\d\d:\d\d:\d\d\.\d{{3}}  \S+ +C>  a1 LOGIN {USER} \*\*\*\*\\r\\n$", text(), re.MULTILINE)
    check_hidden(text(), PASSWORD)
    again = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert again.returncode == 1 and "cannot be written" in again.stderr
    assert json.loads(proxy.ctl_run("-o", "json", "op", "list", "kind=trace").stdout)


def test_a_reader_that_does_not_read(proxy):
    """What it does not take is dropped and counted; sessions go on."""
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(proxy.control)
    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"session.trace","params":{"filter":"ip=127.0.0.1","max_bytes":"1g","for":"1h"}}\n')
    wait.until(lambda: Trace.operations(proxy), "the trace to begin")
    c = connect(proxy)
    c.command("a1", f"LOGIN {USER} {PASSWORD}")
    line = "x " + "y" * 3000
    for i in range(1500):
        c.send(f"b{i} NOOP {line}\r\n")
        c.until(f"b{i} ")
    assert c.command("a2", "NOOP")[-1].startswith("a2 OK")
    c.close()
    wait.until(lambda: proxy.ctl("session", "list", "--allow-empty") == [], "the session's end")
    s.settimeout(0.2)
    seen = b""

    def is_told():
        nonlocal seen
        try:
            seen = seen[-200:] + s.recv(1 << 20)
        except TimeoutError:
            connect(proxy).close()  # the next event brings the news
        return b"events were dropped" in seen
    wait.until(is_told, "the count of what was dropped")
    s.close()
    wait.until(lambda: operation(proxy)["state"] == "done", "the end of the trace")
    assert re.search(r"[1-9]\d* events dropped", operation(proxy)["text"])
