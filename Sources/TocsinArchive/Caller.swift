import GRPCCore
import TocsinWire

/// Who calls, as the hub says it. Article: PersonalData.
struct Caller: Sendable {
    /// The name of the caller's key; nil on a hub without keys, where everybody may do everything and say who they are.
    var name: String?

    /// Of the call that is being answered.
    @TaskLocal static var current = Caller()

    init() {}

    init(_ metadata: Metadata) {
        let name = metadata[stringValues: CallerMetadata.key].first { _ in true }
        self.name = name.flatMap { $0.isEmpty || $0 == CallerMetadata.anonymous ? nil : $0 }
    }

    /// The request with the caller as its actor. Who has a key acts in its name and in no other.
    ///
    /// - Throws: PERMISSION_DENIED.
    func named<Request: CommandRequest>(_ request: Request) throws(RPCError) -> Request {
        var request = request
        request.actor = try actor(request.actor)
        return request
    }

    /// Who acts, where a request says that it is `actor`. Throws as `named`.
    func actor(_ actor: String) throws(RPCError) -> String {
        guard let name else { return actor }
        guard actor.isEmpty || actor == name else {
            throw RPCError(
                code: .permissionDenied,
                message: "actor is \(actor.prefix(128)), and the caller's key is \(name)'s; leave actor empty to act as \(name)")
        }
        return name
    }
}

/// Makes `Caller.current` of the metadata of each call.
struct CallerInterceptor: ServerInterceptor {
    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        let caller = Caller(request.metadata)
        var response = try await Caller.$current.withValue(caller) { try await next(request, context) }
        // The messages of a stream are made later.
        if case .success(var contents) = response.accepted {
            let produce = contents.producer
            contents.producer = { writer in
                try await Caller.$current.withValue(caller) { try await produce(writer) }
            }
            response.accepted = .success(contents)
        }
        return response
    }
}
