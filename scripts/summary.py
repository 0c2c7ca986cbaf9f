#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""summary.py LOG...: counts results and prints "N passed, N failed, N skipped".

A LOG is meson's testlog.json, or any file with lines of the same form: a JSON object
with "name" and "result".  The exit status is 1 if anything failed or nothing ran.
"""
import json
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP", "IGNORED"}


def main(logs):
    passed = failed = skipped = 0
    for log in logs:
        with open(log, encoding="utf-8") as lines:
            for line in lines:
                result = json.loads(line)["result"]
                if result in PASSED:
                    passed += 1
                elif result in SKIPPED:
                    skipped += 1
                else:
                    failed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
