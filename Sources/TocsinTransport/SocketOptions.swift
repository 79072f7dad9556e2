import CZeroMQ

/// Every option that matters here, set before `bind` and `connect`, also where it equals libzmq's default. Times are
/// milliseconds.
public struct SocketOptions: Sendable {
    /// How long unsent messages may delay the end of the context after a socket is closed.
    public var linger: Int32 = 0
    /// Messages queued per peer before a send would block; 0: no limit.
    public var sendHighWater: Int32 = 1000
    /// Messages queued per peer before its TCP connection is no longer read; 0: no limit.
    public var receiveHighWater: Int32 = 1000
    /// A larger frame from a peer ends its connection; -1: no limit.
    public var maxMessageBytes: Int64 = -1
    /// A connection that has not finished its handshake by then is ended.
    public var handshake: Int32 = 10_000
    /// Waiting connections the kernel keeps for a bound socket.
    public var backlog: Int32 = 1024
    /// Router: a send to a peer that is not there or full is an error, not a silent loss.
    public var routerMandatory = true
    /// Dealer: messages are queued only to finished connections, so that none waits for a hub that is not there.
    public var immediate = true
    /// A connection that was refused or broke is tried again after so long and up to twice that, at random, so that many peers do
    /// not come at once. Always the same: on average a hub that is back has a peer again after three quarters of it, and while
    /// it is not there an attempt costs each side a packet.
    public var reconnect: Int32 = 50
    /// 0: the interval does not grow.
    public var reconnectMax: Int32 = 0
    /// ZMTP's own pings, below the protocol's; 0: none.
    public var heartbeat: Int32 = 0
    public var heartbeatTimeout: Int32 = 0
    public var heartbeatTTL: Int32 = 0
    public var keepAlive = true
    /// Kernel buffers in bytes; -1: the kernel's choice.
    public var kernelSendBuffer: Int32 = -1
    public var kernelReceiveBuffer: Int32 = -1

    public init() {}

    func apply(to socket: UnsafeMutableRawPointer, kind: ZMQSocket.Kind) throws(TransportError) {
        var settings: [(Int32, Int32)] = [
            (ZMQ_LINGER, linger), (ZMQ_SNDHWM, sendHighWater), (ZMQ_RCVHWM, receiveHighWater),
            (ZMQ_HANDSHAKE_IVL, handshake), (ZMQ_BACKLOG, backlog), (ZMQ_RECONNECT_IVL, reconnect),
            (ZMQ_RECONNECT_IVL_MAX, reconnectMax), (ZMQ_HEARTBEAT_IVL, heartbeat), (ZMQ_HEARTBEAT_TTL, heartbeatTTL),
            (ZMQ_TCP_KEEPALIVE, keepAlive ? 1 : 0), (ZMQ_SNDBUF, kernelSendBuffer), (ZMQ_RCVBUF, kernelReceiveBuffer),
            (ZMQ_IPV6, 0),
        ]
        if heartbeat > 0 { settings.append((ZMQ_HEARTBEAT_TIMEOUT, heartbeatTimeout)) }
        switch kind {
        case .router: settings.append((ZMQ_ROUTER_MANDATORY, routerMandatory ? 1 : 0))
        case .dealer: settings.append((ZMQ_IMMEDIATE, immediate ? 1 : 0))
        }
        for (option, value) in settings {
            var value = value
            guard zmq_setsockopt(socket, option, &value, MemoryLayout<Int32>.size) == 0 else {
                throw .last("cannot set socket option \(option) to \(value)")
            }
        }
        var size = maxMessageBytes
        guard zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size, MemoryLayout<Int64>.size) == 0 else {
            throw .last("cannot set the largest message to \(size) bytes")
        }
    }
}
