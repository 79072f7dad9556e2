import CCRC32C

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), by the processor's instruction where it has one.
public enum CRC32C {
    /// The checksum of `bytes`; `previous` continues that of bytes before them.
    public static func checksum(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
        guard let base = bytes.baseAddress else { return previous }
        return tocsin_crc32c(previous, base, bytes.count)
    }
}
