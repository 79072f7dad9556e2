import GRPCCore
import GRPCZeroMQTransport
import TocsinAccess
import TocsinKit
import TocsinProto
import TocsinWire

extension Message {
    /// - Parameter field: where it stands in the request.
    /// - Throws: INVALID_ARGUMENT for a severity that is none. All else the hub checks.
    init(_ envelope: Tocsin_V1_Envelope, _ field: String) throws(RPCError) {
        let number = envelope.severity.rawValue
        guard let severity = number == 0 ? .info : WireSeverity(rawValue: UInt8(clamping: number)) else {
            throw RPCError(
                code: .invalidArgument, message: "\(field).severity is \(number); it may be 0 to 4")
        }
        self.init(
            id: envelope.id.isEmpty ? MessageID.random() : Array(envelope.id), subject: envelope.subject, severity: severity,
            key: envelope.key, notBefore: envelope.notBefore, type: envelope.type, headers: envelope.headers,
            payload: Array(envelope.payload))
    }
}

extension Tocsin_V1_Envelope {
    init(_ message: Message) {
        self.init()
        id = .init(message.id)
        subject = message.subject
        severity = .init(rawValue: Int(message.severity.rawValue)) ?? .info
        key = message.key
        notBefore = message.notBefore
        type = message.type
        publishedAt = message.publishedAt
        headers = message.headers
        payload = .init(message.payload)
    }
}

extension Tocsin_V1_PoolDelivery {
    init(_ delivery: Delivery) {
        self.init()
        lease = .init(delivery.lease.bytes)
        sequence = delivery.sequence
        attempt = UInt32(clamping: delivery.attempt)
        message = Tocsin_V1_Envelope(delivery.message)
    }
}

extension Settlement {
    /// - Parameter index: its place in the request.
    /// - Throws: INVALID_ARGUMENT for an outcome that is none.
    init(_ settlement: Tocsin_V1_Settlement, _ index: Int) throws(RPCError) {
        switch settlement.outcome {
        case .ack: self = .ack
        case .retry: self = .retry(after: .milliseconds(Int64(settlement.delayMs)), reason: settlement.reason)
        case .reject: self = .reject(reason: settlement.reason)
        case .unspecified, .UNRECOGNIZED:
            let number = settlement.outcome.rawValue
            throw RPCError(
                code: .invalidArgument,
                message: "settlements[\(index)].outcome is \(number); it may be 1 (ack), 2 (retry) or 3 (reject)")
        }
    }
}

extension TapStart {
    init(_ start: Tocsin_V1_TapRequest.OneOf_Start?) {
        switch start {
        case .sequence(let sequence): self = .sequence(sequence)
        case .time(let time): self = .time(time)
        case nil: self = .live
        }
    }
}

extension Tocsin_V1_TapResponse {
    /// Nil for a message that `rules` do not allow.
    init?(_ item: TapItem, allowedBy rules: SubjectRules) {
        self.init()
        switch item {
        case .message(let seen, let sequence):
            guard rules.isEverything || rules.allows(seen.subject) else { return nil }
            message = .with {
                $0.sequence = sequence
                $0.message = Tocsin_V1_Envelope(seen)
            }
        case .gap(let first, let last, let reason):
            gap = .with {
                $0.first = first
                $0.last = last
                $0.reason = reason
            }
        }
    }
}

/// Runs what asks the hub; what it refuses becomes its gRPC code, with the name of the reason in the metadata `tocsin-reason`.
///
/// - Parameter field: of the request, for the message.
func answer<Value>(naming field: String, _ body: () async throws -> Value) async throws -> Value {
    do {
        return try await body()
    } catch is CancellationError {
        throw CancellationError()
    } catch ClientError.refused(let reason, let message, let index) {
        let place = field == "messages" ? "messages[\(index)]" : field
        var error = RPCError(callFailure: ClientError.refused(reason, "\(place): \(message)", index: index))
        error.metadata.addString(reason.name, forKey: "tocsin-reason")
        throw error
    } catch ClientError.badOption(let message) {
        throw RPCError(code: .invalidArgument, message: "\(field): \(message)")
    } catch {
        throw RPCError(callFailure: error)
    }
}
