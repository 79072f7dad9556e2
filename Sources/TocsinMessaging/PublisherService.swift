public import GRPCCore
import GRPCZeroMQTransport
import TocsinAccess
public import TocsinKit
public import TocsinProto
public import TocsinServices
import TocsinWire

/// `tocsin.v1.Publisher`: the stream's way in, for gRPC clients. Thread-safe. `Caller.current` may publish the subjects that its
/// permissions say, and PERMISSION_DENIED is the answer to a batch with another.
public struct PublisherService: Tocsin_V1_Publisher.SimpleServiceProtocol {
    private let client: Client

    /// - Parameter client: what is published goes by it; connected by the caller for as long as the service is served.
    public init(_ client: Client) { self.client = client }

    public func publish(
        request: Tocsin_V1_PublishRequest, context: ServerContext
    ) async throws -> Tocsin_V1_PublishResponse {
        guard !request.messages.isEmpty else {
            throw RPCError(code: .invalidArgument, message: "messages is empty; publish 1 to \(Limits.batch) at once")
        }
        guard request.messages.count <= Limits.batch else {
            throw RPCError(
                code: .resourceExhausted,
                message: "messages has \(request.messages.count) entries; publish at most \(Limits.batch) at once")
        }
        var messages: [Message] = []
        messages.reserveCapacity(request.messages.count)
        for (index, envelope) in request.messages.enumerated() {
            let message = try Message(envelope, "messages[\(index)]")
            if let caller = Caller.current, !caller.permissions.publish.allows(message.subject) {
                throw RPCError(
                    code: .permissionDenied,
                    message: "\(caller.name) may not publish messages[\(index)], \(message.subject.prefix(Limits.subjectBytes))")
            }
            messages.append(message)
        }
        let receipt = try await answer(naming: "messages") { try await client.publish(messages) }
        return .with {
            $0.firstSequence = receipt.firstSequence
            $0.stored = UInt32(clamping: receipt.stored)
            $0.duplicates = UInt32(clamping: receipt.duplicates)
        }
    }
}
