/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/instance.h - the running whole: one per process.
 *
 * An interface (VFIO, vhost, ...) registers itself; when an instance starts, each gets to
 * add its device nodes for the configured devices.  Nothing is realized before a client
 * opens it.
 */
#ifndef STANDIN_CORE_INSTANCE_H
#define STANDIN_CORE_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>

struct config;
struct control_command;
struct ioctl_table;
struct standin_device;

struct instance {
	struct config *config;           /* owned */
	struct standin_device **devices; /* one per config->devices, same order */
	size_t n_devices;
};

extern struct instance *instance; /* NULL: none runs */

struct interface {
	const char *name;
	int (*start)(struct instance *i); /* adds nodes */
	/* Whether what is configured is there; 0, or -errno with one line in `error`. */
	int (*check)(struct instance *i, char *error, size_t error_size);
	void (*stop)(struct instance *i);        /* every file is closed already */
	void (*forked)(void);                    /* see instance_forked(); NULL: nothing to do */
	const struct ioctl_table *const *tables; /* of all its file kinds, ends with NULL */
	const struct control_command *commands;  /* see core/control.h; NULL: none */
	/*
	 * A SIOC* ioctl that names a network interface, on a socket of the machine's; false if
	 * it is none of ours.  NULL: there are none.
	 */
	bool (*socket_ioctl)(unsigned int cmd, unsigned long arg, long *ret_result);
	const struct interface *next;
};

void interface_register(struct interface *interface);
/* The others follow by ->next. */
const struct interface *interface_first(void);
/*
 * ioctl(2) with a command of sockets on a descriptor that is not stood in for: whether an
 * interface has answered it.
 */
bool interface_socket_ioctl(int fd, unsigned int cmd, unsigned long arg, long *ret_result);
#define INTERFACE(interface)                                                 \
	__attribute__((constructor)) static void interface##_register_(void) \
	{                                                                    \
		interface_register(&(interface));                            \
	}

/* Takes over `config` (completed) on success.  0 or -errno, with one line in `error`. */
int instance_start(struct config *config, char *error, size_t error_size);
void instance_stop(void);
/* Asks all interfaces: for who starts an instance to see whether another process can. */
int instance_check(char *error, size_t error_size);
/*
 * What is open here may be so in programs that are executed: makes the directory of owners
 * (core/environment.h), whose being there has all that start look at what they inherit.
 */
void instance_expect_heirs(void);
/* The child of a fork has none of the parent's files or threads. */
void instance_forked(void);

#endif
