# SPDX-License-Identifier: ISC
"""One backend for a user, whichever node of a fleet a client comes to."""
import itertools
import os
import random
import re
import signal
import threading
import time

import pytest
from harness import prometheus, redis, wait
from harness.pinned import MailServers
from harness.proxy import CtlError

pytestmark = pytest.mark.skipif(redis.missing() is not None, reason=str(redis.missing()))

USERS = int(os.environ.get("MAILPROXY_FLEET_USERS", 150))
ROUNDS = int(os.environ.get("MAILPROXY_FLEET_ROUNDS", 3))


@pytest.fixture(scope="module")
def all_servers():
    s = MailServers(4)
    yield s
    s.close()


@pytest.fixture
def servers(all_servers):
    """With nobody there, at the beginning and at the end."""
    all_servers.mistakes.clear()
    yield all_servers
    all_servers.hang_up()
    for name in all_servers.names:
        all_servers.start(name)
    gone(all_servers)


@pytest.fixture
def store(folder):
    s = redis.RedisServer(os.path.join(folder, "redis")).start()
    yield s
    s.close()


def settings(name, folder, servers, store, pool=None, fleet=None, **more):
    """A proxy that asks the mail servers who its clients are. By turns, so that nodes would not agree by themselves."""
    return {
        "node": name,
        "workers": 2,
        "listeners": [{"name": "imap", "protocol": "imap", "tls": "off", "allow_plaintext": True}],
        "auth": [{"type": "backend"}],
        "resolver": {"enabled": False},
        "fleet": {**redis.fleet(folder, store, heartbeat="500ms", timeout="5s"), **(fleet or {})},
        "pools": [{"name": "main", "tls": "off", "balance": "round-robin", "check": {"enabled": False},
                   "backends": servers.backends(), **(pool or {})}],
        **more}


@pytest.fixture
def make_node(make_proxy, folder, servers):
    """make_node(name, store=..., pool=..., fleet=...), which the test has alone."""
    yield lambda name, **more: make_proxy(settings(name, folder, servers, **more))
    servers.hang_up()


class Fleet:
    """Nodes of a store of their own, that tests share."""

    def __init__(self, make, folder, servers, name, n, **more):
        self.store = redis.RedisServer(os.path.join(folder, name), name).start()
        self.nodes = [make(settings(f"n{i}", folder, servers, self.store, **more)) for i in range(n)]


@pytest.fixture(scope="module")
def patient(make_shared_proxy, shared_folder, all_servers):
    """Three that wait long for their store: nobody goes on without it because the machine is busy."""
    f = Fleet(make_shared_proxy, shared_folder, all_servers, "patient", 3)
    yield f
    all_servers.hang_up()
    f.store.close()


@pytest.fixture(scope="module")
def impatient(make_shared_proxy, shared_folder, all_servers):
    """Two whose store has trouble."""
    f = Fleet(make_shared_proxy, shared_folder, all_servers, "impatient", 2, fleet={"end_conflicts": True, "timeout": "200ms"})
    yield f
    all_servers.hang_up()
    f.store.close()


@pytest.fixture(scope="module")
def strict(make_shared_proxy, shared_folder, all_servers):
    f = Fleet(make_shared_proxy, shared_folder, all_servers, "strict", 2, pool={"affinity": "strict"})
    yield f
    all_servers.hang_up()
    f.store.close()


@pytest.fixture
def nodes(patient, servers):
    return patient.nodes


@pytest.fixture
def lost(impatient, servers):
    """The store of two nodes, which is well at the beginning, and at the end again."""
    yield impatient
    if not impatient.store.process.is_running():
        impatient.store.start()
    impatient.store.cont()
    impatient.store.cli("CONFIG", "SET", "maxmemory", "0")  # a pause ends before this is answered
    impatient.store.cli("CONFIG", "SET", "requirepass", "")
    impatient.store.password = None
    for node in impatient.nodes:
        wait.until(lambda node=node: metric(node, "mailproxy_fleet_store_up") == 1, "the store to be there again")


def at(node, user):
    return node.host, node.ports["imap"], user


def metric(node, name, **labels):
    return prometheus.parse(node.ctl("system", "metrics")["text"])[name].value(**labels)


def gone(servers):
    wait.until(lambda: all(not servers.where(user) for user in list(servers.users)), "all sessions to end")


def held(store, user):
    """Sessions of a user as the store counts them, of each engine."""
    words = store.lines("HGETALL", redis.user_key(user))
    return sorted(int(n) for field, n in zip(words[::2], words[1::2]) if field.startswith("h:"))


def test_all_at_once(servers, nodes):
    """Each user at all nodes in the same instant, again and again."""
    for turn in range(ROUNDS):
        users = [f"u{turn}-{i}@example.org" for i in range(USERS)]
        logins = [at(node, user) for user in users for node in nodes]
        random.Random(turn).shuffle(logins)
        clients = servers.log_in(*logins)
        assert [c.answer for c in clients if not c.is_in] == []
        assert [user for user in users if len(servers.where(user)) != 1] == []
        assert sum(servers.users[user].total() for user in users) == 3 * USERS
        for c in clients:
            c.close()
        gone(servers)
    assert servers.mistakes == []
    longest = max(c.seconds for c in clients)
    print(f"{ROUNDS} rounds of {USERS} users at 3 nodes: longest login {longest * 1000:.0f} ms")


def log_in(servers, node, user, password="pw"):
    return servers.log_in(at(node, user), password=password)[0]


def test_kept_and_given_back(servers, nodes, patient):
    store, user = patient.store, "kept@example.org"
    a, b = log_in(servers, nodes[0], user), log_in(servers, nodes[1], user.upper())
    assert a.is_in and b.is_in
    assert servers.where(user) == servers.where(user.upper())
    assert held(store, user) == [1, 1]
    explained = nodes[2].ctl("route", "explain", user)
    assert explained["backend"] == servers.where(user)[0]
    assert re.fullmatch(explained["backend"] + r" \(chosen by the balancing, generation 1, last used \w+ ago\)", explained["pin"])
    assert sorted(explained["holders"].split(", ")) == ["n0 1", "n1 1"]
    assert metric(nodes[0], "mailproxy_fleet_pins") == 1
    a.close()
    wait.until(lambda: held(store, user) == [1], "the end to be told")
    b.close()
    wait.until(lambda: held(store, user) == [], "the other end, too")
    # It stays there for a while.
    for node in nodes:
        log_in(servers, node, user).close()
    wait.until(lambda: held(store, user) == [], "all to end")
    assert [name for name, n in servers.users[user].items()] == [explained["backend"]]


def test_strangers_leave_nothing(servers, nodes, patient):
    """Who only tries passwords makes no key that stays, and moves nobody."""
    store, user = patient.store, "known@example.org"
    strangers = [f"x{i}@example.org" for i in range(20)]
    wrong = servers.log_in(*(at(node, x) for node in nodes for x in strangers), password="wrong")
    assert not any(c.is_in for c in wrong)
    wait.until(lambda: store.cli("EXISTS", *map(redis.user_key, strangers)) == "0", "their keys to go")
    for c in wrong:
        c.close()
    assert log_in(servers, nodes[0], user).is_in
    assert not log_in(servers, nodes[1], user, "wrong").is_in
    wait.until(lambda: held(store, user) == [1], "only the session to count")


def test_sessions_of_all_nodes(servers, make_node, store):
    nodes = [make_node(f"n{i}", store=store, limits={"sessions_per_user": 3}) for i in range(2)]
    user = "anna@example.org"
    clients = servers.log_in(*(at(node, user) for node in nodes for _ in range(2)))
    assert sum(c.is_in for c in clients) == 3
    refused = next(c for c in clients if not c.is_in)
    assert "[LIMIT]" in refused.answer
    next(c for c in clients if c.is_in).close()
    wait.until(lambda: log_in(servers, nodes[0], user).is_in, "room for another one")


def backend_trouble(servers, user):
    """Its backend accepts nobody any more; the sessions that are there stay."""
    name = servers.where(user)[0]
    servers.stop(name)
    return name


def test_backend_gone_prefer(servers, nodes):
    user = "gone@example.org"
    a = log_in(servers, nodes[0], user)
    old = backend_trouble(servers, user)
    b = log_in(servers, nodes[1], user)
    assert a.is_in and b.is_in
    new = [name for name in servers.where(user) if name != old]
    third = log_in(servers, nodes[2], user)
    assert len(new) == 1 and third.is_in
    assert servers.users[user][new[0]] == 2
    # The first node hears of it with its next login there; its session is where it does not belong.
    assert nodes[0].ctl("--allow-empty", "fleet", "conflicts") == []
    second = log_in(servers, nodes[0], user)
    assert second.is_in
    row, = nodes[0].ctl("fleet", "conflicts")
    assert (row["user"], row["backend"], row["pinned"], row["sessions"]) == (user, old, new[0], 1)
    nodes[0].wait_for_log("fleet-conflict")
    assert metric(nodes[0], "mailproxy_fleet_conflicts") == 1
    nodes[0].ctl_run("system", "upgrade", "--wait")  # the old program has the session, and says so
    wait.until(lambda: [r["backend"] for r in nodes[0].ctl("--allow-empty", "fleet", "conflicts")] == [old], "the conflict of the old program")
    a.close()
    wait.until(lambda: nodes[0].ctl("--allow-empty", "fleet", "conflicts") == [], "the conflict to end")
    for c in (b, second, third):  # or the end of the programs waits for them
        c.close()


def test_backend_gone_strict(servers, strict):
    user, nodes = "gone@example.org", strict.nodes
    a = log_in(servers, nodes[0], user)
    old = backend_trouble(servers, user)
    b = log_in(servers, nodes[1], user)
    assert "[UNAVAILABLE]" in b.answer
    a.close()
    wait.until(lambda: log_in(servers, nodes[1], user).is_in, "the user to be moved once nobody is there")
    assert servers.where(user) != [old]


def test_drained_at_one_node(servers, nodes):
    user = "drained@example.org"
    a = log_in(servers, nodes[0], user)
    old, = servers.where(user)
    nodes[1].ctl("backend", "drain", f"main/{old}", "--yes")
    assert a.is_in and log_in(servers, nodes[1], user).is_in
    new = [name for name in servers.where(user) if name != old]
    assert log_in(servers, nodes[2], user).is_in
    assert servers.users[user][new[0]] == 2
    nodes[1].ctl("backend", "ready", f"main/{old}")


def test_held_backend_is_waited_for(servers, nodes):
    """A full one likewise: by all of them."""
    user = "waits@example.org"
    log_in(servers, nodes[0], user)
    name, = servers.where(user)
    nodes[1].ctl("backend", "set", f"main/{name}", "--max-sessions", "1")
    others = [f"o{i}@example.org" for i in range(40)]
    crowd = servers.log_in(*(at(nodes[0], o) for o in others))
    here = next(o for o in others if servers.where(o) == [name])
    first = log_in(servers, nodes[1], here)
    assert first.is_in and servers.where(here) == [name]
    waiting = servers.log_in_later(*at(nodes[1], user))
    wait.until(lambda: any(s["state"] == "held" for s in nodes[1].sessions()), "the login to wait")
    first.close()
    assert waiting.result(30).is_in
    assert servers.where(user) == [name]
    assert all(c.is_in for c in crowd)
    nodes[1].ctl("backend", "reset", f"main/{name}")


def test_held_while_the_store_is_asked(servers, nodes, patient):
    """A hold that begins then, as a move's does, holds this login, too."""
    node, user, clients = nodes[0], "h@example.org", []
    wait.until(lambda: node.ctl("fleet", "show")["store"] == "up", "the store")
    patient.store.stop()
    login = threading.Thread(target=lambda: clients.append(log_in(servers, node, user)))
    login.start()
    wait.until(lambda: node.sessions("state=pin"), "a login that asks the store")
    node.ctl("user", "hold", user)
    patient.store.cont()
    wait.until(lambda: node.sessions("state=held"), "a login that waits")
    assert not servers.where(user)
    node.ctl("user", "release", user)
    login.join()
    assert clients[0].is_in


def test_operators_pin_wins(servers, make_node, store):
    nodes = [make_node(f"n{i}", store=store, auth=[{"type": "users"}, {"type": "backend"}]) for i in range(2)]
    user = "pinned@example.org"
    log_in(servers, nodes[0], user).close()
    gone(servers)
    old = next(iter(servers.users[user]))
    new = next(n for n in servers.names if n != old)
    nodes[0].add_user(user, backend=f"main/{new}")
    assert log_in(servers, nodes[0], user).is_in
    assert servers.where(user) == [new]
    assert log_in(servers, nodes[1], user).is_in
    assert servers.where(user) == [new]
    assert "fixed by an operator" in nodes[1].ctl("route", "explain", user)["pin"]


# ---- the store is away, slow, full, flushed ----

def failed_open(node):
    return metric(node, "mailproxy_fleet_failopen_total", feature="pin")


@pytest.mark.parametrize("trouble", ["kill", "stop"])
def test_store_away(servers, lost, trouble):
    """prefer: nobody is refused, nobody waits longer than the time-out, and who is here stays where the others of the user are."""
    nodes, store = lost.nodes, lost.store
    users = [f"{trouble}{i}@example.org" for i in range(40)]
    before = servers.log_in(*(at(nodes[0], user) for user in users))
    asked_in_vain = failed_open(nodes[0])  # a busy machine may have taken longer than the time-out
    getattr(store, trouble)()
    again = servers.log_in(*(at(nodes[0], user) for user in users))
    assert [c.answer for c in before + again if not c.is_in] == []
    assert servers.mistakes == []
    assert failed_open(nodes[0]) - asked_in_vain == len(users)
    # Now the breaker is open: another login waits for nothing.
    new = servers.log_in(*(at(nodes[1], f"new-{user}") for user in users))
    assert all(c.is_in for c in new)
    explained = nodes[0].ctl("route", "explain", users[0])
    assert explained["backend"] == servers.where(users[0])[0] and "the store is away" in explained["pin"]
    if trouble == "kill":
        store.start()
    else:
        store.cont()
    # Everybody is told again, those whom the store has never heard of, too.
    wait.until(lambda: counted(store) == 3 * 40, "all sessions to be in the store")
    for c in before + again + new:
        c.close()
    wait.until(lambda: counted(store) == 0, "all of them to go")


def counted(store):
    """All sessions that the store counts."""
    script = ("local n = 0 for _, k in ipairs(redis.call('KEYS', 'mp:mail:u:*')) do local all = redis.call('HGETALL', k) "
              "for i = 1, #all, 2 do if all[i]:sub(1, 2) == 'h:' then n = n + all[i + 1] end end end return n")
    try:
        return int(store.cli("EVAL", script, "0"))
    except (AssertionError, ValueError):
        return -1


def test_nobody_dies_while_the_store_pauses(servers, make_node, store):
    """A pause that is longer than a lease ends nobody's: the sessions of the others count, and keep their users where they are."""
    lease = 1.5
    more = {"fleet": {"retention": "0s", "timeout": "5s"}, "limits": {"sessions_per_user": 2}}
    nodes = [make_node(f"n{i}", store=store, **more) for i in range(2)]
    engine = nodes[0].engine_pid()
    users = [f"p{i}@example.org" for i in range(12)]
    clients = servers.log_in(*(at(nodes[0], user) for user in users))
    full = servers.log_in(*(at(nodes[0], "full@example.org") for _ in range(2)))
    assert all(c.is_in for c in clients + full)
    store.stop()
    os.kill(engine, signal.SIGSTOP)  # it is not the first to say that it lives
    try:
        later = [servers.log_in_later(*at(nodes[1], user)) for user in [*users, "full@example.org"]]
        wait.until(lambda: len(nodes[1].sessions("state=pin")) == len(later), "logins that ask the store")
        time.sleep(lease + 0.5)
        store.cont()
        others = [login.result(30) for login in later]
        assert "[LIMIT]" in others.pop().answer
        assert all(c.is_in for c in others)
        third = servers.log_in(*(at(nodes[1], "full@example.org") for _ in range(2)))  # a heartbeat of this node has come by now
        assert not any(c.is_in for c in third)
    finally:
        os.kill(engine, signal.SIGCONT)
    assert servers.mistakes == [] and [user for user in users if len(servers.where(user)) != 1] == []
    assert sum(servers.users[user].total() for user in users) == 2 * len(users)


def test_flushed(servers, nodes, patient):
    """The store loses everything while users are there: they are told again, and nobody gets a second backend."""
    store = patient.store
    users = [f"flushed{i}@example.org" for i in range(60)]
    wait.until(lambda: counted(store) == 0, "nobody to be there")
    clients = servers.log_in(*(at(nodes[i % 3], user) for i, user in enumerate(users)))
    assert counted(store) == 60
    store.cli("FLUSHALL")
    wait.until(lambda: counted(store) == 60, "all to be told again")
    clients += servers.log_in(*(at(node, user) for user in users for node in nodes))
    assert all(c.is_in for c in clients)
    assert servers.mistakes == []


def test_conflict_is_found_and_ended(servers, lost):
    """Two nodes took the same users to two backends while the store was away."""
    nodes, store = lost.nodes, lost.store
    ended = sum(metric(node, "mailproxy_fleet_conflicts_total") for node in nodes)
    store.kill()
    wait.until(lambda: all(metric(node, "mailproxy_fleet_store_up") == 0 for node in nodes), "the store to be missed")
    users = [f"twice{i}@example.org" for i in range(12)]
    clients = servers.log_in(*(at(nodes[0], user) for user in users))
    clients += servers.log_in(*(at(nodes[1], user) for user in reversed(users)))
    twice = [user for user in users if len(servers.where(user)) == 2]
    assert all(c.is_in for c in clients) and twice
    store.start()
    wait.until(lambda: all(len(servers.where(user)) == 1 for user in users), "each user to be on one backend")
    wait.until(lambda: sum(metric(node, "mailproxy_fleet_conflicts") for node in nodes) == 0, "no conflict to be left")
    assert sum(metric(node, "mailproxy_fleet_conflicts_total") for node in nodes) - ended == len(twice)


def test_strict_without_store(servers, strict):
    node, store, user = strict.nodes[0], strict.store, "strict@example.org"
    shut = metric(node, "mailproxy_fleet_failclosed_total", feature="pin")
    a = log_in(servers, node, user)
    store.kill()
    b = log_in(servers, node, user)
    assert a.is_in and "[UNAVAILABLE]" in b.answer
    assert metric(node, "mailproxy_fleet_failclosed_total", feature="pin") == shut + 1
    assert "no backend could be agreed on with the fleet" in node.ctl("route", "explain", user)["failures"]
    store.start()
    wait.until(lambda: log_in(servers, node, user).is_in, "the store to be asked again")


@pytest.mark.parametrize("trouble", [["CLIENT", "PAUSE", "2000"], ["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "requirepass", "x"]])
def test_store_refuses(servers, lost, trouble):
    node = lost.nodes[0]
    users = [f"{trouble[-2].lower()}{i}@example.org" for i in range(31)]
    assert log_in(servers, node, users.pop()).is_in
    asked_in_vain = failed_open(node)
    lost.store.cli(*trouble)
    clients = servers.log_in(*(at(node, user) for user in users))
    assert all(c.is_in for c in clients)
    if trouble[2] == "requirepass":  # who is logged in there stays so
        lost.store.password = "x"
        return
    assert failed_open(node) - asked_in_vain == 30


def test_other_program_at_the_port(servers, make_node):
    """What speaks another protocol, or none, does not hold logins up."""
    def serve(client):
        client.sendall(b"220 mail ESMTP\r\n" * 1000)
        while client.recv(65536):
            client.sendall(b"*99999999\r\n$-5\r\n")
    from harness.server import Server
    server = Server(serve)
    node = make_node("n0", store=[], fleet={"servers": [f"{server.host}:{server.port}"], "timeout": "200ms"})
    assert all(c.is_in for c in servers.log_in(*(at(node, f"u{i}@example.org") for i in range(20))))
    server.close()
