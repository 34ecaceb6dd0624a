# SPDX-License-Identifier: ISC
"""Holds what mailproxyctl prints as JSON against the schemas that it prints of it."""
import functools
import json
import os
import subprocess

import jsonschema

BUILD = os.environ.get("MAILPROXY_BUILD") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "build")


def _close(schema):
    """Clients have to take members that they do not know; here each one has to be described."""
    if "properties" in schema:
        schema["additionalProperties"] = False
    for part in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        _close(part)


@functools.lru_cache(maxsize=None)
def _validator(words):
    done = subprocess.run([os.path.join(BUILD, "mailproxyctl"), *words, "--schema"], capture_output=True, text=True)
    if done.returncode:
        return None
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    _close(schema)
    return jsonschema.Draft202012Validator(schema)


def check(args, answer):
    """args: those of mailproxyctl. A noun's plural alone, and words for short, mean a command, too."""
    words = tuple(arg for arg in args if not arg.startswith("-"))[:2]
    validator = _validator(words) or _validator(words[:1])
    assert validator, f"no schema of {words}"
    errors = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(answer)]
    assert not errors, f"{' '.join(words)}: {errors[:5]}"
