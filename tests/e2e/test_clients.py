# SPDX-License-Identifier: ISC
"""Mail programs that people use: mbsync, fetchmail, msmtp, swaks, neomutt."""
import os
import subprocess
import uuid

import pytest
from conftest import backend, mail_server
from harness import wait

USER, PASSWORD = "alice@example.org", "secret-a"


@pytest.fixture
def proxy(make_proxy, settings, dovecot1, request):
    listeners = [
        {"name": "imap", "protocol": "imap", "tls": "starttls"},
        {"name": "imaps", "protocol": "imap", "tls": "implicit"},
        {"name": "pop3", "protocol": "pop3", "tls": "starttls"},
        {"name": "pop3s", "protocol": "pop3", "tls": "implicit"},
        {"name": "submission", "protocol": "smtp", "tls": "required"},
    ]
    settings["listeners"] = listeners
    settings["resolver"] = {"enabled": False}
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    if "mta" in request.fixturenames:
        listeners[-1]["pool"] = "mta"
        settings["pools"].append({"name": "mta", "tls": "off", "forward": "xclient",
                                  "backends": [mail_server(request.getfixturevalue("mta"))]})
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


def run(*argv, stdin=None, home=None):
    env = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": home or "/nonexistent"}
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def write(path, text, mode=0o600):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def mails(folder):
    found = []
    for root, _, files in os.walk(folder):
        for name in files:
            with open(os.path.join(root, name), errors="replace") as f:
                found.append(f.read())
    return "\n".join(found)


@pytest.mark.parametrize("listener,tls", [("imap", "STARTTLS"), ("imaps", "IMAPS")])
def test_mbsync(proxy, folder, ca, listener, tls):
    os.makedirs(f"{folder}/mail")
    rc = write(f"{folder}/mbsyncrc", f"""
IMAPAccount a
Host {proxy.host}
Port {proxy.ports[listener]}
User {USER}
Pass {PASSWORD}
SSLType {tls}
CertificateFile {ca.cert}
SystemCertificates no

IMAPStore far
Account a

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync Pull
SyncState *
""")
    # the certificate has the name localhost; mbsync checks names, and the address is one of them only by IP
    out = subprocess.run(["mbsync", "-c", rc, "c"], capture_output=True, text=True, timeout=60)
    if "certificate owner does not match" in out.stderr:
        text = open(rc).read().replace(f"CertificateFile {ca.cert}", f"CertificateFile {proxy.settings['tls']['certificates'][0]['cert']}")
        write(rc, text)
        out = subprocess.run(["mbsync", "-c", rc, "c"], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert "This is dc1." in mails(f"{folder}/mail/INBOX")


@pytest.mark.parametrize("protocol,listener,tls", [
    ("imap", "imap", "sslproto 'TLS1.2+'"), ("imap", "imaps", "ssl"), ("pop3", "pop3", "sslproto 'TLS1.2+'"), ("pop3", "pop3s", "ssl")])
def test_fetchmail(proxy, folder, protocol, listener, tls):
    rc = write(f"{folder}/fetchmailrc", f"""
poll {proxy.host} protocol {protocol} port {proxy.ports[listener]} user "{USER}" password "{PASSWORD}" {tls} no sslcertck keep fetchall mda "cat >>{folder}/got"
""")
    run("fetchmail", "--nodetach", "--nosyslog", "-f", rc, "--pidfile", f"{folder}/pid", "--idfile", f"{folder}/ids", home=folder)
    with open(f"{folder}/got") as f:
        assert "This is dc1." in f.read()


def test_msmtp(proxy, mta, folder):
    subject = f"m{uuid.uuid4().hex}"
    run("msmtp", "--host", proxy.host, "--port", str(proxy.ports["submission"]), "--tls=on", "--tls-certcheck=off", "--auth=plain",
        "--user", USER, "--passwordeval", f"echo {PASSWORD}", "--from", USER, "--", USER, stdin=f"Subject: {subject}\n\nHello\n", home=folder)
    wait.until(lambda: f"to=<{USER}>" in mta.log() and "status=sent" in mta.log(), "the mail")
    out = run("swaks", "--server", proxy.host, "--port", str(proxy.ports["submission"]), "--tls", "--auth", "LOGIN", "--auth-user", USER,
              "--auth-password", PASSWORD, "--from", USER, "--to", USER, "--header", f"Subject: {subject}")
    assert "235 2.7.0" in out and "queued as" in out


def test_neomutt(proxy, folder):
    """Opens the mailbox, copies its mail to a file, and leaves."""
    write(f"{folder}/muttrc", f"""
set folder="imaps://{proxy.host}:{proxy.ports['imaps']}/"
set spoolfile="+INBOX"
set imap_user="{USER}"
set imap_pass="{PASSWORD}"
set ssl_verify_host=no
set ssl_verify_dates=no
set certificate_file="{folder}/certs"
set header_cache=""
set quit=yes
set confirmappend=no
set confirmcreate=no
set copy=no
""")
    with open(proxy.settings["tls"]["certificates"][0]["cert"]) as f:
        write(f"{folder}/certs", f.read())
    socket = f"{folder}/tmux"

    def tmux(*argv):
        return run("tmux", "-f", "/dev/null", "-S", socket, *argv, home=folder)

    def screen_has(text, timeout=wait.TIMEOUT):
        try:
            return wait.until(lambda: text in tmux("capture-pane", "-p"), text, timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}; the screen is\n{tmux('capture-pane', '-p')}") from None

    def press_until(key, text):
        """A key that comes while neomutt draws or tells something may be lost."""
        for _ in range(9):
            tmux("send-keys", key)
            try:
                return screen_has(text, 3)
            except AssertionError:
                pass
        return screen_has(text)
    tmux("new-session", "-d", "-x", "100", "-y", "30", f"neomutt -n -F {folder}/muttrc")
    try:
        screen_has("Welcome to dc1")
        tmux("send-keys", "=")  # the first one
        press_until("C", "Copy to mailbox")
        tmux("send-keys", "C-u")
        tmux("send-keys", "-l", f"{folder}/got")
        screen_has("/got")
        tmux("send-keys", "Enter")
        wait.until(lambda: os.path.isfile(f"{folder}/got") and "This is dc1." in open(f"{folder}/got").read(), "the copy")
        tmux("send-keys", "q")
    finally:
        subprocess.run(["tmux", "-S", socket, "kill-server"], capture_output=True)
