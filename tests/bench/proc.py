# SPDX-License-Identifier: ISC
"""What the kernel knows about a group of processes: CPU time, memory, system calls."""
import os
import re
import signal
import subprocess


def tree(root):
    """Pids of a process and all of its descendants."""
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(pid))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return sorted(found)


def tasks(pids):
    return [int(t) for pid in pids for t in os.listdir(f"/proc/{pid}/task")]


def cpu_seconds(pids):
    """User and system time of all threads, in the scheduler's own nanoseconds."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
    return total / 1e9


def user_share(pids, before=None):
    """(user, system) ticks of all threads so far; of these, when an earlier answer is given, the part of user time since then."""
    user = system = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
    if before is None:
        return user, system
    user, system = user - before[0], system - before[1]
    return user / (user + system) if user + system else 0.0


def pss_kb(pids):
    """Memory of its own, that of forked processes counted by share; None when we may not look. Files that are mapped would count by how many
    others have them."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += int(re.search(r"^Pss_Anon:\s+(\d+) kB", f.read(), re.M).group(1))
        except (OSError, AttributeError):
            return None
    return total


def threads(pid, name):
    """Those of a process whose names begin so."""
    found = []
    for task in map(int, os.listdir(f"/proc/{pid}/task")):
        with open(f"/proc/{pid}/task/{task}/comm") as f:
            if f.read().startswith(name):
                found.append(task)
    return found


def pin(pids, cpus):
    for task in tasks(pids):
        os.sched_setaffinity(task, cpus)


class Strace:
    """Counts the system calls of processes that run already, with all their threads or (is_whole false) of single threads."""

    def __init__(self, pids, output, is_whole=True):
        self.output = output
        argv = ["strace", *(["-f"] if is_whole else []), "-c", "-U", "name,calls", "-o", output]
        for pid in pids:
            argv += ["-p", str(pid)]
        self.child = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        waiting = set(map(str, pids))
        for line in self.child.stderr:
            attached = re.search(r"Process (\d+) attached", line)
            if attached:
                waiting.discard(attached.group(1))
            if not waiting:
                return
        raise PermissionError("strace cannot attach")

    def finish(self):
        """{call: count}"""
        self.child.send_signal(signal.SIGINT)
        self.child.communicate()
        counts = {}
        with open(self.output) as f:
            for line in f:
                words = line.split()
                if len(words) == 2 and words[1].isdigit() and words[0] != "total":
                    counts[words[0]] = int(words[1])
        return counts
