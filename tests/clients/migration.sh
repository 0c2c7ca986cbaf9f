#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Live migration: Debian's qemu-system-x86_64 with -netdev tap,vhost=on sends a running Linux
# guest, which fetches a file from another guest again and again, to a second QEMU.  What
# vhost writes to the guest's memory meanwhile is known by its dirty log alone, so the memories
# of the two are compared when the guest has stopped in the one and not begun in the
# other.  Then it has to go on there.  All three are in a hub on stood-in taps.
. "$(dirname "$0")/lib.sh"
. "$tests/guest.sh"
guest_needs python3

guest_initrd virtio_net virtio_pci << 'INIT'
me=$(cut -d: -f6 /sys/class/net/eth0/address)
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.80.0.${me#0} netmask 255.255.255.0 up
if [ $me = 01 ]; then
    mkdir /www
    dd if=/dev/urandom of=/www/data bs=1M count=2 2> /dev/null
    httpd -p 8080 -h /www
    echo "SERVED $(md5sum < /www/data)"
    exec sleep 1000
fi
until wget -q -O /dev/null http://10.80.0.1:8080/data 2> /dev/null; do sleep 0.2; done
while :; do
    echo "FETCHED $(wget -q -O - http://10.80.0.1:8080/data | md5sum)"
done
INIT

# boot NAME MAC OPTION...: a guest in the background; its console is NAME.out.
boot() {
    local name=$1 mac=$2
    shift 2
    run --net "hub=$work/hub" --trace="$work/$name.trace" -- timeout 140 qemu-system-x86_64 \
        -M pc -m 128 "${guest[@]}" -qmp "unix:$work/$name.qmp,server=on,wait=off" \
        -netdev tap,id=n,ifname=tap0,script=no,downscript=no,vhost=on \
        -device "virtio-net-pci,netdev=n,mac=$mac,romfile=" "$@" \
        < /dev/null > "$name.out" 2> "$name.err" &
}

boot peer 52:54:00:00:00:01
boot source 52:54:00:00:00:02
boot destination 52:54:00:00:00:02 -S -incoming "unix:$work/stream"
as_user python3 "$tests/migration.py" "$work" 128 > steps 2>&1
wait
for name in peer source destination; do
    guest_output < $name.out > $name.txt
    sed "s/^/    $name: /" $name.txt $name.err
done
sed 's/^/    /' steps
served=$(sed -n 's/^SERVED //p' peer.txt)
check "the guest moves" grep -q '^moved' steps
check "traffic before, meanwhile and after" grep -q '^fetched on the other side' steps
check "the memory is the same, byte for byte" grep -q '^same memory' steps
# A line that the migration cut in two is none of these.
check "what was fetched is what was served" eval \
    '[ -n "$served" ] && ! cat source.txt destination.txt |
     grep -E "^FETCHED [0-9a-f]{32}  -$" | grep -v "$served"'
check "by the dirty log of vhost" eval \
    'grep -q "VHOST_SET_LOG_BASE, .* = 0" source.trace &&
     grep -q "VHOST_SET_FEATURES, .*LOG_ALL.* = 0" source.trace &&
     grep -q "VHOST_SET_VRING_ADDR, .*flags=0x1.* = 0" source.trace'
check "QEMU has no complaints" eval '[ -z "$(cat {peer,source,destination}.err)" ]'
finish
