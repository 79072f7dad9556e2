import NIOCore
import SwiftProtobuf
import Synchronization
import TocsinIntake
import TocsinProto

/// Riemann's server, by TCP, UDP and TLS. Each request on a stream is answered in its turn, `ok: true` once the hub has its events.
struct RiemannListener: Listener {
    let name = "riemann"
    let options: SocketOptions
    let delivery: Delivery
    private let intake: Intake

    /// Shared by all connections.
    private final class Intake: Sendable {
        let state: Mutex<RiemannIntake>
        init(_ policy: RiemannPolicy) { state = Mutex(RiemannIntake(policy)) }
    }

    init(_ options: SocketOptions, _ policy: RiemannPolicy, _ delivery: Delivery) {
        self.options = options
        self.delivery = delivery
        intake = Intake(policy)
    }

    func serve(_ connection: StreamServer.Connection, _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>) async throws {
        var framer = RiemannFramer(longest: options.longest)
        for try await buffer in inbound {
            let (messages, problem) = framer.feed(Array(buffer.readableBytesView))
            var replies = take(messages)
            let events = replies.flatMap(\.events)
            if try await !connection.busy({ try await delivery.deliver(events, within: options.patience) }) {
                intake.state.withLock { $0.forget(events) }
                for index in replies.indices where !replies[index].events.isEmpty {
                    replies[index].answer = Self.no("the hub has not stored the events; send them again later")
                }
            }
            var answers = replies.map(\.answer)
            if let problem {
                answers.append(Self.no("a message of \(problem.bytes) bytes; at most \(options.longest) are taken"))
            }
            var bytes = ByteBuffer()
            for answer in answers { bytes.writeBytes(RiemannFramer.framed(try answer.serializedBytes())) }
            try await connection.write(bytes)
            if problem != nil { return }
        }
    }

    func serve(_ datagrams: [DatagramServer.Datagram]) async throws {
        try await delivery.deliver(take(datagrams.map(\.bytes)).flatMap(\.events))
    }

    private func take(_ messages: [[UInt8]]) -> [RiemannIntake.Reply] {
        let (now, wall) = (Clock.steady, Clock.wall)
        return intake.state.withLock { intake in
            messages.map { intake.take($0, now: now, wallClock: wall) }
        }
    }

    private static func no(_ reason: String) -> Riemann_Msg {
        .with {
            $0.ok = false
            $0.error = reason
        }
    }

    func tick() async throws {
        let (events, unindexed) = intake.state.withLock { intake in
            (intake.expire(now: Clock.steady, wallClock: Clock.wall), intake.takeUnindexed())
        }
        if unindexed > 0 {
            delivery.complaints.add(
                "riemann: events of more pairs of host and service than are remembered; that those fall silent is not noticed",
                count: unindexed, detail: "\(unindexed)")
        }
        try await delivery.deliver(events)
    }

    func finish() -> [Tocsin_V1_Event] { [] }
}
