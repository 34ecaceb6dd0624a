# SPDX-License-Identifier: ISC
"""What supervisor and engine gave up, as the kernel tells it; what they could still do is tried in tests/unit/sandbox."""
import os
import pwd

import pytest
from harness import wait

SUPERVISOR = 0x5ef


def status(path):
    with open(f"/proc/{path}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def threads(pid):
    """Name -> status of each thread."""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        one = status(f"{pid}/task/{tid}")
        found[one["Name"]] = one
    return found


def capabilities(one):
    return int(one["CapPrm"], 16) | int(one["CapEff"], 16) | int(one["CapBnd"], 16) | int(one["CapInh"], 16)


@pytest.fixture
def proxy(make_proxy, settings):
    return make_proxy(settings)


def test_supervisor(proxy):
    one = status(proxy.process.pid)
    assert one["NoNewPrivs"] == "1" and one["Seccomp"] == "2"
    if os.getuid() == 0:
        assert capabilities(one) & ~SUPERVISOR == 0


def test_every_thread_of_the_engine_has_a_list(proxy):
    pid = proxy.engine_pid()
    control = int(status(pid)["Seccomp_filters"])
    assert control > int(status(proxy.process.pid)["Seccomp_filters"])

    def have_lists():
        found = threads(pid)
        filters = {name: int(one["Seccomp_filters"]) for name, one in found.items()}
        assert all(one["NoNewPrivs"] == "1" and one["Seccomp"] == "2" for one in found.values())
        workers = [n for name, n in filters.items() if name.startswith("worker")]
        assert len(workers) == 2
        return min(*workers, filters["auth"], filters["log"], filters["watchdog"]) > control
    wait.until(have_lists, "a list of each thread, which takes it before it does anything else")


@pytest.mark.skipif(os.getuid() != 0, reason="only root sees the descriptors of a process that may not be dumped")
def test_its_own_folder_stays_readable(proxy):
    """A rule of Landlock holds for an inode: that of /proc/self lasts as long as somebody has it open, also when memory is short."""
    pid = proxy.engine_pid()
    assert f"/proc/{pid}" in [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
def test_engine_of_a_user(make_proxy, settings, folder):
    nobody = pwd.getpwnam("nobody")
    state = os.path.join(folder, "state")
    os.makedirs(state)
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    p = make_proxy({**settings, "user": "nobody", "state_dir": state}, start=False)
    p.start()
    for one in threads(p.engine_pid()).values():
        assert set(one["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(one["Gid"].split()) == {str(nobody.pw_gid)}
        assert "0" not in one["Groups"].split()
        assert capabilities(one) == 0
    with pytest.raises(PermissionError):  # as if it were another user's: it cannot be looked into
        open_as(nobody.pw_uid, f"/proc/{p.engine_pid()}/mem")


def open_as(uid, path):
    """In a child, so that this process stays who it is."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setuid(uid)
        try:
            os.close(os.open(path, os.O_RDONLY))
        except PermissionError:
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1:
        raise PermissionError(path)
