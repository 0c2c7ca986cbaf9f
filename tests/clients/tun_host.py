# SPDX-License-Identifier: BSD-3-Clause
"""The host's side of tun.sh.

tun_host.py serve DATA BACK   listens on two ports of 127.0.0.1 and prints them: GETs on the
                              first are answered with the file DATA; what comes to the second
                              is written to BACK.
tun_host.py pcap FILE MAC     reads a capture file to its end: all its frames must be from
                              MAC, and ARP requests and an echo request be among them.
"""
import socket
import struct
import sys
import threading


def listen():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)
    return listener


def give(listener, path):
    while True:
        connection, _ = listener.accept()
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        with open(path, "rb") as file:
            data = file.read()
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        connection.close()


def take(listener, path):
    while True:
        connection, _ = listener.accept()
        with open(path, "wb") as file:
            while data := connection.recv(1 << 16):
                file.write(data)
        connection.close()


def serve(data, back):
    threads = []
    for function, path in ((give, data), (take, back)):
        listener = listen()
        print(listener.getsockname()[1], flush=True)
        threads.append(threading.Thread(target=function, args=(listener, path)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def pcap(path, mac):
    with open(path, "rb") as file:
        text = file.read()
    magic, major, minor, _, _, limit, link = struct.unpack_from("<IHHIIII", text)
    assert (magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 1), "no pcap file"
    mac = bytes.fromhex(mac.replace(":", ""))
    at, last, frames, ours, requests, pings = 24, 0, 0, 0, 0, 0
    while at < len(text):
        seconds, micro, captured, size = struct.unpack_from("<IIII", text, at)
        assert micro < 1000000 and captured == size <= limit, "a bad record"
        assert seconds * 1000000 + micro >= last, "time goes backwards"
        last = seconds * 1000000 + micro
        frame = text[at + 16 : at + 16 + captured]
        assert len(frame) == captured >= 14, "a record is cut off"
        at += 16 + captured
        frames += 1
        ours += frame[6:12] == mac
        requests += frame[:6] == b"\xff" * 6 and frame[12:14] == b"\x08\x06"
        # IPv4 without options, ICMP, echo request, to the address given to the guest by hand
        pings += (
            frame[:6] == b"RT\0\0\0\x33"
            and frame[12:15] == b"\x08\0\x45"
            and frame[23] == 1
            and frame[34] == 8
            and len(frame) == 14 + 20 + 8 + 1000
        )
    print("frames", frames, "ours", ours, "ARP requests", requests, "echo requests", pings)
    assert ours == frames and requests and pings


{"serve": serve, "pcap": pcap}[sys.argv[1]](*sys.argv[2:])
