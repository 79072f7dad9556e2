import NIOCore
import TocsinIntake
import TocsinProto

/// Passive results of Nagios, a line each, by TCP. Senders are told nothing; no more is read than is on its way to the hub.
struct NagiosListener: Listener {
    let name = "nagios"
    let options: SocketOptions
    let delivery: Delivery
    let mapping: Mapping

    init(_ options: SocketOptions, _ mapping: Mapping, _ delivery: Delivery) {
        self.options = options
        self.mapping = mapping
        self.delivery = delivery
    }

    func serve(_ connection: StreamServer.Connection, _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>) async throws {
        var framer = MessageFramer(longest: options.longest, countsAllowed: false)
        for try await buffer in inbound {
            let events = take(framer.feed(Array(buffer.readableBytesView)), from: connection.peer)
            try await connection.busy { try await delivery.deliver(events) }
        }
        if let last = framer.finish() { try await delivery.deliver(take([last], from: connection.peer)) }
    }

    func serve(_ datagrams: [DatagramServer.Datagram]) async throws {
        for datagram in datagrams {
            var framer = MessageFramer(longest: options.longest, countsAllowed: false)
            let frames = framer.feed(datagram.bytes) + [framer.finish()].compactMap { $0 }
            try await delivery.deliver(take(frames, from: datagram.sender))
        }
    }

    private func take(_ frames: [MessageFramer.Frame], from peer: String) -> [Tocsin_V1_Event] {
        frames.compactMap { frame in
            do throws(NagiosResult.Problem) {
                return mapping.event(.nagios, try NagiosResult(line: frame.bytes).observation, now: Clock.wall)
            } catch {
                delivery.complaints.add("nagios: lines that are no results", detail: "\(peer): \(error)")
                return nil
            }
        }
    }

    func tick() async throws {}
    func finish() -> [Tocsin_V1_Event] { [] }
}
