#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What `make install` puts where: the installed command works from anywhere, also from a path
# that LD_PRELOAD can't name, and a program can be built against the library.
. "$(dirname "$0")/lib.sh"

have meson || { echo "SKIP: meson is not here"; exit 77; }
tree=$work/in\ stalled
meson install -C "$BUILD" --no-rebuild --quiet --destdir "$tree" > install.log 2>&1 ||
    { cat install.log; fail "meson install"; finish; }
prefix=$(dirname "$(dirname "$(find "$tree" -name standin -path '*/bin/*')")")

works_anywhere() { [ "$("$prefix/bin/standin" run -- cat /sys/bus/pci/devices/0000:01:00.0/vendor)" = 0x1b36 ]; }
check "the installed command, from a directory with a space in its name" works_anywhere
finds_its_own() { "$prefix/bin/standin" doctor | grep -q "^ok  runtime library *$prefix/"; }
check "it finds the libraries that were installed with it" finds_its_own
pages() {
    for page in standin.1 standin-run.1 standin-devices.7 standin-agent.8 standin-hyperv.1 standin-hyperv.3; do
        [ -n "$(find "$tree" -path "*/man${page##*.}/$page*")" ] || { echo "no $page"; return 1; }
    done
}
check "the man pages" pages
unit() {
    local file
    file=$(find "$tree" -path '*/systemd/system/standin-agent.service') && [ -n "$file" ] &&
        [ -x "$tree$(sed -n 's/^ExecStart=\([^ ]*\) agent$/\1/p' "$file")" ]
}
check "the agent's unit names the command" unit
verified() {
    sed "s|^ExecStart=[^ ]*|ExecStart=$standin|" "$(find "$tree" -path '*/systemd/system/standin-agent.service')" \
        > standin-agent.service && systemd-analyze verify --man=no "$PWD/standin-agent.service"
}
if have systemd-analyze; then
    check "systemd knows all that is in it" verified
else
    skip "systemd knows all that is in it" "systemd-analyze is not here"
fi

built_against_it() {
    pc=$(dirname "$(find "$tree" -name standin.pc)")
    cat > user.c << 'END'
#include <fcntl.h>
#include <stdio.h>
#include <linux/vfio.h>
#include <standin/standin.h>

int main(void)
{
    int fd;

    if (standin_start("device edu,addr=01:00.0\n") < 0) {
        fprintf(stderr, "%s\n", standin_error());
        return 1;
    }
    fd = standin_open("/dev/vfio/vfio", O_RDWR);
    printf("%d %d\n", standin_ioctl(fd, VFIO_GET_API_VERSION),
           standin_ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU));
    standin_stop();
    return 0;
}
END
    # The .pc file names the final prefix; here it is below the staging directory.
    ln -s "$tree" staged
    root=${prefix#"$tree"}
    flags=$(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$PWD/staged$root" --cflags --libs standin) || return 1
    gcc -o user user.c $flags || return 1
    [ "$(LD_LIBRARY_PATH=$(dirname "$pc") ./user)" = "0 1" ]
}
if have gcc && have pkg-config; then
    check "a program built with pkg-config" built_against_it
else
    skip "a program built with pkg-config" "gcc or pkg-config is not here"
fi

finish
