/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wrappers: a client that uses everything of libc which standin stands in front of, and
 * says where the answer is not what the kernel gives.  Run under `standin run` with the
 * default device.  One line for each check that fails; exit status 1 if any did.
 */
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 2
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls that are wrong are what this is about. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Warray-bounds"
#pragma GCC diagnostic ignored "-Wcast-function-type"

/* A sanitizer has handlers of its own for the fault signals. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

static int failures, checks;

#define CHECK(condition)                                                                       \
	do {                                                                                   \
		checks++;                                                                      \
		errno = 0;                                                                     \
		if (!(condition)) {                                                            \
			printf("FAIL: line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
			failures++;                                                            \
		}                                                                              \
	} while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

#define NODE "/dev/vfio/vfio"
#define PCI  "/sys/bus/pci/devices/0000:01:00.0"

static const char *private_directory;

/* A string that the client gets to see: does not name the private directory. */
static bool clean(const char *text)
{
	return text && !strstr(text, private_directory);
}

static bool is(const char *text, const char *expected)
{
	bool equal = text && strcmp(text, expected) == 0;

	if (!equal)
		printf("      it is %s\n", text ? text : "NULL");
	return equal;
}

static bool stood_in(int fd)
{
	return ioctl(fd, VFIO_GET_API_VERSION) == 0;
}

static bool close_ours(int fd)
{
	bool ours = stood_in(fd);

	return close(fd) == 0 && ours;
}

/* ---- opening ---- */

static void opening(void)
{
	int (*open_2)(const char *, int) = dlsym(RTLD_DEFAULT, "__open_2");
	int (*open64_2)(const char *, int) = dlsym(RTLD_DEFAULT, "__open64_2");
	int (*openat_2)(int, const char *, int) = dlsym(RTLD_DEFAULT, "__openat_2");
	int dev = open("/dev", O_PATH | O_DIRECTORY), vfio;
	FILE *file;

	CHECK(close_ours(open(NODE, O_RDWR | O_CLOEXEC)));
	CHECK(close_ours(open64(NODE, O_RDWR)));
	CHECK(close_ours(openat(AT_FDCWD, NODE, O_RDWR)));
	CHECK(close_ours(openat64(-1, NODE, O_RDWR)));
	CHECK(close_ours(open_2(NODE, O_RDWR)));
	CHECK(close_ours(open64_2(NODE, O_RDWR)));
	CHECK(close_ours(openat_2(AT_FDCWD, NODE, O_RDWR)));
	CHECK(close_ours((int)syscall(SYS_open, NODE, O_RDWR)));
	CHECK(close_ours((int)syscall(SYS_openat, AT_FDCWD, NODE, O_RDWR)));
	CHECK(close_ours(open("//dev/./vfio//vfio", O_RDWR)));
	CHECK(close_ours(open("/usr/../dev/vfio/../vfio/vfio", O_RDWR)));
	file = fopen(NODE, "r+e");
	CHECK(file && stood_in(fileno(file)));
	CHECK(file && fclose(file) == 0);

	FAILS(open("/dev/vfio/nothing", O_RDWR), ENOENT);
	FAILS(open(NODE "/", O_RDWR), ENOTDIR);
	FAILS(open(NODE, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	FAILS(open(NODE, O_RDWR | O_DIRECTORY), ENOTDIR);
	FAILS(open("/dev/vfio", O_RDWR), EISDIR);
	FAILS(open(PCI "/invented", O_RDWR | O_CREAT, 0600), EACCES);
	FAILS(open(PCI "/vendor", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	FAILS(open("/sys/bus/pci/nowhere/../devices", O_RDONLY), ENOENT);
	errno = 0;
	CHECK(!fopen(PCI "/invented", "w") && errno == EACCES);

	CHECK(close_ours(openat(dev, "vfio/vfio", O_RDWR)));
	vfio = openat(dev, "vfio", O_RDONLY | O_DIRECTORY);
	CHECK(vfio >= 0);
	CHECK(close_ours(openat(vfio, "vfio", O_RDWR)));
	CHECK(close_ours(openat(vfio, "../vfio/vfio", O_RDWR)));
	CHECK(close(openat(vfio, "../null", O_RDWR)) == 0);
	CHECK(chdir("/") == 0 && close_ours(open("dev/vfio/vfio", O_RDWR)));
	CHECK(chdir("/dev") == 0 && close_ours(open("vfio/vfio", O_RDWR)));
	CHECK(chdir("vfio") == 0 && close_ours(open("vfio", O_RDWR)));
	CHECK(close_ours(open("./vfio", O_RDWR)));
	CHECK(close(open("../null", O_RDWR)) == 0);
	CHECK(chdir("..") == 0 && close(open("null", O_RDWR)) == 0);
	CHECK(fchdir(vfio) == 0 && close_ours(open("vfio", O_RDWR)));
	CHECK(chdir("/") == 0);
	close(vfio);
	close(dev);
}

/* ---- looking ---- */

/* sysfs lets nobody make or remove things, nor root open an attribute as it is not. */
static void frozen(void)
{
	int refused = geteuid() == 0 ? EPERM : EACCES;

	FAILS(open(PCI "/vendor", O_RDWR), EACCES);
	FAILS(open(PCI "/remove", O_RDONLY), EACCES);
	FAILS(unlink(PCI "/vendor"), refused);
	FAILS(unlink(PCI "/nothing"), ENOENT);
	FAILS(mkdir(PCI "/new", 0755), refused);
	FAILS(mkdir(PCI "/power", 0755), EEXIST);
	FAILS(mkdir(PCI "/nothing/new", 0755), ENOENT);
	FAILS(rmdir(PCI "/power"), refused);
	FAILS(rename(PCI "/vendor", PCI "/seller"), refused);
	FAILS(symlink("x", PCI "/link"), refused);
	CHECK(close(open(PCI "/driver_override", O_WRONLY | O_CREAT | O_TRUNC, 0600)) == 0);
}

static bool is_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(10, 196) && st->st_size == 0;
}

static void looking(void)
{
	struct dirent **list = NULL, *entry;
	int fd = open(NODE, O_RDWR), dirfd, n;
	struct statx stx;
	struct statfs fs;
	struct stat st, other;
	DIR *dir;

	CHECK(stat(NODE, &st) == 0 && is_device(&st));
	CHECK(lstat(NODE, &st) == 0 && is_device(&st));
	CHECK(fstatat(AT_FDCWD, NODE, &st, 0) == 0 && is_device(&st));
	CHECK(fstat(fd, &st) == 0 && is_device(&st));
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && is_device(&st));
	CHECK(syscall(SYS_stat, NODE, &st) == 0 && is_device(&st));
	CHECK(syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 && is_device(&st));
	CHECK(statx(AT_FDCWD, NODE, 0, STATX_ALL, &stx) == 0 && S_ISCHR(stx.stx_mode) &&
	      stx.stx_rdev_major == 10 && stx.stx_rdev_minor == 196);
	CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &stx) == 0 && S_ISCHR(stx.stx_mode) &&
	      stx.stx_rdev_major == 10 && stx.stx_rdev_minor == 196);
	CHECK(stat(NODE, &st) == 0 && fstat(fd, &other) == 0 && st.st_ino == other.st_ino &&
	      st.st_mode == other.st_mode && (st.st_mode & 0777) == 0666);
	CHECK(stat("/dev/vfio/0", &st) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(access(NODE, R_OK | W_OK) == 0);
	FAILS(access("/dev/vfio/nothing", F_OK), ENOENT);
	CHECK(faccessat(AT_FDCWD, PCI, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(statfs(PCI, &fs) == 0 && fs.f_type == 0x62656572); /* SYSFS_MAGIC */
	FAILS(statfs(PCI "/nothing", &fs), ENOENT);
	CHECK(stat(PCI, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(lstat(PCI, &st) == 0 && S_ISLNK(st.st_mode));

	dir = opendir("/dev/vfio");
	CHECK(dir);
	for (n = 0; dir && (entry = readdir(dir));) {
		if (strcmp(entry->d_name, "vfio") != 0)
			continue;
		n++;
		CHECK(entry->d_type == DT_CHR);
		dirfd = openat(((void)0, fd), "/dev/vfio", O_DIRECTORY);
		CHECK(fstatat(dirfd, entry->d_name, &st, 0) == 0 && is_device(&st));
		close(dirfd);
	}
	CHECK(n == 1);
	if (dir)
		closedir(dir);
	n = scandir("/dev/vfio", &list, NULL, alphasort);
	CHECK(n >= 4);
	for (int i = 0; i < n; i++) {
		CHECK(list[i]->d_type != DT_REG);
		free(list[i]);
	}
	free(list);
	close(fd);
}

/* ---- names ---- */

static int visited, visited_ours;

static int visit(const char *path, const struct stat *st, int type, struct FTW *place)
{
	visited++;
	CHECK(clean(path) && strncmp(path, "/dev/vfio", 9) == 0);
	CHECK(place->level == 0 || path[place->base - 1] == '/');
	if (strcmp(path, NODE) == 0) {
		visited_ours++;
		CHECK(is_device(st) && strcmp(path + place->base, "vfio") == 0);
	}
	return 0;
}

static void names(void)
{
	char text[PATH_MAX], resolved[PATH_MAX], link[64], *allocated;
	ssize_t n;
	glob_t g;
	int fd;

	CHECK(is(realpath(PCI "/iommu_group", text), "/sys/kernel/iommu_groups/0"));
	CHECK(is(realpath(PCI "/subsystem", text), "/sys/bus/pci"));
	allocated = realpath(PCI "/driver", NULL);
	CHECK(is(allocated, "/sys/bus/pci/drivers/vfio-pci"));
	free(allocated);
	allocated = canonicalize_file_name(PCI "/iommu_group/devices/../../0");
	CHECK(is(allocated, "/sys/kernel/iommu_groups/0"));
	free(allocated);
	CHECK(!realpath(PCI "/nothing", text) && errno == ENOENT && clean(text));

	n = readlink(PCI "/iommu_group", text, sizeof(text) - 1);
	CHECK(n > 0 && text[0] == '.' && (text[n] = '\0', clean(text)));

	CHECK(chdir(PCI) == 0);
	CHECK(getcwd(text, sizeof(text)) && clean(text) && strstr(text, "/0000:01:00.0"));
	CHECK(strncmp(text, "/sys/devices/pci0000:00/", 24) == 0);
	n = (ssize_t)strlen(text);
	CHECK(getcwd(link, (size_t)n + 1) && strcmp(link, text) == 0);
	errno = 0;
	CHECK(!getcwd(link, (size_t)n) && errno == ERANGE);
	CHECK(syscall(SYS_getcwd, link, n + 1) == n + 1 && strcmp(link, text) == 0);
	allocated = get_current_dir_name();
	CHECK(clean(allocated));
	free(allocated);
	allocated = getcwd(NULL, 0);
	CHECK(is(allocated, text));
	free(allocated);
	memset(link, '#', sizeof(link));
	CHECK(readlink("/proc/self/cwd", link, sizeof(link)) == n && memcmp(link, text, n) == 0);
	for (size_t i = (size_t)n; i < sizeof(link); i++)
		CHECK(link[i] == '\0' || link[i] == '#');
	memset(link, '#', sizeof(link));
	CHECK(readlink("/proc/self/cwd", link, 7) == 7 && memcmp(link, text, 7) == 0 &&
	      link[7] == '#');
	CHECK(is(realpath("vendor", resolved), strcat(text, "/vendor")));
	CHECK(access("../nothing", F_OK) == -1 && access("vendor", R_OK) == 0);
	CHECK(access("iommu_group/../../../class/mem", F_OK) == 0);
	CHECK(chdir("/sys/class") == 0 && is(getcwd(text, sizeof(text)), "/sys/class"));
	CHECK(access("../bus/pci/devices/0000:01:00.0/vendor", R_OK) == 0);
	CHECK(chdir("/") == 0);

	fd = open("/sys/bus/pci/devices", O_RDONLY | O_DIRECTORY);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, text, sizeof(text) - 1);
	CHECK(n > 0 && (text[n] = '\0', is(text, "/sys/bus/pci/devices")));
	close(fd);
	fd = open(NODE, O_RDWR);
	n = readlink(link, text, sizeof(text) - 1);
	CHECK(n > 0 && (text[n] = '\0', is(text, NODE)));
	close(fd);

	CHECK(glob("/sys/bus/p*/devices/0000:01:00.?", 0, NULL, &g) == 0 && g.gl_pathc == 1 &&
	      is(g.gl_pathv[0], PCI));
	globfree(&g);
	CHECK(glob("/dev/vfio/*", 0, NULL, &g) == 0 && g.gl_pathc >= 2 && clean(g.gl_pathv[0]));
	globfree(&g);
	CHECK(glob("/dev/vfi[o]", GLOB_MARK, NULL, &g) == GLOB_NOMATCH || g.gl_pathc == 1);
	CHECK(nftw("/dev/vfio", visit, 8, FTW_PHYS) == 0 && visited >= 3 && visited_ours == 1);
}

/* ---- descriptors ---- */

static void descriptors(void)
{
	int fd = open(NODE, O_RDWR), null = open("/dev/null", O_RDWR), copy, pair[2], epoll;
	struct epoll_event event = {.events = EPOLLIN};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct iovec iov[2];
	char byte = 'x', buffer[16];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	FILE *file;

	CHECK(stood_in(fd) && !stood_in(null));
	copy = dup(fd);
	CHECK(stood_in(copy) && close(copy) == 0 && !stood_in(copy) && errno == EBADF);
	CHECK(dup2(fd, 50) == 50 && stood_in(50));
	CHECK(dup2(null, 50) == 50 && !stood_in(50) && errno == ENOTTY);
	CHECK(dup3(fd, 50, O_CLOEXEC) == 50 && stood_in(50) && fcntl(50, F_GETFD) == FD_CLOEXEC);
	CHECK(dup2(50, 50) == 50 && stood_in(50));
	FAILS(dup3(50, 50, 0), EINVAL);
	FAILS(dup2(999, 50), EBADF);
	CHECK(stood_in(50));
	copy = fcntl(fd, F_DUPFD, 60);
	CHECK(copy >= 60 && stood_in(copy));
	CHECK(syscall(SYS_close, copy) == 0 && !stood_in(copy));
	copy = (int)syscall(SYS_dup, fd);
	CHECK(stood_in(copy) && syscall(SYS_ioctl, copy, VFIO_GET_API_VERSION) == 0);
	CHECK(close_range(copy, copy, 0) == 0 && !stood_in(copy));
	file = fdopen(50, "r+");
	CHECK(fclose(file) == 0);
	CHECK(dup2(null, 50) == 50 && !stood_in(50) && errno == ENOTTY);

	/* What is no stream cannot be moved in; what has no read says so. */
	FAILS(lseek(fd, 0, SEEK_SET), ESPIPE);
	FAILS(read(fd, buffer, 1), EINVAL);
	FAILS(write(fd, buffer, 1), EINVAL);
	FAILS(pread(fd, buffer, 1, 0), EINVAL);
	iov[0] = iov[1] = (struct iovec){buffer, 4};
	FAILS(readv(fd, iov, 2), EINVAL);
	FAILS(readv(fd, iov, -1), EINVAL);
	FAILS(readv(fd, (void *)64, 1), EFAULT);
	FAILS(preadv2(fd, iov, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
	FAILS(ftruncate(fd, 0), EINVAL);
	FAILS(fallocate(fd, 0, 0, 1), ENODEV);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV);
	epoll = epoll_create1(0);
	FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), EPERM);
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);

	/* Over a socket, to ourselves. */
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	iov[0] = (struct iovec){&byte, 1};
	message.msg_control = &control;
	message.msg_controllen = sizeof(control);
	c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	CHECK(sendmsg(pair[0], &message, 0) == 1);
	CHECK(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC) == 1);
	memcpy(&copy, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(copy));
	CHECK(copy != fd && stood_in(copy));
	CHECK(close(fd) == 0 && stood_in(copy) && close(copy) == 0);

	/* Closing everything leaves nothing to see, and the runtime working. */
	closefrom(3);
	for (int i = 3; i < 4096; i++) {
		if (fcntl(i, F_GETFD) == 0 || close(i) == 0) {
			CHECK(!"a descriptor is left");
			break;
		}
	}
	CHECK(close_ours(open(NODE, O_RDWR)));
}

/* ---- the device file ---- */

static void device(void)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	struct vfio_region_info info = {.argsz = sizeof(info), .index = 7};
	int container = open(NODE, O_RDWR), group = open("/dev/vfio/0", O_RDWR), fd;
	unsigned char whole[16], parts[16];
	struct iovec iov[2] = {{parts, 2}, {parts + 2, 14}};
	volatile size_t size = sizeof(whole); /* for the checked variants */
	volatile unsigned *registers;
	struct stat st;
	off_t config;
	char *p;

	CHECK(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0);
	CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0");
	CHECK(fd >= 0);
	CHECK(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	config = (off_t)info.offset;
	CHECK(pread(fd, whole, size, config) == 16);
	CHECK(preadv(fd, iov, 2, config) == 16 && memcmp(whole, parts, 16) == 0);
	memset(parts, 0, sizeof(parts));
	CHECK(preadv2(fd, iov, 2, config, 0) == 16 && memcmp(whole, parts, 16) == 0);
	memset(parts, 0, sizeof(parts));
	CHECK(syscall(SYS_pread64, fd, parts, 16L, config) == 16 && memcmp(whole, parts, 16) == 0);
	memset(parts, 0, sizeof(parts));
	CHECK(syscall(SYS_preadv, fd, iov, 2L, config, 0L) == 16 && memcmp(whole, parts, 16) == 0);
	FAILS(preadv(fd, iov, 2, -1), EINVAL);
	CHECK(fstat(fd, &st) == 0 && !S_ISREG(st.st_mode));

	/* The version register of an NVMe controller is at 8. */
	info.index = 0;
	CHECK(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)info.offset);
	CHECK(p != MAP_FAILED);
	if (p != MAP_FAILED) {
		registers = (unsigned *)p;
		CHECK(registers[2] >> 16 >= 1);
		CHECK(mprotect(p, 8192, PROT_READ) == 0 && registers[2] >> 16 >= 1);
		CHECK(munmap(p + 4096, 4096) == 0 && registers[2] >> 16 >= 1);
		CHECK(mmap(p, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			   -1, 0) == p);
		CHECK(registers[2] == 0 && (registers[2] = 5) == 5);
		CHECK(munmap(p, 4096) == 0);
	}
	close(fd);
	close(group);
	close(container);
}

/* ---- signals ---- */

static sigjmp_buf back;
static volatile int faults;
static void *volatile fault_address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	faults++;
	fault_address = info->si_addr;
	siglongjmp(back, 1);
}

static void nothing(int signal)
{
}

static void signals(void)
{
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old;
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} kernel;
	unsigned long word = 0;
	sigset_t all, was;

	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(sigaction(SIGSEGV, &act, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_sigaction == on_fault &&
	      (old.sa_flags & SA_SIGINFO));
	CHECK(syscall(SYS_rt_sigaction, SIGSEGV, NULL, &kernel, 8) == 0 &&
	      kernel.handler == (void *)on_fault);
	if (sigsetjmp(back, 1) == 0)
		*(volatile int *)64 = 1;
	CHECK(faults == 1 && fault_address == (void *)64);

	sigfillset(&all);
	sigemptyset(&was);
	CHECK(sigprocmask(SIG_SETMASK, &all, &was) == 0 && !sigismember(&was, SIGSEGV));
	CHECK(sigprocmask(SIG_SETMASK, NULL, &was) == 0 && sigismember(&was, SIGSEGV) == 1 &&
	      sigismember(&was, SIGUSR1) == 1);
	CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &word, 8) == 0 &&
	      (word >> (SIGSEGV - 1) & 1));
	CHECK(close_ours(open(NODE, O_RDWR)));
	FAILS(sigprocmask(77, &all, NULL), EINVAL);
	CHECK(pthread_sigmask(SIG_UNBLOCK, &all, &was) == 0 && sigismember(&was, SIGBUS) == 1);
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &was) == 0 && sigismember(&was, SIGBUS) == 0);

	CHECK(signal(SIGSEGV, nothing) == (void (*)(int))on_fault);
	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && (old.sa_flags & SA_RESTART));
	CHECK(siginterrupt(SIGSEGV, 1) == 0);
	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && !(old.sa_flags & SA_RESTART));
	CHECK(sigset(SIGSEGV, SIG_IGN) == nothing && signal(SIGSEGV, SIG_DFL) == SIG_IGN);
	CHECK(sigset(SIGBUS, SIG_HOLD) == SIG_DFL && sigset(SIGBUS, SIG_DFL) == SIG_HOLD);

	act = (struct sigaction){.sa_handler = nothing};
	sigaddset(&act.sa_mask, SIGSEGV);
	sigaddset(&act.sa_mask, SIGUSR2);
	CHECK(sigaction(SIGUSR1, &act, NULL) == 0 && sigaction(SIGUSR1, NULL, &old) == 0);
	CHECK(old.sa_handler == nothing && sigismember(&old.sa_mask, SIGSEGV) == 1 &&
	      sigismember(&old.sa_mask, SIGUSR2) == 1 && !sigismember(&old.sa_mask, SIGBUS));
	CHECK(raise(SIGUSR1) == 0);
	FAILS(sigaction(SIGKILL, &act, NULL), EINVAL);
	FAILS(sigaction(0, NULL, &old), EINVAL);
}

/* ---- processes ---- */

static int ended(pid_t child)
{
	int status = -1;

	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int cleaned;

static void clean_up(void *arg)
{
	cleaned++;
}

/* Waits in a cancellation point for what never comes. */
static void *reader(void *arg)
{
	char byte;

	pthread_cleanup_push(clean_up, NULL);
	while (read(*(int *)arg, &byte, 1) >= 0)
		;
	pthread_cleanup_pop(0);
	return NULL;
}

static void processes(void)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC), null, ends[2];
	char text[PATH_MAX];
	pthread_t thread;
	void *cancelled;
	pid_t child;

	CHECK(pipe(ends) == 0);
	child = fork();
	if (child == 0) {
		/* The child can open for itself, and close what it inherited. */
		bool good = close(fd) == 0 && close_ours(open(NODE, O_RDWR));

		null = open("/dev/null", O_RDWR);
		_exit(good && !stood_in(null) && errno == ENOTTY ? 3 : 4);
	}
	CHECK(ended(child) == 3);
	CHECK(stood_in(fd));
	child = vfork();
	if (child == 0) {
		execl("/bin/sh", "sh", "-c", "cd /sys/bus/pci/devices/*:01:00.0 && exit 5", NULL);
		_exit(1);
	}
	CHECK(ended(child) == 5);
	child = _Fork();
	if (child == 0)
		_exit(6);
	CHECK(ended(child) == 6);
	child = (pid_t)syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L);
	if (child == 0)
		_exit(7);
	CHECK(ended(child) == 7);
	CHECK(WEXITSTATUS(system("exit 8")) == 8);
	child = fork();
	if (child == 0) {
		/* The child of daemon() is nobody's, so it tells by the pipe. */
		CHECK(daemon(0, 0) == 0);
		text[0] = is(getcwd(text, sizeof(text)), "/") && close_ours(open(NODE, O_RDWR))
				  ? 'd'
				  : 'x';
		_exit(write(ends[1], text, 1) != 1);
	}
	CHECK(ended(child) == 0 && read(ends[0], text, 1) == 1 && text[0] == 'd');
	if (!SANITIZED) {
		child = forkpty(&null, NULL, NULL, NULL);
		if (child == 0)
			_exit(isatty(0) ? 9 : 10);
		CHECK(child < 0 || ended(child) == 9);
	}
	CHECK(pthread_create(&thread, NULL, reader, ends) == 0);
	usleep(1000);
	CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &cancelled) == 0 &&
	      cancelled == PTHREAD_CANCELED && cleaned == 1);
	CHECK(close_ours(fd));
}

/* ---- all at once ---- */

#define THREADS 6

static _Atomic int wrong;

static void *opener(void *arg)
{
	for (int i = 0; i < 100; i++) {
		int fd = open(NODE, O_RDWR | O_CLOEXEC), copy = dup(fd);

		wrong += !stood_in(fd) + !stood_in(copy);
		close(fd);
		wrong += !stood_in(copy);
		close(copy);
	}
	return NULL;
}

/* Gets the numbers that the others have just closed. */
static void *stranger(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		wrong += stood_in(fd);
		close(fd);
	}
	return NULL;
}

static void *forker(void *arg)
{
	for (int i = 0; i < 10; i++) {
		pid_t child = fork();

		/*
		 * Opening allocates memory, and the allocators of the sanitizers, unlike libc's,
		 * can be left locked in a child by what another thread was doing.
		 */
		if (child == 0)
			_exit(SANITIZED || stood_in(open(NODE, O_RDWR)) ? 0 : 1);
		wrong += ended(child) != 0;
	}
	return NULL;
}

static void threads(void)
{
	void *(*const what[])(void *) = {opener, stranger, forker};
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, what[i % 3], NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	CHECK(wrong == 0);
}

int main(int argc, char **argv)
{
	private_directory = getenv("STANDIN_DIRECTORY");
	if (!private_directory) {
		puts("not under standin run");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* The runtime is loaded by whoever comes first. */
	if (argc > 1) {
		threads();
		return failures != 0;
	}
	opening();
	frozen();
	looking();
	names();
	descriptors();
	device();
	if (!SANITIZED)
		signals();
	threads();
	processes();
	printf("%d checks, %d failures\n", checks, failures);
	return failures != 0;
}
