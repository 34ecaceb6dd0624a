# SPDX-License-Identifier: ISC
"""Commands on all nodes of a fleet: three proxies over one Redis that act as one, nodes that are away, a store that is, and who
writes into it without being asked."""
import json
import os
import signal
import threading
import time

import pytest
from conftest import backend, site_settings
from harness import imap, redis, wait

USERS = ("u1@example.org", "u2@example.org")
NODES = ("px1", "px2", "px3")
STREAM = "mp:mail:cmd"
PARTLY = 7


@pytest.fixture
def store(shared_store):
    return shared_store


@pytest.fixture(scope="module")
def three(make_shared_proxy, dovecot1, dovecot2, server_cert, shared_folder, shared_store):
    return [make_shared_proxy({**site_settings(dovecot1, dovecot2, server_cert), "node": name,
                               "fleet": redis.fleet(shared_folder, shared_store, heartbeat="500ms")}) for name in NODES]


@pytest.fixture
def fleet(three, store, dovecot1, dovecot2):
    """Three nodes that know each other, and two users; whatever the test before has done to them."""
    if not store.process.is_running():
        store.start()
    store.cli("CONFIG", "SET", "maxmemory", "0")
    if store.cli("TYPE", STREAM) == "string":
        store.cli("DEL", STREAM)
    for p in three:
        if not p.process:
            p.start()
    wait.until(lambda: all(alive(p) == set(NODES) for p in three), "nodes that know each other")
    for p in three:
        for user in USERS:
            p.ctl_run("user", "remove", user, "--yes", check=False)
            p.add_user(user, "pw")
    yield three
    for p in three:
        if p.process:
            p.ctl_run("session", "kill", "--all", "--yes", "--now", check=False)


def alive(p):
    return {row["node"] for row in p.ctl("fleet", "list") if row["state"] == "serving"}


def login(p, user=USERS[0]):
    m = imap.plain(p.host, p.ports["imap"])
    m.login(user, "pw")
    return m


def on_all(p, *args, status=0):
    """mailproxyctl --fleet: rows of all nodes."""
    done = p.ctl_run("--fleet", "-o", "json", *args, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else None, done.stderr


def commands(p):
    """That it has run."""
    return [row["command"] for row in p.ctl("audit", "list")]


def state(p, user=USERS[0]):
    return p.ctl("user", "show", user)["state"]


def test_lists_of_all_nodes(fleet):
    clients = [login(p) for p in fleet] + [login(fleet[2], USERS[1])]
    rows, _ = on_all(fleet[0], "session", "list")
    assert sorted((r["node"], r["user"]) for r in rows) == [
        ("px1", USERS[0]), ("px2", USERS[0]), ("px3", USERS[0]), ("px3", USERS[1])]
    rows, _ = on_all(fleet[1], "session", "list", f"user={USERS[1]}")
    assert [r["node"] for r in rows] == ["px3"]
    rows = fleet[0].ctl("session", "list", "--node", "px3")
    assert {r["user"] for r in rows} == set(USERS) and len(rows) == 2
    done = fleet[0].ctl_run("--fleet", "-o", "table", "session", "list", check=False)
    assert "4 rows: 1 of px1, 1 of px2, 2 of px3" in done.stdout
    done = fleet[0].ctl_run("--node", "px9", "session", "list", check=False)
    assert done.returncode == 3 and "no node px9" in done.stderr
    for c in clients:
        c.logout()


@pytest.mark.parametrize("words", ["config check", "config diff", "config reload --dry-run", "config show", "backend check dc1", "event top", "stats show",
                                   f"route explain {USERS[0]}", f"user show {USERS[0]}", "system whoami"])
def test_looking_at_all_nodes(fleet, words):
    """What a command says of one node it says of all."""
    done = fleet[0].ctl_run("--fleet", "-o", "table", *words.split(), check=False)
    assert done.returncode == 0, done.stderr
    asked = fleet[1].ctl_run("-o", "json", *words.split()).stdout
    assert asked and "4294967295" not in done.stdout


def test_one_lock_for_all(fleet):
    clients = [login(p) for p in fleet]
    done = fleet[0].ctl_run("--fleet", "user", "lock", USERS[0], "--dry-run")
    assert all(f"{node}: " in done.stdout + done.stderr for node in NODES)
    assert [state(p) for p in fleet] == ["active"] * 3
    on_all(fleet[0], "user", "lock", USERS[0], "--yes", "--text", "call us", "--reason", "stolen")
    assert [state(p) for p in fleet] == ["locked"] * 3
    for c in clients:
        assert c.readline().startswith(b"* BYE")
    row = next(r for r in fleet[1].ctl("audit", "list") if r["command"] == "user.lock" and r["reason"] == "stolen")
    assert row["user"].endswith("@px1")
    on_all(fleet[2], "user", "unlock", USERS[0])
    assert [state(p) for p in fleet] == ["active"] * 3


def test_what_is_not_for_others(fleet):
    for words, why in ((("user", "passwd", USERS[0], "--password-stdin"), "secrets"), (("fleet", "run", "session.list"), "not for other nodes")):
        done = fleet[0].ctl_run("--fleet", *words, stdin="new", check=False)
        assert done.returncode == 2 and why in done.stderr
    # The same where mailproxyctl does not look first.
    for method, params in (("user.passwd", {"name": USERS[0], "password": "x"}), ("event.watch", {}), ("fleet.run", {"method": "a.b"})):
        done = fleet[0].ctl_run("fleet", "run", method, "--params", json.dumps(params), check=False)
        assert done.returncode == 1, done.stdout
    for params in ("[]", "{", '{"no": 1}'):
        done = fleet[0].ctl_run("-o", "json", "fleet", "run", "session.list", "--params", params, check=False)
        said = done.stdout + done.stderr
        assert "JSON object" in said or all(r["answer"].count("E_NO_PARAM") for r in json.loads(done.stdout))


def test_a_node_that_was_away(fleet):
    """It is named; what is to hold it takes in when it is back, in order, and what was for that moment it does not."""
    first, second, third = fleet
    kills = commands(third).count("session.kill")
    third.die()
    on_all(first, "user", "lock", USERS[0], "--yes", status=PARTLY)
    on_all(first, "user", "lock", USERS[1], "--yes", status=PARTLY)
    _, said = on_all(second, "user", "unlock", USERS[1], status=PARTLY)
    assert "px3" in said and "when it is back" in said
    _, said = on_all(first, "session", "kill", "--all", "--yes", status=PARTLY)
    assert "has no part in it" in said or "px3" in said
    third.start()
    wait.until(lambda: state(third) == "locked", "the lock at the node that was away")
    assert state(third, USERS[1]) == "active"
    row = commands(third)
    assert row.count("session.kill") == kills
    # A restart takes nothing twice; who stopped in good order is not waited for, and has what it missed when it is back.
    n = row.count("user.lock")
    third.process.stop(40)
    wait.until(lambda: "px3" not in {r["node"] for r in first.ctl("fleet", "list")}, "its leaving")
    on_all(first, "user", "hold", USERS[1])
    third.start()
    wait.until(lambda: state(third, USERS[1]) == "held", "what it missed")
    wait.until(lambda: alive(third) == set(NODES), "its return")
    assert commands(third).count("user.lock") == n


def lost_store(p):
    return p.ctl("system", "status")["fleet"] == "store down"


def test_the_store_is_away(fleet, store):
    """A lock holds here at once, the others are named, and have it when the store is back, also over a restart. Nothing is done here again."""
    first, second, _ = fleet
    before = [commands(first).count("user.lock"), commands(first).count("user.unlock"), commands(second).count("ban.add")]
    store.kill()
    wait.until(lambda: lost_store(first) and lost_store(second), "the loss of the store")
    _, said = on_all(first, "user", "lock", USERS[0], "--yes", status=PARTLY)
    assert "px2" in said and "px3" in said
    assert [state(p) for p in fleet] == ["locked", "active", "active"]
    on_all(first, "user", "lock", USERS[1], "--yes", status=PARTLY)
    on_all(first, "user", "unlock", USERS[1], status=PARTLY)
    client = login(first, USERS[1])
    on_all(second, "ban", "add", "192.0.2.7", status=PARTLY)  # it hits one at most: no question, though not all can count
    second.process.stop(40)
    second.start()
    store.restart()
    wait.until(lambda: [state(p) for p in fleet] == ["locked"] * 3, "the lock everywhere", 30)
    wait.until(lambda: all("192.0.2.7" in str(p.ctl("--allow-empty", "ban", "list")) for p in fleet), "the ban everywhere", 30)
    wait.until(lambda: [state(p, USERS[1]) for p in fleet] == ["active"] * 3, "the end of the other lock everywhere")
    after = [commands(first).count("user.lock"), commands(first).count("user.unlock"), commands(second).count("ban.add")]
    assert [n - m for n, m in zip(after, before)] == [2, 1, 1]
    on_all(first, "ban", "remove", "192.0.2.7")
    assert client.noop()[0] == "OK"
    client.logout()


def test_ends_are_the_same(fleet, store):
    """What has an end has the same at all nodes; one that hears of it behind that end does nothing."""
    first, second, _ = fleet
    on_all(first, "ban", "add", "192.0.2.8", "--for", "1h")
    on_all(first, "user", "lock", USERS[1], "--until", "1h", "--yes")
    bans = [[row["until"] for row in p.ctl("ban", "list") if row["subject"] == "192.0.2.8"] for p in fleet]
    locks = [p.ctl("user", "show", USERS[1])["state_until"] for p in fleet]
    assert len(set(locks)) == 1 and bans[0] == bans[1] == bans[2] and len(bans[0]) == 1
    on_all(first, "user", "unlock", USERS[1])
    on_all(first, "ban", "remove", "192.0.2.8")
    n = commands(second).count("ban.add")
    store.kill()
    wait.until(lambda: lost_store(first) and lost_store(second), "the loss of the store")
    on_all(first, "ban", "add", "192.0.2.9", "--for", "500ms", status=PARTLY)
    on_all(first, "ban", "add", "192.0.2.10", status=PARTLY)
    wait.until(lambda: "192.0.2.9" not in str(first.ctl("ban", "list")), "the end of the ban")
    store.start()
    wait.until(lambda: commands(second).count("ban.add") == n + 2, "both bans", 30)
    assert "192.0.2.9" not in str(second.ctl("ban", "list")) and "192.0.2.10" in str(second.ctl("ban", "list"))
    done = [row for row in second.ctl("audit", "list") if "192.0.2.9" in str(row)]
    assert [row["count"] for row in done] == [0]
    on_all(first, "ban", "remove", "192.0.2.10")


def test_what_comes_before(fleet, store):
    """Two nodes say different things of a user while the store is away: in the end all say what the stream has last."""
    store.kill()
    wait.until(lambda: all(lost_store(p) for p in fleet), "the loss of the store")
    on_all(fleet[0], "user", "lock", USERS[0], "--yes", status=PARTLY)
    on_all(fleet[1], "user", "hold", USERS[0], status=PARTLY)
    assert [state(p) for p in fleet] == ["locked", "held", "active"]
    store.restart()
    wait.until(lambda: len({state(p) for p in fleet}) == 1 and state(fleet[2]) != "active", "the same state everywhere", 30)


def away(p):
    """A node that dies, and is missed."""
    p.die()
    return p


def forget(store):
    store.cli("FLUSHALL")


def restart(store):
    store.restart()


@pytest.mark.parametrize("lose", (forget, restart))
def test_the_store_loses_commands(fleet, store, lose):
    """What it had taken, and a node that was away had not read, is sent to it again, also by a node that was started anew; nobody does it twice."""
    first, second, third = fleet
    away(third)
    on_all(first, "user", "lock", USERS[0], "--yes", "--reason", "theirs", status=PARTLY)
    on_all(second, "ban", "add", "192.0.2.11", status=PARTLY)
    wait.until(lambda: state(second) == "locked" and "192.0.2.11" in str(first.ctl("ban", "list")), "both commands at those that are there")
    before = [commands(p).count("user.lock") for p in (first, second)]
    second.process.stop(40)
    lose(store)
    second.start()
    third.start()
    wait.until(lambda: state(third) == "locked" and "192.0.2.11" in str(third.ctl("--allow-empty", "ban", "list")), "what the node missed")
    wait.until(lambda: kept(first) == 0 and kept(second) == 0, "its word that it has it")
    assert [commands(p).count("user.lock") for p in (first, second)] == before
    on_all(first, "ban", "remove", "192.0.2.11")


def kept(p):
    return p.ctl("fleet", "show")["commands_kept"]


def test_lost_and_overtaken(fleet, store):
    """Two nodes send again what they said of a user, in whatever order: the last word is the same as before."""
    first, second, third = fleet
    away(third)
    on_all(first, "user", "lock", USERS[0], "--yes", status=PARTLY)
    on_all(second, "user", "unlock", USERS[0], status=PARTLY)
    on_all(second, "user", "hold", USERS[1], status=PARTLY)
    on_all(first, "user", "lock", USERS[1], "--yes", status=PARTLY)
    wait.until(lambda: state(first, USERS[1]) == "locked" and state(second, USERS[1]) == "locked", "the same at both")
    store.cli("FLUSHALL")
    third.start()
    wait.until(lambda: kept(first) == 0 and kept(second) == 0, "that it has all")
    wait.until(lambda: [state(third, u) for u in USERS] == ["active", "locked"], "the last word")
    assert [[state(p, u) for u in USERS] for p in fleet] == [["active", "locked"]] * 3


def test_a_promotion_with_lost_writes(fleet, store):
    """The data is the same, but for the last seconds: nothing says so, and commands come behind those that are missed."""
    first, _, third = fleet
    store.cli("SAVE")
    away(third)
    on_all(first, "user", "lock", USERS[0], "--yes", status=PARTLY)
    store.restart()
    os.unlink(os.path.join(store.folder, "dump.rdb"))
    wait.until(lambda: "px2" in alive(first), "the others")
    on_all(first, "user", "hold", USERS[1], status=PARTLY)
    third.start()
    wait.until(lambda: [state(third, u) for u in USERS] == ["locked", "held"], "both at the node that was away")


def test_a_command_that_is_missed(fleet, store):
    """A node that is there, and is told of what it has not, has it again; until then it takes nothing of what is behind it."""
    first, _, third = fleet
    away(third)
    on_all(first, "user", "lock", USERS[0], "--yes", status=PARTLY)
    wait.until(lambda: state(fleet[1]) == "locked", "the lock at the others")
    store.cli("DEL", STREAM)
    on_all(first, "user", "unlock", USERS[0], status=PARTLY)
    third.start()
    wait.until(lambda: kept(first) == 0, "its word that it has both")
    assert [state(p) for p in fleet] == ["active"] * 3
    assert third.whole_log().count("fleet-command-missed") >= 1


def test_the_store_refuses(fleet, store):
    """What it did not take nobody is promised."""
    store.cli("CONFIG", "SET", "maxmemory", "1")
    _, said = on_all(fleet[0], "user", "lock", USERS[0], "--yes", status=PARTLY)
    assert "px2: OOM" in said and "may not reach it" in said and "when it is back" not in said
    assert [state(p) for p in fleet] == ["locked", "active", "active"]
    store.cli("CONFIG", "SET", "maxmemory", "0")


def words_of(store, node, to):
    """How often a node has said something to who asked it."""
    keys = store.lines("KEYS", f"mp:mail:in:{to}#*")
    return sum(store.cli("XRANGE", key, "-", "+").count(f'"from":"{node}"') for key in keys)


def kill_that_takes_long(fleet, store, grace):
    """A kill on all nodes whose part at px2 lasts as long as the grace: a client there has begun a command. Returns what waits for
    the command's exit code and words."""
    client, done = login(fleet[1]), []
    client.send(b"a9 APPEND INBOX {5}\r\n")
    assert client.readline().startswith(b"+")
    words = words_of(store, "px2", "px1")
    asked = threading.Thread(target=lambda: done.append(
        fleet[0].ctl_run("--fleet", "session", "kill", "--all", "--yes", "--grace", grace, check=False)))
    asked.start()
    wait.until(lambda: done or words_of(store, "px2", "px1") > words, "the word that it has begun")
    assert not done, done[0].stdout + done[0].stderr

    def finish():
        asked.join(40)
        client.shutdown()
        return done[0].returncode, done[0].stdout + done[0].stderr

    return finish


def test_an_answer_that_the_store_does_not_take(fleet, store):
    """It is said again when the store is back, and is not waited for until the operator gives up."""
    finish = kill_that_takes_long(fleet, store, "2s")
    store.stop()
    wait.until(lambda: fleet[1].ctl("session", "list") == [], "the end of the session", 20)
    wait.until(lambda: lost_store(fleet[1]), "the loss of the store", 20)
    store.cont()
    code, said = finish()
    assert "px2: session kill: 1 (0 clean, 1 command cut)" in said and code in (0, PARTLY), said


def test_a_node_that_dies_while_it_runs_a_command(fleet, store):
    """Its next engine knows nothing of it: that is said, with what the others did."""
    finish = kill_that_takes_long(fleet, store, "25s")
    pid = fleet[1].engine_pid()
    os.kill(pid, signal.SIGKILL)
    code, said = finish()
    assert code == PARTLY and "px2: it went away while it ran it; what it has done is not known" in said, said


def test_who_may_only_write_into_the_store(fleet, store):
    """Without the secret nobody commands a node; a command that comes again is not done again."""
    on_all(fleet[0], "user", "lock", USERS[0], "--yes")
    on_all(fleet[0], "user", "unlock", USERS[0])
    stream = STREAM
    entries = [line for line in store.cli("XRANGE", stream, "-", "+").split("\n") if line]
    texts = [t for t in entries if t.startswith("{")]
    signatures = [entries[i + 1] for i, t in enumerate(entries) if t == "s"]
    lock = next(i for i, t in reversed(list(enumerate(texts))) if '"user.lock"' in t)
    store.cli("XADD", stream, "*", "m", texts[lock], "s", signatures[lock])  # again
    forged = texts[lock].replace('"number":', '"number":1')
    for signature in (signatures[lock], "", "0" * 64, "x" * 100000):
        store.cli("XADD", stream, "*", "m", forged, "s", signature)
    store.cli("XADD", stream, "*", "a", "b")
    store.cli("XADD", stream, "*", "m", "[" * 50000, "s", "0" * 64)
    on_all(fleet[0], "user", "hold", USERS[1])  # all before it was read
    assert [state(p) for p in fleet] == ["active"] * 3
    assert [state(p, USERS[1]) for p in fleet] == ["held"] * 3
    fleet[1].wait_for_log("fleet-message-refused")
    # A whole stream that is no stream: commands go on where nodes can be reached again.
    store.cli("DEL", stream)
    store.cli("SET", stream, "no stream")
    on_all(fleet[0], "user", "release", USERS[1], status=PARTLY)
    assert state(fleet[0], USERS[1]) == "active"
    named = f"{stream} in the store is no stream, but a string"
    wait.until(lambda: all(named in p.ctl("system", "status").get("trouble", "") for p in fleet), "the trouble to be named")
    assert any(named in row["text"] and row["result"] == "failed" for row in json.loads(fleet[1].ctl_run("-o", "json", "fleet", "check", check=False).stdout))
    assert any(named in row.get("note", "") for row in fleet[1].ctl("fleet", "list"))
    store.cli("DEL", stream)
    wait.until(lambda: not any(p.ctl("system", "status").get("trouble") for p in fleet), "the end of the trouble")


def test_a_node_whose_clock_was_ahead(fleet, store):
    """Others take of a node only what is newer than all before: it goes on behind what it said two hours ahead, though it has lost its own store."""
    ahead = json.dumps({"schema": 1, "from": "px2", "number": int((time.time() + 7200) * 1e6), "gather": "x", "user": "x"})
    store.cli("XADD", STREAM, "*", "m", ahead, "s", redis.sign(STREAM, ahead))
    on_all(fleet[0], "session", "list")  # it was read
    on_all(fleet[1], "user", "lock", USERS[0], "--yes")
    assert [state(p) for p in fleet] == ["locked"] * 3


def test_two_operators_at_once(fleet):
    """Whatever they do at the same moment, all nodes end up the same."""
    def act(p, verbs):
        for verb in verbs:
            p.ctl_run("--fleet", "user", verb, USERS[0], *(["--yes"] if verb == "lock" else []), check=False)
    threads = [threading.Thread(target=act, args=(p, v)) for p, v in zip(fleet, (["lock", "unlock"] * 4, ["unlock", "lock"] * 4, ["lock"] * 8))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait.until(lambda: len({state(p) for p in fleet}) == 1, "the same state on all nodes")


def test_a_move_of_all(fleet, dovecot1, dovecot2):
    """No node lets a login through to the new place while another one has a session at the old."""
    on_all(fleet[0], "user", "set", USERS[0], "--backend", dovecot1.name)
    clients = [login(p) for p in fleet]
    rows, _ = on_all(fleet[0], "session", "list")
    assert {r["backend"] for r in rows} == {dovecot1.name}
    done = fleet[1].ctl_run("--fleet", "user", "move", USERS[0], "--to", dovecot2.name, "--yes", "--wait", "--grace", "1s")
    assert all(f"{node}: " in done.stdout + done.stderr for node in NODES)
    for c in clients:
        assert c.readline().startswith(b"* BYE")
    clients = [login(p) for p in fleet]
    rows, _ = on_all(fleet[0], "session", "list", "state=relay", "!phase=ending")
    assert {r["backend"] for r in rows} == {dovecot2.name} and len(rows) == 3
    for c in clients:
        c.logout()


def test_a_node_that_is_ready_twice(fleet, store, dovecot1, dovecot2):
    """Somebody writes the word of a node that it is ready once more: the one that is not ready is waited for."""
    on_all(fleet[0], "user", "set", USERS[0], "--backend", dovecot1.name)
    busy, done = login(fleet[2]), []
    busy.send(b"a9 APPEND INBOX {5}\r\n")
    assert busy.readline().startswith(b"+")
    inbox, = store.lines("KEYS", f"mp:mail:in:{fleet[0].ctl('fleet', 'show')['holder']}")
    words = ("--fleet", "user", "move", USERS[0], "--to", dovecot2.name, "--yes", "--wait", "--grace", "6s")
    asked = threading.Thread(target=lambda: done.append(fleet[0].ctl_run(*words, check=False)))
    asked.start()

    def ready():
        lines = store.cli("XRANGE", inbox, "-", "+").split("\n")
        return [(line, lines[i + 2]) for i, line in enumerate(lines) if '"gather":' in line and '"from":"px2"' in line]

    wait.until(lambda: done or ready(), "the word of px2 that it is ready")
    message, signature = ready()[0]
    for _ in range(3):
        store.cli("XADD", inbox, "*", "m", message, "s", signature)
    on_all(fleet[0], "session", "list")  # all before it was read
    assert not done and fleet[0].ctl("user", "show", USERS[0])["backend"] == dovecot1.name
    asked.join(40)
    assert [p.ctl("user", "show", USERS[0])["backend"] for p in fleet] == [dovecot2.name] * 3, done
    busy.shutdown()


def test_a_move_that_one_node_cannot_do(fleet, dovecot1, dovecot2):
    """Then nobody is moved, and nobody waits."""
    third = fleet[2]
    third.configure({"pools": [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]})
    third.ctl("config", "reload")
    on_all(fleet[0], "user", "set", USERS[0], "--backend", dovecot1.name)
    c = login(fleet[1])
    done = fleet[0].ctl_run("--fleet", "user", "move", USERS[0], "--to", dovecot2.name, "--yes", "--wait=20s", check=False)
    assert done.returncode not in (0, 2), done.stdout + done.stderr
    assert [p.ctl("user", "show", USERS[0])["backend"] for p in fleet] == [dovecot1.name] * 3
    login(fleet[0]).logout()
    c.shutdown()
    # A node that is away may have sessions: only --force goes on without it.
    third.die()
    wait.until(lambda: "px3" not in alive(fleet[0]), "the end of a node", 30)
    done = fleet[0].ctl_run("--fleet", "user", "move", USERS[0], "--to", dovecot2.name, "--yes", check=False)
    assert done.returncode != 0 and "px3 is away" in done.stdout + done.stderr
    fleet[0].ctl_run("--fleet", "user", "move", USERS[0], "--to", dovecot2.name, "--yes", "--force", "--wait", check=False)
    assert [p.ctl("user", "show", USERS[0])["backend"] for p in fleet[:2]] == [dovecot2.name] * 2
    third.configure({"pools": [{"name": "main", "tls": "off", "backends": [backend(dovecot1), backend(dovecot2)]}]})


def test_one_rate_for_all(fleet):
    clients = [login(p) for p in fleet for _ in range(3)]
    done = fleet[0].ctl_run("--fleet", "session", "kill", "--all", "--rate", "3", "--yes", "--wait", "--grace", "1s")
    assert done.returncode == 0
    for p in fleet:
        row = next(r for r in p.ctl("audit", "list") if r["command"] == "session.kill" and "rate" in r["args"])
        assert row["args"].split(" here: ")[1] == "rate=1"
        assert "rate=3" in row["args"].split(" here: ")[0], "what was asked for, and whose share it is"
    for c in clients:
        c.shutdown()


def test_the_newest_of_all_nodes(fleet):
    """Each node lists its newest first; so does the list of all, and --limit takes the newest of all."""
    for i in range(6):
        fleet[i % 3].ctl("user", "set", USERS[0], "--note", f"turn {i}")

    def rows(*args):
        return fleet[0].ctl("--fleet", "audit", "list", "command=user.set", *args)
    newest = wait.until(lambda: [r for r in rows("--limit", "6") if "turn 5" in rows("--limit", "1")[0]["args"]], "the audit")
    assert [r["args"].split("turn ")[1][0] for r in newest] == ["5", "4", "3", "2", "1", "0"]
    assert [r["node"] for r in newest] == ["px3", "px2", "px1"] * 2
    times = [r["time"] for r in fleet[0].ctl("--fleet", "event", "list", "--limit", "9")]
    assert len(times) == 9 and times == sorted(times, reverse=True)


def test_the_usual_rate_for_all(fleet, dovecot1):
    """50 a second end in a drain that names no rate: of all nodes together."""
    on_all(fleet[0], "backend", "drain", dovecot1.name, "--kick", "--yes")
    for p in fleet:
        row = next(r for r in p.ctl("audit", "list") if r["command"] == "backend.drain")
        assert row["args"].endswith(" here: rate_per=3") and "rate=" not in row["args"]
    on_all(fleet[0], "backend", "ready", dovecot1.name)


def test_a_rate_of_less_than_one_each(fleet):
    """Two a second of three nodes together: two in three seconds of each."""
    clients = [login(p) for p in fleet]
    on_all(fleet[0], "session", "kill", "--all", "--rate", "2", "--yes", "--grace", "1s")
    for p in fleet:
        row = next(r for r in p.ctl("audit", "list") if r["command"] == "session.kill" and "rate" in r["args"])
        assert row["args"].endswith(" here: rate=2 rate_per=3") and row["args"].count("rate=2") == 2
    wait.until(lambda: all(p.ctl("--allow-empty", "session", "list") == [] for p in fleet), "the end of the sessions")
    for c in clients:
        c.shutdown()
