# SPDX-License-Identifier: ISC
"""What is counted over all nodes of a fleet: bans for failures, sessions and failures of an address; and who checks backends."""
import os
import signal

import pytest
from conftest import backend
from harness import imap, redis, wait
from harness.proxy import Proxy
from harness.server import Server

NODES = ("px1", "px2", "px3")
USER = "u1@example.org"
FAILURES = 6  # before a ban
USERS_BEFORE_BAN = 5
MOST = 12  # sessions of an address
TRUSTED = "127.7.0.2"  # at px3


@pytest.fixture
def store(shared_store):
    return shared_store


class Checked:
    """A mail server that counts its clients, or has none."""

    def __init__(self):
        self.n, self.is_well = 0, True
        self.server = Server(self.serve)
        self.host, self.port, self.close = self.server.host, self.server.port, self.server.close

    def serve(self, client):
        self.n += 1
        f = client.makefile("rwb")
        f.write(b"* OK hi\r\n" if self.is_well else b"* BYE overloaded\r\n")
        f.flush()
        for line in f if self.is_well else ():
            tag, verb = line.split()[:2]
            f.write({b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n", b"LOGOUT": b"* BYE\r\n"}.get(verb, b"") + tag + b" OK\r\n")
            f.flush()
        client.close()


@pytest.fixture(scope="module")
def checked():
    c = Checked()
    yield c
    c.close()


@pytest.fixture(scope="module")
def nodes(shared_folder, shared_store, dovecot1, checked):
    made = []
    for name in NODES:
        settings = {
            "node": name, "auth": [{"type": "users"}],
            "listeners": [{"name": "imap", "protocol": "imap", "allow_plaintext": True}],
            "pools": [{"name": "main", "tls": "off", "affinity": "off", "backends": [backend(dovecot1)]},
                      {"name": "checked", "tls": "off", "affinity": "off", "check": {"interval": "300ms", "fall": 2, "rise": 2},
                       "backends": [{"name": "c1", "host": checked.host, "ports": {"imap": checked.port}}]}],
            "limits": {"sessions_per_ip": MOST, "sessions_per_user": 4, "failures_before_ban": FAILURES, "failures_before_delay": 0, "users_before_ban": USERS_BEFORE_BAN, "passwords_before_delay": 12,
                       "trusted": [f"{TRUSTED}/32"] if name == "px3" else ["127.0.0.1/32"]},
            "timeouts": {"failure_delay": "0s"},
            "fleet": redis.fleet(shared_folder, shared_store, heartbeat="500ms", timeout="500ms", health="shared")}
        p = Proxy(os.path.join(shared_folder, name), settings).start()
        made.append(p)
        p.add_user(USER, "pw")
    wait.until(lambda: all(len(p.ctl("fleet", "list", "state=serving")) == len(NODES) for p in made), "nodes that know each other")
    yield made
    for p in made:
        p.stop()


def client(p, source):
    c = imap.Lines(p.host, p.ports["imap"], source=source)
    c.greeting = c.line()
    return c


def is_welcome(p, source):
    c = client(p, source)
    c.close()
    return c.greeting.startswith("* OK")


def fail(p, source, n, first=0):
    """n guesses, each another one."""
    for i in range(first, first + n):
        c = client(p, source)
        c.command("a", f"LOGIN {USER} wrong{i}")
        c.close()


def bans(p):
    return {row["subject"]: row for row in p.ctl("ban", "list")}


def metric(p, line):
    return float(next(text.rpartition(" ")[2] for text in p.ctl("system", "metrics")["text"].split("\n") if text.startswith(line)))


# ---- bans ----

def test_one_bans_all_ban(nodes):
    source = "127.7.0.1"
    fail(nodes[0], source, FAILURES)
    for p in nodes:
        wait.until(lambda p=p: source in bans(p), "the ban")
        assert not is_welcome(p, source)
    rows = [bans(p)[source] for p in nodes]
    assert [row.get("origin") for row in rows] == [None, "px1", "px1"]
    assert {row["by"] for row in rows} == {"failures"} and len({row["until"] for row in rows}) == 1
    assert "px1" in str(nodes[1].ctl("event", "list", "type=ban", f"text=*{source}*"))
    assert metric(nodes[1], "mailproxy_fleet_bans_taken_total") >= 1
    # It is not told again by who was told.
    assert metric(nodes[1], "mailproxy_fleet_bans_told_total") == 0
    # Whoever lifts it lifts it everywhere, and it does not come back by itself: the failures before it are done with.
    nodes[1].ctl("ban", "remove", source)
    for p in nodes:
        wait.until(lambda p=p: source not in bans(p), "the end of the ban")
        fail(p, source, 1, first=100)
        assert is_welcome(p, source)


def test_what_a_node_allows(nodes):
    """A network that one of them trusts stays welcome there, and an operator's ban is an operator's."""
    nodes[1].ctl("ban", "add", "127.7.0.3", "--text", "call us")
    fail(nodes[0], TRUSTED, FAILURES)
    fail(nodes[0], "127.7.0.3", FAILURES)
    wait.until(lambda: TRUSTED in bans(nodes[1]), "the ban")
    wait.until(lambda: "127.7.0.3" in bans(nodes[2]), "the next ban")
    assert is_welcome(nodes[2], TRUSTED) and TRUSTED not in bans(nodes[2])
    assert bans(nodes[1])["127.7.0.3"]["text"] == "call us"
    nodes[0].ctl("ban", "clear", "by=failures", "--yes")
    wait.until(lambda: not {TRUSTED, "127.7.0.3"} & set(bans(nodes[2])), "the end of bans")
    assert set(bans(nodes[1])) == {"127.7.0.3"}
    nodes[1].ctl("ban", "remove", "127.7.0.3")


def test_who_may_only_write_into_the_store(nodes, store):
    """A ban that nobody of the fleet has told bans nobody, nor one that is told again after it was lifted."""
    source, stream = "127.7.0.4", "mp:mail:bans"
    fail(nodes[0], source, FAILURES)
    wait.until(lambda: all(source in bans(p) for p in nodes), "the ban")
    text, signature = next((lines[i], lines[i + 2]) for lines in [store.lines("XRANGE", stream, "-", "+")]
                           for i in range(len(lines)) if source in lines[i] and lines[i].startswith("{"))
    nodes[2].ctl("ban", "remove", source)
    wait.until(lambda: not any(source in bans(p) for p in nodes), "the end of the ban")
    store.cli("XADD", stream, "*", "m", text, "s", signature)
    for forged in (text.replace(source, "127.7.0.5"), "[]", "x" * 100000):
        store.cli("XADD", stream, "*", "m", forged, "s", signature)
    fail(nodes[0], "127.7.0.6", FAILURES)
    wait.until(lambda: all("127.7.0.6" in bans(p) for p in nodes), "a ban after all that")
    assert all(set(bans(p)) == {"127.7.0.6"} for p in nodes)
    nodes[0].ctl("ban", "clear", "--all", "--yes")


def test_a_node_that_was_away(nodes):
    """It hears of what the others have banned and lifted since, and does not tell what was lifted."""
    one, two, three = nodes
    fail(three, "127.7.0.7", FAILURES)
    fail(three, "127.7.0.8", FAILURES)
    wait.until(lambda: {"127.7.0.7", "127.7.0.8"} <= set(bans(one)), "the bans")
    three.process.stop(40)
    one.ctl("ban", "remove", "127.7.0.7")
    fail(two, "127.7.0.9", FAILURES)
    three.start()
    wait.until(lambda: set(bans(three)) == {"127.7.0.8", "127.7.0.9"}, "what it missed")
    fail(three, "127.7.0.10", FAILURES)  # it has told all that it had to tell
    wait.until(lambda: "127.7.0.10" in bans(two), "the next ban")
    assert set(bans(one)) == set(bans(two)) == {"127.7.0.8", "127.7.0.9", "127.7.0.10"}
    one.ctl("ban", "clear", "--all", "--yes")
    wait.until(lambda: not any(bans(p) for p in nodes), "the end of all bans")


def test_the_store_is_away(nodes, store):
    """Each bans by itself, and tells the others when it can."""
    store.kill()
    fail(nodes[0], "127.7.0.11", FAILURES)
    fail(nodes[1], "127.7.0.12", FAILURES)
    wait.until(lambda: "127.7.0.11" in bans(nodes[0]) and "127.7.0.12" in bans(nodes[1]), "bans of their own")
    assert is_welcome(nodes[1], "127.7.0.11")
    store.restart()
    wait.until(lambda: all(set(bans(p)) == {"127.7.0.11", "127.7.0.12"} for p in nodes), "the same bans everywhere")
    nodes[2].ctl("ban", "clear", "--all", "--yes")
    wait.until(lambda: not any(bans(p) for p in nodes), "the end of all bans")


# ---- sessions and failures ----

def open_from(p, source, n):
    clients = [client(p, source) for _ in range(n)]
    assert all(c.greeting.startswith("* OK") for c in clients), [c.greeting for c in clients]
    return clients


def of_all(p, subject, what="sessions", others="elsewhere"):
    row = p.ctl("limit", "show", subject)
    return row.get(what, 0) + row.get(others, 0)


def close(clients):
    for c in clients:
        c.close()


def spray(p, source, user, password):
    c = client(p, source)
    assert c.command("a", f"LOGIN {user} {password}")[-1].startswith("a NO")
    c.close()


def near_keys(store):
    return store.lines("KEYS", "mp:mail:near:*")


def forget_guesses(nodes):
    """Of the tests before: they count for a day."""
    for p in nodes:
        p.ctl_run("limit", "clear", f"user:{USER}", check=False)


def test_harmless_clients_are_not_told_of(nodes, store):
    forget_guesses(nodes)
    wait.until(lambda: not near_keys(store), "that nobody is near a limit")
    clients = [client(p, f"127.7.2.{i}") for i, p in enumerate(nodes)]
    fail(nodes[0], "127.7.2.9", 1)
    calls = "mailproxy_fleet_store_calls_total"
    before = metric(nodes[0], calls)
    wait.until(lambda: metric(nodes[0], calls) > before + 6, "some turns")
    assert not near_keys(store)
    close(clients)


def test_sessions_of_an_address(nodes, store):
    """Twelve are allowed, wherever they are."""
    source = "127.7.2.1"
    forget_guesses(nodes)
    clients = open_from(nodes[0], source, 5) + open_from(nodes[1], source, 4) + open_from(nodes[2], source, 3)
    for p in nodes:
        wait.until(lambda p=p: of_all(p, source) == MOST or print(p.ctl("limit", "show", source)), "the sum of all")
        assert not is_welcome(p, source)
        assert is_welcome(p, "127.7.2.2")
    said = str(nodes[2].ctl("route", "explain", USER, "--ip", source))
    assert "12 of 12 sessions, 9 of them at other nodes" in said
    row = next(r for r in nodes[0].ctl("limit", "list", f"subject={source}"))
    assert (row["sessions"], row["elsewhere"]) == (5, 7)
    # In the store there is no address.
    assert len(near_keys(store)) == len(NODES) and not any(store.cli("EVAL", "return tostring(redis.call('HGET', KEYS[1], 'b'):find(ARGV[1], 1, true))", 1, key, source) != "nil"
                                                               for key in near_keys(store))
    clients.pop().close()
    wait.until(lambda: is_welcome(nodes[0], source), "room again")
    close(clients)
    wait.until(lambda: not near_keys(store), "that nothing is left of it")
    wait.until(lambda: all(of_all(p, source) == 0 for p in nodes), "that no node knows of it")


def test_sessions_of_a_user(nodes):
    clients = []
    for p in nodes[:2]:
        for _ in range(2):
            clients.append(client(p, "127.7.2.3"))
            assert clients[-1].command("a", f"LOGIN {USER} pw")[-1].startswith("a OK")
    wait.until(lambda: of_all(nodes[2], USER) == 4, "the sum of all")
    c = client(nodes[2], "127.7.2.3")
    assert c.command("a", f"LOGIN {USER} pw")[-1].startswith("a NO [LIMIT]")
    assert "4 of 4 sessions, 4 of them at other nodes" in str(nodes[2].ctl("route", "explain", USER))
    close(clients + [c])
    wait.until(lambda: all(of_all(p, USER) == 0 for p in nodes), "their end")


def test_spraying_over_nodes(nodes, store):
    """An attacker behind a balancer tries one password with many users, and many passwords with one user: the allowance is one of all nodes."""
    source = "127.7.2.5"
    for i in range(USERS_BEFORE_BAN - 1):
        spray(nodes[i % 3], source, f"nobody{i}@example.org", "Summer2026")
    for p in nodes:
        wait.until(lambda p=p: p.ctl("limit", "show", source).get("failed_users") == USERS_BEFORE_BAN - 1, "the users of all nodes")
    assert not any(bans(p) for p in nodes)
    spray(nodes[1], source, "another@example.org", "Summer2026")
    for p in nodes:
        wait.until(lambda p=p: source in bans(p), "the ban")
    assert f"failed logins of {USERS_BEFORE_BAN} users" in str(nodes[1].ctl("event", "list", "type=ban", f"text=*{source}*"))
    nodes[0].ctl("ban", "clear", "--all", "--yes")
    wait.until(lambda: not any(bans(p) for p in nodes), "the end of the ban")


def test_guesses_at_a_user_over_nodes(nodes, store):
    user = "victim@example.org"
    for i in range(6):
        spray(nodes[i % 3], f"127.7.3.{i + 1}", user, f"wrong{i}")
        spray(nodes[(i + 1) % 3], f"127.7.3.{i + 1}", user, f"wrong{i}")
    wait.until(lambda: all(p.ctl("limit", "show", user).get("failures") == 6 for p in nodes), "six passwords at all nodes")
    # Nothing of it can be read in the store.
    for key in near_keys(store):
        text = store.cli("HGET", key, "b", encoding="latin-1")
        assert user not in text and "wrong" not in text
    for p in nodes:
        p.ctl("limit", "clear", f"user:{user}")


def test_guesses_spread_over_nodes(nodes):
    """They are banned after as many as at one node."""
    source = "127.7.2.4"
    fail(nodes[0], source, 2)
    fail(nodes[1], source, 2, first=10)
    wait.until(lambda: of_all(nodes[2], source, "failures", "failures_elsewhere") == 4, "the sum of all")
    fail(nodes[2], source, 1, first=20)
    assert is_welcome(nodes[2], source)
    wait.until(lambda: of_all(nodes[0], source, "failures", "failures_elsewhere") == FAILURES - 1, "the sum with that one")
    assert not any(bans(p) for p in nodes)
    fail(nodes[0], source, 1, first=30)
    for p in nodes:
        wait.until(lambda p=p: source in bans(p), "the ban")
    nodes[0].ctl("ban", "clear", "--all", "--yes")
    # They do not count for the next one.
    wait.until(lambda: not any(bans(p) for p in nodes), "the end of the ban")
    wait.until(lambda: all(of_all(p, source, "failures", "failures_elsewhere") == 0 for p in nodes), "that they are done with")


def test_a_node_dies(nodes):
    """What it had counts no more."""
    source = "127.7.2.5"
    clients = open_from(nodes[0], source, 6)
    others = open_from(nodes[2], source, 6)
    wait.until(lambda: of_all(nodes[0], source) == MOST, "the sum")
    assert not is_welcome(nodes[0], source)
    nodes[2].die()
    wait.until(lambda: is_welcome(nodes[0], source), "room again", 15)
    nodes[2].start()
    close(clients + others)


def test_the_store_is_away_and_lies(nodes, store):
    """Each judges by what it has itself; and takes nothing from whoever may only write into the store."""
    source, name = "127.7.2.6", 'mailproxy_fleet_failopen_total{feature="limits"}'
    wait.until(lambda: all(len(p.ctl("fleet", "list", "state=serving")) == len(NODES) for p in nodes), "all nodes")
    clients = open_from(nodes[0], source, 6) + open_from(nodes[1], source, 6)
    wait.until(lambda: of_all(nodes[0], source) == MOST, "the sum")
    # What one node has told is nothing under the name of another one, nor with a number that is not its own.
    one, two = (next(k for k in near_keys(store) if p in k) for p in ("px1#", "px2#"))
    store.cli("EVAL", "redis.call('HSET', KEYS[2], 'n', '9' .. redis.call('HGET', KEYS[2], 'n'), 'b', redis.call('HGET', KEYS[1], 'b'))", "2", one, two)
    before = metric(nodes[0], name)
    store.kill()
    wait.until(lambda: of_all(nodes[0], source) == 6, "what is known here")
    assert is_welcome(nodes[0], source)
    wait.until(lambda: metric(nodes[0], name) > before, "that it is counted")
    store.restart()
    wait.until(lambda: of_all(nodes[0], source) == of_all(nodes[1], source) == MOST, "the sum again")
    close(clients)


# ---- who checks backends ----

def test_one_checks_for_all(nodes, store, checked):
    """The others take over that it is well; what is wrong each sees for itself."""
    taken, failed = "mailproxy_fleet_checks_taken_total", 'mailproxy_fleet_failopen_total{feature="health"}'

    def look(what, among=nodes):
        return {p.ctl("backend", "show", "checked/c1").get(what, "") for p in among}

    def checker():
        by = look("checked_by")
        return by.pop() if len(by) == 1 else None

    wait.until(lambda: all(len(p.ctl("fleet", "list", "state=serving")) == len(NODES) for p in nodes), "all nodes")
    first = wait.until(checker, "one that checks")
    assert look("health") == {"up"}
    other = next(p for p, name in zip(nodes, NODES) if name != first)
    before, n = metric(other, taken), checked.n
    wait.until(lambda: metric(other, taken) >= before + 4, "findings of the other one")
    assert checked.n - n <= 9 and look("checked_by") == {first}  # each for itself: 12 and more
    # The one that checks is gone: another one does.
    stopped = next(p for p, name in zip(nodes, NODES) if name == first)
    rest = [p for p in nodes if p is not stopped]
    engine = stopped.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    wait.until(lambda: len(look("checked_by", rest)) == 1 and first not in look("checked_by", rest), "another one that checks")
    assert look("health", rest) == {"up"}
    os.kill(engine, signal.SIGCONT)
    # It falls ill, and is well again.
    checked.is_well = False
    wait.until(lambda: look("health") == {"down"}, "that all see it")
    checked.is_well = True
    wait.until(lambda: look("health") == {"up"}, "that all see it again")
    # The store is away: each checks.
    counts = [metric(p, failed) for p in nodes]
    store.kill()
    wait.until(lambda: look("checked_by") == {name for name in NODES}, "that each checks")
    wait.until(lambda: all(metric(p, failed) > n for p, n in zip(nodes, counts)), "that it is counted")
    store.restart()
    wait.until(checker, "one that checks")
