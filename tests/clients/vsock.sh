#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's qemu-system-x86_64 with -device vhost-vsock-pci and a Debian kernel in it: the
# guest's AF_VSOCK sockets meet programs of the host: such as know the Unix sockets of --vsock,
# and such as use AF_VSOCK, under a `standin run` of their own.
. "$(dirname "$0")/lib.sh"
have python3 || { echo "SKIP: python3 is not installed"; exit 77; }
. "$tests/guest.sh"
guest_needs socat
gcc -static -O2 -Wno-unused-result -D_GNU_SOURCE -o guest "$SOURCE/vsock_guest.c" ||
    { echo "SKIP: no C compiler for the guest's program"; exit 77; }

mkdir -p initrd/bin
cp guest initrd/bin/
guest_initrd vmw_vsock_virtio_transport virtio_pci << 'INIT'
echo "MODULES $(grep -c vsock /proc/modules)"
guest listen 5000 &
guest messages 5001 &
echo "GUEST READY"
guest refused 9999
guest echo 9000 67108864
guest echo 9002 100000
i=0; while [ $i -lt 100 ] && guest echo 9000 100 > /tmp.out; do i=$((i+1)); done
echo "GUEST ROUNDS $i"
echo "GUEST DONE"
# The host has its turn; it ends with a connection that says so.
while [ ! -e /stop ] && guest refused 9001 > /dev/null; do sleep 0.2; done
INIT

wait_for_host() {
    for _ in $(seq 600); do
        grep -q 'host rounds\|Error' host.out && return
        sleep 0.2
    done
}

session() {
    local host place=(--vsock "$work/guest.sock")
    printf 'refused\necho 67108864\nrounds 100\n' > commands
    mkfifo go
    chmod 666 go
    (
        read -r _ < go
        cat commands
    ) | as_user python3 "$SOURCE/vsock_host.py" "$work/guest.sock" > host.out 2>&1 &
    host=$!
    run "${place[@]}" -- socat VSOCK-LISTEN:9002 PIPE > /dev/null 2> socat.out &
    until grep -q ready host.out 2> /dev/null; do sleep 0.1; done
    # When both sides have had their turn, port 9001 is there, which ends the guest.
    (
        until grep -q 'GUEST DONE' guest.out 2> /dev/null; do sleep 0.2; done
        echo go > go
        wait_for_host
        {
            echo through socat | run "${place[@]}" -- socat -t 20 - VSOCK-CONNECT:3:5000
            run "${place[@]}" -- python3 "$SOURCE/vsock_af.py" messages 3 5001
            run "${place[@]}" -- python3 "$SOURCE/vsock_af.py" errors 3
        } > af.out 2>&1
        as_user python3 - "$work/guest.sock_9001" << 'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(4)
s.settimeout(60)
s.accept()
END
    ) &
    run "${place[@]}" "$@" -- timeout 240 qemu-system-x86_64 -M pc -m 256 \
        "${guest[@]}" -device vhost-vsock-pci,guest-cid=3 \
        < /dev/null > guest.out 2>&1
    wait $host
    wait
    guest_output < guest.out > guest.txt
}
session
cat guest.txt host.out af.out > all
sed 's/^/    /' all
check "the guest has its vsock driver" grep -q '^MODULES [1-9]' guest.txt
check "a port of the host where nobody listens" grep -q '^connect: ECONNRESET' guest.txt
check "64 MiB from the guest and back" grep -q '^echoed 67108864' guest.txt
check "the guest connects to socat VSOCK-LISTEN" grep -q '^echoed 100000' guest.txt
check "the end of it" grep -q '^end 0' guest.txt
check "100 connections from the guest" grep -q '^GUEST ROUNDS 100' guest.txt
check "a port of the guest where nobody listens" grep -q '^host refused ok' host.out
check "64 MiB to the guest and back" grep -q '^host echo 67108864 ok' host.out
check "100 connections to the guest" grep -q '^host rounds 100 ok' host.out
check "socat VSOCK-CONNECT" grep -q '^through socat' af.out
check "messages, also bigger than a buffer" grep -q '^messages 1 100 4000' af.out
check "connect() to a port of the guest where nobody listens" grep -q '^0 ECONNRESET' af.out
check "connect() to a CID that nobody has" grep -q '^1 ENODEV' af.out
check "connect() to the host itself" grep -q '^host ECONNRESET' af.out
check "the sockets are gone" test -z "$(ls -d guest.sock* 2> /dev/null | grep -v '_900[01]$')"
finish
