#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# userfaultfd: a handler in another process, which has it over a socket, as those of Firecracker
# have (uffd_fault.c, uffd_handler.c); either is killed while faults wait.  First on the kernel's,
# where this user may have it, which shows that what is asked for is what the kernel does; then
# emulated, both processes in one run, and each in its own.
. "$(dirname "$0")/lib.sh"
. "$tests/uffd_lib.sh"
cp "$BUILD/tests/clients/uffd-"{fault,handler} .
head -c 2097152 /dev/urandom > content
chmod a+r content

# pair FAULT... WITH HANDLER...: one that faults, and handlers as long as it wants some.  What comes of
# them is in fault.out and handler.out, the exit status that of the one that faults.
cat > pair.sh << 'END'
fault=()
while [ "$1" != WITH ]; do
    fault+=("$1")
    shift
done
shift
rm -f socket fault.out handler.out
timeout 60 "${fault[@]}" > fault.out 2>&1 &
while [ ! -S socket ] && kill -0 $! 2> /dev/null; do sleep 0.01; done
status=0
while [ $status = 0 ] || [ $status = 137 ]; do
    timeout 60 "$@" >> handler.out 2>&1
    status=$?
done
if [ $status != 3 ]; then
    echo "a handler ended with $status" >> handler.out
    kill $!
fi
wait $!
END

declare -A about=(
    [served]="memory from a file, some discarded"
    [last]="handlers killed that have the only reference"
    [held]="handlers killed, others take over, or the file is closed"
    [forever]="the one that faults is killed"
)

# session WHERE LABEL WHAT MEMORY [ROUNDS]: what was said is in fault.out and handler.out.
session() {
    local label="$2: ${about[$3]}, $4" status
    local fault=(./uffd-fault socket content "$4" "$3" ${5:+"$5"})
    local handler=(./uffd-handler socket content)
    [ "$3" != forever ] || handler+=(kill)
    case $1 in
    native) native bash pair.sh "${fault[@]}" WITH "${handler[@]}" ;;
    together) emulated bash pair.sh "${fault[@]}" WITH "${handler[@]}" ;;
    apart) bash pair.sh "${emulate[@]}" "${fault[@]}" WITH "${emulate[@]}" "${handler[@]}" ;;
    esac > session.out 2>&1
    status=$?
    if "as_$3" $status; then
        ok "$label"
    else
        fail "$label" "exit status $status"
        head -20 session.out fault.out handler.out | sed 's/^/    /'
    fi
}

# What is to be, by the exit status of the one that faults.
as_served() {
    [ "$1" = 0 ] && grep -q '^served: 768 pages' fault.out &&
        [ "$(cat handler.out)" = "handler: 768 faults, 256 removals" ]
}
as_last() { [ "$1" = 0 ] && [ ! -s handler.out ]; }
as_held() { [ "$1" = 0 ] && [ "$(grep -vc '^handler: ' handler.out)" = 0 ]; }
as_forever() {
    [ "$1" = 137 ] && cmp -s handler.out - << 'END'
copy: ESRCH
zeropage: ESRCH
continue: ESRCH
fields: untouched
writeprotect: ESRCH
wake: 0
register: ENOMEM
unregister: ENOMEM
poll: 0
read: EAGAIN
close: 0
END
}

sessions() {
    for memory in anon shared; do
        session "$1" "$2" served $memory
        session "$1" "$2" last $memory 15
        session "$1" "$2" held $memory 10
        for _ in 1 2 3; do
            session "$1" "$2" forever $memory
        done
    done
}
if kernel_has_it; then
    sessions native "the kernel"
else
    skip "the kernel" "userfaultfd is not permitted here"
fi
sessions together "one run"
sessions apart "two runs"
finish
