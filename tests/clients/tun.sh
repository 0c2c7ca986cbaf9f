#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's qemu-system-x86_64 with -netdev tap on the stood-in /dev/net/tun, and a Debian
# kernel in it: with passt behind the tap, in a hub with another guest, and with a capture
# file.  By /dev/vhost-net, and without, when QEMU reads and writes the tap itself.
. "$(dirname "$0")/lib.sh"
. "$tests/guest.sh"
guest_needs python3

# boot VHOST NAME MAC MORE... : a guest whose first device is on the tap `tap0`.  RUN is what
# standin is to be told.  Leaves NAME.txt, and in NAME.err what is not the guest's.
boot() {
    local vhost=$1 name=$2 mac=$3
    shift 3
    run "${RUN[@]}" -- timeout 60 qemu-system-x86_64 -M pc -m 256 "${guest[@]}" \
        -netdev "tap,id=n,ifname=tap0,script=no,downscript=no,vhost=$vhost" \
        -device "virtio-net-pci,netdev=n,mac=$mac,romfile=" "$@" \
        < /dev/null > "$name.out" 2> "$name.err"
    guest_output < "$name.out" > "$name.txt"
    sed 's/^/    /' "$name.txt" "$name.err"
}

# Starts passt in the background: $passt, or the reason why not in passt/out.  It becomes
# nobody if root starts it, and says that its socket is there even if it could not make it.
start_passt() {
    rm -rf passt
    mkdir -m 777 passt
    "${user[@]}" passt -1 -f -s "$work/passt/socket" -4 -a 10.77.0.2 -n 255.255.255.0 \
        -g 10.77.0.1 > passt/out 2>&1 &
    passt=$!
    for _ in $(seq 100); do
        [ -S passt/socket ] && return
        kill -0 $passt 2> /dev/null || return
        sleep 0.05
    done
    return 1
}

# The guest's gateway is the host's loopback.
with_passt() {
    local host vhost ports RUN
    head -c 16M /dev/urandom > data
    "${user[@]}" python3 "$tests/tun_host.py" serve "$work/data" "$work/back" > ports &
    host=$!
    for _ in $(seq 100); do
        [ "$(wc -l < ports)" = 2 ] && break
        sleep 0.05
    done
    mapfile -t ports < ports
    guest_initrd virtio_net virtio_pci << INIT
cat > /dhcp << 'END'
#!/bin/sh
[ "\$1" = bound ] || exit 0
ifconfig eth0 \$ip netmask \$subnet mtu 1500
echo "ADDRESS \$ip"
END
chmod +x /dhcp
ifconfig eth0 up
udhcpc -q -n -i eth0 -s /dhcp 2> /dev/null
wget -q -O /tmp/data http://10.77.0.1:${ports[0]}/data
echo "DATA \$(md5sum < /tmp/data)"
nc 10.77.0.1 ${ports[1]} < /tmp/data
if [ -e /sys/class/net/eth1 ]; then
    ifconfig eth1 10.79.0.1 netmask 255.255.255.0 up
    ping -c 1 -W 1 10.79.0.2 > /dev/null
    arp -s 10.79.0.3 52:54:00:00:00:33
    ping -c 1 -W 1 -s 1000 10.79.0.3 > /dev/null
fi
INIT
    if ! start_passt; then
        skip "passt" "it does not start here: $(grep -v syslog passt/out | tail -1)"
        kill $host
        return
    fi
    RUN=(--net "socket=$work/passt/socket,ifname=tap0" --net "pcap=$work/tap1.pcap,ifname=tap1"
        --log info --trace="$work/trace")
    boot on passt 52:54:00:00:00:01 \
        -netdev tap,id=m,ifname=tap1,script=no,downscript=no,vhost=off \
        -device virtio-net-pci,netdev=m,mac=52:54:00:00:00:09,romfile=
    check "passt: an address by DHCP" grep -q '^ADDRESS 10.77.0.2' passt.txt
    check "passt: 16 MiB to the guest" \
        grep -q "^DATA $(md5sum < data | cut -d' ' -f1)" passt.txt
    check "passt: 16 MiB from the guest" cmp data back
    check "passt: by vhost of standin" grep -q 'VHOST_NET_SET_BACKEND.*fd=[0-9].* = 0' trace
    check "what went through is logged at the end" \
        grep -q 'net: tap0: sent [1-9].* received [1-9].* dropped 0' passt.err
    check "the capture file" python3 "$tests/tun_host.py" pcap tap1.pcap 52:54:00:00:00:09
    kill $host $passt 2> /dev/null
    wait
}

# Two runs of standin and one path: whoever comes first serves.  Both guests serve a file
# and fetch the other's.
with_hub() {
    local RUN=(--net "hub=$work/hub")
    guest_initrd virtio_net virtio_pci << 'INIT'
me=$(cut -d: -f6 /sys/class/net/eth0/address)
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.78.0.${me#0} netmask 255.255.255.0 up
other=10.78.0.$((3 - ${me#0}))
mkdir /www
dd if=/dev/urandom of=/www/data bs=1M count=16 2> /dev/null
httpd -p 8080 -h /www
i=0
while [ $i -lt 30 ] && ! ping -c 1 -W 1 $other > /dev/null; do i=$((i + 1)); done
ping -c 3 -i 0.2 -s 1400 $other | grep received
while [ $i -lt 30 ] && ! wget -q -O /tmp/data http://$other:8080/data; do
    i=$((i + 1))
    sleep 0.5
done
for file in /www/data /tmp/data; do
    echo "$file $(wc -c < $file) $(md5sum < $file)"
done
# The second stays until the first has got everything, and the first until the second
# listens, which it does when it has.
if [ $me = 02 ]; then
    echo "HEARD $(timeout 30 nc -l -p 9000)"
    sleep 0.3
else
    while [ $i -lt 60 ] && ! echo "that it is done" | timeout 5 nc $other 9000; do
        i=$((i + 1))
        sleep 0.5
    done
fi
INIT
    boot on hub1 52:54:00:00:00:01 > hub1.log &
    boot off hub2 52:54:00:00:00:02 > hub2.log &
    wait
    cat hub1.log hub2.log
    for i in 1 2; do
        check "hub: guest $i pings the other" \
            grep -q '^3 packets transmitted, 3 packets received' hub$i.txt
        check "hub: guest $i has the other's 16 MiB" \
            grep -q "^/tmp/data $(sed -n 's:^/www/data \(16777216 .*\):\1:p' hub$((3 - i)).txt)$" \
            hub$i.txt
    done
    check "hub: a connection" grep -q '^HEARD that it is done' hub2.txt
    check "hub: its socket is gone" test ! -e hub
}

if have passt; then
    with_passt
else
    skip "passt" "it is not installed"
fi
with_hub
check "without --net, the machine's own" sh -c \
    "[ \"\$('$standin' run -- stat -Lc %t:%T /dev/net/tun 2>&1)\" = \"\$(stat -Lc %t:%T /dev/net/tun 2>&1)\" ]"
finish
