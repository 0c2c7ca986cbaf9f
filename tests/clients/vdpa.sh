#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's qemu-system-x86_64 with -netdev vhost-vdpa and a Debian kernel in it, and Debian's
# testpmd with its virtio_user port, on /dev/vhost-vdpa-0.
. "$(dirname "$0")/lib.sh"
. "$tests/guest.sh"
guest_needs
gcc -static -O2 -Wno-unused-result -D_GNU_SOURCE -o vdpa_guest "$SOURCE/vdpa_guest.c" ||
    { echo "SKIP: no C compiler for the guest's program"; exit 77; }

mkdir -p initrd/bin
cp vdpa_guest initrd/bin/
guest_initrd virtio_net virtio_pci << 'INIT'
case "$(cat /proc/cmdline)" in
*role=server*)
    ifconfig eth0 10.77.0.1 netmask 255.255.255.0 up
    head -c 16777216 /dev/urandom > /tmp/data
    echo "DATA $(wc -c < /tmp/data) $(md5sum < /tmp/data)"
    httpd -p 8080 -h /tmp
    nc -l -p 9000 > /tmp/back
    echo "BACK $(md5sum < /tmp/back)"
    poweroff -f ;;
*role=client*)
    ifconfig eth0 10.77.0.2 netmask 255.255.255.0 up
    until wget -q -O /tmp/data http://10.77.0.1:8080/data 2> /dev/null; do sleep 0.2; done
    echo "DATA $(wc -c < /tmp/data) $(md5sum < /tmp/data)"
    ping -c 3 -i 0.2 -s 1400 10.77.0.1 | grep received
    until nc 10.77.0.1 9000 < /tmp/data; do sleep 0.2; done
    poweroff -f ;;
esac
echo "FEATURES $(cat /sys/bus/virtio/devices/virtio*/features)"
ifconfig eth0 up
vdpa_guest eth0 3000
echo "QUEUES $(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
ifconfig eth0 down
ifconfig eth0 hw ether 52:54:00:12:34:99
ifconfig eth0 up
echo "ADDRESS $(cat /sys/class/net/eth0/address)"
vdpa_guest eth0 100
echo "GUEST DONE"
INIT

# What QEMU complains of, from its standard error with the traces asked for below.
#
# QEMU before 8.0 stops the control ring in the wrong order: it resets the device, then asks where
# it is in the ring, hears that it is at the beginning, as any device is that was reset, takes
# all that the guest has ever sent for new, and does it again itself.  The guest has freed those
# tables of descriptors long ago; if something else is in their memory by now, QEMU says what is
# wrong with it, in one of many ways.  The device is stopped and has no memory then.  So what QEMU
# says does not count from where it asks a device that it has reset.
complaints() {
    awk '/^vhost_vdpa_dev_start.*started: 1/ { reset = again = 0 }
        /^vhost_vdpa_reset_device/ { reset = 1 }
        /^vhost_vdpa_get_vring_base/ { again = reset }
        !again && !/^vhost_vdpa_/' "$1"
}

# session LABEL VDPA NETDEV DEVICE: one guest.
session() {
    local status
    run ${2:+--vdpa "$2"} --trace="$work/trace" -- timeout 150 qemu-system-x86_64 -M pc -m 256 -smp 2 \
        "${guest[@]}" -netdev "vhost-vdpa,id=n,vhostdev=/dev/vhost-vdpa-0$3" \
        -device "virtio-net-pci,netdev=n,romfile=$4" \
        -trace vhost_vdpa_dev_start -trace vhost_vdpa_reset_device \
        -trace vhost_vdpa_get_vring_base \
        < /dev/null > guest.out 2> qemu.trace
    status=$?
    complaints qemu.trace > qemu.err
    guest_output < guest.out > guest.txt
    sed 's/^/    /' qemu.trace guest.txt
    check "$1: 3000 frames there and back" \
        grep -q '^FRAMES sent 3000 received 3000 same 3000' guest.txt
    check "$1: after another address, too" \
        grep -q '^FRAMES sent 100 received 100 same 100' guest.txt
    check "$1: the guest is through" grep -q '^GUEST DONE' guest.txt
    check "$1: QEMU ends well" test $status = 0
    check "$1: QEMU has no complaints" test ! -s qemu.err
}
feature() { [ "$(sed -n 's/^FEATURES //p' guest.txt | cut -c$(($1 + 1)))" = "$2" ]; }

session "the kernel's simulator" "" "" ""
check "its features and no others" eval 'feature 5 1 && feature 15 0 && feature 29 0'
session "loopback" net,net=loopback "" ""
check "mergeable buffers and event index" eval 'feature 15 1 && feature 29 1'
session "packed ring" net,net=loopback "" ",packed=on"
check "a packed ring" eval 'feature 34 1'
session "two queues" net,net=loopback,queues=2 ",queues=2" ",mq=on,vectors=6"
check "two queues" grep -q '^QUEUES 2' guest.txt
check "both of them used" \
    eval '[ "$(grep -c "^vhost_vdpa_get_vring_base.*index: [0-3] num: 1[0-9]\{3\}$" qemu.trace)" = 4 ]'

# Two guests on one hub: one fetches a file of the other and sends it back.
guest_on_hub() {
    run --vdpa "net,net=hub=$work/hub,mac=52:54:00:00:00:0$2" -- timeout 150 qemu-system-x86_64 -M pc \
        -m 256 "${guest[@]}" -append "$cmdline role=$1" \
        -netdev vhost-vdpa,id=n,vhostdev=/dev/vhost-vdpa-0 \
        -device virtio-net-pci,netdev=n,romfile= < /dev/null 2> "$1.err" | guest_output > "$1.txt"
}
guest_on_hub server 1 &
guest_on_hub client 2
wait
sed 's/^/    /' server.txt server.err client.txt client.err
data=$(sed -n 's/^DATA 16777216 //p' server.txt)
check "two guests: ping" grep -q '^3 packets transmitted, 3 packets received' client.txt
check "two guests: 16 MiB from one to the other" grep -q "^DATA 16777216 ${data:-none}" client.txt
check "two guests: and back" grep -q "^BACK ${data:-none}" server.txt

# pmd LABEL VDPA PORT: packets of testpmd go round.
pmd() {
    check "testpmd, $1" circulate 1 run --vdpa "$2" -- "${testpmd[@]}" --no-pci \
        --vdev "net_virtio_user0,path=/dev/vhost-vdpa-0$3" -- --total-num-mbufs=8192 --nb-cores=1 -i
}
if have dpdk-testpmd; then
    . "$tests/testpmd.sh"
    pmd "split ring" net,net=loopback ""
    pmd "packed ring" net,net=loopback ",packed_vq=1"
    pmd "in order, without mergeable buffers" net,net=loopback ",mrg_rxbuf=0,in_order=1"
    pmd "the kernel's simulator" net-sim,mac=02:00:00:00:00:00 ",mac=02:00:00:00:00:00"
else
    skip "testpmd" "dpdk-dev is not installed"
fi
finish
