#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's dpdk-testpmd with its virtio_user port on /dev/vhost-net and the stood-in
# /dev/net/tun: what it sends comes back over a loopback link, or goes from one port to the
# other over a hub, round and round.
. "$(dirname "$0")/lib.sh"
. "$tests/testpmd.sh"

# port N KEYS: a port's option.
port() { echo "--vdev=net_virtio_user$1,path=/dev/vhost-net,iface=tap$1$2"; }

# forward NET KEYS TESTPMD-OPTIONS...: one port on NET, two if it is a hub.
forward() {
    local net=$1 keys=$2 ports
    shift 2
    ports=("$(port 0 "$keys")")
    [ "${net%%=*}" != hub ] || ports+=("$(port 1 "$keys")")
    circulate ${#ports[@]} run --net "$net" --trace="$work/trace" -- "${testpmd[@]}" \
        --no-pci "${ports[@]}" -- --total-num-mbufs=8192 --nb-cores=1 -i "$@" &&
        grep -q 'Link status: up' testpmd.out
}

check "split ring" forward loopback ""
check "by vhost of standin" grep -q 'VHOST_NET_SET_BACKEND.*fd=[0-9].* = 0' trace
check "without mergeable buffers, in order" forward loopback ,mrg_rxbuf=0,in_order=1
check "1518-byte frames in several segments" forward loopback "" --txpkts=512,512,490
check "two queue pairs" forward loopback ,queues=2 --rxq=2 --txq=2
check "each with a vhost device and a queue of the tap" \
    eval '[ "$(grep -c VHOST_SET_OWNER trace)" = 2 ] && [ "$(grep -c TUNSETIFF trace)" = 2 ]'
check "two ports in a hub" forward "hub=$work/hub" ""
finish
