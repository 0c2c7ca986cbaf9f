#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The kernel's own ring tests (tools/virtio of Debian's linux-source), built unchanged:
# virtio_test drives /dev/vhost-test with the kernel's virtio driver code, a million buffers
# a run; vringh_test plays both sides itself and must not notice standin.
. "$(dirname "$0")/lib.sh"
archive=$(ls /usr/src/linux-source-6.1.tar.xz 2> /dev/null)
[ -n "$archive" ] || { echo "SKIP: linux-source-6.1 is not installed"; exit 77; }
have gcc && have xz || { echo "SKIP: gcc or xz is not installed"; exit 77; }

mkdir source
xz -dc "$archive" | tar -x -C source --strip-components=1 --wildcards \
    'linux-source-6.1/'{tools/virtio,tools/include,include,drivers/virtio,drivers/vhost}
# data_race() came to the headers of tools/ later than to the code.
build() {
    (cd source/tools/virtio && gcc -O2 -w -I. -I../include -fno-strict-overflow \
        -fno-strict-aliasing -fno-common -U_FORTIFY_SOURCE -D'data_race(x)=(x)' \
        -include ../../include/linux/kconfig.h -pthread -o "$work/$1" "$1.c" "${@:2}")
}
check "virtio_test builds" build virtio_test ../../drivers/virtio/virtio_ring.c
check "vringh_test builds" build vringh_test ../../drivers/vhost/vringh.c \
    ../../drivers/virtio/virtio_ring.c
[ $failed = 0 ] || finish

torture() {
    run -- timeout 120 ./virtio_test "$@" > out 2>&1 && grep 'completed=0x100000$' out || {
        cat out
        return 1
    }
}
for options in "" "--no-event-idx" "--no-indirect" "--no-virtio-1" "--delayed-interrupt" \
    "--batch=256" "--batch=random" "--batch=random --reset=1000" \
    "--batch=random --reset=1 --no-event-idx --no-indirect" \
    "--delayed-interrupt --batch=64 --reset=77777"; do
    # shellcheck disable=SC2086
    check "virtio_test $options" torture $options
done
for options in "" "--indirect --eventidx --virtio-1" "--parallel"; do
    # shellcheck disable=SC2086
    check "vringh_test $options" run -- timeout 120 ./vringh_test $options
done
rm -f /tmp/vringh_test-file # of --parallel
finish
