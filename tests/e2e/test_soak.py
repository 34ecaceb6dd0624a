# SPDX-License-Identifier: ISC
"""The soak: a short one of operations that nobody may notice, and that its verdict can fail."""
import os
import subprocess
import sys

from harness.proxy import BUILD

SOAK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "soak", "soak.py")


def soak(*options):
    done = subprocess.run([sys.executable, SOAK, "--build", BUILD, "--clients", "12", *options], capture_output=True,
                          text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def test_nobody_notices():
    status, text = soak("--seconds", "10", "--seed", "2", "--only", "reload", "upgrade", "drain")
    assert status == 0, text
    assert "soak: passed" in text


def test_verdict_can_fail():
    status, text = soak("--seconds", "8", "--only", "kill_engine", "--explain-nothing")
    assert status == 1 and "soak: FAILED" in text, text
    assert "lost imap" in text or "lost pop3" in text or "lost s" in text, text
