#include "CCRC32C.h"
#include <string.h>

static uint32_t table[256];

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t n) {
    while (n--) crc = table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n) {
    uint64_t c = crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = __builtin_ia32_crc32di(c, word);
    }
    for (; n; --n) c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
    return (uint32_t)c;
}
static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n) {
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
    }
    for (; n; --n) crc = __crc32cb(crc, *p++);
    return crc;
}
static int has_instruction(void) { return 1; }
#else
static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n) { return by_table(crc, p, n); }
static int has_instruction(void) { return 0; }
#endif

static int use_instruction;

// Runs before main, so no thread can see the table half made.
__attribute__((constructor)) static void prepare(void) {
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
        table[i] = crc;
    }
    use_instruction = has_instruction();
}

uint32_t tocsin_crc32c(uint32_t crc, const void *bytes, size_t count) {
    crc = ~crc;
    crc = use_instruction ? by_instruction(crc, bytes, count) : by_table(crc, bytes, count);
    return ~crc;
}
