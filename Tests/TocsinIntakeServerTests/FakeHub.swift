import Crypto
import Logging
import Synchronization
import TocsinAccess
import TocsinGateway
import TocsinIntake
import TocsinKit
import TocsinProto
import TocsinWire

@testable import TocsinIntakeServer

/// A hub in memory: what is accepted comes back by the stream at once, each id once.
final class FakeHub: MessageSink {
    struct State {
        var view: AlertView?
        var failure: SinkError?
        var ids: Set<[UInt8]> = []
        var events: [Tocsin_V1_Event] = []
        var messages: [TocsinKit.Message] = []
        var sequence: UInt64 = 0
    }
    private let state = Mutex(State())
    let time = Mutex<UInt64>(1_795_856_670_000)

    var now: UInt64 { time.withLock { $0 } }
    var events: [Tocsin_V1_Event] { state.withLock { $0.events } }
    var messages: [TocsinKit.Message] { state.withLock { $0.messages } }

    func fail(_ failure: SinkError?) { state.withLock { $0.failure = failure } }

    func accept(_ events: [Tocsin_V1_Event]) async throws(SinkError) {
        var messages: [TocsinKit.Message] = []
        for event in events {
            do { messages.append(try .init(event, id: Array(event.id.utf8), subject: event.subject)) } catch {
                throw .refused(index: 0, reason: "\(error)")
            }
        }
        try await publish(messages)
        state.withLock { $0.events += events }
    }

    func publish(_ messages: [TocsinKit.Message]) async throws(SinkError) {
        if let failure = state.withLock({ $0.failure }) { throw failure }
        for var message in messages {
            message.publishedAt = now
            let view = state.withLock { state -> (AlertView, UInt64)? in
                guard state.ids.insert(message.id).inserted else { return nil }
                state.messages.append(message)
                state.sequence += 1
                return state.view.map { ($0, state.sequence) }
            }
            if let (view, sequence) = view { view.apply(message, sequence: sequence) }
        }
    }

    /// A service on this hub. Without `grants` everybody may do everything.
    func service(_ grants: [Access.Grant] = [], isReady: Bool = true) -> IntakeService {
        let view = AlertView(sink: self, logger: Logger(label: "test"), clock: { self.now })
        state.withLock { $0.view = view }
        if isReady { view.apply(.init(id: [1], subject: "silence.read", payload: []), sequence: 0, mark: [1]) }
        return IntakeService(access: Access(grants), sink: self, view: view, protocols: IntakeProtocols(), clock: { self.now })
    }
}

/// One who may do what `role` may, with this token.
func grant(_ name: String, _ role: Role, token: String) -> Access.Grant {
    Access.Grant(name: name, proof: .token(Array(SHA256.hash(data: Array(token.utf8)))), permissions: role.permissions)
}

extension IntakeService {
    func post(_ target: String, _ body: String, _ headers: [String: String] = [:]) async -> IntakeAnswer {
        await answer(IntakeRequest(method: "POST", target: target, headers: headers, body: Array(body.utf8)))
    }

    func get(_ target: String, _ headers: [String: String] = [:], method: String = "GET") async -> IntakeAnswer {
        await answer(IntakeRequest(method: method, target: target, headers: headers))
    }
}

extension IntakeAnswer {
    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSON {
        get throws { try JSON(body) }
    }
}
