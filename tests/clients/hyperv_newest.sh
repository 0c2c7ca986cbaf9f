#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The newest of the kernel's daemons that Debian offers, as the sources of a linux-source package or
# of STANDIN_LINUX_SOURCE have them, unchanged: hv_kvp_daemon, hv_vss_daemon, and
# hv_fcopy_uio_daemon on the rings of the channel, do what every guest does (hyperv_cases.sh).
. "$(dirname "$0")/lib.sh"
. "$tests/hyperv_guest.sh"
. "$tests/hyperv_cases.sh"

newest=
for archive in $(ls -v /usr/src/linux-source-*.tar.xz 2> /dev/null) "${STANDIN_LINUX_SOURCE:-}"; do
    [ ! -e "$archive" ] || newest=$archive
done
build_newest() {
    case $newest in
    *.tar.xz) mkdir hv && tar xf "$newest" -C hv --wildcards --strip-components=3 '*/tools/hv/*' ;;
    *) cp -r "$newest/tools/hv" hv ;;
    esac &&
        cc -O1 -w -o hv/hv_kvp_daemon hv/hv_kvp_daemon.c &&
        cc -O1 -w -o hv/hv_vss_daemon hv/hv_vss_daemon.c &&
        cc -O1 -w -o hv/hv_fcopy_uio_daemon hv/hv_fcopy_uio_daemon.c hv/vmbus_bufring.c &&
        chmod -R a+rX hv
}
have cc || { echo "SKIP: cc is not here"; exit 77; }
[ -n "$newest" ] || { echo "SKIP: no linux-source package, nor STANDIN_LINUX_SOURCE"; exit 77; }
build_newest > build.log 2>&1 ||
    { echo "SKIP: $(basename "$newest") has no tools/hv that can be built"; exit 77; }
# hv_kvp_daemon writes records whose ends it has not set, and meson fills what malloc() gives.
unset MALLOC_PERTURB_
echo "of $(basename "$newest" .tar.xz)"

guest_start --hyperv
start_daemon kvp "$work/hv/hv_kvp_daemon"
kvp_cases
guest_stop

guest_start --hyperv
start_daemon vss "$work/hv/hv_vss_daemon"
vss_cases
guest_stop
if [ ${#user[@]} = 0 ] && have losetup && have mke2fs && mount_real > real.log 2>&1; then
    guest_start "--hyperv=freeze=$work/mnt:$work/small:$work/readonly"
    start_daemon vss "$work/hv/hv_vss_daemon"
    real_cases
    guest_stop
else
    skip "VSS: real file systems are frozen and thawed" "no loop device can be mounted here"
fi
umount_real

guest_start --hyperv=uio=on
start_daemon fcopy "$work/hv/hv_fcopy_uio_daemon"
# That of Linux 6.12 reads without end from a device that has gone.
revive() { kill_program KILL && start_program; }
# Its own conversion spoils names beyond ASCII.
fcopy_cases
negotiated() { host hyperv status | grep -q 'fcopy *ready *3.0 *1.1'; }
check "it has negotiated the versions itself" negotiated
guest_stop

finish
