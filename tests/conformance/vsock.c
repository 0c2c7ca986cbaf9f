/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AF_VSOCK conformance program: sockets of the host by themselves, with each other, and
 * with a guest, whose rings are driven here.
 */
#include "vhost.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <linux/vm_sockets.h>

#define CID  42u
#define PORT 1234u

static struct sockaddr_vm address(uint32_t cid, uint32_t port)
{
	return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

static long bind_to(int fd, uint32_t cid, uint32_t port)
{
	struct sockaddr_vm a = address(cid, port);

	return result(bind(fd, (struct sockaddr *)&a, sizeof(a)));
}

static long connect_to(int fd, uint32_t cid, uint32_t port)
{
	struct sockaddr_vm a = address(cid, port);

	return result(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

/* Ports that the kernel chose are told as such. */
static void say_name(const char *name, long ret, const struct sockaddr_vm *a, socklen_t size)
{
	const char *port = a->svm_port == VMADDR_PORT_ANY ? "any"
			   : a->svm_port == PORT	  ? "1234"
			   : a->svm_port > 1023		  ? "some"
							  : "reserved";

	if (ret)
		say(ret, "%s", name);
	else
		say_text(name, "family %u, cid %d, port %s, size %u", a->svm_family,
			 (int)a->svm_cid, port, size);
}

static void say_names(const char *when, int fd)
{
	struct sockaddr_vm a = {0};
	socklen_t size = sizeof(a);
	char name[64];
	long r = result(getsockname(fd, (struct sockaddr *)&a, &size));

	snprintf(name, sizeof(name), "%s.getsockname", when);
	say_name(name, r, &a, size);
	a = (struct sockaddr_vm){0};
	size = sizeof(a);
	r = result(getpeername(fd, (struct sockaddr *)&a, &size));
	snprintf(name, sizeof(name), "%s.getpeername", when);
	say_name(name, r, &a, size);
}

static int number(int fd, int option)
{
	socklen_t size = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) ? -errno : value;
}

/* Packets that are under way arrive, on a machine that has other things to do too. */
static void settle(void)
{
	usleep(100000);
}

static void say_poll(const char *when, int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
	int n = poll(&p, 1, ms);

	say_text(when, "poll %d, events %#x", n, (unsigned)p.revents);
}

/* ---- one socket ---- */

static void area_socket(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_RDM, 11};
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		for (int protocol = 0; protocol < 2; protocol++)
			say_fd(result(socket(AF_VSOCK, types[i], protocol)),
			       "type %d protocol %d", types[i], protocol);
	say_fd(result(socket(AF_VSOCK, SOCK_STREAM, AF_VSOCK)), "protocol AF_VSOCK");
	say_fd(result(socket(AF_VSOCK, SOCK_STREAM | 0x100, 0)), "unknown flag");
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	say_text("flags", "%d %d", fcntl(fd, F_GETFL) & O_NONBLOCK ? 1 : 0, fcntl(fd, F_GETFD));
	say_text("options", "domain %d type %d protocol %d error %d listens %d",
		 number(fd, SO_DOMAIN), number(fd, SO_TYPE), number(fd, SO_PROTOCOL),
		 number(fd, SO_ERROR), number(fd, SO_ACCEPTCONN));
	say_names("fresh", fd);
	say(result(send(fd, "x", 1, MSG_NOSIGNAL)), "send");
	say(result(shutdown(fd, SHUT_WR)), "shutdown");
	say(result(shutdown(fd, 3)), "shutdown 3");
	say(result(listen(fd, 1)), "listen without a port");
	say_fd(result(accept(fd, NULL, NULL)), "accept without listen");
}

static void area_bind(void)
{
	struct sockaddr_vm a = address(VMADDR_CID_ANY, PORT);
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0), other = socket(AF_VSOCK, SOCK_STREAM, 0);

	say(result(bind(fd, (struct sockaddr *)&a, sizeof(a) - 1)), "short");
	say(result(bind(fd, NOWHERE, sizeof(a))), "nowhere");
	a.svm_family = AF_UNIX;
	say(result(bind(fd, (struct sockaddr *)&a, sizeof(a))), "another family");
	a.svm_family = AF_VSOCK;
	a.svm_zero[0] = 1;
	say(result(bind(other, (struct sockaddr *)&a, sizeof(a))), "not zero");
	close(other);
	other = socket(AF_VSOCK, SOCK_STREAM, 0);
	say(bind_to(fd, 77, PORT), "cid 77");
	say(bind_to(fd, 0, PORT), "cid 0");
	say(bind_to(fd, VMADDR_CID_ANY, PORT), "any");
	say(bind_to(fd, VMADDR_CID_ANY, PORT + 1), "again");
	say_names("bound", fd);
	say(bind_to(other, VMADDR_CID_ANY, PORT), "in use");
	say(bind_to(other, VMADDR_CID_LOCAL, PORT), "in use, local");
	say(bind_to(other, VMADDR_CID_ANY, VMADDR_PORT_ANY), "any port");
	say_names("any port", other);
	close(fd);
	fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	say(bind_to(fd, VMADDR_CID_LOCAL, PORT), "local");
	say_names("local", fd);
	close(other);
	other = socket(AF_VSOCK, SOCK_SEQPACKET, 0);
	say(bind_to(other, VMADDR_CID_LOCAL, PORT), "of another type");
	say(result(listen(fd, 5)), "listen");
	say(connect_to(fd, VMADDR_CID_LOCAL, PORT), "connect of a listener");
	say_text("listens", "%d", number(fd, SO_ACCEPTCONN));
}

static void area_options(void)
{
	static const struct {
		const char *name;
		int option;
	} sizes[] = {{"size", SO_VM_SOCKETS_BUFFER_SIZE},
		     {"min", SO_VM_SOCKETS_BUFFER_MIN_SIZE},
		     {"max", SO_VM_SOCKETS_BUFFER_MAX_SIZE}};
	static const uint64_t values[] = {0, 100, 4096, 1 << 20, 262144};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	struct timeval tv = {0};
	socklen_t size = sizeof(tv);
	uint64_t value;

	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k <= ARRAY_SIZE(values); k++) {
			if (k)
				say(result(setsockopt(fd, AF_VSOCK, sizes[i].option, &values[k - 1],
						      8)),
				    "%s.set %llu", sizes[i].name,
				    (unsigned long long)values[k - 1]);
			for (size_t j = 0; j < 3; j++) {
				value = 0;
				size = 8;
				say(result(getsockopt(fd, AF_VSOCK, sizes[j].option, &value,
						      &size)),
				    "%s.get %s", sizes[i].name, sizes[j].name);
				say_text("value", "%llu, size %u", (unsigned long long)value, size);
			}
		}
	value = 0;
	size = 4;
	say(result(getsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &value, &size)), "short get");
	say(result(setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &value, 4)), "short set");
	say(result(setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, NOWHERE, 8)), "nowhere");
	say(result(setsockopt(fd, AF_VSOCK, 99, &value, 8)), "unknown set");
	size = 8;
	say(result(getsockopt(fd, AF_VSOCK, 99, &value, &size)), "unknown get");
	size = sizeof(tv);
	say(result(getsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, &size)), "timeout");
	say_text("timeout", "%ld.%06ld, size %u", (long)tv.tv_sec, (long)tv.tv_usec, size);
	tv = (struct timeval){-1, 0};
	say(result(setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof(tv))),
	    "timeout below 0");
	tv = (struct timeval){1, 1000000};
	say(result(setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof(tv))),
	    "timeout 1.1000000");
	tv = (struct timeval){1, 500000};
	say(result(setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof(tv))),
	    "timeout 1.5");
	size = sizeof(tv);
	say(result(getsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, &size)), "timeout");
	say_text("timeout", "%ld.%06ld", (long)tv.tv_sec, (long)tv.tv_usec);
}

/* ---- the host with itself ---- */

static int listen_on(int type, uint32_t cid)
{
	int fd = socket(AF_VSOCK, type | SOCK_NONBLOCK, 0);
	long r = bind_to(fd, cid, PORT);

	if (!r)
		r = result(listen(fd, 5));
	if (r)
		give_up("listen", r);
	return fd;
}

/* From a connected pair: data, what poll says, and the ends. */
static void talk(const char *when, int type, int a, int b)
{
	char data[64] = {0};

	say_names(when, a);
	say_names(when, b);
	say_poll(when, a, 0);
	say(result(send(a, "hello", 5, 0)), "%s.send", when);
	say(result(send(a, "again", 5, 0)), "%s.send", when);
	settle();
	say_poll(when, b, 1000);
	say(result(recv(b, data, sizeof(data), MSG_PEEK)), "%s.peek", when);
	say(result(recv(b, data, type == SOCK_STREAM ? 10 : 64, 0)), "%s.recv", when);
	say_text(when, "%s", data);
	say(result(shutdown(a, SHUT_WR)), "%s.shutdown", when);
	say(result(send(a, "x", 1, MSG_NOSIGNAL)), "%s.send after it", when);
	if (type == SOCK_SEQPACKET)
		say(result(recv(b, data, sizeof(data), 0)), "%s.recv", when);
	settle();
	say(result(recv(b, data, sizeof(data), 0)), "%s.recv at the end", when);
	say(result(send(b, "back", 4, MSG_NOSIGNAL)), "%s.send the other way", when);
	settle();
	say(result(recv(a, data, sizeof(data), 0)), "%s.recv the other way", when);
	close(b);
	settle();
	say(result(recv(a, data, sizeof(data), 0)), "%s.recv after close", when);
	close(a);
}

static void pair(const char *name, int type, uint32_t from, uint32_t to)
{
	int listener = listen_on(type, from), fd = socket(AF_VSOCK, type, 0), made;
	struct sockaddr_vm a = {0};
	socklen_t size = sizeof(a);
	char text[64];

	say_fd(result(accept(listener, NULL, NULL)), "%s.accept of nobody", name);
	say(connect_to(fd, to, PORT), "%s.connect", name);
	say_poll(name, listener, 1000);
	made = accept(listener, (struct sockaddr *)&a, &size);
	snprintf(text, sizeof(text), "%s.accepted", name);
	say_name(text, made < 0 ? -errno : 0, &a, size);
	say(connect_to(fd, to, PORT), "%s.connect again", name);
	talk(name, type, fd, made);
	close(listener);
	fd = socket(AF_VSOCK, type, 0);
	say(connect_to(fd, to, PORT), "%s.connect to nobody", name);
	close(fd);
}

static void area_host(void)
{
	int listener, fd;

	pair("stream 1-1", SOCK_STREAM, VMADDR_CID_LOCAL, VMADDR_CID_LOCAL);
	pair("stream any-1", SOCK_STREAM, VMADDR_CID_ANY, VMADDR_CID_LOCAL);
	pair("stream any-2", SOCK_STREAM, VMADDR_CID_ANY, VMADDR_CID_HOST);
	pair("stream 2-2", SOCK_STREAM, VMADDR_CID_HOST, VMADDR_CID_HOST);
	pair("packets 1-1", SOCK_SEQPACKET, VMADDR_CID_LOCAL, VMADDR_CID_LOCAL);
	listener = listen_on(SOCK_SEQPACKET, VMADDR_CID_ANY);
	fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	say(connect_to(fd, VMADDR_CID_LOCAL, PORT), "connect to another type");
	close(fd);
	close(listener);
	fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	say(connect_to(fd, VMADDR_CID_ANY, PORT), "connect to any");
	say(connect_to(fd, VMADDR_CID_HYPERVISOR, PORT), "connect to 0");
	say(connect_to(fd, 77, PORT), "connect to 77");
	close(fd);
}

/* ---- sockets in other processes and under other numbers ---- */

static int connected_pair(int *ret_other)
{
	int listener = listen_on(SOCK_STREAM, VMADDR_CID_ANY), fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	long r = connect_to(fd, VMADDR_CID_LOCAL, PORT);

	if (r)
		give_up("connect", r);
	*ret_other = accept4(listener, NULL, NULL, 0);
	close(listener);
	return fd;
}

/* What a program started as inetd's are would find at 0 and 1. */
static void served(int in, int out)
{
	char byte;

	say_names("served", in);
	say_text("served", "domain %d", number(out, SO_DOMAIN));
	while (read(in, &byte, 1) == 1)
		if (write(out, &byte, 1) != 1)
			break;
	fflush(stdout);
}

static void area_moved(void)
{
	char data[8] = {0};
	struct iovec one = {data, 1};
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int other, fd = connected_pair(&other), copy, unix_pair[2], status;
	ssize_t n;

	copy = dup(other);
	say_names("dup", copy);
	fflush(stdout);
	if (fork() == 0) {
		close(fd);
		dup2(other, 200);
		close(other);
		close(copy);
		served(200, 200);
		_exit(0);
	}
	close(other);
	close(copy);
	n = write(fd, "abc", 3);
	shutdown(fd, SHUT_WR);
	for (size_t got = 0; n > 0 && got < 3; got += (size_t)n)
		n = read(fd, data + got, 3 - got);
	/* It has said what it found by then. */
	wait(&status);
	say_text("echoed", "%s, status %d", data, status);
	close(fd);

	fd = connected_pair(&other);
	socketpair(AF_UNIX, SOCK_STREAM, 0, unix_pair);
	memcpy(CMSG_DATA(&control.head), &other, sizeof(int));
	say(result(sendmsg(unix_pair[0], &message, 0)), "passed");
	close(other);
	if (recvmsg(unix_pair[1], &message, 0) == 1) {
		memcpy(&other, CMSG_DATA(&control.head), sizeof(int));
		say_names("received", other);
		say(result(write(fd, "y", 1)), "write to it");
		say(result(read(other, data, 1)), "read from it");
	}
	close(fd);
	close(other);
}

/* Run by area_exec in a new program: the socket is at 0 and 1, as inetd has it. */
static int child_main(void)
{
	char line[128];
	struct sockaddr_vm a = {0};
	socklen_t size = sizeof(a);
	long r = getpeername(0, (struct sockaddr *)&a, &size);
	int n = snprintf(line, sizeof(line), "%ld %u %d %d", r, a.svm_family, (int)a.svm_cid,
			 number(0, SO_DOMAIN));

	return write(1, line, (size_t)n) != n;
}

static void area_exec(void)
{
	int other, fd = connected_pair(&other), status;
	char data[128] = {0};
	ssize_t n;

	fflush(stdout);
	if (fork() == 0) {
		dup2(other, 0);
		dup2(other, 1);
		close(other);
		close(fd);
		execl("/proc/self/exe", "conformance-vsock", "--child", NULL);
		_exit(127);
	}
	close(other);
	n = read(fd, data, sizeof(data) - 1);
	say_text("child", "%s", n > 0 ? data : "nothing");
	say(result(read(fd, data, 1)), "its end");
	wait(&status);
	say(status, "status");
	close(fd);
}

/* ---- with a guest ---- */

static struct virtio_vsock_hdr last;

/* The next packet that the guest gets. */
static void guest_hears(const char *name)
{
	uint32_t length;

	if (vsock_receive(&last, &length, 1000))
		say_text(name, "op %u type %u flags %u len %u from %llu to %llu:%u", last.op,
			 last.type, last.flags, last.len, (unsigned long long)last.src_cid,
			 (unsigned long long)last.dst_cid, last.dst_port);
	else
		say_text(name, "nothing");
}

/* The guest answers to the last packet. */
static void guest_says(uint16_t op, uint32_t flags)
{
	static struct virtio_vsock_hdr h;
	uint32_t length;

	h = (struct virtio_vsock_hdr){.src_cid = CID, .dst_cid = 2, .src_port = last.dst_port,
				      .dst_port = last.src_port, .type = last.type, .op = op,
				      .flags = flags, .buf_alloc = 65536};
	vsock_transmit(&h, sizeof(h), &length);
	settle();
}

static void *connect_and_wait(void *arg)
{
	const int *fd = arg;

	return (void *)connect_to(*fd, CID, 77);
}

static void connect_guest(const char *name, int type, bool waits, int answer)
{
	int fd = socket(AF_VSOCK, type | (waits ? 0 : SOCK_NONBLOCK), 0), epoll = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLOUT};
	struct timeval tv = {0, 500000};
	uint32_t length;
	pthread_t thread;
	char data[8];
	void *r;

	if (answer < 0)
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof(tv));
	if (waits) {
		pthread_create(&thread, NULL, connect_and_wait, &fd);
	} else {
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
		say(connect_to(fd, CID, 77), "%s.connect", name);
		say(connect_to(fd, CID, 77), "%s.connect again", name);
		say_poll(name, fd, 0);
		say(result(epoll_wait(epoll, &event, 1, 0)), "%s.epoll", name);
	}
	guest_hears(name);
	if (answer >= 0)
		guest_says((uint16_t)answer, 0);
	if (waits) {
		pthread_join(thread, &r);
		say((long)r, "%s.connect", name);
	} else {
		say(result(epoll_wait(epoll, &event, 1, 5000)), "%s.epoll", name);
		say_text(name, "events %#x", event.events & (EPOLLOUT | EPOLLERR));
		say_text(name, "error %d", number(fd, SO_ERROR));
	}
	say_names(name, fd);
	if (answer == VIRTIO_VSOCK_OP_RESPONSE) {
		say(result(send(fd, "data", 4, MSG_NOSIGNAL)), "%s.send", name);
		guest_hears(name);
		guest_says(VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND);
		say(result(recv(fd, data, sizeof(data), MSG_DONTWAIT)), "%s.recv at the end", name);
		say(result(shutdown(fd, SHUT_RDWR)), "%s.shutdown", name);
		guest_hears(name);
		guest_says(VIRTIO_VSOCK_OP_RST, 0);
	}
	close(epoll);
	close(fd);
	while (vsock_receive(&last, &length, 50))
		;
}

static void area_guest(void)
{
	static const int types[2] = {SOCK_STREAM, SOCK_SEQPACKET};
	static const char *const names[2] = {"stream", "packets"};
	static const struct {
		const char *name;
		int op;
	} answers[] = {{"accepted", VIRTIO_VSOCK_OP_RESPONSE},
		       {"refused", VIRTIO_VSOCK_OP_RST},
		       {"nonsense", VIRTIO_VSOCK_OP_RW},
		       {"silence", -1}};
	int device = vsock_guest(CID, UINT64_C(1) << VIRTIO_VSOCK_F_SEQPACKET), fd;
	char name[64];

	for (unsigned i = 0; i < 4; i++)
		for (size_t k = 0; k < ARRAY_SIZE(answers); k++) {
			snprintf(name, sizeof(name), "%s %s.%s", names[i / 2],
				 i % 2 ? "waits" : "polls", answers[k].name);
			connect_guest(name, types[i / 2], i % 2, answers[k].op);
		}
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect_to(fd, CID, 77);
	say(result(send(fd, "x", 1, MSG_NOSIGNAL)), "send too early");
	close(fd);
	sys_close(device);
}

/* A connection that the guest has accepted. */
static int connect_accepted(uint32_t cid)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);

	connect_to(fd, cid, 77);
	guest_hears("request");
	guest_says(VIRTIO_VSOCK_OP_RESPONSE, 0);
	say_text("connected", "error %d", number(fd, SO_ERROR));
	return fd;
}

/* The guest changes its CID, stops, or goes, with a connection to it. */
static void area_gone(void)
{
	int device = vsock_guest(CID, 0), fd = connect_accepted(CID), other, off = 0;
	uint64_t cid = CID + 1;
	char data[8];

	say(result(sys_ioctl(device, VHOST_VSOCK_SET_GUEST_CID, &cid)), "another cid");
	say(result(recv(fd, data, sizeof(data), 0)), "recv");
	other = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);
	say(connect_to(other, CID, 77), "connect to the old cid");
	close(other);
	close(fd);
	sys_close(device);

	device = vsock_guest(CID, 0);
	fd = connect_accepted(CID);
	say(result(sys_ioctl(device, VHOST_VSOCK_SET_RUNNING, &off)), "stopped");
	say(result(recv(fd, data, sizeof(data), 0)), "stopped.recv");
	other = socket(AF_VSOCK, SOCK_STREAM, 0);
	say(connect_to(other, CID, 77), "stopped.connect");
	close(other);
	sys_close(device);
	settle();
	say_poll("closed", fd, 1000);
	say(result(recv(fd, data, sizeof(data), 0)), "closed.recv");
	say(result(send(fd, data, 1, MSG_NOSIGNAL)), "closed.send");
	say_names("closed", fd);
	say(connect_to(fd, CID, 77), "closed.connect");
	close(fd);
}

static const struct area areas[] = {
	{"socket", area_socket, true}, {"bind", area_bind, true},   {"options", area_options, true},
	{"host", area_host, true},     {"moved", area_moved, true}, {"exec", area_exec, true},
	{"guest", area_guest, true},   {"gone", area_gone, true},
};

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--child") == 0)
		return child_main();
	return conformance_main(argc, argv, areas, ARRAY_SIZE(areas));
}
