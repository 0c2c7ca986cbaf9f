#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The command itself: exit statuses, one-line complaints, signals, what is left behind, and
# that a client finds its descriptors, signals and environment as it would alone.
sources=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/lib.sh"

# Private directories go where nobody else's are, so that they can be counted.
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
[ "${AS_USER:-0}" = 1 ] && chown 65534:65534 "$XDG_RUNTIME_DIR"
directories() { find "$XDG_RUNTIME_DIR" -mindepth 1 -maxdepth 1 | wc -l; }
none_left() { [ "$(directories)" = 0 ] || { ls -la "$XDG_RUNTIME_DIR"; return 1; }; }

# status N COMMAND...: whether it exits with N.
status() {
    local want=$1 got=0
    shift
    "$@" || got=$?
    [ $got = "$want" ] || { echo "exit status $got, not $want: $*"; return 1; }
}

# ---- the client's exit status ----

for n in 0 1 2 42 255; do
    check "exit status $n is passed on" status $n run -- sh -c "exit $n"
done
for signal in TERM KILL SEGV ABRT HUP; do
    n=$((128 + $(kill -l $signal)))
    check "a client killed by $signal gives $n" status $n run -- sh -c "kill -$signal \$\$"
done
check "a program that is not found gives 127" status 127 run -- no-such-program-here
check "a path that is not found gives 127" status 127 run -- /no/such/program
echo 'not executable' > plain
chmod 644 plain
check "a file that is not executable gives 126" status 126 run -- "$work/plain"
check "a directory gives 126" status 126 run -- /
check "a program without --" status 7 run sh -c 'exit 7'
check "options of the program are left to it" status 0 run sh -c '[ "$1" = --trace ]' - --trace
check "nothing is left behind after all of these" none_left

# ---- the command line: one line, exit 2, client not started ----

as_user touch empty.img
as_user truncate -s 1M some.img
as_user mkdir locked.d
printf 'device nvme\nnonsense here\n' > bad.conf
chmod 644 bad.conf

# refused NAME PATTERN OPTION...: refused with one line that matches, and nothing started.
refused() {
    local name=$1 pattern=$2 got=0
    shift 2
    run "$@" -- sh -c "touch $work/started; echo started" > out 2> err || got=$?
    if [ $got != 2 ]; then
        fail "$name" "exit status $got"
    elif [ -s out ] || [ -e started ]; then
        fail "$name" "the client was started"
    elif [ "$(wc -l < err)" != 1 ]; then
        fail "$name" "$(wc -l < err) lines: $(cat err)"
    elif ! grep -q "^standin: .*$pattern" err; then
        fail "$name" "$(cat err)"
    elif ! none_left > /dev/null; then
        fail "$name" "a directory is left"
    else
        ok "$name"
    fi
    rm -f started
}
refused "unknown device" "no device model is named 'nosuch'" --device nosuch
refused "unknown key" "no key is named 'colour'" --device nvme,colour=red
refused "no key=value" "'whatever' is not key=value" --device nvme,whatever
refused "bad address" "is no PCI address" --device nvme,addr=zz
refused "address taken twice" "0000:01:00.0 is taken twice" --device nvme,addr=01:00.0 --device edu,addr=01:00.0
refused "missing file" "No such file" --device nvme,file=/no/such/file
refused "empty file" "size\|empty" --device "nvme,file=$work/empty.img"
refused "file that is a directory" "directory" --device "nvme,file=$work/locked.d"
refused "size 0" "size" --device nvme,size=0
refused "size that is no number" "size" --device nvme,size=big
refused "unknown option" "unknown option '--nosuch'" --nosuch
refused "unknown option with a value" "unknown option '--nosuch=1'" --nosuch=1
refused "unknown short option" "unknown option '-x'" -x
refused "missing config file" "No such file" --config /no/such/file
refused "config file with an error" "bad.conf: line 2: no directive is named 'nonsense'" --config "$work/bad.conf"
refused "bad log level" "'loud' is not one of" --log loud
refused "unknown setting" "no setting is named 'vfio.nosuch'" --set vfio.nosuch=1
refused "setting without a value" "not NAME=VALUE" --set vfio.memlock
refused "bad fault" "errno" --fault VFIO_IOMMU_MAP_DMA:errno=ENOSUCH
refused "fault without an errno" "errno= is missing" --fault VFIO_IOMMU_MAP_DMA
refused "unknown fault point" "no fault point is named" --fault NO_SUCH_POINT:errno=EIO
refused "trace file in a missing directory" "No such file" --trace=/no/such/directory/trace
refused "empty trace file name" "needs a file" --trace=
refused "line break in a value" "line break" --device "nvme,file=a
b"

one_line_usage() {
    local got=0
    as_user "$standin" "$@" > out 2> err || got=$?
    cat out err
    [ $got = 2 ] && [ ! -s out ] && [ "$(wc -l < err)" = 1 ] && grep -q '^standin: ' err
}
check "no command" one_line_usage
check "unknown command" one_line_usage nosuch
check "unknown option of standin" one_line_usage --nosuch
check "no program" one_line_usage run
check "no program after --" one_line_usage run --device nvme --
check "option that lacks its value" one_line_usage run --device
check "list with an argument" one_line_usage list nosuch
check "list with an unknown option" one_line_usage list --nosuch
check "doctor with two programs" one_line_usage doctor sh sh
check "doctor with a program that is not there" one_line_usage doctor no-such-program-here

prints() {
    local pattern=$1
    shift
    as_user "$standin" "$@" > out 2> err && [ ! -s err ] && grep -q "$pattern" out
}
check "--version" prints '^standin [0-9]' --version
check "--help" prints 'standin run' --help
for command in run list doctor; do
    check "help $command" prints "^Usage: standin $command" help $command
    check "$command --help" prints "^Usage: standin $command" $command --help
done
check "list --devices names nvme and its keys" prints '^nvme:' list --devices
check "list --ioctls names VFIO's" prints 'VFIO_IOMMU_MAP_DMA' list --ioctls
check "list --faults names ioctls" prints '^  VFIO_IOMMU_MAP_DMA' list --faults
check "list --faults names the backends' points" prints '^  backend' list --faults

# The man page and the registries say the same.
documented() {
    local page=$sources/man/standin-devices.7 key
    as_user "$standin" list --devices > out || return 1
    for key in $(awk '/^  / {print $1}' out) $(sed -n 's/^\([a-z-]*\):.*/\1/p' out); do
        grep -Eq "^\.(BI|BR|SS) $key(=|\$)" "$page" || { echo "$key is not in $page"; return 1; }
    done
}
check "every model and key is in its man page" documented
options_documented() {
    as_user "$standin" help run > out || return 1
    for option in $(grep -o '^  --[a-z]*' out); do
        grep -q "$(echo "$option" | sed 's/-/\\\\-/g')" "$sources/man/standin-run.1" ||
            { echo "$option is not in standin-run.1"; return 1; }
    done
}
check "every option of run is in its man page" options_documented

no_space() { ! as_user "$standin" list > /dev/full 2> err && grep -q '^standin: ' err; }
check "list to a full device fails" no_space

# ---- doctor ----

check "doctor finds all that is needed" prints '^ok  injected library' doctor
check "doctor about a dynamic program" prints 'is dynamically linked' doctor /bin/sh
check "doctor about a script" prints '^ok  script' doctor "$(command -v ldd)"
static_program() {
    command -v gcc > /dev/null || return 77
    echo 'int main(void) { return 5; }' > static.c
    gcc -static -o static static.c && chmod 755 static
}
if static_program; then
    explains_static() {
        local got=0
        as_user "$standin" doctor "$work/static" > out || got=$?
        [ $got = 1 ] && grep -q '^no  program .*statically linked' out
    }
    check "doctor explains a static program" explains_static
    warns_static() {
        status 5 run -- "$work/static" 2> err && [ "$(wc -l < err)" = 1 ] &&
            grep -q '^standin: warning: .*statically linked' err
    }
    check "run warns of a static program and runs it" warns_static
else
    skip "static programs" "gcc can't make one here"
fi

# ---- signals and cleaning up ----

# A function in the background would be a shell of its own.
user=()
[ "${AS_USER:-0}" = 1 ] && user=(setpriv --reuid=65534 --regid=65534 --clear-groups)

# until_ready PROGRAM...: starts it under standin in the background and waits for the file
# `ready`; $parent is standin's process.
until_ready() {
    rm -f ready
    chmod 777 "$work"
    "${user[@]}" "$standin" run -- "$@" &
    parent=$!
    for ((i = 0; i < 200; i++)); do
        [ -e ready ] && return 0
        sleep 0.05
    done
    return 1
}
# The process whose parent is $parent.
client() { pgrep -P "$parent"; }

for signal in TERM INT HUP USR1 QUIT; do
    n=$((128 + $(kill -l $signal)))
    forwards() {
        # A shell ignores INT and QUIT in background jobs, so Python sets the default.
        until_ready python3 -c "import os, signal, time
signal.signal(signal.SIG$signal, signal.SIG_DFL)
open('$work/ready', 'w')
time.sleep(30)" || return 1
        kill -$signal "$parent"
        status $n wait "$parent" && none_left
    }
    check "SIG$signal to standin reaches the client" forwards 2> /dev/null
done
handled() {
    until_ready sh -c "trap 'exit 9' TERM; touch $work/ready; while :; do sleep 0.05; done" || return 1
    kill -TERM "$parent"
    status 9 wait "$parent" && none_left
}
check "a client that handles SIGTERM decides" handled
killed() {
    until_ready sh -c "touch $work/ready; exec sleep 30" || return 1
    kill -KILL "$(client)"
    status 137 wait "$parent" && none_left
}
check "nothing is left after SIGKILL of the client" killed
swept() {
    until_ready sh -c "touch $work/ready; exec sleep 30" || return 1
    orphan=$(client)
    kill -KILL "$parent"
    wait "$parent"
    kill -KILL "$orphan"
    [ "$(directories)" = 1 ] || { echo "$(directories) directories"; return 1; }
    # The sweep happens while the client runs.
    run -- sh -c 'sleep 0.3' && none_left
}
check "what a killed standin left is swept by the next" swept 2> /dev/null
running_is_not_swept() {
    until_ready sh -c "touch $work/ready; exec sleep 30" || return 1
    run -- sh -c 'sleep 0.3'
    [ "$(directories)" = 1 ] || { echo "$(directories) directories"; return 1; }
    kill -TERM "$(client)"
    wait "$parent"
    none_left
}
check "the directory of a running standin is not swept" running_is_not_swept
foreign_is_not_swept() {
    as_user mkdir -p "$XDG_RUNTIME_DIR/standin.abcdef/keep"
    run -- sh -c 'sleep 0.3'
    [ -d "$XDG_RUNTIME_DIR/standin.abcdef/keep" ] || return 1
    rm -r "$XDG_RUNTIME_DIR/standin.abcdef"
}
check "a directory without our lock is left alone" foreign_is_not_swept
daemon_outlives() {
    run -- sh -c 'sleep 5 & echo $! > daemon' && none_left || return 1
    kill "$(cat daemon)"
}
check "standin ends with the client, not with what it left running" daemon_outlives

# ---- as if alone ----

same() {
    as_user "$@" > alone 2>&1
    run -- "$@" > under 2>&1
    diff alone under
}
descriptors='import os
print(sorted(int(f) for f in os.listdir("/proc/self/fd")))'
check "the same descriptors" same python3 -c "$descriptors"
inherited() { exec 7< /etc/passwd; same python3 -c "$descriptors"; }
check "an inherited descriptor stays" inherited
check "the same signal mask and dispositions" same \
    sh -c 'grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status'
ignored() { (trap '' INT CHLD HUP; same sh -c 'grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status'); }
check "signals that were ignored stay so" ignored
check "the same umask, limits and working directory" same sh -c 'umask; ulimit -a; pwd'
check "standard input is untouched" same sh -c 'echo abc | { run=1; cat; }'
stdin_passes() { [ "$(echo through | run -- cat)" = through ]; }
check "standard input reaches the client" stdin_passes
same_group() {
    run -- python3 -c 'import os, sys; sys.exit(os.getpgid(0) != os.getpgid(os.getppid()))'
}
check "the client is in standin's process group" same_group
environment() {
    as_user env | grep -v '^_=' | sort > alone
    run -- env | grep -v '^_=' | sort > under
    diff alone under | grep '^[<>]' | grep -Ev '^> (LD_PRELOAD|STANDIN_DIRECTORY)=' && return 1
    grep -q '^STANDIN_DIRECTORY=' under
}
check "the same environment but for two variables" environment
keeps_preload() {
    [ "$(LD_PRELOAD=libm.so.6 run -- sh -c 'echo $LD_PRELOAD' | sed 's/.*libstandin-preload.so://')" = libm.so.6 ]
}
check "an LD_PRELOAD that was set stays behind ours" keeps_preload
nested() { [ "$(run -- "$standin" run -- sh -c 'echo $LD_PRELOAD' | grep -o libstandin-preload.so | wc -l)" = 1 ]; }
check "standin inside standin" nested
check "nothing is left behind by any of these" none_left

finish
