# SPDX-License-Identifier: ISC
"""The packages on a fresh system under systemd: install, a first mail, an upgrade that no client notices, the units, purge."""
import glob
import imaplib
import json
import os
import ssl
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "e2e"))

from harness import certs, dovecot, wait  # noqa: E402

USER, PASSWORD = "alice@example.org", "secret"
CONFIG = "/etc/mailproxy/mailproxy.conf"
UNITS = "/etc/systemd/system"
EXAMPLES = "/usr/share/mailproxy/systemd"
# What a purge may leave: Debian keeps users, lest their files be given to others; caches and logs of the system itself.
KEPT = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/var/log/", "/var/cache/", "/var/lib/apt/",
        "/var/lib/dpkg/", "/var/lib/systemd/", "/etc/.pwd.lock")


def run(*args, **options):
    return subprocess.run(args, check=True, capture_output=True, text=True, **options).stdout


def ctl(*args):
    return json.loads(run("mailproxyctl", "-o", "json", *args))


def unit(name, *properties):
    """Properties of a unit, as systemd shows them."""
    text = run("systemctl", "show", name, *("-p" + p for p in properties))
    return dict(line.split("=", 1) for line in text.splitlines())


def log_in():
    client = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=ssl._create_unverified_context())
    client.login(USER, PASSWORD)
    assert client.select()[0] == "OK"
    return client


def reads_mail(client):
    return b"This mail is on dc1." in client.fetch("1", "(BODY[TEXT])")[1][0][1]


def is_ready():
    done = subprocess.run(["mailproxyctl", "-o", "json", "backend", "list"], capture_output=True, text=True)
    return done.returncode == 0 and all(b["health"] == "up" for b in json.loads(done.stdout))


def files():
    found = set()
    for top in ("/etc", "/usr", "/var", "/run/mailproxy"):
        for folder, folders, names in os.walk(top):
            found.update(os.path.join(folder, name) for name in folders + names)
    return {path for path in found if not path.startswith(KEPT)}


def apt(*args):
    return run("apt-get", "-q", "-y", *args, stdin=subprocess.DEVNULL)


def packages(folder):
    return sorted(glob.glob(os.path.join(TOP, "build", folder, "mailproxy*.deb")) or sys.exit(f"no packages in {folder}"))


def without_debug(paths):
    return [p for p in paths if "dbgsym" not in p]


def check_install():
    apt("install", *without_debug(packages("first")))
    assert unit("mailproxy", "ActiveState")["ActiveState"] == "inactive"  # there is no configuration yet
    assert unit("mailproxy", "UnitFileState")["UnitFileState"] == "disabled"
    run("id", "mailproxy")
    assert os.stat("/var/lib/mailproxy").st_mode & 0o777 == 0o750
    run("apparmor_parser", "--skip-kernel-load", "--skip-cache", "/etc/apparmor.d/usr.sbin.mailproxyd")
    for path in ("/usr/share/bash-completion/completions/mailproxyctl", "/usr/share/zsh/vendor-completions/_mailproxyctl",
                 "/usr/share/fish/vendor_completions.d/mailproxyctl.fish", "/etc/fail2ban/filter.d/mailproxy.conf"):
        assert os.path.exists(path), path


def check_service(mail, cert, key):
    run("mailproxyd", "--init", "--no-questions", "--server-name", "localhost", "--protocols", "imap", "--cert", cert, "--key", key,
        "--backends", f"{mail.host} imap={mail.ports['imap']}", "--backend-tls", "off", "--listen", "127.0.0.1")
    run("systemctl", "enable", "--now", "mailproxy")
    wait.until(is_ready, "the service")
    state = unit("mailproxy", "MainPID", "Type", "WatchdogUSec", "NRestarts")
    assert state["Type"] == "notify" and state["WatchdogUSec"] == "30s", state
    words = run("journalctl", "-u", "mailproxy", "--no-pager")
    assert "not-in-force" not in words, words  # the unit lets the engine confine itself
    with open(f"/proc/{ctl('system', 'status')['pid']}/status") as f:
        assert "Seccomp:\t2" in f.read()
    with log_in() as client:
        assert reads_mail(client)
        run("systemctl", "reload", "mailproxy")
        assert reads_mail(client)
        assert [s["user"] for s in ctl("session", "list")] == [USER]


def check_upgrade():
    """The package's upgrade hands the ports and sessions to the new program."""
    client = log_in()
    before, main = ctl("system", "status")["pid"], unit("mailproxy", "MainPID")["MainPID"]
    apt("install", *without_debug(packages("packages")))
    wait.until(lambda: is_ready() and ctl("system", "status")["pid"] != before, "the new engine")
    assert reads_mail(client)
    with log_in() as other:
        assert reads_mail(other)
    state = unit("mailproxy", "ActiveState", "MainPID", "NRestarts")
    assert (state["ActiveState"], state["NRestarts"]) == ("active", "0"), state
    # The file of the old program is gone from the disk.
    wait.until(lambda: not os.path.exists(f"/proc/{main}") or not os.readlink(f"/proc/{main}/exe").endswith("(deleted)"),
               "the supervisor of the new program")
    client.logout()
    wait.until(lambda: not os.path.exists(f"/proc/{before}"), "the end of the old engine")


def drop_in(name, text):
    folder = f"{UNITS}/mailproxy.service.d"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{name}", "w") as f:
        f.write(text)


def check_own_user(cert, key):
    """As the example says: no root at all, low ports by a capability, certificates by systemd."""
    with open(f"{EXAMPLES}/own-user.conf") as f:
        drop_in("own-user.conf", f.read() + f"LoadCredential=cert.pem:{cert}\nLoadCredential=key.pem:{key}\n")
    with open(CONFIG) as f:
        text = f.read()
    own = text.replace(cert, "/run/credentials/mailproxy.service/cert.pem").replace(key, "/run/credentials/mailproxy.service/key.pem")
    own = "\n".join(line for line in own.splitlines() if not line.startswith("user =")) + "\n"
    with open(CONFIG, "w") as f:
        f.write(own)
    run("chown", "root:mailproxy", CONFIG)
    os.chmod(CONFIG, 0o640)
    run("systemctl", "stop", "mailproxy")
    run("chown", "-R", "mailproxy:", "/var/lib/mailproxy")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "mailproxy")
    wait.until(is_ready, "the service without root")
    with log_in() as client:
        assert reads_mail(client)
    pid = unit("mailproxy", "MainPID")["MainPID"]
    with open(f"/proc/{pid}/status") as f:
        status = dict(line.split(":", 1) for line in f)
    assert "0" not in status["Uid"].split() and status["NoNewPrivs"].strip() == "1", status
    figure = run("systemd-analyze", "security", "--no-pager", "mailproxy.service").strip().splitlines()[-1]
    print("packages: own-user.conf:", figure)
    run("systemctl", "stop", "mailproxy")
    os.unlink(f"{UNITS}/mailproxy.service.d/own-user.conf")
    os.rmdir(f"{UNITS}/mailproxy.service.d")
    with open(CONFIG, "w") as f:
        f.write(text)
    run("systemctl", "daemon-reload")


def check_socket():
    """systemd holds the port; the daemon begins with the first client, whom a restart does not refuse."""
    with open(f"{EXAMPLES}/mailproxy.socket") as f:
        text = f.read()
    with open(f"{UNITS}/mailproxy.socket", "w") as f:
        f.write(text.replace("ListenStream=0.0.0.0:993", "ListenStream=127.0.0.1:993").replace("ListenStream=[::]:993\n", ""))
    run("systemctl", "daemon-reload")
    run("systemctl", "disable", "mailproxy")
    run("systemctl", "start", "mailproxy.socket")
    assert unit("mailproxy", "ActiveState")["ActiveState"] == "inactive"
    with log_in() as client:
        assert reads_mail(client)
    run("systemctl", "restart", "mailproxy")
    with log_in() as client:
        assert reads_mail(client)
    run("systemctl", "stop", "mailproxy.socket", "mailproxy.service")
    os.unlink(f"{UNITS}/mailproxy.socket")
    run("systemctl", "daemon-reload")


def check_purge(before):
    run("systemctl", "start", "mailproxy")
    apt("purge", "mailproxy", "mailproxy-tools")
    assert unit("mailproxy", "ActiveState")["ActiveState"] == "inactive"
    apt("autoremove", "--purge")
    left = sorted(files() - before)
    assert not left, left


def main():
    # Not in a home, which the unit hides from the daemon.
    cert, key = certs.Authority("/etc/ssl/test").issue("localhost", "DNS:localhost")
    before = files()
    with tempfile.TemporaryDirectory(prefix="mpt-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        mail = dovecot.Dovecot(os.path.join(folder, "dc1"), "dc1", {USER: PASSWORD})
        mail.deliver(USER, "hello", "This mail is on dc1.")
        mail.start()
        for what, check in (("install", check_install), ("autopkgtest", lambda: print(run("conf/debian/tests/login"), end="")),
                            ("first mail", lambda: check_service(mail, cert, key)), ("upgrade with a client", check_upgrade),
                            ("own-user.conf", lambda: check_own_user(cert, key)), ("mailproxy.socket", check_socket),
                            ("purge", lambda: check_purge(before))):
            try:
                check()
            except BaseException as e:
                print(f"packages: {what}: FAILED", getattr(e, "stderr", ""))
                print(subprocess.run(["journalctl", "-u", "mailproxy*", "--no-pager", "-n", "40"], capture_output=True, text=True).stdout)
                raise
            print(f"packages: {what}: good", flush=True)
        mail.stop()


if __name__ == "__main__":
    main()
