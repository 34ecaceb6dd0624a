# SPDX-License-Identifier: ISC
"""Daemons of other machines: -s ssh://[user@]host[:port][/socket], with a program in the place of ssh that goes nowhere, and with a real sshd where
one is installed."""
import getpass
import json
import os
import shutil
import stat
import subprocess

import pytest
from harness import net, wait
from harness.process import can_connect
from harness.proxy import BUILD
from test_control import logged_in

USER, PASSWORD = "u1@example.org", "pw"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
# As ssh does: options up to --, the host, and words for a shell; each call is noted.
FAKE = """#!/bin/sh
echo "$*" >> {log}
while [ "$1" != -- ]; do shift; done
case $2 in
    gone) echo "ssh: connect to host gone port 22: Connection refused" >&2; exit 255;;
    strange) echo "Host key verification failed." >&2; exit 255;;
    bare) PATH=/nowhere;;
    talker) head -c 300000 /dev/zero | tr '\\000' 'x' >&2; PATH={build}:$PATH;;
    dies) export PATH={build}:$PATH; /bin/sh -c "$3" | head -n 1; echo "the way was blocked" >&2; exit 255;;
    *) PATH={build}:$PATH;;
esac
export PATH
exec /bin/sh -c "$3"
"""


@pytest.fixture
def proxy(make_proxy, settings):
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


@pytest.fixture
def ssh(proxy, folder):
    """The environment of a machine whose ssh is the program above; calls() is what it was asked."""
    log, path = os.path.join(folder, "ssh.log"), os.path.join(folder, "ssh")
    with open(path, "w") as f:
        f.write(FAKE.format(log=log, build=os.path.abspath(BUILD)))
    os.chmod(path, stat.S_IRWXU)
    open(log, "w").close()

    def run(*args, stdin=None, env=None, program="mailproxyctl", **more):
        return subprocess.run([os.path.join(BUILD, program), *args], input=stdin, capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PATH": folder + ":" + os.environ["PATH"], "MAILPROXY_SOCKET": proxy.control, "XDG_CONFIG_HOME": folder, **(env or {})}, **more)

    run.calls = lambda: open(log).read().splitlines()
    run.folder = folder
    return run


def test_commands_over_ssh(proxy, ssh):
    """Lists, changes and the audit, as if it were here; one connection for many commands."""
    client = logged_in(proxy)
    place = "ssh://mx1" + proxy.control
    rows = json.loads(ssh("-s", place, "-o", "json", "session", "list").stdout)
    assert [r["user"] for r in rows] == [USER]
    done = ssh("-s", place, "user", "lock", USER, "--yes", "--reason", "from afar")
    assert done.returncode == 0, done.stderr
    assert proxy.ctl("audit", "list", "reason=*afar*")[0]["user"] == getpass.getuser()
    assert ssh("-s", place, "user", "show", "nobody@example.org").returncode == 3
    before = len(ssh.calls())
    many = ssh("-s", place, "-f", "-", stdin="system whoami\nuser show " + USER + "\nbackend list\n")
    assert many.returncode == 0 and len(ssh.calls()) == before + 1
    assert f"-- mx1 mailproxyctl -s '{proxy.control}' pipe" in ssh.calls()[-1] and "BatchMode=yes" in ssh.calls()[-1]
    client.close()


def test_long_answers_and_streams(proxy, ssh):
    """More than the buffers of all pipes, both ways; a stream that ends when its reader does."""
    names = "name,note\n" + "".join(f"n{i}@example.org,{'x' * 200}\n" for i in range(5000))
    done = ssh("-s", "ssh://mx1", "user", "import", "-", stdin=names)
    assert done.returncode == 0, done.stderr
    assert ssh("-s", "ssh://mx1", "user", "export").stdout.count("example.org") >= 5000
    events = json.loads("[" + ",".join(ssh("-s", "ssh://mx1", "event", "list", "-o", "jsonl").stdout.splitlines()) + "]")
    assert any("user.import" in e["text"] for e in events)


def test_failures_in_words(proxy, ssh):
    def fails(status, place, **more):
        done = ssh("-s", place, "whoami", **more)
        assert done.returncode == status and done.stdout == "", (done.returncode, done.stderr)
        return done.stderr

    assert "gone: connect to host gone port 22: Connection refused" in fails(5, "ssh://gone")
    assert "Host key verification failed" in fails(5, "ssh://root@strange:2222")
    assert "there is no mailproxyctl on bare" in fails(5, "ssh://bare")
    assert "mx1: no daemon at /nowhere" in fails(5, "ssh://mx1/nowhere")
    assert "there is no program" in fails(5, "ssh://mx1", env={"MAILPROXY_SSH": "/nowhere/ssh"})
    calls = len(ssh.calls())
    for place in ("ssh://-oProxyCommand=id", "ssh://-l@mx1", "ssh://mx1;id", "ssh://", "ssh://mx1:0"):
        assert "is not the name of a remote socket" in fails(2, place)
    assert len(ssh.calls()) == calls, "ssh was started for a name that is none"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_permission_over_there(proxy, ssh):
    """The rights are those of who comes out of ssh."""
    ctl = os.path.join(ssh.folder, "mailproxyctl")
    shutil.copy(os.path.join(BUILD, "mailproxyctl"), ctl)
    os.chmod(ssh.folder, 0o755)
    os.chmod(proxy.control, 0o600)
    env = {"MAILPROXY_SSH": f"sh -c 'exec setpriv --reuid nobody --regid nogroup --clear-groups {ctl} -s {proxy.control} pipe' x"}
    done = ssh("-s", "ssh://mx1", "whoami", env=env)
    assert done.returncode == 4 and "mx1: permission denied for the control socket" in done.stderr, (done.returncode, done.stderr)


def test_several_machines(make_proxy, settings, proxy, ssh):
    other = make_proxy({**settings, "node": "second", "listeners": [{"name": "imap", "protocol": "imap", "allow_plaintext": True}]})
    other.add_user(USER, PASSWORD)
    clients = [logged_in(proxy), logged_in(other), logged_in(other)]
    rows = json.loads(ssh("-s", "ssh://mx1" + proxy.control, "-s", "ssh://mx2" + other.control, "-o", "json", "sessions").stdout)
    assert len(rows) == 3 and all("node" in r for r in rows)
    both = ["-s", "ssh://mx1" + proxy.control, "-s", "ssh://mx2" + other.control, "-o", "table"]
    lines = ssh(*both, "sessions", "-c", "user,in").stdout.splitlines()
    first = proxy.ctl("system", "status")["node"]
    assert lines[-1] == f"3 rows: 1 of {first}, 2 of second" and lines[-2].split()[:2] == ["total", "-"] and len(lines) == 6
    lines = ssh(*both, "backends", "-c", "name,sessions").stdout.splitlines()
    assert lines[-2].split() == ["total", "-", "3"], lines
    done = ssh("-s", "ssh://mx1" + proxy.control, "-s", "ssh://gone", "-o", "tsv", "-H", "sessions", "-c", "user")
    assert done.returncode == 7 and done.stdout.split() == [proxy.ctl("system", "status")["node"], USER]
    assert "Connection refused" in done.stderr
    for c in clients:
        c.close()


def test_completion_and_dashboard(proxy, ssh):
    words = ssh("__complete", "-s", "ssh://mx1" + proxy.control, "user", "show", "u1").stdout
    assert words.startswith(USER)
    assert all("BatchMode=yes" in c for c in ssh.calls())
    screen = ssh("-s", "ssh://mx1" + proxy.control, "--once", program="mailproxy-tui", env={"TERM": "xterm"})
    assert screen.returncode == 0 and "dc1" in screen.stdout, screen.stderr
    lost = ssh("-s", "ssh://gone", "--once", program="mailproxy-tui", env={"TERM": "xterm"})
    assert lost.returncode == 5 and "Connection refused" in lost.stderr


def test_one_who_talks_beside_the_connection(proxy, ssh):
    """More words than a pipe holds stop nothing, and the last of them are told when it ends."""
    for command in (["session", "list", "--allow-empty"], ["event", "list"]):
        assert ssh("-s", "ssh://talker" + proxy.control, *command).returncode == 0
    done = ssh("-s", "ssh://dies" + proxy.control, "whoami")
    assert done.returncode == 5 and "the way was blocked" in done.stderr


def test_daemon_ends_the_pipe(proxy, ssh):
    """Neither side leaves a process behind."""
    with subprocess.Popen([os.path.join(BUILD, "mailproxyctl"), "-s", proxy.control, "pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pipe:
        assert json.loads(pipe.stdout.readline())["params"]["product"] == "mailproxy"
        pipe.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"system.whoami"}\n')
        pipe.stdin.flush()
        assert json.loads(pipe.stdout.readline())["result"]["user"] == getpass.getuser()
        pipe.stdin.close()
        assert pipe.wait(30) == 0
    with subprocess.Popen([os.path.join(BUILD, "mailproxyctl"), "-s", proxy.control, "pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pipe:
        pipe.stdout.readline()
        proxy.stop()
        assert pipe.wait(30) == 0


@pytest.mark.skipif(not SSHD or os.geteuid() != 0, reason="no sshd is installed, or it is not ours to start")
def test_real_sshd(proxy, ssh):
    def key(name):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(ssh.folder, name)], check=True)
        return os.path.join(ssh.folder, name)

    host, mine, port = key("host"), key("mine"), net.port("127.0.0.1")
    shutil.copy(mine + ".pub", os.path.join(ssh.folder, "authorized"))
    with open(os.path.join(ssh.folder, "sshd_config"), "w") as f:
        f.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host}\nAuthorizedKeysFile {ssh.folder}/authorized\nStrictModes no\nUsePAM no\n"
                f"PidFile none\nSetEnv PATH={os.path.abspath(BUILD)}:/usr/bin:/bin\n")
    os.makedirs("/run/sshd", exist_ok=True)
    sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", os.path.join(ssh.folder, "sshd_config")], stderr=subprocess.DEVNULL)
    try:
        wait.until(lambda: can_connect("127.0.0.1", port), "sshd")
        place = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{proxy.control}"
        base = f"{shutil.which('ssh')} -F none -i {mine} -o UserKnownHostsFile={ssh.folder}/known"
        refused = ssh("-s", place, "whoami", env={"MAILPROXY_SSH": base + " -o StrictHostKeyChecking=yes"})
        assert refused.returncode == 5 and "Host key verification failed" in refused.stderr
        done = ssh("-s", place, "-o", "json", "whoami", env={"MAILPROXY_SSH": base + " -o StrictHostKeyChecking=accept-new"})
        assert json.loads(done.stdout)["user"] == getpass.getuser(), done.stderr
    finally:
        sshd.terminate()
        sshd.wait()
