#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The kernel's own ring tests (tools/virtio of Debian's linux-source): virtio_test drives
# /dev/vhost-test with the kernel's virtio driver code, vhost_net_test /dev/vhost-net with a
# tap and a packet socket on it, and vringh_test plays both sides itself and must not notice
# standin.  The tap is a real one, in a network namespace where it needs no rights.
. "$(dirname "$0")/lib.sh"
. "$tests/linux_source.sh"
linux_source || { echo "SKIP: not installed: linux-source-$linux_version, gcc or xz"; exit 77; }

mkdir -p source/tools
cp -r "$linux/tools/virtio" source/tools/
ln -s "$linux/tools/include" source/tools/
ln -s "$linux/"{include,drivers} source/
virtio=$work/source/tools/virtio
drivers=$work/source/drivers
# A wake-up for each buffer, or none at all: less of that than what is built in.
sed 's/0x100000/0x8000/' "$virtio/virtio_test.c" > "$virtio/virtio_test_short.c"
sed -i 's/NUM_XFERS (10000000)/NUM_XFERS (1000000)/' "$virtio/vringh_test.c"
# What the code of drivers/ has by now, and the headers of tools/ don't.
mkdir -p extra/linux
cp source/include/linux/compiler-context-analysis.h extra/linux/
build() {
    (cd "$virtio" && gcc -O2 -w -I. -I../include -I"$work/extra" -fno-strict-overflow \
        -fno-strict-aliasing -fno-common -U_FORTIFY_SOURCE -D'data_race(x)=(x)' \
        -D'MODULE_DESCRIPTION(x)=' -include ../../include/linux/kconfig.h -pthread \
        -o "$work/$1" "${@:2}")
}
check "the kernel's ring code builds" build virtio_ring.o -c "$drivers/virtio/virtio_ring.c"
for test in virtio_test virtio_test_short vhost_net_test; do
    check "$test builds" build $test $test.c "$work/virtio_ring.o"
done
check "vringh_test builds" build vringh_test vringh_test.c "$drivers/vhost/vringh.c" \
    "$work/virtio_ring.o"
[ $failed = 0 ] || finish

# torture TEST BUFFERS OPTIONS...
torture() {
    run -- timeout 60 "./$1" "${@:3}" > out 2>&1 && grep "completed=$2\$" out || {
        cat out
        return 1
    }
}
for options in "" "--no-event-idx" "--no-indirect" "--no-virtio-1" "--delayed-interrupt"; do
    # shellcheck disable=SC2086
    check "virtio_test $options" torture virtio_test_short 0x8000 $options
done
for options in "--batch=256" "--batch=random" "--batch=random --reset=1000" \
    "--batch=random --reset=1 --no-event-idx --no-indirect" \
    "--delayed-interrupt --batch=64 --reset=77777"; do
    # shellcheck disable=SC2086
    check "virtio_test $options" torture virtio_test 0x100000 $options
done

# on_tap OPTIONS...: vhost_net_test, both ways.
on_tap() {
    as_user unshare -Urn "$standin" run --trace="$work/trace" -- timeout 60 ./vhost_net_test \
        --buf-num 20000 "$@" > out 2>&1 && [ "$(grep -c 'completed=0x4e20$' out)" = 2 ] || {
        cat out
        return 1
    }
}
if as_user unshare -Urn sh -c ': <> /dev/net/tun' 2> /dev/null; then
    for options in "" "--no-event-idx --no-indirect" "--no-virtio-1" "--delayed-interrupt"; do
        # shellcheck disable=SC2086
        check "vhost_net_test $options" on_tap $options
    done
    check "by vhost of standin" grep -q 'VHOST_NET_SET_BACKEND.*fd=[0-9].* = 0' trace
else
    skip "vhost_net_test" "no network namespace with a tap can be had here"
fi
for options in "" "--indirect --eventidx --virtio-1" "--parallel"; do
    # shellcheck disable=SC2086
    check "vringh_test $options" run -- timeout 60 ./vringh_test $options
done
rm -f /tmp/vringh_test-file # of --parallel
finish
