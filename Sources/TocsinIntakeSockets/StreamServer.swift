import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TocsinGateway
import TocsinIntake

/// Accepts connections and gives each to a task of its own. What a task does not read stays with the peer: there are never more
/// than a few reads of 64 KiB here.
struct StreamServer: Sendable {
    typealias Bytes = NIOAsyncChannel<ByteBuffer, Never>

    /// One connection, for the time that it is served.
    struct Connection: Sendable {
        /// Address of the peer, without its port.
        let peer: String
        fileprivate let channel: any Channel
        fileprivate let activity: Activity

        /// Returns when the kernel has all of it. Cancelled, it closes the connection.
        func write(_ bytes: ByteBuffer) async throws {
            try await withTaskCancellationHandler {
                try await channel.writeAndFlush(bytes).get()
            } onCancel: {
                channel.close(promise: nil)
            }
        }

        /// While `work` goes on it is not the peer's fault that nothing is read.
        func busy<Result>(_ work: () async throws -> Result) async rethrows -> Result {
            activity.isBusy.store(true, ordering: .relaxed)
            defer { activity.isBusy.store(false, ordering: .relaxed) }
            return try await work()
        }
    }
    fileprivate final class Activity: Sendable {
        let isBusy = Atomic<Bool>(false)
    }

    private let channel: NIOAsyncChannel<(Bytes, Activity), Never>
    private let name: String
    private let options: SocketOptions
    private let complaints: Complaints

    /// Binds the address.
    ///
    /// - Parameter tls: nil: plaintext.
    /// - Throws: why it cannot be bound.
    init(
        _ name: String, _ address: SocketOptions.Address, tls: NIOSSLContext?, _ options: SocketOptions, _ complaints: Complaints
    ) async throws {
        self.name = name
        self.options = options
        self.complaints = complaints
        let idle = TimeAmount(options.idle)
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.pipeline.addHandler(AcceptErrors(name: name, complaints: complaints))
            }
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            // Who has said all may still be answered.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(to: try NIOCore.SocketAddress(ipAddress: address.host, port: address.port)) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let activity = Activity()
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.addHandlers([
                        IdleStateHandler(readTimeout: idle), IdleCloser(activity: activity),
                    ])
                    // At once: whoever says all he has and closes is heard before anybody is there for it. No writer, as NIO
                    // takes one that goes unused for a programmer's error.
                    let bytes = try Bytes(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(backPressureStrategy: .init(lowWatermark: 1, highWatermark: 2)))
                    return (bytes, activity)
                }
            }
    }

    var port: Int { channel.channel.localAddress?.port ?? 0 }

    /// Accepts until the task is cancelled, which closes all connections once their `serve` is done. `serve` is given what the peer
    /// sends; when it returns or throws the connection is closed.
    func run(
        _ serve: @escaping @Sendable (Connection, NIOAsyncChannelInboundStream<ByteBuffer>) async throws -> Void
    ) async throws {
        let open = OpenConnections()
        try await channel.executeThenClose { connections in
            try await withThrowingDiscardingTaskGroup { group in
                for try await (bytes, activity) in connections {
                    let connection = bytes.channel
                    let peer = connection.remoteAddress?.name ?? "unknown"
                    guard let address = connection.remoteAddress, options.listens(to: address) else {
                        complaints.add("\(name): connections from addresses that are not allowed", detail: peer)
                        connection.close(promise: nil)
                        continue
                    }
                    guard open.enter(most: options.connections) else {
                        complaints.add("\(name): more connections than are allowed at once", detail: peer)
                        connection.close(promise: nil)
                        continue
                    }
                    group.addTask {
                        defer { open.leave() }
                        do {
                            try await bytes.executeThenClose { inbound in
                                try await serve(Connection(peer: peer, channel: connection, activity: activity), inbound)
                            }
                        } catch is CancellationError {
                        } catch { complaints.add("\(name): connections that failed", detail: "\(peer): \(error)") }
                    }
                }
            }
        }
    }

    /// Of a server that is not run.
    func close() async throws { try await channel.channel.close() }
}

private final class OpenConnections: Sendable {
    private let count = Atomic<Int>(0)

    func enter(most: Int) -> Bool {
        if count.add(1, ordering: .relaxed).newValue <= most { return true }
        leave()
        return false
    }
    func leave() { count.subtract(1, ordering: .relaxed) }
}

/// What goes wrong with one connection that is accepted (it is gone already, no descriptor is left) does not end the listener.
private final class AcceptErrors: ChannelInboundHandler, Sendable {
    typealias InboundIn = Channel
    private let name: String
    private let complaints: Complaints

    init(name: String, complaints: Complaints) {
        self.name = name
        self.complaints = complaints
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        complaints.add("\(name): connections that could not be accepted", detail: "\(error)")
    }
}

/// Closes a connection on which nothing comes, unless it is not read.
private final class IdleCloser: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let activity: StreamServer.Activity

    init(activity: StreamServer.Activity) { self.activity = activity }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            if !activity.isBusy.load(ordering: .relaxed) { context.close(promise: nil) }
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }
}

extension NIOCore.SocketAddress {
    /// The address in numbers, without its port.
    var name: String { ipAddress ?? "unknown" }

    /// 4 or 16 bytes in network order; none for other families.
    var addressBytes: [UInt8] {
        switch self {
        case .v4(let address): withUnsafeBytes(of: address.address.sin_addr) { Array($0) }
        case .v6(let address): withUnsafeBytes(of: address.address.sin6_addr) { Array($0) }
        case .unixDomainSocket: []
        }
    }
}

extension SocketOptions {
    func listens(to peer: NIOCore.SocketAddress) -> Bool {
        let bytes = peer.addressBytes
        return allowed.contains { $0.contains(bytes) }
    }

    /// - Throws: without certificates; if a file cannot be read or is no certificate or key.
    func makeTLS() throws -> NIOSSLContext {
        guard let certificates else { throw IntakeSockets.Problem(description: "TLS needs a certificate and its key") }
        return try NIOSSLContext(configuration: certificates.serverConfiguration())
    }
}
