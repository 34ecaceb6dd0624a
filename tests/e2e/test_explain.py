# SPDX-License-Identifier: ISC
"""What is wrong with a login, in 35 situations: route explain says it, before and after a try; the log and the events tell of the try."""
import os
import poplib
import re

import pytest
from conftest import backend
from harness import imap, wait
from harness.control import Control
from harness.proxy import Proxy

PASSWORD = "pw"
CLIENT = "127.0.0.1"
FAIL2BAN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "fail2ban", "mailproxy.conf")


def fail2ban(line):
    """The address that the filter would ban for a line of the log; None: nobody. fail2ban takes the time out of a line first."""
    with open(FAIL2BAN) as f:
        rows = re.search(r"failregex = (.*?)\nignoreregex", f.read(), re.S)[1].split("\n")
    for row in rows:
        found = re.search(row.strip().replace("<HOST>", r"(?P<host>[0-9a-f.:]+?)"), re.sub(r"^\S+Z ", " ", line))
        if found:
            return found["host"]
    return None


@pytest.fixture(scope="module")
def shared(root, dovecot1, dovecot2, server_cert):
    """One proxy for most situations: a pool for each, which the domain of the user chooses."""
    cert, key = server_cert
    fast = {"interval": "100ms", "rise": 1, "fall": 1}
    dead = {"name": "dead", "host": "127.0.0.1", "ports": {"imap": 1, "pop3": 1}}
    half = backend(dovecot2)
    half.update(name="half", ports={**half["ports"], "pop3": 1})
    pools = {
        "main": {"tls": "off", "backends": [backend(dovecot1)], "check": fast},
        "empty": {"tls": "off", "backends": []},
        "weightless": {"tls": "off", "backends": [{**backend(dovecot1), "name": "light", "weight": 0}]},
        "dead": {"tls": "off", "backends": [dead], "check": fast},
        "blind": {"tls": "off", "backends": [{**dead, "name": "unseen"}], "check": {"enabled": False}},
        "half": {"tls": "off", "backends": [half], "check": fast},
        "tls": {"tls": "starttls", "backends": [{**backend(dovecot1), "name": "untrusted"}], "check": {"enabled": False}},
        "drained": {"tls": "off", "backends": [{**backend(dovecot1), "name": "out1"}, {**backend(dovecot2), "name": "out2"}]},
        "held": {"tls": "off", "backends": [{**backend(dovecot1), "name": "waiting"}]},
        "full": {"tls": "off", "backends": [{**backend(dovecot1), "name": "narrow", "max_sessions": 1}]},
        "unnamed": {"tls": "off", "backends": [{**dead, "name": "nameless", "host": "mail.invalid"}], "check": {"enabled": False}},
    }
    p = Proxy(os.path.join(root, "explain"), {
        "tls": {"certificates": [{"cert": cert, "key": key}]},
        "limits": {"sessions_per_user": 1},
        "listeners": [{"name": name, "protocol": proto, "tls": "starttls", "allow_plaintext": True}
                      for name, proto in (("imap", "imap"), ("pop3", "pop3"), ("quiet", "imap"))] +
                     [{"name": "strict", "protocol": "imap", "tls": "starttls"}],
        "timeouts": {"hold": "300ms"},
        "auth": [{"type": "users"}],
        "pools": [{"name": name, **pool} for name, pool in pools.items()],
        "routes": [{"domain": f"{name}.test", "pool": name} for name in pools if name != "main"],
    }).start()
    wait.until(lambda: healths(p).items() >= {("dc1", "up"), ("dead", "down"), ("half", "up")}, "the first checks")
    wait.until(lambda: p.ctl("backend", "show", "half").get("down") == "pop3", "pop3 to be down")
    yield p
    p.stop()


def add_user(p, name):
    """One whose mailbox is another's: the mail servers know six users only."""
    p.add_user(name, PASSWORD, backend_user="u1@example.org")


def healths(p):
    return {r["name"]: r["health"] for r in p.ctl("backend", "list")}


def explain(p, user, *args):
    return p.ctl("route", "explain", user, *args)


def try_imap(p, user, password=PASSWORD, listener="imap"):
    """The answer to a login, and the connection is closed."""
    c = imap.Lines(p.host, p.ports[listener])
    c.line()
    answer = c.command("a", f"LOGIN {user} {password}")[-1]
    c.close()
    return answer


def failure_line(p, user):
    """The last line about a login of the user that failed."""
    lines = [line for line in p.whole_log().split("\n") if " login-failed " in line and f" user={user} " in line]
    assert lines, f"no line about {user}"
    return lines[-1]


def last_event(p, user):
    p.whole_log()
    r = Control(p.control)
    r.call("event.watch", filter=f"type=failure user={user}", last=1)
    event = r.receive()["params"]
    r.close()
    return event


# Name of the situation: commands that bring it about, the user, arguments of explain, what the verdict must say, what a try is answered
# (None: no try), the cause in the log.
SITUATIONS = {
    "nobody": ([], "nobody@example.org", [], r"^refused: no provider knows this user", "AUTHENTICATIONFAILED", "auth-failed"),
    "locked": ([["user", "lock", "USER", "--text", "call us", "--yes"]], "locked@example.org", [],
               r"^refused: the user is locked: call us", "call us", "locked"),
    "on hold": ([["user", "hold", "USER"]], "held@example.org", [], r"^waits: the user is on hold", None, None),
    "protocol": ([["user", "set", "USER", "--protocols", "pop3"]], "protocol@example.org", [], r"^refused: the user may not use imap",
                 " NO ", None),
    "user banned": ([["ban", "add", "USER"]], "banned@example.org", [], r"^refused: banned@example.org is banned", " NO ", "banned"),
    "address banned": ([["ban", "add", "192.0.2.0/24", "--yes"]], "address@example.org", ["--ip", "192.0.2.7"],
                       r"^refused: 192.0.2.0/24 is banned", None, None),
    "listener paused": ([["listener", "pause", "quiet"]], "paused@example.org", ["--listener", "quiet"],
                        r"^waits: listener quiet is paused", None, None),
    "backend on hold": ([["backend", "hold", "waiting"]], "a@held.test", [], r"^waits: backend waiting is on hold", None, None),
    "pin to nothing": ([["backend", "add", "main", "gone", "127.0.0.1", "--ports", "imap=9"], ["user", "set", "USER", "--backend", "gone"],
                        ["backend", "remove", "gone", "--yes", "--force"]], "pinned@example.org", [],
                       r"^fails: the user is pinned to backend gone, which is in no pool", "UNAVAILABLE", "backend-down"),
    "pin to a drained one": ([["user", "set", "USER", "--backend", "out1"], ["backend", "drain", "out1", "--yes"]], "pin@example.org", [],
                             r"^waits: its backend out1 is drained", None, None),
    "pin to a dead one": ([["user", "set", "USER", "--backend", "dead"]], "pin2@example.org", [],
                          r"^fails: backend dead is down \(\S+ ago \(check\): connect: connection refused\); checks tell", "UNAVAILABLE",
                          "backend-down"),
    "pool empty": ([], "a@empty.test", [], r"^fails: no backend of pool empty takes logins: it has none$", "UNAVAILABLE", "backend-down"),
    "no weight": ([], "a@weightless.test", [], r"takes logins: light has weight 0$", "UNAVAILABLE", "backend-down"),
    "all drained": ([["backend", "drain", "out1", "--yes"], ["backend", "disable", "out2", "--yes"]], "a@drained.test", [],
                    r"takes logins: out\d is (drained|disabled), out\d is (drained|disabled)$", "UNAVAILABLE", "backend-down"),
    "down by checks": ([], "a@dead.test", [],
                       r"takes logins: dead is down \(\S+ ago \(check\): connect: connection refused\); dead is checked again", "UNAVAILABLE",
                       "backend-down"),
    "one protocol down": ([], "a@half.test", ["--listener", "pop3"],
                          r"takes logins: half is down for pop3 \(\S+ ago \(check\): connect: connection refused\)", None, None),
    "the other protocol": ([], "b@half.test", [], r"^logs in at half$", " OK ", None),
    "nothing": ([], "good@example.org", [], r"^logs in at dc1$", " OK ", None),
}


def spell(words, user):
    return [user if w == "USER" else w for w in words]


@pytest.mark.parametrize("name", SITUATIONS)
def test_situation(shared, name):
    commands, user, args, verdict, answer, cause = SITUATIONS[name]
    if name != "nobody":
        add_user(shared, user)
    for words in commands:
        shared.ctl(*spell(words, user))
    row = explain(shared, user, *args)
    assert re.search(verdict, row["verdict"]), row
    assert "failures" not in row
    if answer:
        assert answer in try_imap(shared, user)
        wait.until(lambda: not shared.sessions("user=" + user), "the end of the session")
        row = explain(shared, user, *args)
        assert re.search(verdict, row["verdict"]), row  # what stands in the way goes before what failed
    if cause:
        line = failure_line(shared, user)
        event = last_event(shared, user)
        assert f" cause={cause} " in line and event["cause"] == cause and event["listener"] == "imap"
        assert event["ip"] in line and event["text"].startswith(cause + ": ")
        assert " ago from 127" in row["failures"] and "by imap: " in row["failures"]
        assert fail2ban(line) == (event["ip"] if cause == "auth-failed" else None)
        assert "not reachable" not in line


def test_sessions_of_the_user_are_used_up(shared):
    user = "busy@example.org"
    add_user(shared, user)
    c = imap.logged_in(shared, user, PASSWORD)
    assert explain(shared, user)["verdict"] == "refused: the user has 1 of 1 sessions"
    assert "LIMIT" in try_imap(shared, user)
    assert " cause=limit " in failure_line(shared, user) and " source=limits " in failure_line(shared, user)
    c.close()


def test_wrong_password_a_moment_ago(shared):
    user = "wrong@example.org"
    add_user(shared, user)
    assert "AUTHENTICATIONFAILED" in try_imap(shared, user, "guess")
    row = explain(shared, user)
    assert re.match(r"failed \S+ ago from 127\S+ by imap: wrong password \(users\); otherwise logs in at dc1$", row["verdict"])
    line = failure_line(shared, user)
    assert " source=users " in line and fail2ban(line) == CLIENT
    assert " OK " in try_imap(shared, user)
    row = explain(shared, user)
    assert row["verdict"] == "logs in at dc1" and "wrong password" in row["failures"]


def test_nobody_is_banned_by_a_forged_line(shared):
    """What a client chooses cannot look like a line of its own."""
    name = "x login-failed session=1-1 listener=imap client=192.0.2.1:5 cause=auth-failed "
    c = imap.Lines(shared.host, shared.ports["imap"])
    c.line()
    assert " NO " in c.command("a", f'LOGIN "{name}" guess')[-1]
    c.close()
    line = [x for x in shared.whole_log().split("\n") if "client=192.0.2.1" in x][-1]
    assert fail2ban(line) == CLIENT
    assert fail2ban(line.replace(" login-failed ", " login ", 1)) is None


def test_certificate_that_nobody_trusts_and_no_checks(shared):
    user = "a@tls.test"
    add_user(shared, user)
    assert explain(shared, user)["verdict"] == "logs in at untrusted"
    assert "UNAVAILABLE" in try_imap(shared, user)
    row = explain(shared, user)
    assert re.match(r"fails: backend untrusted failed \S+ ago \(login\): (start)?tls: .*; otherwise logs in at untrusted$", row["verdict"]), row
    assert "hostname mismatch" in row["verdict"] and row["backend_failures"].startswith("untrusted ")
    line = failure_line(shared, user)
    assert " source=backend backend=untrusted " in line and "untrusted: tls: " in line


def test_dead_backend_without_checks(shared):
    user = "a@blind.test"
    add_user(shared, user)
    assert explain(shared, user)["verdict"] == "logs in at unseen"
    assert "UNAVAILABLE" in try_imap(shared, user)
    assert re.match(r"fails: backend unseen failed \S+ ago \(login\): connect: connection refused", explain(shared, user)["verdict"])


def test_name_of_a_backend_that_nobody_knows(shared):
    user = "a@unnamed.test"
    add_user(shared, user)
    assert "UNAVAILABLE" in try_imap(shared, user)
    assert re.match(r"fails: backend nameless failed \S+ ago \(login\): resolve: name could not be resolved; otherwise ",
                    explain(shared, user)["verdict"])


def test_backends_are_full(shared):
    add_user(shared, "a@full.test")
    add_user(shared, "b@full.test")
    c = imap.logged_in(shared, "a@full.test", PASSWORD)
    verdict = r"^waits for a place: narrow is full: 1 of 1; 0 logins of pool full wait$"
    assert re.match(verdict, explain(shared, "b@full.test")["verdict"])
    assert "LIMIT" in try_imap(shared, "b@full.test")
    row = explain(shared, "b@full.test")
    assert re.match(verdict, row["verdict"]) and "no backend had room within timeouts.hold" in row["failures"]
    c.close()


def test_backend_refuses_what_the_proxy_took(shared):
    user = "unknown@example.org"
    shared.add_user(user, PASSWORD, backend_user="nobody@example.org")
    assert explain(shared, user)["verdict"] == "logs in at dc1"
    assert "UNAVAILABLE" in try_imap(shared, user)
    row = explain(shared, user)
    assert re.match(r"failed \S+ ago from \S+ by imap: dc1: auth: \[AUTHENTICATIONFAILED\].* \(backend\); otherwise logs in at dc1$", row["verdict"])
    assert " source=backend " in failure_line(shared, user)
    add_user(shared, "other@example.org")
    assert explain(shared, "other@example.org")["verdict"] == "logs in at dc1"  # nothing failed but that name


def test_network_is_full(shared):
    """An address and its network have as many sessions as they may."""
    user = "network@example.org"
    add_user(shared, user)
    add_user(shared, "first@example.org")
    c = imap.logged_in(shared, "first@example.org", PASSWORD)
    shared.ctl("limit", "set", "127.0.0.0/8", "--sessions", "1")
    row = explain(shared, user, "--ip", CLIENT)
    assert re.match(r"refused: the address has \d+ of 1 sessions", row["verdict"]), row
    assert explain(shared, user)["verdict"] == "logs in at dc1"  # from elsewhere
    late = imap.Lines(shared.host, shared.ports["imap"])
    assert late.line().startswith("* BYE [LIMIT]")
    late.close()
    shared.ctl("limit", "clear", "127.0.0.0/8")
    assert explain(shared, user, "--ip", CLIENT)["verdict"] == "logs in at dc1"
    c.close()


def test_what_a_listener_asks_for(shared):
    """Who sends a password in clear is refused; explain knows it of the listener, not of the client."""
    user = "clear@example.org"
    add_user(shared, user)
    assert "PRIVACYREQUIRED" in try_imap(shared, user, listener="strict")
    row = explain(shared, user, "--listener", "strict")
    assert re.match(r"failed \S+ ago from 127\S+ by imap: Encryption is required: use TLS\. \(proxy\); otherwise logs in at dc1$", row["verdict"])
    assert row["also"] == "passwords only over TLS"
    assert "also" not in explain(shared, user)


def test_sessions_in_all_and_certificates(make_proxy, settings, ca):
    """The whole proxy is full; a listener takes none without a certificate."""
    settings["listeners"].append({"name": "known", "protocol": "imap", "tls": "implicit", "mechanisms": ["EXTERNAL"],
                                  "tls_options": {**settings["tls"], "client_auth": "required", "client_ca": ca.cert}})
    settings["limits"] = {"sessions": 1}
    p = make_proxy(settings)
    add_user(p, "a@example.org")
    row = explain(p, "a@example.org", "--listener", "known")
    assert row["verdict"].startswith("logs in at ") and row["also"] == "only with a client certificate"
    c = imap.Lines(p.host, p.ports["known"], tls=imap.context())
    assert b"No required SSL certificate" in c.rest()
    c.close()
    wait.until(lambda: not p.sessions("--allow-empty"), "the end of the one without")
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    wait.until(lambda: explain(p, "a@example.org")["verdict"] == "refused: there are 1 of 1 sessions in all", "the verdict")
    c.close()


def test_methods_and_ends(shared):
    """The LOGIN command and SASL PLAIN are told apart, USER and PASS too; who logs out is who ends the session."""
    user = "methods@example.org"
    add_user(shared, user)
    m = imap.starttls(shared.host, shared.ports["imap"])
    m.login(user, PASSWORD)
    row = shared.sessions(f"user={user}", "--columns", "mechanism,cipher,group,tls")[0]
    assert row["mechanism"] == "login-command" and row["tls"] == "TLSv1.3"
    assert row["cipher"].startswith("TLS_AES_") and row["group"].upper().startswith(("X25519", "SECP", "FFDHE"))
    m.logout()
    wait.until(lambda: not shared.sessions(f"user={user}"), "the end")
    m = imap.plain(shared.host, shared.ports["imap"])
    m.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
    assert shared.sessions(f"user={user}", "--columns", "mechanism,cipher")[0].get("mechanism") == "plain"
    m.logout()
    wait.until(lambda: not shared.sessions(f"user={user}"), "the end")
    q = poplib.POP3(shared.host, shared.ports["pop3"], timeout=30)
    q.user(user)
    q.pass_(PASSWORD)
    assert shared.sessions(f"user={user}", "--columns", "mechanism")[0]["mechanism"] == "user-pass"
    q.quit()
    wait.until(lambda: not shared.sessions(f"user={user}"), "the end")
    ends = [x for x in shared.whole_log().split("\n") if " session-end " in x and f" user={user} " in x]
    assert len(ends) == 3 and all(" by=client reason=client-quit" in x for x in ends), ends


def test_auth_server(make_proxy, settings, make_auth):
    """Down: explain says so with its words. Refusing: its own words are in line, event and explanation."""
    answers = {"reply": {"Auth-Status": "Mailbox is closed for winter", "Auth-Wait": "1"}}
    auth = make_auth(lambda h: answers["reply"])
    settings["auth"] = [{"type": "users"}, {"type": "http", "url": auth.url}]
    p = make_proxy(settings)
    user = "u1@example.org"
    assert " NO " in try_imap(p, user)
    row = explain(p, user)
    assert re.match(r"failed \S+ ago from \S+ by imap: refused by the auth server: Mailbox is closed for winter \(http\); otherwise ", row["verdict"])
    line = failure_line(p, user)
    assert " source=http " in line and "Mailbox is closed for winter" in line and fail2ban(line) == CLIENT
    assert last_event(p, user)["source"] == "http"
    answers["reply"] = {"Auth-Status": "OK", "Auth-Server": "no name", "Auth-Port": "1"}
    assert " NO " in try_imap(p, user)
    assert re.match(r"fails: could not be judged \S+ ago from \S+ by imap: Auth-Server is neither an address nor a name \(http\); otherwise ",
                    explain(p, user)["verdict"])
    for server, why in (("mail.invalid", "name could not be resolved"), ("127.0.0.1", "connection refused")):
        answers["reply"] = {"Auth-Status": "OK", "Auth-Server": server, "Auth-Port": "1"}
        assert "UNAVAILABLE" in try_imap(p, user)
        assert re.match(rf"failed \S+ ago from \S+ by imap: {server}:1: connect: {why} \(backend\); otherwise ", explain(p, user)["verdict"])
    auth.close()
    assert " NO " in try_imap(p, user)
    row = explain(p, user)
    assert re.match(r"fails: could not be judged \S+ ago from \S+ by imap: auth server: .*refused.* \(http\); otherwise logs in at ", row["verdict"]), row
    assert "http " in row["provider_failures"] and fail2ban(failure_line(p, user)) is None
    add_user(p, "stored@example.org")
    assert explain(p, "stored@example.org")["verdict"].startswith("logs in at ")  # the store judges, nobody else is asked


def test_backend_judges(make_proxy, settings):
    """The mail server refuses: the line has the address and names it."""
    settings["auth"] = [{"type": "backend"}]
    p = make_proxy(settings)
    user = "alice@example.org"
    assert "AUTHENTICATIONFAILED" in try_imap(p, user, "guess")
    line = failure_line(p, user)
    assert " source=backend " in line and " cause=auth-failed " in line and fail2ban(line) == CLIENT
    assert line.count("login-failed") == 1 and p.log().count(" login-failed ") == 1
    row = explain(p, user)
    assert re.match(r"failed \S+ ago from \S+ by imap: dc\d: auth: .* \(backend\); otherwise logs in at dc\d$", row["verdict"]), row
    assert "backend_failures" not in row
    c = imap.logged_in(p, user, "secret-a")
    assert explain(p, user)["verdict"].startswith("logs in at ")
    c.close()
