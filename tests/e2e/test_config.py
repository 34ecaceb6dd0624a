# SPDX-License-Identifier: ISC
"""The configuration while the proxy runs: show, check, diff, reload with and without conflicts, confirm, export."""
import copy
import os
import signal
import socket
import sqlite3
import subprocess
import threading

import pytest
from harness import imap, net, wait
from harness.control import Control
from harness.proxy import BUILD, CtlError
from test_control import logged_in

USER, PASSWORD = "u1@example.org", "pw"


@pytest.fixture
def proxy(make_proxy, settings):
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


def set_weight(p, name, weight):
    """Writes another weight into the file."""
    pools = copy.deepcopy(p.settings["pools"])
    for b in pools[0]["backends"]:
        if b["name"] == name:
            b["weight"] = weight
    p.configure({"pools": pools})


def weights(p):
    return {r["name"]: r["weight"] for r in p.ctl("backend", "list")}


def by_path(rows):
    return {r["path"]: r for r in rows}


def answer(p, *args):
    """The whole answer, with its message."""
    r = Control(p.control)
    done = r.call(args[0], **(args[1] if len(args) > 1 else {}))
    r.close()
    return done


def test_words_that_are_none(make_proxy, settings):
    """A word that --dump does not know is no other one, and a socket that cannot be there is not reachable."""
    p = make_proxy(settings, start=False)
    for word in ("foo", "", "SET"):
        done = subprocess.run([p.program, f"--dump={word}", "-c", p.config], capture_output=True, text=True)
        assert done.returncode == 64 and not done.stdout and "--dump=set" in done.stderr
    done = subprocess.run([os.path.join(os.path.dirname(p.program), "mailproxyctl"), "-s", "/tmp/" + "x" * 200, "sessions"],
                          capture_output=True, text=True)
    assert done.returncode == 5 and "so long a name" in done.stderr


def test_reload_tells_what_changed(proxy):
    c = logged_in(proxy)
    set_weight(proxy, "dc1", 20)
    proxy.configure({"timeouts": {"hold": "5s"}, "workers": 3, "shutdown_timeout": "1s"})
    rows = by_path(proxy.ctl("config", "diff"))
    assert rows["pools[main].backends[dc1].weight"] == {
        "path": "pools[main].backends[dc1].weight", "old": "100", "new": "20", "effect": "new sessions"}
    assert rows["workers"]["effect"] == "restart" and rows["shutdown_timeout"]["effect"] == "live"
    assert weights(proxy)["dc1"] == 100
    done = answer(proxy, "config.reload")["result"]
    assert by_path(done["rows"]) == rows and done["changed"] is True and done["count"] == len(rows)
    assert done["message"] == f"{len(rows)} changed: 1 at once, 2 for new sessions, 1 after a restart only"
    assert weights(proxy)["dc1"] == 20
    assert "OK" in c.command("b", "NOOP")[-1]
    again = answer(proxy, "config.reload")["result"]
    assert [r["path"] for r in again["rows"]] == ["workers"] and again["message"] == "1 changed: 1 after a restart only"
    assert [r["path"] for r in proxy.ctl("config", "diff")] == ["workers"]
    proxy.configure({"workers": 2})
    last = answer(proxy, "config.reload")["result"]
    assert last["rows"] == [] and last["changed"] is False and "no changes" in last["message"]
    assert proxy.ctl("config", "diff") == []
    assert proxy.ctl("system", "status")["generation"] == 4
    c.close()


def test_reload_says_beforehand_whom_it_hits(make_proxy, settings, dovecot2):
    """Listeners, backends with sessions and pins, sessions that will end: in a dry run, in the diff, in the question."""
    kind = {"protocol": "imap", "allow_plaintext": True}
    p = make_proxy({**settings, "listeners": settings["listeners"] + [{"name": "spare", **kind}]})
    p.add_user(USER, PASSWORD, backend="dc2")
    mail = logged_in(p)
    idle = imap.Lines(p.host, p.ports["spare"])
    idle.line()
    pools = copy.deepcopy(p.settings["pools"])
    pools[0]["backends"] = [b for b in pools[0]["backends"] if b["name"] != "dc2"]
    p.configure({"pools": pools, "listeners": settings["listeners"] + [{"name": "more", **kind}],
                 "reload_session_timeout": "1h", "workers": 3})
    dry = answer(p, "config.reload", {"dry_run": True})["result"]
    rows = by_path(dry["rows"])
    assert rows["pools[main].backends[dc2]"]["impact"] == (
        "taken out: 1 session goes on, 1 user pinned to it could not log in")
    assert rows["listeners[spare]"]["impact"] == f"closes {p.host}:{p.ports['spare']}: 1 session goes on"
    assert rows["listeners[more]"]["impact"] == f"opens {p.host}:{p.ports['more']}"
    assert dry["count"] == 2 and dry["impact"]["ends"] == 2 and dry["impact"]["end_ms"] == 3600000
    assert dry["impact"]["breakdown"]["protocols"] == {"imap": 2}
    for words in ("opens listeners: more", "closes listeners: spare (1 session goes on)", "takes out: main/dc2 (",
                  "2 sessions would end 1h later: 2 imap; 1 on dc2; 1 idle, 1 logging in"):
        assert words in dry["message"]
    diff = answer(p, "config.diff")["result"]
    assert by_path(diff["rows"]) == rows and diff["impact"] == dry["impact"] and diff["message"] in dry["message"]
    t = p.ctl_terminal("config", "reload")
    assert "2 sessions would end 1h later" in t.until(r"Go on\? \[y/N\] ")
    t.say("n\n")
    assert t.status() == 1 and "nothing was done" in t.text
    assert p.ctl("system", "status")["generation"] == 1 and "confirm_left" not in p.ctl("system", "status")
    mail.command("b", "NOOP")
    p.ctl("config", "reload", "--confirm", "1h")  # without a terminal nobody is asked
    assert 3500000 < p.ctl("system", "status")["confirm_left"] <= 3600000
    assert mail.command("c", "NOOP")[-1].startswith("c OK")
    p.ctl("config", "confirm")
    assert "confirm_left" not in p.ctl("system", "status")
    mail.close()
    idle.close()


def test_reload_does_not_need_the_store(make_proxy, settings):
    """Whom it hits are words: a table that cannot be read keeps neither the file from its place, nor the way back."""
    p = make_proxy(settings)
    db = sqlite3.connect(os.path.join(p.folder, "state", "mailproxy.db"))
    db.execute("ALTER TABLE name RENAME TO away")
    db.commit()
    db.close()
    pools = copy.deepcopy(p.settings["pools"])
    pools[0]["backends"] = pools[0]["backends"][:1]
    p.configure({"pools": pools})
    assert p.ctl_run("config", "diff", check=False).returncode == 1
    p.ctl("config", "reload", "--confirm", "500ms")
    assert len(p.ctl("backend", "list")) == 1
    p.wait_for_log("config-reload-impact-unknown")
    wait.until(lambda: len(p.ctl("backend", "list")) == 2, "the configuration of before")


def test_broken_file_changes_nothing(proxy):
    with open(proxy.config, "a") as f:
        f.write('wrokers = 3;\nmax_errors = true;\n')
    rows = proxy.ctl_run("-o", "json", "config", "check", check=False)
    assert rows.returncode == 1 and "workers" in rows.stdout and "max_errors" in rows.stdout
    for verb in ("reload", "diff"):
        with pytest.raises(CtlError) as e:
            proxy.ctl("config", verb)
        assert e.value.status == 1 and "wrokers" in e.value.output and "max_errors" in e.value.output
    proxy.reload()
    proxy.wait_for_log("config-reload-failed", 2)
    logged_in(proxy).close()
    proxy.configure({})
    assert proxy.ctl("config", "check") == []
    assert proxy.ctl("config", "reload") == []


def test_file_in_the_making_changes_nothing(proxy):
    """Whoever writes a file empties it first: a reload at that moment must not close all listeners."""
    with open(proxy.config) as f:
        good = f.read()
    for text in ("", "# a comment\n", 'node = "test";\n'):
        with open(proxy.config, "w") as f:
            f.write(f'user = "root";\nstate_dir = "{proxy.settings["state_dir"]}";\nrun_dir = "{proxy.run}";\n' + text)
        with pytest.raises(CtlError) as e:
            proxy.ctl("config", "reload")
        assert e.value.status == 1 and "listeners" in e.value.output and "nothing was changed" in e.value.output
        logged_in(proxy).close()
    proxy.reload()
    proxy.wait_for_log("config-reload-failed", 4)
    with open(proxy.config, "w") as f:
        f.write(good)
    assert proxy.ctl("config", "reload") == []
    logged_in(proxy).close()


def test_signal_reloads(proxy):
    set_weight(proxy, "dc1", 20)
    proxy.reload()
    proxy.wait_for_log("config-reloaded")
    assert weights(proxy)["dc1"] == 20


def test_new_listener_and_its_end(proxy):
    listeners = proxy.settings["listeners"]
    proxy.configure({"listeners": listeners + [{"name": "extra", "protocol": "imap", "allow_plaintext": True}]})
    proxy.ctl("config", "reload")
    c = imap.Lines(proxy.host, proxy.ports["extra"])
    assert c.line().startswith("* OK")
    assert "OK" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    proxy.configure({"listeners": listeners})
    proxy.ctl("config", "reload")

    def is_refused():
        try:
            imap.Lines(proxy.host, proxy.ports["extra"]).close()
            return False
        except ConnectionRefusedError:
            return True
    wait.until(is_refused, "the end of the address")
    assert "OK" in c.command("b", "NOOP")[-1]
    c.close()


def test_runtime_edit_hides_the_file(proxy):
    proxy.ctl("backend", "weight", "dc1", "7")
    path = "pools[main].backends[dc1].weight"
    assert proxy.ctl("config", "diff") == [{"path": path, "old": "7", "new": "100", "effect": "runtime edit"}]
    set_weight(proxy, "dc1", 20)
    effects = [r["effect"] for r in proxy.ctl("config", "diff") if r["path"] == path]
    assert effects == ["hidden by a runtime edit", "runtime edit"]
    done = answer(proxy, "config.reload")["result"]
    assert by_path(done["rows"])[path]["effect"] == "hidden by a runtime edit"
    assert done["message"].startswith("1 changed: 1 hidden by runtime edits")
    assert weights(proxy)["dc1"] == 7
    proxy.ctl("backend", "reset", "dc1")
    assert weights(proxy)["dc1"] == 20
    assert proxy.ctl("config", "diff") == []


def test_diff_of_runtime_edits(proxy):
    proxy.ctl("backend", "add", "main", "new", "127.0.0.1", "--ports", "imap=1143")
    proxy.ctl("backend", "set", "dc2", "--host", "127.0.0.9", "--ports", "pop3=1110", "--until-restart")
    proxy.ctl("backend", "remove", "dc1", "--yes")
    proxy.ctl("backend", "drain", "new", "--yes")
    rows = {(r["path"], r["effect"]): (r.get("old"), r.get("new")) for r in proxy.ctl("config", "diff")}
    dc1 = next(b["host"] for b in proxy.settings["pools"][0]["backends"] if b["name"] == "dc1")
    dc2 = next(b for b in proxy.settings["pools"][0]["backends"] if b["name"] == "dc2")
    assert rows == {
        ("pools[main].backends[new]", "runtime edit"): ("127.0.0.1", None),
        ("pools[main].backends[new].ports.imap", "runtime edit"): ("1143", None),
        ("pools[main].backends[new].state", "runtime edit"): ("drain", None),
        ("pools[main].backends[dc2].host", "runtime edit until restart"): ("127.0.0.9", dc2["host"]),
        ("pools[main].backends[dc2].ports.pop3", "runtime edit until restart"): ("1110", str(dc2["ports"]["pop3"])),
        ("pools[main].backends[dc1]", "runtime edit"): (None, dc1),
    }


def test_export_loads_again(proxy, folder):
    before = proxy.ctl_run("config", "export").stdout
    proxy.ctl("backend", "add", "main", "new", "127.0.0.1", "--ports", "imap=1143", "--weight", "30")
    proxy.ctl("backend", "set", "dc2", "--host", "127.0.0.9", "--weight", "5")
    proxy.ctl("backend", "remove", "dc1", "--yes")
    proxy.ctl("backend", "drain", "new", "--yes")
    text = proxy.ctl_run("config", "export").stdout
    assert text != before and text.startswith("# main/new: drain\n")
    assert '"new"' in text and '"127.0.0.9"' in text and '"dc1"' not in text
    path = os.path.join(folder, "exported.conf")
    with open(path, "w") as f:
        f.write(text)
    done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-t", "-c", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    # Taken over and with the edits forgotten, everything is as it was.
    want = {r["name"]: (r["host"], r["ports"], r["weight"]) for r in proxy.ctl("backend", "list")}
    with open(proxy.config, "w") as f:
        f.write(text)
    proxy.ctl("config", "reload")
    for name in ("new", "dc2"):
        proxy.ctl("backend", "reset", name)
    assert {r["name"]: (r["host"], r["ports"], r["weight"]) for r in proxy.ctl("backend", "list")} == want


def restart(proxy):
    pid = proxy.engine_pid()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() != pid, "the next engine")


def test_exported_file_ends_the_edits(proxy):
    """In the place of the old file an export leaves no difference, and the next change of the file is not hidden."""
    proxy.ctl("backend", "add", "main", "new", "127.0.0.1", "--ports", "imap=1143", "--weight", "30")
    proxy.ctl("backend", "weight", "dc1", "50")
    proxy.ctl("backend", "weight", "dc2", "40")
    proxy.ctl("backend", "weight", "dc2", "70", "--until-restart")
    text = proxy.ctl_run("config", "export").stdout
    with open(proxy.config, "w") as f:
        f.write(text)
    assert {r["effect"] for r in proxy.ctl("config", "diff")} == {"as edited at runtime"}
    done = answer(proxy, "config.reload")["result"]
    assert {r["effect"] for r in done["rows"]} == {"as edited at runtime"} and "hidden" not in done["message"]
    wait.until(lambda: {b["origin"] for b in proxy.ctl("backend", "list")} == {"file"}, "the end of the edits")
    assert proxy.ctl("config", "diff") == [] and weights(proxy) == {"dc1": 50, "dc2": 70, "new": 30}
    restart(proxy)
    assert proxy.ctl("config", "diff") == [] and weights(proxy) == {"dc1": 50, "dc2": 70, "new": 30}
    with open(proxy.config, "w") as f:
        f.write(text.replace("weight = 50;", "weight = 60;"))
    assert [(r["old"], r["new"], r["effect"]) for r in proxy.ctl("config", "diff")] == [("50", "60", "new sessions")]
    proxy.ctl("config", "reload")
    assert weights(proxy)["dc1"] == 60


def test_edits_stay_until_a_reload_is_confirmed(proxy):
    proxy.ctl("backend", "weight", "dc1", "50")
    set_weight(proxy, "dc1", 50)
    proxy.ctl("config", "reload", "--confirm", "1s")
    wait.until(lambda: "config-rolled-back" in proxy.log(), "the way back")
    assert weights(proxy)["dc1"] == 50 and proxy.ctl("backend", "show", "dc1")["edits"] == "weight"
    proxy.ctl("config", "reload", "--confirm", "1h")
    assert proxy.ctl("backend", "show", "dc1")["edits"] == "weight"
    proxy.ctl("config", "confirm")
    wait.until(lambda: proxy.ctl("backend", "show", "dc1")["origin"] == "file", "the end of the edit")
    assert weights(proxy)["dc1"] == 50


def test_until_restart_is_said_of_each_value(proxy):
    proxy.ctl("backend", "weight", "dc1", "7", "--until-restart")
    proxy.ctl("backend", "drain", "dc1", "--yes")
    rows = {r["path"]: r["effect"] for r in proxy.ctl("config", "diff")}
    assert rows == {"pools[main].backends[dc1].weight": "runtime edit until restart",
                    "pools[main].backends[dc1].state": "runtime edit"}
    assert proxy.ctl("backend", "show", "dc1")["edits"] == "weight (until restart), drain"
    restart(proxy)
    assert proxy.ctl("backend", "show", "dc1")["edits"] == "drain" and weights(proxy)["dc1"] == 100


def test_paused_listener_stays_paused(proxy):
    def listener(name="imap"):
        return next(r for r in proxy.ctl("listener", "list") if r["name"] == name)

    path = "listeners[imap].paused"
    proxy.ctl("listener", "pause", "imap", "--reason", "ticket 7")
    assert proxy.ctl("listener", "pause", "imap")["changed"] is False
    assert listener()["paused"] and listener()["reason"] == "ticket 7" and listener()["paused_since"]
    assert proxy.ctl("config", "diff") == [{"path": path, "old": "yes", "effect": "runtime edit"}]
    assert proxy.ctl_run("config", "export").stdout.startswith("# listener imap: paused\n")
    restart(proxy)
    assert listener()["paused"] and listener()["reason"] == "ticket 7"
    s = socket.create_connection((proxy.host, proxy.ports["imap"]))
    s.settimeout(0.3)
    with pytest.raises(TimeoutError):
        s.recv(100)
    proxy.ctl("listener", "resume", "imap")
    s.settimeout(20)
    assert s.recv(100).startswith(b"* OK")
    s.close()
    restart(proxy)
    assert not listener()["paused"] and proxy.ctl("config", "diff") == []
    proxy.ctl("listener", "pause", "imap", "--until-restart")
    assert [r["effect"] for r in proxy.ctl("config", "diff")] == ["runtime edit until restart"]
    proxy.ctl("listener", "pause", "imap")
    assert [r["effect"] for r in proxy.ctl("config", "diff")] == ["runtime edit"]
    proxy.ctl("listener", "resume", "imap", "--until-restart")
    restart(proxy)
    assert listener()["paused"]


def test_edited_backend_goes_from_the_file(proxy):
    """Its edits are told, come back with it, and can be ended meanwhile."""
    pools = copy.deepcopy(proxy.settings["pools"])
    without = [{**pools[0], "backends": [b for b in pools[0]["backends"] if b["name"] != "dc2"]}]
    proxy.ctl("backend", "weight", "dc2", "7")
    proxy.configure({"pools": without})
    done = proxy.ctl("config", "reload")
    assert [(r["path"], r["effect"]) for r in done] == [("pools[main].backends[dc2]", "new sessions")]
    assert weights(proxy) == {"dc1": 100}
    assert proxy.ctl("config", "diff") == [{"path": "pools[main].backends[dc2].weight", "old": "7", "effect": "runtime edit"}]
    proxy.configure({"pools": pools})
    assert [r["effect"] for r in proxy.ctl("config", "reload")] == ["new sessions"]
    assert weights(proxy) == {"dc1": 100, "dc2": 7}
    proxy.configure({"pools": without})
    proxy.ctl("config", "reload")
    assert proxy.ctl("backend", "reset", "dc2")["changed"] is True and proxy.ctl("config", "diff") == []
    proxy.configure({"pools": pools})
    proxy.ctl("config", "reload")
    assert weights(proxy) == {"dc1": 100, "dc2": 100}


def test_show_loads_again(proxy, folder):
    for flags in ([], ["--defaults"]):
        path = os.path.join(folder, "shown.conf")
        with open(path, "w") as f:
            f.write(proxy.ctl_run("config", "show", *flags).stdout)
        done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-t", "-c", path], capture_output=True, text=True,
                              timeout=30)
        assert done.returncode == 0, done.stderr


def test_unconfirmed_reload_is_rolled_back(proxy):
    set_weight(proxy, "dc1", 20)
    done = answer(proxy, "config.reload", {"confirm": "1s"})["result"]
    assert "config confirm keeps it" in done["message"]
    assert weights(proxy)["dc1"] == 20
    wait.until(lambda: weights(proxy)["dc1"] == 100, "the old configuration")
    proxy.wait_for_log("config-rolled-back")
    assert proxy.ctl("config", "confirm")["changed"] is False
    logged_in(proxy).close()


def test_confirmed_reload_stays(proxy):
    set_weight(proxy, "dc1", 20)
    proxy.ctl("config", "reload", "--confirm", "2s")
    assert proxy.ctl("config", "confirm")["changed"] is True
    assert proxy.ctl("config", "confirm")["changed"] is False
    set_weight(proxy, "dc1", 30)
    proxy.ctl("config", "reload", "--confirm", "1500ms")
    wait.until(lambda: "config-rolled-back" in proxy.log(), "the second one's end")
    assert weights(proxy)["dc1"] == 20


def test_unconfirmed_goes_back_to_the_last_confirmed(proxy):
    for weight in (20, 30):
        set_weight(proxy, "dc1", weight)
        proxy.ctl("config", "reload", "--confirm", "1s")
    wait.until(lambda: weights(proxy)["dc1"] == 100, "the configuration before both")


def test_crash_before_it_is_confirmed(proxy):
    """An engine that dies in that time is followed by one with the configuration before, its listeners too."""
    listeners, old = proxy.settings["listeners"], proxy.ports["imap"]
    set_weight(proxy, "dc1", 20)
    fresh = f"{proxy.host}:{net.port(proxy.host)}"
    proxy.configure({"listeners": [{**ls, "address": fresh} if ls["name"] == "imap" else ls for ls in listeners]})
    proxy.ctl("config", "reload", "--confirm", "1h")
    assert weights(proxy)["dc1"] == 20
    restart(proxy)
    assert weights(proxy)["dc1"] == 100 and proxy.ctl("config", "confirm")["changed"] is False
    proxy.wait_for_log("config-kept")
    c = imap.Lines(proxy.host, old)
    assert c.line().startswith("* OK")
    c.close()
    assert {r["path"] for r in proxy.ctl("config", "diff")} == {"pools[main].backends[dc1].weight", "listeners[imap].address"}
    # Confirmed, it is what the next engine starts with; the daemon itself reads the file when it starts.
    proxy.ctl("config", "reload", "--confirm", "1h")
    proxy.ctl("config", "confirm")
    restart(proxy)
    assert weights(proxy)["dc1"] == 20 and proxy.ctl("config", "diff") == []


def test_crash_beside_a_file_in_the_making(proxy):
    """What nobody has reloaded does not come in by an accident, and what cannot be loaded keeps nobody out."""
    set_weight(proxy, "dc1", 20)
    restart(proxy)
    assert weights(proxy)["dc1"] == 100 and [r["new"] for r in proxy.ctl("config", "diff")] == ["20"]
    with open(proxy.config, "a") as f:
        f.write("workers = ;\n")
    restart(proxy)
    logged_in(proxy).close()
    assert weights(proxy)["dc1"] == 100 and proxy.ctl("system", "status")["config"] == proxy.config
    r = Control(proxy.control)
    r.call("event.watch", filter="type=config", last=1)
    assert "the file cannot be loaded" in r.receive()["params"]["text"]
    r.close()
    set_weight(proxy, "dc1", 30)
    proxy.ctl("config", "reload")
    restart(proxy)
    assert weights(proxy)["dc1"] == 30 and proxy.ctl("config", "diff") == []


def test_plain_reload_confirms(proxy):
    set_weight(proxy, "dc1", 20)
    proxy.ctl("config", "reload", "--confirm", "1s")
    proxy.ctl("config", "reload")
    assert proxy.ctl("config", "confirm")["changed"] is False


def test_storm(proxy):
    """Reloads, edits and logins at the same time: nobody is dropped, no login fails, the last word counts."""
    stay = logged_in(proxy)
    failures = []

    def run(n, fn):
        try:
            for _ in range(n):
                fn()
        except Exception as e:  # noqa: BLE001: any failure is the test's
            failures.append(e)

    jobs = [(15, lambda: proxy.ctl("config", "reload")), (15, proxy.reload),
            (15, lambda: proxy.ctl("backend", "weight", "dc1", "7")),
            (15, lambda: proxy.ctl("backend", "reset", "dc1")),
            (15, lambda: logged_in(proxy).close())]
    threads = [threading.Thread(target=run, args=j) for j in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert "OK" in stay.command("b", "NOOP")[-1]
    proxy.ctl("backend", "weight", "dc1", "9")
    proxy.ctl("config", "reload")
    assert weights(proxy)["dc1"] == 9
    stay.close()


def test_certificate_is_read_again(proxy, ca, server_cert):
    cert, key = server_cert
    old_cert, old_key = open(cert).read(), open(key).read()
    new_cert, new_key = ca.issue("renewed.test", "DNS:renewed.test")
    try:
        for source, target in ((new_cert, cert), (new_key, key)):
            with open(source) as f, open(target, "w") as g:
                g.write(f.read())
        proxy.ctl("config", "reload")
        import ssl
        pem = ssl.get_server_certificate((proxy.host, proxy.ports["imaps"]))
        assert pem.strip() in open(new_cert).read()
    finally:
        for text, target in ((old_cert, cert), (old_key, key)):
            with open(target, "w") as g:
                g.write(text)




def test_secrets_are_in_the_export_alone(make_proxy, settings):
    settings["auth"] = settings["auth"] + [{"type": "http", "url": "http://127.0.0.1:9/", "headers": ["X-Key: hidden"]}]
    p = make_proxy(settings)
    assert "X-Key: ***" in p.ctl_run("config", "show").stdout
    assert "X-Key: hidden" in p.ctl_run("config", "export").stdout
    p.configure({"auth": [settings["auth"][0], {**settings["auth"][1], "headers": ["X-Key: other"]}]})
    assert by_path(p.ctl("config", "diff"))["auth[1].headers"]["new"] == '[ "X-Key: ***" ]'


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can stay root")
def test_root_has_to_name_a_user(make_proxy, settings):
    """Without `user` neither -t nor a start by root goes on; "root" in so many words does."""
    p = make_proxy(settings, start=False)
    named = p.settings.pop("user")
    p.configure({})
    for option in (["-t"], []):
        done = subprocess.run([os.path.join(BUILD, "mailproxyd"), *option, "-c", p.config], capture_output=True, text=True, timeout=30)
        assert done.returncode == 78 and "user: is missing: the daemon would stay root" in done.stderr, done
    p.configure({"user": named})
    done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-t", "-c", p.config], capture_output=True, text=True, timeout=30)
    assert named == "root" and done.returncode == 0, done.stderr
    p.start()


def test_differences_that_wait(make_proxy, settings):
    """The file is read slowly: viewers who ask for the difference, and a reload, wait for it, and nobody else does."""
    p = make_proxy({**settings, "control": []}, start=False)
    p.configure({"control": [{"path": p.control, "admin": ["root", str(os.getuid())]}]})
    p.start()
    p.add_user(USER, PASSWORD)
    c = logged_in(p)
    set_weight(p, "dc1", 20)
    p.ctl("backend", "set", "dc2", "--weight", "7")
    supervisor = p.process.child.pid
    os.kill(supervisor, signal.SIGSTOP)  # who reads the file
    try:
        askers = [Control(p.control) for _ in range(6)]
        for a in askers:
            a.send({"jsonrpc": "2.0", "id": 1, "method": "config.diff", "params": {}})
        operator = Control(p.control)
        operator.send({"jsonrpc": "2.0", "id": 1, "method": "config.reload", "params": {}})
        # A second operator works on meanwhile, also with what is in the store; one of the viewers has had enough.
        askers.pop(1).close()
        p.ctl("user", "lock", USER, "--yes")
        assert c.rest().startswith(b"* BYE")
        p.add_user("another@example.org", PASSWORD)
        assert weights(p) == {"dc1": 100, "dc2": 7}
    finally:
        os.kill(supervisor, signal.SIGCONT)
    reloaded = operator.receive()["result"]
    assert [r["path"] for r in reloaded["rows"]] == ["pools[main].backends[dc1].weight"], reloaded
    for a in askers:  # each sees what was so before the reload or after it
        paths = {r["path"] for r in a.receive()["result"]["rows"]}
        assert "pools[main].backends[dc2].weight" in paths and paths <= {f"pools[main].backends[{n}].weight" for n in ("dc1", "dc2")}
        a.close()
    operator.close()
    assert weights(p) == {"dc1": 20, "dc2": 7}
    assert [r["path"] for r in p.ctl("config", "diff")] == ["pools[main].backends[dc2].weight"]
