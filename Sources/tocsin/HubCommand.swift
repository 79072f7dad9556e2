import ArgumentParser
import TocsinConfiguration
import TocsinHub
import TocsinProgram
import TocsinSupervision
import TocsinWire

struct HubCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hub", abstract: "Run the hub, the message broker all others talk through, or look into a running one.",
        subcommands: [
            HubRun.self, HubStatus.self, HubPools.self, HubPeers.self, HubStreams.self, HubMetrics.self,
        ],
        defaultSubcommand: HubRun.self)
}

struct HubRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Run the hub. Also without the word.")

    @OptionGroup var options: RoleOptions

    func run() async throws {
        let (configuration, _, logger) = try await RoleProcess.begin(options, defaultName: "hub")
        do {
            let settings = try configuration.hub.options(software: "tocsin \(Tocsin.version)")
            let hub = try Hub(settings, logger: logger)
            Signals.onStop {
                logger.info("stopping")
                hub.stop()
            }
            try await Blocking.run { try hub.run(ready: SupervisedProcess.sayReady) }
        } catch let error as WireError {
            throw Failure(.configuration, error.message)
        } catch let error as HubError {
            throw Failure(error)
        }
    }
}

extension Failure {
    fileprivate init(_ error: HubError) {
        switch error.code {
        case .options, .keys: self.init(.configuration, error.description)
        case .inUse, .bind, .corrupt, .disk: self.init(.cannotStart, error.description)
        case .other: self.init(.internalError, error.description)
        }
    }
}
