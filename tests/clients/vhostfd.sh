#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# vhost descriptors that another process has opened: by a program of our own, and for Debian's
# qemu-system-x86_64 as libvirt starts it, with vhostfd=.
. "$(dirname "$0")/lib.sh"
cp "$BUILD/tests/clients/vhostfd" "$work/"
check "exec, sockets, and who owns a device" \
    run --vhost-scsi wwpn=naa.5001405000000001,lun0.size=1M -- "$work/vhostfd"

. "$tests/guest.sh"
guest_needs
guest_initrd virtio_net virtio_pci vmw_vsock_virtio_transport << 'INIT'
ifconfig eth0 10.77.0.2 netmask 255.255.255.0 up
arp -s 10.77.0.1 52:54:00:00:00:99
ping -c 1 -W 1 10.77.0.1 > /dev/null
echo "SENT $(cat /sys/class/net/eth0/statistics/tx_packets)"
ls /sys/bus/virtio/drivers/*vsock*/ | grep virtio
INIT

# The shell keeps the descriptors until QEMU has ended.
cat > parent << END
exec 20<> /dev/vhost-net 21<> /dev/vhost-vsock
timeout 60 qemu-system-x86_64 -M pc -m 256 ${guest[*]@Q} \
    -netdev tap,id=n,ifname=tap0,script=no,downscript=no,vhost=on,vhostfd=20 \
    -device virtio-net-pci,netdev=n,romfile= \
    -device vhost-vsock-pci,guest-cid=42,vhostfd=21 < /dev/null > guest.out 2> qemu.err
END
chmod 777 .
run --net "pcap=$work/capture,ifname=tap0" --vsock "$work/vsock" --trace="$work/trace" -- bash parent
guest_output < guest.out > guest.txt
sed 's/^/    /' guest.txt qemu.err
check "QEMU: a guest sends by the vhost-net that it was given" eval \
    'grep -q "^SENT [1-9]" guest.txt && grep -q "ioctl(20<vhost-net>, VHOST_SET_OWNER) = 0" trace &&
     [ "$(wc -c < capture)" -gt 100 ]'
check "QEMU: its vsock device" eval \
    'grep -q "^virtio" guest.txt && grep -q "ioctl(21<vhost-vsock>, VHOST_SET_OWNER) = 0" trace &&
     grep -q "ioctl(21<vhost-vsock>, VHOST_VSOCK_SET_RUNNING.* = 0" trace'
check "QEMU has no complaints" test ! -s qemu.err
finish
