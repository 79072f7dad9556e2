import Foundation
import Glibc
import Testing
import TocsinSystem

@testable import TocsinProgram

/// A temporary folder and a free port, in which real `tocsin` processes run. Everything it started is gone after `end`.
final class Workplace: @unchecked Sendable {
    // Sound because a test uses its workplace from one task at a time.
    let folder: String
    let port: Int
    var endpoint: String { "tcp://127.0.0.1:\(port)" }
    private let pool = BlockingPool(threads: 4)
    private var running: [BackgroundProcess] = []

    /// The executable that was built beside the tests.
    static let program: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(filePath: tests).deletingLastPathComponent().appending(path: "tocsin").path()
    }()

    private init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "tocsin-e2e-\(UUID().uuidString)").path()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        port = try FreePort.any()
    }

    static func with(_ body: (Workplace) async throws -> Void) async throws {
        let place = try Workplace()
        let result: Result<Void, any Error>
        do { result = .success(try await body(place)) } catch { result = .failure(error) }
        for process in place.running { process.kill() }
        try await wait(until: "all processes are gone") { place.processes().isEmpty }
        if case .failure = result {
            for process in place.running { print("--- \(process.name):\n\(process.output)\n\(process.errors)") }
        }
        try FileManager.default.removeItem(atPath: place.folder)
        try result.get()
    }

    /// What a command said and how it ended.
    struct Outcome {
        var code: Int32?
        var output: String
        var errors: String

        /// The output as JSON.
        func json() throws -> [String: Any] {
            let value = try JSONSerialization.jsonObject(with: Data(output.utf8))
            return try #require(value as? [String: Any])
        }
    }

    /// Runs one command to its end, against this workplace's hub.
    func run(
        _ arguments: String..., endpoint: String? = nil, environment: [String: String] = [:]
    ) async throws -> Outcome {
        try await run(arguments, endpoint: endpoint, environment: environment)
    }

    func run(
        _ arguments: [String], endpoint: String? = nil, environment: [String: String] = [:]
    ) async throws -> Outcome {
        let command = try launch(arguments, endpoint: endpoint ?? self.endpoint, environment: environment)
        let result = try await Subprocess.run(
            command.argv, environment: command.environment, timeout: .seconds(30), pool: pool)
        #expect(!result.timedOut, "\(arguments) did not end")
        return Outcome(
            code: result.exit, output: String(decoding: result.stdout, as: UTF8.self),
            errors: String(decoding: result.stderr, as: UTF8.self))
    }

    /// Starts a command that goes on, of `tocsin` or of another program that was built beside the tests.
    func start(_ arguments: String..., endpoint: String? = nil, program: String? = nil) throws -> BackgroundProcess {
        var command = try launch(arguments, endpoint: endpoint ?? self.endpoint, environment: [:])
        if let program {
            let path = URL(filePath: Self.program).deletingLastPathComponent().appending(path: program).path()
            command.argv = command.argv.map { $0 == Self.program ? path : $0 }
        }
        let process = try BackgroundProcess(
            name: arguments.joined(separator: " "), command.argv, environment: command.environment,
            files: "\(folder)/process-\(running.count)")
        running.append(process)
        return process
    }

    /// In the folder, and blind to what the environment of the tests says about Tocsin.
    private func launch(
        _ arguments: [String], endpoint: String, environment: [String: String]
    ) throws -> (argv: [String], environment: [String: String]) {
        var environment = environment
        for name in ["TOCSIN_CONFIG", "TOCSIN_DATA", "TOCSIN_LOG", "TOCSIN_LOG_FORMAT", "TOCSIN_IDENTITY"]
        where environment[name] == nil {
            environment[name] = ""
        }
        environment["TOCSIN_ALLOW_PLAIN_TCP"] = environment["TOCSIN_ALLOW_PLAIN_TCP"] ?? "true"
        environment["TOCSIN_ENDPOINT"] = environment["TOCSIN_ENDPOINT"] ?? endpoint
        environment["TOCSIN_USER"] = environment["TOCSIN_USER"] ?? "alice"
        return (["/usr/bin/env", "-C", folder, Self.program] + arguments, environment)
    }

    func write(_ text: String, to name: String = "tocsin.yaml") throws {
        try text.write(toFile: "\(folder)/\(name)", atomically: false, encoding: .utf8)
    }

    /// Processes of the program that work in this folder, with their arguments.
    func processes() -> [(pid: Int32, arguments: String)] {
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return entries.compactMap { entry in
            guard let pid = Int32(entry),
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd")) == folder,
                let line = try? Data(contentsOf: URL(filePath: "/proc/\(pid)/cmdline")), !line.isEmpty
            else { return nil }
            return (pid, String(decoding: line.map { $0 == 0 ? 32 : $0 }, as: UTF8.self))
        }
    }
}

/// A process that runs beside the test; its output goes to files.
final class BackgroundProcess: @unchecked Sendable {
    // Sound because a test uses it from one task at a time.
    let name: String
    private let process = Process()
    private let files: String

    init(name: String, _ argv: [String], environment: [String: String], files: String) throws {
        self.name = name
        self.files = files
        for suffix in ["out", "err"] {
            try Data().write(to: URL(filePath: "\(files).\(suffix)"))
        }
        process.executableURL = URL(filePath: argv[0])
        process.arguments = Array(argv.dropFirst())
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: "\(files).out"))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: "\(files).err"))
        try process.run()
    }

    var pid: Int32 { process.processIdentifier }
    var output: String { text("out") }
    var errors: String { text("err") }

    func signal(_ number: Int32) { Glibc.kill(pid, number) }
    func kill() { if process.isRunning { signal(SIGKILL) } }

    /// The exit code, once it has ended.
    func exitCode() async throws -> Int32 {
        try await until("\(name) ends") { process.isRunning ? nil : process.terminationStatus }
    }

    private func text(_ suffix: String) -> String {
        (try? String(contentsOfFile: "\(files).\(suffix)", encoding: .utf8)) ?? ""
    }
}

/// Waits until `condition` gives a value, at most 30 seconds and a hundred tries: other tests may have all processors.
func until<Value>(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Value?
) async throws -> Value {
    let deadline = ContinuousClock.now + .seconds(30)
    var tries = 0
    while tries < 100 || ContinuousClock.now < deadline {
        if let value = try await condition() { return value }
        tries += 1
        try await Task.sleep(for: .milliseconds(20))
    }
    return try #require(nil as Value?, "waited too long until \(what)", sourceLocation: sourceLocation)
}

/// Waits until `condition` holds, at most 30 seconds.
func wait(
    until what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
    _ = try await until(what, sourceLocation: sourceLocation) { try await condition() ? true : nil }
}

enum FreePort {
    /// A TCP port of the loopback interface that nobody uses now.
    static func any() throws -> Int {
        let listener = try Listener()
        defer { listener.close() }
        return listener.port
    }
}

/// A socket that listens on the loopback interface and never accepts.
final class Listener {
    private let descriptor: Int32
    let port: Int

    /// `port` 0: one that the system chooses.
    init(port: Int = 0) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
        }
        try #require(bound == 0 && listen(descriptor, 16) == 0)
        withUnsafeMutablePointer(to: &address) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        self.descriptor = descriptor
        self.port = Int(UInt16(bigEndian: address.sin_port))
    }

    func close() { Glibc.close(descriptor) }
}
