import Glibc
import Logging
import SwiftProtobuf
import TocsinConfiguration
import TocsinKit
import TocsinProto

/// One command's conversation with the hub.
struct HubSession: Sendable {
    let client: Client
    let endpoint: String
    let timeout: Duration

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
                endpoint: configuration.endpoint, name: "cli-\(getpid())", role: "client",
                software: "tocsin \(Tocsin.version)", publishTimeout: options.timeout.value), logger: logger)
        let session = HubSession(client: client, endpoint: configuration.endpoint, timeout: options.timeout.value)
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

    /// A call whose effect is the same however often it arrives. A service that is missing or lost at this moment is asked
    /// again until the timeout: a process that died is usually back at once.
    func call<Request: SwiftProtobuf.Message, Response: SwiftProtobuf.Message>(
        _ service: ServiceName, _ method: String, _ request: Request, as type: Response.Type = Response.self
    ) async throws -> Response {
        let deadline = ContinuousClock.now + timeout
        while true {
            do {
                return try await client.call("\(service.rawValue)/\(method)", request, as: type, timeout: timeout)
            } catch ClientError.call(let code, let message) {
                let isPassing = code == 12 || code == 14
                if isPassing && ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(200))
                    continue
                }
                throw isPassing
                    ? Failure(.unavailable, code == 12 ? service.absent(message) : service.unable(message))
                    : Failure(callCode: code, message)
            } catch ClientError.timedOut {
                throw Failure(
                    .timedOut, "no answer from \(service.server) within \(DurationText.format(timeout)); try again")
            }
        }
    }
}

enum ServiceName: String {
    case broker = "tocsin.v1.BrokerAdmin"
    case incidents = "tocsin.v1.IncidentService"

    var server: String {
        switch self {
        case .broker: "the hub"
        case .incidents: "the archiver"
        }
    }

    fileprivate func absent(_ message: String) -> String {
        switch self {
        case .broker: "the hub cannot answer: \(message)"
        case .incidents:
            "the hub is there, but no archiver answers (\(message)); start one with `tocsin archiver`, or look at `tocsin status`"
        }
    }

    fileprivate func unable(_ message: String) -> String { "\(server) cannot do it now: \(message)" }
}
