# SPDX-License-Identifier: ISC
"""The last line of `make check` counts each test once, also with several pytest workers."""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SETUP, FUZZ = (os.path.join(os.path.dirname(HERE), name) for name in ("setup", "fuzz"))

UNIT = """#!/bin/sh
echo '[  PASSED  ] 2 test(s).'
"""
TESTS = """
import pytest

@pytest.fixture
def broken_after():
    yield
    raise OSError("cannot be cleaned up")

@pytest.fixture
def broken_before():
    raise OSError("cannot be set up")

def test_passes():
    pass

def test_fails():
    assert False

def test_is_skipped():
    pytest.skip("not here")

def test_cannot_begin(broken_before):
    pass

def test_cannot_end(broken_after):
    pass
"""


def program(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def lay_tests(folder, files):
    """A folder of tests with the hook that counts."""
    os.makedirs(os.path.join(folder, "harness"))
    for name in ("__init__.py", "count.py"):
        shutil.copy(os.path.join(HERE, "harness", name), os.path.join(folder, "harness"))
    shutil.copy(os.path.join(HERE, "pytest.ini"), folder)
    program(os.path.join(folder, "conftest.py"), "from harness.count import pytest_terminal_summary\n")
    for name, text in files.items():
        program(os.path.join(folder, name), text)


def run_check(folder, files, jobs=0):
    """Runs the real scripts over a small tree of two unit tests, these end-to-end tests and one hostile test that passes;
    returns the last line and the status."""
    tests = os.path.join(folder, "tests")
    for source in (SETUP, FUZZ):
        shutil.copytree(source, os.path.join(tests, os.path.basename(source)))
    lay_tests(os.path.join(tests, "e2e"), files)
    lay_tests(os.path.join(tests, "hostile"), {"test_attack.py": "def test_passes():\n    pass\n"})
    unit = program(os.path.join(folder, "build", "unit", "test_unit"), UNIT)
    # Nothing of the pytest that runs this test may reach the inner one.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run([os.path.join(tests, "setup", "run-check"), "build",
                           f"{sys.executable} -m pytest -q -n {jobs} --dist loadfile", unit, "--"],
                          capture_output=True, text=True, timeout=120, env=environment, cwd=folder)
    return done.stdout.splitlines()[-1], done.returncode


def test_each_test_counts_once(folder):
    last, status = run_check(folder, {f"test_{n}.py": TESTS for n in range(4)}, jobs=3)
    assert (last, status) == ("7 passed, 12 failed", 1)


def test_all_good(folder):
    last, status = run_check(folder, {f"test_{n}.py": "def test_passes():\n    pass\n" for n in range(4)})
    assert (last, status) == ("7 passed, 0 failed", 0)


def test_what_cannot_even_be_read_failed(folder):
    last, status = run_check(folder, {"test_bad.py": "import there_is_no_such_module\n"})
    assert (last, status) == ("3 passed, 1 failed", 1)


# Fails when another run of it has not been here yet.
FAILS_ONCE = """
import os

def test_fails_once(name="{name}"):
    seen = os.path.join(os.path.dirname(__file__), name)
    if not os.path.exists(seen):
        open(seen, "w").close()
        assert False
"""


def test_few_that_failed_run_once_more_alone(folder):
    files = {f"test_{n}.py": FAILS_ONCE.format(name=f"seen{n}") for n in range(3)}
    assert run_check(folder, files, jobs=2) == ("6 passed, 0 failed, 3 only alone", 0)


def test_many_that_failed_do_not(folder):
    last, status = run_check(folder, {f"test_{n}.py": FAILS_ONCE.format(name=f"seen{n}") for n in range(4)})
    assert (last, status) == ("3 passed, 4 failed", 1)


def test_what_fails_alone_failed(folder):
    last, status = run_check(folder, {"test_0.py": "def test_fails():\n    assert False\n",
                                      "test_1.py": FAILS_ONCE.format(name="seen")})
    assert (last, status) == ("4 passed, 1 failed", 1)


def test_what_is_no_matter_of_time_is_not_tried_again(folder):
    text = FAILS_ONCE.format(name="seen").replace("assert False", 'assert False, "ERROR: AddressSanitizer"')
    last, status = run_check(folder, {"test_0.py": text})
    assert (last, status) == ("3 passed, 1 failed", 1)
