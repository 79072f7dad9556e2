import ArgumentParser
import Glibc
import Logging
import TocsinConfiguration
import TocsinKit
import TocsinPolicy
import TocsinProgram
import TocsinSupervision

/// For commands that are a process of the system.
struct RoleOptions: ParsableArguments {
    @Option(help: "The name of this process, in logs and in the hub's status.")
    var name: String?
    @OptionGroup var configuration: ConfigurationOptions
}

/// What the worker processes have in common: configuration, log, client, and an end in good order.
enum RoleProcess {
    /// Configuration and log of the process; called first.
    static func begin(_ options: RoleOptions, defaultName: String) async throws -> (Configuration, name: String, Logger) {
        let configuration = try await options.configuration.load()
        let name = options.name ?? defaultName
        return (configuration, name, configuration.log.logger(process: name))
    }

    /// The policy, each time SIGHUP asks for it to be read again. One that cannot be used is told in the log and left out. Never ends.
    static func policies(_ options: RoleOptions, logger: Logger) -> AsyncStream<Policy> {
        let (requests, request) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        Signals.onReload { request.yield() }
        return AsyncStream {
            for await _ in requests {
                do {
                    return try await options.configuration.load().policy
                } catch {
                    logger.error("the configuration cannot be used, the policy stays as it is: \(error)")
                }
            }
            return nil
        }
    }

    /// Runs `work` with a client until it returns or the process is asked to stop, which cancels it.
    static func run(
        _ configuration: Configuration, role: String, name: String, logger: Logger, spool: String? = nil,
        patience: Duration = .seconds(20),
        _ work: @escaping @Sendable (Client) async throws -> Void
    ) async throws {
        let client = try Client(
            ClientOptions(
                endpoint: configuration.endpoint, identity: configuration.identity, name: name, role: role,
                software: "tocsin \(Tocsin.version)",
                spoolDirectory: spool), logger: logger)
        let task = Task {
            // Who spools works without a hub; everybody else has nothing to do until it is there.
            if spool == nil { try await awaitHub(client, configuration.endpoint, logger) }
            SupervisedProcess.sayReady()
            try await work(client)
        }
        Signals.onStop(patience: patience) {
            logger.info("stopping")
            task.cancel()
        }
        let result = await task.result
        await client.close()
        do {
            try result.get()
        } catch is CancellationError {
            return
        } catch {
            // Into the log, where it is seen which process says it; the code alone is left for whoever started it.
            logger.error("\(role) cannot go on: \(error)")
            throw ExitCode((Failure(error)?.code ?? .internalError).rawValue)
        }
    }

    private static func awaitHub(_ client: Client, _ endpoint: String, _ logger: Logger) async throws {
        while true {
            do {
                try await client.ready(within: .seconds(10))
                return
            } catch ClientError.notAdmitted(let why) {
                // Somebody may authorise the key while this waits.
                logger.error("\(why)")
                try await Task.sleep(for: .seconds(5))
            } catch ClientError.timedOut {
                try Task.checkCancellation()
                logger.warning("waiting for the hub", metadata: ["endpoint": "\(endpoint)"])
            }
        }
    }
}
