# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Debian's dpdk-testpmd, driven over its prompt.  To be sourced after lib.sh, from
# "$tests/testpmd.sh".
#
#	circulate PORTS COMMAND...   COMMAND runs testpmd with "${testpmd[@]}": packets go round
#	                             until each of its ports has got $ENOUGH; it fails if one has
#	                             not after some time, or any was lost.  The output is left in
#	                             testpmd.out.
have dpdk-testpmd || { echo "SKIP: dpdk-dev is not installed"; exit 77; }
ENOUGH=20000 # packets
testpmd=(timeout 150 dpdk-testpmd --no-huge -m 192 --no-telemetry --file-prefix "standin$$"
    --lcores "(0,1)@(0-$(($(nproc) - 1)))")

# counter PORT NAME: as testpmd has last shown it, or 0.
counter() {
    awk -v port="$1" -v name="$2:" '
        /NIC statistics for port/ { current = $6 }
        current == port { for (i = 1; i < NF; i++) if ($i == name) value = $(i + 1) }
        END { print value + 0 }' testpmd.out
}

# answered TEXT: waits until testpmd has printed it.
answered() {
    until grep -q "$1" testpmd.out; do
        kill -0 $client 2> /dev/null || return
        sleep 0.05
    done
}

# The smallest number of packets received or sent by any port.
slowest() {
    local port
    for port in $(seq 0 $((ports - 1))); do
        counter "$port" RX-packets
        counter "$port" TX-packets
    done | sort -n | head -1
}

# What testpmd has counted of packets that were lost.
lost() {
    local name port sum=0
    for port in $(seq 0 $((ports - 1))); do
        for name in RX-errors TX-errors RX-missed RX-nombuf; do
            sum=$((sum + $(counter "$port" $name)))
        done
    done
    echo $sum
}

circulate() {
    local ports=$1 client
    shift
    rm -f commands && mkfifo commands && : > testpmd.out
    "$@" < commands > testpmd.out 2>&1 &
    client=$!
    trap '' PIPE # it may end before it has read everything
    exec 3> commands
    answered 'testpmd> ' && echo start tx_first >&3
    for _ in $(seq 600); do
        kill -0 $client 2> /dev/null && [ "$(slowest)" -lt $ENOUGH ] || break
        echo show port stats all >&3
        sleep 0.1
    done
    printf 'stop\nshow port stats all\nshow port info all\nquit\n' >&3
    exec 3>&-
    trap - PIPE
    wait $client || { tail -30 testpmd.out; return 1; }
    tail -90 testpmd.out
    [ "$(slowest)" -ge $ENOUGH ] && [ "$(lost)" = 0 ] &&
        ! grep -q 'IOMMU fault\|ring error' testpmd.out
}
