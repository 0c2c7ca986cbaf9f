#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's qemu-system-x86_64 (TCG) with userfaultfd emulated: the destination of a postcopy
# migration, whose guest runs while its memory is fetched page by page; and a background snapshot,
# which write-protects the memory of a guest that runs on.  The guest writes to all of its memory
# and finds out by itself if any of it is lost or old (uffd_guest.S).
. "$(dirname "$0")/lib.sh"
. "$tests/uffd_lib.sh"
missing=
for command in qemu-system-x86_64 python3 as ld; do
    have $command || missing="$missing $command"
done
[ -z "$missing" ] || { echo "SKIP: not installed:$missing"; exit 77; }
as --32 -o guest.o "$tests/uffd_guest.S" && ld -m elf_i386 -Ttext 0x100000 -o guest guest.o || exit 1
chmod a+r guest

# start RUNNER NAME OPTION...: a QEMU in the background; its console is NAME.out.
start() {
    local runner=$1 name=$2
    shift 2
    : > "$name.out"
    chmod 666 "$name.out"
    "$runner" timeout 100 qemu-system-x86_64 -accel tcg -M pc -m 80 -nodefaults -display none \
        -kernel guest -serial "file:$name.out" \
        -qmp "unix:$work/$name.qmp,server=on,wait=off" "$@" < /dev/null 2> "$name.err" &
}

# steps WHAT: does it, and waits for the QEMUs.
steps() {
    as_user python3 -B "$tests/uffd_qemu.py" "$work" "$1" > steps 2>&1
    wait
    sed 's/^/    /' steps ./*.err
    cat ./*.err > complaints
    rm -f ./*.qmp ./*.err
}

start native source
start emulated destination -incoming "unix:$work/stream"
steps postcopy
check "postcopy: the guest moves, and asks for pages" grep -q '^moved: [1-9]' steps
check "postcopy: it goes on with its memory" grep -q '^goes on there' steps
check "postcopy: how long it waited" grep -q '^goes on there; waited ms: [0-9]' steps
check "postcopy: QEMU has no complaints" test ! -s complaints

start emulated source
steps snapshot
check "snapshot: saved" grep -q '^saved: [1-9]' steps
check "snapshot: the guest goes on" grep -q '^goes on' steps
check "snapshot: QEMU has no complaints" test ! -s complaints
if [ -s image ]; then
    start native restored -incoming "exec:cat $work/image"
    steps restored
    check "snapshot: it is of one moment" grep -q '^restored' steps
    check "snapshot: a QEMU takes it without complaints" test ! -s complaints
fi
finish
