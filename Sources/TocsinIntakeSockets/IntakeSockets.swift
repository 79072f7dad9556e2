public import Logging
import NIOCore
public import TocsinIntake
import TocsinProto

/// One protocol.
protocol Listener: Sendable {
    var name: String { get }
    var options: SocketOptions { get }
    var delivery: Delivery { get }
    /// Serves one connection until the peer ends it.
    func serve(_ connection: StreamServer.Connection, _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>) async throws
    /// Takes what has come in datagrams.
    func serve(_ datagrams: [DatagramServer.Datagram]) async throws
    /// Called each second.
    func tick() async throws
    /// What is to be published at the end.
    func finish() -> [Tocsin_V1_Event]
}

/// The listeners for tools that speak by sockets of their own: syslog, Riemann, passive results of Nagios. What they say is
/// published as events of their kinds, `event.syslog.>`, `event.riemann.>` and `event.nagios.>`, and nothing else is.
public struct IntakeSockets: Sendable {
    /// Those to be opened; nil: not.
    public struct Options: Sendable {
        public var syslog: (sockets: SocketOptions, policy: SyslogPolicy)?
        public var riemann: (sockets: SocketOptions, policy: RiemannPolicy)?
        public var nagios: (sockets: SocketOptions, mapping: Mapping)?

        public init() {}
    }
    /// An address that cannot be listened at, and why.
    public struct Problem: Error, CustomStringConvertible {
        public let description: String
    }

    private let listeners: [Open]
    /// Those that are open.
    public let listening: [Listening]

    private struct Open: Sendable {
        var listener: any Listener
        var streams: [StreamServer] = []
        var datagrams: [DatagramServer] = []

        /// Binds one address more; the port is what it got.
        mutating func add(
            _ transport: String, _ address: SocketOptions.Address, _ complaints: Complaints
        ) async throws -> Int {
            let (name, sockets) = (listener.name, listener.options)
            if transport == "udp" {
                let server = try await DatagramServer(name, address, sockets, complaints)
                datagrams.append(server)
                return server.port
            }
            let tls = transport == "tls" ? try sockets.makeTLS() : nil
            let server = try await StreamServer(name, address, tls: tls, sockets, complaints)
            streams.append(server)
            return server.port
        }

        /// Of those that are not run.
        func close() async {
            do {
                for server in streams { try await server.close() }
                for server in datagrams { try await server.close() }
            } catch { listener.delivery.complaints.add("\(listener.name): an address was not given back", detail: "\(error)") }
        }
    }

    /// Opens all of them.
    ///
    /// - Parameter sink: where events go; used for as long as `run` runs.
    /// - Throws: `Problem`.
    public init(_ options: Options, sink: any EventSink, logger: Logger) async throws(Problem) {
        let complaints = Complaints(logger)
        let delivery = Delivery(sink: sink, complaints: complaints)
        let chosen: [(any Listener)?] = [
            options.syslog.map { SyslogListener($0.sockets, $0.policy, delivery) },
            options.riemann.map { RiemannListener($0.sockets, $0.policy, delivery) },
            options.nagios.map { NagiosListener($0.sockets, $0.mapping, delivery) },
        ]
        var (listeners, listening): ([Open], [Listening]) = ([], [])
        for listener in chosen.compactMap({ $0 }) {
            var open = Open(listener: listener)
            let (name, sockets) = (listener.name, listener.options)
            for (transport, address) in [("udp", sockets.udp), ("tcp", sockets.tcp), ("tls", sockets.tls)] {
                guard var address else { continue }
                do {
                    address.port = try await open.add(transport, address, complaints)
                } catch {
                    for other in listeners + [open] { await other.close() }
                    throw Problem(description: "\(name) cannot be listened for at \(address) (\(transport)): \(error)")
                }
                listening.append(Listening(name: name, transport: transport, address: address))
            }
            listeners.append(open)
        }
        self.listeners = listeners
        self.listening = listening
    }

    /// Serves until the task is cancelled; then publishes the counts there are, for which it takes at most 5 s.
    public func run() async {
        await withTaskGroup(of: Void.self) { group in
            for open in listeners {
                let listener = open.listener
                for server in open.streams {
                    group.addTask { await attempt(listener) { try await server.run(listener.serve) } }
                }
                for server in open.datagrams {
                    group.addTask { await attempt(listener) { try await server.run(listener.serve) } }
                }
                group.addTask {
                    await attempt(listener) {
                        while true {
                            try await Task.sleep(for: .seconds(1))
                            try await listener.tick()
                        }
                    }
                }
            }
        }
        let last = listeners.map { (delivery: $0.listener.delivery, events: $0.listener.finish()) }
        // The task is cancelled; what is left to do is not.
        await Task {
            for (delivery, events) in last {
                do {
                    guard try await !delivery.deliver(events, within: .seconds(5)) else { continue }
                } catch {
                    // Nobody cancels this task.
                }
                delivery.complaints.add(
                    "counts of the last seconds are lost: the hub did not take them", detail: "\(events.count)")
            }
        }.value
    }

    private func attempt(_ listener: any Listener, _ work: () async throws -> Void) async {
        do { try await work() } catch is CancellationError {} catch {
            listener.delivery.complaints.add("\(listener.name): a listener ended", detail: "\(error)")
        }
    }
}
