# SPDX-License-Identifier: ISC
"""What a login costs does not grow unseen."""
import os
import subprocess
import sys

import pytest

BUILD = os.environ.get("MAILPROXY_BUILD", "build")
CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "check.py")
SKIPPED = 77


def test_cost():
    if not os.path.exists(os.path.join(BUILD, "bench", "load")):
        pytest.skip("make bench-tools")
    done = subprocess.run([sys.executable, CHECK, "--build", BUILD], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=300, check=False)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout
