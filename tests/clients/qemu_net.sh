#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two Linux guests of Debian's qemu-system-x86_64, each with a virtio-net device that standin
# provides and QEMU passes through (-device vfio-pci, software emulation), on one hub: they ping
# each other and each sends the other a file.
. "$(dirname "$0")/lib.sh"
. "$tests/guest.sh"
guest_needs
chmod 777 "$work"

guest_initrd virtio_pci virtio_net << 'INIT'
word() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
me=$(word me) other=$(word other)
ifconfig eth0 "$me" netmask 255.255.255.0 up
echo "FEATURES $(cat /sys/class/net/eth0/device/features)"
dd if=/dev/urandom of=/sent bs=1M count=4 2> /dev/null
echo "SENT $(sha256sum < /sent | cut -c 1-64)"
mkfifo /open
nc -l -p 1000 <> /open > /got &
i=0
until ping -c 1 -W 1 "$other" > /dev/null || [ $i -gt 60 ]; do sleep 0.1; i=$((i+1)); done
ping -c 5 -i 0.2 -s 1400 "$other" | grep received
i=0
until nc "$other" 1000 < /sent || [ $i -gt 60 ]; do sleep 0.2; i=$((i+1)); done
wait
echo "GOT $(sha256sum < /got | cut -c 1-64)"
grep virtio /proc/interrupts
sleep 0.5
INIT

# linux_guest NUMBER OTHER DEVICE-KEYS KERNEL-PARAMETERS
linux_guest() {
    run --device "virtio-net,addr=01:00.0,net=hub=$work/hub,mac=52:54:00:00:00:0$1$3" -- \
        timeout 60 qemu-system-x86_64 -M q35 -m 192 -device vfio-pci,host=0000:01:00.0 "${guest[@]}" \
        -append "$cmdline me=10.77.0.$1 other=10.77.0.$2 $4" < /dev/null 2>&1 |
        guest_output > "guest.$1"
}
sum() { sed -n "s/^$1 \([0-9a-f]\{64\}\)$/\1/p" "guest.$2"; }
# good NUMBER OTHER PATTERN-IN-/proc/interrupts BIT-34
good() {
    cat "guest.$1"
    grep -q '^5 packets transmitted, 5 packets received' "guest.$1" &&
        grep -q "$3.*virtio" "guest.$1" &&
        [ "$(sed -n 's/^FEATURES //p' "guest.$1" | cut -c 35)" = "$4" ] &&
        [ -n "$(sum GOT "$1")" ] && [ "$(sum GOT "$1")" = "$(sum SENT "$2")" ] &&
        ! grep -q 'IOMMU fault\|ring error' "guest.$1"
}

linux_guest 1 2 "" "" & first=$!
linux_guest 2 1 ",packed=off" "pci=nomsi"
wait $first
check "packed ring, MSI-X: ping, 4 MiB from the other guest" good 1 2 MSI 1
check "split ring, INTx: ping, 4 MiB from the other guest" good 2 1 IO-APIC 0

linux_guest 1 2 ",packed=off,mmap=off" "" & first=$!
linux_guest 2 1 ",offloads=off" ""
wait $first
check "split ring, BARs not mapped: ping, 4 MiB from the other guest" good 1 2 MSI 0
check "no offloads: ping, 4 MiB from the other guest" good 2 1 MSI 1
finish
