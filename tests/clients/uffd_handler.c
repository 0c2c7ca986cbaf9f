/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Serves the faults of another process, as the handlers do that restore a virtual machine's
 * memory from a snapshot: gets the userfaultfd over a socket, maps the file that has the content,
 * and answers from it.  What the other process has discarded (UFFD_EVENT_REMOVE) is zero from then
 *on.
 *
 *	uffd-handler SOCKET CONTENT         until the other one goes
 *	uffd-handler SOCKET CONTENT kill    kills it after some faults, and prints what each call
 *	                                    on the file answers then
 *
 * Exits with 3 if nobody listens at SOCKET.
 */
#include "uffd_peer.h"

enum { MESSAGES = 16, WAITING_MAX = 64 };

struct handler {
	int connection, uffd;
	struct peer_region region;
	char *content;
	bool *removed; /* per page */
	/* Pages whose answer met a change of the memory (EAGAIN); tried again after its event. */
	uint64_t waiting[WAITING_MAX];
	unsigned waiting_count;
	unsigned faults, removes;
	bool gone; /* of the other process: its memory is no more */
};

static void connect_to(struct handler *h, const char *path)
{
	struct sockaddr_un address;

	h->connection = peer_socket(path, &address);
	if (connect(h->connection, (struct sockaddr *)&address, sizeof(address))) {
		CHECK(errno == ENOENT || errno == ECONNREFUSED);
		exit(3);
	}
}

static void receive(struct handler *h)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {&h->region, sizeof(h->region)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(h->connection, &message, MSG_CMSG_CLOEXEC);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		exit(3); /* it had no more use for one */
	CHECK(n == sizeof(h->region));
	CHECK(message.msg_controllen && control.head.cmsg_type == SCM_RIGHTS);
	memcpy(&h->uffd, CMSG_DATA(&control.head), sizeof(h->uffd));
}

/* Returns 0 or an errno. */
static int answer(struct handler *h, uint64_t address)
{
	uint64_t offset = address - h->region.base;
	struct uffdio_copy copy = {
		.dst = address, .src = (uintptr_t)h->content + offset, .len = PEER_PAGE};
	struct uffdio_zeropage zero = {.range = {address, PEER_PAGE}};
	struct uffdio_range range = {address, PEER_PAGE};
	int rc;

	CHECK(offset < h->region.size && offset % PEER_PAGE == 0);
	if (h->removed[offset / PEER_PAGE])
		rc = ioctl(h->uffd, UFFDIO_ZEROPAGE, &zero);
	else
		rc = ioctl(h->uffd, UFFDIO_COPY, &copy);
	if (rc == 0)
		return 0;
	if (errno != EEXIST)
		return errno;
	/* Answered by the handler before, perhaps, which didn't live to wake who waits. */
	CHECK(ioctl(h->uffd, UFFDIO_WAKE, &range) == 0);
	return 0;
}

static void fault(struct handler *h, uint64_t address)
{
	int error = answer(h, address);

	if (error == EAGAIN) {
		CHECK(h->waiting_count < WAITING_MAX);
		h->waiting[h->waiting_count++] = address;
		return;
	}
	errno = error;
	CHECK(error == 0 || error == ESRCH);
	h->gone |= error == ESRCH;
	h->faults++;
}

static void take(struct handler *h, const struct uffd_msg *m)
{
	switch (m->event) {
	case UFFD_EVENT_PAGEFAULT:
		fault(h, m->arg.pagefault.address);
		break;
	case UFFD_EVENT_REMOVE:
		CHECK(m->arg.remove.start >= h->region.base &&
		      m->arg.remove.end <= h->region.base + h->region.size);
		for (uint64_t at = m->arg.remove.start; at < m->arg.remove.end; at += PEER_PAGE)
			h->removed[(at - h->region.base) / PEER_PAGE] = true;
		h->removes++;
		break;
	default:
		printf("an event that nobody asked for: %#x\n", m->event);
		exit(1);
	}
}

/* Reads what is there and deals with it. */
static void serve(struct handler *h)
{
	struct uffd_msg messages[MESSAGES];
	ssize_t n = read(h->uffd, messages, sizeof(messages));
	unsigned count = h->waiting_count;
	uint64_t again[WAITING_MAX];

	if (n < 0) {
		CHECK(errno == EAGAIN); /* withdrawn meanwhile */
		n = 0;
	}
	CHECK(n % (ssize_t)sizeof(messages[0]) == 0);
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(messages[0]); i++)
		take(h, &messages[i]);
	memcpy(again, h->waiting, sizeof(again));
	memmove(h->waiting, h->waiting + count, (h->waiting_count - count) * sizeof(again[0]));
	h->waiting_count -= count;
	for (unsigned i = 0; i < count; i++)
		fault(h, again[i]);
}

/* Until the other process ends, or after so many faults.  Returns whether it has ended. */
static bool serve_until(struct handler *h, unsigned faults)
{
	struct pollfd fds[] = {{h->uffd, POLLIN, 0}, {h->connection, POLLIN, 0}};

	while (h->faults < faults) {
		CHECK(poll(fds, 2, h->waiting_count ? 1 : -1) >= 0);
		CHECK(!(fds[0].revents & ~POLLIN));
		if (fds[1].revents)
			return true;
		if (fds[0].revents || h->waiting_count)
			serve(h);
	}
	return false;
}

static void told(const char *what, int rc)
{
	printf("%s: %s\n", what, rc < 0 ? strerrorname_np(errno) : rc ? "1" : "0");
}

static void after_death(struct handler *h)
{
	struct uffdio_copy copy = {.dst = h->region.base,
				   .src = (uintptr_t)h->content,
				   .len = PEER_PAGE,
				   .copy = 0x7777};
	struct uffdio_zeropage zero = {.range = {h->region.base, PEER_PAGE}, .zeropage = 0x7777};
	struct uffdio_range range = {h->region.base, PEER_PAGE};
	struct uffdio_writeprotect protect = {.range = range};
	struct uffdio_continue more = {.range = range, .mapped = 0x7777};
	struct uffdio_register reg = {.range = range, .mode = UFFDIO_REGISTER_MODE_MISSING};
	struct pollfd poller = {h->uffd, POLLIN, 0};
	struct uffd_msg message;

	told("copy", ioctl(h->uffd, UFFDIO_COPY, &copy));
	told("zeropage", ioctl(h->uffd, UFFDIO_ZEROPAGE, &zero));
	told("continue", ioctl(h->uffd, UFFDIO_CONTINUE, &more));
	printf("fields: %s\n",
	       copy.copy == 0x7777 && zero.zeropage == 0x7777 && more.mapped == 0x7777 ? "untouched"
										       : "written");
	told("writeprotect", ioctl(h->uffd, UFFDIO_WRITEPROTECT, &protect));
	told("wake", ioctl(h->uffd, UFFDIO_WAKE, &range));
	told("register", ioctl(h->uffd, UFFDIO_REGISTER, &reg));
	told("unregister", ioctl(h->uffd, UFFDIO_UNREGISTER, &range));
	told("poll", poll(&poller, 1, 0));
	told("read", (int)read(h->uffd, &message, sizeof(message)));
	told("close", close(h->uffd));
}

int main(int argc, char **argv)
{
	struct handler h = {0};
	bool kills = argc > 3 && strcmp(argv[3], "kill") == 0;
	struct uffdio_range all;
	size_t size;

	setvbuf(stdout, NULL, _IOLBF, 0);
	CHECK(argc > 2);
	h.content = peer_content(argv[2], &size);
	connect_to(&h, argv[1]);
	receive(&h);
	CHECK(h.region.size == size);
	h.removed = calloc(size / PEER_PAGE, sizeof(h.removed[0]));
	CHECK(h.removed);
	all = (struct uffdio_range){h.region.base, size};
	if (h.region.again)
		CHECK(ioctl(h.uffd, UFFDIO_WAKE, &all) == 0);
	if (!kills) {
		CHECK(serve_until(&h, UINT32_MAX));
		printf("handler: %u faults, %u removals\n", h.faults, h.removes);
		free(h.removed);
		return 0;
	}
	CHECK(!serve_until(&h, peer_random(400)));
	CHECK(kill(peer_pid(h.connection), SIGKILL) == 0);
	/* It may go while a fault is answered, or before. */
	while (!h.gone && !serve_until(&h, h.faults + 1))
		;
	while (!serve_until(&h, UINT32_MAX))
		;
	after_death(&h);
	free(h.removed);
	return 0;
}
