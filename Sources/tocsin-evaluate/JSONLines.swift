import ArgumentParser
import CZlib
import FoundationEssentials

/// Files with one JSON object a line, which may be compressed with gzip.
enum JSONLines {
    /// Of a file, once it is decompressed.
    static let bytesMax = 1 << 30

    /// The values of `name`, or of `name.gz`, in `folder`.
    ///
    /// - Throws: what says which file or which line of it is at fault.
    static func read<Value: Decodable>(_ name: String, in folder: String, as type: Value.Type = Value.self) throws -> [Value] {
        let path = ["\(folder)/\(name).gz", "\(folder)/\(name)"].first(where: FileManager.default.fileExists)
        guard let path else { throw DataError("\(folder) has neither \(name).gz nor \(name)") }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw DataError("\(path) cannot be read; is it a file that may be read?")
        }
        let bytes = path.hasSuffix(".gz") ? try inflated(Array(data), path) : Array(data)
        let decoder = JSONDecoder()
        return try bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated().compactMap { index, line in
            guard !line.isEmpty else { return nil }
            do {
                return try decoder.decode(Value.self, from: Data(line))
            } catch {
                throw DataError("\(path), line \(index + 1) is not what it must be: \(error)")
            }
        }
    }

    /// One line a value, with the names in order, so that two runs give the same bytes.
    static func write(_ values: some Sequence<some Encodable>, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var lines = Data()
        for value in values {
            lines += try encoder.encode(value)
            lines.append(0x0A)
        }
        let folder = URL(filePath: path).deletingLastPathComponent().path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try lines.write(to: URL(filePath: path))
    }

    /// What was compressed with gzip, of which there may be several parts.
    static func inflated(_ bytes: [UInt8], _ path: String) throws -> [UInt8] {
        var stream = z_stream()
        guard tocsin_inflate_begin(&stream) == Z_OK else { throw DataError("zlib has no memory") }
        defer { inflateEnd(&stream) }
        var input = bytes
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        let status = input.withUnsafeMutableBufferPointer { input -> Int32 in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(clamping: input.count)
            var status = Z_OK
            while status == Z_OK, output.count <= bytesMax {
                let written = chunk.withUnsafeMutableBufferPointer { chunk in
                    stream.next_out = chunk.baseAddress
                    stream.avail_out = UInt32(chunk.count)
                    status = inflate(&stream, Z_NO_FLUSH)
                    return chunk.count - Int(stream.avail_out)
                }
                output += chunk[..<written]
                if status == Z_STREAM_END, stream.avail_in > 0 { status = inflateReset(&stream) }
            }
            return status
        }
        guard output.count <= bytesMax else {
            throw DataError("\(path) is larger than \(bytesMax) bytes once it is decompressed")
        }
        guard status == Z_STREAM_END else { throw DataError("\(path) is no whole gzip file") }
        return output
    }
}
