import Logging
import TocsinAccess
import TocsinGateway
import TocsinIntake
import TocsinProto
import TocsinWire

/// What foreign tools post by HTTP, and what they are answered: after the events are on the hub's disk, in the words of the
/// service they take this for. Thread-safe.
struct IntakeService: Sendable {
    let access: Access
    let sink: any MessageSink
    let view: AlertView
    let protocols: IntakeProtocols
    /// Milliseconds since 1970.
    let clock: @Sendable () -> UInt64

    func answer(_ request: IntakeRequest) async -> IntakeAnswer {
        let parts = request.path.split(separator: "/").map(String.init)
        let writes = !["GET", "HEAD", "OPTIONS"].contains(request.method) || parts.first == "heartbeat"
        guard !writes || request.isOfThisSite else {
            return IntakeAnswer(403, text: "this comes from a page of another site, which may not write here\n")
        }
        switch parts.first {
        case "api" where parts.dropFirst().first == "v2": return await alertmanager(request, Array(parts.dropFirst(2)))
        case "-" where parts.count == 2: return health(request, parts[1])
        case "webhook" where parts == ["webhook", "alertmanager"]: return await webhook(request)
        case "v2" where parts == ["v2", "enqueue"]: return await pagerDuty(request, isChange: false)
        case "v2" where parts == ["v2", "change", "enqueue"]: return await pagerDuty(request, isChange: true)
        case "v1" where parts == ["v1", "logs"]: return await logs(request)
        case "cloudevents" where parts.count == 1: return await cloudEvents(request)
        case "nagios" where parts.count == 1: return await nagios(request)
        case "heartbeat" where parts.count == 2: return await heartbeat(request, parts[1])
        case "report" where parts.count == 1: return await report(request)
        default: return IntakeAnswer(404, text: "there is nothing at \(request.path.prefix(256))\n")
        }
    }

    private func health(_ request: IntakeRequest, _ name: String) -> IntakeAnswer {
        guard request.method == "GET" || request.method == "HEAD" else { return notAllowed("GET, HEAD") }
        switch name {
        case "healthy": return IntakeAnswer(200, text: "OK")
        case "ready": return view.isReady ? IntakeAnswer(200, text: "OK") : IntakeAnswer(503, text: "the stream is being read")
        default: return IntakeAnswer(404)
        }
    }

    func notAllowed(_ methods: String) -> IntakeAnswer {
        var answer = IntakeAnswer(405, text: "use \(methods)\n")
        answer.headers["allow"] = methods
        return answer
    }

    // MARK: Who asks, and what they may

    /// Whether the body of `request`, of which the rest is there, is worth reading: who sends it is known, or may be by the body.
    func admitsBody(of request: IntakeRequest) -> Bool {
        let token = request.headers["authorization"].flatMap(Credentials.token)
        if token == nil, request.path.split(separator: "/").first == "v2" { return true }
        return access.knows(token: token, commonName: request.commonName)
    }

    /// - Parameter token: where the protocol has a place of its own for it; counts if there is no header.
    func caller(_ request: IntakeRequest, token: String? = nil) throws(IntakeFailure) -> Caller {
        let token = request.headers["authorization"].flatMap(Credentials.token) ?? token
        let name = "\(request.method) \(request.path)"
        guard let caller = access.authenticate(token: token, commonName: request.commonName, method: name) else {
            throw .unauthenticated
        }
        return caller
    }

    /// Whether `caller` may call `method` ("package.Service/Method").
    func authorize(_ caller: Caller, toCall method: String) throws(IntakeFailure) {
        guard !caller.permissions.call.allows(method) else { return }
        access.refuse(caller, method: method)
        throw .denied("\(caller.name) may not call \(method)")
    }

    /// Whether `caller` may see whatever `filter` matches.
    func authorize(_ caller: Caller, toRead filter: String) throws(IntakeFailure) {
        do throws(WireError) {
            if caller.permissions.read.coversWhole(try SubjectFilter(filter)) { return }
        } catch { throw .denied("\(filter) is no filter: \(error)") }
        access.refuse(caller, method: filter)
        throw .denied("\(caller.name) may not read \(filter)")
    }

    func authorize(_ caller: Caller, toPublish subject: String) throws(IntakeFailure) {
        guard !caller.permissions.publish.allows(subject) else { return }
        access.refuse(caller, method: subject)
        throw .denied("\(caller.name) may not publish \(subject)")
    }

    /// Returns once the events are on the hub's disk.
    func publish(_ events: [Tocsin_V1_Event], by caller: Caller) async throws(IntakeFailure) {
        guard !events.isEmpty else { return }
        if !caller.permissions.publish.isEverything {
            for event in events { try authorize(caller, toPublish: event.subject) }
        }
        do throws(SinkError) { try await sink.accept(events) } catch { throw .sink(error) }
    }
}

/// The mapping of each kind, and what else of protocols is configured.
public struct IntakeProtocols: Sendable {
    public var mappings: [SourceKind: Mapping]
    /// Of Alertmanager's API, milliseconds.
    public var resolveTimeout: UInt64
    /// OTLP log records of a lower severity number (1 to 24) are counted as accepted and make no event.
    public var minimumSeverity: Int

    public init(mappings: [SourceKind: Mapping] = [:], resolveTimeout: UInt64 = 300_000, minimumSeverity: Int = 17) {
        self.mappings = mappings
        self.resolveTimeout = resolveTimeout
        self.minimumSeverity = minimumSeverity
    }

    public func mapping(_ kind: SourceKind) -> Mapping { mappings[kind] ?? .standard(kind) }
}
