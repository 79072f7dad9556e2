#pragma once
#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `count` bytes, continuing from `crc` (0 to begin).
/// Uses the processor's instruction where it has one, found out once at run time.
uint32_t tocsin_crc32c(uint32_t crc, const void *bytes, size_t count);
