# SPDX-License-Identifier: ISC
"""A network namespace with links of its own to this one, each of which can be cut: packets vanish, nobody is told."""
import os
import shutil
import subprocess


def missing():
    """Why there can be none here; None if there can."""
    if not shutil.which("ip"):
        return "ip (iproute2) is not installed"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    name = f"mpn-{os.getpid()}-try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if done.returncode != 0:
        return f"no network namespaces here: {done.stderr.strip()}"
    made = subprocess.run(["ip", "link", "add", f"mt{os.getpid()}", "type", "veth", "peer", "name", "far", "netns", name],
                          capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], check=True)  # the pair goes with it
    return f"no pairs of network interfaces here: {made.stderr.strip()}" if made.returncode != 0 else None


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Namespace:
    """n_links links; addresses[i] is the namespace's address on the i-th."""

    def __init__(self, n_links):
        pid = os.getpid()
        self.name = f"mpn-{pid}"
        # Of the block for such tests (RFC 2544), a quarter for each link.
        self.addresses = [f"198.{18 + pid // 250 % 2}.{pid % 250}.{4 * i + 1}" for i in range(n_links)]
        _ip("netns", "add", self.name)
        try:
            _ip("-n", self.name, "link", "set", "lo", "up")
            for i, address in enumerate(self.addresses):
                here = f"mp{pid}.{i}"
                _ip("link", "add", here, "type", "veth", "peer", "name", f"far{i}", "netns", self.name)
                _ip("-n", self.name, "addr", "add", f"{address}/30", "dev", f"far{i}")
                _ip("-n", self.name, "link", "set", f"far{i}", "up")
                _ip("addr", "add", f"{address.rpartition('.')[0]}.{4 * i + 2}/30", "dev", here)
                _ip("link", "set", here, "up")
        except subprocess.CalledProcessError:
            self.close()
            raise

    def command(self, arguments):
        """The arguments of a program that runs inside."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def cut(self, link):
        _ip("-n", self.name, "link", "set", f"far{link}", "down")

    def join(self, link):
        _ip("-n", self.name, "link", "set", f"far{link}", "up")

    def close(self):
        _ip("netns", "del", self.name)
