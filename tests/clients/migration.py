#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""migration.py DIRECTORY MEBIBYTES: moves a guest of that much memory from one QEMU to another.

Talks to the monitors DIRECTORY/{peer,source,destination}.qmp, and knows how far the guest
is by its console in DIRECTORY/NAME.out.  Prints a line for each step that is done, and ends
all three.
"""
import filecmp
import json
import os
import socket
import sys
import time

LIMIT = 120  # seconds for everything
ROUNDS = 3  # how often the guest is to fetch the file in each part
started = time.monotonic()


def wait_for(what, condition):
    while not condition():
        if time.monotonic() - started > LIMIT:
            raise SystemExit(f"given up: {what}")
        time.sleep(0.02)


class Monitor:
    def __init__(self, directory, name):
        self.console = f"{directory}/{name}.out"
        path = f"{directory}/{name}.qmp"
        wait_for(path, lambda: os.path.exists(path))
        connection = socket.socket(socket.AF_UNIX)
        wait_for(path, lambda: connection.connect_ex(path) == 0)
        connection.settimeout(LIMIT)
        self.stream = connection.makefile("rw")
        json.loads(self.stream.readline())
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        json.dump({"execute": command, "arguments": arguments}, self.stream)
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "error" in answer:
                raise SystemExit(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def rounds(self):
        with open(self.console, "rb") as console:
            return console.read().count(b"FETCHED")

    def fetch_more(self):
        before = self.rounds()
        wait_for(f"traffic in {self.console}", lambda: self.rounds() >= before + ROUNDS)

    def save_memory(self, path, mebibytes):
        """All but what is not memory on a PC: 640 KiB to 1 MiB."""
        self.ask("pmemsave", val=0, size=0xA0000, filename=f"{path}.low")
        self.ask("pmemsave", val=1 << 20, size=(mebibytes - 1) << 20, filename=f"{path}.high")


def migrated(source):
    state = source.ask("query-migrate")
    if state["status"] == "failed":
        raise SystemExit(f"migration: {state}")
    return state["status"] == "completed"


def move(directory, mebibytes, source, destination):
    source.fetch_more()
    # Slowly, until there has been traffic meanwhile.
    source.ask("migrate-set-parameters", **{"max-bandwidth": 4 << 20, "downtime-limit": 2000})
    source.ask("migrate", uri=f"unix:{directory}/stream")
    source.fetch_more()
    source.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    wait_for("the migration", lambda: migrated(source))
    wait_for("the destination", lambda: destination.ask("query-status")["status"] == "paused")
    print("moved:", source.ask("query-migrate")["ram"]["dirty-sync-count"], "rounds", flush=True)
    source.save_memory(f"{directory}/before", mebibytes)
    destination.save_memory(f"{directory}/after", mebibytes)
    same = [filecmp.cmp(f"{directory}/before.{part}", f"{directory}/after.{part}", shallow=False)
            for part in ("low", "high")]
    print("same memory" if all(same) else f"other memory: {same}", flush=True)
    destination.ask("cont")
    destination.fetch_more()
    print("fetched on the other side", flush=True)


def main():
    directory, mebibytes = sys.argv[1], int(sys.argv[2])
    monitors = [Monitor(directory, name) for name in ("peer", "source", "destination")]
    try:
        move(directory, mebibytes, *monitors[1:])
    finally:
        for monitor in monitors:
            monitor.ask("quit")


if __name__ == "__main__":
    main()
