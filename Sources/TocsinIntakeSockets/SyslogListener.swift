import NIOCore
import Synchronization
import TocsinIntake
import TocsinProto

/// Syslog by UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425). Senders are told nothing; on a stream no more is read than is on
/// its way to the hub.
struct SyslogListener: Listener {
    let name = "syslog"
    let options: SocketOptions
    let delivery: Delivery
    private let intake: Intake

    /// Shared by all connections.
    private final class Intake: Sendable {
        let state: Mutex<SyslogIntake>
        init(_ policy: SyslogPolicy) { state = Mutex(SyslogIntake(policy)) }
    }

    init(_ options: SocketOptions, _ policy: SyslogPolicy, _ delivery: Delivery) {
        self.options = options
        self.delivery = delivery
        intake = Intake(policy)
    }

    func serve(_ connection: StreamServer.Connection, _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>) async throws {
        var framer = MessageFramer(longest: options.longest)
        for try await buffer in inbound {
            let events = take(framer.feed(Array(buffer.readableBytesView)), from: connection.peer)
            try await connection.busy { try await delivery.deliver(events) }
        }
        if let last = framer.finish() { try await delivery.deliver(take([last], from: connection.peer)) }
    }

    func serve(_ datagrams: [DatagramServer.Datagram]) async throws {
        var events: [Tocsin_V1_Event] = []
        for datagram in datagrams {
            let kept = datagram.bytes.prefix(options.longest)
            let frame = MessageFramer.Frame(bytes: Array(kept), missing: datagram.bytes.count - kept.count)
            events += take([frame], from: datagram.sender)
        }
        try await delivery.deliver(events)
    }

    private func take(_ frames: [MessageFramer.Frame], from peer: String) -> [Tocsin_V1_Event] {
        let messages = frames.map { SyslogMessage($0.bytes) }
        let (now, wall) = (Clock.steady, Clock.wall)
        return intake.state.withLock { intake in
            zip(messages, frames).flatMap { message, frame in
                intake.take(message, missing: frame.missing, from: peer, now: now, wallClock: wall)
            }
        }
    }

    func tick() async throws {
        let events = intake.state.withLock { $0.collect(now: Clock.steady, wallClock: Clock.wall) }
        try await delivery.deliver(events)
    }

    func finish() -> [Tocsin_V1_Event] { intake.state.withLock { $0.finish(wallClock: Clock.wall) } }
}
