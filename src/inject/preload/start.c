/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the library starts, and how it starts the runtime.
 *
 * At load time nothing happens but that the functions behind our wrappers are looked up,
 * and stood-in files that were there before (passing.c).
 * Libraries that came after us in the list may be initialised before us, so each pointer
 * begins at a function that does this first.
 *
 * The runtime is loaded once, from our own directory, by the first open of a device.
 * The lock around that is held over fork, so a child never has half of it.
 */
#include <dlfcn.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

const struct runtime *_Atomic runtime;
void *next_syscall, *next_clone, *next_vfork, *next_usable_size;
_Atomic bool client_clones;

/*
 * dlsym(RTLD_NEXT) goes by the address that it returns to, which has to be in this
 * library: not a tail call.
 */
static __attribute__((noinline)) void *next_lookup(const char *name)
{
	void *volatile found = dlsym(RTLD_NEXT, name);

	return found;
}

void resolve_next(void)
{
	for (unsigned i = 0; i < NEXT_COUNT; i++) {
		const struct next_symbol *s = &next_symbols[i];
		void *found = next_lookup(s->name);

		__atomic_store_n(s->pointer, found ? found : s->absent, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&next_usable_size, next_lookup("malloc_usable_size"), __ATOMIC_RELEASE);
	__atomic_store_n(&next_syscall, next_lookup("syscall"), __ATOMIC_RELEASE);
	__atomic_store_n(&next_clone, next_lookup("clone"), __ATOMIC_RELEASE);
	__atomic_store_n(&next_vfork, next_lookup("vfork"), __ATOMIC_RELEASE);
}

static __attribute__((constructor)) void start(void)
{
	if (root_length < 0)
		root_start();
	if (!next_syscall)
		resolve_next();
	register_fork_handlers();
	find_inherited();
}

/* ---- the runtime ---- */

static pthread_mutex_t activating = PTHREAD_MUTEX_INITIALIZER;

/* A thread that loads the runtime, or forks, does not wait for itself. */
static __thread int held __attribute__((tls_model("initial-exec")));

bool activation_held(void)
{
	return held > 0;
}

void activation_lock(void)
{
	if (held++ == 0)
		pthread_mutex_lock(&activating);
}

void activation_unlock(void)
{
	if (--held == 0)
		pthread_mutex_unlock(&activating);
}

void activation_forked(void)
{
	held = 0;
	activating = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	cwd_owner = (pid_t)raw1(SYS_getpid, 0);
}

/* The one message of this library: a device is there but cannot work. */
static void complain(const char *what, const char *why)
{
	const char *parts[] = {"standin: ", what, ": ", why ? why : "unknown error", "\n"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		raw3(SYS_write, STDERR_FILENO, parts[i], strlen(parts[i]));
}

#define RUNTIME_FILE "libstandin-runtime.so"

static const struct runtime *load(void)
{
	struct runtime_host host = {.version = RUNTIME_VERSION, .clones = &client_clones};
	char path[PATH_MAX], directory[ROOT_MAX];
	const struct runtime *rt;
	runtime_entry_fn *entry;
	const char *slash;
	void *library;
	Dl_info self;

	if (!dladdr((void *)load, &self) || !(slash = strrchr(self.dli_fname, '/')) ||
	    (size_t)(slash - self.dli_fname) + sizeof("/" RUNTIME_FILE) > sizeof(path)) {
		complain(RUNTIME_FILE, "cannot tell where it is");
		return NULL;
	}
	memcpy(path, self.dli_fname, (size_t)(slash - self.dli_fname) + 1);
	strcpy(path + (slash - self.dli_fname) + 1, RUNTIME_FILE);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		complain("cannot load the runtime", dlerror());
		return NULL;
	}
	entry = (runtime_entry_fn *)dlsym(library, RUNTIME_ENTRY);
	if (!entry) {
		complain(path, "has no " RUNTIME_ENTRY);
		return NULL;
	}
	memcpy(directory, root, root_size() - strlen("/root"));
	directory[root_size() - strlen("/root")] = '\0';
	host.directory = directory;
	host.configuration = kept_configuration;
	rt = entry(&host);
	if (rt && rt->version != RUNTIME_VERSION) {
		complain(path, "is of another version");
		return NULL;
	}
	return rt;
}

const struct runtime *activate(void)
{
	static bool tried;
	const struct runtime *rt;
	int saved = errno;

	if (held || root_size() == 0)
		return live();
	/*
	 * Taken even if it is loaded already: an open is rare, and a client built with
	 * -fsanitize=thread sees a lock order things but not an atomic of ours.
	 */
	activation_lock();
	rt = live();
	if (!rt && !tried) {
		tried = true;
		rt = load();
		atomic_store_explicit(&runtime, rt, memory_order_release);
		/* From here on it is told of changes. */
		if (rt)
			rt->signals_look();
	}
	activation_unlock();
	errno = saved;
	return rt;
}
