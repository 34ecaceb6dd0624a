# SPDX-License-Identifier: ISC
"""tls.key_process: the private keys are in a process of their own; its death, silence, reloads and upgrades."""
import copy
import os
import re
import shutil
import signal
import ssl
import subprocess
import time

import pytest
from conftest import backend
from harness import certs, dovecot, imap, wait
from harness.proxy import BUILD, IS_SANITIZED
from test_password_memory import writable_memory

USER, PASSWORD = "u1@example.org", "pw"


@pytest.fixture(scope="module")
def files(root):
    """An authority, a certificate of each kind, and one for clients."""
    authority = certs.Authority(os.path.join(root, "key-process-ca"))
    return {"ca": authority.cert,
            **{kind: dict(zip(("cert", "key"), authority.issue(f"{kind}.test", "DNS:proxy.test", kind=kind))) for kind in ("rsa", "ec")},
            "client": dict(zip(("cert", "key"), authority.issue("client.test", "DNS:client.test", usage="clientAuth")))}


@pytest.fixture
def make(make_proxy, settings, dovecot1, files):
    base = settings

    def start(on=True, begin=True, **more):
        settings = copy.deepcopy(base)
        settings["tls"] = {"certificates": [files["rsa"], files["ec"]], "key_process": on}
        settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
        p = make_proxy({**settings, **more}, start=False)
        if begin:
            p.start()
            p.add_user(USER, PASSWORD)
        return p
    return start


def children(pid):
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{name}/cmdline") as f:
                if parent == pid:
                    yield int(name), f.read().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            pass


def key_processes(p):
    return sorted(pid for pid, args in children(p.process.pid) if "--key-process" in args)


def test_names_of_processes(make):
    """What top(1) shows of the supervisor, and of all that it started."""
    p = make()

    def name(pid):
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    assert name(p.process.pid) == "mailproxyd"
    wait.until(lambda: sorted(name(pid) for pid, _ in children(p.process.pid)) == ["mp-engine", "mp-keys", "mp-watch"], "names of processes")


def context(version, kind):
    c = imap.context()
    c.minimum_version = c.maximum_version = version
    if version == ssl.TLSVersion.TLSv1_2:
        c.set_ciphers({"rsa": "ECDHE-RSA-AES128-GCM-SHA256", "ec": "ECDHE-ECDSA-AES128-GCM-SHA256"}[kind])
    return c


def session(p, ctx=None):
    c = imap.Lines(p.host, p.ports["imaps"], tls=ctx or imap.context())
    assert c.line().startswith("* OK")
    return c


def works(p):
    try:
        session(p).close()
        return True
    except (OSError, AssertionError):
        return False


def numbers(key):
    """The secret numbers of a key file."""
    text = subprocess.run(["openssl", "pkey", "-in", key, "-noout", "-text"], check=True, capture_output=True, text=True).stdout
    found = []
    for name in ("privateExponent", "prime1", "prime2", "priv"):
        m = re.search(rf"^{name}:\n((?:    .*\n)+)", text, re.MULTILINE)
        if m:
            found.append(bytes.fromhex(re.sub(r"[\s:]", "", m.group(1))).lstrip(b"\0"))
    assert found
    return found


def holds(pid, key):
    """Does a process have a secret number of the key, first or last byte first? Its middle is enough: its ends may be cut."""
    parts = [n[4:-4] for n in numbers(key)]
    with open(key) as f:
        parts.append("".join(f.read().splitlines()[1:4]).encode())  # as the file has it
    wanted = parts + [n[::-1] for n in parts]
    return any(w in data for _, _, data in writable_memory(pid) for w in wanted)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks into the memory of processes that may not be dumped")
def test_memory(make, files):
    """With it the engine has no key, the other process has; without it the engine has: that is how it is found."""
    p = make()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for kind in ("rsa", "ec"):
            session(p, context(version, kind)).close()
    [pid] = key_processes(p)
    assert holds(pid, files["rsa"]["key"])
    for kind in ("rsa", "ec"):
        assert not holds(p.engine_pid(), files[kind]["key"])
    with open(f"/proc/{pid}/status") as f:
        status = f.read()
    assert re.search(r"^NoNewPrivs:\s1$", status, re.MULTILINE)
    if not IS_SANITIZED:
        assert re.search(r"^Seccomp:\s2$", status, re.MULTILINE)
    p.stop()
    p = make(on=False)
    session(p).close()
    assert not key_processes(p)
    assert holds(p.engine_pid(), files["rsa"]["key"])


def test_handshakes(make):
    p = make()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for kind in ("rsa", "ec"):
            c = session(p, context(version, kind))
            assert c.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a OK")
            c.close()


def test_client_certificate(make, root, files):
    """The proxy shows one to the mail server."""
    folder = os.path.join(root, "key-process-dovecot")
    os.makedirs(folder, exist_ok=True)
    server = certs.Authority(os.path.join(folder, "ca")).issue("dc.test", "DNS:dc.test")
    os.chmod(server[1], 0o644)
    d = dovecot.Dovecot(folder, "keys", {USER: PASSWORD}, *server).start()
    try:
        p = make(begin=False)
        p.configure({"pools": [{"name": "main", "tls": "starttls", "verify": False, **files["client"], "backends": [backend(d)]}]})
        p.start()
        p.add_user(USER, PASSWORD)
        c = session(p)
        assert c.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a OK")
        c.close()
    finally:
        d.close()


def test_death(make):
    p = make()
    engine = p.engine_pid()
    [pid] = key_processes(p)
    time.sleep(1.1)  # one that has lived for a second is started again at once
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: works(p), "handshakes")
    assert key_processes(p) != [pid] and len(key_processes(p)) == 1
    assert p.engine_pid() == engine
    os.kill(engine, signal.SIGKILL)  # the next engine has the same channels
    wait.until(lambda: p.is_ready() and p.engine_pid() != engine and works(p), "the next engine")
    assert len(key_processes(p)) == 1


def test_silence(make):
    """Handshakes fail, and nobody else waits long for them."""
    p = make()
    inside = imap.Lines(p.host, p.ports["imap"])
    inside.line()
    assert inside.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a OK")
    [pid] = key_processes(p)
    os.kill(pid, signal.SIGSTOP)
    try:
        clients = [subprocess.Popen(["openssl", "s_client", "-connect", f"{p.host}:{p.ports['imaps']}"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(20)]
        waits = []
        end = time.monotonic() + 3
        while time.monotonic() < end:
            begin = time.monotonic()
            assert inside.command("n", "NOOP")[-1].startswith("n OK")
            waits.append(time.monotonic() - begin)
        assert all(c.wait(30) is not None for c in clients)
        # one try of 300 ms in each worker at first, one of one worker each second later
        assert sum(w > 0.25 for w in waits) <= 12 and max(waits) < 2, sorted(waits)[-20:]
        p.wait_for_log("key-process-silent")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait.until(lambda: works(p), "handshakes")
    p.wait_for_log("key-process-answers")
    inside.close()


def test_reload(make):
    p = make()
    assert len(key_processes(p)) == 1
    old = session(p)
    p.ctl("config", "reload")
    wait.until(lambda: len(key_processes(p)) == 2, "another key process; the first one ends what was begun")
    assert works(p)
    assert old.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a OK")
    # A pair that does not fit is refused, and nothing changes.
    cert = p.settings["tls"]["certificates"]
    p.configure({"tls": {"certificates": [{"cert": cert[0]["cert"], "key": cert[1]["key"]}]}})
    assert p.ctl_run("config", "reload", check=False).returncode != 0
    assert works(p)
    # RSA key exchange decrypts with the key.
    p.configure({"tls": {"certificates": cert, "priority": "NORMAL:+RSA"}})
    done = p.ctl_run("config", "reload", check=False)
    assert done.returncode != 0 and "key process" in done.stdout + done.stderr
    assert works(p)
    checked = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-t", "-c", p.config], capture_output=True, text=True)
    assert checked.returncode != 0 and "key process" in checked.stderr, checked.stderr
    old.close()


def test_upgrade(make, folder):
    p = make(begin=False)
    p.program = os.path.join(folder, "mailproxyd")
    shutil.copy(os.path.join(BUILD, "mailproxyd"), p.program)
    p.start()
    p.add_user(USER, PASSWORD)
    c = session(p)
    assert c.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a OK")
    engine = p.engine_pid()
    p.ctl_run("system", "upgrade", "--wait")
    wait.until(lambda: p.is_ready() and p.engine_pid() != engine, "the new engine")
    assert works(p)
    wait.until(lambda: len(key_processes(p)) == 2, "both key processes")
    c.close()  # the old engine ends, and its key process after it
    # The new supervisor starts again what it took over.
    for pid in key_processes(p):
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: works(p), "handshakes")
