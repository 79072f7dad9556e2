import CZlib

/// What was compressed with gzip or zlib, as it was.
enum Inflate {
    struct Problem: Error, Equatable {
        /// Past the bound: 413. Else the bytes are not what they say they are: 400.
        var isTooLarge: Bool
        var message: String
    }

    /// - Throws: for bytes that are no gzip and for more than `limit` bytes of content.
    static func bytes(_ input: [UInt8], limit: Int) throws(Problem) -> [UInt8] {
        var stream = z_stream()
        guard tocsin_inflate_begin(&stream) == Z_OK else {
            throw Problem(isTooLarge: false, message: "zlib has no memory")
        }
        defer { inflateEnd(&stream) }
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        var input = input
        let status = input.withUnsafeMutableBufferPointer { input -> Int32 in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(clamping: input.count)
            var status = Z_OK
            while status == Z_OK, output.count <= limit {
                let written = chunk.withUnsafeMutableBufferPointer { chunk in
                    stream.next_out = chunk.baseAddress
                    stream.avail_out = UInt32(chunk.count)
                    status = inflate(&stream, Z_NO_FLUSH)
                    return chunk.count - Int(stream.avail_out)
                }
                output += chunk[..<written]
            }
            return status
        }
        guard output.count <= limit else {
            throw Problem(isTooLarge: true, message: "the body is larger than \(limit) bytes once it is decompressed")
        }
        guard status == Z_STREAM_END else { throw Problem(isTooLarge: false, message: "the body is no gzip") }
        return output
    }
}
