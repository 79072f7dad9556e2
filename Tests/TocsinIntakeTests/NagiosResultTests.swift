import TestSupport
import Testing
import TocsinProto

@testable import TocsinIntake

@Suite("Passive results of Nagios")
struct NagiosResultTests {
    private func result(_ line: String) throws -> NagiosResult { try NagiosResult(line: Array(line.utf8)) }

    @Test("a result of a service, and one of a host")
    func fields() throws {
        let service = try result(
            "[1700000000] PROCESS_SERVICE_CHECK_RESULT;web-1;disk;2;DISK CRITICAL; 1 MB free|free=1MB;10;5\\nmore \\\\n\n")
        #expect(service.time == 1_700_000_000 && service.host == "web-1" && service.check == "disk" && service.code == 2)
        #expect(service.output.summary == "DISK CRITICAL; 1 MB free" && service.output.more == "more \\n")
        let seen = service.observation
        #expect(seen.kind == .trigger && seen.severity == "critical" && seen.observedAt == 1_700_000_000_000)
        #expect(seen.labels == ["host": "web-1", "check": "disk"] && seen.details["perfdata"] == "free=1MB;10;5")
        let event = Mapping.standard(.nagios).event(.nagios, seen, now: 1)
        #expect(event.service == "web-1" && event.subject == "event.nagios.web-1")

        let host = try result("PROCESS_HOST_CHECK_RESULT;web-1;1;no answer")
        #expect(host.time == nil && host.check == nil && host.status == "DOWN" && host.observation.summary == "no answer")
        #expect(host.observation.dedupKey != seen.dedupKey)
    }

    @Test("OK is the end of what was wrong, under the same key; every other code is not")
    func codes() throws {
        let key = try result("PROCESS_SERVICE_CHECK_RESULT;h;s;2;x").observation.dedupKey
        for (code, status) in [(0, "OK"), (1, "WARNING"), (2, "CRITICAL"), (3, "UNKNOWN"), (99, "UNKNOWN"), (-1, "UNKNOWN")] {
            let seen = try result("PROCESS_SERVICE_CHECK_RESULT;h;s;\(code);")
            #expect(seen.status == status && seen.observation.kind == (code == 0 ? .resolve : .trigger))
            #expect(seen.observation.dedupKey == key && seen.observation.summary == "s is \(status)")
        }
        #expect(try result("PROCESS_SERVICE_CHECK_RESULT;h;s;0").output.summary.isEmpty)
    }

    @Test(
        "what is no result is refused with what is wrong",
        arguments: [
            ("", "not taken"), ("ADD_HOST_COMMENT;h;1;me;x", "\"ADD_HOST_COMMENT\" is not taken"),
            ("[x] PROCESS_HOST_CHECK_RESULT;h;1;x", "the time"), ("PROCESS_SERVICE_CHECK_RESULT;h;s", "3 fields where 5"),
            ("PROCESS_SERVICE_CHECK_RESULT;h;s;two;x", "the code \"two\""), ("PROCESS_SERVICE_CHECK_RESULT;;s;2;x", "empty"),
            ("[1 PROCESS_HOST_CHECK_RESULT;h;1;x", "the time"), ("PROCESS_HOST_CHECK_RESULT", "1 fields where 4"),
        ])
    func refused(line: String, reason: String) {
        let error = #expect(throws: NagiosResult.Problem.self) { try result(line) }
        #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
    }

    @Test("any bytes are a result or refused")
    func anyBytes() {
        var random = SplitMix64.seeded()
        let seed = Array("[1700000000] PROCESS_SERVICE_CHECK_RESULT;h;s;2;x|a=1\\n".utf8)
        for _ in 0..<5000 {
            var bytes = seed
            for _ in 0..<1 + random.below(4) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
            bytes.removeLast(random.below(bytes.count))
            do throws(NagiosResult.Problem) {
                let result = try NagiosResult(line: bytes)
                #expect(!result.host.isEmpty && !result.observation.summary.isEmpty)
            } catch { #expect(!error.description.isEmpty) }
        }
    }
}
