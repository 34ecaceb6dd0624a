# SPDX-License-Identifier: ISC
"""What the checks share: the files that git knows, and C text without its comments and strings."""
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_SKIPPED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(*patterns):
    """Paths relative to the top, tracked or new, that match the patterns of git; sorted."""
    out = subprocess.run(["git", "ls-files", "-z", "-c", "-o", "--exclude-standard", "--", *patterns], cwd=TOP,
                         check=True, capture_output=True, text=True).stdout
    return sorted(p for p in set(out.split("\0")) if p and os.path.exists(os.path.join(TOP, p)))


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def _blank(match):
    text = match.group(0)
    if text[0] == "/":
        return " " + "\n" * text.count("\n")
    return text[0] + text[0]


def code(path):
    """The text with comments blanked and strings emptied; line numbers stay."""
    return _SKIPPED.sub(_blank, read(path))


def report(problems):
    """Prints what was found; the exit status."""
    for problem in problems:
        print(problem)
    return 1 if problems else 0
