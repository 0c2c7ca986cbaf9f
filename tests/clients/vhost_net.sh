#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's qemu-system-x86_64 with -netdev tap,vhost=on and a Debian kernel in it: the guest
# pings the host and fetches a file, which it sends back.  The tap is a real one, in a network
# namespace of the test's own, where it needs no rights.
. "$(dirname "$0")/lib.sh"
. "$tests/guest.sh"
guest_needs unshare socat
as_user unshare -Urn sh -c ': <> /dev/net/tun' 2> /dev/null ||
    { echo "SKIP: no network namespace with a tap can be had here"; exit 77; }

guest_initrd virtio_net virtio_pci << 'INIT'
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.77.0.2 netmask 255.255.255.0 up
echo "FEATURES $(cat /sys/bus/virtio/devices/virtio*/features)"
echo "QUEUES $(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
ping -c 3 -i 0.2 -s 1400 10.77.0.1 | grep received
wget -q -O /tmp/data http://10.77.0.1:8080/data
echo "DATA $(md5sum < /tmp/data)"
nc 10.77.0.1 9000 < /tmp/data
echo "GUEST DONE"
INIT

# What runs in the namespace: session.sh QEMU'S-OPTIONS...
cat > session.sh << END
busybox ifconfig lo 127.0.0.1 up
busybox httpd -f -p 8080 -h "$work/www" & httpd=\$!
socat -u TCP-LISTEN:9000 OPEN:back,creat & receiver=\$!
"$standin" run --trace="$work/trace" -- timeout 100 qemu-system-x86_64 -M pc -m 256 -smp 2 ${guest[*]@Q} "\$@" \
    < /dev/null > guest.out 2> qemu.err
for i in \$(seq 50); do kill -0 \$receiver || break; sleep 0.1; done 2> /dev/null
kill \$receiver \$httpd 2> /dev/null
END
cat > up << 'END'
#!/bin/sh
exec busybox ifconfig "$1" 10.77.0.1 netmask 255.255.255.0 up
END
chmod +x up
mkdir -p www
chmod 777 . www

# session LABEL MEBIBYTES NETDEV DEVICE [OPTION...]: the options come before the device
session() {
    local label=$1
    head -c "${2}M" /dev/urandom > www/data
    chmod 644 www/data
    rm -f back guest.out trace
    as_user unshare -Urn bash session.sh "${@:5}" -netdev "tap,id=n,vhost=on,script=$work/up,downscript=no$3" \
        -device "virtio-net-pci,netdev=n,romfile=$4"
    guest_output < guest.out > guest.txt
    sed 's/^/    /' qemu.err guest.txt
    check "$label: ping" grep -q '^3 packets transmitted, 3 packets received' guest.txt
    check "$label: $2 MiB to the guest" \
        grep -q "^DATA $(md5sum < www/data | cut -d' ' -f1)" guest.txt
    check "$label: $2 MiB from the guest" cmp www/data back
    check "$label: QEMU has no complaints" test ! -s qemu.err
    check "$label: vhost is the one of standin" \
        grep -q 'VHOST_NET_SET_BACKEND.*fd=[0-9]*.* = 0' trace
}
# Whether the guest has feature $1, counted from the left.
feature() { [ "$(sed -n 's/^FEATURES //p' guest.txt | cut -c$(($1 + 1)))" = "$2" ]; }

session "tap" 16 "" ""
check "mergeable buffers, no packed ring" eval 'feature 15 1 && feature 34 0'
session "two queues" 2 ",queues=2" ",mq=on,vectors=6"
check "two queues, each with a vhost device" eval \
    '[ "$(grep -c VHOST_SET_OWNER trace)" = 2 ] && grep -q "^QUEUES 2" guest.txt'
session "plain" 2 "" ",mrg_rxbuf=off,event_idx=off"
check "no mergeable buffers, no event index" eval 'feature 15 0 && feature 29 0'
# Below a root port, where the guest uses ATS: QEMU answers the misses of vhost's IOTLB, and
# the guest unmaps each buffer that it is done with.
session "IOMMU" 2 "" ",bus=rp,disable-legacy=on,iommu_platform=on,ats=on" \
    -M q35 -device intel-iommu,device-iotlb=on \
    -append "$cmdline intel_iommu=on" -device pcie-root-port,id=rp
check "the guest's IOMMU" feature 33 1
check "the IOTLB misses, and is answered" eval \
    'grep -q "read(.*VHOST_IOTLB_MISS, iova=.* = 72" trace &&
     grep -q "write(.*VHOST_IOTLB_UPDATE, iova=.*, perm=R[OW].* = 72" trace'
check "the IOTLB forgets" grep -q 'write(.*VHOST_IOTLB_INVALIDATE, iova=.* = 72' trace
finish
