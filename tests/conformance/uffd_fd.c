// SPDX-License-Identifier: BSD-3-Clause
/* The file: where it comes from, what it is besides ioctls and faults; and the handshake. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "uffd.h"

static void say_flags(const char *what, int fd)
{
	say_text(what, "status %#x, descriptor %#x", (unsigned)fcntl(fd, F_GETFL),
		 (unsigned)fcntl(fd, F_GETFD));
}

static void say_events(const char *what, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
	long r = result(poll(&p, 1, 0));

	say_text(what, "%s, events %#x", result_name(r), (unsigned)p.revents);
}

static void every_flag(void)
{
	say_fd(uffd_raw(0), "flags none");
	for (unsigned bit = 0; bit < 32; bit++) {
		int fd = uffd_raw((int)(1U << bit));

		say_fd(fd, "flags %#x", 1U << bit);
		if (fd >= 0)
			close(fd);
	}
	say_fd(uffd_raw(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY), "flags all three");
	say_fd(uffd_raw(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY | 2), "flags and one more");
	say_fd(uffd_raw(-1), "flags -1");
}

void uffd_area_fd(void)
{
	static const int flags[] = {0, O_CLOEXEC, O_NONBLOCK, UFFD_USER_MODE_ONLY,
				    O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY};
	char link[64] = "", data[64] = "";
	struct iovec piece = {data, sizeof(data)};
	struct stat st;
	int fd, other, nothing = 0;
	void *m;

	every_flag();
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		fd = uffd_raw(flags[i]);
		say_flags(label("new %#x", (unsigned)flags[i]), fd);
		close(fd);
	}
	fd = uffd_raw(O_NONBLOCK | UFFD_USER_MODE_ONLY);
	say(result(readlink(label("/proc/self/fd/%d", fd), link, sizeof(link) - 1)), "readlink");
	say_text("readlink says", "%s", link);
	say(result(fstat(fd, &st)), "fstat");
	say_text("fstat says", "%#o, size %ld, links %ld", st.st_mode, (long)st.st_size,
		 (long)st.st_nlink);
	say_fdinfo_api(fd, "fdinfo before the handshake");
	say(uffd_api(fd, UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_EXACT_ADDRESS), "handshake");
	say_fdinfo_api(fd, "fdinfo after it");

	say(result(write(fd, data, sizeof(data))), "write");
	say(result(write(fd, data, 0)), "write of nothing");
	say(result(writev(fd, &piece, 1)), "writev");
	say(result(pwrite(fd, data, sizeof(data), 0)), "pwrite");
	say(result(pread(fd, data, sizeof(data), 0)), "pread");
	say(result(pread(fd, data, sizeof(data), -1)), "pread before the start");
	say(result(pread(fd, data, 31, 64)), "pread of 31");
	say(result(readv(fd, &piece, 1)), "readv");
	say(result(lseek(fd, 0, SEEK_SET)), "lseek");
	say(result(lseek(fd, 4096, SEEK_SET)), "lseek to 4096");
	say(result(lseek(fd, 0, SEEK_CUR)), "lseek, where");
	say(result(lseek(fd, -1, SEEK_END)), "lseek before the end");
	say(result(lseek(fd, 0, 9)), "lseek from 9");
	m = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	say(m == MAP_FAILED ? -errno : 0, "mmap private");
	m = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	say(m == MAP_FAILED ? -errno : 0, "mmap shared");
	m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say(m == MAP_FAILED ? -errno : 0, "mmap shared to write");
	say(result(ftruncate(fd, 0)), "ftruncate");
	say(result(fsync(fd)), "fsync");
	say(result(fchmod(fd, 0600)), "fchmod");
	say(result(ioctl(fd, FIONBIO, &nothing)), "FIONBIO");
	say_flags("after FIONBIO 0", fd);
	say(result(ioctl(fd, FIONREAD, &nothing)), "FIONREAD");
	say(result(ioctl(fd, 0x5401, data)), "TCGETS");
	say(result(ioctl(fd, _IO(0xaa, 0))), "IOC_NEW on it");

	say(result(fcntl(fd, F_SETFL, O_NONBLOCK)), "non-blocking");
	say_flags("non-blocking is", fd);
	say_events("non-blocking poll", fd);
	say(result(read(fd, data, 32)), "non-blocking read");
	other = dup(fd);
	say_flags("dup is", other);
	say(result(fcntl(other, F_SETFL, 0)), "dup made blocking");
	say_flags("then it is", fd);
	say_events("blocking poll", fd);
	say(result(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND)), "non-blocking, append");
	say_flags("which is", other);
	say(result(fcntl(fd, F_SETFL, O_NONBLOCK)), "non-blocking again");
	say(uffd_api(other, 0), "handshake by the dup");
	close(fd);
	say_events("poll of the dup", other);
	say(result(read(other, data, 32)), "read of the dup");
	close(other);
	say(result(fcntl(other, F_GETFL)), "after close");

	fd = uffd_raw(O_CLOEXEC | UFFD_USER_MODE_ONLY);
	other = fcntl(fd, F_DUPFD, 100);
	say_flags("F_DUPFD is", other);
	other = dup3(fd, 120, O_CLOEXEC);
	say_flags("dup3 is", other);
	say(result(dup2(fd, 121)), "dup2");
	say_flags("dup2 is", 121);
}

/* What needs no privilege is the same for one who has none. */
static void as_nobody(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd;

	every_flag();
	fd = uffd_raw(UFFD_USER_MODE_ONLY | O_NONBLOCK);
	say(result(ioctl(fd, UFFDIO_API, &api)), "handshake");
	say_text("handshake says", "features %#lx", (unsigned long)api.features);
	close(fd);
	fd = uffd_raw(UFFD_USER_MODE_ONLY);
	api = (struct uffdio_api){.api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK};
	say(result(ioctl(fd, UFFDIO_API, &api)), "handshake with EVENT_FORK");
	say_text("which leaves", "api %#lx, features %#lx, ioctls %#lx", (unsigned long)api.api,
		 (unsigned long)api.features, (unsigned long)api.ioctls);
	api = (struct uffdio_api){.api = UFFD_API, .features = 1UL << 40 | UFFD_FEATURE_EVENT_FORK};
	say(result(ioctl(fd, UFFDIO_API, &api)), "with EVENT_FORK and an unknown one");
	api = (struct uffdio_api){.api = 1, .features = UFFD_FEATURE_EVENT_FORK};
	say(result(ioctl(fd, UFFDIO_API, &api)), "with EVENT_FORK and another api");
	api = (struct uffdio_api){.api = UFFD_API,
				  .features = 0x7ffff & ~(uint64_t)UFFD_FEATURE_EVENT_FORK};
	say(result(ioctl(fd, UFFDIO_API, &api)), "with all but EVENT_FORK");
	close(fd);
	say_fd(result(open("/dev/userfaultfd", O_RDWR)), "/dev/userfaultfd");
}

void uffd_area_user(void)
{
	if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
		give_up("setresuid", -errno);
	prctl(PR_SET_DUMPABLE, 1);
	as_nobody();
}

void uffd_area_device(void)
{
	struct stat st;
	char byte[64];
	int fd, made, only;
	void *m;

	say(result(stat("/dev/userfaultfd", &st)), "stat");
	say_text("stat says", "%#o, major %u", st.st_mode, major(st.st_rdev));
	only = open("/dev/userfaultfd", O_RDONLY);
	say_fd(result(only), "open to read");
	made = (int)result(ioctl(only, USERFAULTFD_IOC_NEW, UFFD_USER_MODE_ONLY));
	say_fd(made, "IOC_NEW of it");
	close(made);
	close(only);
	fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	say_fd(result(fd), "open");
	say(result(read(fd, byte, sizeof(byte))), "read");
	say(result(write(fd, byte, sizeof(byte))), "write");
	say(result(lseek(fd, 64, SEEK_SET)), "lseek");
	m = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	say(m == MAP_FAILED ? -errno : 0, "mmap");
	say_events("poll", fd);
	say(result(ioctl(fd, _IO(0xaa, 1))), "another command");
	say(result(ioctl(fd, UFFDIO_API, byte)), "UFFDIO_API");
	say(result(ioctl(fd, 0x5401, byte)), "TCGETS");
	say_fd(result(ioctl(fd, USERFAULTFD_IOC_NEW, 2)), "IOC_NEW 2");
	say_fd(result(ioctl(fd, USERFAULTFD_IOC_NEW, -1)), "IOC_NEW -1");
	say_fd(result(ioctl(fd, USERFAULTFD_IOC_NEW, 1UL << 32)), "IOC_NEW 1 << 32");
	for (unsigned i = 0; i < 8; i++) {
		int flags = (i & 1 ? O_CLOEXEC : 0) | (i & 2 ? O_NONBLOCK : 0) |
			    (i & 4 ? UFFD_USER_MODE_ONLY : 0);

		made = (int)result(ioctl(fd, USERFAULTFD_IOC_NEW, (long)flags));
		say_fd(made, "IOC_NEW %#x", (unsigned)flags);
		say_flags(label("IOC_NEW %#x is", (unsigned)flags), made);
		say(uffd_api(made, 0), "its handshake");
		if (i < 7)
			close(made);
	}
	close(fd);
	say_events("poll after the device's close", made);
}

/* ---- handshake ---- */

static void say_api(int fd, const char *what, uint64_t api, uint64_t features)
{
	struct uffdio_api a = {api, features, 0x1234}, *at = edge(sizeof(a), &a);
	long r = result(ioctl(fd, UFFDIO_API, at));

	say_text(what, "%s, api %#lx, features %#lx, ioctls %#lx", result_name(r),
		 (unsigned long)at->api, (unsigned long)at->features, (unsigned long)at->ioctls);
}

static const struct {
	const char *name;
	unsigned long request;
} commands[] = {
	{"REGISTER", UFFDIO_REGISTER},
	{"UNREGISTER", UFFDIO_UNREGISTER},
	{"WAKE", UFFDIO_WAKE},
	{"COPY", UFFDIO_COPY},
	{"ZEROPAGE", UFFDIO_ZEROPAGE},
	{"MOVE", UFFDIO_MOVE},
	{"WRITEPROTECT", UFFDIO_WRITEPROTECT},
	{"CONTINUE", UFFDIO_CONTINUE},
	{"POISON", UFFDIO_POISON},
	{"RWPROTECT", UFFDIO_RWPROTECT},
	{"SET_MODE", UFFDIO_SET_MODE},
	{"an unknown command", _IO(UFFDIO, 0x3e)},
	{"COPY of another size", _IOWR(UFFDIO, _UFFDIO_COPY, struct uffdio_range)},
	{"API as _IOW", _IOW(UFFDIO, _UFFDIO_API, struct uffdio_api)},
};

static void every_command(const char *when, int fd)
{
	char zeroes[64] = "";

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		say(result(ioctl(fd, commands[i].request, NOWHERE)), "%s, %s, nowhere", when,
		    commands[i].name);
		say(result(ioctl(fd, commands[i].request, zeroes)), "%s, %s, zeroes", when,
		    commands[i].name);
	}
}

void uffd_area_handshake(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct uffdio_api good = {.api = UFFD_API};
	char buffer[64];
	int fd = uffd_raw(O_NONBLOCK | UFFD_USER_MODE_ONLY), epoll = epoll_create1(0);

	every_command("before", fd);
	say(result(read(fd, buffer, 32)), "read before");
	say(result(read(fd, buffer, 0)), "read of nothing before");
	say_events("poll before", fd);
	say(result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)), "epoll_ctl before");
	say(result(epoll_wait(epoll, &event, 1, 0)), "epoll_wait before");
	say_text("epoll says", "%#x", event.events);

	say(result(ioctl(fd, UFFDIO_API, NULL)), "null");
	say(result(ioctl(fd, UFFDIO_API, NOWHERE)), "nowhere");
	say(result(ioctl(fd, UFFDIO_API, edge(sizeof(good) - 1, NULL))), "a byte short");
	say_api(fd, "api 0", 0, 0);
	say_api(fd, "api 0xab", 0xab, 0);
	say_api(fd, "api 0xaa and more", UFFD_API | 1UL << 32, 0);
	say_api(fd, "all features", UFFD_API, ~0UL);
	for (unsigned bit = 19; bit < 64; bit++)
		say_api(fd, label("unknown feature %u", bit), UFFD_API, 1UL << bit);
	say_api(fd, "RWP_ASYNC alone", UFFD_API, UFFD_FEATURE_RWP_ASYNC);
	say_api(fd, "RWP_ASYNC and an unknown one", UFFD_API, UFFD_FEATURE_RWP_ASYNC | 1UL << 40);
	say(result(ioctl(fd, UFFDIO_API, read_only(sizeof(good), &good))),
	    "answer can't be written");
	good.api = 1;
	say(result(ioctl(fd, UFFDIO_API, read_only(sizeof(good), &good))),
	    "refusal can't be written");
	say_events("poll after refusals", fd);
	say_api(fd, "none", UFFD_API, 0);
	say_fdinfo_api(fd, "fdinfo then");
	say_api(fd, "again", UFFD_API, 0);
	say_api(fd, "again with a feature", UFFD_API, UFFD_FEATURE_THREAD_ID);
	say_api(fd, "again with an unknown one", UFFD_API, 1UL << 40);
	say_api(fd, "again with api 0", 0, 0);
	good.api = UFFD_API;
	say(result(ioctl(fd, UFFDIO_API, read_only(sizeof(good), &good))),
	    "again, can't be written");
	say_fdinfo_api(fd, "fdinfo after those");
	every_command("after", fd);
	say_events("poll after", fd);
	say(result(epoll_wait(epoll, &event, 1, 0)), "epoll_wait after");
	close(fd);

	for (unsigned bit = 0; bit < 18; bit++) {
		fd = uffd_raw(UFFD_USER_MODE_ONLY);
		say_api(fd, label("feature %u", bit), UFFD_API, 1UL << bit);
		say_fdinfo_api(fd, label("feature %u, fdinfo", bit));
		close(fd);
	}
	fd = uffd_raw(UFFD_USER_MODE_ONLY);
	say_api(fd, "RWP and RWP_ASYNC", UFFD_API, UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC);
	say_fdinfo_api(fd, "RWP and RWP_ASYNC, fdinfo");
	close(fd);
	fd = uffd_raw(UFFD_USER_MODE_ONLY);
	say_api(fd, "every known feature", UFFD_API, 0x7ffff);
	say_fdinfo_api(fd, "every known feature, fdinfo");
	close(fd);
	/* The file counts, not the descriptor. */
	fd = uffd_raw(UFFD_USER_MODE_ONLY);
	epoll = dup(fd);
	say(uffd_api(epoll, 0), "through a dup");
	say(uffd_api(fd, 0), "then through the first");
}
