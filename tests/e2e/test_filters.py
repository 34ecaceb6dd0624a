# SPDX-License-Identifier: ISC
"""What a filter lists is what it kills: many filters over sessions of all protocols, users, backends and states."""
import base64
import fnmatch
import ipaddress
import random
import re

import pytest
from harness import imap, wait
from harness.control import Control

USERS = {"u1@example.org": "pw", "u2@example.org": "pw", "alice@example.org": "secret-a", "bob@example.org": "secret-b"}
HELD = "carol@example.org", "secret-c"
FILTERS = 400
KILLS = 25


@pytest.fixture
def proxy(make_proxy, settings):
    settings["listeners"] = [{"name": n, "protocol": n, "tls": "starttls", "allow_plaintext": True}
                             for n in ("imap", "pop3", "smtp", "sieve")] + \
                            [{"name": "imaps", "protocol": "imap", "tls": "implicit"}]
    # Those who say nothing and those who are held stay as long as the test goes on.
    settings["timeouts"] = {"preauth": "10m", "command": "10m", "hold": "10m"}
    p = make_proxy(settings)
    for user, password in (*USERS.items(), HELD):
        p.add_user(user, password)
    p.ctl("user", "set", "u1@example.org", "--backend", "dc1")
    p.ctl("user", "set", "u2@example.org", "--backend", "dc2")
    p.ctl("user", "hold", HELD[0])
    return p


# ---- sessions ----

def connect(p, listener, source):
    c = imap.Lines(p.host, p.ports[listener], tls=imap.context() if listener == "imaps" else None, source=source)
    if listener == "sieve":
        c.until("OK")
    else:
        c.line()
    return c


def imap_login(p, source, user, listener="imap"):
    c = connect(p, listener, source)
    c.command("a", f"LOGIN {user} {USERS[user]}")
    return c


def imap_idle(p, source, user):
    c = imap_login(p, source, user, "imaps")
    c.command("b", "SELECT INBOX")
    c.send("c IDLE\r\n")
    c.until("+ ")
    return c


def imap_big(p, source, user):
    """More bytes from the client than the others."""
    c = imap_login(p, source, user)
    c.send(b"b APPEND Drafts {30000+}\r\n" + b"x" * 29998 + b"\r\n\r\n")
    c.until("b ")
    return c


def pop3_login(p, source, user):
    c = connect(p, "pop3", source)
    c.send(f"USER {user}\r\nPASS {USERS[user]}\r\n")
    assert c.line().startswith("+OK") and c.line().startswith("+OK")
    return c


def sieve_login(p, source, user):
    c = connect(p, "sieve", source)
    token = base64.b64encode(f"\0{user}\0{USERS[user]}".encode()).decode()
    c.send(f'AUTHENTICATE "PLAIN" "{token}"\r\n')
    c.until("OK")
    return c


def silent(listener):
    return lambda p, source, user: connect(p, listener, source)


def sasl(p, source, user):
    c = connect(p, "imap", source)
    c.send("a AUTHENTICATE PLAIN\r\n")
    c.until("+")
    return c


def smtp_hello(p, source, user):
    c = connect(p, "smtp", source)
    c.send("EHLO client.test\r\n")
    c.until("250 ")
    return c


def held(p, source, user):
    c = connect(p, "imap", source)
    c.send("a LOGIN {} {}\r\n".format(*HELD))
    return c


KINDS = [imap_login, imap_idle, imap_big, pop3_login, sieve_login, silent("imap"), silent("pop3"), silent("imaps"), sasl, smtp_hello,
         held]


PEOPLE = list(USERS)[:6]


class Crowd:
    """Sessions by the port of their client, each as quiet as can be."""

    def __init__(self, p):
        self.p, self.clients, self.kinds = p, {}, {}
        self.raw = Control(p.control)

    def fill(self, rng, n):
        while len(self.clients) < n:
            # The kind that has the fewest comes next: every kind is there, whatever was killed before.
            alive = [self.kinds[port] for port in self.clients]
            kind = min(range(len(KINDS)), key=alive.count)
            c = KINDS[kind](self.p, f"127.0.0.{rng.randint(1, 4)}", PEOPLE[len(self.clients) % len(PEOPLE)])
            self.clients[c.sock.getsockname()[1]] = c
            self.kinds[c.sock.getsockname()[1]] = kind
        wait.until(self.is_settled, "sessions that rest")

    def is_settled(self):
        """Everybody is where they stay: nobody between two states or within an answer."""
        rows = self.rows()
        resting = [r for r in rows if r["state"] in ("command", "sasl", "held") or r.get("phase") in ("between", "idle")]
        return len(resting) == len(rows) == len(self.clients) and {r["state"] for r in rows} >= {"relay", "command", "sasl", "held"}

    def rows(self, text=None):
        params, rows = {"filter": text} if text else {}, []
        while True:
            answer = self.raw.call("session.list", **params)
            assert "result" in answer, (text, answer)
            result = answer["result"]
            rows += result["rows"]
            if not result["more"]:
                # In the order in which the clients came, so that the same filters are made each time.
                return sorted(rows, key=lambda r: list(self.clients).index(r["port"]))
            params["cursor"] = result["cursor"]

    def kill(self, text, **more):
        return self.raw.call("session.kill", filter=text, **more)

    def close(self):
        for c in self.clients.values():
            c.close()
        self.raw.close()


# ---- filters, and what they mean ----

TEXTS = ["proto", "state", "phase", "user", "tls", "pool", "backend", "listener", "verb", "mechanism", "auth", "server_tls", "id"]
SIZES = {"k": 1024, "m": 1024 * 1024}


def text_term(rng, rows):
    name = rng.choice(TEXTS)
    values = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        value = rng.choice(rows).get(name, "")
        shape = rng.randrange(5)
        if shape == 0 and value:
            value = value[:rng.randint(1, len(value))] + "*"
        elif shape == 1 and value:
            value = "*" + value[rng.randrange(len(value)):]
        elif shape == 2:
            value = value.upper()
        values.append(value)
    quoted = [f'"{v}"' if rng.random() < 0.2 or " " in v or not v and len(values) > 1 else v for v in values]
    return f"{name}={','.join(quoted)}", lambda r: any(
        re.fullmatch(fnmatch.translate(v.lower().replace("[", "[[]")), r[name].lower()) if name in r else v == "" for v in values)


def number_term(rng, rows):
    name = rng.choice(["port", "started", "worker", "attempts"])
    op = rng.choice(["=", "<", ">", "<=", ">="])
    want = rng.choice(rows).get(name, 0)
    return f"{name}{op}{want}", lambda r: name in r and {
        "=": r[name] == want, "<": r[name] < want, ">": r[name] > want, "<=": r[name] <= want, ">=": r[name] >= want}[op]


def far_term(rng, rows):
    """What moves while the test looks is compared with what it is far from."""
    name, op, value, want = rng.choice([
        ("in", ">", "20k", 20 * 1024), ("in", "<=", "20k", 20 * 1024), ("out", ">", "1m", 1 << 20), ("out", "<", "1m", 1 << 20),
        ("age", ">", "1h", 3600000), ("age", "<", "1h", 3600000), ("idle", ">=", "2d", 172800000), ("idle", "<", "90m", 5400000)])
    return f"{name}{op}{value}", lambda r: name in r and (r[name] > want if ">" in op else r[name] < want)


def ip_term(rng, rows):
    nets = [rng.choice(["127.0.0.0/30", "127.0.0.2", "127.0.0.3", "127.0.0.4/31", "127.0.0.0/8", "10.0.0.0/8", "::1"])
            for _ in range(rng.choice([1, 2]))]
    return f"ip={','.join(nets)}", lambda r: any(ipaddress.ip_address(r["ip"]) in ipaddress.ip_network(n) for n in nets)


def make_filter(rng, rows):
    """A filter and its meaning, written anew."""
    words, tests = [], []
    for _ in range(rng.choice([1, 1, 2, 2, 3])):
        word, test = rng.choice([text_term, text_term, text_term, number_term, far_term, ip_term])(rng, rows)
        if rng.random() < 0.25:
            word, test = "!" + word, lambda r, was=test: not was(r)
        words.append(word)
        tests.append(test)
    return " ".join(words), lambda r: all(t(r) for t in tests)


def ids(rows):
    return {r["id"] for r in rows}


def hit(crowd, text, **more):
    answer = crowd.kill(text, **more)
    if "error" in answer:
        assert answer["error"]["data"]["name"] == "E_NO_MATCH", (text, answer)
        return set()
    result = answer["result"]
    assert result["count"] == len(result["rows"])
    return ids(result["rows"])


def test_whatever_is_listed_is_hit(proxy):
    rng = random.Random(4)
    crowd = Crowd(proxy)
    crowd.fill(rng, 44)
    rows = crowd.rows()
    sizes = set()
    for _ in range(FILTERS):
        text, means = make_filter(rng, rows)
        want = {r["id"] for r in rows if means(r)}
        assert ids(crowd.rows(text)) == want, text
        assert hit(crowd, text, dry_run=True) == want, text
        sizes.add(len(want))
    # They were not all trivial.
    assert len(sizes) > 15 and {0, 44} <= sizes
    assert ids(crowd.rows()) == ids(rows)
    crowd.close()


def test_whatever_was_shown_is_killed(proxy):
    rng = random.Random(44)
    crowd = Crowd(proxy)
    n_killed = 0
    for i in range(KILLS):
        crowd.fill(rng, 33)
        before = crowd.rows()
        text, means = make_filter(rng, before)
        want = {r["id"] for r in before if means(r)}
        assert hit(crowd, text, dry_run=True) == want, text
        if len(want) > 1:
            error = crowd.kill(text, max=len(want) - 1)["error"]
            assert error["data"]["name"] == "E_TOO_MANY"
        how = [{}, {"now": True}, {"rate": 1000}][i % 3]
        if "rate" in how and want:
            result = crowd.kill(text, **how)["result"]
            assert result["count"] == len(want)
            wait.until(lambda: proxy.ctl("op", "show", result["op"])["state"] == "done", "the operation")
        else:
            assert hit(crowd, text, **how) == want, text
        n_killed += len(want)
        gone = {r["port"] for r in before if r["id"] in want}
        for port in gone:
            c = crowd.clients.pop(port)
            c.rest()
            c.close()
        wait.until(lambda: ids(crowd.rows()) == ids(before) - want, f"the end of what {text} hit")
    assert n_killed > 60
    crowd.close()
