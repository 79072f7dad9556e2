#pragma once
#include <pthread.h>
#include <stddef.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>

// Functions of glibc (2.34 and later) that Swift's Glibc module does not show, because they need _GNU_SOURCE.
int pipe2(int descriptors[2], int flags);
int pthread_setname_np(pthread_t thread, const char *name);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
void *memmem(const void *haystack, size_t haystack_size, const void *needle, size_t needle_size);

// Variadic in C, so not visible to Swift: the calling process gets `signal` when the thread that started it is gone.
static inline int tocsin_signal_at_parent_death(int signal) { return prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0); }

// The same. How much later than asked for the kernel may end the waits of this thread, nanoseconds.
static inline int tocsin_set_timer_slack(unsigned long nanoseconds) { return prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0); }

// The resource is an enumeration in C and a number in Swift, or the other way round, depending on glibc.
static inline int tocsin_getrlimit_nofile(struct rlimit *limit) { return getrlimit(RLIMIT_NOFILE, limit); }
static inline int tocsin_setrlimit_nofile(const struct rlimit *limit) { return setrlimit(RLIMIT_NOFILE, limit); }
