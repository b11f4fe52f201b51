"""Rule files against the JSON Schema that `forecache rules schema` prints, with a validator that is not ours.

Usage: schema_tests.py PATH_OF_FORECACHE. The last line is `N passed, N failed`.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Loader(yaml.SafeLoader):
    """YAML as JSON has it: dates stay text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def rule(text):
    return "apiVersion: forecache/v1\nrules:\n  - " + text + "\n"


# What neither the schema nor forecache takes.
BROKEN = {
    "no version": "rules: []",
    "another version": "apiVersion: forecache/v2\nrules: []",
    "no rules": "apiVersion: forecache/v1",
    "unknown key of the file": "apiVersion: forecache/v1\nrules: []\nrule: []",
    "rules is a mapping": "apiVersion: forecache/v1\nrules: {name: a}",
    "no name": rule("{match: {tag: a}}"),
    "no match": rule("{name: a}"),
    "empty match": rule("{name: a, match: {}}"),
    "two conditions": rule("{name: a, match: {tag: a, name: b}}"),
    "unknown condition": rule("{name: a, match: {tagg: a}}"),
    "empty all": rule("{name: a, match: {all: []}}"),
    "empty condition in any": rule("{name: a, match: {any: [{}]}}"),
    "always false": rule("{name: a, match: {always: false}}"),
    "empty list of tags": rule("{name: a, match: {tag: []}}"),
    "empty tag": rule("{name: a, match: {tag: ''}}"),
    "unknown pattern": rule("{name: a, match: {tag: {rege: a}}}"),
    "empty property": rule("{name: a, match: {property: {}}}"),
    "no operator": rule("{name: a, match: {property: {a: {}}}}"),
    "unknown operator": rule("{name: a, match: {property: {a: {equals: b}}}}"),
    "no version in a comparison": rule("{name: a, match: {property: {a: {version: '>= new'}}}}"),
    "size without a number": rule("{name: a, match: {min_size: big}}"),
    "unknown unit": rule("{name: a, match: {max_size: 5GB}}"),
    "unknown unit of time": rule("{name: a, match: {created_within: 2w}}"),
    "hidden is a word": rule("{name: a, match: {hidden: maybe}}"),
    "unknown mode": rule("{name: a, match: {tag: a}, mode: audit}"),
    "priority too high": rule("{name: a, match: {tag: a}, priority: 101}"),
    "unknown target": rule("{name: a, match: {tag: a}, targets: {site: b}}"),
    "unknown via": rule("{name: a, match: {tag: a}, deliver: {via: ftp}}"),
    "fan_out of 0": rule("{name: a, match: {tag: a}, deliver: {fan_out: 0}}"),
    "rate in bits": rule("{name: a, match: {tag: a}, deliver: {rate_limit: 20Mbit}}"),
    "window without an end": rule("{name: a, match: {tag: a}, deliver: {window: '01:00'}}"),
    "window at 25 o'clock": rule("{name: a, match: {tag: a}, deliver: {window: '25:00-26:00'}}"),
    "select without newest": rule("{name: a, match: {tag: a}, select: {group_by: name}}"),
    "newest of 0": rule("{name: a, match: {tag: a}, select: {newest: 0}}"),
    "unknown group": rule("{name: a, match: {tag: a}, select: {newest: 1, group_by: distribution}}"),
    "unknown order": rule("{name: a, match: {tag: a}, select: {newest: 1, order_by: age}}"),
    "unknown key": rule("{name: a, match: {tag: a}, target: {}}"),
}

passed = failed = 0


def tell(what, problem):
    global passed, failed
    if problem is None:
        passed += 1
    else:
        failed += 1
        print(f"FAIL {what}: {problem}")


def main(forecache):
    schema = json.loads(subprocess.run([forecache, "rules", "schema"], check=True, capture_output=True, text=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def problem(text):
        error = jsonschema.exceptions.best_match(validator.iter_errors(yaml.load(text, Loader)))
        return None if error is None else f"{error.json_path}: {error.message[:200]}"

    files = sorted(path for path in (ROOT / "rules").glob("*.yaml") if not path.name.endswith(".test.yaml"))
    tell("rules/ has its examples", None if len(files) >= 6 else f"only {len(files)} files")
    for path in files:
        tell(path.name, problem(path.read_text()))
    for block in re.findall(r"^```yaml\n(.*?)^```", (ROOT / "rules/README.md").read_text(), re.M | re.S):
        if "\ntests:" in block:
            continue
        text = block if block.startswith("apiVersion") else "apiVersion: forecache/v1\nrules:\n" + block
        tell("README.md: " + block.strip().splitlines()[0], problem(text))
    with tempfile.TemporaryDirectory() as room:
        for what, text in BROKEN.items():
            tell(what + ", schema", None if problem(text) else "is taken")
            file = pathlib.Path(room) / "broken.yaml"
            file.write_text(text)
            ended = subprocess.run([forecache, "rules", "lint", str(file)], capture_output=True, text=True)
            tell(what + ", lint", None if ended.returncode == 78 else f"ends with {ended.returncode}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main(sys.argv[1]))
