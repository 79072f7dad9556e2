#pragma once
#include <pthread.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stddef.h>
#include <string.h>
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

// The resolver's state is a macro-ridden structure, and its types are macros, which Swift does not see.
// Asks for records of `type` of `name`: of `server` if it is not NULL, else of those of this machine, `seconds` each and twice.
// Returns the size of the answer, which `ns_initparse` and what follows read, or -1 with `h_errno` in *failure.
static inline int tocsin_dns_query(
    const struct sockaddr_in *server, const char *name, int type, int seconds, unsigned char *answer, int size, int *failure) {
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) != 0) { *failure = NETDB_INTERNAL; return -1; }
    state.retrans = seconds;
    state.retry = 2;
    if (server) { state.nscount = 1; state.nsaddr_list[0] = *server; }
    int length = res_nquery(&state, name, ns_c_in, type, answer, size);
    *failure = length < 0 ? state.res_h_errno : 0;
    res_nclose(&state);
    return length > size ? size : length;
}

// Calls `each` with the data of every record of `type` in an answer, as people write it. Returns how many, or -1 if it is malformed.
static inline int tocsin_dns_records(
    const unsigned char *answer, int size, int type, void *context, void (*each)(void *context, const char *text)) {
    ns_msg message;
    if (ns_initparse(answer, size, &message) != 0) return -1;
    int found = 0;
    for (int index = 0; index < ns_msg_count(message, ns_s_an); index++) {
        ns_rr record;
        if (ns_parserr(&message, ns_s_an, index, &record) != 0) return -1;
        if (ns_rr_type(record) != type) continue;
        char line[4096];
        if (ns_sprintrr(&message, &record, NULL, NULL, line, sizeof line) < 0) return -1;
        // NAME TTL CLASS TYPE DATA: the data follows the type's name, behind white space.
        const char *data = line;
        for (int field = 0; field < 4; field++) {
            data += strcspn(data, " \t");
            data += strspn(data, " \t");
        }
        each(context, data);
        found++;
    }
    return found;
}
