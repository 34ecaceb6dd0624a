# SPDX-License-Identifier: ISC
"""Certificates that change on the disk are in use without a reload; what cannot be used is said, and the one before stays."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest
from conftest import USERS
from harness import certs, imap, prometheus, wait
from test_key_process import children, key_processes

USER = "u1@example.org"


@pytest.fixture(scope="module")
def authority(root):
    return certs.Authority(os.path.join(root, "watch-ca"))


class Site:
    """A certificate as certbot keeps it: links in live/NAME lead to numbered files in archive/NAME. With a password the keys are encrypted."""

    def __init__(self, root, authority, name, password=None):
        self.root, self.authority, self.name, self.password, self.n = root, authority, name, password, 0
        self.live = os.path.join(root, "live", name)
        os.makedirs(self.live)
        os.makedirs(os.path.join(root, "archive", name))
        self.renew()

    @property
    def config(self):
        return {"cert": os.path.join(self.live, "fullchain.pem"), "key": os.path.join(self.live, "privkey.pem")}

    def issue(self):
        """The next pair in the archive; what it is called is what tells it from the one before."""
        self.n += 1
        made = self.authority.issue(f"{self.name}-{self.n}", f"DNS:{self.name}")
        if self.password:
            subprocess.run(["openssl", "pkey", "-in", made[1], "-aes256", "-passout", "pass:" + self.password, "-out", made[1] + ".new"], check=True)
            os.replace(made[1] + ".new", made[1])
        return [shutil.copy(path, os.path.join(self.root, "archive", self.name, f"{kind}{self.n}.pem"))
                for kind, path in zip(("fullchain", "privkey"), made)]

    def link(self, kind):
        path = os.path.join(self.live, kind + ".pem")
        os.symlink(f"../../archive/{self.name}/{kind}{self.n}.pem", path + ".new")
        os.replace(path + ".new", path)

    def renew(self):
        self.issue()
        for kind in ("privkey", "fullchain"):  # the key comes first, as with most clients
            self.link(kind)


def shown(p, name, listener="imaps"):
    """Subject of the certificate that a new client is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_REQUIRED
    context.load_verify_locations(p.authority.cert)
    with socket.create_connection((p.host, p.ports[listener]), timeout=20) as s, context.wrap_socket(s, server_hostname=name) as t:
        return dict(x[0] for x in t.getpeercert()["subject"])["commonName"]


def shows(p, site):
    wait.until(lambda: shown(p, site.name) == f"{site.name}-{site.n}", f"{site.name}-{site.n}")


def trouble(p):
    return p.ctl("system", "status").get("trouble")


def metric(p, name):
    return sum(v for _, v in prometheus.parse(p.ctl("system", "metrics")["text"])[name].series(""))


@pytest.fixture
def proxy(make_proxy, settings, folder, authority):
    """start(*names) gives a proxy with a certificate for each name."""
    def start(*names, password=None, **tls):
        sites = [Site(folder, authority, name, password) for name in names]
        settings["tls"] = {"certificates": [s.config for s in sites], **tls}
        p = make_proxy(settings, start=False)
        p.authority = authority
        p.start()
        p.add_user(USER, USERS[USER])
        return p, *sites
    return start


def session(p):
    c = imap.plain(p.host, p.ports["imap"])
    c.login(USER, USERS[USER])
    return c


def test_renewed(proxy):
    """By links, in place, with a new folder. Sessions go on, and the rest of the configuration stays as it is."""
    p, site = proxy("a.test")
    c = session(p)
    shows(p, site)
    p.configure({"server_name": "not.yet.test"})
    site.renew()
    shows(p, site)

    made = site.issue()
    for kind, path in zip(("fullchain", "privkey"), made):
        shutil.copyfile(path, os.path.join(site.live, kind + ".pem"))  # through the links, into the files of before
    shows(p, site)

    os.rename(site.live, site.live + ".old")
    os.mkdir(site.live)
    site.renew()
    shows(p, site)

    assert c.noop()[0] == "OK" and len(p.sessions("user=" + USER)) == 1
    assert [r["path"] for r in p.ctl("config", "diff")] == ["server_name"]
    assert metric(p, "mailproxy_certificate_loads_total") >= 3 and trouble(p) is None
    log = p.whole_log()
    assert "certificates-loaded" in log and "config-reloaded" not in log
    c.logout()


def test_not_usable(proxy):
    """Each pair for itself; an engine that dies comes back with the good one, whatever is on the disk."""
    p, a, b = proxy("a.test", "b.test")
    good = f"{a.name}-{a.n}"
    a.issue()
    a.link("privkey")  # the certificate does not come
    b.renew()
    shows(p, b)
    assert shown(p, a.name) == good
    assert a.config["key"] in trouble(p) or a.config["cert"] in trouble(p)
    assert metric(p, "mailproxy_certificate_refusals_total") >= 1
    assert "certificate-refused" in p.whole_log()
    assert any(a.config["cert"] in (e.get("text") or "") for e in p.ctl("event", "list"))

    os.kill(p.engine_pid(), signal.SIGKILL)
    wait.until(p.is_ready, "the next engine")
    assert shown(p, a.name) == good and shown(p, b.name) == f"{b.name}-{b.n}"
    wait.until(lambda: trouble(p), "what the next engine says of it")

    a.link("fullchain")
    shows(p, a)
    wait.until(lambda: trouble(p) is None, "the end of the trouble")


def test_gone(proxy):
    """A file that is not there is like one that cannot be used; nothing else is held up by it."""
    p, a, b = proxy("a.test", "b.test")
    os.remove(a.config["cert"])
    b.renew()
    shows(p, b)
    assert shown(p, a.name) == f"{a.name}-{a.n}" and f"{a.config['cert']} cannot be read" in trouble(p)
    a.link("fullchain")
    wait.until(lambda: trouble(p) is None, "the end of the trouble")


def test_key_process(proxy):
    """The keys go to another one; a pair that does not fit leaves the key of before where it signs."""
    p, a, b = proxy("a.test", "b.test", key_process=True)
    good = f"{a.name}-{a.n}"
    a.issue()
    a.link("fullchain")
    b.renew()
    shows(p, b)
    assert shown(p, a.name) == good and a.config["cert"] in trouble(p)
    a.link("privkey")
    shows(p, a)
    assert trouble(p) is None


def watcher(p):
    return [pid for pid, _ in children(p.process.pid) if comm(pid) == "mp-watch"]


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


def test_encrypted_keys(proxy, folder):
    """The key process has the files as they were: of several renewed pairs the good ones are used, and a touch is no change."""
    passwords = os.path.join(folder, "passwords")
    with open(passwords, "w") as f:
        f.write("open sesame\n")
    p, a, b, c = proxy("a.test", "b.test", "c.test", password="open sesame", password_file=passwords, key_process=True)
    before, loads, watching = key_processes(p), metric(p, "mailproxy_certificate_loads_total"), watcher(p)
    os.utime(passwords)
    os.utime(a.config["key"])
    wait.until(lambda: watcher(p) not in ([], watching), "the end of the look")
    assert key_processes(p) == before and metric(p, "mailproxy_certificate_loads_total") == loads and trouble(p) is None

    good = f"{a.name}-{a.n}"
    a.issue()
    a.link("fullchain")
    b.renew()
    c.renew()
    shows(p, b)
    shows(p, c)
    assert shown(p, a.name) == good and a.config["cert"] in trouble(p) and passwords not in trouble(p)
    a.link("privkey")
    shows(p, a)
    assert trouble(p) is None


def test_upgrade(proxy):
    """The new program watches as the old one did."""
    p, site = proxy("a.test")
    pid = p.engine_pid()
    p.ctl("system", "upgrade", "--yes")
    wait.until(lambda: p.engine_pid() != pid, "the new engine")
    site.renew()
    shows(p, site)


def test_off(proxy):
    """A reload switches it off, and on again: then what changed meanwhile is noticed."""
    p, site = proxy("a.test", watch=False)
    before = f"{site.name}-{site.n}"
    site.renew()
    time.sleep(1.5)  # nothing tells that nothing will happen
    assert shown(p, site.name) == before
    p.ctl("config", "reload")
    shows(p, site)
