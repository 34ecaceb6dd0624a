# SPDX-License-Identifier: ISC
"""Each command of the table: done, done again, on what is not there, by who may not, with wrong arguments, and its JSON.

A command without a row here fails the test."""
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field

import pytest
from conftest import backend
from harness import redis, schemas, table, wait
from harness.control import Control
from harness.proxy import BUILD, Proxy
from test_control import logged_in

USER, PASSWORD = "u1@example.org", "pw"
NEW = "new@example.org"
ROLES = ["viewer", "operator", "admin"]

# What the command says when it is given twice.
SAME = "the same"              # it only shows
UNCHANGED = "nothing changed"  # success, because it is so already
ANEW = "changed again"         # each time is a change of its own
GONE = 3                       # what it took away is not there any more


@dataclass
class Row:
    good: list                # words; {name} of the world
    again: object = UNCHANGED
    missing: list = None      # words that name what is not there; None: it names nothing
    name: str = None          # the error's name then
    bad: list = field(default_factory=list)   # lists of words with wrong values
    before: list = field(default_factory=list)  # commands, or functions of the proxy that add to the world
    after: list = field(default_factory=list)   # commands
    stdin: str = None


def session(p):
    client = logged_in(p)
    return {"client": client, "sid": max(p.sessions("state=relay"), key=lambda s: s["started"])["id"]}


def busy_op(p):
    """An operation that has not ended: a session keeps it."""
    world = session(p)
    home = p.sessions(world["sid"])[0]["backend"]
    return {**world, "home": home, "op": p.ctl("backend", "drain", home, "--yes", "--deadline", "1h")["op"]}


def moved(p):
    wait.until(lambda: not p.ctl("op", "list", "state=running", "--allow-empty"), "the end of the operation")
    return {}


BACK = [["backend", "ready", "dc1"], ["backend", "reset", "dc1"]]
READY = [["backend", "ready", "{home}"]]
ADDED = [["user", "add", NEW, "--no-password"]]
REMOVED = [["user", "remove", NEW, "--yes"]]

ROWS = {
    "session list": Row(["user=" + USER], SAME, ["user=zzz"], "E_NO_MATCH",
                        [["nonsense=1"], ["--sort", "nonsense"], ["--limit", "x"], ["--offset", "1"], ["idle>soon"]], [session]),
    "session show": Row(["{sid}"], SAME, ["1-ffffff"], "E_NO_SESSION", [["x"], []], [session]),
    "session kill": Row(["{sid}", "--yes"], GONE, ["user=zzz", "--yes"], "E_NO_MATCH",
                        [["--yes"], ["nonsense=1", "--yes"], ["--all", "--grace", "soon", "--yes"], ["--all", "--max", "x"]],
                        [session]),

    "session trace": Row(["user=" + USER, "--for", "100ms"], SAME,
                         bad=[[], ["nonsense=1"], ["user=" + USER, "--for", "soon"], ["user=" + USER, "--max-bytes", "big"]],
                         before=[session]),

    "session top": Row(["user=" + USER, "--by", "ip"], SAME, ["user=zzz"], "E_NO_MATCH",
                       [["nonsense=1"], ["--by", "colour"], ["--sort", "nonsense"], ["--limit", "x"]], [session]),

    "user list": Row(["name=u1*"], SAME, ["name=zzz"], "E_NO_MATCH", [["nonsense=1"], ["--sort", "nonsense"]]),
    "user top": Row(["user=" + USER], SAME, ["user=zzz"], "E_NO_MATCH",
                    [["nonsense=1"], ["--sort", "nonsense"], ["--limit", "x"]], [session]),
    "user show": Row([USER], SAME, ["zzz"], "E_NO_USER", [[], [""]]),
    "user add": Row([NEW, "--note", "n", "--max-sessions", "7", "--protocols", "imap", "--no-password"], UNCHANGED,
                    [NEW + ".x", "--backend", "dc9", "--no-password"], "E_NO_BACKEND",
                    [[], [NEW, "--no-password", "--protocols", "nntp"], [NEW, "--no-password", "--max-sessions", "x"]],
                    after=REMOVED),
    "user set": Row([USER, "--note", "n"], UNCHANGED, ["zzz", "--note", "n"], "E_NO_USER",
                    [[], [USER, "--protocols", "nntp"], [USER, "--max-sessions", "x"]],
                    after=[["user", "set", USER, "--note", ""]]),
    "user passwd": Row([USER, "--password-stdin"], ANEW, ["zzz", "--password-stdin"], "E_NO_USER",
                       [[USER, "--password", "x"]], stdin=PASSWORD + "\n"),
    "user remove": Row([NEW, "--yes"], GONE, ["zzz", "--yes"], "E_NO_USER", [["--yes"], [NEW, "--max", "x"]], ADDED),
    "user import": Row(["-"], UNCHANGED, ["-", "--mode", "replace"], "E_NO_USER",
                       [["-", "--format", "doc"], ["-", "--mode", "twice"], []],
                       stdin=f"name,note\n{NEW},n\n", after=REMOVED),
    "user export": Row([], SAME, bad=[["--format", "doc"]]),
    "user kick": Row([USER, "--yes"], UNCHANGED, ["zzz", "--yes"], "E_NO_USER", [["--yes"], [USER, "--grace", "soon", "--yes"]],
                     [session]),
    "user lock": Row([USER, "--yes"], UNCHANGED, ["zzz", "--yes"], "E_NO_USER", [["--yes"], [USER, "--until", "soon"]],
                     after=[["user", "unlock", USER]]),
    "user unlock": Row([USER], UNCHANGED, ["zzz"], "E_NO_USER", [[]], [["user", "lock", USER, "--yes"]]),
    "user hold": Row([USER], UNCHANGED, ["zzz"], "E_NO_USER", [[]], after=[["user", "release", USER]]),
    "user release": Row([USER], UNCHANGED, ["zzz"], "E_NO_USER", [[]], [["user", "hold", USER]]),
    "user move": Row([USER, "--to", "dc2", "--yes", "--wait"], ANEW, [USER, "--to", "dc9", "--yes"], "E_NO_BACKEND",
                     [[USER, "--yes"], [USER, "--to", "dc1", "--timeout", "soon"], [USER, "--to", "dc1", "--parallel", "0", "--yes"]],
                     after=[["user", "move", USER, "--to", "", "--yes", "--wait"]]),

    "backend list": Row(["name=dc1"], SAME, ["name=dc9"], "E_NO_MATCH", [["nonsense=1"], ["--sort", "nonsense"]]),
    "backend show": Row(["dc1"], SAME, ["dc9"], "E_NO_BACKEND", [[]]),
    "backend drain": Row(["dc1", "--yes"], UNCHANGED, ["dc9", "--yes"], "E_NO_BACKEND", [["--yes"], ["--filter", "health=dead"], ["dc1", "--rate", "0"], ["dc1", "--deadline", "soon"]],
                         after=[moved] + BACK),
    "backend ready": Row(["dc1"], UNCHANGED, ["dc9"], "E_NO_BACKEND", [[]], [["backend", "hold", "dc1"]], BACK),
    "backend disable": Row(["dc1", "--yes"], UNCHANGED, ["dc9", "--yes"], "E_NO_BACKEND", [["--yes"], ["dc1", "--grace", "soon"]],
                           after=[moved] + BACK),
    "backend hold": Row(["dc1"], UNCHANGED, ["dc9"], "E_NO_BACKEND", [[]], after=BACK),
    "backend release": Row(["dc1"], UNCHANGED, ["dc9"], "E_NO_BACKEND", [[]], [["backend", "hold", "dc1"]], BACK),
    "backend weight": Row(["dc1", "7"], UNCHANGED, ["dc9", "7"], "E_NO_BACKEND", [["dc1"], ["dc1", "x"], ["dc1", "1001"]],
                          after=BACK),
    "backend check": Row(["dc1"], SAME, ["dc9"], "E_NO_BACKEND", [[]]),
    "backend add": Row(["main", "extra", "127.0.0.1", "--ports", "imap=9"], UNCHANGED,
                       ["mian", "extra", "127.0.0.1"], "E_NO_POOL",
                       [["main", "extra"], ["main", "y", "127.0.0.1", "--ports", "nntp=9"], ["main", "y", "127.0.0.1", "--weight", "x"],
                        ["main", "y", "a b"]],
                       after=[["backend", "remove", "extra", "--yes"]]),
    "backend set": Row(["dc1", "--weight", "7"], UNCHANGED, ["dc9", "--weight", "7"], "E_NO_BACKEND",
                       [["dc1", "--weight", "x"], ["dc1", "--host", "a b"], ["dc1", "--ports", "imap=x"],
                        ["dc1", "--max-sessions", "x"], ["dc1", "--max-sessions", "10000001"]], after=BACK),
    "backend remove": Row(["extra", "--yes"], GONE, ["dc9", "--yes"], "E_NO_BACKEND", [["--yes"], ["dc1", "--rate", "x"]],
                          [["backend", "add", "main", "extra", "127.0.0.1"]]),
    "backend reset": Row(["dc1"], UNCHANGED, ["dc9"], "E_NO_BACKEND", [[]], [["backend", "weight", "dc1", "7"]]),

    "pool list": Row([], SAME, bad=[["x"]]),
    "listener list": Row([], SAME, bad=[["x"]]),
    "listener certificates": Row([], SAME, bad=[["--state", "zzz"]]),
    "listener pause": Row(["spare"], UNCHANGED, ["spar"], "E_NO_LISTENER", [[]], after=[["listener", "resume", "spare"]]),
    "listener resume": Row(["spare"], UNCHANGED, ["spar"], "E_NO_LISTENER", [[]], [["listener", "pause", "spare"]]),
    "pool show": Row(["main"], SAME, ["mian"], "E_NO_POOL", [[], ["main", "x"]]),
    "pool add": Row(["extra"], UNCHANGED, ["x", "--like", "mian"], "E_NO_POOL", [[], ["a/b"], ["x", "--max-tries", "99"]],
                    after=[["pool", "remove", "extra", "--yes"]]),
    "pool set": Row(["main", "--max-tries", "4"], UNCHANGED, ["mian", "--max-tries", "4"], "E_NO_POOL",
                    [[], ["main"], ["main", "--balance", "x"], ["main", "--keepalive", "x"]], after=[["pool", "reset", "main"]]),
    "pool remove": Row(["extra", "--yes"], GONE, ["mian", "--yes"], "E_NO_POOL", [["--yes"]],
                       [["pool", "add", "extra"]]),
    "pool reset": Row(["main"], UNCHANGED, ["mian"], "E_NO_POOL", [[]], [["pool", "set", "main", "--max-tries", "4"]]),
    "route list": Row([], SAME, bad=[["x"]], before=[["route", "add", "main"]], after=[["route", "reset"]]),
    "route add": Row(["main", "--domain", "example.org"], UNCHANGED, ["mian"], "E_NO_POOL",
                     [[], ["main", "--at", "x"], ["main", "--protocol", "nntp"]], after=[["route", "reset"]]),
    "route set": Row(["1", "--user", "x*"], UNCHANGED, ["9", "--user", "x"], "E_NO_ROUTE", [[], ["1"], ["x", "--user", "x"]],
                     [["route", "add", "main"]], [["route", "reset"]]),
    "route remove": Row(["1", "--yes"], GONE, ["9", "--yes"], "E_NO_ROUTE", [["--yes"], ["x", "--yes"]],
                        [["route", "add", "main"]], [["route", "reset"]]),
    "route move": Row(["1", "2"], ANEW, ["1", "9"], "E_NO_ROUTE", [["1"], ["x", "1"]],
                      [["route", "add", "main", "--user", "a"], ["route", "add", "main", "--user", "b"]], [["route", "reset"]]),
    "route reset": Row([], UNCHANGED, bad=[["x"]], before=[["route", "add", "main"]]),
    "listener show": Row(["imap"], SAME, ["imp"], "E_NO_LISTENER", [[]]),
    "route explain": Row([USER, "--listener", "imap"], SAME, [USER, "--listener", "imp"], "E_NO_LISTENER",
                         [[], [USER, "--ip", "nowhere"]]),

    "op list": Row(["{op}"], SAME, ["kind=upgrade"], "E_NO_MATCH", [["nonsense=1"], ["kind=zzz"]], [busy_op], READY),
    "op show": Row(["{op}"], SAME, ["777"], "E_NO_OP", [[]], [busy_op], READY),
    "op users": Row(["{op}"], SAME, ["777"], "E_NO_OP", [[]], [busy_op], READY),
    "op resume": None,  # test_move_mailboxes.py
    "op report": None,  # test_move_mailboxes.py
    "fleet run": None,  # test_fleet_commands.py
    "fleet watch": None,  # test_fleet_streams.py
    "op cancel": Row(["{op}"], UNCHANGED, ["777"], "E_NO_OP", [[]], [busy_op], READY),

    "ban list": Row(["192.0.2.1"], SAME, ["192.0.2.9"], "E_NO_MATCH", [["nonsense=1"]], [["ban", "add", "192.0.2.1"]],
                    [["ban", "remove", "192.0.2.1"]]),
    "ban add": Row(["192.0.2.1", "--text", "no"], UNCHANGED, bad=[[], ["192.0.2.0/33"], ["192.0.2.1", "--for", "soon"]],
                   after=[["ban", "remove", "192.0.2.1"]]),
    "ban remove": Row(["192.0.2.1"], UNCHANGED, bad=[[]], before=[["ban", "add", "192.0.2.1"]]),
    "ban clear": Row(["192.0.2.1", "--yes"], GONE, ["192.0.2.9", "--yes"], "E_NO_MATCH", [["--yes"], ["nonsense=1", "--yes"]],
                     [["ban", "add", "192.0.2.1"]]),
    "limit list": Row(["192.0.2.1"], SAME, ["192.0.2.9"], "E_NO_MATCH", [["nonsense=1"]],
                      [["limit", "set", "192.0.2.1", "--sessions", "3"]], [["limit", "clear", "192.0.2.1"]]),
    "limit show": Row(["192.0.2.1"], SAME, bad=[[], ["192.0.2.0/33"]]),
    "limit set": Row(["192.0.2.1", "--sessions", "3"], UNCHANGED, bad=[[], ["192.0.2.1"], ["192.0.2.1", "--sessions", "x"]],
                     after=[["limit", "clear", "192.0.2.1"]]),
    "limit clear": Row(["192.0.2.1"], UNCHANGED, bad=[[]], before=[["limit", "set", "192.0.2.1", "--sessions", "3"]]),

    "event list": Row(["--last", "5"], SAME, ["user=zzz"], "E_NO_MATCH", [["nonsense=1"], ["--since", "soon"], ["--last", "x"]],
                      [session]),
    "event top": Row(["type=login", "--by", "user"], SAME, ["user=zzz"], "E_NO_MATCH",
                     [["nonsense=1"], ["--by", "colour"], ["--sort", "nonsense"], ["--since", "soon"]], [session]),
    "event watch": Row(["--last", "1", "--limit", "1"], SAME, bad=[["nonsense=1"], ["--last", "x"]],
                       before=[["user", "set", USER, "--note", "seen"], ["user", "set", USER, "--note", ""]]),
    "stats show": Row(["--proto", "imap"], SAME, bad=[["--proto", "nntp"]]),
    "stats history": Row(["--limit", "3"], SAME, ["--backend", "dc9"], "E_NO_BACKEND", [["--proto", "nntp"], ["--step", "7s"]]),
    "audit list": Row(["command=user.*", "--limit", "3"], SAME, ["command=user.passwd", "user=zzz"], "E_NO_MATCH", [["command=zzz"], ["--limit", "0"], ["--cursor", "x"], ["nonsense=1"]]),

    "fleet list": Row(["state=serving"], SAME, ["state=gone"], "E_NO_MATCH", [["nonsense=1"], ["state=zzz"], ["--sort", "nonsense"]]),
    "fleet show": Row([], SAME, ["zzz"], "E_NOT_FOUND", [["a", "b"]]),
    "fleet check": Row([], SAME, bad=[["x"]]),
    "fleet conflicts": Row(["--allow-empty"], SAME, ["backend=zzz"], "E_NO_MATCH", [["nonsense=1"], ["--sort", "nonsense"]]),
    "fleet leave": Row([], UNCHANGED, bad=[["x"]], after=[["fleet", "join"]]),
    "fleet join": Row([], UNCHANGED, bad=[["x"]], before=[["fleet", "leave"]]),

    "config show": Row([], SAME, bad=[["x"]]),
    "config check": Row([], SAME, bad=[["x"]]),
    "config diff": Row([], SAME, bad=[["x"]]),
    "config reload": Row([], SAME, bad=[["--confirm", "soon"]]),
    "config confirm": Row([], UNCHANGED, bad=[["x"]], before=[["config", "reload", "--confirm", "1h"]]),
    "config export": Row([], SAME, bad=[["x"]]),

    "system status": Row([], SAME, bad=[["x"]]),
    "system whoami": Row([], SAME, bad=[["x"]]),
    "system help": Row([], SAME, bad=[["x"]]),
    "system metrics": Row([], SAME, bad=[["x"]]),
    "system log_level": Row(["info"], UNCHANGED, bad=[[], ["loud"]], after=[["system", "log-level", "debug"]]),
    "system stop": None,     # test_stop
    "system upgrade": None,  # test_upgrade.py
}

TABLE = table.read()
COMMANDS = sorted(TABLE)


@pytest.fixture(scope="module")
def proxy(root, dovecot1, dovecot2, server_cert):
    cert, key = server_cert
    store = redis.RedisServer(os.path.join(root, "commands-store")).start()
    p = Proxy(os.path.join(root, "commands"), {
        "tls": {"certificates": [{"cert": cert, "key": key}]},
        "listeners": [{"name": n, "protocol": "imap", "tls": "starttls", "allow_plaintext": True} for n in ("imap", "spare")],
        "auth": [{"type": "users"}],
        "pools": [{"name": "main", "tls": "off", "backends": [backend(dovecot1), backend(dovecot2)]}],
        "fleet": redis.fleet(store.folder, store),
    })
    p.sockets = {role: os.path.join(p.run, role) for role in ROLES[:2]}
    p.configure({"control": p.settings["control"] + [{"path": path, "mode": "0666", "admin": ["root"], role: ["nobody"]}
                                                     for role, path in p.sockets.items()]})
    os.chmod(p.run, 0o755)
    # Where everybody can run it.
    p.tool = shutil.copy(os.path.join(BUILD, "mailproxyctl"), p.run)
    p.start()
    p.add_user(USER, PASSWORD)
    p.add_user("u2@example.org", PASSWORD)
    yield p
    p.stop()
    store.close()


def as_role(p, role, *args, stdin=None):
    """mailproxyctl as somebody who has this role."""
    done = subprocess.run([p.tool, "-o", "json", *args], user="nobody", group="nogroup", extra_groups=[], capture_output=True,
                          text=True, timeout=60, input=stdin or "",
                          env={"MAILPROXY_SOCKET": p.sockets[role], "PATH": os.environ["PATH"]}, cwd="/")
    return done.returncode, done.stdout, done.stderr


def spoken(command):
    """Its words for mailproxyctl."""
    return command.replace("_", "-").split()


class World:
    """What a row needs before, and its end."""

    def __init__(self, p, row):
        self.p, self.row, self.names = p, row, {}

    def steps(self, steps):
        for step in steps:
            if callable(step):
                self.names.update(step(self.p))
            else:
                self.p.ctl(*self.fill(step))

    def fill(self, args):
        return [re.sub(r"{(\w+)}", lambda m: self.names[m[1]], a) for a in args]

    def __enter__(self):
        self.steps(self.row.before)
        return self

    def __exit__(self, kind, *rest):
        if kind is None:
            self.steps(self.row.after)
        if "client" in self.names:
            self.names["client"].close()
            wait.until(lambda: not self.p.sessions(), "the session's end")


def run(p, command, args, stdin=None):
    done = p.ctl_run("-o", "json", *spoken(command), *args, stdin=stdin, check=False)
    return done.returncode, done.stdout, done.stderr


def answer(p, command, args, stdin=None):
    status, out, err = run(p, command, args, stdin)
    assert status == 0, (command, args, status, out, err)
    return [json.loads(line) for line in out.splitlines()] if "STREAM" in TABLE[command].flags else json.loads(out)


def refused(status, out, want, name=None):
    """The error of a refusal, whose JSON has its form."""
    assert status == want, (status, out)
    error = json.loads(out)["error"]
    assert set(error) <= {"name", "exit", "message", "hint", "node"}
    assert error["exit"] == want and re.fullmatch("E_[A-Z_]+", error["name"]) and error["message"].strip()
    assert name in (None, error["name"]), error
    return error


def check_form(command, result):
    """The JSON is what its schema says, and an outcome says at least how many and whether something changed."""
    flags = TABLE[command].flags
    assert isinstance(result, list) == bool(flags & {"LIST", "STREAM"})
    for one in result if "STREAM" in flags else [result]:
        schemas.check(spoken(command), one)
    if not flags & {"LIST", "ONE", "STREAM"} and "--wait" not in ROWS[command].good:
        assert {"count", "changed"} <= set(result)
        assert ("op" in result) <= ("ASYNC" in flags)


def test_schemas(proxy):
    """One document has all of them; a command that is not there has none."""
    everything = json.loads(proxy.ctl_run("--schema").stdout)
    assert set(everything["$defs"]) == {name.replace(" ", ".").replace("-", "_") for name in TABLE}
    one = json.loads(proxy.ctl_run("help", "--schema", "users").stdout)
    assert one["title"] == "mailproxyctl -o json user list"
    assert {k: v for k, v in one.items() if k != "$schema"} == everything["$defs"]["user.list"]
    state = one["items"]["properties"]["state"]
    assert state["type"] == "string" and "locked" in state["enum"]
    assert proxy.ctl_run("session", "lsit", "--schema", check=False).returncode == 2


def test_every_command_has_a_row(proxy):
    said = {r["command"].replace(".", " "): r["role"] for r in proxy.ctl("system", "help")}
    assert said == {name: c.role for name, c in TABLE.items()}
    assert set(ROWS) == set(TABLE)


def rows_with(has):
    return [pytest.param(n, id=n.replace(" ", "-")) for n in COMMANDS if ROWS.get(n) and has(ROWS[n])]


@pytest.mark.parametrize("command", rows_with(lambda r: True))
def test_done_and_done_again(proxy, command):
    row = ROWS[command]
    with World(proxy, row) as w:
        args = w.fill(row.good)
        first = answer(proxy, command, args, row.stdin)
        check_form(command, first)
        if row.before == [session] and TABLE[command].flags & {"CHANGES", "STREAM"} == {"CHANGES"}:
            wait.until(lambda: not proxy.sessions(w.names["sid"]), "the end of the session")
        if row.again == GONE:
            refused(*run(proxy, command, args, row.stdin)[:2], GONE, row.name)
            return
        again = answer(proxy, command, args, row.stdin)
        check_form(command, again)
        if row.again == UNCHANGED:
            assert first["changed"] is True and again["changed"] is False and again["count"] in (0, 1), (first, again)
        elif row.again == SAME:
            assert type(first) is type(again) and (not isinstance(first, dict) or set(first) == set(again))


@pytest.mark.parametrize("command", rows_with(lambda r: r.missing))
def test_not_found(proxy, command):
    row = ROWS[command]
    status, out, err = run(proxy, command, row.missing, row.stdin)
    if "LIST" in TABLE[command].flags and row.name == "E_NO_MATCH":
        assert (status, json.loads(out)) == (3, [])
    else:
        refused(status, out, 3, row.name)
    # People are told too.
    done = proxy.ctl_run("-o", "table", *spoken(command), *row.missing, stdin=row.stdin, check=False)
    assert done.returncode == 3 and ("LIST" in TABLE[command].flags or done.stderr.startswith("mailproxyctl: "))


@pytest.mark.parametrize("command", rows_with(lambda r: r.bad))
def test_wrong_arguments(proxy, command):
    row = ROWS[command]
    before = proxy.ctl("backend", "list"), proxy.ctl("user", "list"), proxy.ctl("--allow-empty", "ban", "list")
    for args in row.bad:
        refused(*run(proxy, command, args, row.stdin)[:2], 2)
    error = refused(*run(proxy, command, row.good + ["--nonsense-option", "1"])[:2], 2)
    assert "nonsense-option" in error["message"]
    after = proxy.ctl("backend", "list"), proxy.ctl("user", "list"), proxy.ctl("--allow-empty", "ban", "list")
    assert [[r["name"] for r in rows] for rows in before[:2]] == [[r["name"] for r in rows] for rows in after[:2]]
    assert before[2] == after[2]


@pytest.mark.parametrize("command", [pytest.param(n, id=n.replace(" ", "-")) for n in COMMANDS])
def test_wrong_parameters(proxy, command):
    """What mailproxyctl would not send: other types, unknown names, missing ones. Each has its name, and a hint where one helps."""
    wrong = {"NUMBER": ["1", -1, 1.5], "DURATION": ["soon", -1], "SIZE": ["big", -1], "BOOL": ["yes", 1], "FIELD": [1, "nonsense"],
             "FILTER": [1, "nonsense=1"], "USER": ["", 1, "a\u0001"], "SESSION": ["x", 1]}
    method = command.replace(" ", ".")
    r = Control(proxy.control)

    def error(params):
        r.send({"jsonrpc": "2.0", "id": command, "method": method, "params": params})
        got = r.receive()
        assert got["id"] == command and got["jsonrpc"] == "2.0" and got["error"]["message"], got
        return got["error"]
    args = TABLE[command].args
    needed = [name for name, (_, flags) in args.items() if "NEEDED" in flags]
    for name, (kind, _) in args.items():
        # what is in a text is looked at once nothing is missing
        is_later = kind in ("FILTER", "FIELD") and set(needed) - {name}
        for value in ([1] if is_later else wrong.get(kind, [1])) + [{}, None]:
            e = error({name: value})
            assert (e["data"]["name"], e["code"]) == ("E_BAD_PARAM", -32602), (name, value, e)
    for name in args:
        e = error({name + "z": 1})
        assert (e["data"]["name"], e["data"]["hint"]) == ("E_NO_PARAM", name)
    for params in [{}] if needed else []:
        e = error(params)
        assert e["data"] == {"name": "E_MISSING_PARAM", "hint": needed[0]}
    assert error([1])["data"]["name"] == "E_BAD_PARAM"
    r.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to ask")
@pytest.mark.parametrize("command", [pytest.param(n, id=n.replace(" ", "-")) for n in COMMANDS])
def test_roles(proxy, command):
    """By who may not: 4. By who just may: not 4, also when it is about nothing."""
    row = ROWS[command]
    need = ROLES.index(TABLE[command].role)
    bare = {"op resume": ["777", "--exec", "true"], "op report": ["777"]}.get(command, ["--yes"])
    words = row.missing or row.good if row else bare
    for role in ROLES[:2]:
        if ROLES.index(role) < need:
            for args in (words, words + ["--yes"]):
                status, out, _ = as_role(proxy, role, *spoken(command), *args, stdin=row and row.stdin)
                error = refused(status, out, 4, "E_PERM")
                assert TABLE[command].role in error["message"] and role in error["message"]
    if need < 2 and row:
        status, out, err = as_role(proxy, ROLES[need], *spoken(command), *words, stdin=row.stdin)
        assert status in (0, 3), (out, err)
    if "CHANGES" in TABLE[command].flags and need > 0:
        assert any(r["command"].replace(".", " ") == command and r["result"] == "E_PERM" and r["user"] == "nobody"
                   for r in wait.until(lambda: proxy.ctl("audit", "list", "--limit", "200"), "the audit"))


def test_stop(make_proxy, settings):
    """It says goodbye, is stopping when it is told again, and ends."""
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = logged_in(p)
    r = Control(p.control)
    first, again = r.call("system.stop")["result"], r.call("system.stop")["result"]
    assert first["changed"] is True and again["changed"] is False
    assert c.rest().startswith(b"* BYE")
    c.close()
    r.close()
    assert p.process.child.wait(20) == 0
