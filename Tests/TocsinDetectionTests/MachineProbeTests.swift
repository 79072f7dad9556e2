import Glibc
import TestSupport
import Testing
import TocsinPosix
import TocsinSystem

@testable import TocsinDetection

/// Goal: processes, units, files, names and hosts are judged as they are. Method: real ones, made by the test; a name server and a
/// `systemctl` of its own.
@Suite("Probes of machines", .timeLimit(.minutes(1)))
struct MachineProbeTests {
    private let pool = BlockingPool(threads: 4)

    @Test("processes are counted by name and command line")
    func processes() async throws {
        let folder = try TemporaryFolder()
        func make(_ pid: String, _ comm: String, _ line: String) throws {
            mkdir("\(folder.path)/\(pid)", 0o700)
            try write(comm + "\n", to: "\(folder.path)/\(pid)/comm")
            try write(line, to: "\(folder.path)/\(pid)/cmdline")
        }
        try make("1", "nginx", "nginx\0-g\0daemon off")
        try make("2", "nginx", "nginx: worker")
        try make("33", "a-program-with-", "a-program-with-a-long-name\0--shop")
        try make("self", "nginx", "nginx")
        func count(_ check: ProcessCheck) async throws -> Observation {
            var prober = ProcessProber(check: check, severity: "major", pool: pool)
            prober.proc = folder.path
            return try await prober.probe()[0]
        }
        let two = try await count(ProcessCheck(name: "nginx"))
        #expect(two.healthy && two.summary == "2 processes of nginx run")
        #expect(try await count(ProcessCheck(name: "a-program-with-a-long-name", commandLine: "--shop")).healthy)
        let many = try await count(ProcessCheck(name: "nginx", atMost: 1))
        #expect(!many.healthy && many.summary == "2 processes of nginx run, there are to be 1 to 1")
        #expect(try await !count(ProcessCheck(name: "nginx", commandLine: "nothing")).healthy)
        var here = ProcessProber(check: ProcessCheck(commandLine: "xctest"), severity: "major", pool: pool)
        here.proc = "/proc"
        #expect(try await here.probe()[0].healthy)
    }

    private func write(_ text: String, to path: String) throws {
        try WholeFile.replace(path, with: Array(text.utf8))
    }

    @Test(
        "a unit is well in the states that are said to be",
        arguments: [
            ("LoadState=loaded\nActiveState=active\nSubState=running", 0, true, "web.service is active"),
            ("LoadState=loaded\nActiveState=failed\nResult=exit-code", 0, false, "web.service is failed"),
            ("LoadState=not-found\nActiveState=inactive", 0, false, "there is no unit web.service"),
            ("", 1, false, "systemd says nothing of web.service: exit code 1"),
        ])
    func unit(output: String, code: Int, healthy: Bool, summary: String) async throws {
        let folder = try TemporaryFolder()
        let program = "\(folder.path)/systemctl"
        try write("#!/bin/sh\ncat <<'X'\n\(output)\nX\nexit \(code)\n", to: program)
        chmod(program, 0o700)
        var prober = UnitProber(check: UnitCheck(unit: "web.service"), severity: "major", timeout: .seconds(10), pool: pool)
        prober.program = program
        let seen = try await prober.probe()[0]
        #expect(seen.healthy == healthy && seen.summary == summary)
    }

    @Test("the newest of the files that match is judged by age and size")
    func files() throws {
        let folder = try TemporaryFolder()
        let pattern = "\(folder.path)/backup-*"
        let now = MachineClock.wall()
        #expect(!FileProber.look(FileCheck(path: pattern), severity: "major", now: now).healthy)
        #expect(FileProber.look(FileCheck(path: pattern, mayBeAbsent: true), severity: "major", now: now).healthy)
        try write("12345", to: "\(folder.path)/backup-1")
        try write("123", to: "\(folder.path)/backup-2")
        utimensat(AT_FDCWD, "\(folder.path)/backup-1", [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)], 0)
        func look(_ check: FileCheck, in seconds: UInt64 = 0) -> Observation {
            FileProber.look(check, severity: "major", now: now + seconds * 1000)
        }
        #expect(look(FileCheck(path: pattern, olderThan: .seconds(60))).healthy)
        let old = look(FileCheck(path: pattern, olderThan: .seconds(60)), in: 100)
        #expect(!old.healthy && old.details["file"] == "\(folder.path)/backup-2")
        #expect(!look(FileCheck(path: pattern, smallerThan: 4)).healthy && look(FileCheck(path: pattern, smallerThan: 3)).healthy)
        #expect(!look(FileCheck(path: pattern, largerThan: 2)).healthy && look(FileCheck(path: pattern, largerThan: 3)).healthy)
    }

    @Test("this host answers, unless the process may not ask; nobody answers for a documentation address")
    func ping() async throws {
        let this = PingCheck(host: "127.0.0.1", count: 2)
        let prober = PingProber(check: this, severity: "major", timeout: .seconds(5), pool: pool)
        let seen = try await prober.probe()[0]
        if seen.summary.contains("CAP_NET_RAW") {
            #expect(!seen.healthy)
        } else {
            #expect(seen.healthy && seen.details["loss_percent"] == "0")
        }
        let check = PingCheck(host: "h", count: 4, lossAbove: 50, slowerThan: .milliseconds(100))
        func judge(_ replies: [Int]) -> Bool {
            PingProber.judge(replies.map { .milliseconds($0) }, check, severity: "major").healthy
        }
        #expect(judge([1, 2]) && !judge([1]) && !judge([]) && !judge([1, 1, 1, 101]))
    }

    @Test("an echo request has a sum that makes it zero, and knows its reply")
    func echo() {
        let message = EchoMessage(identifier: 0xABCD, sequence: 7)
        var bytes = message.request(isVersion6: false)
        #expect(bytes.count == EchoMessage.size && EchoMessage.checksum(bytes) == 0)
        #expect(!message.isAnswered(by: bytes[...], isVersion6: false, hasHeader: false, anyIdentifier: false))
        bytes[0] = 0
        #expect(message.isAnswered(by: bytes[...], isVersion6: false, hasHeader: false, anyIdentifier: false))
        let header: [UInt8] = [0x45] + [UInt8](repeating: 0, count: 19)
        #expect(message.isAnswered(by: (header + bytes)[...], isVersion6: false, hasHeader: true, anyIdentifier: false))
        var other = message
        other.identifier = 1
        #expect(!other.isAnswered(by: bytes[...], isVersion6: false, hasHeader: false, anyIdentifier: false))
        #expect(other.isAnswered(by: bytes[...], isVersion6: false, hasHeader: false, anyIdentifier: true))
        for count in 0..<8 {
            #expect(!message.isAnswered(by: bytes[..<count], isVersion6: false, hasHeader: false, anyIdentifier: true))
            #expect(!message.isAnswered(by: [0x4F, 0, 0][...], isVersion6: false, hasHeader: true, anyIdentifier: true))
        }
    }

    @Test("a name is looked up with the server that is named, and its records are those expected or not")
    func dns() async throws {
        let server = try NameServer()
        defer { server.stop() }
        func look(_ name: String, expect: [String] = []) async throws -> Observation {
            let check = DNSCheck(name: name, expect: expect, server: "127.0.0.1", port: server.port)
            return try await DNSProber(check: check, severity: "major", timeout: .seconds(4), pool: pool).probe()[0]
        }
        let seen = try await look("shop.test")
        #expect(seen.healthy && seen.summary == "A of shop.test is 192.0.2.7", "\(seen)")
        #expect(try await look("shop.test", expect: ["192.0.2.7"]).healthy)
        let other = try await look("shop.test", expect: ["192.0.2.8"])
        #expect(!other.healthy && other.summary == "A of shop.test is without 192.0.2.8")
        let none = try await look("none.test")
        #expect(!none.healthy && none.summary == "A of none.test cannot be looked up: there is no such name")
    }
}

/// Answers that every name is 192.0.2.7, but one that begins with "none" is not there.
private final class NameServer: Sendable {
    let port: Int
    private let descriptor: Int32
    private let stopped = CancellationSignal()

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (descriptor, stopped) = (descriptor, stopped)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        try #require(isBound)
        port = Int(UInt16(bigEndian: address.sin_port))
        try SystemThread("names") {
            var buffer = [UInt8](repeating: 0, count: 512)
            while !stopped.isSet {
                var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&polled, 1, 50) > 0 else { continue }
                var from = sockaddr()
                var length = socklen_t(MemoryLayout<sockaddr>.size)
                let count = recvfrom(descriptor, &buffer, buffer.count, 0, &from, &length)
                guard count > 17 else { continue }
                var answer = Array(buffer[..<count])
                // The question ends with the name's zero, the type and the class.
                let end = (answer[12...].firstIndex(of: 0) ?? 12) + 5
                answer = Array(answer[..<end])
                let isThere = answer[13] != UInt8(ascii: "n")
                answer[2] = 0x81
                answer[3] = isThere ? 0x80 : 0x83
                answer[7] = isThere ? 1 : 0
                answer.replaceSubrange(8..<12, with: [0, 0, 0, 0])
                if isThere { answer += [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7] }
                sendto(descriptor, answer, answer.count, 0, &from, length)
            }
            close(descriptor)
        }.detach()
    }

    func stop() { stopped.set() }
}
