# SPDX-License-Identifier: BSD-3-Clause
"""Programs of the host with AF_VSOCK sockets, for vsock.sh: run under standin.

vsock_af.py messages CID PORT   sends messages and reads each back as one
vsock_af.py errors CID          what connect() answers where nobody is
"""
import errno
import os
import socket
import sys


def messages(cid, port):
    with socket.socket(socket.AF_VSOCK, socket.SOCK_SEQPACKET) as s:
        s.settimeout(60)
        s.connect((cid, port))
        assert s.getpeername() == (cid, port), s.getpeername()
        assert s.family == socket.AF_VSOCK
        sizes = [1, 100, 4000, 5000, 65536, 100000, 200000]
        for size in sizes:
            data = os.urandom(size)
            s.send(data)
            assert s.recv(262144) == data, size
        print("messages", *sizes)


def errors(cid):
    for where in [(cid, 5999), (cid + 1, 5000), (1, 5999), (2, 5999)]:
        with socket.socket(socket.AF_VSOCK) as s:
            s.settimeout(60)
            print(where[0] - cid if where[0] > 2 else "host", errno.errorcode[s.connect_ex(where)])


if sys.argv[1] == "messages":
    messages(int(sys.argv[2]), int(sys.argv[3]))
else:
    errors(int(sys.argv[2]))
