# SPDX-License-Identifier: ISC
"""The end of the proxy's own certificates: told by the listing, the metrics, the dashboard and the log."""
import copy
import os
import re
import shutil
import subprocess
from datetime import datetime, timezone

from harness import certs, prometheus
from harness.proxy import IS_SANITIZED
from tui_case import once

EXPIRY = "mailproxy_listener_certificate_expiry_timestamp_seconds"


def pair(files):
    return dict(zip(("cert", "key"), files))


def end_of(cert):
    """Unix seconds."""
    done = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-enddate"], check=True, capture_output=True, text=True)
    at = datetime.strptime(done.stdout.strip(), "notAfter=%b %d %H:%M:%S %Y GMT")
    return at.replace(tzinfo=timezone.utc).timestamp()


def rows(p):
    return {r["name"]: r for r in p.ctl("listener", "list")}


def ends(p):
    """What the metrics say, by listener."""
    return {labels["listener"]: v for labels, v in
            prometheus.parse(p.ctl("system", "metrics")["text"])[EXPIRY].series("")}


def log_lines(p, event):
    return [line for line in p.whole_log().splitlines() if f" {event} " in line]


def test_end_of_a_certificate(make_proxy, settings, folder):
    """Three listeners use the certificates of the file, the first of which ends later; one has its own, one none."""
    authority = certs.Authority(f"{folder}/ca")
    files = {name: pair(authority.issue(name, f"DNS:{name}", days=days)) for name, days in
             (("later.test", 25), ("soon.test", 5), ("own.test", 20), ("gone.test", -1), ("new.test", 28))}
    settings["tls"] = {"certificates": [files["later.test"], files["soon.test"]], "watch": False}
    settings["listeners"] += [
        {"name": "pop3s", "protocol": "pop3", "tls": "implicit"},
        {"name": "own", "protocol": "imap", "tls": "implicit", "tls_options": {"certificates": [files["own.test"]]}},
        {"name": "clear", "protocol": "imap", "tls": "off", "allow_plaintext": True}]
    p = make_proxy(settings)
    shared = ("imap", "imaps", "pop3s")

    listed = rows(p)
    for name in shared:
        assert listed[name]["cert_days"] in (4, 5) and listed[name]["cert_file"] == files["soon.test"]["cert"]
    assert listed["own"]["cert_days"] in (19, 20) and listed["own"]["cert_file"] == files["own.test"]["cert"]
    assert "cert_days" not in listed["clear"] and "cert_file" not in listed["clear"]
    soon = end_of(files["soon.test"]["cert"])
    assert ends(p) == {**dict.fromkeys(shared, soon), "own": end_of(files["own.test"]["cert"])}
    screen = once(p, "--screen", "overview")
    assert re.search(r"! the certificate of listener imap and 2 more ends in [45] days", screen)
    assert screen.count("the certificate of") == 1
    line, = log_lines(p, "certificate-ends")
    assert files["soon.test"]["cert"] in line and "listener=imap " in line and "warn" in line.lower()
    assert datetime.fromtimestamp(soon, timezone.utc).strftime("at=%Y-%m-%dT%H:%M:%S") in line
    assert not log_lines(p, "certificate-ended")

    # The same file with another certificate in it, for the others one that has ended.
    for part in ("cert", "key"):
        with open(files["new.test"][part]) as new, open(files["own.test"][part], "w") as f:
            f.write(new.read())
        with open(files["gone.test"][part]) as gone, open(files["soon.test"][part], "w") as f:
            f.write(gone.read())
    assert rows(p)["own"]["cert_days"] in (19, 20) and ends(p)["imap"] == soon
    p.ctl("config", "reload")
    listed = rows(p)
    assert listed["own"]["cert_days"] in (27, 28)
    assert all(listed[name]["cert_days"] in (-2, -1) for name in shared)
    assert ends(p) == {**dict.fromkeys(shared, end_of(files["gone.test"]["cert"])),
                       "own": end_of(files["new.test"]["cert"])}
    assert "! the certificate of listener imap and 2 more has ended" in once(p, "--screen", "overview")
    assert len(log_lines(p, "certificate-ends")) == 1
    line, = log_lines(p, "certificate-ended")
    done = subprocess.run([p.program, "-t", "-c", p.config], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count(" has ended at ") == 1
    assert files["soon.test"]["cert"] in line

    # All is well again: not a word more.
    p.configure({"tls": {"certificates": [files["later.test"], files["new.test"]]}})
    p.ctl("config", "reload")
    assert rows(p)["imap"]["cert_days"] in (24, 25) and rows(p)["imap"]["cert_file"] == files["later.test"]["cert"]
    assert "the certificate of" not in once(p, "--screen", "overview")
    assert len(log_lines(p, "certificate-ends")) == 1 and len(log_lines(p, "certificate-ended")) == 1


def spent_ms(p):
    """CPU time of the engine's threads: of those that must not be held, and of the others."""
    pid = p.engine_pid()
    loops = others = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as f:
            is_loop = int(task) == pid or f.read().startswith("worker")
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            ms = int(f.read().split()[0]) / 1e6
        loops, others = (loops + ms, others) if is_loop else (loops, others + ms)
    return loops, others


def test_many_certificates_hold_nobody(make_proxy, settings, folder):
    """They are read and freed by threads for what takes long: sessions and operators go on during a reload."""
    files = certs.Authority(f"{folder}/ca").issue("many.test", "DNS:many.test")
    many = []
    for i in range(100 if IS_SANITIZED else 400):
        many.append(pair(shutil.copy(path, f"{folder}/{i}.{kind}") for kind, path in zip(("cert", "key"), files)))
    settings["tls"] = {"certificates": many}
    p = make_proxy(settings)
    before = spent_ms(p)
    for _ in range(3):  # the last but one is freed when nobody uses it any more
        p.ctl("config", "reload")
    after = spent_ms(p)
    loops, others = (b - a for a, b in zip(before, after))
    assert loops < others / 5, f"{loops:.0f} ms in loops, {others:.0f} ms in the threads beside them"


def test_two_proxies_take_each_others_tickets(make_proxy, settings, folder):
    """With one file both resume what the other one began, also when the file was replaced for both; without it neither does."""
    key = os.path.join(folder, "tickets.key")
    settings["tls"]["ticket_key"] = key
    with open(key, "wb") as f:
        f.write(os.urandom(80))
    other = make_proxy(copy.deepcopy(settings))
    one = make_proxy(settings)
    assert certs.can_resume(one, other) and certs.can_resume(other, one)
    with open(key, "wb") as f:
        f.write(os.urandom(48))
    for p in (one, other):
        p.ctl("config", "reload")
    assert certs.can_resume(one, other) and certs.can_resume(other, one)
    other.settings["tls"].pop("ticket_key")
    other.configure({})
    other.ctl("config", "reload")
    assert not certs.can_resume(one, other)
