#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""terminal.py CASE COMMAND...: runs COMMAND as a shell with job control would, on a
terminal of its own, types at it, and says in one line what the shell would see.

  interrupt   ^C once the program has written "ready"
  stop        ^Z then, and a continue a moment later
  self        the program stops itself; a continue a moment later
"""
import os
import pty
import signal
import sys
import time

LIMIT = 10  # seconds


def shell(command):
    """The session's leader: puts the job in the foreground and reports what becomes of it."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgid(0))
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(command[0], command)
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            print("stopped;", flush=True)
            time.sleep(0.3)
            os.killpg(job, signal.SIGCONT)
        elif os.WIFSIGNALED(status):
            print(f"signal {os.WTERMSIG(status)};", flush=True)
            break
        else:
            print(f"status {os.WEXITSTATUS(status)};", flush=True)
            break
    os._exit(0)


def main(case, command):
    pid, terminal = pty.fork()
    if pid == 0:
        shell(command)
    keys = {"interrupt": b"\x03", "stop": b"\x1a", "self": b""}[case]
    text = b""
    signal.alarm(LIMIT)
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        text += piece
        if b"ready" in text and keys:
            time.sleep(0.2)
            os.write(terminal, keys)
            keys = b""
    os.waitpid(pid, 0)
    words = text.decode().replace("^C", "").replace("^Z", "").split()
    print(" ".join(words))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
