#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Programs that are none of our business: what they print and how they end must be the
# same under `standin run` as alone.
# shellcheck disable=SC2016,SC2086 source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# same NAME COMMAND...: runs it in a fresh directory alone and under standin.
same() {
    local name=$1 how status
    shift
    for how in alone standin; do
        rm -rf "$work/cwd"
        as_user mkdir "$work/cwd"
        if [ $how = alone ]; then
            (cd "$work/cwd" && as_user "$@" < /dev/null) > "$work/out.$how" 2> "$work/err.$how"
        else
            (cd "$work/cwd" && run -- "$@" < /dev/null) > "$work/out.$how" 2> "$work/err.$how"
        fi
        status=$?
        echo "exit status $status" >> "$work/out.$how"
    done
    if [ "$(stat -c %s "$work/out.alone")" -le 15 ]; then
        # The case is to print something, or the comparison says nothing.
        fail "$name" "no output alone"
        head -5 "$work/err.alone" | sed 's/^/    /'
    elif cmp -s "$work/out.alone" "$work/out.standin"; then
        ok "$name"
    else
        fail "$name" "differs from running alone"
        diff "$work/out.alone" "$work/out.standin" | head -20 | sed 's/^/    /'
        tail -5 "$work/err.standin" | sed 's/^/    /'
    fi
}

# needs NAME PROGRAM...: says SKIP if one is not there.
needs() {
    local name=$1 program
    shift
    for program; do
        if ! have "$program"; then
            skip "$name" "$program is not installed"
            return 1
        fi
    done
}

# ---- shell, pipelines, coreutils ----

same 'bash pipelines' bash -c '
    seq 1 20000 | sed s/1/one/ | sort -r | tee copy | sha256sum
    wc -l < copy; diff <(sort copy) <(sort -u copy | head -5) | tail -1
    for i in 1 2 3; do (exit $i) || echo "status $?"; done
    coproc cat; echo through >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"
    trap "echo got USR1" USR1; kill -USR1 $$
    exec 9> nine; echo nine >&9; exec 9>&-; cat nine
    cat nonexistent 2> /dev/null || echo "no such file"
    kill -SEGV $$'
same 'exit by signal' bash -c 'echo before; kill -ABRT $$'
same 'sh' sh -c 'cd /; ls -d etc usr; cd /usr/../usr/./share; pwd; cd ..; pwd -P; exit 41'
same 'files' bash -c '
    mkdir -p a/b; cd a/b; for i in 1 2 3; do echo $i > f$i; done; ln -s ../b/f1 l; ln f2 h
    realpath l ../b/./f2 | sed "s,.*/cwd/,,"; readlink l; stat -c "%F %s %h" *; cp -a . ../c
    tar cf - ../c | tar tf -; find .. -type f -printf "%P %m\n" | sort
    rm -rf ../c; mv f3 ../; ls -1 .. ; chmod 000 f1; test -e f1 && echo there; touch -d @0 f2
    stat -c %Y f2; truncate -s 100 f2; du -b f2; mkfifo p; (echo piped > p &); cat p; dd if=f2 bs=7 2>/dev/null | wc -c'
same 'real devices and sysfs' bash -c '
    head -c 100 /dev/zero | wc -c; echo x > /dev/null; ls -l /dev/null /dev/zero; stat -f -c %T /sys /dev
    ls /sys /sys/kernel /sys/class/net; cat /sys/class/net/lo/mtu; cd /sys/class/net/lo; pwd -P; cat ../lo/address
    ls /dev/fd/; test -c /dev/null && readlink /proc/self/exe; cat /sys/kernel/mm/transparent_hugepage/enabled'

# ---- interpreters ----

needs 'python3' python3 && same 'python3' python3 -c '
import os, sys, mmap, select, signal, socket, subprocess, tempfile, threading, ctypes, glob, array
print(sys.version_info[:2], os.path.realpath("/usr/../bin/sh"), sorted(os.listdir("/usr"))[:4])
print(glob.glob("/et[c]/host*") == sorted(glob.glob("/et[c]/host*")) or "order", len(glob.glob("/sys/class/*")))
print(subprocess.run(["sh", "-c", "echo child; exit 3"], cwd="/", capture_output=True))
print(subprocess.run(["pwd"], cwd="/usr", capture_output=True, close_fds=True).stdout, os.path.basename(os.getcwd()))
with open("f", "w+b") as f:
    f.write(bytes(8192)); f.flush()
    m = mmap.mmap(f.fileno(), 8192); m[1] = 7; m.flush(); m.close(); f.seek(0); print(f.read(3))
    fd = os.dup(f.fileno()); print(os.pread(fd, 2, 1), os.fstat(fd).st_size); os.close(fd)
a, b = socket.socketpair()
r, w = os.pipe()
socket.send_fds(a, [b"x"], [w]); _, fds, _, _ = socket.recv_fds(b, 1, 4)
os.write(fds[0], b"over"); print(os.read(r, 10))
signal.signal(signal.SIGUSR1, lambda *_: print("signal")); os.kill(os.getpid(), signal.SIGUSR1)
print(signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGSEGV, signal.SIGUSR2}), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print(signal.sigpending(), signal.getsignal(signal.SIGSEGV))
e = select.epoll(); e.register(r); print(e.poll(0)); os.write(w, b"!"); print(len(e.poll(0)))
t = [threading.Thread(target=lambda i=i: open(f"t{i}", "w").write(str(i))) for i in range(8)]
[x.start() for x in t]; [x.join() for x in t]; print(sorted(glob.glob("t*")))
pid = os.fork()
if pid == 0: os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(39) == os.getpid(), libc.syscall(257, -100, b"/nonexistent", 0), ctypes.get_errno())
print(libc.ioctl(0, 0x3b64), ctypes.get_errno(), libc.close(12345), ctypes.get_errno(), libc.open(0, 0), ctypes.get_errno())
os.closerange(3, 1000); print(os.listdir("/proc/self/fd"))
'
needs 'node' node && same 'node' node -e '
const fs = require("fs"), cp = require("child_process"), os = require("os");
console.log(process.version, fs.realpathSync("/usr/../usr/bin"), fs.readdirSync("/usr").sort().slice(0, 4));
fs.writeFileSync("f", "x".repeat(100000)); console.log(fs.statSync("f").size, fs.readFileSync("f").length);
console.log(cp.execFileSync("sh", ["-c", "echo child"]).toString(), cp.spawnSync("sh", ["-c", "kill -9 $$"]).signal);
process.on("SIGUSR2", () => { console.log("signal"); fs.promises.readFile("f").then(b => { console.log(b.length); process.exit(5); }); });
new Promise(r => setTimeout(r, 20)).then(() => process.kill(process.pid, "SIGUSR2"));
setTimeout(() => 0, 5000);'
needs 'perl' perl && same 'perl' perl -e '
$SIG{ALRM} = sub { print "alarm\n" }; alarm 1; sleep 2; opendir D, "/usr"; print join(",", sort readdir D), "\n";
print `echo back`; open F, "|-", "cat"; print F "piped\n"; close F; @s = stat "/dev/null"; printf "%o %x\n", @s[2, 6]; exit 7'

# ---- building ----

mkdir "$work/tree"
for i in 1 2 3 4 5 6 7 8; do
    echo "#include \"../tree/all.h\"
int f$i(int x) { return x * $i; }" > "$work/tree/f$i.c"
done
echo 'int f1(int), f2(int), f3(int), f4(int), f5(int), f6(int), f7(int), f8(int);' > "$work/tree/all.h"
cat > "$work/tree/main.c" << 'END'
#include <stdio.h>
#include "all.h"
int main(void) { printf("%d\n", f1(1) + f2(2) + f3(3) + f4(4) + f5(5) + f6(6) + f7(7) + f8(8)); return 204 & 0x7f; }
END
cat > "$work/tree/Makefile" << 'END'
OBJECTS = main.o f1.o f2.o f3.o f4.o f5.o f6.o f7.o f8.o
prog: $(OBJECTS)
	$(CC) -o $@ $^
%.o: %.c all.h
	$(CC) -O2 -c -o $@ $<
END
needs 'gcc' gcc && same 'gcc' sh -c "cd '$work/tree' && gcc -O1 -I. -o '$work/cwd/prog' *.c && '$work/cwd/prog'"
needs 'make -j2' gcc make && same 'make -j2' sh -c "
    cp -r '$work/tree' . && cd tree && make -s -j2 && ./prog; make -q && echo up to date
    make nothing 2> /dev/null; echo \$?; sha256sum prog"
needs 'git' git && same 'git' sh -c '
    export HOME=$PWD GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    export GIT_AUTHOR_DATE="1 Jan 2020 00:00 +0000" GIT_COMMITTER_DATE="1 Jan 2020 00:00 +0000"
    git init -q -b main r && cd r && seq 1000 > f && git add f && git commit -qm one && seq 2000 > f && git commit -qam two
    git log --stat; git checkout -q HEAD~; wc -l f; git gc -q; git fsck; cd ..; git clone -q r s; git -C s rev-parse HEAD; git -C s blame -s f | tail -1'
needs 'openssl' openssl && same 'openssl' sh -c '
    seq 100000 > f; openssl dgst -sha256 f; openssl enc -aes-256-cbc -pbkdf2 -S 0102030405060708 -pass pass:x -in f -out g
    openssl dgst -sha1 g; openssl enc -d -aes-256-cbc -pbkdf2 -S 0102030405060708 -pass pass:x -in g | cmp - f && echo same
    openssl genrsa -out k 2048 2> /dev/null; openssl rsa -in k -check -noout; openssl rand -hex 8 | wc -c'

# ---- our own programs, in other ways ----

cat > "$work/calls.c" << 'END'
/* The calls that are easy to get wrong: vfork, clone by syscall(), handlers, masks. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static void segv(int s, siginfo_t *i, void *c) { printf("fault at %p\n", i->si_addr); siglongjmp(back, 1); }
static int count;
static int visit(const char *p, const struct stat *s, int t, struct FTW *f) { count++; return 0; }
static int thread(void *arg) { *(int *)arg = 5; return 0; }

int main(void)
{
	int status, value = 0, fd;
	char buffer[100] = "";
	pid_t pid = vfork();

	if (pid == 0) { chdir("/usr"); execlp("pwd", "pwd", (char *)0); _exit(1); }
	waitpid(pid, &status, 0); printf("vfork %d\n", status);
	char *stack = malloc(65536);
	pid = clone(thread, stack + 65536, CLONE_VM | SIGCHLD, &value);
	waitpid(pid, &status, 0); printf("clone %d\n", value);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L);
	if (pid == 0) _exit(6);
	waitpid(pid, &status, 0); printf("syscall clone %d\n", WEXITSTATUS(status));
	struct sigaction act = { .sa_sigaction = segv, .sa_flags = SA_SIGINFO }, old;
	sigaction(SIGSEGV, &act, &old); printf("%d\n", old.sa_handler == SIG_DFL);
	if (!sigsetjmp(back, 1)) *(volatile int *)64 = 1;
	void *(*const lib_mmap)(void *, size_t, int, int, int, off_t) = mmap;
	void *p = lib_mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = mremap(p, 8192, 1 << 20, MREMAP_MAYMOVE); memset(p, 1, 1 << 20); printf("%d\n", munmap(p, 1 << 20));
	printf("%d %d\n", munmap((void *)1, 1), errno);
	printf("%ld %d\n", syscall(SYS_mmap, 0L, 0L, 0L, 0L, -1L, 0L), errno);
	fd = open("x", O_RDWR | O_CREAT, 0640);
	struct iovec v[2] = { { "abc", 3 }, { "defg", 4 } };
	printf("%zd\n", writev(fd, v, 2)); printf("%zd %s\n", pread(fd, buffer, 4, 2), buffer);
	printf("%ld %s\n", syscall(SYS_pread64, fd, buffer, 2L, 5L), buffer);
	printf("%d %d %d\n", dup2(fd, 100), dup3(fd, fd, 0), errno); printf("%d\n", fcntl(100, F_GETFD));
	printf("%d %d\n", close_range(100, 100, 0), fcntl(100, F_GETFD));
	printf("%d %d\n", open((char *)-1L, O_RDONLY), errno); printf("%d %d\n", access((char *)1, F_OK), errno);
	printf("%d %d\n", open("", O_RDONLY), errno);
	printf("%d %d\n", readlink("/proc/self/cwd", buffer, 0) < 0, errno);
	errno = 77; fd = open("/dev/null", O_RDONLY); printf("%d\n", errno);
	nftw("/usr/share/doc/bash", visit, 10, FTW_PHYS); printf("nftw %d\n", count > 0);
	struct dirent **list; printf("%d\n", scandir("/usr", &list, NULL, alphasort) > 3);
	sigset_t all, was; sigfillset(&all); sigprocmask(SIG_SETMASK, &all, NULL); sigprocmask(SIG_BLOCK, NULL, &was);
	printf("%d %d\n", sigismember(&was, SIGSEGV), sigismember(&was, SIGKILL));
	fflush(stdout);
	sigprocmask(SIG_UNBLOCK, &all, NULL); signal(SIGSEGV, SIG_DFL); raise(SIGSEGV);
}
END
needs 'calls' gcc && gcc -w -O2 -o "$work/calls" "$work/calls.c" && same 'calls' "$work/calls"

if needs 'go' go; then
    cat > "$work/main.go" << 'END'
package main

import ("fmt"; "os"; "os/exec"; "os/signal"; "sync"; "syscall")

func main() {
	defer func() { fmt.Println("recovered:", recover()); os.Exit(4) }()
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-c)
	out, err := exec.Command("sh", "-c", "echo child").Output()
	fmt.Print(string(out), err, "\n")
	var w sync.WaitGroup
	sum := make(chan int, 100)
	for i := 0; i < 100; i++ { w.Add(1); go func(i int) { os.ReadFile("/etc/passwd"); sum <- i; w.Done() }(i) }
	w.Wait()
	close(sum)
	total := 0
	for v := range sum { total += v }
	fmt.Println(total)
	var p *int
	fmt.Println(*p)
}
END
    export GOCACHE=$work/gocache GOFLAGS=-mod=mod
    for cgo in 0 1; do
        kind=static
        [ $cgo = 1 ] && kind=dynamic
        sed -i '/^import "C"/d' "$work/main.go"
        [ $cgo = 1 ] && sed -i 's/^package main/&\nimport "C"/' "$work/main.go"
        if CGO_ENABLED=$cgo go build -o "$work/go.$kind" "$work/main.go" > "$work/output" 2>&1; then
            same "go, $kind" "$work/go.$kind"
        else
            skip "go, $kind" "does not build: $(tail -1 "$work/output")"
        fi
    done
fi

# ---- sanitizers ----

cat > "$work/san.c" << 'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/wait.h>
static int shared;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static void *work(void *a) { for (int i = 0; i < 1000; i++) { if (a) pthread_mutex_lock(&m); shared++; if (a) pthread_mutex_unlock(&m); } return 0; }
int main(int argc, char **argv)
{
	pthread_t t[2]; char b[64]; void *lock = strcmp(argv[1], "race") ? argv : NULL;
	for (int i = 0; i < 2; i++) pthread_create(&t[i], 0, work, lock);
	for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
	int fd = open("/etc/passwd", O_RDONLY); printf("%d\n", read(fd, b, 10) == 10); close(fd);
	pid_t p = fork(); if (p == 0) _exit(3);
	int s; waitpid(p, &s, 0); printf("%d\n", WEXITSTATUS(s));
	fflush(stdout);
	if (!strcmp(argv[1], "overflow")) { char *h = malloc(8); return h[atoi("8")]; }
	if (!strcmp(argv[1], "leak")) { void *volatile l = malloc(64); l = NULL; }
	if (!strcmp(argv[1], "null")) *(volatile int *)0 = 1;
	puts("end"); return 0;
}
END
sanitized() { # NAME COMPILER FLAGS
    if $2 -O1 -g -w -pthread $3 -o "$work/$1" "$work/san.c" > "$work/output" 2>&1; then
        return 0
    fi
    skip "$1" "does not build: $(tail -1 "$work/output")"
    return 1
}
if needs 'clang -fsanitize' clang; then
    sanitized clang-address clang -fsanitize=address,undefined && for case in fine overflow leak null; do
        same "clang -fsanitize=address, $case" "$work/clang-address" $case
    done
    sanitized clang-thread clang -fsanitize=thread && for case in fine race null; do
        same "clang -fsanitize=thread, $case" "$work/clang-thread" $case
    done
fi
if needs 'gcc -fsanitize' gcc; then
    # gcc's shared runtime wants to be the first library, which is a check that can be waived.
    export ASAN_OPTIONS=verify_asan_link_order=0
    sanitized gcc-address gcc -fsanitize=address && for case in fine overflow leak null; do
        same "gcc -fsanitize=address, $case" "$work/gcc-address" $case
    done
    unset ASAN_OPTIONS
    sanitized gcc-thread gcc -fsanitize=thread && for case in fine race; do
        same "gcc -fsanitize=thread, $case" "$work/gcc-thread" $case
    done
fi

finish
