import ArgumentParser
import Glibc
import TocsinArchive
import TocsinConfiguration
import TocsinDetection
import TocsinProgram
import TocsinResponse
import TocsinTriage

struct DetectorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detector", abstract: "Run one detector of the configuration.")

    @OptionGroup var options: RoleOptions

    func run() async throws {
        let (configuration, _, _) = try await RoleProcess.begin(options, defaultName: "detector")
        let detector = try choose(from: configuration.detectors)
        let logger = configuration.log.logger(process: "detector-\(detector.name)")
        try await RoleProcess.run(
            configuration, role: "detector", name: "detector-\(detector.name)", logger: logger,
            spool: "\(detector.spoolDirectory)/spool"
        ) { try await Detector.run(client: $0, configuration: detector, logger: logger) }
    }

    private func choose(from detectors: [DetectorConfiguration]) throws -> DetectorConfiguration {
        let names = detectors.map(\.name).joined(separator: ", ")
        if let name = options.name {
            guard let detector = detectors.first(where: { $0.name == name }) else {
                throw Failure(.usage, "no detector is called \"\(name)\"; the configuration has: \(names)")
            }
            return detector
        }
        guard let detector = detectors.first else { throw Failure(.usage, "the configuration has no detectors") }
        guard detectors.count == 1 else { throw Failure(.usage, "say which detector with --name: \(names)") }
        return detector
    }
}

struct TriageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "triage", abstract: "Run a triage worker: events become alerts.",
        discussion: "SIGHUP: the policy is read again; one with problems is refused, and the log says why.")

    @OptionGroup var options: RoleOptions

    func run() async throws {
        let (configuration, name, logger) = try await RoleProcess.begin(options, defaultName: "triage-\(getpid())")
        let policies = RoleProcess.policies(options, logger: logger)
        try await RoleProcess.run(configuration, role: "triage", name: name, logger: logger) {
            try await TriageWorker.run(client: $0, configuration: configuration.triage, policies: policies, logger: logger)
        }
    }
}

struct ResponderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "responder", abstract: "Run a responder: runbooks and notifications.",
        discussion:
            "Responders that share a data folder need different names: each keeps account of what it ran under its own."
    )

    @OptionGroup var options: RoleOptions

    func run() async throws {
        let (configuration, name, logger) = try await RoleProcess.begin(options, defaultName: "responder-1")
        let responder = configuration.responders.configuration(name: name)
        try await RoleProcess.run(
            configuration, role: "responder", name: name, logger: logger, patience: responder.stopGrace + .seconds(10)
        ) { try await ResponderWorker.run(client: $0, configuration: responder, logger: logger) }
    }
}

struct ArchiverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "archiver", abstract: "Run an archiver: alerts become incidents.",
        discussion: """
            One works at a time; others on the same database stand by. SIGHUP: the policy is read again; one with problems is \
            refused, and the log says why.
            """)

    @OptionGroup var options: RoleOptions

    func run() async throws {
        let (configuration, name, logger) = try await RoleProcess.begin(options, defaultName: "archiver")
        let policies = RoleProcess.policies(options, logger: logger)
        var archiver = configuration.archiver
        archiver.name = name
        try await RoleProcess.run(configuration, role: "archiver", name: name, logger: logger) { [archiver] client in
            try await ArchiveWorker.run(client: client, configuration: archiver, policies: policies, logger: logger)
        }
    }
}
