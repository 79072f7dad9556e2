import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import TocsinIntake
import TocsinIntakeSockets
import TocsinProto

/// A value that tasks share.
final class Shared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }
    var value: Value { state.withLock { $0 } }
    func change(_ body: (inout Value) -> Void) { state.withLock { body(&$0) } }
}

/// A hub in memory: holds what it was given, or does not take it.
final class TestSink: EventSink {
    private struct State {
        var events: [Tocsin_V1_Event] = []
        var answer: SinkError?
        var waiting: [CheckedContinuation<Void, Never>] = []
        var isClosed = false
        var offers = 0
    }
    private let state = Mutex(State())

    var events: [Tocsin_V1_Event] { state.withLock { $0.events } }
    /// How often it was offered something.
    var offers: Int { state.withLock { $0.offers } }
    /// Messages that the events stand for.
    var count: UInt32 { events.reduce(0) { $0 + max(1, $1.count) } }

    /// From now on each offer is answered so; nil: taken.
    func answer(_ error: SinkError?) { state.withLock { $0.answer = error } }

    /// From now on offers wait for `open`.
    func close() { state.withLock { $0.isClosed = true } }
    func open() {
        let waiting = state.withLock { state in
            state.isClosed = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func accept(_ events: [Tocsin_V1_Event]) async throws(SinkError) {
        await withCheckedContinuation { continuation in
            let waits = state.withLock { state in
                state.offers += 1
                if state.isClosed { state.waiting.append(continuation) }
                return state.isClosed
            }
            if !waits { continuation.resume() }
        }
        let error = state.withLock { state in
            if state.answer == nil { state.events += events }
            return state.answer
        }
        if let error { throw error }
    }
}

/// Runs `body` with listeners, and stops them. `ports` is by name and transport: "syslog tcp".
func withSockets(
    _ sink: any EventSink, _ change: (inout IntakeSockets.Options) -> Void,
    _ body: (_ ports: [String: Int]) async throws -> Void
) async throws {
    var options = IntakeSockets.Options()
    change(&options)
    let sockets = try await IntakeSockets(options, sink: sink, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let running = Task { await sockets.run() }
    let ports = Dictionary(uniqueKeysWithValues: sockets.listening.map { ("\($0.name) \($0.transport)", $0.address.port) })
    do { try await body(ports) } catch {
        running.cancel()
        await running.value
        throw error
    }
    running.cancel()
    await running.value
}

extension SocketOptions {
    static var loopback: SocketOptions {
        var options = SocketOptions()
        options.udp = .init(host: "127.0.0.1", port: 0)
        options.tcp = .init(host: "127.0.0.1", port: 0)
        return options
    }
}

/// Connects, and gives `body` what comes and a way to write, which returns when the kernel has the bytes.
func withConnection<Result>(
    _ port: Int?,
    _ body: (NIOAsyncChannelInboundStream<ByteBuffer>, _ write: @escaping @Sendable ([UInt8]) async throws -> Void) async throws
        -> Result
) async throws -> Result {
    let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: "127.0.0.1", port: port ?? 0) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, Never>(wrappingChannelSynchronously: channel)
            }
        }
    return try await connection.executeThenClose { inbound in
        try await body(inbound) { try await connection.channel.writeAndFlush(ByteBuffer(bytes: $0)) }
    }
}

func send(_ texts: [String], to port: Int?) async throws {
    try await withConnection(port) { _, write in
        for text in texts { try await write(Array(text.utf8)) }
    }
}

func sendDatagram(_ bytes: [UInt8], to port: Int?) async throws {
    let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(host: "127.0.0.1", port: 0).get()
    let address = try SocketAddress(ipAddress: "127.0.0.1", port: port ?? 0)
    try await channel.writeAndFlush(AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: bytes)))
    try await channel.close()
}
