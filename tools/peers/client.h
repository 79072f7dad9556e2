/* What the clients of the other brokers share: the same payloads, pacing and report as tocsin-bench has.

   CLIENT publish|pace|consume --port N --count N [--size N] [--rate N] [--warmup N]

   publish   as fast as the broker confirms; WINDOW messages on their way at once
   pace      at a fixed rate whatever the answers do; each payload begins with the time it was due
   consume   takes and acknowledges; reports percentiles of the delay if --rate is given

   One line of JSON at the end; "ready" before the first message. Anything unexpected ends the process with a sentence. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 1024, WINDOW = 8 * BATCH, BLOCK = 1 << 20, PATIENCE_S = 30 };

static struct {
    const char *mode;
    int port;
    long count, size, rate, warmup;
} options = {.count = 100000, .size = 256, .warmup = 5000};

static unsigned char block[BLOCK];

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why ? why : "no reason given");
    exit(1);
}

static void start(int count, char **arguments) {
    if (count < 2) fail("usage", "CLIENT publish|pace|consume --port N --count N");
    options.mode = arguments[1];
    for (int i = 2; i + 1 < count; i += 2) {
        long value = atol(arguments[i + 1]);
        if (!strcmp(arguments[i], "--port")) options.port = (int)value;
        else if (!strcmp(arguments[i], "--count")) options.count = value;
        else if (!strcmp(arguments[i], "--size")) options.size = value;
        else if (!strcmp(arguments[i], "--rate")) options.rate = value;
        else if (!strcmp(arguments[i], "--warmup")) options.warmup = value;
        else fail("unknown option", arguments[i]);
    }
    FILE *random = fopen("/dev/urandom", "rb");
    if (!random || fread(block, 1, BLOCK, random) != BLOCK) fail("/dev/urandom", "cannot be read");
    fclose(random);
}

static int mode_is(const char *mode) { return !strcmp(options.mode, mode); }

/* Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share. */
static uint64_t monotonic(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static unsigned char *payload(long number) { return block + (number * 61) % (BLOCK - options.size + 1); }

/* The payload of a message that is due at `time`. Valid until the next call. */
static unsigned char *stamped(long number, uint64_t time) {
    static unsigned char copy[1 << 16];
    memcpy(copy, payload(number), (size_t)options.size);
    for (int i = 0; i < 8; i++) copy[i] = (unsigned char)(time >> (56 - 8 * i));
    return copy;
}

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

static void published(uint64_t began) {
    printf("{\"stored\":%ld,\"began\":%llu,\"ended\":%llu}\n", options.count, (unsigned long long)began,
           (unsigned long long)monotonic());
    fflush(stdout);
}

static long seen;
static uint64_t *delays;

/* A message came. */
static void took(const void *data) {
    if (options.rate > 0 && seen >= options.warmup) {
        if (!delays && !(delays = malloc(sizeof *delays * (size_t)options.count))) fail("memory", "none");
        const unsigned char *bytes = data;
        uint64_t due = 0;
        for (int i = 0; i < 8; i++) due = due << 8 | bytes[i];
        delays[seen - options.warmup] = monotonic() - due;
    }
    seen++;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* `last`: when the last message came. */
static void consumed(uint64_t last) {
    long timed = options.rate > 0 ? seen - options.warmup : 0;
    printf("{\"seen\":%ld,\"last\":%llu", seen, (unsigned long long)last);
    if (timed > 0) {
        qsort(delays, (size_t)timed, sizeof *delays, compare);
        printf(",\"p50\":%llu,\"p99\":%llu", (unsigned long long)delays[timed / 2], (unsigned long long)delays[timed * 99 / 100]);
    }
    puts("}");
    fflush(stdout);
}
