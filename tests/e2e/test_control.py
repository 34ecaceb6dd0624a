# SPDX-License-Identifier: ISC
"""The control socket and mailproxyctl: sessions, users, backends, configuration; and clients that misbehave."""
import json
import os
import socket
import threading
import time

import pytest
from conftest import backend
from harness import control, imap, wait
from harness.control import Control
from harness.proxy import OPERATOR, CtlError

USER, PASSWORD = "u1@example.org", "pw"


@pytest.fixture
def proxy(make_proxy, settings, dovecot1):
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


def logged_in(p, user=USER, password=PASSWORD):
    return imap.logged_in(p, user, password)


def test_status_whoami_help(proxy):
    status = proxy.ctl("system", "status")
    assert status["workers"] == 2 and status["state"] == "running" and status["users"] == 1
    me = proxy.ctl("system", "whoami")
    assert me["role"] == "admin" and me["uid"] == os.getuid()
    commands = {row["command"] for row in proxy.ctl("system", "help")}
    assert {"session list", "session kill", "user add", "config reload"} <= {c.replace(".", " ") for c in commands}


@pytest.mark.parametrize("said, answered", [
    ('{"jsonrpc":"2.0","id":1,"method":"system.status"}', [1]),
    ('{"jsonrpc":"2.0","id":1,"method":"system.status"}\n{"jsonrpc":"2.0","id":2,"method":"system.whoami"}', [1, 2]),
    ('{"jsonrpc":"2.0","id":1,"method":"system.sta', [None]),
], ids=["one", "the second", "a part of one"])
def test_the_last_request_needs_no_line_end(proxy, said, answered):
    """printf '{...}' | socat - UNIX:control.sock"""
    c = Control(proxy.control)
    c.send(said.encode())
    c.sock.shutdown(socket.SHUT_WR)
    assert [json.loads(line).get("id") for line in c.file] == answered
    c.close()


def test_list_show_and_filter(proxy):
    c = logged_in(proxy)
    row = proxy.sessions()[0]
    assert row["user"] == USER and row["backend"] == "dc1" and row["state"] == "relay" and row["proto"] == "imap"
    assert row["tls"] == "no" and row["ip"].startswith("127.")
    assert proxy.ctl("session", "show", row["id"])["id"] == row["id"]
    assert len(proxy.sessions("user=*@example.org", "proto=imap", "backend=dc1", "idle<10m")) == 1
    assert proxy.sessions("user=nobody*") == []
    assert len(proxy.sessions("!tls=TLS*")) == 1
    c.close()


def test_kill_says_goodbye(proxy):
    c = logged_in(proxy)
    sid = proxy.sessions()[0]["id"]
    proxy.ctl("session", "kill", sid, "--text", "Back at noon", "--yes")
    text = c.rest().decode()
    assert text.startswith("* BYE") and "Back at noon" in text
    wait.until(lambda: proxy.sessions() == [], "the end")
    proxy.wait_for_log("by=operator")
    c.close()


def test_kill_at_a_response_boundary(proxy, dovecot1):
    """While a big FETCH runs, the BYE must come after it, never within the literal."""
    m = imap.plain(proxy.host, proxy.ports["imap"])
    m.login(USER, PASSWORD)
    m.create("kill")
    size = 20 * 1024 * 1024
    assert m.append("kill", None, None, b"Subject: k\r\n\r\n" + (b"y" * 76 + b"\r\n") * (size // 78))[0] == "OK"
    m.logout()
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.command("a", f"LOGIN {USER} {PASSWORD}")
    c.command("b", "SELECT kill")
    c.send("c FETCH 1 BODY[]\r\n")
    first = c.line()
    assert "FETCH" in first and first.endswith("}")
    octets = int(first[first.rindex("{") + 1:-1])
    row = [s for s in proxy.sessions("user=" + USER)][0]
    killer = threading.Thread(target=lambda: proxy.ctl("session", "kill", row["id"], "--grace", "20s", "--yes"))
    killer.start()
    wait.until(lambda: proxy.ctl("stats", "show")["killed"] == 1, "the kill")
    literal = c.file.read(octets)
    assert len(literal) == octets and b"BYE" not in literal
    tail = c.rest().decode()
    assert tail.startswith(")") and "* BYE" in tail
    killer.join()
    c.close()


def test_kill_now(proxy):
    c = logged_in(proxy)
    proxy.ctl("session", "kill", "user=" + USER, "--now", "--yes")
    assert c.rest() == b""
    c.close()


def test_kill_needs_a_target(proxy):
    with pytest.raises(CtlError) as e:
        proxy.ctl("session", "kill", "--yes")
    assert e.value.status in (1, 2)
    with pytest.raises(CtlError) as e:
        proxy.ctl("session", "kill", "ff-ffff", "--yes")
    assert e.value.status == 3


def test_dry_run_shows_what_kill_hits(proxy):
    clients = [logged_in(proxy) for _ in range(5)]
    would = proxy.ctl("session", "kill", "user=" + USER, "--dry-run")
    assert len(proxy.sessions("state=relay")) == 5
    done = proxy.ctl("session", "kill", "user=" + USER, "--yes")
    assert {r["id"] for r in would["rows"]} == {r["id"] for r in done["rows"]} and done["count"] == 5
    for c in clients:
        c.close()


def test_max_guards(proxy):
    clients = [logged_in(proxy) for _ in range(3)]
    with pytest.raises(CtlError):
        proxy.ctl("session", "kill", "user=" + USER, "--max", "2", "--yes")
    assert len(proxy.sessions("state=relay")) == 3
    for c in clients:
        c.close()


def test_users(proxy):
    proxy.add_user("New@Example.org", "first", note="a note")
    row = proxy.ctl("user", "show", "new@example.org")
    assert row["note"] == "a note" and row["state"] == "active"
    with pytest.raises(CtlError):
        proxy.add_user("new@example.org", "again")
    proxy.ctl("user", "set", "new@example.org", "--note", "other")
    assert proxy.ctl("user", "show", "new@example.org")["note"] == "other"
    assert [u["name"] for u in proxy.ctl("user", "list", "name=new*")] == ["new@example.org"]
    proxy.ctl("user", "remove", "new@example.org")
    with pytest.raises(CtlError) as e:
        proxy.ctl("user", "show", "new@example.org")
    assert e.value.status == 3
    text = json.dumps(proxy.ctl("user", "list"))
    assert "$y$" not in text and PASSWORD not in text.replace("password", "")


def test_passwd_takes_effect_at_once(proxy):
    logged_in(proxy).close()
    proxy.ctl("user", "passwd", USER, "--password-stdin", stdin="other\n")
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    assert "[AUTHENTICATIONFAILED]" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    c.close()


def test_password_is_refused_in_argv(proxy):
    done = proxy.ctl_run("user", "passwd", USER, "--password", "x", check=False)
    assert done.returncode == 2


def test_import_and_export(proxy):
    csv = "name,note\n" + "".join(f"user{i}@example.net,n{i}\n" for i in range(3000))
    proxy.ctl("user", "import", "-", stdin=csv)
    assert proxy.ctl("system", "status")["users"] == 3001
    text = proxy.ctl_run("user", "export").stdout
    assert text.count("\n") == 3002 and "user2999@example.net" in text
    bad = proxy.ctl_run("user", "import", "-", stdin="name,nonsense\nx,y\n", check=False)
    assert bad.returncode == 1 and "nonsense" in bad.stderr


def test_lock(proxy):
    c = logged_in(proxy)
    proxy.ctl("user", "lock", USER, "--text", "Please call us", "--yes")
    assert c.rest().decode().startswith("* BYE")
    c.close()
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    assert "Please call us" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    c.close()
    proxy.ctl("user", "unlock", USER)
    logged_in(proxy).close()


def test_backends(proxy):
    row = proxy.ctl("backend", "list")[0]
    assert row["name"] == "dc1" and row["pool"] == "main" and row["admin"] == "ready"
    assert proxy.ctl("backend", "show", "dc1")["host"] == row["host"]
    with pytest.raises(CtlError) as e:
        proxy.ctl("backend", "show", "dc9")
    assert e.value.status == 3 and "dc1" in e.value.errors + e.value.output


def test_config_show_and_check(proxy):
    assert "listeners" in proxy.ctl_run("config", "show").stdout
    assert proxy.ctl("config", "check") == []


def test_exit_status(proxy):
    assert proxy.ctl_run("nonsense", check=False).returncode == 2
    assert proxy.ctl_run("session", "show", "1-ffffff", check=False).returncode == 3
    assert proxy.ctl_run("-s", "/nonexistent/socket", "system", "whoami", check=False).returncode == 5


def test_table_and_tsv(proxy):
    c = logged_in(proxy)
    tsv = proxy.ctl_run("-o", "tsv", "sessions").stdout.splitlines()
    assert tsv[0].split("\t")[0] == "ID" or tsv[0].split("\t")[0] == "id"
    assert len(tsv) == 2 and USER in tsv[1]
    ids = proxy.ctl_run("-o", "id", "sessions").stdout.split()
    assert len(ids) == 1 and "-" in ids[0]
    jsonl = proxy.ctl_run("-o", "jsonl", "sessions").stdout.splitlines()
    assert json.loads(jsonl[0])["user"] == USER
    assert USER in proxy.ctl_run("-o", "table", "sessions").stdout
    c.close()


def test_bad_requests(proxy):
    r = Control(proxy.control)
    assert r.hello["method"] == "hello" and r.hello["params"]["role"] == "admin"
    r.send(b"this is not json\n")
    assert r.receive()["error"]["code"] == -32700
    assert r.call("no.such")["error"]["data"]["name"] == "E_NO_COMMAND"
    assert r.call("session.lst")["error"]["data"].get("hint") == "session.list"
    assert r.call("session.list", filtr="x")["error"]["data"]["name"] == "E_NO_PARAM"
    assert r.call("session.list", limit="many")["error"]["data"]["name"] == "E_BAD_PARAM"
    assert r.call("session.list", filter="nonsense=1")["error"]["data"]["name"] in ("E_NO_PARAM", "E_BAD_PARAM", "E_SYNTAX")
    assert r.call("session.show")["error"]["data"]["name"] == "E_MISSING_PARAM"
    assert r.call("system.whoami")["result"]["role"] == "admin"
    r.close()


def test_huge_line(proxy):
    r = Control(proxy.control)
    try:
        r.send(b"x" * 200000 + b"\n")
        answer = r.receive()
        assert answer is None or "error" in answer
    except (BrokenPipeError, ConnectionResetError):
        pass
    r.close()
    assert proxy.ctl("system", "whoami")["role"] == "admin"


def test_several_requests_at_once(proxy):
    r = Control(proxy.control)
    r.send("".join(json.dumps({"jsonrpc": "2.0", "id": i, "method": "system.whoami"}) + "\n" for i in range(100)).encode())
    assert [r.receive()["id"] for _ in range(100)] == list(range(100))
    r.close()


def rest(client):
    """All lines to the end of the connection, which may be hard: what we sent is not read any more."""
    client.sock.settimeout(20)
    text = b""
    try:
        while piece := client.sock.recv(1 << 20):
            text += piece
    except ConnectionResetError:
        pass
    return [json.loads(line) for line in text.decode().splitlines()]


def test_slow_reader_is_dropped(proxy):
    r = Control(proxy.control)
    request = (json.dumps({"jsonrpc": "2.0", "id": 1, "method": "system.help"}) + "\n").encode()
    r.sock.settimeout(2)
    try:
        for _ in range(20000):
            r.sock.sendall(request)
    except OSError:
        pass
    assert proxy.ctl("system", "whoami")["role"] == "admin"
    # What comes after the lines that it gets is the reason, and the end.
    proxy.wait_for_log("reads too slowly")
    lines = rest(r)
    assert lines[-1]["error"]["data"]["name"] == "E_SLOW" and lines[-1]["id"] is None
    assert all("result" in line for line in lines[:-1])
    r.close()


def test_slow_watcher_is_dropped(proxy):
    """With a notice, while others go on."""
    slow, quick = Control(proxy.control), Control(proxy.control)
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert slow.call("event.watch")["result"]["stream"]
    note = "x" * 4000
    for i in range(1500):
        quick.call("user.set", name=USER, note=f"{note}{i}")
        if i % 50 == 0 and "reads too slowly" in proxy.log():
            break
    proxy.wait_for_log("reads too slowly")
    lines = rest(slow)
    assert lines[-1]["error"]["data"]["name"] == "E_SLOW"
    assert len(lines) > 1 and all(line["method"] == "event" for line in lines[:-1])
    slow.close()
    quick.call("user.set", name=USER, note="")
    quick.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_viewer_may_not_kill(make_proxy, settings, dovecot1):
    p = control.proxy_for_nobody(make_proxy, settings, "viewer")
    hello, answer = control.ask_as_nobody(p, ("session.kill", {"all": True}))
    assert hello["params"]["role"] == "viewer"
    assert answer["error"]["data"]["name"] == "E_PERM"


def test_audit(proxy):
    proxy.ctl("user", "set", USER, "--note", "audited", "--reason", "because")
    proxy.ctl("user", "passwd", USER, "--password-stdin", stdin="very-secret\n")
    rows = wait.until(lambda: [r for r in proxy.ctl("audit", "list") if "passwd" in r["command"]] and proxy.ctl("audit", "list"),
                      "the audit")
    assert any(r.get("reason") == "because" and "audited" in r["args"] for r in rows)
    assert "very-secret" not in json.dumps(rows) and "very-secret" not in proxy.whole_log()


def test_age_of_the_audit(make_proxy, settings, dovecot1):
    settings["store"] = {**settings.get("store", {}), "audit_age": "1s"}
    p = make_proxy(settings)
    p.add_user(USER, "pw")
    p.ctl("user", "set", USER, "--note", "first")

    def notes():
        return [r["args"].split("note=")[1].split()[0] for r in p.ctl("--allow-empty", "audit", "list", "command=user.set")]

    def noted_again():
        p.ctl("user", "set", USER, "--note", "later")
        return (found := notes()) and "first" not in found
    wait.until(lambda: "first" in notes(), "the audit")
    wait.until(noted_again, "what is old to be forgotten")


def test_audit_filter(proxy):
    for i in range(5):
        proxy.ctl("user", "set", USER, "--note", f"n{i}", "--reason", "filtered")
    with pytest.raises(CtlError):
        proxy.ctl("backend", "weight", "dc9", "1", "--reason", "filtered")

    def listed(*args):
        return [(r["command"], r["result"], r["args"]) for r in proxy.ctl("--allow-empty", "audit", "list", *args)]

    wait.until(lambda: len(listed("reason=filtered")) == 6, "the audit")
    (command, result, words), = listed("result=E_*", "reason=filtered")
    assert command == "backend.weight" and result == "E_NO_BACKEND" and sorted(words.split()) == ["name=dc9", "weight=1"]
    assert [a.split("note=")[1][:2] for _, _, a in listed("command=user.*", "reason=filtered", "--limit", "2")] == ["n4", "n3"]
    assert listed("command=user.set", "user=nobody") == []
    with pytest.raises(CtlError):
        proxy.ctl("audit", "list", "nonsense=1")


def test_events(proxy):
    r = Control(proxy.control)
    stream = r.call("event.watch")["result"]["stream"]
    c = logged_in(proxy)
    seen = r.receive()
    assert seen["method"] == "event" and seen["params"]["stream"] == stream
    types = {seen["params"]["type"]: seen["params"]}
    while "login" not in types:
        seen = r.receive()["params"]
        types[seen["type"]] = seen
    assert types["login"]["user"] == USER
    c.close()
    while "end" not in types:
        seen = r.receive()["params"]
        types[seen["type"]] = seen
    end = types["end"]
    assert end["in"] > 0 and end["out"] > 0 and end["age"] >= 0 and end["user"] == USER
    assert end["text"].startswith("client-closed after ") and f", in {end['in']}, out " in end["text"]
    r.close()


def test_events_of_failures(proxy):
    """They tell operators why, which clients are not told."""
    def failure(user, password):
        c = imap.Lines(proxy.host, proxy.ports["imap"])
        c.line()
        answer = c.command("a", f"LOGIN {user} {password}")[-1]
        c.close()
        r = Control(proxy.control)
        r.call("event.watch", filter=f"type=failure user={user}", last=1)
        text = r.receive()["params"]["text"]
        r.close()
        return text, answer

    text, answer = failure(USER, "wrong")
    assert text == "auth-failed: wrong password"
    text, other = failure("stranger@example.org", "wrong")
    assert text.startswith("auth-failed: ") and "wrong password" not in text and answer == other
    proxy.ctl("user", "set", USER, "--backend-user", "nobody@example.org", "--backend-password-stdin", stdin="bad\n")
    text, answer = failure(USER, PASSWORD)
    assert text.startswith("auth-tempfail: dc1: ") and "UNAVAILABLE" in answer
    proxy.ctl("user", "set", USER, "--backend-user", "")
    proxy.ctl("user", "lock", USER, "--yes")
    assert failure(USER, PASSWORD)[0].startswith("locked")


def test_events_of_operators(proxy):
    """They name whom they are about, with reason and count; bans have the address that filters look for."""
    proxy.ctl("user", "set", USER, "--note", "event", "--reason", "ticket 9")
    proxy.ctl("ban", "add", "192.0.2.77", "--reason", "flood")
    proxy.ctl("ban", "remove", "192.0.2.77")
    r = Control(proxy.control)
    r.call("event.watch", filter="type=operator user=" + USER, last=1)
    seen = r.receive()["params"]
    assert seen["text"].endswith(": ok, count 1 (ticket 9)") and "note=event" in seen["text"]
    r.close()
    r = Control(proxy.control)
    r.call("event.watch", filter="type=ban ip=192.0.2.0/24", last=2)
    assert [r.receive()["params"]["text"] for _ in range(2)] == [
        f"192.0.2.77 is banned by {OPERATOR} (flood)", f"192.0.2.77 is no longer banned by {OPERATOR}"]
    r.close()


def test_drain_and_ready(make_proxy, settings):
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = logged_in(p)
    home = p.sessions()[0]["backend"]
    p.ctl("backend", "drain", home, "--yes")
    other = logged_in(p)
    rows = p.sessions("state=relay")
    assert {r["backend"] for r in rows} == {"dc1", "dc2"}
    p.ctl("backend", "ready", home)
    third = logged_in(p)
    assert p.sessions(f"backend={home}").__len__() == 2
    for x in (c, other, third):
        x.close()


def test_hold_and_release(proxy):
    proxy.ctl("backend", "hold", "dc1")
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: len(proxy.sessions("state=held")) == 1, "the held login")
    proxy.ctl("backend", "release", "dc1")
    assert c.until("a ")[-1].startswith("a OK")
    c.close()


def test_runtime_state_survives_a_restart(make_proxy, settings, dovecot1, dovecot2):
    p = make_proxy(settings)
    p.ctl("backend", "drain", "dc1", "--yes")
    p.ctl("backend", "weight", "dc2", "7")
    import signal
    pid = p.engine_pid()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the next engine")
    rows = {r["name"]: r for r in p.ctl("backend", "list")}
    assert rows["dc1"]["admin"] == "drain" and rows["dc2"]["weight"] == 7


def test_route_explain(proxy):
    row = proxy.ctl("route", "explain", USER)
    assert row["backend"] == "dc1" and row["pool"] == "main"


def test_events_that_were_before(proxy):
    logged_in(proxy).close()
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.command("a", f"LOGIN {USER} wrong")
    c.close()
    proxy.ctl("user", "hold", USER)
    r = Control(proxy.control)

    def before(**params):
        """What follows the answer, which says how many: at most params["last"] events, oldest first."""
        answer = r.call("event.watch", **params)["result"]
        rows = [r.receive()["params"] for _ in range(answer["past"])]
        assert all(row["stream"] == answer["stream"] for row in rows)
        r.call("stream.cancel", stream=answer["stream"])
        return rows

    rows = wait.until(lambda: len(x := before(last=1000)) >= 5 and x, "the events")
    types = [row["type"] for row in rows]
    assert types.index("login") < types.index("failure") < types.index("operator", types.index("failure"))
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    failures = before(last=5, filter="type=failure")
    assert [row["user"] for row in failures] == [USER]
    assert len(before(last=1)) == 1 and before() == []
    r.close()


def test_parts_of_sorted_lists(proxy):
    clients = [logged_in(proxy) for _ in range(7)]
    ids = [row["id"] for row in proxy.sessions("--sort", "-age")]
    assert len(ids) == 7

    def part(*args):
        return [row["id"] for row in proxy.sessions("--sort", "-age", *args)]

    assert part("--offset", "2", "--limit", "3") == ids[2:5]
    assert part("--offset", "5", "--limit", "9") == ids[5:]
    assert part("--offset", "9", "--limit", "3", "--allow-empty") == []
    assert part("--from-end", "--limit", "3") == ids[-3:]
    assert part("--from-end", "--offset", "2", "--limit", "2") == ids[3:5]
    assert part("--from-end") == ids
    for args in (["--offset", "2"], ["--from-end"], ["--sort", "age", "--offset", "50000"]):
        with pytest.raises(CtlError):
            proxy.sessions(*args)
    for c in clients:
        c.close()


def test_parts_of_users(proxy):
    csv = "name\n" + "".join(f"p{i:04}@example.net\n" for i in range(2500))
    proxy.ctl("user", "import", "-", stdin=csv)
    names = [row["name"] for row in proxy.ctl("user", "list", "name=p*")]
    assert len(names) == 2500
    for sort in ([], ["--sort", "-created"], ["--sort", "name"]):
        for offset, limit in ((0, 3), (1990, 5), (2498, 9)):
            args = ["name=p*", "--offset", str(offset), "--limit", str(limit), *sort]
            got = [row["name"] for row in proxy.ctl("user", "list", *args)]
            assert len(got) == min(limit, 2500 - offset)
            if "-created" not in sort:
                assert got == names[offset:offset + limit]
    assert [row["name"] for row in proxy.ctl("user", "list", "name=p*", "--offset", "100")] == names[100:]
    c = Control(proxy.control)
    for more, n in (({}, 2501), ({"filter": "name=p24*"}, 100), ({"filter": "name=p24*", "sort": "-created"}, 100)):
        part = c.call("user.list", offset=90, limit=5, **more)["result"]
        assert [len(part["rows"]), part["matched"]] == [5, n]
    c.close()


def test_parts_of_other_lists(proxy):
    """A part of any long list is that of the whole list, and all that match are counted."""
    c = Control(proxy.control)
    subjects = [f"10.1.{i // 250}.{i % 250 + 1}" for i in range(1500)]
    assert c.call("ban.add", subject=subjects)["result"]["count"] == 1500
    for i in range(120):
        c.call("ban.add", subject=[f"user:odd{i % 7}-{i}"])
    for method, counts in (("ban.list", {"": 1620, "kind=user": 120}), ("audit.list", {"": 122, "command=ban.*": 121})):
        for text, n in counts.items():
            for sort in ([None, "-subject", "hits"] if method == "ban.list" else [None]):
                more = {**({"filter": text} if text else {}), **({"sort": sort} if sort else {})}
                limit = 5000 if method == "ban.list" else 50
                whole = [row for page in c.pages(method, limit=limit, **more) for row in page["rows"]]
                assert len(whole) == n
                for offset, limit in ((0, 7), (1, 1), (len(whole) - 3, 9), (len(whole), 5), (len(whole) + 100, 5)):
                    part = c.call(method, offset=offset, limit=limit, **more)
                    assert "result" in part, (part, method, more, offset)
                    part = part["result"]
                    assert [part["rows"], part["matched"]] == [whole[offset:offset + limit], len(whole)], (method, more, offset)
    c.close()


def test_max_0_is_a_guard(proxy):
    """--max 0: nothing may be hit. Of sessions, of bans, of a drain that ends them."""
    c = logged_in(proxy)
    for args in (["session", "kill", "--all"], ["session", "kill", "user=*", "--rate", "5"], ["user", "kick", USER],
                 ["backend", "drain", proxy.sessions()[0]["backend"], "--kick", "--yes"]):
        with pytest.raises(CtlError):
            proxy.ctl(*args, "--max", "0", "--yes")
    proxy.ctl("ban", "add", "192.0.2.1")
    with pytest.raises(CtlError):
        proxy.ctl("ban", "clear", "--all", "--max", "0", "--yes")
    assert len(proxy.sessions("state=relay")) == 1 and len(proxy.ctl("ban", "list")) == 1
    assert proxy.ctl("session", "kill", "--all", "--max", "1", "--yes")["count"] == 1
    c.close()


def test_a_value_that_no_session_can_have(proxy):
    with pytest.raises(CtlError) as e:
        proxy.ctl("session", "list", "proto=imapp")
    assert e.value.status == 2 and "imap, pop3, smtp, sieve" in e.value.errors + e.value.output
    with pytest.raises(CtlError):
        proxy.ctl("session", "kill", "state!=realy", "--yes")
    assert proxy.sessions("proto=sieve state=relay,held") == []


def test_help_filter_and_times_of_the_audit(proxy):
    text = proxy.ctl_run("help", "filter").stdout
    assert "user==x*y" in text and "!user=anna" in text and max(map(len, text.split("\n"))) <= 80
    proxy.ctl("ban", "add", "192.0.2.1")
    assert any(r["command"] == "ban.add" for r in proxy.ctl("audit", "list", "--since", "1h"))
    assert proxy.ctl("--allow-empty", "audit", "list", "--until", "1h") == []
    assert any(r["command"] == "ban.add" for r in proxy.ctl("audit", "list", "--since", "1h", "--until", "0s"))
    # times as people write them
    for since in ("yesterday", "2026-01-02", "2026-01-02 03:04", "2026-01-02T03:04:05Z"):
        assert any(r["command"] == "ban.add" for r in proxy.ctl("audit", "list", "--since", since)), since
        assert proxy.ctl("event", "list", "--since", since, "--last", "1")
    assert proxy.ctl("--allow-empty", "audit", "list", "--until", "yesterday") == []
    for wrong, word in (("tomorrow", "in the past"), ("24.12.", "09:00")):
        done = proxy.ctl_run("audit", "list", "--since", wrong, check=False)
        assert done.returncode == 2 and word in done.stderr, done.stderr
    proxy.ctl("user", "lock", USER, "--until", "tomorrow", "--yes")
    left = proxy.ctl("user", "show", USER)["state_until"] / 1000 - time.time()
    assert 0 < left <= 25 * 3600
    proxy.ctl("ban", "add", "192.0.2.9", "--until", "2099-12-24")
    assert proxy.ctl_run("ban", "add", "192.0.2.9", "--for", "2001-12-24", check=False).returncode == 2
