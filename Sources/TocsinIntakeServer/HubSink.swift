import Logging
import Synchronization
import TocsinEvents
public import TocsinIntake
public import TocsinKit
import TocsinProto
import TocsinWire

/// Where what is taken in goes. A seam, so that protocols are tested without a hub.
public protocol MessageSink: EventSink {
    /// Returns once all of `messages` are on the hub's disk; otherwise as `accept`.
    func publish(_ messages: [Message]) async throws(SinkError)
}

/// The hub, by a client. Thread-safe; shared by every listener of the gateway, whose bound it is.
public final class HubSink: MessageSink {
    private let client: Client
    private let inFlight = Mutex(0)
    private let inFlightMax: Int

    /// - Parameters:
    ///   - client: connected by the caller for as long as the sink is used.
    ///   - inFlightMax: messages that wait for the hub's answer; more are refused as `overloaded`.
    public init(_ client: Client, inFlightMax: Int = 65_536) {
        self.client = client
        self.inFlightMax = inFlightMax
    }

    public func accept(_ events: [Tocsin_V1_Event]) async throws(SinkError) {
        var messages: [Message] = []
        messages.reserveCapacity(events.count)
        for (index, event) in events.enumerated() {
            do {
                messages.append(try Message(event: event, subject: event.subject))
            } catch { throw .refused(index: index, reason: "\(error)") }
        }
        try await publish(messages)
    }

    public func publish(_ messages: [Message]) async throws(SinkError) {
        guard !messages.isEmpty else { return }
        let isAdmitted = inFlight.withLock { count in
            // What is larger than the bound by itself is let in alone.
            guard count == 0 || count + messages.count <= inFlightMax else { return false }
            count += messages.count
            return true
        }
        guard isAdmitted else { throw .overloaded(retryAfter: .seconds(1)) }
        defer { inFlight.withLock { $0 -= messages.count } }
        do {
            try await client.publish(messages)
        } catch {
            throw Self.explain(error)
        }
    }

    private static func explain(_ error: any Error) -> SinkError {
        guard case .refused(let reason, let message, let index)? = error as? ClientError else {
            return .unavailable(retryAfter: .seconds(5), reason: "the hub has not stored it: \(error)")
        }
        switch reason {
        case .badEnvelope, .tooLarge: return .refused(index: index, reason: message)
        case .rateLimited, .quotaExceeded: return .overloaded(retryAfter: .seconds(5))
        default: return .unavailable(retryAfter: .seconds(5), reason: "the hub has not stored it: \(message)")
        }
    }
}
