# SPDX-License-Identifier: ISC
"""Three proxies over one Redis: who is there, and what they make of a store that dies, hangs, forgets, refuses or moves."""
import os
import signal

import pytest
from conftest import backend
from harness import imap, redis, wait

NODES = ("px1", "px2", "px3")
USER = "u1@example.org"
HEARTBEAT = "200ms"


@pytest.fixture
def store(folder):
    r = redis.RedisServer(os.path.join(folder, "store")).start()
    yield r
    r.close()


@pytest.fixture
def fleet(make_proxy, folder, dovecot1, dovecot2):
    """fleet(servers, **keys of the group) makes the three."""
    def make(servers, nodes=NODES, is_waiting=True, **more):
        made = [make_proxy(settings(name, folder, servers, [dovecot1, dovecot2], more)) for name in nodes]
        for p in made:
            p.add_user(USER, "pw")
        if is_waiting:
            wait.until(lambda: all(states(p) == dict.fromkeys(nodes, "serving") for p in made), "nodes that know each other")
        return made
    return make


def settings(name, folder, servers, servers_of_mail, more):
    return {"node": name, "auth": [{"type": "users"}],
            "listeners": [{"name": "imap", "protocol": "imap", "allow_plaintext": True}],
            "pools": [{"name": "main", "tls": "off", "backends": [backend(d) for d in servers_of_mail]}],
            "fleet": redis.fleet(folder, servers, **{"heartbeat": HEARTBEAT, "timeout": "500ms", **more})}


def states(p):
    return {row["node"]: row["state"] for row in p.ctl("fleet", "list")}


def checks(p):
    return {row["check"]: row for row in p.ctl("fleet", "check")}


def trouble(p):
    return p.ctl("system", "status").get("trouble", "")


def is_well(p):
    return "fleet" not in trouble(p) and set(states(p).values()) == {"serving"}


def serves(p):
    m = imap.plain(p.host, p.ports["imap"])
    m.login(USER, "pw")
    m.logout()


def test_nodes(fleet, store):
    one, two, three = fleet(store)
    session = imap.plain(two.host, two.ports["imap"])
    session.login(USER, "pw")
    row = wait.until(lambda: next((r for r in one.ctl("fleet", "list", "node=px2") if (r["sessions"], r["users"]) == (1, 1)), None), "its session")
    assert row["holder"].startswith("px2#") and row["version"]
    session.logout()
    shown = one.ctl("fleet", "show")
    assert shown["node"] == "px1" and shown["store"] == "up" and shown["server"] == store.address and shown["calls"] > 0
    assert "store" not in one.ctl("fleet", "show", "px3") and shown["epoch"] == store.cli("GET", "mp:mail:epoch")
    assert one.ctl("system", "status")["fleet"] == "3/3"
    found = checks(one)
    assert {n: r["result"] for n, r in found.items()} == {
        "store": "ok", "clock": "ok", "memory": "ok", "persistence": "warning", "replicas": "warning", "presence": "ok", "nodes": "ok",
        "secrets": "ok", "versions": "ok"}, found
    metrics = one.ctl("system", "metrics")["text"]
    assert "mailproxy_fleet_store_up 1\n" in metrics and "mailproxy_fleet_nodes_alive 3\n" in metrics
    # Of users there is nothing in clear.
    assert not [k for k in store.lines("KEYS", "*") if "example.org" in k]
    # One leaves, and comes back; one stops, one dies.
    three.ctl("fleet", "leave", "--reason", "new disk")
    wait.until(lambda: states(one)["px3"] == "leaving", "one that leaves")
    assert "px3 is leaving" in str(one.ctl("event", "list", "type=fleet"))
    three.ctl("fleet", "join")
    wait.until(lambda: states(one)["px3"] == "serving", "it is back")
    three.process.signal(signal.SIGTERM)
    wait.until(lambda: set(states(one)) == {"px1", "px2"}, "one that has stopped")
    engine = two.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    wait.until(lambda: states(one).get("px2") == "gone", "one that hangs")
    assert checks(one)["nodes"]["text"] == "1 of 2 are there; gone: px2"
    os.kill(engine, signal.SIGCONT)
    wait.until(lambda: states(one)["px2"] == "serving", "it is back")


@pytest.mark.parametrize("how", ["kill", "stop", "pause", "flush"])
def test_store_fails_and_returns(fleet, store, how):
    """Logins go on, the nodes say what is wrong, and find each other again."""
    made = fleet(store, nodes=NODES[:2])
    epoch = store.cli("GET", "mp:mail:epoch")
    {"kill": store.kill, "stop": store.stop, "pause": lambda: store.cli("CLIENT", "PAUSE", "4000", "ALL"),
     "flush": lambda: store.cli("FLUSHALL")}[how]()
    if how != "flush":
        wait.until(lambda: all("the store is away" in trouble(p) for p in made), "trouble")
    if how in ("kill", "stop"):  # a pause ends by itself
        assert all(states(p) == {**dict.fromkeys(NODES[:2], "unknown"), p.settings["node"]: "serving"} for p in made)
        assert made[0].ctl("system", "status")["fleet"] == "store down"
        assert checks(made[0])["store"]["result"] == "failed"
    for p in made:
        serves(p)
    if how == "kill":
        store.restart()
    elif how == "stop":
        store.cont()
    if how in ("kill", "flush"):
        for p in made:
            p.wait_for_log("fleet-epoch")
    wait.until(lambda: all(is_well(p) for p in made), "all is well again")
    assert (store.cli("GET", "mp:mail:epoch") == epoch) == (how in ("stop", "pause"))
    assert "has left" not in made[0].whole_log()
    # Who could say nothing while the store was away is not gone.
    assert not any("is gone" in str(p.ctl("--allow-empty", "event", "list", "type=fleet")) for p in made)
    for p in made:
        serves(p)


def test_store_refuses(fleet, store):
    """Full, read-only, another password: each is told in its words."""
    one, = fleet(store, nodes=NODES[:1])
    store.cli("CONFIG", "SET", "maxmemory", "1")
    wait.until(lambda: "OOM" in trouble(one), "a full store")
    assert checks(one)["memory"]["result"] == "warning"
    store.cli("CONFIG", "SET", "maxmemory", "0")
    wait.until(lambda: is_well(one), "room")
    store.cli("CONFIG", "SET", "requirepass", "other")
    store.password = "other"
    store.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait.until(lambda: "NOAUTH" in trouble(one), "a password that is missing")
    serves(one)
    # The right one comes with a reload.
    path = os.path.join(store.folder, "password")
    with open(path, "w") as f:
        f.write("other\n")
    one.configure({"fleet": {"password_file": path}})
    one.ctl("config", "reload")
    wait.until(lambda: is_well(one), "the password is known")


def test_starts_without_store(fleet, folder, make_proxy):
    away = redis.RedisServer(os.path.join(folder, "away"))
    one, = fleet(away, nodes=NODES[:1], is_waiting=False)
    serves(one)
    assert states(one) == {"px1": "serving"}
    wait.until(lambda: "the store is away" in trouble(one), "trouble")
    away.start()
    wait.until(lambda: is_well(one), "the store has come")
    away.close()


def test_the_next_engine_is_no_stranger(fleet, store):
    """After an upgrade, and after a death, the engine before is no other proxy of the same name."""
    one, = fleet(store, nodes=NODES[:1])
    one.ctl_run("system", "upgrade", "--wait")
    wait.until(lambda: states(one) == {"px1": "serving"} and is_well(one), "the new program alone")
    engine = one.ctl("system", "status")["pid"]
    os.kill(engine, signal.SIGKILL)
    wait.until(lambda: one.ctl_run("system", "status", check=False).returncode == 0 and one.ctl("system", "status")["pid"] != engine, "the next engine")
    wait.until(lambda: len(one.ctl("fleet", "list")) == 1 and is_well(one), "it alone")
    assert "another proxy is called" not in one.whole_log()


def test_strangers(fleet, store, folder):
    """A secret of its own, a name that another has, a schema that is newer."""
    one, = fleet(store, nodes=NODES[:1])
    other = os.path.join(folder, "other.secret")
    with open(os.open(other, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
        f.write("x" * 64)
    two, = fleet(store, nodes=("px2",), is_waiting=False, secret_file=other)
    wait.until(lambda: "node px2 has another secret_file" in trouble(one), "the stranger is told")
    assert checks(one)["secrets"]["result"] == "failed"
    two.process.signal(signal.SIGTERM)
    wait.until(lambda: "px2" not in states(one), "it went")
    twin, = fleet(store, nodes=("px1",), is_waiting=False)
    wait.until(lambda: "another proxy is called px1" in trouble(one), "the twin is told")
    twin.process.signal(signal.SIGTERM)
    wait.until(lambda: "fleet" not in trouble(one), "it went")
    store.cli("SET", "mp:mail:schema", "2")
    wait.until(lambda: "speak schema 2, this one no more than 1" in trouble(one), "no part in it")
    serves(one)
    store.cli("SET", "mp:mail:schema", "1")
    wait.until(lambda: is_well(one), "it has its part again")


def test_promotion(fleet, folder):
    primary = redis.RedisServer(os.path.join(folder, "r1"), password="pw").start()
    replica = redis.RedisServer(os.path.join(folder, "r2"), "replica", password="pw", host=primary.host,
                                replicaof=f"{primary.host} {primary.port}").start()
    sentinels = redis.Sentinels(os.path.join(folder, "sentinels"), primary).start()
    try:
        path = os.path.join(folder, "password")
        with open(path, "w") as f:
            f.write("pw\n")
        one, two = fleet(sentinels.addresses, nodes=NODES[:2], sentinel="mail", password_file=path)
        assert one.ctl("fleet", "show")["server"] == primary.address
        assert checks(one)["replicas"]["result"] == "ok"
        primary.kill()
        wait.until(lambda: all(p.ctl("fleet", "show")["server"] == replica.address and is_well(p) for p in (one, two)),
                   "the new primary")
        serves(one)
    finally:
        for server in (sentinels, primary, replica):
            server.close()
