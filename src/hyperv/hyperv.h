/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hyperv/hyperv.h - Hyper-V's guest services: what stands between a daemon and the host.
 *
 * A service (KVP, VSS, fcopy) has a file that a daemon reads requests from and writes replies
 * to (transport.c), a channel on which the host's packets come and the responses go back
 * (channel.c), and in between a state machine with time-outs (kvp.c, vss.c, fcopy.c).  The
 * rules are those of drivers/hv of the kernel: hv_utils_transport.c, hv_kvp.c, hv_snapshot.c
 * and, until 6.9, hv_fcopy.c.
 *
 * All of a service changes under its lock.  What the kernel does in a tasklet or on a work queue
 * is done by whoever makes it possible: the daemon's own thread when it has written a reply
 * or read the answer to its registration, and the thread of this room (loop.c) when a packet
 * or the end of a time-out comes.  Responses go out at once and never wait.
 *
 * Unless said otherwise functions are called with the service's lock held.
 */
#ifndef STANDIN_HYPERV_HYPERV_H
#define STANDIN_HYPERV_HYPERV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/control.h"
#include "core/file.h"
#include "hyperv/frame.h"
#include "hyperv/wire.h"

/* enum hvutil_device_state; the order matters. */
enum hyperv_state {
	HYPERV_INIT,     /* no daemon has registered */
	HYPERV_READY,    /* for a packet */
	HYPERV_RECEIVED, /* there is one */
	HYPERV_ASKED,    /* the daemon was given it */
	HYPERV_REPLIED,
	HYPERV_DYING, /* the device is being removed */
};

/* Who has the file. */
enum hyperv_mode {
	HYPERV_CLOSED,
	HYPERV_OPEN,
	HYPERV_REMOVED,
};

/* A version that the kernel offers; lists are in order of preference, best first. */
struct hyperv_offer {
	const struct hyperv_version *frameworks;
	unsigned n_frameworks;
	const struct hyperv_version *versions;
	unsigned n_versions;
};

struct hyperv_connection;
struct hyperv_service;

struct hyperv_kind {
	const char *name; /* "kvp" */
	const char *path; /* of the device */
	unsigned major, minor;
	size_t packet_max;
	struct hyperv_offer offer;
	/* What the daemon wrote: 0 or -errno.  Of `size` bytes the first `kept` are at `message`.
	 */
	int (*written)(struct hyperv_service *s, const void *message, size_t size);
	size_t kept;
	/* Whether the state allows the next packet to be taken from the channel. */
	bool (*may_receive)(struct hyperv_service *s);
	/* It was taken: s->packet. */
	void (*received)(struct hyperv_service *s);
	/* The daemon did not reply in time. */
	void (*timed_out)(struct hyperv_service *s);
	/* The file was closed: a transaction under way fails, the state is HYPERV_INIT. */
	void (*reset)(struct hyperv_service *s);
	/* The machine is about to sleep. */
	void (*suspend)(struct hyperv_service *s);
};

struct hyperv_service {
	const struct hyperv_kind *kind;
	pthread_mutex_t lock;

	/* The file. */
	enum hyperv_mode mode;
	struct file *file;
	int claim;
	/* Who calls, which is whom poll need not be told of what it does itself (transport.c). */
	pthread_t caller;
	bool called; /* since it was opened */
	bool asks;   /* in a way that we hear of, before it waits */
	bool shared; /* others call, or wait in ways that we don't hear of */
	uint8_t message[HYPERV_MESSAGE_MAX]; /* for the daemon to read */
	size_t message_size;                 /* 0: none */
	void (*on_read)(struct hyperv_service *s);

	/* The transaction. */
	enum hyperv_state state;
	unsigned registered; /* the value that the daemon registered with */
	union {
		uint8_t packet[HYPERV_PACKET_MAX];
		struct hyperv_ic ic;
	};
	uint32_t packet_size;
	uint64_t request;               /* the host's name for it */
	struct hyperv_connection *from; /* whose it is; NULL: nobody's any more */
	uint64_t deadline;              /* of the daemon's reply, ns of CLOCK_MONOTONIC; 0: none */
	struct hyperv_version framework, version; /* negotiated; major 0: not yet */

	/* The channel. */
	struct hyperv_connection *connections;
	bool receiving;    /* somebody is taking packets already */
	bool looking;      /* a daemon's thread is: hyperv_await(); so this room's is not called */
	uint64_t ready_at; /* ns: when the last transaction ended */
	bool soon;         /* the next one has come soon after, lately */
	bool suspended;

	/* For `standin hyperv status`. */
	uint64_t n_requests, n_failed;
};

#define HYPERV_MISC_MAJOR 10u

#define HYPERV_SERVICES 4u
extern struct hyperv_service *const hyperv_services[HYPERV_SERVICES];
/* Of fcopy and uio only one has a node. */
extern struct hyperv_service hyperv_kvp, hyperv_vss, hyperv_fcopy, hyperv_uio;
extern const struct ioctl_table hyperv_no_ioctls;

/* ---- transport.c: the daemon's file; the first five take the lock ---- */

int hyperv_open(struct file *f, void *context);
void hyperv_release(struct file *f);
ssize_t hyperv_read(struct file *f, void *buffer, size_t size, off_t offset);
ssize_t hyperv_write(struct file *f, const void *buffer, size_t size, off_t offset);
short hyperv_polled(struct file *f, short events, bool waits);

/*
 * Leaves a message for the daemon, of which there is one at a time; `on_read` is called when
 * it has been read, NULL: nothing is.  0, -EINVAL: nobody has the file, or -EFAULT: the message
 * before this one has not been read.
 */
int hyperv_send(struct hyperv_service *s, const void *message, size_t size,
		void (*on_read)(struct hyperv_service *s));

/*
 * The host takes the device away: what is under way ends without an answer, and the file with
 * EBADF until it is closed.
 */
void hyperv_remove(struct hyperv_service *s);
/* The machine sleeps: the channel ends.  And wakes. */
void hyperv_suspend(struct hyperv_service *s);
void hyperv_resume(struct hyperv_service *s);
/* The child of a fork has nothing of the service, and lets go of its descriptors. */
void hyperv_forget(struct hyperv_service *s);

/* ---- uio.c: fcopy's file of newer kernels ---- */

extern const struct file_ops hyperv_uio_ops;

/* ---- channel.c: the host's packets ---- */

/*
 * A host at the other end of `fd`, which the service takes over and sends the rings to
 * (hyperv/frame.h): 0 or -errno.  Takes the lock.
 */
int hyperv_connect(struct hyperv_service *s, int fd);
/* Takes packets for as long as the state allows and there are any: the kernel's tasklet. */
void hyperv_receive(struct hyperv_service *s);
/*
 * A transaction has just ended, on a thread of the daemon's: looks for the next one for a moment,
 * if it has come soon lately, which saves waking the thread.  The lock is not held all the time.
 */
void hyperv_await(struct hyperv_service *s);
/* From now on the thread is called for the next packet.  False: there is one already. */
bool hyperv_listen(struct hyperv_service *s);
/* s->packet goes back to where it came from, as a response. */
void hyperv_respond(struct hyperv_service *s);
/* The same with the status of the transaction that it ends. */
void hyperv_respond_status(struct hyperv_service *s, uint32_t status);
/* The transaction is over: HYPERV_READY, and the next packet. */
void hyperv_ready(struct hyperv_service *s);
/*
 * The transaction fails: what the daemon was to read can't be left for it; it did not reply in
 * time (struct hyperv_kind.timed_out); or it has closed the file (reset).
 */
void hyperv_refuse(struct hyperv_service *s);
void hyperv_give_up(struct hyperv_service *s);
void hyperv_reset(struct hyperv_service *s);
/* All hosts are gone from the channel. */
void hyperv_disconnect(struct hyperv_service *s);
/* The descriptors of connections are closed, and nobody is told. */
void hyperv_forget_connections(struct hyperv_service *s);
/* Something has happened on connection `number`: loop.c's.  Takes the lock. */
void hyperv_connection_event(struct hyperv_service *s, uint32_t number, bool hung_up);

/* ---- negotiate.c ---- */

/* Answers HYPERV_IC_NEGOTIATE in s->packet; whether a version of each kind is common. */
bool hyperv_negotiate(struct hyperv_service *s);

/* ---- loop.c: the thread, and time-outs ---- */

/* Starts it if it does not run in this process: 0 or -errno.  Takes no lock of a service. */
int hyperv_loop_start(void);
/* ns of CLOCK_MONOTONIC. */
uint64_t hyperv_now(void);
void hyperv_loop_stop(void);
/* The child of a fork has no thread, and lets go of its descriptors. */
void hyperv_loop_forked(void);
/* Watches a connection's descriptor for the service. */
int hyperv_loop_add(const struct hyperv_service *s, uint32_t number, int fd);
void hyperv_loop_remove(int fd);
/* From now on, `seconds` for the daemon's reply, as scaled by the configuration. */
void hyperv_arm(struct hyperv_service *s, unsigned seconds);
/* Whether it was armed, and not over yet: cancel_delayed_work_sync(). */
bool hyperv_disarm(struct hyperv_service *s);

/* ---- decode.c: struct file_ops.trace_message; no lock ---- */

void hyperv_trace_kvp(struct trace_line *t, const void *data, size_t size, bool written);
void hyperv_trace_vss(struct trace_line *t, const void *data, size_t size, bool written);
void hyperv_trace_fcopy(struct trace_line *t, const void *data, size_t size, bool written);

/* ---- commands.c ---- */

extern const struct control_command hyperv_commands[];

#endif
