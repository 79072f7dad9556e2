import GRPCCore
import TocsinKit
import TocsinProto

extension Metadata {
    /// As it goes over the wire, and the timeout in it, which does not: the head of a call has a field of its own.
    func entries() -> (entries: [Tocsin_V1_MetadataEntry], timeout: Duration?) {
        var entries: [Tocsin_V1_MetadataEntry] = []
        entries.reserveCapacity(count)
        var timeout: Duration?
        for (key, value) in self {
            let key = key.lowercased()
            switch value {
            case .string(let text) where key == Self.timeoutKey: timeout = Self.duration(text)
            case .string(let text):
                entries.append(
                    .with {
                        $0.key = key
                        $0.value = .init(text.utf8)
                    })
            case .binary(let bytes):
                entries.append(
                    .with {
                        $0.key = key
                        $0.value = .init(bytes)
                    })
            }
        }
        return (entries, timeout)
    }

    /// `timeout` becomes what every gRPC server looks for.
    init(_ entries: [Tocsin_V1_MetadataEntry], timeout: Duration? = nil) {
        self.init()
        reserveCapacity(entries.count + 1)
        for entry in entries {
            if entry.key.hasSuffix("-bin") {
                addBinary([UInt8](entry.value), forKey: entry.key)
            } else {
                addString(String(decoding: entry.value, as: UTF8.self), forKey: entry.key)
            }
        }
        if let timeout { replaceOrAddString(Self.text(timeout), forKey: Self.timeoutKey) }
    }

    private static var timeoutKey: String { "grpc-timeout" }

    /// gRPC's text for a timeout: at most seven digits here, and a unit.
    private static func text(_ timeout: Duration) -> String {
        let milliseconds = timeout.milliseconds
        return milliseconds <= 9_999_999 ? "\(milliseconds)m" : "\(Swift.min(milliseconds / 1000, 9_999_999))S"
    }

    /// Nil if it is not one.
    private static func duration(_ text: String) -> Duration? {
        guard let unit = text.last, let amount = Int64(text.dropLast()), (0...99_999_999).contains(amount) else { return nil }
        return switch unit {
        case "H": .seconds(amount * 3600)
        case "M": .seconds(amount * 60)
        case "S": .seconds(amount)
        case "m": .milliseconds(amount)
        case "u": .microseconds(amount)
        case "n": .nanoseconds(amount)
        default: nil
        }
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        return Swift.max(1, Swift.min(seconds, 1 << 40) * 1000 + attoseconds / 1_000_000_000_000_000)
    }
}

extension CallMessages {
    static var none: CallMessages { CallMessages(nil) }
}

extension RPCError {
    /// What the client library says of a call, in gRPC's words.
    package init(callFailure error: any Error) {
        switch error {
        case let error as RPCError: self = error
        case is CancellationError, is CallStream.Ended: self.init(code: .cancelled, message: "the call is over")
        case ClientError.call(let code, let message):
            let status = Status(code: Status.Code(rawValue: Int(code)) ?? .unknown, message: message)
            self = RPCError(status: status) ?? RPCError(code: .unknown, message: message)
        case ClientError.refused(let reason, let message, _):
            let status = Status(code: Status.Code(rawValue: Int(reason.code)) ?? .unknown, message: message)
            self = RPCError(status: status) ?? RPCError(code: .unknown, message: message)
        case ClientError.closed, ClientError.timedOut: self.init(code: .unavailable, message: "\(error)")
        default: self.init(code: .internalError, message: "\(error)")
        }
    }

    var tail: Tocsin_V1_CallTail {
        .with {
            $0.code = UInt32(code.rawValue)
            $0.message = message
            $0.metadata = metadata.entries().entries
        }
    }

    static func checkSize(_ bytes: Int, _ limit: Int, _ what: String) throws {
        guard bytes <= limit else {
            throw RPCError(code: .resourceExhausted, message: "\(what) has \(bytes) bytes; the limit is \(limit)")
        }
    }
}
