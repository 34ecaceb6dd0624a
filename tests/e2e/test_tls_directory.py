# SPDX-License-Identifier: ISC
"""tls.directory: certificates that are loaded when a client first asks for their name."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from conftest import USERS
from harness import certs, imap, wait
from test_certificate_watch import metric
from test_key_process import holds, key_processes

USER = "u1@example.org"


@pytest.fixture(scope="module")
def authority(root):
    return certs.Authority(os.path.join(root, "directory-ca"))


class Folder:
    """A folder of certificates, each of which says in its subject which one it is."""

    def __init__(self, path, authority):
        self.path, self.authority, self.n = path, authority, 0
        os.makedirs(path)

    def issue(self, name, **how):
        """The next certificate of a name: (subject, cert, key)."""
        self.n += 1
        subject = f"{self.n}.{name.lstrip('_*.')}"
        return subject, *self.authority.issue(subject, "DNS:" + name.replace("_.", "*."), **how)

    def put(self, name, kind="pem", **how):
        """Into the folder, each file at once; the subject."""
        subject, cert, key = self.issue(name, **how)
        if kind == "live":
            os.makedirs(self.at(name), exist_ok=True)
            self.copy(key, f"{name}/privkey.pem")
            self.copy(cert, f"{name}/fullchain.pem")
        elif kind == "pair":
            self.copy(key, name + ".key")
            self.copy(cert, name + ".crt")
        else:
            both = cert + ".both"
            with open(both, "w") as f:
                f.write(open(cert).read() + open(key).read())
            self.copy(both, name + ".pem")
        return subject

    def at(self, name):
        return os.path.join(self.path, name)

    def copy(self, source, name):
        shutil.copyfile(source, self.at(name) + ".new~")
        os.replace(self.at(name) + ".new~", self.at(name))


@pytest.fixture
def files(folder, authority):
    return Folder(os.path.join(folder, "names"), authority)


@pytest.fixture
def make(make_proxy, settings, files, authority, folder):
    """start(**tls) gives a proxy with the folder and a default certificate."""
    def start(begin=True, **tls):
        cert, key = authority.issue("default.test", "DNS:default.test")
        settings["tls"] = {"certificates": [{"cert": cert, "key": key}], "directory": files.path, **tls}
        p = make_proxy(settings, start=False)
        p.authority = authority
        if begin:
            p.start()
            p.add_user(USER, USERS[USER])
        return p
    return start


class Asking:
    """A TLS context that asks for a name, whatever the host is called."""

    def __init__(self, name):
        self.name = name

    def wrap_socket(self, sock, server_hostname):
        del server_hostname
        return imap.context().wrap_socket(sock, server_hostname=self.name)


def shown(p, name, version=None, listener="imaps"):
    """Subject of the certificate that a new client is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_REQUIRED
    context.load_verify_locations(p.authority.cert)
    if version:
        context.minimum_version = context.maximum_version = version
    with socket.create_connection((p.host, p.ports[listener]), timeout=20) as s, context.wrap_socket(s, server_hostname=name) as t:
        return dict(x[0] for x in t.getpeercert()["subject"])["commonName"]


def test_names(make, files):
    """All three ways to keep them, wildcards, what no file is for; TLS 1.2 and 1.3; STARTTLS; a whole login."""
    live, both, pair = files.put("live.test", "live"), files.put("both.test"), files.put("pair.test", "pair")
    wild, star, own = files.put("_.wild.test", "pair"), files.put("*.star.test"), files.put("own.wild.test")
    p = make()
    for name, subject in (("live.test", live), ("BOTH.test", both), ("pair.test", pair), ("a.wild.test", wild), ("b.star.test", star),
                          ("own.wild.test", own)):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert shown(p, name, version) == subject
    for name in ("other.test", "a.b.wild.test", "wild.test", None):
        assert shown(p, name) == "default.test"
    c = imap.Lines(p.host, p.ports["imaps"], tls=Asking("live.test"))
    c.line()
    assert c.command("a", f"LOGIN {USER} {USERS[USER]}")[-1].startswith("a OK")
    c.close()


def shows(p, name, subject):
    wait.until(lambda: shown(p, name) == subject, subject)


def together(calls):
    """Runs all at once; what each returned."""
    results = [None] * len(calls)

    def run(i):
        results[i] = calls[i]()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def test_broken(make, files):
    """What cannot be used is said once, and its name gets the default certificate; mended, it is used. Nothing of that touches the others."""
    good = files.put("good.test")
    _, cert, _ = files.issue("mixed.test")
    _, _, key = files.issue("mixed.test")
    files.copy(cert, "mixed.test.crt")
    files.copy(key, "mixed.test.key")
    with open(files.at("text.test.pem"), "w") as f:
        f.write("no certificate")
    os.mkfifo(files.at("fifo.test.pem"))
    misnamed = files.put("right.test")
    os.rename(files.at("right.test.pem"), files.at("wrong.test.pem"))
    p = make()
    for name in ("mixed.test", "text.test", "fifo.test"):
        assert together([lambda: shown(p, name)] * 3) == ["default.test"] * 3
    assert shown(p, "wrong.test") == misnamed
    assert shown(p, "good.test") == good
    # a client is served before the refusal has come to the thread that tells operators
    wait.until(lambda: sum("cannot be used" in (e.get("text") or "") for e in p.ctl("event", "list")) >= 3, "the events")
    log = p.whole_log()
    assert log.count("certificate-refused") == 3 and "the key is not that of the certificate" in log
    assert log.count("certificate-of-another-name") == 1
    assert sum("mixed.test cannot be used" in (e.get("text") or "") for e in p.ctl("event", "list")) == 1
    assert {r["name"]: r["state"] for r in p.ctl("listener", "certificates")} == {
        "good.test": "loaded", "wrong.test": "loaded", **{n: "refused" for n in ("fifo.test", "mixed.test", "text.test")}}
    assert [(r["name"], r["cert_days"]) for r in p.ctl("listener", "certificates", "g*.test", "--state", "loaded")] == [("good.test", 29)]
    mended = files.put("mixed.test", "pair")
    shows(p, "mixed.test", mended)


def test_changed(make, files):
    """Renewed, added and taken away without a reload; a renewed one that cannot be used leaves the one before in use."""
    old, gone = files.put("a.test", "live"), files.put("gone.test")
    p = make()
    assert (shown(p, "a.test"), shown(p, "gone.test"), shown(p, "new.test")) == (old, gone, "default.test")
    new, added = files.put("a.test", "live"), files.put("new.test")
    shows(p, "a.test", new)
    shows(p, "new.test", added)
    os.remove(files.at("gone.test.pem"))
    shows(p, "gone.test", "default.test")
    shutil.copyfile(files.issue("a.test")[1], files.at("a.test/fullchain.pem"))  # in place, without its key
    wait.until(lambda: shown(p, "a.test") == new and "certificate-refused" in p.whole_log(), "the refusal")
    assert shown(p, "a.test") == new and "config-reloaded" not in p.whole_log()


def test_cache_and_crowd(make, files):
    """A client that walks all names makes no more than the configured number stay; one that walks names that do not exist makes nothing."""
    subjects = {f"n{i}.test": files.put(f"n{i}.test") for i in range(12)}
    p = make(directory_cache=3)
    assert together([lambda n=n: shown(p, n) for n in subjects for _ in range(2)]) == [s for s in subjects.values() for _ in range(2)]
    wait.until(lambda: metric(p, "mailproxy_directory_certificates_loaded") <= 3, "what nobody uses to go")
    assert metric(p, "mailproxy_directory_certificates") == 12
    loads = metric(p, "mailproxy_directory_certificate_loads_total")
    assert loads >= 12
    assert set(together([lambda i=i: shown(p, f"x{i}.test") for i in range(12)])) == {"default.test"}
    assert metric(p, "mailproxy_directory_certificate_loads_total") == loads
    assert {n: shown(p, n) for n in subjects} == subjects


def hello(name):
    """What a client sends first."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    t = imap.context().wrap_bio(into, out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        t.do_handshake()
    return t, into, out


def in_pieces(p, name):
    """The subject for a client whose ClientHello comes byte by byte, each one seen by the server before the next one."""
    t, into, out = hello(name)
    with socket.create_connection((p.host, p.ports["imaps"]), timeout=20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in out.read():
            s.send(bytes([byte]))
        while True:
            try:
                t.do_handshake()
                return x509(t.getpeercert(True))
            except ssl.SSLWantReadError:
                s.sendall(out.read())
                into.write(s.recv(65536))


def x509(der):
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253"], input=der, capture_output=True, check=True)
    return text.stdout.decode().strip().partition("CN=")[2]


def test_clients_before_their_certificate(make, files):
    """A name that comes in pieces, clients that leave while they wait, what is no ClientHello, and one that never ends."""
    a, b = files.put("a.test"), files.put("b.test")
    p = make()
    assert in_pieces(p, "a.test") == a
    gone = hello("b.test")[2].read()
    for _ in range(30):
        with socket.create_connection((p.host, p.ports["imaps"])) as s:
            s.sendall(gone)
    for nonsense in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x40\x00\x01\x00\x7f\xf0" + bytes(16375), gone[:-1] + b"\xff"):
        with socket.create_connection((p.host, p.ports["imaps"]), timeout=20) as s:
            with contextlib.suppress(OSError):  # it may have been reset by then
                s.sendall(nonsense * 2)
                s.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while s.recv(4096):
                    pass
    assert shown(p, "b.test") == b
    wait.until(lambda: not p.sessions(), "the end of all")


def test_reload_and_crash(make, files):
    """What is loaded stays over a reload; another engine, or another program, loads it again. A client that hangs up while it waits is no matter."""
    a, b = files.put("a.test"), files.put("b.test")
    p = make()
    assert shown(p, "a.test") == a
    loads = metric(p, "mailproxy_directory_certificate_loads_total")
    p.ctl("config", "reload")
    assert shown(p, "a.test") == a and metric(p, "mailproxy_directory_certificate_loads_total") == loads
    os.kill(p.engine_pid(), signal.SIGKILL)
    wait.until(p.is_ready, "the next engine")
    assert (shown(p, "a.test"), shown(p, "b.test")) == (a, b)
    pid = p.engine_pid()
    p.ctl("system", "upgrade", "--yes")
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the new engine")
    assert (shown(p, "a.test"), shown(p, "b.test")) == (a, b)
    c = files.put("c.test")
    shows(p, "c.test", c)
    del p.settings["tls"]["directory"]
    p.configure({})
    p.ctl("config", "reload")
    assert shown(p, "a.test") == "default.test"


def test_key_process(make, files):
    """The keys go to the key process alone, which may die, and which keeps no more than the configured number of them."""
    subjects = {f"k{i}.test": files.put(f"k{i}.test") for i in range(4)}
    p = make(key_process=True, directory_cache=2)
    for _ in range(2):
        assert {n: shown(p, n) for n in subjects} == subjects
    if os.geteuid() == 0:
        key = os.path.join(files.authority.folder, subjects["k3.test"] + ".key")
        assert holds(key_processes(p)[0], key) and not holds(p.engine_pid(), key)
    os.kill(key_processes(p)[0], signal.SIGKILL)
    for name, subject in subjects.items():  # one handshake may find out that the key is gone
        wait.until(lambda: tries(p, name) == subject, subject)
    renewed = files.put("k0.test")
    wait.until(lambda: tries(p, "k0.test") == renewed, renewed)
    p.ctl("config", "reload")
    assert shown(p, "k1.test") == subjects["k1.test"]
    pid = p.engine_pid()
    p.ctl("system", "upgrade", "--yes")
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the new engine")
    assert {n: shown(p, n) for n in ("k2.test", "k3.test")} == {n: subjects[n] for n in ("k2.test", "k3.test")}
    assert "engine-killed" not in p.whole_log()


def tries(p, name):
    try:
        return shown(p, name)
    except OSError:
        return None


def check(p):
    return subprocess.run([p.program, "-t", "-c", p.config], capture_output=True, text=True, timeout=30)


def test_check(make, files):
    """What -t says of the folder."""
    files.put("good.test")
    files.put("Upper.test")
    os.mkdir(files.at("empty.test"))
    shutil.copyfile(files.issue("half.test")[1], files.at("half.test.crt"))
    files.put("twice.test")
    files.put("twice.test", "live")
    _, cert, _ = files.issue("mixed.test")
    _, _, key = files.issue("mixed.test")
    files.copy(cert, "mixed.test.crt")
    files.copy(key, "mixed.test.key")
    open(files.at("README"), "w").close()
    p = make(begin=False)
    said = check(p)
    assert said.returncode == 0
    for words in ("Upper.test.pem is not called by a DNS name", "empty.test has no fullchain.pem", "half.test.crt has no .key",
                  "twice.test.pem is the second certificate of its name", "mixed.test gets the default certificate"):
        assert words in said.stderr
    assert "README" not in said.stderr and "good.test" not in said.stderr
    p.settings["tls"]["directory"] = files.at("nowhere")
    p.configure({})
    said = check(p)
    assert said.returncode != 0 and "nowhere cannot be listed: No such file or directory" in said.stderr
