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
    # What runs this test may ignore some of them, which the client would inherit.
    check "a client killed by $signal gives $n" \
        status $n run -- env --default-signal sh -c "kill -$signal \$\$"
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
refused "unknown vDPA device" "vdpa: no device is named 'nosuch'" --vdpa nosuch
refused "unknown key of a vDPA device" "vdpa net: no key is named 'colour'" --vdpa net,colour=red
refused "key of another vDPA device" "vdpa blk-sim: no key is named 'file'" --vdpa blk-sim,file=a.img
refused "vDPA: no key=value" "vdpa net: 'whatever' is not key=value" --vdpa net,whatever
refused "vDPA: a key twice" "vdpa net: key 'mtu' is given twice" --vdpa net,mtu=1400,mtu=1500
refused "vDPA: too many queues" "queues: 65 is not in 1..64" --vdpa net,queues=65
refused "vDPA: unknown link" "no such network: nowhere" --vdpa net,net=nowhere
refused "vDPA: bad address" "mac" --vdpa net,mac=1:2
refused "vDPA: missing file" "No such file" --vdpa blk,file=/no/such/file
refused "vDPA: bad block size" "blocksize" --vdpa blk,blocksize=1000
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
check "list --devices names the vDPA devices" prints '^vdpa net:' list --devices
check "list --ioctls names VFIO's" prints 'VFIO_IOMMU_MAP_DMA' list --ioctls
check "list --faults names ioctls" prints '^  VFIO_IOMMU_MAP_DMA' list --faults
check "list --faults names the backends' points" prints '^  backend' list --faults

# The man page and the registries say the same.
documented() {
    local page=$sources/man/standin-devices.7 key
    as_user "$standin" list --devices > out || return 1
    for key in $(awk '/^  / {print $1}' out) $(sed -En 's/^(vdpa )?([a-z-]*):.*/\2/p' out); do
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

# ---- options that are right ----

as_user mkdir elsewhere
relative_file() {
    as_user truncate -s 3M here.img
    [ "$(run --device nvme,file=here.img -- sh -c "cd /; grep ^device \$STANDIN_DIRECTORY/config")" = \
        "device nvme,addr=0000:01:00.0,file=$work/here.img" ]
}
check "a relative file name means the same wherever the client goes" relative_file
comma() {
    as_user truncate -s 3M 'a,b.img'
    run --device nvme,file=a,,b.img -- sh -c 'cat $STANDIN_DIRECTORY/config' | grep -q 'file=.*/a,,b.img$'
}
check "a comma in a file name" comma
config_file() {
    printf '# two drives\n\ndevice nvme,addr=0a:00.0\n  device edu  \nlog info\nset vfio.dma_entry_limit=77\n' > good.conf
    [ "$(run --config "$work/good.conf" -- sh -c 'ls /dev/vfio; cat /sys/bus/pci/devices/0000:01:00.0/device
        cat /sys/module/vfio_iommu_type1/parameters/dma_entry_limit' | tr '\n' ' ')" = "0 1 vfio 0x11e8 77 " ]
}
check "a configuration file" config_file
trace_emptied() {
    echo old > trace.txt && chmod 666 trace.txt
    run --trace=trace.txt -- true && [ ! -s trace.txt ]
}
check "a trace file is emptied, and a program that opens no device traces nothing" trace_emptied
at_once() {
    local pids=() i
    for i in 1 2 3 4 5; do
        run -- sh -c 'sleep 0.2; ls /dev/vfio' > "at.$i" 2>&1 &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || return 1; done
    for i in 1 2 3 4 5; do [ "$(tr '\n' ' ' < at.$i)" = "0 vfio " ] || return 1; done
    none_left
}
check "five at once" at_once

# ---- doctor ----

check "doctor finds all that is needed" prints '^ok  injected library' doctor
check "doctor about a dynamic program" prints 'is dynamically linked' doctor /bin/sh
check "doctor about a script" prints '^ok  script' doctor "$(command -v ldd)"
static_program() {
    command -v gcc > /dev/null || return 77
    echo 'int main(void) { return 5; }' > static.c
    gcc -static -o static static.c && chmod 755 static
}
gains_rights() {
    local su got=0
    su=$(command -v su)
    as_user "$standin" doctor "$su" > out || got=$?
    [ $got = 1 ] && grep -q "^no  program .*gains rights" out
}
if [ "${AS_USER:-0}" = 1 ] && [ -u "$(command -v su)" ] && grep -q '^NoNewPrivs:.0' /proc/self/status; then
    check "doctor explains a set-id program" gains_rights
fi
named_pipe() { mkfifo pipe && chmod 755 pipe && status 126 timeout 10 "${user[@]}" "$standin" run -- "$work/pipe" 2> /dev/null; }
check "a named pipe is no program" named_pipe
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

if [ "$(id -u)" = 0 ] && [ "${AS_USER:-0}" = 0 ] && unshare --pid --fork --mount-proc true 2> /dev/null; then
    as_first_process_term() {
        local got=0
        unshare --pid --fork --mount-proc "$standin" run -- sh -c '
            trap "exit 8" TERM
            [ "$PPID" = 1 ] || exit 3
            for i in 1 2 3; do (sleep 0.1 &); done
            sleep 0.5
            grep -l "^State:.Z" /proc/[0-9]*/status && exit 4
            (sleep 0.1; kill -TERM 1) &
            while :; do sleep 0.05; done' > first || got=$?
        [ $got = 8 ] || { cat first; echo "status $got"; return 1; }
    }
    check "as a container's first process" as_first_process_term
else
    skip "as a container's first process" "this needs root and a process namespace"
fi

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

# ---- what acts on a running program ----

# A program with a SCSI target port in use until its FIFO is written to: holds FIFO OPTION...
port=naa.5001405000000001 held=0
uses_port='import fcntl, os, struct, sys
f = os.open("/dev/vhost-scsi", os.O_RDWR)
fcntl.ioctl(f, 0xaf01)
fcntl.ioctl(f, 0x4008af03, bytes(16))
fcntl.ioctl(f, 0x40e8af40, struct.pack("i224sHH", 0, b"naa.5001405000000001", 0, 0))
print(os.getpid(), flush=True)
open(sys.argv[1]).read()'
holds() {
    local fifo=$1
    shift
    as_user mkfifo "$fifo" && as_user touch "$fifo.pid" || return 1
    "${user[@]}" "$standin" run "$@" -- python3 -c "$uses_port" "$fifo" > "$fifo.pid" &
    held=$!
    for ((k = 0; k < 300; k++)); do [ -s "$fifo.pid" ] && return 0; sleep 0.1; done
    return 1
}
scsi() { as_user "$standin" scsi "$@"; }
says() { # STATUS TEXT COMMAND...: it exits with STATUS, and the text is among what it says
    local want=$1 text=$2 got=0
    shift 2
    "$@" > said 2>&1 || got=$?
    [ $got = "$want" ] && grep -qF -- "$text" said && return 0
    echo "exit status $got: $*"
    cat said
    return 1
}
if pgrep -x -u "$(as_user id -u)" standin > /dev/null; then
    skip "ps, while nothing runs" "the user runs something else under standin"
else
    check "ps, while nothing runs" test "$(as_user "$standin" ps | wc -l)" = 1
    check "scsi list, while nothing runs" test -z "$(scsi list)"
    check "scsi add, while nothing runs" says 1 'no program is running' scsi add $port lun1.size=1M
fi
as_user truncate -s 1M late.img
check "a program with a target port in use" holds one --vhost-scsi "wwpn=$port,lun0.size=1M"
first=$held
ps_shows() {
    as_user "$standin" ps > said && cat said && grep -q "^ *$first  python3 " said &&
        grep -q "vhost-scsi@$port" said
}
check "ps shows the run, its program and its devices" ps_shows
check "scsi list" says 0 "$(cat one.pid) $port,tpgt=0 (in use)" scsi list
check "and its unit" says 0 '  lun0.size=1M' scsi list
check "scsi add" scsi add $port lun1=late.img,lun1.readonly=on,lun2.size=2M
check "a relative path is that of the caller" says 0 "  lun1=$work/late.img,lun1.readonly=on" scsi list
check "scsi add of a unit that is there" says 1 'LUN 2 is there already' scsi add $port lun2.size=1M
check "scsi add of a file that is not there" says 1 'no-such.img' scsi add $port lun3=no-such.img
check "scsi add at another port" says 1 'there is no target port' scsi add naa.5001405000000009 lun3.size=1M
check "scsi add with an unknown key" says 1 "'colour'" scsi add $port lun3.size=1M,lun3.colour=red
check "scsi add without a value" says 2 'is not lunN=FILE' scsi add $port lun3
check "scsi remove" scsi remove $port lun1,lun2
removed() { scsi list > said && cat said && ! grep -q 'lun[12]' said && grep -q 'lun0' said; }
check "they are gone" removed
check "scsi remove of a unit that is not there" says 1 'has no lun1' scsi remove $port lun1
check "scsi remove with a value" says 2 'is not lunN' scsi remove $port lun0=x
check "scsi without a word" says 2 'list, add or remove?' scsi
check "a second program with that port" holds other --vhost-scsi "wwpn=$port,lun0.size=1M"
second=$held
check "scsi add does not know which is meant" says 1 'several programs have' scsi add $port lun4.size=1M
check "scsi --pid, of the program" scsi --pid "$(cat other.pid)" add $port lun4.size=1M
check "scsi --pid, of the run" scsi --pid $first add $port lun5.size=1M
each_has_its_own() {
    scsi --pid $first list > said && grep -q lun5 said && ! grep -q lun4 said || return 1
    scsi --pid $second list > said && grep -q lun4 said && ! grep -q lun5 said
}
check "each has its own" each_has_its_own
check "scsi --pid, of another process" says 1 'is no run' scsi --pid $$ list
ends() { echo > "$1" && wait "$2"; }
check "both end" eval 'ends one $first && ends other $second'
check "nothing listens any more" test -z "$(scsi list)"
check "nothing is left behind by them" none_left

# ---- a terminal with job control ----

on_terminal() {
    local want=$1
    shift
    python3 "$sources/tests/clients/terminal.py" "$@" > alone || return 1
    local case=$1
    shift
    "${user[@]}" python3 "$sources/tests/clients/terminal.py" "$case" "$standin" run -- "$@" > under || return 1
    cat alone under
    [ "$(cat alone)" = "$want" ] && [ "$(cat under)" = "$want" ]
}
counts_interrupts='import signal, time
n = 0
def hit(*_):
    global n
    n += 1
signal.signal(signal.SIGINT, hit)
print("ready", flush=True)
time.sleep(1)
print("interrupts", n, flush=True)'
if ! python3 -c 'import pty; pty.openpty()' 2> /dev/null; then
    skip "a terminal with job control" "there are no pseudo-terminals"
elif "${user[@]}" test -r "$sources/tests/clients/terminal.py"; then
    check "^C reaches the client once" on_terminal "ready interrupts 1 status 0;" \
        interrupt python3 -c "$counts_interrupts"
    check "^C of a client that does not handle it" on_terminal "ready status 130;" interrupt \
        sh -c 'trap "exit 130" INT; echo ready; while :; do sleep 0.05; done'
    check "^Z stops both, and both go on" on_terminal "ready stopped; on status 6;" stop \
        sh -c 'echo ready; sleep 0.6; echo on; exit 6'
    check "a client that stops itself stops standin" on_terminal "stopped; on status 7;" self \
        sh -c 'kill -STOP $$; echo on; exit 7'
else
    skip "a terminal with job control" "the sources can't be read by this user"
fi
check "nothing is left behind by any of these" none_left

finish
