import ArgumentParser
import GRPCCore
import GRPCZeroMQTransport
import Glibc
import TocsinConfiguration
import TocsinKit
import TocsinPosix
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinSupervision

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Run the whole system on this machine.",
        discussion: """
            Starts the hub, the archiver, triage workers, responders and detectors as processes of their own, starts again \
            what dies, and stops them all at the end. Works without a configuration file; data goes to ./tocsin-data. SIGHUP: the \
            policy is read again.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try await options.load()
        let lock = try await Blocking.run { try FolderLock(configuration.data) }
        let system = try LocalSystem(configuration, arguments: try processArguments(configuration))
        try await system.run()
        withExtendedLifetime(lock) {}
    }

    /// What every process is told, so that it reads the same configuration.
    private func processArguments(_ configuration: Configuration) throws -> [String] {
        var arguments: [String] = []
        if let file = configuration.file { arguments += ["--config", file] }
        for (name, value) in [
            ("--endpoint", options.endpoint), ("--identity", options.identity), ("--data", options.data),
            ("--log-level", options.logLevel),
        ] {
            if let value { arguments += [name, value] }
        }
        return arguments
    }
}

/// The processes of one machine, from the first start to the end of the last.
private final class LocalSystem: Sendable {
    private static let hubPatience = Duration.seconds(30)
    private static let workerPatience = Duration.seconds(30)

    private let configuration: Configuration
    private let hub: ProcessSpec
    private let workers: [Worker]
    private let supervisor: Supervisor
    private let events: AsyncStream<SupervisorEvent>
    private let stopRequests: AsyncStream<Void>

    /// A process besides the hub, and how the hub's status shows that it does its work.
    private struct Worker: Sendable {
        var spec: ProcessSpec
        var isReady: @Sendable (Tocsin_V1_PeerStatus) -> Bool
    }

    init(_ configuration: Configuration, arguments: [String]) throws {
        self.configuration = configuration
        let program = Self.programPath()
        func spec(_ role: String, name: String, option: String? = nil, stage: Int) -> ProcessSpec {
            ProcessSpec(name: name, argv: [program, role, "--name", option ?? name] + arguments, stage: stage)
        }
        hub = spec("hub", name: "hub", stage: 0)
        var workers = [
            Worker(spec: spec("archiver", name: "archiver", stage: 1)) {
                $0.services.contains(ServiceName.incidents.rawValue)
            }
        ]
        for index in 0..<configuration.triageWorkers {
            workers.append(Worker(spec: spec("triage", name: "triage-\(index + 1)", stage: 2)) { !$0.pools.isEmpty })
        }
        for index in 0..<configuration.responders.workers {
            workers.append(
                Worker(spec: spec("responder", name: "responder-\(index + 1)", stage: 2)) { !$0.pools.isEmpty })
        }
        for detector in configuration.detectors {
            workers.append(
                Worker(spec: spec("detector", name: "detector-\(detector.name)", option: detector.name, stage: 3)) {
                    _ in true
                })
        }
        self.workers = workers
        let (events, report) = AsyncStream.makeStream(of: SupervisorEvent.self, bufferingPolicy: .bufferingNewest(1000))
        self.events = events
        supervisor = try Supervisor(
            hopeless: [ExitCodes.usage.rawValue, ExitCodes.configuration.rawValue], onEvent: { report.yield($0) })
        let (stopRequests, stop) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.stopRequests = stopRequests
        let supervisor = supervisor
        let judges = Set(workers.map(\.spec.name).filter { $0.hasPrefix("triage-") || $0 == "archiver" })
        Signals.onReload {
            Terminal.say("tocsin: the policy is read again")
            supervisor.signal(SIGHUP, to: judges)
        }
        Signals.onStop(
            patience: configuration.responders.stopGrace + .seconds(60), now: { supervisor.killAll() },
            stop: {
                Terminal.say("tocsin: stopping everything; Ctrl-C again to stop at once")
                stop.yield()
            })
    }

    /// This program, by its own name if the file is still there, so that `ps` shows what runs.
    private static func programPath() -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return access(path, X_OK) == 0 ? path : "/proc/self/exe"
    }

    /// Until a signal asks for the end, or the hub cannot be started. Nothing is left running in either case.
    func run() async throws {
        let result = await withTaskGroup(of: Result<Void, any Error>.self) { group in
            group.addTask { await Self.catching { try await self.follow() } }
            group.addTask {
                for await _ in self.stopRequests { break }
                return .success(())
            }
            let first = await group.next() ?? .success(())
            group.cancelAll()
            return first
        }
        await supervisor.stop(grace: configuration.responders.stopGrace + .seconds(5))
        Terminal.say("tocsin: everything has stopped")
        try result.get()
    }

    private static func catching(_ body: () async throws -> Void) async -> Result<Void, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }

    /// Starts the hub, then the others once it is ready, and says what happens to them.
    private func follow() async throws {
        supervisor.start(hub)
        var isHubReady = false
        let complaint = Task {
            try await Task.sleep(for: Self.hubPatience)
            Terminal.say("tocsin: the hub is reading its journal, or stuck; see its messages above")
        }
        defer { complaint.cancel() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for await event in events {
                switch event {
                case .ready("hub", _) where !isHubReady:
                    Self.say(event)
                    isHubReady = true
                    complaint.cancel()
                    for worker in workers { supervisor.start(worker.spec) }
                    group.addTask { try await self.awaitWorkers() }
                case .ended("hub", let end, _) where !isHubReady:
                    // It has said why. A second try would only say it again.
                    throw Failure(
                        ExitCodes(rawValue: end.exitCode ?? 0).flatMap { $0 == .success ? nil : $0 } ?? .cannotStart,
                        "the hub cannot start (\(end)); its message is above")
                case .failed("hub", let reason, _) where !isHubReady: throw Failure(.cannotStart, reason)
                case .ended(let name, let end, restart: nil):
                    Self.say(event)
                    throw Failure(
                        end.exitCode.flatMap { ExitCodes(rawValue: $0) } ?? .internalError,
                        "\(name) cannot run (\(end)); its message is above")
                default: Self.say(event)
                }
            }
            group.cancelAll()
        }
    }

    private static func say(_ event: SupervisorEvent) {
        switch event {
        case .started, .stopped: return
        case .ready("hub", let after): Terminal.say("tocsin: hub is ready (\(seconds(after)))")
        case .ready: return
        case .ended(let name, let end, let restart):
            let next = restart.map { "; starting it again in \(seconds($0))" } ?? ""
            Terminal.say("tocsin: \(name) ended (\(end)) after \(seconds(end.uptime))\(next)")
        case .killed(let name): Terminal.say("tocsin: \(name) does not stop; killing it")
        case .failed(let name, let reason, let retry):
            Terminal.say("tocsin: \(name): \(reason); trying again in \(seconds(retry))")
        }
    }

    private static func seconds(_ duration: Duration) -> String {
        let tenths = duration / Duration.milliseconds(100)
        return "\((tenths).rounded() / 10) s"
    }

    /// Says of each worker when the hub sees it at its work, and at the end that the system is ready.
    private func awaitWorkers() async throws {
        let client = try Client(
            ClientOptions(
                endpoint: configuration.endpoint, identity: configuration.identity, name: "up", role: "client",
                software: "tocsin \(Tocsin.version)"),
            logger: LogSettings(level: "critical").logger(process: "up"))
        defer { Task { await client.close() } }
        let calls = GRPCClient(transport: HubClientTransport(client))
        let broker = Tocsin_V1_BrokerAdmin.Client(wrapping: calls)
        var options = CallOptions.defaults
        options.timeout = .seconds(2)
        let began = ContinuousClock.now
        var waiting = workers
        var hasComplained = false
        while !waiting.isEmpty {
            try await Task.sleep(for: .milliseconds(100))
            let status: Tocsin_V1_GetStatusResponse
            do {
                status = try await broker.getStatus(.init(), options: options)
            } catch is RPCError {
                // The hub is being started again.
                continue
            }
            let peers = Dictionary(status.peers.map { ($0.name, $0) }) { first, _ in first }
            let elapsed = ContinuousClock.now - began
            waiting.removeAll { worker in
                guard let peer = peers[worker.spec.name], worker.isReady(peer) else { return false }
                Terminal.say("tocsin: \(worker.spec.name) is ready (\(Self.seconds(elapsed)))")
                return true
            }
            if elapsed > Self.workerPatience && !hasComplained && !waiting.isEmpty {
                hasComplained = true
                let names = waiting.map(\.spec.name).joined(separator: ", ")
                Terminal.say("tocsin: still waiting for \(names); see their messages above")
            }
        }
        Terminal.say("tocsin: everything is ready at \(configuration.endpoint); Ctrl-C stops it")
    }
}

/// The right to run a system on a data folder: an exclusive lock on `up.lock` in it, which ends with the process.
private struct FolderLock: Sendable {
    /// Blocks on files. Creates the folder. Throws `Failure`.
    init(_ folder: String) throws {
        if let missing = Folder.make(folder) {
            throw Self.failure("the data folder \(missing) cannot be created: \(errorText(errno))")
        }
        let file = "\(folder)/up.lock"
        let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Self.failure("\(file) cannot be opened: \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var bytes = [UInt8](repeating: 0, count: 32)
            let count = max(0, pread(descriptor, &bytes, bytes.count, 0))
            close(descriptor)
            let holder = String(decoding: bytes.prefix(count).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
            throw Failure(
                .cannotStart,
                "the data folder \(folder) is in use by another `tocsin up`"
                    + (holder.isEmpty ? "" : " (process \(holder))")
                    + "; stop that, or give another folder with --data")
        }
        // For the message above; nothing depends on it. The descriptor stays open until the process ends.
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
    }

    private static func failure(_ message: String) -> Failure {
        Failure(.cannotStart, message + "; give a folder that you may write with --data")
    }
}
