/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's own accesses to missing pages, made by system calls that no library sees.
 *
 *	uffd-kernel          checks, a line each
 *	uffd-kernel wait N   N threads wait for ever, in their own accesses and in the kernel's:
 *	                     it says so, and sleeps
 *	uffd-kernel work     until it is killed, threads use pages that are discarded meanwhile
 *
 * A thread reads the messages, and gives a missing page a content which is known by its number.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "need.h"

enum { PAGE = 4096, PAGES = 4096 };

static long raw(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#define RAW_(nr, a, b, c, d, e, f, ...) \
	raw(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define RAW(...) RAW_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

static int uffd;
static char *memory;
static size_t next;         /* a page that nobody has used */
static atomic_uint asked;   /* messages that have been read */
static atomic_uint held;    /* of the next ones, so many are just woken at first */
static _Atomic uint32_t of; /* the thread that the last one named */
static bool bad;

static char *page(void)
{
	NEED(next < PAGES);
	return memory + PAGE * next++;
}

static char content(const char *at)
{
	return (char)('a' + (size_t)(at - memory) / PAGE % 26);
}

static void check(const char *what, bool is)
{
	printf("%s %s\n", is ? "ok" : "FAILED", what);
	bad |= !is;
}

static int open_uffd(int flags)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_THREAD_ID};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);

	NEED(fd >= 0);
	NEED(ioctl(fd, UFFDIO_API, &api) == 0);
	return fd;
}

static void watch(int fd, char *start, size_t size, uint64_t mode)
{
	struct uffdio_register r = {{(uintptr_t)start, size}, .mode = mode};

	NEED(ioctl(fd, UFFDIO_REGISTER, &r) == 0);
}

static char *anonymous(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	return p;
}

static int copy(char *to, const char *from, size_t size, uint64_t mode)
{
	struct uffdio_copy c = {(uintptr_t)to, (uintptr_t)from, size, mode, 0};

	return ioctl(uffd, UFFDIO_COPY, &c) == 0 ? 0 : -errno;
}

static void *handler(void *unused)
{
	static char data[PAGE] __attribute__((aligned(PAGE)));
	struct pollfd p = {.fd = uffd, .events = POLLIN};
	struct uffd_msg m;

	for (;;) {
		char *at;

		NEED(poll(&p, 1, -1) == 1 || errno == EINTR);
		if (read(uffd, &m, sizeof(m)) != sizeof(m))
			continue;
		NEED(m.event == UFFD_EVENT_PAGEFAULT);
		at = (char *)(uintptr_t)m.arg.pagefault.address;
		of = m.arg.pagefault.feat.ptid;
		asked++;
		if (held) {
			struct uffdio_range r = {(uintptr_t)at, PAGE};

			held--;
			NEED(ioctl(uffd, UFFDIO_WAKE, &r) == 0);
			continue;
		}
		memset(data, content(at), PAGE);
		NEED(copy(at, data, PAGE, 0) == 0 || errno == EEXIST);
	}
	return unused;
}

static bool is_whole(const char *at, size_t from)
{
	for (size_t i = from; i < PAGE; i++)
		if (at[i] != content(at))
			return false;
	return true;
}

/* ---- system calls ---- */

static int ends[2];

static bool came(const char *at, size_t size)
{
	char data[64];

	return RAW(SYS_read, ends[0], data, size) == (long)size && data[0] == content(at) &&
	       data[size - 1] == content(at);
}

static void check_reads(void)
{
	char *p = page(), *q = page();
	struct iovec iov[2] = {{p + 10, 8}, {q + 20, 8}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 1};
	unsigned before = asked;
	int sockets[2];

	check("write from a missing page", RAW(SYS_write, ends[1], p + 100, 8) == 8 && came(p, 8));
	check("by one message, which names the thread",
	      asked == before + 1 && of == (uint32_t)gettid());
	iov[0].iov_base = (p = page()) + 10;
	check("writev from two missing pages",
	      RAW(SYS_writev, ends[1], iov, 2) == 16 && came(p, 8) && came(q, 8));
	iov[0].iov_base = p = page();
	check("vmsplice", RAW(SYS_vmsplice, ends[1], iov, 1, 0) == 8 && came(p, 8));
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	iov[0].iov_base = p = page();
	check("sendmsg", RAW(SYS_sendmsg, sockets[0], &message, 0) == 8 &&
				 RAW(SYS_read, sockets[1], q, 8) == 8 && q[0] == content(p));
	close(sockets[0]);
	close(sockets[1]);
	p = page();
	q = page();
	iov[0] = (struct iovec){q, 8};
	iov[1] = (struct iovec){p, 8};
	check("process_vm_readv", RAW(SYS_process_vm_readv, getpid(), iov, 1, iov + 1, 1, 0) == 8 &&
					  q[0] == content(p) && is_whole(q, 8));
	p = page();
	check("futex", RAW(SYS_futex, p, 0 /* FUTEX_WAIT */, 1, NULL) == -EAGAIN && is_whole(p, 0));
}

static void check_writes(void)
{
	char *p = page(), *q = page(), data[16] = "0123456789abcdef";
	struct iovec iov[2] = {{p, 8}, {q, 8}};

	NEED(RAW(SYS_write, ends[1], data, 16) == 16);
	check("readv into two missing pages", RAW(SYS_readv, ends[0], iov, 2) == 16 &&
						      memcmp(p, data, 8) == 0 &&
						      memcmp(q, data + 8, 8) == 0);
	check("what it did not write to is the handler's", is_whole(p, 8) && is_whole(q, 8));
	NEED(RAW(SYS_write, ends[1], data, 4) == 4);
	p = page();
	q = page();
	{
		unsigned before = asked;

		check("only what is used is asked for",
		      RAW(SYS_read, ends[0], p + PAGE - 4, 8) == 4 && asked == before + 1);
	}
	p = page();
	check("getrandom", RAW(SYS_getrandom, p, 8, 0) == 8 && is_whole(p, 8));
	p = page();
	check("uname", RAW(SYS_uname, p) == 0 && memcmp(p, "Linux", 6) == 0);
}

static void check_ring(void)
{
	struct io_uring ring;
	struct io_uring_cqe *done;
	char *p = page(), data[8] = "ringring";
	int ret = io_uring_queue_init(4, &ring, 0);

	if (ret < 0) {
		printf("skipped io_uring: %s\n", strerror(-ret));
		return;
	}
	NEED(RAW(SYS_write, ends[1], data, 8) == 8);
	io_uring_prep_read(io_uring_get_sqe(&ring), ends[0], p, 8, 0);
	NEED(io_uring_submit(&ring) == 1 && io_uring_wait_cqe(&ring, &done) == 0);
	check("io_uring reads into a missing page",
	      done->res == 8 && memcmp(p, data, 8) == 0 && is_whole(p, 8));
	io_uring_cqe_seen(&ring, done);
	p = page();
	io_uring_prep_write(io_uring_get_sqe(&ring), ends[1], p, 8, 0);
	NEED(io_uring_submit(&ring) == 1 && io_uring_wait_cqe(&ring, &done) == 0);
	check("io_uring writes from a missing page", done->res == 8 && came(p, 8));
	io_uring_cqe_seen(&ring, done);
	p = page();
	{
		struct iovec iov = {p, PAGE};

		ret = io_uring_register_buffers(&ring, &iov, 1);
		check("a buffer is registered", ret == 0 && is_whole(p, 0));
	}
	io_uring_queue_exit(&ring);
}

/* ---- what the ioctls do ---- */

static void check_pages(void)
{
	static char data[8 * PAGE];
	char *p = page(), *q;
	struct uffdio_zeropage z = {{(uintptr_t)(q = page()), PAGE}, 0, 0};
	unsigned before = asked;
	uint64_t entry = 0;
	int pagemap;

	check("read and written to", *(volatile char *)p == content(p) && (p[5] = 'X') &&
					     p[5] == 'X' && p[6] == content(p));
	held = 3;
	p = page();
	check("woken without a page, it asks again",
	      RAW(SYS_write, ends[1], p, 8) == 8 && came(p, 8) && asked == before + 5);
	before = asked;
	NEED(ioctl(uffd, UFFDIO_ZEROPAGE, &z) == 0);
	check("ZEROPAGE", RAW(SYS_write, ends[1], q, 8) == 8 &&
				  RAW(SYS_read, ends[0], data, 8) == 8 && !data[0] &&
				  asked == before && ioctl(uffd, UFFDIO_ZEROPAGE, &z) < 0 &&
				  errno == EEXIST);
	q[0] = 'z';
	check("and that can be written to", q[0] == 'z' && !q[1] && asked == before);
	memset(data, '#', sizeof(data));
	p = memory + next * PAGE;
	next += 8;
	check("COPY of what nobody has touched", copy(p, data, sizeof(data), 0) == 0 &&
							 memcmp(p, data, sizeof(data)) == 0 &&
							 asked == before);
	check("and again", copy(p, data, PAGE, 0) == -EEXIST);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	NEED(pread(pagemap, &entry, 8, (off_t)((uintptr_t)p / PAGE * 8)) == 8);
	check("pagemap shows anonymous memory", entry >> 63 && !(entry >> 61 & 1));
	close(pagemap);
	NEED(madvise(p, 2 * PAGE, MADV_DONTNEED) == 0);
	check("discarded, it is missing again", RAW(SYS_write, ends[1], p, 8) == 8 && came(p, 8) &&
							p[PAGE] == content(p + PAGE) &&
							asked == before + 2 && p[2 * PAGE] == '#');
	NEED(madvise(q, PAGE, MADV_DONTNEED) == 0);
	check("a page of zeroes, too", *(volatile char *)q == content(q));
}

static void check_protection(void)
{
	char *p = anonymous(4 * PAGE), data[PAGE];
	struct uffdio_writeprotect wp = {{(uintptr_t)p, PAGE}, 0};
	struct pollfd poll_fd;
	struct uffd_msg m;
	int all = uffd;

	uffd = open_uffd(0);
	watch(uffd, p, 4 * PAGE, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	memset(data, 'w', PAGE);
	check("COPY with protection", copy(p, data, PAGE, UFFDIO_COPY_MODE_WP) == 0 && p[1] == 'w');
	poll_fd = (struct pollfd){.fd = uffd, .events = POLLIN};
	if (fork() == 0)
		_exit(0); /* nothing of this is the child's */
	wait(NULL);
	check("nobody has written", poll(&poll_fd, 1, 0) == 0 && read(uffd, &m, sizeof(m)) < 0);
	NEED(ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) == 0);
	p[1] = 'v';
	check("written to without protection", p[1] == 'v' && p[2] == 'w');
	close(uffd);
	check("closed: what is missing is zeroes",
	      !p[PAGE] && p[1] == 'v' && RAW(SYS_write, ends[1], p + 2 * PAGE, 1) == 1 &&
		      RAW(SYS_read, ends[0], data, 1) == 1 && !data[0]);
	uffd = all;
	munmap(p, 4 * PAGE);
}

static void *write_one(void *at)
{
	return (void *)RAW(SYS_write, ends[1], at, 1);
}

static void check_end(void)
{
	char *p = anonymous(16 * PAGE), data = 'x';
	pthread_t thread[3];
	void *result;
	int fd = open_uffd(0);
	struct uffdio_range r = {(uintptr_t)p, 8 * PAGE};
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	p[15 * PAGE] = 'p';
	watch(fd, p, 16 * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	check("what was there stays", p[15 * PAGE] == 'p' && !p[15 * PAGE + 1]);
	NEED(pthread_create(&thread[0], NULL, write_one, p) == 0);
	NEED(poll(&poll_fd, 1, 10000) == 1);
	NEED(ioctl(fd, UFFDIO_UNREGISTER, &r) == 0);
	NEED(pthread_join(thread[0], &result) == 0);
	check("unregistered: who waits goes on with zeroes",
	      (long)result == 1 && RAW(SYS_read, ends[0], &data, 1) == 1 && !data && !p[PAGE]);
	check("and no message is left", poll(&poll_fd, 1, 0) == 0);
	data = 'x';
	NEED(pthread_create(&thread[1], NULL, write_one, p + 9 * PAGE) == 0);
	NEED(poll(&poll_fd, 1, 10000) == 1);
	close(fd);
	NEED(pthread_join(thread[1], &result) == 0);
	check("closed: the same", (long)result == 1 && RAW(SYS_read, ends[0], &data, 1) == 1 &&
					  !data && !p[10 * PAGE] && p[15 * PAGE] == 'p');
	munmap(p, 16 * PAGE);
}

static void check_fork(void)
{
	char *p = page(), *q = page();
	unsigned before;
	int status = 1;
	pid_t child;

	*(volatile char *)p;
	p[7] = 'F';
	before = asked;
	child = fork();
	if (child == 0) {
		bool is = p[7] == 'F' && p[8] == content(p) && !q[0] && !q[PAGE - 1];

		q[1] = 'c';
		_exit(is && q[1] == 'c' && !q[2] ? 0 : 1);
	}
	NEED(waitpid(child, &status, 0) == child);
	check("a child has what was there, and zeroes", status == 0 && asked == before);
	check("the parent goes on", RAW(SYS_write, ends[1], q, 8) == 8 && came(q, 8));
}

static void check_moves(void)
{
	char *p = anonymous(8 * PAGE), *to = anonymous(8 * PAGE), data[PAGE];
	int all = uffd;

	uffd = open_uffd(0);
	watch(uffd, p, 8 * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	memset(data, 'm', PAGE);
	NEED(copy(p, data, PAGE, 0) == 0);
	NEED(mremap(p, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	check("mremap takes contents along", to[0] == 'm' && to[PAGE - 1] == 'm' && !to[PAGE]);
	close(uffd);
	munmap(to, 8 * PAGE);
	p = anonymous(8 * PAGE);
	uffd = open_uffd(0);
	watch(uffd, p, 8 * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	NEED(copy(p, data, PAGE, 0) == 0);
	NEED(mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		  0) == p);
	check("a mapping over it is empty", !p[0]);
	NEED(munmap(p, 8 * PAGE) == 0);
	NEED(mmap(p, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		  0) == p);
	watch(uffd, p, 8 * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	NEED(copy(p + PAGE, data, PAGE, 0) == 0);
	{
		struct pollfd poll_fd = {.fd = uffd, .events = POLLIN};
		pthread_t thread;

		NEED(pthread_create(&thread, NULL, write_one, p) == 0);
		check("registered again, it is missing", poll(&poll_fd, 1, 10000) == 1);
		close(uffd);
		NEED(pthread_join(thread, NULL) == 0);
		NEED(RAW(SYS_read, ends[0], data, 1) == 1);
	}
	munmap(p, 8 * PAGE);
	uffd = all;
}

static void check_user_mode(void)
{
	int fd = open_uffd(UFFD_USER_MODE_ONLY);
	char *p = anonymous(PAGE);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	watch(fd, p, PAGE, UFFDIO_REGISTER_MODE_MISSING);
	check("USER_MODE_ONLY: an error and no message",
	      RAW(SYS_write, ends[1], p, 8) == -EFAULT && poll(&poll_fd, 1, 0) == 0);
	close(fd);
	munmap(p, PAGE);
}

/* ---- signals ---- */

static atomic_uint caught;
static pid_t toucher;

static void catch (int signal)
{
	caught++;
}

static void *touch_and_tell(void *at)
{
	toucher = gettid();
	return (void *)(long)*(volatile char *)at;
}

/* A thread that waits gets them at its access, and makes that again. */
static void check_signals(void)
{
	struct sigaction action = {.sa_handler = catch};
	char *p = anonymous(2 * PAGE), data[PAGE];
	struct pollfd poll_fd;
	struct uffd_msg m;
	pthread_t thread;
	void *result;
	int all = uffd;

	uffd = open_uffd(0);
	poll_fd = (struct pollfd){.fd = uffd, .events = POLLIN};
	watch(uffd, p, 2 * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	memset(data, 's', PAGE);
	NEED(sigaction(SIGUSR1, &action, NULL) == 0);
	NEED(pthread_create(&thread, NULL, touch_and_tell, p) == 0);
	for (unsigned i = 0; i < 3; i++) {
		NEED(poll(&poll_fd, 1, 10000) == 1 && read(uffd, &m, sizeof(m)) == sizeof(m));
		check("a message", m.arg.pagefault.address == (uintptr_t)p &&
					   m.arg.pagefault.feat.ptid == (uint32_t)toucher);
		check("a signal for each before it", caught == i);
		if (i < 2)
			NEED(pthread_kill(thread, SIGUSR1) == 0);
	}
	NEED(copy(p, data, PAGE, 0) == 0);
	NEED(pthread_join(thread, &result) == 0);
	check("and then the page", (long)result == 's' && caught == 2);
	check("no more messages", poll(&poll_fd, 1, 0) == 0);
	close(uffd);
	munmap(p, 2 * PAGE);
	uffd = all;
}

/* Threads that use all pages in an order of their own, some by the kernel's hands; pages go. */
static char *crowd_memory;
static unsigned crowd_pages, crowd_rounds;
enum { CROWD = 4 };

static void *crowd(void *number)
{
	unsigned random = (unsigned)(uintptr_t)number * 7919u + 1;
	int pair[2];
	char data[8];

	NEED(pipe(pair) == 0);
	for (unsigned i = 0; i < crowd_rounds; i++) {
		char *at;

		random = random * 1103515245u + 12345u;
		at = crowd_memory + (random >> 8) % crowd_pages * PAGE;
		if (random >> 30 == 0) {
			NEED(madvise(at, PAGE, MADV_DONTNEED) == 0);
		} else if (random >> 30 == 1) {
			NEED(*(volatile char *)at == content(at));
		} else {
			NEED(RAW(SYS_write, pair[1], at + 8, 8) == 8);
			NEED(RAW(SYS_read, pair[0], data, 8) == 8 && data[7] == content(at));
		}
	}
	close(pair[0]);
	close(pair[1]);
	return NULL;
}

static void run_crowd(unsigned pages, unsigned rounds)
{
	pthread_t threads[CROWD];

	crowd_memory = memory + next * PAGE;
	crowd_pages = pages;
	crowd_rounds = rounds;
	next += pages;
	for (uintptr_t i = 0; i < CROWD; i++)
		NEED(pthread_create(&threads[i], NULL, crowd, (void *)i) == 0);
	for (int i = 0; i < CROWD; i++)
		NEED(pthread_join(threads[i], NULL) == 0);
}

static void check_crowd(void)
{
	run_crowd(256, 4000);
	check("threads, and pages that are discarded meanwhile", true);
}

/* Mappings come and go, by calls that libraries see and others. */
static void *change_mappings(void *done)
{
	const size_t size = 4 * PAGE;
	char *p;

	while (!atomic_load((atomic_bool *)done)) {
		p = anonymous(size);
		p[0] = 1;
		NEED(munmap(p, size) == 0);
		p = (char *)RAW(SYS_mmap, 0, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p[0] = 1;
		NEED(RAW(SYS_munmap, p, size) == 0);
		usleep(10);
	}
	return NULL;
}

/* A page has often gone again before who waited for it uses it. */
static void check_few(void)
{
	atomic_bool done = false;
	pthread_t thread;

	NEED(pthread_create(&thread, NULL, change_mappings, &done) == 0);
	run_crowd(2, 4000);
	atomic_store(&done, true);
	NEED(pthread_join(thread, NULL) == 0);
	check("the same with few pages, and mappings that come and go", true);
}

/* ---- other uses ---- */

static void *touch(void *at)
{
	return (void *)(long)*(volatile char *)at;
}

static void *write_apart(void *at)
{
	int pair[2];

	NEED(pipe(pair) == 0);
	return (void *)RAW(SYS_write, pair[1], at, 1);
}

static int wait_for_ever(int n)
{
	struct pollfd p = {.fd = uffd, .events = POLLIN};
	struct uffd_msg m;
	pthread_t thread;

	for (int i = 0; i < n; i++)
		NEED(pthread_create(&thread, NULL, i % 2 ? write_apart : touch, page()) == 0);
	while (n) {
		poll(&p, 1, -1);
		n -= read(uffd, &m, sizeof(m)) == sizeof(m);
	}
	puts("waiting");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	pthread_t thread;

	setvbuf(stdout, NULL, _IOLBF, 0);
	uffd = open_uffd(0);
	memory = anonymous((size_t)PAGE * PAGES);
	watch(uffd, memory, (size_t)PAGE * PAGES, UFFDIO_REGISTER_MODE_MISSING);
	NEED(pipe(ends) == 0);
	if (argc == 3 && strcmp(argv[1], "wait") == 0)
		return wait_for_ever(atoi(argv[2]));
	NEED(pthread_create(&thread, NULL, handler, NULL) == 0);
	while (argc == 2) {
		check_crowd();
		next = 0;
	}
	check_reads();
	check_writes();
	check_ring();
	check_pages();
	check_protection();
	check_end();
	check_fork();
	check_moves();
	check_user_mode();
	check_signals();
	check_crowd();
	check_few();
	return bad;
}
