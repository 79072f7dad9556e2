import FoundationEssentials
import Glibc
import Testing

@testable import TocsinIntake

/// A file of lines `{"spec": "rfc5424", "input": "...", "valid": true}`, packed by gzip: inputs that the tests of another
/// implementation judge.
private let vectors = getenv("TOCSIN_SYSLOG_VECTORS").map { String(cString: $0) } ?? ""

@Suite("Syslog messages that others judged")
struct SyslogVectorTests {
    private struct Vector: Decodable {
        var spec: String
        var input: String
        var valid: Bool
    }

    @Test(
        "what a strict parser takes is well-formed here, and what it refuses is not",
        .enabled(if: access(vectors, R_OK) == 0, "TOCSIN_SYSLOG_VECTORS names no file that can be read"))
    func agreement() throws {
        let lines = try unpacked(vectors).split(separator: UInt8(ascii: "\n"))
        var agreed = 0
        for line in lines {
            let vector = try JSONDecoder().decode(Vector.self, from: Data(line))
            let seen = SyslogMessage(Array(vector.input.utf8))
            let isValid = seen.isWellFormed && seen.form == (vector.spec == "rfc5424" ? .rfc5424 : .rfc3164)
            if isValid == vector.valid { agreed += 1 }
            #expect(isValid == vector.valid, "\(vector.input)")
        }
        print("syslog vectors: \(agreed) of \(lines.count) agree")
        #expect(!lines.isEmpty)
    }

    private func unpacked(_ path: String) throws -> [UInt8] {
        let pipe = try #require(popen("gzip -dc '\(path)'", "r"))
        defer { pclose(pipe) }
        var bytes: [UInt8] = []
        while true {
            let byte = fgetc(pipe)
            if byte == EOF { return bytes }
            bytes.append(UInt8(truncatingIfNeeded: byte))
        }
    }
}
