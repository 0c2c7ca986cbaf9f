/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin/hyperv.h - a Hyper-V host, for tests of guest daemons and agents.
 *
 * A guest is a program under `standin run --hyperv`, from where it is started on, or a thread of
 * this process, which has said standin_start("hyperv\n") and opens /dev/vmbus/hv_kvp by
 * standin_open().  This is its host: key-value pairs, backups, file copies, and messages that no
 * honest host sends.  `standin kvp`, `vss`, `copy` and `hyperv` are made of it.
 *
 *	char *daemon[] = {"/usr/sbin/hv_kvp_daemon", "-n", NULL};
 *	pid_t run = standin_hyperv_start(NULL, daemon);
 *	struct standin_hyperv *h = standin_hyperv_create(run);
 *
 *	if (standin_hyperv_kvp_set(h, KVP_POOL_EXTERNAL, "name", REG_SZ, "value") != HV_S_OK)
 *		fprintf(stderr, "%s\n", standin_hyperv_error(h));
 *	standin_hyperv_destroy(h);
 *	standin_hyperv_stop(run, 5000);
 *
 * Answers.  Requests return an int64_t: the status that the guest gave (HV_S_OK, which is 0,
 * HV_E_FAIL, ... of linux/hyperv.h), or a negative number if there is none, which is -errno:
 *
 *	-ESRCH            nothing runs with --hyperv, or not the pid
 *	-ENODEV           no program of it has the device open
 *	-ENOTUNIQ         several have, and the pid does not say which
 *	-EBUSY            the guest takes no host now: it sleeps, or does not answer commands
 *	-EPROTONOSUPPORT  it knows no version of the protocol that hosts know
 *	-ETIMEDOUT        it has not answered in time
 *	-EPIPE            it has gone or was put to sleep; real hosts show HV_E_FAIL then
 *	-EPROTO           its answer is none
 *	-EINVAL           a text is no UTF-8, or an argument too long or out of range
 *	-ENOMEM
 *
 * Other functions return 0 or such a number.  standin_hyperv_error() says it in a line.
 *
 * Texts are UTF-8 and end with a NUL; bodies of messages are as the wire has them, with texts in
 * UTF-16.  Times are milliseconds.  Constants are those of linux/hyperv.h: HV_*, KVP_POOL_*,
 * REG_*, ADDR_FAMILY_*, VSS_OP_*.
 *
 * A host belongs to one thread at a time.  It sends one request at a time but for
 * standin_hyperv_send(); several hosts of one guest wait for each other, as on the bus.  What is
 * handed out in structs is the caller's; pointers in answers are good until the host's next call.
 */
#ifndef STANDIN_HYPERV_H
#define STANDIN_HYPERV_H

#include <linux/hyperv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What hosts send for registry types, besides REG_SZ, REG_U32 and REG_U64 (8). */
#define STANDIN_HYPERV_REG_EXPAND_SZ 2u
#define STANDIN_HYPERV_REG_QWORD     11u /* Linux takes it for a pair without a value */

enum standin_hyperv_service {
	STANDIN_HYPERV_KVP,
	STANDIN_HYPERV_VSS,
	STANDIN_HYPERV_FCOPY,
};
#define STANDIN_HYPERV_SERVICES 3

/* "kvp", "vss", "fcopy"; NULL: there is no such service. */
const char *standin_hyperv_service_name(enum standin_hyperv_service service);
/* "HV_E_FAIL" and so on; NULL: it has no name. */
const char *standin_hyperv_status_name(uint32_t status);
/* "external", "guest", "auto", "auto-external", "auto-internal"; NULL: it has no name. */
const char *standin_hyperv_pool_name(unsigned pool);
/* The pool of that name or number, or -EINVAL. */
int standin_hyperv_pool_parse(const char *text);

/* ---- guests ---- */

/*
 * Starts `standin run --hyperv -- ARGV...` with the `standin` of $PATH, or the file that
 * $STANDIN names.  `options` are those of --hyperv, as "timeouts=0.1,uio=on", or NULL; `argv` ends
 * with NULL.  Its process, which is a child of this one, or -errno.  What the program says
 * comes where this process's output goes.
 */
pid_t standin_hyperv_start(const char *options, char *const argv[]);
/*
 * Ends it with SIGTERM, and waits: its status as of waitpid(2), or -ETIMEDOUT and it still runs,
 * or -errno of waitpid(2).
 */
int standin_hyperv_stop(pid_t run, int patience_ms);

/* ---- a host ---- */

struct standin_hyperv;

/*
 * A host of the guest that `pid` belongs to: `standin run`, a process of it that has a device open,
 * or this process for its own instance; 0: of the only guest there is.  Nothing is looked for yet.
 * NULL: no memory.
 */
struct standin_hyperv *standin_hyperv_create(pid_t pid);
/* Closes everything.  NULL is fine. */
void standin_hyperv_destroy(struct standin_hyperv *h);

/*
 * How long to wait for a daemon that has registered (10 s), and for each answer (a minute, of VSS
 * 16, both longer than the guest's kernel waits).  -1: as from the beginning.  The second
 * counts from the next standin_hyperv_open() on.
 */
void standin_hyperv_set_timeouts(struct standin_hyperv *h, int daemon_ms, int answer_ms);
/* Why the last call on `h` did not end well, a line without its end; "" if it did. */
const char *standin_hyperv_error(const struct standin_hyperv *h);

struct standin_hyperv_version {
	uint16_t major, minor;
};

/*
 * Finds the process that has the service's device open, waits until it has registered, opens a
 * channel in place of one that is open, and negotiates.  Requests do that if there is no
 * channel, or no more; so it is of use to begin anew, and to learn that the guest is there.
 */
int standin_hyperv_open(struct standin_hyperv *h, enum standin_hyperv_service service);
/* The same without negotiating, also when it is opened again. */
int standin_hyperv_open_raw(struct standin_hyperv *h, enum standin_hyperv_service service);
void standin_hyperv_close(struct standin_hyperv *h, enum standin_hyperv_service service);
/* What was negotiated; -EPIPE: there is no channel, or nothing was. */
int standin_hyperv_versions(struct standin_hyperv *h, enum standin_hyperv_service service,
			    struct standin_hyperv_version *ret_framework,
			    struct standin_hyperv_version *ret_service);

/* ---- key-value pairs ---- */

/* Of a pair's texts with their end: 511 and 2,047 bytes in pools of the kernel's daemons. */
#define STANDIN_HYPERV_KEY_SIZE   (4 * HV_KVP_EXCHANGE_MAX_KEY_SIZE)
#define STANDIN_HYPERV_VALUE_SIZE (4 * HV_KVP_EXCHANGE_MAX_VALUE_SIZE)

struct standin_hyperv_pair {
	char key[STANDIN_HYPERV_KEY_SIZE];
	char value[STANDIN_HYPERV_VALUE_SIZE];
};

/*
 * Adds a pair to a pool or changes it.  `type` is REG_SZ, REG_U32, REG_U64 or one of the above; a
 * number is given as its text, in C's notation.  -EINVAL: it is none, or does not fit.  A pool
 * may be one that no guest knows, up to 255.
 */
int64_t standin_hyperv_kvp_set(struct standin_hyperv *h, unsigned pool, const char *key,
			       unsigned type, const char *value);
/* HV_S_CONT: there is no such key. */
int64_t standin_hyperv_kvp_delete(struct standin_hyperv *h, unsigned pool, const char *key);
/* Pair number `index`, from 0 on.  HV_S_CONT: there are not so many. */
int64_t standin_hyperv_kvp_enumerate(struct standin_hyperv *h, unsigned pool, uint32_t index,
				     struct standin_hyperv_pair *ret_pair);
/*
 * The first pair of a pool with that key, found by asking for one after the other: so hosts do,
 * because Linux guests don't answer KVP_OP_GET.  HV_S_CONT: there is none.
 */
int64_t standin_hyperv_kvp_get(struct standin_hyperv *h, unsigned pool, const char *key,
			       struct standin_hyperv_pair *ret_pair);

/*
 * Addresses of an adapter, lists separated by semicolons.  The guest knows it by its MAC
 * address in capitals ("02:FC:00:00:00:01") when it is asked, and by its name on the bus
 * ("{242FF919-...}") when it is told.
 */
struct standin_hyperv_addresses {
	char adapter[4 * MAX_ADAPTER_ID_SIZE];
	unsigned family; /* ADDR_FAMILY_IPV4, ADDR_FAMILY_IPV6, or both */
	bool dhcp;
	char address[4 * MAX_IP_ADDR_SIZE], netmask[4 * MAX_IP_ADDR_SIZE];
	char gateway[4 * MAX_GATEWAY_SIZE], dns[4 * MAX_IP_ADDR_SIZE];
};

/* `a` has the adapter and the family, and gets the rest.  HV_GUID_NOTFOUND: no such adapter. */
int64_t standin_hyperv_kvp_get_addresses(struct standin_hyperv *h,
					 struct standin_hyperv_addresses *a);
int64_t standin_hyperv_kvp_set_addresses(struct standin_hyperv *h,
					 const struct standin_hyperv_addresses *a);

/* ---- backups ---- */

/*
 * A backup is these three in turn, with what takes it between the last two.  A guest that was
 * frozen is to be thawed whatever happens; its kernel does not do it.
 */
int64_t standin_hyperv_vss_hot_backup(struct standin_hyperv *h); /* can it be done? */
int64_t standin_hyperv_vss_freeze(struct standin_hyperv *h);
int64_t standin_hyperv_vss_thaw(struct standin_hyperv *h);
/* Any VSS_OP_; *ret_flags, unless it is NULL: VSS_HBU_NO_AUTO_RECOVERY and the like. */
int64_t standin_hyperv_vss_request(struct standin_hyperv *h, unsigned operation,
				   uint32_t *ret_flags);

/* ---- file copies ---- */

#define STANDIN_HYPERV_COPY_OVERWRITE   OVER_WRITE  /* the file may be there */
#define STANDIN_HYPERV_COPY_CREATE_PATH CREATE_PATH /* its directory need not be */

struct standin_hyperv_copy {
	unsigned flags; /* STANDIN_HYPERV_COPY_ */
	/*
	 * Told after each piece, of `size` bytes; 0: it is not known.  False: stop, and take the
	 * copy back.  NULL: nobody is.
	 */
	bool (*progress)(uint64_t copied, uint64_t size, void *arg);
	void *arg;
	uint64_t copied; /* the answer: bytes, also of a copy that has failed */
};

/*
 * Copies what can be read from `source`, from where it stands, to the absolute path `dest` of the
 * guest, up to 259 bytes of directory and of name.  HV_ERROR_ALREADY_EXISTS and
 * HV_ERROR_DISK_FULL are guests' answers, and HV_E_FAIL all others.  -ECANCELED: `progress` said
 * so; -errno of reading; the guest was told to take the copy back.
 */
int64_t standin_hyperv_copy(struct standin_hyperv *h, int source, const char *dest,
			    struct standin_hyperv_copy *copy);

/* ---- messages of any kind ---- */

#define STANDIN_HYPERV_PACKET_MAX  12256u /* what the channel's ring holds */
#define STANDIN_HYPERV_MESSAGE_MAX 12220u /* of a body, for the headers are part of it */

/* Types of messages: of the services, and what they begin with. */
#define STANDIN_HYPERV_TYPE_NEGOTIATE 0u
#define STANDIN_HYPERV_TYPE_KVP       2u
#define STANDIN_HYPERV_TYPE_VSS       5u
#define STANDIN_HYPERV_TYPE_FCOPY     7u

struct standin_hyperv_answer {
	bool headers;    /* false: it is too short to have them, and all of it is `body` */
	uint32_t status; /* of the headers, as are: */
	unsigned type, flags;
	const void *body;
	size_t size; /* of the body, bytes */
};

/*
 * Sends a message with the headers of a request and the `size` bytes of `body`, which can be those
 * of struct hv_kvp_msg and its like, or worse; at most STANDIN_HYPERV_MESSAGE_MAX.
 */
int standin_hyperv_send(struct standin_hyperv *h, enum standin_hyperv_service service,
			unsigned type, const void *body, size_t size);
/* Sends these bytes and no others, 1 to STANDIN_HYPERV_PACKET_MAX, where the headers should be. */
int standin_hyperv_send_packet(struct standin_hyperv *h, enum standin_hyperv_service service,
			       const void *packet, size_t size);
/*
 * The next answer: to one of what has been sent, in that order.  What the guest's kernel drops has
 * none, and the answer to a later one comes instead.  After -ETIMEDOUT the channel has ended.
 */
int standin_hyperv_receive(struct standin_hyperv *h, enum standin_hyperv_service service,
			   struct standin_hyperv_answer *ret_answer);

/* ---- the guest as a whole ---- */

struct standin_hyperv_status {
	pid_t run;     /* the process of `standin run` */
	pid_t process; /* that has the device open; 0: nobody has, the service is disabled */
	enum standin_hyperv_service service;
	/*
	 * "unregistered", "ready", "received" (a request that the daemon has not been told of),
	 * "asked", "replied", "suspended", "removed" or "disabled".
	 */
	char state[16];
	unsigned registered; /* the value that the daemon has registered with; 0: it has not */
	struct standin_hyperv_version framework, version; /* 0.0: not negotiated */
	uint64_t requests, failed; /* of all hosts; HV_S_CONT is none of the latter */
};

/*
 * Of the services that are open or disabled, in all guests that the host's pid means: writes up
 * to `n` to `list`, and returns how many there are, or a negative number.
 */
int standin_hyperv_status(struct standin_hyperv *h, struct standin_hyperv_status *list, size_t n);

/* A file system that a program of the run believes to have frozen. */
struct standin_hyperv_frozen {
	pid_t run;
	unsigned major, minor; /* of its device */
};

/* As standin_hyperv_status(). */
int standin_hyperv_frozen(struct standin_hyperv *h, struct standin_hyperv_frozen *list, size_t n);

/*
 * What daemons see of a hibernation: requests end in -EPIPE, VSS is told THAW and fcopy CANCEL, and
 * the daemons register again.
 */
int standin_hyperv_suspend(struct standin_hyperv *h);
int standin_hyperv_resume(struct standin_hyperv *h);
/*
 * Takes the service's device away: who has it open gets EBADF, and it can't be opened until it
 * is given back.  In this process's own instance it can be opened again at once.
 */
int standin_hyperv_disable(struct standin_hyperv *h, enum standin_hyperv_service service);
int standin_hyperv_enable(struct standin_hyperv *h, enum standin_hyperv_service service);

#ifdef __cplusplus
}
#endif
#endif
