import GRPCCore
import GRPCNIOTransportHTTP2Posix

/// HTTP/2 for a gRPC server of which most services are elsewhere: calls of those the server has are its own, all others are
/// passed on.
struct GatewayTransport<Upstream: ClientTransport>: ServerTransport {
    typealias Bytes = HTTP2ServerTransport.Posix.Bytes

    let http: HTTP2ServerTransport.Posix
    let forwarding: Forwarding<Upstream>
    /// Full names of services that the server has.
    let own: Set<String>

    func listen(
        streamHandler: @escaping @Sendable (_ stream: RPCStream<Inbound, Outbound>, _ context: ServerContext) async -> Void
    ) async throws {
        try await http.listen { stream, context in
            if own.contains(context.descriptor.service.fullyQualifiedService) {
                await streamHandler(stream, context)
            } else {
                await forwarding.forward(stream, context)
            }
        }
    }

    func beginGracefulShutdown() { http.beginGracefulShutdown() }
}
