#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# <standin/hyperv.h> as a user has it: hyperv_api.c, built with pkg-config against what `make
# install` installs, is the host of Debian's daemons.
. "$(dirname "$0")/lib.sh"

for tool in gcc pkg-config meson; do
    have $tool || { echo "SKIP: $tool is not here"; exit 77; }
done
for daemon in kvp vss fcopy; do
    if [ ! -x /usr/sbin/hv_${daemon}_daemon ]; then
        echo "SKIP: /usr/sbin/hv_${daemon}_daemon is not installed (package hyperv-daemons)"
        exit 77
    fi
done
# hv_kvp_daemon writes records whose ends it has not set, and meson fills what malloc() gives.
unset MALLOC_PERTURB_

tree=$work/installed
meson install -C "$BUILD" --no-rebuild --quiet --destdir "$tree" > install.log 2>&1 ||
    { cat install.log; fail "meson install"; finish; }
chmod -R a+rX "$tree"
prefix=$(dirname "$(dirname "$(find "$tree" -name standin -path '*/bin/*')")")
library=$(dirname "$(find "$tree" -name libstandin.so)")
export LD_LIBRARY_PATH=$library STANDIN=$prefix/bin/standin

build() {
    local flags
    # The .pc file names the final prefix; here it is below the staging directory.
    flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$tree" -name standin.pc)") \
        pkg-config --define-variable=prefix="$prefix" --cflags --libs standin) &&
        gcc -Wall -Wextra -Wno-unused-parameter -Werror -o hyperv-api "$tests/hyperv_api.c" $flags
}
check "a program is built with pkg-config" build
[ $failed = 0 ] || finish
chmod a+rx hyperv-api
if have g++; then
    echo '#include <standin/hyperv.h>' > header.cc
    check "the header is one for C++, too" g++ -Wall -Werror -fsyntax-only \
        -I"$(dirname "$(find "$tree" -path '*/include/standin')")" header.cc
else
    skip "the header is one for C++, too" "g++ is not here"
fi

try() {
    mkdir "to-$1" && chmod 777 "to-$1"
    as_user ./hyperv-api "$1" "$work/to-$1"
}
check "KVP: pairs in all pools, numbers, what is missing or too long" try pairs
check "KVP: addresses" try addresses
check "a daemon that is killed, put to sleep, and loses its device" try lives
check "VSS: a backup's steps" try backups
check "FCOPY: progress, directories, a copy that is stopped" try copies
check "messages of any kind, several on their way, one without an answer" try messages

finish
