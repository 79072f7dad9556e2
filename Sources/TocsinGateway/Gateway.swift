public import GRPCCore
import GRPCNIOTransportHTTP2Posix
import TocsinAccess

/// What is known of a service's health.
public enum ServiceHealth: Sendable {
    /// A worker serves it.
    case serving
    /// No worker serves it now, or there is no hub.
    case notServing
    /// Nobody knows it.
    case unknown
}

/// gRPC over HTTP/2 for everything behind the hub: calls are passed on as they are; reflection and health are answered here.
public final class Gateway<Upstream: ClientTransport>: Sendable {
    private let server: GRPCServer<GatewayTransport<Upstream>>
    private let http: HTTP2ServerTransport.Posix
    private let stopping = StopFlag()

    /// - Parameters:
    ///   - upstream: how calls reach the hub; connected by the caller for as long as the gateway runs.
    ///   - services: answered here, beside reflection and health, for whoever is known; what a caller may do they find in
    ///     `Caller.current`.
    ///   - refusals: is told of calls that are refused.
    ///   - health: of a service by its full name; "" is the gateway itself.
    /// - Throws: if the descriptors this version was built with cannot be read.
    public init(
        _ options: GatewayOptions, upstream: Upstream, services: [any RegistrableRPCService] = [],
        refusals: Refusals = Refusals { _ in }, health: @escaping @Sendable (String) async -> ServiceHealth
    ) throws {
        let descriptors = try Descriptors.built()
        let access = Access(options.grants, refusals: refusals)
        var config = HTTP2ServerTransport.Posix.Config.defaults
        // The transport resets the stream of a larger message; a status says more.
        config.rpc.maxRequestPayloadSize = 2 * options.maxMessageBytes
        config.http2.maxConcurrentStreams = options.maxStreams
        http = HTTP2ServerTransport.Posix(
            address: options.host.contains(":")
                ? .ipv6(host: options.host, port: options.port) : .ipv4(host: options.host, port: options.port),
            transportSecurity: options.security, config: config)
        let forwarding = Forwarding(
            upstream: upstream, access: access, maxMessageBytes: options.maxMessageBytes, stopping: stopping)
        let reflection = Reflection(descriptors: descriptors)
        let health = HealthService(services: descriptors.services, source: health, interval: .seconds(1))
        var router = RPCRouter<GatewayTransport<Upstream>>()
        let guarded: [any RegistrableRPCService] =
            services + [ReflectionService(reflection: reflection), OldReflectionService(reflection: reflection)]
        for service in guarded { service.registerMethods(with: &router) }
        // Health is for whoever can connect: a load balancer has no token.
        router.registerInterceptors(pipeline: [.apply(Authorization(access: access), to: .all)])
        health.registerMethods(with: &router)
        server = GRPCServer(
            transport: GatewayTransport(
                http: http, forwarding: forwarding, own: Set(router.methods.map(\.service.fullyQualifiedService))),
            router: router)
    }

    /// Serves until `beginGracefulShutdown`, and to the end of the calls there are then; cancelled, at once.
    ///
    /// - Throws: if the address cannot be bound or the certificate not be read.
    public func serve() async throws { try await server.serve() }

    /// No new calls; those that are open go on, for 5 s at most.
    public func beginGracefulShutdown() {
        stopping.set()
        server.beginGracefulShutdown()
    }

    /// The port that is bound, once `serve` has bound it.
    public var port: Int {
        get async throws {
            let address = try await http.listeningAddress
            return address.ipv4?.port ?? address.ipv6?.port ?? 0
        }
    }
}

/// Lets through who is known, to services of the gateway's own, which look themselves at what they may.
private struct Authorization: ServerInterceptor {
    let access: Access

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        var request = request
        let caller: Caller
        (caller, request.metadata) = try access.admit(request.metadata, context)
        let count = { @Sendable (error: any Error) in
            guard (error as? RPCError)?.code == .permissionDenied else { return }
            let method = context.descriptor.fullyQualifiedMethod
            access.refusals.add(.init(kind: .denied, caller: caller.name, method: method))
        }
        let admitted = request
        var response: StreamingServerResponse<Output>
        do {
            response = try await Caller.$current.withValue(caller) { try await next(admitted, context) }
        } catch {
            count(error)
            throw error
        }
        if case .success(var contents) = response.accepted {
            let producer = contents.producer
            contents.producer = { writer in
                do { return try await producer(writer) } catch {
                    count(error)
                    throw error
                }
            }
            response.accepted = .success(contents)
        }
        return response
    }
}
