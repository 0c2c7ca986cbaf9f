# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# A guest of Hyper-V and its host, for the tests of daemons and of the agent; after lib.sh.
# The guest is a shell under standin that does what it is told through a pipe.

cat > guest.sh << 'GUEST'
while read -r line; do
    eval "$line" > "$1/said.new" 2>&1 < /dev/null
    echo $? > "$1/status.new"
    mv "$1/said.new" "$1/said"
    mv "$1/status.new" "$1/status"
done
kill -KILL $(jobs -p) 2> /dev/null
GUEST

guest=
# guest_start OPTION...: of `standin run`.
guest_start() {
    rm -f tell && mkfifo tell && chmod 666 tell
    "${user[@]}" "$standin" run "$@" -- bash guest.sh "$work" < tell > guest.log 2>&1 &
    guest=$!
    exec 9> tell
}
guest_stop() {
    exec 9>&-
    wait "$guest"
    guest=
}
# inside COMMAND: in the guest; its output and its status.
inside() {
    rm -f status
    echo "$*" >&9
    for _ in $(seq 1000); do
        [ -e status ] && break
        sleep 0.02
    done
    cat said
    return "$(cat status)"
}
# start_daemon SERVICE [PATH]: the kernel's, in the guest; its pid in $pid.  And what hyperv_cases.sh
# asks for, of the last one that was started.
start_daemon() {
    service=$1 daemon_path=${2:-/usr/sbin/hv_${1}_daemon}
    program="^$daemon_path -n\$"
    inside "$daemon_path -n 9>&- & echo \$!" > pid
    pid=$(cat pid)
}
# kill_daemon [SIGNAL]: and waits for its end.
kill_daemon() { inside "kill -${1:-KILL} $pid; wait $pid 2> /dev/null; true"; }
kill_program() { kill_daemon "$1"; }
start_program() { start_daemon "$service" "$daemon_path"; }
# Its device has gone, and so has it.
revive() { inside "wait $pid 2> /dev/null; true" && start_program; }
# host COMMAND WORDS...: what a host does with this guest.
host() {
    local command=$1
    shift
    as_user "$standin" "$command" --pid "$guest" "$@"
}
kvp() { host kvp "$@"; }
# fails TEXT COMMAND...: the command fails and says so.
fails() {
    local text=$1
    shift
    "$@" > fails.out 2>&1 && { cat fails.out; return 1; }
    cat fails.out
    grep -q -- "$text" fails.out
}
# within_time COMMAND...: succeeds before long.
within_time() {
    for _ in $(seq 1000); do
        "$@" > /dev/null 2>&1 && return 0
        sleep 0.02
    done
    return 1
}
# What a host tells every guest of itself.
host_info() {
    for key in HostName HostingSystemEditionId HostingSystemNestedLevel HostingSystemOsMajor \
        HostingSystemOsMinor HostingSystemProcessorArchitecture PhysicalHostName \
        PhysicalHostNameFullyQualified VirtualMachineId VirtualMachineName \
        VirtualMachineDynamicMemoryBalancingEnabled; do
        kvp set --pool auto-external $key "of-$key" || return 1
    done
}
# What a guest says of itself.
intrinsic() {
    kvp list --pool auto > list || return 1
    for key in FullyQualifiedDomainName IntegrationServicesVersion NetworkAddressIPv4 \
        NetworkAddressIPv6 OSBuildNumber OSName OSMajorVersion OSMinorVersion OSVersion \
        ProcessorArchitecture; do
        grep -q "^$key	" list || { cat list; return 1; }
    done
    [ "$(wc -l < list)" = 10 ] && [ "$(kvp get ProcessorArchitecture)" = "$(uname -m)" ] &&
        [ "$(kvp get IntegrationServicesVersion)" = 3.1 ]
}
