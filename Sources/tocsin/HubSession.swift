import GRPCCore
import GRPCZeroMQTransport
import Glibc
import Logging
import TocsinConfiguration
import TocsinKit
import TocsinProgram
import TocsinProto
import TocsinServices

/// One command's conversation with the hub.
struct HubSession: Sendable {
    let client: Client
    /// Calls over the same connection.
    let calls: GRPCClient<HubClientTransport>
    let endpoint: String
    let timeout: Duration
    /// Who the hub knows this to be; nil: anybody.
    let provenName: String?

    /// Connects, runs `body`, and says goodbye.
    ///
    /// - Throws: `Failure` if no hub answers in time; what `body` throws.
    static func with<Value: Sendable>(
        _ options: ClientOptionGroup, _ body: @Sendable (HubSession) async throws -> Value
    ) async throws -> Value {
        let configuration = try await options.configuration.load()
        // What the client library has to say is said by the command itself, in its own words.
        let level = options.configuration.overrides["log.level"]?.text ?? "critical"
        let logger = LogSettings(level: level, format: configuration.log.format).logger(process: "tocsin")
        let client = try Client(
            ClientOptions(
                endpoint: configuration.endpoint, identity: configuration.identity, name: "cli-\(getpid())", role: "client",
                software: "tocsin \(Tocsin.version)", publishTimeout: options.timeout.value), logger: logger)
        let calls = GRPCClient(transport: HubClientTransport(client))
        let session = HubSession(
            client: client, calls: calls, endpoint: configuration.endpoint, timeout: options.timeout.value,
            provenName: configuration.endpoint.hasPrefix("tcp://") ? configuration.identity?.name : nil)
        do {
            try await session.connect()
            let value = try await body(session)
            await client.close()
            return value
        } catch {
            await client.close()
            throw error
        }
    }

    private func connect() async throws {
        do {
            try await client.ready(within: timeout)
        } catch ClientError.timedOut {
            throw Failure(
                .unavailable,
                "no hub answers at \(endpoint) (waited \(DurationText.format(timeout))); start one with `tocsin up`, or "
                    + "say where it is with --endpoint or TOCSIN_ENDPOINT")
        }
    }

    var broker: Tocsin_V1_BrokerAdmin.Client<HubClientTransport> { .init(wrapping: calls) }
    var incidents: Tocsin_V1_IncidentService.Client<HubClientTransport> { .init(wrapping: calls) }
    var archive: Tocsin_V1_ArchiveAdmin.Client<HubClientTransport> { .init(wrapping: calls) }

    /// A call whose effect is the same however often it arrives. A service that is missing or lost at this moment is asked
    /// again until the timeout: a process that died is usually back at once.
    ///
    /// - Throws: `Failure`.
    func call<Response>(
        _ service: ServiceName, _ body: (HubSession, CallOptions) async throws -> Response
    ) async throws -> Response {
        let deadline = ContinuousClock.now + timeout
        var options = CallOptions.defaults
        options.timeout = timeout
        while true {
            do {
                return try await body(self, options)
            } catch let error as RPCError {
                guard error.code == .unimplemented || error.code == .unavailable else { throw Failure(error) ?? error }
                if ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(200))
                    continue
                }
                let reason = error.metadata[stringValues: "tocsin-reason"].first { _ in true }
                let isAbsent = reason == "NO_SERVER" || reason == "UNKNOWN_SERVICE"
                throw Failure(.unavailable, isAbsent ? service.absent(error.message) : service.unable(error.message))
            }
        }
    }
}

enum ServiceName: String {
    case broker = "tocsin.v1.BrokerAdmin"
    case incidents = "tocsin.v1.IncidentService"
    case archive = "tocsin.v1.ArchiveAdmin"

    var server: String {
        switch self {
        case .broker: "the hub"
        case .incidents, .archive: "the archiver"
        }
    }

    fileprivate func absent(_ message: String) -> String {
        switch self {
        case .broker: "the hub cannot answer: \(message)"
        case .incidents, .archive:
            "the hub is there, but no archiver answers (\(message)); start one with `tocsin archiver`, or look at `tocsin status`"
        }
    }

    fileprivate func unable(_ message: String) -> String { "\(server) cannot do it now: \(message)" }
}
