/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who serves a hub.
 *
 * There is no server to be started and none to be missed: whoever finds nobody listening at
 * the path listens there itself, in a thread, and connects to itself like everybody else.
 * When that process ends or is killed, the others' streams end, and the first of them to
 * look does the same.  What was on its way then is lost.
 *
 * That two do so at once, or that one removes the other's new socket for a dead one, a lock
 * on the directory prevents: it needs no file of its own, goes with its holder, and is held
 * for some microseconds.  The socket is removed by who made it; one that was killed leaves
 * it, for the next to replace and for `standin run` to remove (net_clean()).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backend/net_socket.h"
#include "core/hostfd.h"
#include "core/syscall.h"

#define BACKLOG  64
#define TRIES    100
#define PAUSE_NS 10000000 /* between two: a second altogether */

struct net_hub {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct net_switch *served; /* by this process, or NULL */
	ino_t socket;              /* of ours */
};

int net_hub_create(const char *path, struct net_hub **ret_hub)
{
	struct net_hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return -ENOMEM;
	if (strlen(path) >= sizeof(hub->path)) {
		free(hub);
		return -ENAMETOOLONG;
	}
	strcpy(hub->path, path);
	*ret_hub = hub;
	return 0;
}

/* A descriptor that holds the lock until it is closed; -EAGAIN: somebody else has it. */
static int lock_directory(const char *path)
{
	const struct timespec pause = {0, PAUSE_NS};
	char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 2];
	const char *slash = strrchr(path, '/');
	long ret = -EAGAIN;
	int fd;

	if (slash) {
		memcpy(directory, path, (size_t)(slash - path) + 1);
		directory[slash - path + 1] = 0;
	} else {
		strcpy(directory, ".");
	}
	fd = host_open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	for (unsigned i = 0; fd >= 0 && i < TRIES; i++) {
		ret = host_syscall(SYS_flock, fd, LOCK_EX | LOCK_NB);
		if (ret != -EAGAIN)
			break;
		host_syscall(SYS_nanosleep, &pause, NULL);
	}
	if (fd >= 0 && ret < 0) {
		host_close(fd);
		return (int)ret;
	}
	return fd;
}

static int look(const char *path, struct stat *st)
{
	return (int)host_syscall(SYS_newfstatat, AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

/* Nobody listens at the path, and the directory is locked. */
static int serve(struct net_hub *hub)
{
	struct sockaddr_un address;
	int size = net_unix_address(hub->path, &address), ret;
	struct stat st;
	long fd;

	if (!look(hub->path, &st)) {
		if (!S_ISSOCK(st.st_mode))
			return -EEXIST;
		host_syscall(SYS_unlinkat, AT_FDCWD, hub->path, 0);
	}
	fd = host_syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return (int)fd;
	ret = (int)host_syscall(SYS_bind, fd, &address, size);
	if (!ret)
		ret = (int)host_syscall(SYS_listen, fd, BACKLOG);
	if (!ret)
		ret = look(hub->path, &st);
	if (ret) {
		host_close((int)fd);
		return ret;
	}
	hub->socket = st.st_ino;
	ret = hostfd_adopt((int)fd);
	return ret < 0 ? ret : net_switch_start(ret, &hub->served);
}

/* No longer, if it ever was: the socket is gone if it is still the one that was made. */
static void serve_no_more(struct net_hub *hub)
{
	struct stat st;
	int lock;

	if (!hub->served)
		return;
	lock = lock_directory(hub->path);
	if (!look(hub->path, &st) && st.st_ino == hub->socket)
		host_syscall(SYS_unlinkat, AT_FDCWD, hub->path, 0);
	if (lock >= 0)
		host_close(lock);
	net_switch_stop(hub->served);
	hub->served = NULL;
}

int net_hub_join(struct net_hub *hub)
{
	int fd = net_unix_connect(hub->path), lock, ret = 0;

	if (fd != -ECONNREFUSED && fd != -ENOENT)
		return fd;
	/* What this process served has lost its socket: somebody removed it. */
	serve_no_more(hub);
	lock = lock_directory(hub->path);
	if (lock < 0)
		return lock;
	fd = net_unix_connect(hub->path);
	if (fd == -ECONNREFUSED || fd == -ENOENT) {
		ret = serve(hub);
		fd = ret ? ret : net_unix_connect(hub->path);
	}
	host_close(lock);
	return fd;
}

void net_hub_destroy(struct net_hub *hub)
{
	if (hub)
		serve_no_more(hub);
	free(hub);
}

void net_clean(const char *spec)
{
	const char *path = strchr(spec, '=');
	struct stat st;
	int lock, fd;

	if (strncmp(spec, "hub=", 4) != 0 || look(++path, &st) || !S_ISSOCK(st.st_mode))
		return;
	lock = lock_directory(path);
	if (lock < 0)
		return;
	fd = net_unix_connect(path);
	if (fd == -ECONNREFUSED)
		host_syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	if (fd >= 0)
		hostfd_close(fd);
	host_close(lock);
}
