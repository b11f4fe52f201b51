"""Rule files and their tests against the JSON Schemas that `forecache rules schema` prints, with a validator that is not ours.

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
    "version of any number": rule("{name: a, match: {property: {a: {version: '>=22.*'}}}}"),
    "version of any number as a letter": rule("{name: a, match: {property: {a: {version: '>=22.x'}}}}"),
    "version of any number within": rule("{name: a, match: {property: {a: {version: '>=9, <v9.X.1'}}}}"),
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
    "window with two zones": rule("{name: a, match: {tag: a}, deliver: {window: '01:00-05:00 Europe/Berlin UTC'}}"),
    "select without newest": rule("{name: a, match: {tag: a}, select: {group_by: name}}"),
    "newest of 0": rule("{name: a, match: {tag: a}, select: {newest: 0}}"),
    "unknown group": rule("{name: a, match: {tag: a}, select: {newest: 1, group_by: distribution}}"),
    "unknown order": rule("{name: a, match: {tag: a}, select: {newest: 1, order_by: age}}"),
    "unknown key": rule("{name: a, match: {tag: a}, target: {}}"),
}



def test(text):
    return "apiVersion: forecache/v1\nfleet: {dcn1: {Compute: [h]}}\ntests:\n  - " + text + "\n"


# What neither the schema of tests nor forecache takes.
BROKEN_TESTS = {
    "no version": "fleet: {a: {R: [h]}}\ntests: [{name: t, image: {}, expect: none}]",
    "no fleet": "apiVersion: forecache/v1\ntests: [{name: t, image: {}, expect: none}]",
    "fleet and inventory": "apiVersion: forecache/v1\nfleet: {a: {R: [h]}}\ninventory: i\ntests: [{name: t, image: {}, expect: none}]",
    "no tests": "apiVersion: forecache/v1\nfleet: {a: {R: [h]}}\ntests: []",
    "unknown key of the file": "apiVersion: forecache/v1\nfleet: {a: {R: [h]}}\ntest: []\ntests: [{name: t, image: {}, expect: none}]",
    "fleet without roles": "apiVersion: forecache/v1\nfleet: {a: [h]}\ntests: [{name: t, image: {}, expect: none}]",
    "empty fleet": "apiVersion: forecache/v1\nfleet: {}\ntests: [{name: t, image: {}, expect: none}]",
    "images is a mapping": "apiVersion: forecache/v1\nfleet: {a: {R: [h]}}\nimages: {}\ntests: [{name: t, image: {}, expect: none}]",
    "no name": test("{image: {}, expect: none}"),
    "no image": test("{name: t, expect: none}"),
    "no expectation": test("{name: t, image: {}}"),
    "unknown key": test("{name: t, image: {}, expects: none, expect: none}"),
    "unknown word": test("{name: t, image: {}, expect: nowhere}"),
    "list of sites": test("{name: t, image: {}, expect: [dcn1]}"),
    "no site": test("{name: t, image: {}, expect: {}}"),
    "no host": test("{name: t, image: {}, expect: {dcn1: []}}"),
    "roles in roles": test("{name: t, image: {}, expect: {dcn1: {Compute: {Compute: all}}}}"),
    "time without a zone": test("{name: t, now: '2026-01-01T00:00:00', image: {}, expect: all}"),
    "no time": test("{name: t, now: yesterday, image: {}, expect: all}"),
    "began without a time": test("{name: t, image: {}, began: {golden: soon}, expect: all}"),
    "window ajar": test("{name: t, image: {}, expect: all, window: ajar}"),
    "unknown via": test("{name: t, image: {}, expect: all, deliver: {via: ftp}}"),
    "unknown key of the image": test("{name: t, image: {tag: [a]}, expect: none}"),
    "id is no UUID": test("{name: t, image: {id: 7}, expect: none}"),
    "unknown status": test("{name: t, image: {status: ready}, expect: none}"),
    "unknown visibility": test("{name: t, image: {visibility: open}, expect: none}"),
    "size without a number": test("{name: t, image: {size: big}, expect: none}"),
    "less than no disk": test("{name: t, image: {min_disk: -1}, expect: none}"),
    "hidden is a word": test("{name: t, image: {os_hidden: maybe}, expect: none}"),
    "properties is a list": test("{name: t, image: {properties: [a]}, expect: none}"),
}

passed = failed = 0


def tell(what, problem):
    global passed, failed
    if problem is None:
        passed += 1
    else:
        failed += 1
        print(f"FAIL {what}: {problem}")


class Schema:
    """One that forecache prints."""

    def __init__(self, forecache, *options):
        printed = subprocess.run([forecache, "rules", "schema", *options], check=True, capture_output=True, text=True).stdout
        schema = json.loads(printed)
        jsonschema.Draft202012Validator.check_schema(schema)
        self.validator = jsonschema.Draft202012Validator(schema)

    def problem(self, text):
        error = jsonschema.exceptions.best_match(self.validator.iter_errors(yaml.load(text, Loader)))
        return None if error is None else f"{error.json_path}: {error.message[:200]}"


def main(forecache):
    rules, tests = Schema(forecache), Schema(forecache, "--tests")
    files = sorted((ROOT / "rules").glob("*.yaml"))
    for schema, name in (rules, "*.yaml"), (tests, "*.test.yaml"):
        found = [path for path in files if path.name.endswith(".test.yaml") == (schema is tests)]
        tell(f"rules/ has its examples, {name}", None if len(found) >= 6 else f"only {len(found)} files")
        for path in found:
            tell(path.name, schema.problem(path.read_text()))
    for block in re.findall(r"^```yaml\n(.*?)^```", (ROOT / "rules/README.md").read_text(), re.M | re.S):
        text = block if block.startswith("apiVersion") else "apiVersion: forecache/v1\nrules:\n" + block
        schema = tests if "\ntests:" in block else rules
        tell("README.md: " + " ".join(block.split()[:8]), schema.problem(text))
    with tempfile.TemporaryDirectory() as room:
        (pathlib.Path(room) / "broken.yaml").write_text(rule("{name: golden, match: {tag: a}, for: 1d}"))
        checked = (rules, BROKEN, "rule.yaml", "lint"), (tests, BROKEN_TESTS, "broken.test.yaml", "test")
        for schema, broken, name, command in checked:
            file = pathlib.Path(room) / name
            for what, text in broken.items():
                tell(f"{what}, schema of {name}", None if schema.problem(text) else "is taken")
                file.write_text(text)
                ended = subprocess.run([forecache, "rules", command, str(file)], capture_output=True, text=True)
                tell(f"{what}, {command}", None if ended.returncode == 78 else f"ends with {ended.returncode}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main(sys.argv[1]))
