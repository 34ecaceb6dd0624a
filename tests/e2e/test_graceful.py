# SPDX-License-Identifier: ISC
"""Graceful ends: clients that come back after a goodbye and do again what had no answer. No mail is there twice, none is lost."""
import base64
import socket
import threading
import time

import pytest
from conftest import USERS, backend
from harness import imap, wait
from harness.proxy import allowance
from harness.retrying import CLIENTS, Operator, SlowSmtp, judge
from harness.server import Server

USER, PASSWORD = "g1@example.org", "pw"
TOKEN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
PEOPLE = [f"g{n}@example.org" for n in range(1, 5)]
SLOW = allowance(0.7)
ENDS = 25  # of each protocol


@pytest.fixture(scope="module")
def slow():
    s = SlowSmtp(SLOW, held=("cut", "second"))
    yield s
    s.close()


@pytest.fixture
def proxy(make_proxy, settings, dovecot1, slow):
    settings["listeners"] = [{"name": p, "protocol": p, "tls": "off", "allow_plaintext": True, **({"pool": "mx"} if p == "smtp" else {})}
                             for p in CLIENTS]
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]},
                         {"name": "mx", "tls": "off", "backends": [{"name": "mx", "host": slow.host, "ports": {"smtp": slow.port}}]}]
    p = make_proxy(settings)
    for user in PEOPLE:
        p.add_user(user, USERS[user])
    return p


def start(proxy, protocol, stop, users=PEOPLE):
    clients = [CLIENTS[protocol](proxy, user, USERS[user], n, stop) for n, user in enumerate(users)]
    for c in clients:
        c.thread.start()
    return clients


def finish(clients, stop):
    stop.set()
    for c in clients:
        c.thread.join(60)
        assert not c.thread.is_alive()


def prepare(dovecot, protocol):
    for user in PEOPLE:
        if protocol == "pop3":
            for n in range(30):
                dovecot.deliver(user, f"mail {n}", "x" * 70)
        if protocol == "imap":
            m = imap.plain(dovecot.host, dovecot.ports["imap"])
            m.login(user, USERS[user])
            m.create("Sent")
            m.logout()


@pytest.mark.parametrize("protocol", sorted(CLIENTS))
def test_ends_hurt_nobody(proxy, dovecot1, slow, protocol):
    prepare(dovecot1, protocol)
    stop = threading.Event()
    clients = start(proxy, protocol, stop)
    operator = Operator(proxy, protocol)
    try:
        operator.run(ENDS)
    finally:
        finish(clients, stop)
    hurt = judge(clients, slow)
    assert not hurt and operator.cut == 0 and not operator.rows, (hurt, operator.rows)
    assert operator.clean == operator.ended >= ENDS


# ---- the grace ----

def logged_in(proxy, user=USER):
    return imap.logged_in(proxy, user, USERS[user])


def sending(proxy, name):
    """An SMTP client whose message is complete, and which waits for the server's word."""
    c = imap.Lines(proxy.host, proxy.ports["smtp"])
    c.line()
    c.send(f"EHLO client.test\r\nAUTH PLAIN {TOKEN}\r\nMAIL FROM:<{name}>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
    c.until("354")
    c.send(f"Attempt: {name}\r\n\r\nx\r\n.\r\n")
    wait.until(lambda: proxy.sessions("phase=command verb=DATA"), "the data's end")
    return c


def later(function, *args, **params):
    """Runs it in a thread; call the result to get its result."""
    answer = []
    thread = threading.Thread(target=lambda: answer.append(function(*args, **params)))
    thread.start()

    def get():
        thread.join()
        return answer[0]
    return get


@pytest.mark.parametrize("verb", ["kill", "kick", "lock"])
def test_the_command_under_way_is_answered(proxy, slow, verb):
    c = sending(proxy, f"answered-{verb}")
    begin = time.monotonic()
    args = ["session", "kill", "user=" + USER] if verb == "kill" else ["user", verb, USER]
    done = proxy.ctl(*args, "--text", "Back at noon", "--yes")
    assert (done["count"], done["clean"], done["cut"]) == (1, 1, 0) and time.monotonic() - begin > SLOW / 2
    assert c.line() == "250 2.0.0 taken" and c.line().startswith("421 4.3.2 Back at noon") and c.rest() == b""
    assert slow.mails[f"answered-{verb}"] == 1
    c.close()


@pytest.mark.parametrize("how", [("--grace", "10ms"), ("--now",)])
def test_what_is_cut_is_counted_and_named(proxy, how):
    c = sending(proxy, "cut")
    sid = proxy.sessions("user=" + USER)[0]["id"]
    done = proxy.ctl("session", "kill", "user=" + USER, *how, "--yes")
    assert (done["count"], done["clean"], done["cut"]) == (1, 0, 1)
    assert [(r["id"], r["user"], r["cut"], r["verb"]) for r in done["rows"]] == [(sid, USER, 1, "DATA")]
    assert c.rest()[:10] == (b"421 4.3.2 " if how[0] == "--grace" else b"")
    proxy.wait_for_log("reason=killed cut=1")
    c.close()


def test_a_second_operator_shortens_the_grace(proxy):
    c = sending(proxy, "second")
    first = later(proxy.ctl, "session", "kill", "user=" + USER, "--yes")
    wait.until(lambda: proxy.sessions("phase=ending"), "the first one's end")
    assert proxy.ctl("session", "kill", "user=" + USER, "--now", "--yes")["cut"] == 1
    assert first()["cut"] == 1 and c.rest() == b""
    c.close()


def test_idle_is_quiet(proxy):
    c = logged_in(proxy)
    c.send("b IDLE\r\n")
    c.until("+")
    begin = time.monotonic()
    assert proxy.ctl("session", "kill", "user=" + USER, "--yes")["clean"] == 1 and time.monotonic() - begin < 5
    assert b"* BYE" in c.rest()
    c.close()


def test_an_upload_is_taken_and_nothing_behind_it(proxy, dovecot1):
    c = logged_in(proxy)
    c.send("b APPEND INBOX {20+}\r\nSubject: ")
    wait.until(lambda: proxy.sessions("phase=data"), "the upload")
    done = later(proxy.ctl, "session", "kill", "user=" + USER, "--yes")
    wait.until(lambda: proxy.sessions("phase=ending"), "the end that waits")
    time.sleep(0.2)
    c.send("x\r\n\r\nabcdef\r\nc CREATE never\r\nd APPEND INBOX {20+}\r\n")
    lines = c.until("* BYE")
    assert lines[-2].startswith("b OK") and not [x for x in lines if x.startswith(("c ", "d "))] and c.rest() == b""
    assert done()["clean"] == 1
    m = imap.plain(dovecot1.host, dovecot1.ports["imap"])
    m.login(USER, PASSWORD)
    assert m.list('""', "never")[1] == [None]
    m.logout()
    c.close()


def compressing(sock):
    """An IMAP server that says yes, and then speaks in riddles."""
    file = sock.makefile("rb")
    sock.sendall(b"* OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] ready\r\n")
    while line := file.readline():
        tag, verb = line.split()[:2]
        sock.sendall((b"* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE\r\n" if verb.upper() == b"CAPABILITY" else b"") + tag + b" OK done\r\n")
        if verb.upper() == b"COMPRESS":
            break
    while data := sock.recv(1000):
        sock.sendall(data)


def test_a_compressed_stream_ends_when_it_is_silent(make_proxy, settings):
    server = Server(compressing)
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [{"name": "z", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = logged_in(p)
    c.command("b", "COMPRESS DEFLATE")
    c.send(b"\x00\r\n* \xff")
    assert c.file.read(6) == b"\x00\r\n* \xff"
    done = p.ctl("session", "kill", "user=" + USER, "--yes")
    assert (done["count"], done["clean"], done["cut"]) == (1, 0, 0) and c.rest() == b""
    c.close()
    server.close()


# ---- rates ----

RATE = 4


def crowd(proxy, n):
    """n sessions, and a function that waits for their ends and tells the moments, in order."""
    clients = [logged_in(proxy) for _ in range(n)]
    told = []

    def wait_for_end(c):
        told.append(b"* BYE" in c.rest())
        c.close()
    threads = [threading.Thread(target=wait_for_end, args=(c,)) for c in clients]
    for t in threads:
        t.start()

    def ends():
        for t in threads:
            t.join(30)
        assert told == [True] * n
        return proxy.times_of("session-end", n)
    return ends


def is_paced(moments):
    """Never more than RATE in a second; an end that is noted late is forgiven."""
    return all(b - a > 0.7 for a, b in zip(moments, moments[RATE + 1:]))


def test_a_deadline_does_not_exceed_the_rate(proxy):
    ends = crowd(proxy, 10)
    proxy.ctl("backend", "drain", "main/dc1", "--yes", "--kick", "--rate", str(RATE), "--deadline", "300ms")
    moments = ends()
    assert is_paced(moments), moments


def test_a_stop_does_not_exceed_its_rate(proxy):
    proxy.configure({"shutdown_rate": RATE, "shutdown_timeout": "2s"})
    proxy.ctl("config", "reload")
    ends = crowd(proxy, 10)
    proxy.ctl("system", "stop", "--yes")
    moments = ends()
    assert is_paced(moments), moments
    wait.until(lambda: not proxy.process.is_running(), "the end")
    assert "stopped cut=0" in proxy.log()


def test_a_stop_lets_commands_be_answered(proxy, slow):
    c = sending(proxy, "stopped")
    proxy.ctl("system", "stop", "--yes")
    assert c.line() == "250 2.0.0 taken" and c.line().startswith("421") and slow.mails["stopped"] == 1
    c.close()


def test_impatient_client_of_a_server_that_goes(make_proxy, settings):
    """Nobody will answer: the session ends at once, not when its time is up."""
    def serve(client):
        f = client.makefile("rb")
        client.sendall(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
        for line in f:
            tag, verb = line.split()[:2]
            if verb.upper() == b"APPEND":
                client.sendall(b"* BYE too much\r\n")
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(b"* CAPABILITY IMAP4rev1\r\n" * (verb.upper() == b"CAPABILITY") + tag + b" OK done\r\n")
    server = Server(serve)
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [{"name": "gone", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = imap.logged_in(p, USER, PASSWORD)
    late = imap.logged_in(p, USER, PASSWORD)
    c.send("b APPEND INBOX {5}\r\nhello\r\nc NOOP\r\n")
    assert c.rest() == b"* BYE too much\r\n"
    late.send("b APPEND INBOX {5}\r\n")
    assert late.line() == "* BYE too much"
    late.send("hello\r\n")  # with the server gone
    assert late.rest() == b""
    wait.until(lambda: not p.sessions(), "no session")
    server.close()


def test_stop_of_a_session_that_nobody_ends(make_proxy, settings):
    """Neither the server answers nor the client goes: the log has the session's end all the same."""
    def serve(client):
        f = client.makefile("rb")
        client.sendall(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
        for line in f:
            tag, verb = line.split()[:2]
            if verb.upper() != b"SEARCH":
                client.sendall(b"* CAPABILITY IMAP4rev1\r\n" * (verb.upper() == b"CAPABILITY") + tag + b" OK done\r\n")
    server = Server(serve)
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [{"name": "mute", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy({**settings, "shutdown_timeout": "2s"})
    p.add_user(USER, PASSWORD)
    c = imap.logged_in(p, USER, PASSWORD)
    c.send("b SEARCH ALL\r\n")
    wait.until(lambda: p.sessions()[0]["phase"] == "command", "the command")
    process = p.process
    p.stop()
    ends = [line for line in process.text().splitlines() if " session-end " in line]
    assert len(ends) == 1 and "reason=shutdown" in ends[0], process.text()
    c.close()
    server.close()


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "refused"])
def test_impatient_client_is_ended(make_proxy, settings, is_taken):
    """The message that it sent without waiting is stored before the goodbye, or refused; what came behind it begins nothing any more."""
    answer, got = threading.Event(), []

    def serve(client):
        f = client.makefile("rb")
        client.sendall(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
        for line in f:
            tag, verb = line.split()[:2]
            if verb.upper() == b"APPEND":
                answer.wait(30)
                if is_taken:
                    client.sendall(b"+ go\r\n")
                    got.append(f.read(int(line.split(b"{")[1].split(b"}")[0]) + 2))
                client.sendall(tag + (b" OK stored\r\n" if is_taken else b" NO [OVERQUOTA] full\r\n"))
            else:
                got.append(verb) if got or verb == b"NOOP" else None
                client.sendall(b"* CAPABILITY IMAP4rev1\r\n" * (verb.upper() == b"CAPABILITY") + tag + b" OK done\r\n")
    server = Server(serve)
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [{"name": "slow", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = imap.logged_in(p, USER, PASSWORD)
    text = "x" * (1000000 if is_taken else 100000)  # the first is more than one read brings
    sent = threading.Thread(target=c.send, args=(f"b APPEND INBOX {{{len(text)}}}\r\n{text}\r\nc NOOP\r\n",))
    sent.start()
    wait.until(lambda: p.sessions()[0]["in"] > 1000, "the message at the proxy")
    kill = threading.Thread(target=lambda: kill.result.update(p.ctl("session", "kill", "--all", "--yes", "--grace", "30s")))
    kill.result = {}
    kill.start()
    wait.until(lambda: p.sessions()[0]["phase"] == "ending", "the end's beginning")
    answer.set()
    rest = c.rest().decode()
    kill.join(30)
    sent.join(30)
    assert kill.result["cut"] == 0, kill.result
    assert rest.startswith("+ go\r\nb OK" if is_taken else "b NO") and "* BYE" in rest and "c OK" not in rest
    assert got == ([text.encode() + b"\r\n"] if is_taken else [])
    server.close()
