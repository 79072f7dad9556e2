import Logging
import TocsinConfiguration
import TocsinGateway
import TocsinIntakeServer
import TocsinKit
import TocsinPosix

/// The HTTP server for foreign tools, with what it knows of the stream.
struct HTTPIntake: Sendable {
    let server: IntakeServer
    private let view: AlertView
    private let client: Client
    private let registry: ServiceRegistry

    /// Nil where it is not to be served.
    init?(
        _ client: Client, _ sink: HubSink, _ registry: ServiceRegistry, _ settings: GatewaySettings, refusals: Refusals,
        logger: Logger
    ) {
        guard let http = settings.http else { return nil }
        self.client = client
        self.registry = registry
        let gateway = GatewayOptions(settings)
        var options = IntakeOptions(host: http.listen.host, port: http.listen.port, tls: gateway.tls, grants: gateway.grants)
        options.bodyBytesMax = http.bodyBytesMax
        options.connectionsMax = http.connectionsMax
        options.timeout = http.timeout
        let resolveTimeout = UInt64(http.resolveTimeout / .milliseconds(1))
        view = AlertView(sink: sink, logger: logger, resolveTimeout: resolveTimeout, clock: MachineClock.wall)
        server = IntakeServer(
            options, sink: sink, view: view,
            protocols: IntakeProtocols(
                mappings: settings.mappings, resolveTimeout: resolveTimeout,
                minimumSeverity: http.minimumLogSeverity),
            refusals: refusals, logger: logger, clock: MachineClock.wall)
    }

    /// Until the server is told to stop.
    func run() async throws {
        let reading = Task { await view.run(client) { try await registry.journal() } }
        defer { reading.cancel() }
        try await server.serve()
    }
}
