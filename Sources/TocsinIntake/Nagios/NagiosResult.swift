import TocsinDomain

/// One passive result, as Nagios takes it from its command file:
/// `[epoch] PROCESS_SERVICE_CHECK_RESULT;host;service;code;output` or `[epoch] PROCESS_HOST_CHECK_RESULT;host;code;output`.
public struct NagiosResult: Equatable, Sendable {
    /// Seconds since 1970; nil where the line does not say.
    public var time: UInt64?
    public var host: String
    /// Nil: the result is of the host itself.
    public var check: String?
    /// Of a plugin; of a host 0 is up, 1 down, 2 unreachable.
    public var code: Int32
    public var output: PluginOutput

    /// Why a line is no result: a sentence.
    public struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// - Throws: what is wrong, and what is expected.
    public init(line: [UInt8]) throws(Problem) {
        var rest = line[...]
        while let last = rest.last, last <= 0x20 { rest.removeLast() }
        if rest.first == UInt8(ascii: "[") {
            guard let end = rest.firstIndex(of: UInt8(ascii: "]")),
                let time = UInt64(String(decoding: rest[(rest.startIndex + 1)..<end].prefix(20), as: UTF8.self))
            else { throw Problem(description: "the time in [] is no number of seconds since 1970") }
            self.time = time
            rest = rest[(end + 1)...].drop { $0 == 0x20 }
        }
        let name = rest.prefix { $0 != UInt8(ascii: ";") }
        let isService = name.elementsEqual("PROCESS_SERVICE_CHECK_RESULT".utf8)
        guard isService || name.elementsEqual("PROCESS_HOST_CHECK_RESULT".utf8) else {
            let shown = String(decoding: name.prefix(40), as: UTF8.self)
            throw Problem(
                description:
                    "\"\(shown)\" is not taken; send PROCESS_SERVICE_CHECK_RESULT;host;service;code;output or "
                    + "PROCESS_HOST_CHECK_RESULT;host;code;output")
        }
        let count = isService ? 5 : 4
        let fields = rest.split(separator: UInt8(ascii: ";"), maxSplits: count - 1, omittingEmptySubsequences: false)
        guard fields.count >= count - 1 else {
            throw Problem(description: "\(fields.count) fields where \(count) are expected, with ; between")
        }
        host = String(decoding: fields[1], as: UTF8.self)
        check = isService ? String(decoding: fields[2], as: UTF8.self) : nil
        guard !host.isEmpty, check?.isEmpty != true else { throw Problem(description: "the host or the service is empty") }
        let codeText = String(decoding: fields[count - 2].prefix(12), as: UTF8.self)
        guard let code = Int32(codeText) else {
            throw Problem(description: "the code \"\(codeText)\" is no number; 0 is OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN")
        }
        self.code = code
        output = PluginOutput(fields.count == count ? Self.unescaped(fields[count - 1]) : [])
    }

    /// Further lines of output are written as `\n`, as a command is one line, and a backslash as two.
    private static func unescaped(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        let backslash = UInt8(ascii: "\\")
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var rest = bytes
        while let byte = rest.popFirst() {
            if byte == backslash, rest.first == UInt8(ascii: "n") || rest.first == backslash {
                result.append(rest.removeFirst() == backslash ? backslash : 0x0A)
            } else {
                result.append(byte)
            }
        }
        return result
    }

    /// `OK`, `WARNING`, `CRITICAL`, `UNKNOWN`; of a host `UP`, `DOWN`, `UNREACHABLE`.
    public var status: String {
        guard check == nil else { return PluginStatus(exit: code).rawValue }
        return code == 0 ? "UP" : code == 1 ? "DOWN" : "UNREACHABLE"
    }

    /// What it says, for a mapping: OK and UP are the end of what was wrong.
    public var observation: Observation {
        var observation = Observation()
        observation.kind = code == 0 ? .resolve : .trigger
        observation.source = host
        observation.summary = output.summary.isEmpty ? "\(check ?? host) is \(status)" : output.summary
        observation.severity = status.lowercased()
        observation.dedupKey = EventID.of(["nagios", host, check ?? ""])
        // A time that no clock of today shows is none.
        observation.observedAt = time.map { $0 < 1 << 40 ? $0 * 1000 : 0 } ?? 0
        observation.labels["host"] = host
        observation.labels["check"] = check ?? "host"
        observation.details = ["status": status, "code": "\(code)"]
        if !output.performance.isEmpty { observation.details["perfdata"] = output.performance }
        if !output.more.isEmpty { observation.details["output"] = output.more }
        return observation
    }
}
