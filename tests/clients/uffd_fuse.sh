#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# --uffd-backing=fuse: system calls that are given missing pages wait, those that no library sees as
# well (uffd_kernel.c).  First on the kernel's userfaultfd, where this user may have it, which shows that
# what is asked for is what the kernel does.  A process that is killed while threads of it wait ends,
# and leaves nothing.
. "$(dirname "$0")/lib.sh"
. "$tests/uffd_lib.sh"
cp "$BUILD/tests/clients/uffd-kernel" .

# verdicts LABEL: of the checks whose lines are in `lines`; the program ended with $status.
verdicts() {
    local word what
    while read -r word what; do
        case $word in
        ok) ok "$1: $what" ;;
        skipped) skip "$1" "$what" ;;
        *) fail "$1: $word $what" ;;
        esac
    done < lines
    [ $status = 0 ] || fail "$1" "exit status $status"
}

if kernel_has_it; then
    native timeout 60 ./uffd-kernel > lines 2>&1
    status=$?
    verdicts "the kernel"
else
    skip "the kernel" "userfaultfd is not permitted here"
fi
emulated timeout -s KILL 100 ./uffd-kernel > lines 2>&1
status=$?
verdicts "fuse"

is_there() { [ -e "/proc/$1/stat" ] && ! grep -q ') Z' "/proc/$1/stat"; }

# ends SIGNAL ARGUMENT...: with this signal, at once when it has said something.
ends() {
    local signal=$1 pid i
    shift
    : > said
    chmod 666 said
    "${emulate[@]}" bash -c 'echo $$ > pid; exec "$@" > said' bash ./uffd-kernel "$@" &
    for i in {1..500}; do
        [ ! -s said ] || break
        sleep 0.02
    done
    pid=$(cat pid)
    grep fuse "/proc/$pid/mountinfo" > mounts
    kill -"$signal" "$pid" && [ -s said ] || return 1
    wait $! 2> /dev/null
    for i in {1..500}; do
        is_there "$pid" || break
        sleep 0.02
    done
    ! is_there "$pid"
}

grep fuse /proc/self/mountinfo > before
touch pid mounts
chmod 666 pid mounts
for signal in KILL TERM SEGV; do
    check "$signal while threads wait: the process ends" ends $signal wait 6
    check "$signal: nothing was mounted where others see it" cmp before mounts
done
for i in 1 2 3; do
    check "KILL while threads work ($i)" ends KILL work
done

# What can't be had is said, and nothing runs.
if [ "$(id -u)" = 0 ] && have unshare && unshare -m true 2> /dev/null; then
    unshare -m bash -c 'mount -t tmpfs none /dev && exec "$@"' bash \
        "$standin" run --uffd-backing=fuse -- touch ran > refusal 2>&1
    status=$?
    check "without /dev/fuse it says so" grep -q "uffd-backing: /dev/fuse can't be used" refusal
    check "in one line" test "$(wc -l < refusal)" = 1
    check "and runs nothing" test $status != 0 -a ! -e ran
fi
finish
