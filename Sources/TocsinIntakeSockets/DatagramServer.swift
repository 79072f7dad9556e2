import NIOCore
import NIOPosix
import Synchronization
import TocsinIntake

/// Receives datagrams into a queue of bounded length; what does not fit is dropped and counted.
struct DatagramServer: Sendable {
    struct Datagram: Sendable {
        var bytes: [UInt8]
        /// Address of the sender, without its port.
        var sender: String
    }

    private let channel: any Channel
    private let queue: DatagramQueue
    /// Datagrams of one system call.
    private static let vector = 16
    /// Asked of the kernel for its own queue, which fills while this process has no time; it gives what its settings allow.
    private static let kernelBytes: ChannelOptions.Types.SocketOption.Value = 4 << 20

    /// Binds the address.
    ///
    /// - Parameter name: of the protocol, for the log.
    /// - Throws: why it cannot be bound.
    init(_ name: String, _ address: SocketOptions.Address, _ options: SocketOptions, _ complaints: Complaints) async throws {
        let queue = DatagramQueue(most: options.queue)
        self.queue = queue
        // Room for one byte more shows that a datagram was longer.
        let room = Self.vector * (min(options.longest, 65_535) + 1)
        channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .channelOption(.socketOption(.so_rcvbuf), value: Self.kernelBytes)
            .channelOption(.datagramVectorReadMessageCount, value: Self.vector)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: room))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        DatagramReceiver(name: name, queue: queue, options: options, complaints: complaints))
                }
            }
            .bind(to: try NIOCore.SocketAddress(ipAddress: address.host, port: address.port)).get()
    }

    var port: Int { channel.localAddress?.port ?? 0 }

    /// Of a server that is not run.
    func close() async throws { try await channel.close() }

    /// Gives `serve` what has come, as often as something has, until the task is cancelled.
    func run(_ serve: @Sendable ([Datagram]) async throws -> Void) async throws {
        do {
            for await _ in queue.signals { try await serve(queue.takeAll()) }
        } catch {
            try await close()
            throw error
        }
        try await close()
    }
}

private final class DatagramQueue: Sendable {
    private let waiting = Mutex<[DatagramServer.Datagram]>([])
    private let most: Int
    let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    init(most: Int) {
        self.most = most
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// False where there is no room.
    func add(_ datagram: DatagramServer.Datagram) -> Bool {
        let isAdded = waiting.withLock { waiting in
            guard waiting.count < most else { return false }
            waiting.append(datagram)
            return true
        }
        signal.yield()
        return isAdded
    }

    func takeAll() -> [DatagramServer.Datagram] {
        waiting.withLock { waiting in
            defer { waiting.removeAll() }
            return waiting
        }
    }
}

private final class DatagramReceiver: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let name: String
    private let queue: DatagramQueue
    private let options: SocketOptions
    private let complaints: Complaints

    init(name: String, queue: DatagramQueue, options: SocketOptions, complaints: Complaints) {
        self.name = name
        self.queue = queue
        self.options = options
        self.complaints = complaints
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard options.listens(to: envelope.remoteAddress) else {
            complaints.add("\(name): datagrams from addresses that are not allowed", detail: envelope.remoteAddress.name)
            return
        }
        let datagram = DatagramServer.Datagram(bytes: Array(envelope.data.readableBytesView), sender: envelope.remoteAddress.name)
        if !queue.add(datagram) {
            complaints.add("\(name): datagrams dropped, as more came than the hub took", detail: datagram.sender)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        complaints.add("\(name): datagrams that could not be received", detail: "\(error)")
    }
}
