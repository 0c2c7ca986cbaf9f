/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/file.h - an open stood-in file, and the device nodes that open as one.
 *
 * A struct file is what the kernel's is: the thing behind one or more descriptors.
 * Each descriptor is a real one (a placeholder, see core/placeholder.h), so what the
 * kernel does for descriptors it goes on doing; the file is found again by the
 * placeholder's inode, and core/fdtable.h caches that by descriptor.
 *
 * Reference counting: every descriptor of this process holds one reference and every
 * call in progress one.  release() runs when the last goes, in whichever thread that
 * is, never inside a signal handler's MMIO access.
 */
#ifndef STANDIN_CORE_FILE_H
#define STANDIN_CORE_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct file;
struct ioctl_table;
struct map_request;
struct net_port;
struct trace_line;

struct file_ops {
	const char *kind; /* "vfio-device": in traces, and in the placeholder's name */
	const struct ioctl_table *ioctls;
	bool messages; /* read, written and polled: the placeholder is a socket, and what poll
			* says of it is file_set_events()'s */
	bool pipe; /* messages that are only read: the placeholder is a pipe, which the room makes
		    * readable (core/placeholder.h) */
	bool of_process; /* about the memory of the process that opens it: a forked child that
			  * does so has a file of its own, not one of its parent's */
	bool seeks; /* lseek(2) sets a position that means nothing; else it is ESPIPE */
	bool still; /* lseek(2) does nothing and says 0 */
	/*
	 * Until file_take() a file is as good as one that is newly opened: a process that gets a
	 * descriptor of it over a socket or through an exec opens its own in its place.
	 */
	bool reopened;
	/*
	 * Opens through a node: fills f->priv.  `context` is the node's.  0 or -errno, and
	 * then release() is not called.
	 */
	int (*open)(struct file *f, void *context);
	void (*release)(struct file *f);
	/*
	 * In the child of a fork: makes of the file what the parent's is there.  NULL: calls are
	 * made in the parent (inject/forward.h).  Those that have this one have the next one, too:
	 * a descriptor is about to come to other processes, over a socket, through an exec or a
	 * fork.
	 */
	void (*forked)(struct file *f);
	void (*leaving)(struct file *f);
	/*
	 * Of a file that is marked `outside`: one reference is left, which stands for all that
	 * others may have.
	 */
	void (*alone)(struct file *f);
	/* Positional; buffers are the client's (core/user.h).  NULL: EINVAL, as the kernel's. */
	ssize_t (*read)(struct file *f, void *buffer, size_t size, off_t offset);
	ssize_t (*write)(struct file *f, const void *buffer, size_t size, off_t offset);
	/* NULL: ENODEV.  See core/file.h struct map_request. */
	int (*mmap)(struct file *f, struct map_request *request);
	/*
	 * The Ethernet link that the file leads to (backend/net.h), for an interface that is
	 * given its descriptor, as vhost-net is a tap's.  The port stays the file's.  0 or
	 * -errno; NULL: the file has none.
	 */
	int (*net_port)(struct file *f, struct net_port **ret_port, unsigned *ret_queue);
	/*
	 * What poll says, of POLLIN and POLLERR, where the file doesn't leave that to its
	 * descriptor: 0.  `events` are those that are asked for; none: by others than poll, who
	 * look at the descriptor, now or later, as select, epoll and other processes do.  If poll
	 * is going to wait, the file may do so a little by itself.  NULL: 0.
	 */
	short (*polled)(struct file *f, short events, bool waits);
	/*
	 * Writes the lines that fdinfo shows of such a file, beside those of all files: their
	 * length, less than `size`.  NULL: none.
	 */
	int (*describe)(struct file *f, char *text, size_t size);
	/* Appends what `offset` means to a trace line: "bar0+0x1000".  NULL: the number. */
	void (*trace_offset)(const struct file *f, struct trace_line *t, off_t offset);
	/*
	 * Appends what a message says to a trace line: `size` bytes at `data`, the client's, that
	 * were read, or `written` or were to be.  NULL: the number, and where.
	 */
	void (*trace_message)(struct trace_line *t, const void *data, size_t size, bool written);
};

struct file {
	const struct file_ops *ops;
	void *priv;        /* the room's object */
	int flags;         /* as given to open(2) */
	uint32_t rdev;     /* what fstat shows: makedev(major, minor) of the node */
	_Atomic int refs;
	_Atomic bool outside; /* see struct file_ops, alone() */
	dev_t dev;         /* identity: the placeholder's inode */
	ino_t ino;
	int self;          /* of a placeholder that is a socket or a pipe, or of a file that may
			    * be reopened: private; -1 */
	int peer;          /* the other end of a socket or pipe, private; -1 */
	int origin;        /* the placeholder of the file that it was reopened for, private; -1 */
	short events;      /* what poll says of it, see file_set_events() */
	struct file *hash_next; /* inode hash, under the fd table's lock */
};

/* An mmap(2) of a stood-in file, as the client gave it. */
struct map_request {
	void *address;   /* hint, or the place if flags has MAP_FIXED */
	size_t size;
	int protection;  /* PROT_* */
	int flags;       /* MAP_* */
	off_t offset;
	struct file *file; /* whose mapping it is; kept open by it.  NULL: nobody's */
	void *ret_address; /* set by a successful mmap operation */
};

/*
 * Makes a file of `ops` over a new placeholder descriptor and installs it.  Returns
 * the descriptor (close-on-exec if `flags` has O_CLOEXEC), or -errno and then `priv`
 * still belongs to the caller.
 */
int file_install(const struct file_ops *ops, void *priv, int flags, uint32_t rdev);
/* The same over a descriptor that the caller made; takes it over on success. */
int file_install_over(int placeholder, const struct file_ops *ops, void *priv, int flags,
                      uint32_t rdev);

/*
 * The same for ops that are a `pipe`, over the read end that another process made; `peer` is the
 * write end, private, and taken over.
 */
int file_install_pipe(int placeholder, int peer, const struct file_ops *ops, void *priv, int flags);
/* The same without a descriptor in this process; *ret_file is with its first reference. */
int file_install_detached(int peer, const struct file_ops *ops, void *priv, int flags,
			  struct file **ret_file);
/*
 * In the child of a fork: references of what other threads did in the parent don't count, only
 * those of descriptors.  If there are none, the file is released.
 */
void file_recount(struct file *f);

/* The file behind `fd` with a reference, or NULL if it isn't stood in for. */
struct file *file_get(int fd);
/* The same by the descriptor's inode alone, past the cache. */
struct file *file_get_by_inode(int fd);
/* One more reference to a file that has one. */
struct file *file_ref(struct file *f);
/* `fd`, a new descriptor for the same placeholder inode, is one more of `f`: 0 or -errno. */
int file_add_descriptor(struct file *f, int fd);
void file_put(struct file *f);

/* There was a file with polled(). */
extern _Atomic bool file_polls;
/* Whether this process's calls of poll, select and epoll_ctl call it. */
extern bool file_polls_ask;
/* The file is about to come to another process, whose polls it does not hear of. */
void file_polls_elsewhere(struct file *f);

/*
 * What poll and epoll say from now on of a file whose ops have `messages`: POLLIN, POLLOUT,
 * both or 0, which it begins with.  Wakes whoever waits for it.  Any thread, but no signal
 * handler.
 */
void file_set_events(struct file *f, short events);

/*
 * The device behind such a file has gone: poll says POLLHUP and POLLERR from now on, and whoever
 * waits for it wakes.  For good.
 */
void file_hang_up(struct file *f);

/*
 * For ops that are `reopened`.  From now on, or until it is given up, what the file is lives in
 * this process: 0, or -EBUSY if another process has done so with its file for the same
 * descriptor.
 */
int file_take(struct file *f);
void file_give_up(struct file *f);
/* Whether who gets a descriptor of it shall open its own. */
bool file_is_untaken(const struct file *f);

/* ---- device nodes ---- */

#define NODE_PATH_MAX 64

struct node {
	char path[NODE_PATH_MAX]; /* "/dev/vfio/vfio" */
	const struct file_ops *ops;
	void *context;
	uint32_t rdev;
};

/* Adds a node; fails with -EEXIST or -ENOMEM.  Only while an instance starts. */
int node_add(const char *path, const struct file_ops *ops, void *context, uint32_t rdev);
const struct node *node_find(const char *path);
/* Calls `each` for every node in the order they were added. */
void node_each(void (*each)(const struct node *node, void *arg), void *arg);
void node_clear(void);
/* Opens `path`: a descriptor, or -errno (ENOENT if there is no such node). */
int node_open(const char *path, int flags);

#endif
