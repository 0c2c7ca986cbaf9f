#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Packets: DPDK's testpmd on standin's virtio-net and on its vDPA device, against DPDK's own
# vhost-user pair on the same machine.   bench/pvp.sh [BUILD_DIRECTORY]
#
# Both have two processors: one for testpmd's virtio driver, one for the other side, which is
# another testpmd's net_vhost, or standin's thread.  What is counted is packets of the receiver:
#   io  128 packets go round and round: the driver's burst, both ways at once
#   tx  the driver sends; net_vhost takes (standin: a link that reads and drops)
#   rx  net_vhost sends (standin: a link on which packets always wait); the driver takes
# Each figure is the median of BENCH_REPEAT starts, peer and standin in turn: at its start a
# pair falls into a fast or a slow mode and stays there.
set -u
. "$(dirname "$0")/lib.sh"
command -v dpdk-testpmd > /dev/null || { echo "SKIP: dpdk-dev is not installed"; exit 0; }
[ "$(nproc)" -gt 1 ] || { echo "SKIP: packets need two processors"; exit 0; }
cd "$work" || exit 1
common=(--no-huge -m 256 --iova-mode=va --no-telemetry)

# begin NAME PROCESSORS MODE SIZE EAL-OPTIONS...: a testpmd, under "${under[@]}", that waits for
# commands.
# Descriptor ${input[NAME]} takes them, NAME.out has what it says.
declare -A input process
begin() {
    local name=$1 lcores=$2 mode=$3 size=$4 fd
    shift 4
    rm -f "$name.in" && mkfifo "$name.in"
    "${under[@]}" dpdk-testpmd "${common[@]}" --file-prefix "$name$$" --lcores "$lcores" "$@" -- \
        --total-num-mbufs=8192 --forward-mode="$mode" --txpkts="$size" --no-flush-rx -i \
        < "$name.in" > "$name.out" 2>&1 &
    process[$name]=$!
    exec {fd}> "$name.in"
    input[$name]=$fd
    for _ in {1..500}; do
        ! grep -q 'testpmd> ' "$name.out" || return 0
        kill -0 "${process[$name]}" 2> /dev/null || break
        sleep 0.02
    done
    return 1
}
tell() { echo "$2" >&"${input[$1]}"; }
end() {
    local fd=${input[$1]}
    tell "$1" quit
    exec {fd}>&-
    wait "${process[$1]}" || true
}
# sample NAME: notes how fast packets go for 0.4 s, by testpmd's own clock.  What it says is in
# the file when it has ended:
# rate NAME Rx|Tx: in Mpps.
sample() {
    tell "$1" 'show port stats 0'
    sleep 0.4
    tell "$1" 'show port stats 0'
}
rate() { awk -v k="$2-pps:" '$1 == k {n = $2} END {printf "%.3f\n", n / 1e6}' "$1.out"; }

# SIDE MODE SIZE RING: one start, in Mpps.
pair() {
    local mode=$1 size=$2 ring=$3 guest=io host=io receiver=guest options= under=()
    [ "$mode" != tx ] || { guest=txonly host=rxonly receiver=host; }
    [ "$mode" != rx ] || { guest=rxonly host=txonly; }
    [ "$ring" != packed ] || options=,packed_vq=1
    rm -f socket
    begin host '0@1,1@0' $host "$size" --no-pci --vdev "net_vhost0,iface=socket,queues=1" &&
        begin guest '0@0,1@1' $guest "$size" --no-pci \
            --vdev "net_virtio_user0,path=socket,queues=1,queue_size=256$options" || return 1
    tell host start
    sleep 0.1
    tell guest "start$([ "$mode" != io ] || echo ' tx_first 4')"
    sleep 0.2
    sample $receiver
    end guest
    end host
    rate $receiver Rx
}
# What standin's thread is plugged into for a mode, and what the driver does.
link() { case $1 in io) echo loopback ;; *) echo "flood=$2" ;; esac; }
forward() { case $1 in io) echo io ;; tx) echo txonly ;; rx) echo rxonly ;; esac; }
# ours MODE: what is left when testpmd has begun.
ours() {
    tell ours "start$([ "$1" != io ] || echo ' tx_first 4')"
    sleep 0.2
    sample ours
    end ours
    if [ "$1" = tx ]; then rate ours Tx; else rate ours Rx; fi
}
vfio() {
    local mode=$1 size=$2 packed=off under
    [ "$3" != packed ] || packed=on
    under=("$standin" run --device
        "virtio-net,addr=01:00.0,packed=$packed,net=$(link "$mode" "$size")" --)
    begin ours '0@0,1@1' "$(forward "$mode")" "$size" -a 0000:01:00.0 && ours "$mode"
}

vdpa() {
    local mode=$1 size=$2 options=,queues=1,queue_size=256 under
    [ "$3" != packed ] || options+=,packed_vq=1
    under=("$standin" run --vdpa "net,net=$(link "$mode" "$size")" --)
    begin ours '0@0,1@1' "$(forward "$mode")" "$size" --no-pci \
        --vdev "net_virtio_user0,path=/dev/vhost-vdpa-0$options" && ours "$mode"
}

declare -A title=([vfio]='virtio-net by VFIO' [vdpa]='vdpa net by virtio_user')
compare() {
    local mode=$1 size=$2 ring=$3 side theirs figure
    rm -f ./*.figures
    for ((i = 0; i < repeat; i++)); do
        for side in pair vfio vdpa; do
            $side "$mode" "$size" "$ring" >> $side.figures || { tail -n 3 ./*.out; exit 1; }
        done
    done
    theirs=$(median < pair.figures)
    for side in vfio vdpa; do
        figure=$(median < $side.figures)
        row "${title[$side]}, $mode, $ring, $size B, Mpps" "$figure" "$theirs" \
            "$(ratio "$figure" "$theirs")" 'at least 1.0'
    done
}

for size in 64 1518; do
    for mode in io tx rx; do
        compare $mode $size split
    done
    compare io $size packed
done
