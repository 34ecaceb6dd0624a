# SPDX-License-Identifier: ISC
"""Certificates that change on the disk are in use without a reload; what cannot be used is said, and the one before stays."""
import os
import shutil
import signal
import socket
import ssl
import time

import pytest
from conftest import USERS
from harness import certs, imap, prometheus, wait

USER = "u1@example.org"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certs.Authority(str(tmp_path_factory.mktemp("watch-ca")))


class Site:
    """A certificate as certbot keeps it: links in live/NAME lead to numbered files in archive/NAME."""

    def __init__(self, root, authority, name):
        self.root, self.authority, self.name, self.n = root, authority, name, 0
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
    def start(*names, **tls):
        sites = [Site(folder, authority, name) for name in names]
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
