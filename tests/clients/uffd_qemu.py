#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""uffd_qemu.py DIRECTORY postcopy|snapshot|restored: what QEMU does with userfaultfd.

Talks to the monitors DIRECTORY/{source,destination,restored}.qmp of QEMUs that run
uffd_guest.S, and knows how far each guest is by its console DIRECTORY/NAME.out: a P for every
round over its memory, an E if that isn't as it was left.  Prints a line for each step that is
done, and ends all of them.
"""
import os
import sys

from migration import Monitor, wait_for

MIB = 1 << 20
ROUNDS = 3  # that a guest is to do in each part


def rounds(monitor):
    with open(monitor.console, "rb") as console:
        said = console.read()
    if b"E" in said:
        raise SystemExit(f"{monitor.console}: memory isn't as the guest left it")
    return said.count(b"P")


def more_rounds(monitor):
    before = rounds(monitor)
    wait_for(f"rounds in {monitor.console}", lambda: rounds(monitor) >= before + ROUNDS)


def capable(monitor, *names):
    monitor.ask("migrate-set-capabilities",
                capabilities=[{"capability": name, "state": True} for name in names])


def reached(monitor, status):
    state = monitor.ask("query-migrate")
    if state.get("status") in ("failed", "postcopy-paused"):
        raise SystemExit(f"migration: {state}")
    return state.get("status") == status


def postcopy(directory):
    source, destination = Monitor(directory, "source"), Monitor(directory, "destination")
    try:
        capable(source, "postcopy-ram")
        capable(destination, "postcopy-ram", "postcopy-blocktime")
        more_rounds(source)
        # So slowly that most of the memory is missing when the guest goes on.
        source.ask("migrate-set-parameters",
                   **{"max-bandwidth": 16 * MIB, "max-postcopy-bandwidth": 32 * MIB})
        source.ask("migrate", uri=f"unix:{directory}/stream")
        wait_for("its beginning", lambda: reached(source, "active") and
                 source.ask("query-migrate")["ram"]["transferred"] > 4 * MIB)
        source.ask("migrate-start-postcopy")
        wait_for("the migration", lambda: reached(source, "completed"))
        ram = source.ask("query-migrate")["ram"]
        print("moved:", ram["postcopy-requests"], "requests", flush=True)
        wait_for("the destination", lambda: reached(destination, "completed"))
        more_rounds(destination)
        print("goes on there; waited ms:",
              destination.ask("query-migrate").get("postcopy-blocktime"), flush=True)
    finally:
        source.ask("quit")
        destination.ask("quit")


def snapshot(directory):
    source = Monitor(directory, "source")
    try:
        capable(source, "background-snapshot")
        more_rounds(source)
        source.ask("migrate-set-parameters", **{"max-bandwidth": 32 * MIB})
        before = rounds(source)
        source.ask("migrate", uri=f"exec:cat > {directory}/image")
        wait_for("the snapshot", lambda: reached(source, "completed"))
        print("saved:", os.path.getsize(f"{directory}/image"), "bytes; rounds meanwhile:",
              rounds(source) - before, flush=True)
        more_rounds(source)
        print("goes on", flush=True)
    finally:
        source.ask("quit")


def restored(directory):
    monitor = Monitor(directory, "restored")
    try:
        wait_for("the snapshot", lambda: monitor.ask("query-status")["running"])
        more_rounds(monitor)
        print("restored", flush=True)
    finally:
        monitor.ask("quit")


if __name__ == "__main__":
    {"postcopy": postcopy, "snapshot": snapshot, "restored": restored}[sys.argv[2]](sys.argv[1])
