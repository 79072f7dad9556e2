import GRPCCore
import GRPCZeroMQTransport
import TocsinGateway
import TocsinKit
import TocsinProto
import TocsinServices

/// What the hub says of the services behind it.
struct ServiceRegistry: Sendable {
    private let client: Client
    private let broker: Tocsin_V1_BrokerAdmin.Client<HubClientTransport>

    init(_ client: Client) {
        self.client = client
        broker = .init(wrapping: GRPCClient(transport: HubClientTransport(client)))
    }

    /// Of a service by its full name; "" is the gateway, which is of use while it has a hub.
    func health(of service: String) async -> ServiceHealth {
        do {
            var options = CallOptions.defaults
            options.timeout = .seconds(2)
            let status = try await broker.getStatus(.init(), options: options)
            if Self.withHub.contains(service) || status.peers.contains(where: { $0.services.contains(service) }) {
                return .serving
            }
            return Self.known.contains(service) ? .notServing : .unknown
        } catch { return Self.known.contains(service) ? .notServing : .unknown }
    }

    /// Sequences that the hub keeps.
    func journal() async throws -> ClosedRange<UInt64> {
        var options = CallOptions.defaults
        options.timeout = .seconds(2)
        let status = try await broker.getStatus(.init(), options: options)
        return status.firstSequence...max(status.firstSequence, status.lastSequence)
    }

    /// The gateway, the hub's service, and those that the gateway serves by the hub.
    private static let withHub: Set<String> = [
        "", Tocsin_V1_BrokerAdmin.descriptor.fullyQualifiedService, Tocsin_V1_Publisher.descriptor.fullyQualifiedService,
        Tocsin_V1_Subscriber.descriptor.fullyQualifiedService,
    ]
    /// Services of ours, which may be served or not.
    private static let known = withHub.union([Tocsin_V1_IncidentService.descriptor.fullyQualifiedService])
}
