#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's dpdk-testpmd drives standin's virtio-net device over VFIO by DPDK's own driver
# (net_virtio): the packets that it sends come back over the loopback link and are forwarded
# again, round and round.
. "$(dirname "$0")/lib.sh"
have dpdk-testpmd || { echo "SKIP: dpdk-dev is not installed"; exit 77; }
ENOUGH=20000 # packets

# counter NAME: as testpmd has last shown it, or 0.
counter() {
    local value
    value=$(sed -n "s/.*$1: *\([0-9]*\).*/\1/p" testpmd.out | tail -1)
    echo "${value:-0}"
}

# answered TEXT: waits until testpmd has printed it.
answered() {
    for _ in $(seq 600); do
        grep -q "$1" testpmd.out && return
        kill -0 "$client" 2> /dev/null || return
        sleep 0.05
    done
    return 1
}

# forward KEYS TESTPMD-OPTIONS...
forward() {
    local keys=$1 client last=$(($(nproc) - 1))
    shift
    rm -f commands && mkfifo commands && : > testpmd.out
    run --device "virtio-net,addr=01:00.0,net=loopback$keys" -- \
        timeout 60 dpdk-testpmd --no-huge -m 192 -a 0000:01:00.0 --iova-mode=va --no-telemetry \
        --file-prefix "standin$$" --lcores "(0,1)@(0-$last)" -- \
        --total-num-mbufs=4096 --nb-cores=1 -i "$@" < commands > testpmd.out 2>&1 &
    client=$!
    exec 3> commands
    answered 'testpmd> ' && echo start tx_first >&3
    for _ in $(seq 200); do
        [ "$(counter RX-packets)" -lt $ENOUGH ] || break
        echo show port stats 0 >&3
        sleep 0.1
    done
    printf 'stop\nshow port stats 0\nshow port info 0\nquit\n' >&3
    exec 3>&-
    wait $client || { tail -30 testpmd.out; return 1; }
    tail -60 testpmd.out
    [ "$(counter RX-packets)" -ge $ENOUGH ] && [ "$(counter TX-packets)" -ge $ENOUGH ] &&
        [ "$(counter RX-errors)" = 0 ] && [ "$(counter TX-errors)" = 0 ] &&
        [ "$(counter RX-missed)" = 0 ] && [ "$(counter RX-nombuf)" = 0 ] &&
        grep -q 'Link status: up' testpmd.out && ! grep -q 'IOMMU fault\|ring error' testpmd.out
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
