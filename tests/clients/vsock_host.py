# SPDX-License-Identifier: BSD-3-Clause
"""The host's side of vsock.sh: an ordinary program that knows only Unix sockets.

vsock_host.py PATH     serves PATH_9000 (echo), then does what it is told on standard input:
    echo SIZE          one connection to the guest's port 5000: SIZE bytes there and back
    rounds N           N connections in a row, each with a line there and back
    refused            a port where nobody listens: EOF
Prints one line for each.
"""
import hashlib
import os
import socket
import sys
import threading
import time

path = sys.argv[1]


def echo(connection):
    with connection:
        while True:
            data = connection.recv(65536)
            if not data:
                break
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def serve():
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def connect(port):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    for _ in range(600):
        try:
            s.connect(path)
            break
        except OSError:
            time.sleep(0.1)
    s.sendall(b"CONNECT %d\n" % port)
    answer = b""
    while not answer.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            return None
        answer += byte
    assert answer.startswith(b"OK "), answer
    return s


def transfer(s, data):
    def send():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    digest, size = hashlib.sha256(), 0
    while True:
        part = s.recv(1 << 20)
        if not part:
            break
        digest.update(part)
        size += len(part)
    sender.join()
    return size == len(data) and digest.digest() == hashlib.sha256(data).digest()


def do(words):
    if words[0] == "echo":
        with connect(5000) as s:
            return transfer(s, os.urandom(int(words[1])))
    if words[0] == "rounds":
        for i in range(int(words[1])):
            with connect(5000) as s:
                if not transfer(s, b"round %d\n" % i):
                    return False
        return True
    if words[0] == "refused":
        return connect(5999) is None
    return False


listener = socket.socket(socket.AF_UNIX)
listener.bind(path + "_9000")
listener.listen(64)
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print("host", line.strip(), "ok" if do(line.split()) else "FAILED", flush=True)
