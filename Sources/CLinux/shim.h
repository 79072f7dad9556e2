#pragma once
#include <pthread.h>
#include <stddef.h>
#include <spawn.h>

// Functions of glibc (2.34 and later) that Swift's Glibc module does not show, because they need _GNU_SOURCE.
int pipe2(int descriptors[2], int flags);
int pthread_setname_np(pthread_t thread, const char *name);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
void *memmem(const void *haystack, size_t haystack_size, const void *needle, size_t needle_size);
