# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The parts of Debian's kernel source that tests build programs from, unchanged.  To be sourced
# after lib.sh, from "$tests/linux_source.sh".
#
#	linux_version      which one
#	linux_source       unpacks it below $BUILD, which takes a while, unless another test has; $linux
#	                   is then the directory, which is to be read only.  Fails if the package
#	                   linux-source-$linux_version, gcc or xz isn't there.
linux_version=6.12

linux_source() {
    local archive=/usr/src/linux-source-$linux_version.tar.xz parts
    parts=(include lib/test_hmm_uapi.h mm/gup_test.h drivers/{vhost,virtio} tools/{include,virtio}
        tools/testing/selftests/mm 'tools/testing/selftests/*.h')
    linux=$BUILD/linux-source-$linux_version
    [ -e "$archive" ] && have gcc && have xz || return 1
    {
        flock 8
        [ ! -d "$linux" ] || return 0
        rm -rf "$linux.new"
        mkdir "$linux.new" && xz -dc -T0 "$archive" |
            tar -x -C "$linux.new" --strip-components=1 --wildcards \
                "${parts[@]/#/linux-source-$linux_version/}" && mv "$linux.new" "$linux"
    } 8> "$linux.lock"
}
