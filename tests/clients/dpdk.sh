#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's dpdk-testpmd drives standin's virtio-net device over VFIO by DPDK's own driver
# (net_virtio): the packets that it sends come back over the loopback link and are forwarded
# again, round and round.
. "$(dirname "$0")/lib.sh"
. "$tests/testpmd.sh"

# forward KEYS TESTPMD-OPTIONS...
forward() {
    local keys=$1
    shift
    circulate 1 run --device "virtio-net,addr=01:00.0,net=loopback$keys" -- \
        "${testpmd[@]}" -a 0000:01:00.0 --iova-mode=va -- \
        --total-num-mbufs=4096 --nb-cores=1 -i "$@" && grep -q 'Link status: up' testpmd.out
}

check "packed ring" forward ""
check "split ring" forward ,packed=off
check "split ring, no offloads, 1518-byte frames in several segments" \
    forward ,packed=off,offloads=off --txpkts=512,512,490
check "four queue pairs" forward ,queues=4 --rxq=4 --txq=4
check "two queue pairs, split ring" forward ,queues=2,packed=off --rxq=2 --txq=2
check "the address that was asked for" forward ,mac=52:54:00:aa:bb:cc
check "and it is the driver's" grep -q 'MAC address: 52:54:00:AA:BB:CC' testpmd.out
finish
