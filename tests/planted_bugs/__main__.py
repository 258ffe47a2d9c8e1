"""Shows that the tests find known bugs: plants each in a copy of the project and runs the tests that must turn red.

python -m tests.planted_bugs [--only NAME ...] [--layer LAYER ...] [--jobs N] [--json FILE] [--list]

Exits with code 1 if a bug survives or the list no longer fits the code.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tabulate import tabulate

from tests.planted_bugs.catalogue import BUGS
from tests.planted_bugs.planting import Finding, StaleError, check, try_bugs
from zoo.errors import did_you_mean
from zoo.files import write_json


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted_bugs", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="a bug by its name; may be repeated")
    parser.add_argument("--layer", action="append", metavar="LAYER", help="the bugs of a layer; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="bugs at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the findings")
    parser.add_argument("--list", action="store_true", help="lists the bugs without running anything")
    given = parser.parse_args()
    for option in ("only", "layer"):
        known = {bug.name if option == "only" else bug.layer for bug in BUGS}
        for name in set(getattr(given, option) or ()) - known:
            parser.error(f"--{option}: there is no {name!r}{did_you_mean(name, known)}")
    chosen = [
        bug for bug in BUGS if bug.name in (given.only or [bug.name]) and bug.layer in (given.layer or [bug.layer])
    ]
    findings: list[Finding] = []
    try:
        if given.list:
            check(chosen)
            print(
                tabulate([(bug.layer, bug.name, bug.reason) for bug in chosen], headers=("layer", "bug", "stands for"))
            )
            return 0
        print(f"{len(chosen)} bugs; first their tests without any bug", file=sys.stderr)
        for finding in try_bugs(chosen, jobs=given.jobs):
            findings.append(finding)
            print(f"{finding.verdict:>9}  {finding.bug.name} ({finding.seconds:.0f} s)", file=sys.stderr)
            if finding.verdict != "caught":
                print(finding.output, file=sys.stderr)
    except StaleError as error:
        print(error, file=sys.stderr)
        return 1
    caught = sum(finding.verdict == "caught" for finding in findings)
    rows = [
        (each.bug.layer, each.bug.name, each.verdict, f"{each.seconds:.0f}", "\n".join(each.bug.tests))
        for each in findings
    ]
    print(tabulate(rows, headers=("layer", "bug", "verdict", "s", "tests")))
    print(f"\n{caught} of {len(findings)} planted bugs caught")
    if given.json:
        records = [
            {**each.bug._asdict(), "verdict": each.verdict, "seconds": round(each.seconds, 1)} for each in findings
        ]
        write_json(given.json, json.loads(json.dumps(records)))
    return int(caught < len(findings))


if __name__ == "__main__":
    sys.exit(main())
