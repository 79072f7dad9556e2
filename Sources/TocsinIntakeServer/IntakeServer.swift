import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
public import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle
import Synchronization
public import TocsinGateway
import TocsinIntake
import X509

/// Where the intake listens, and its bounds.
public struct IntakeOptions: Sendable {
    /// An address of this machine, in numbers.
    public var host: String
    /// 0: any that is free.
    public var port: Int
    /// As the gateway's own; nil: plaintext.
    public var tls: GatewayOptions.TLS?
    /// Who may do what; empty: everybody everything.
    public var grants: [Access.Grant]
    /// Of one request, decompressed.
    public var bodyBytesMax = 4 << 20
    /// Of all requests that are being read or answered.
    public var bodiesBytesMax = 256 << 20
    /// More wait to be accepted.
    public var connectionsMax = 1024
    /// A request that is not there as a whole so long after its head is given up; a connection without one is closed.
    public var timeout = Duration.seconds(30)

    public init(host: String, port: Int, tls: GatewayOptions.TLS? = nil, grants: [Access.Grant] = []) {
        self.host = host
        self.port = port
        self.tls = tls
        self.grants = grants
    }
}

/// The HTTP server for foreign tools: HTTP/1.1, with TLS where the gateway has it.
public final class IntakeServer: Sendable {
    private let options: IntakeOptions
    private let service: IntakeService
    private let logger: Logger
    private let group = Mutex<ServiceGroup?>(nil)
    private let bound = Mutex<(result: Result<Int, any Error>?, waiting: [CheckedContinuation<Int, any Error>])>((nil, []))

    public init(
        _ options: IntakeOptions, sink: any MessageSink, view: AlertView, protocols: IntakeProtocols,
        refusals: Refusals = Refusals { _ in }, logger: Logger, clock: @escaping @Sendable () -> UInt64
    ) {
        self.options = options
        self.logger = logger
        service = IntakeService(
            access: Access(options.grants, refusals: refusals), sink: sink, view: view, protocols: protocols, clock: clock)
    }

    /// Serves until `beginGracefulShutdown`, and to the end of the requests there are then; cancelled, at once.
    ///
    /// - Throws: if the address cannot be bound or the certificate not be read.
    public func serve() async throws {
        do { try await run() } catch {
            settle(.failure(error))
            throw error
        }
        settle(.failure(CancellationError()))
    }

    private func run() async throws {
        let http1 = HTTPServerBuilder.http1(
            configuration: .init(idleTimeout: .nanoseconds(options.timeout.nanoseconds)))
        let server = try options.tls.map { try HTTPServerBuilder.tls(http1, tlsConfiguration: $0.serverConfiguration()) } ?? http1
        // What Hummingbird says of single requests is said better here.
        var quiet = logger
        quiet.logLevel = .error
        var configuration = ApplicationConfiguration(address: .hostname(options.host, port: options.port), serverName: "tocsin")
        configuration.availableConnectionsDelegate = MaximumAvailableConnections(options.connectionsMax)
        let application = Application(
            responder: Responder(options: options, service: service), server: server, configuration: configuration,
            onServerRunning: { [self] channel in settle(.success(channel.localAddress?.port ?? 0)) }, logger: quiet)
        var lifecycle = ServiceGroupConfiguration(services: [application], logger: quiet)
        lifecycle.maximumGracefulShutdownDuration = .seconds(5)
        let group = ServiceGroup(configuration: lifecycle)
        self.group.withLock { $0 = group }
        try await group.run()
    }

    /// No new requests; those that are open are answered, within 5 s.
    public func beginGracefulShutdown() {
        guard let group = group.withLock({ $0 }) else { return }
        Task { await group.triggerGracefulShutdown() }
    }

    /// The port that is bound, once `serve` has bound it.
    ///
    /// - Throws: why `serve` ended without binding one, also after it has.
    public var port: Int {
        get async throws {
            try await withCheckedThrowingContinuation { continuation in
                let result = bound.withLock { bound in
                    if bound.result == nil { bound.waiting.append(continuation) }
                    return bound.result
                }
                if let result { continuation.resume(with: result) }
            }
        }
    }

    /// The first result counts.
    private func settle(_ result: Result<Int, any Error>) {
        let waiting = bound.withLock { bound -> [CheckedContinuation<Int, any Error>] in
            guard bound.result == nil else { return [] }
            bound.result = result
            defer { bound.waiting = [] }
            return bound.waiting
        }
        for continuation in waiting { continuation.resume(with: result) }
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}

/// What Hummingbird passes along with a request.
private struct ConnectionContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: Source) {
        coreContext = .init(source: source)
        channel = source.channel
    }
}

/// Reads a request within its bounds, and writes the answer.
private struct Responder: HTTPResponder {
    typealias Context = ConnectionContext
    /// What cannot be read, and whether the connection is of any more use.
    private struct Unreadable: Error { var answer: IntakeAnswer }

    let options: IntakeOptions
    let service: IntakeService
    let budget: ByteBudget

    init(options: IntakeOptions, service: IntakeService) {
        self.options = options
        self.service = service
        budget = ByteBudget(options.bodiesBytesMax)
    }

    func respond(to request: Request, context: Context) async throws -> Response {
        var answer: IntakeAnswer
        do {
            answer = try await answered(request, context)
        } catch let error as Unreadable {
            answer = error.answer
            // Whatever is left of the body is not read.
            answer.headers["connection"] = "close"
            context.channel.close(mode: .input, promise: nil)
        }
        var headers = HTTPFields()
        for (name, value) in answer.headers { if let name = HTTPField.Name(name) { headers[name] = value } }
        if answer.status != 204 { headers[.contentLength] = String(answer.body.count) }
        let isHead = request.method == .head
        return Response(
            status: .init(code: answer.status), headers: headers,
            body: isHead || answer.body.isEmpty ? .init() : .init(byteBuffer: ByteBuffer(bytes: answer.body)))
    }

    private func answered(_ request: Request, _ context: Context) async throws -> IntakeAnswer {
        var headers: [String: String] = [:]
        for field in request.headers { headers[field.name.canonicalName] = field.value }
        if headers["host"] == nil { headers["host"] = request.head.authority }
        var exchange = IntakeRequest(
            method: request.method.rawValue, target: request.head.path ?? "/", headers: headers,
            commonName: options.tls?.clientRoots == nil ? nil : try await Self.commonName(context.channel))
        let announced = request.headers[.contentLength].flatMap { Int($0) }
        guard announced ?? 1 > 0, announced != nil || request.headers[.transferEncoding] != nil else {
            return await service.answer(exchange)
        }
        // What it is answered does not depend on the body.
        guard service.admitsBody(of: exchange) else { throw Unreadable(answer: await service.answer(exchange)) }
        guard announced ?? 0 <= options.bodyBytesMax else { throw tooLarge }
        let loan = ByteBudget.Loan(budget)
        defer { loan.giveBack() }
        var body = try await collect(request, loan)
        if let encoding = request.headers[.contentEncoding]?.lowercased(), encoding != "identity" {
            guard ["gzip", "x-gzip", "deflate"].contains(encoding) else {
                return Self.text(415, "content-encoding \(encoding.prefix(32)) is not understood; send gzip or none")
            }
            do throws(Inflate.Problem) { body = try Inflate.bytes(body, limit: options.bodyBytesMax) } catch {
                return Self.text(error.isTooLarge ? 413 : 400, error.message)
            }
            guard loan.take(body.count) else { throw busy }
        }
        exchange.body = body
        return await service.answer(exchange)
    }

    private var tooLarge: Unreadable {
        Unreadable(answer: Self.text(413, "the body is larger than \(options.bodyBytesMax) bytes"))
    }

    private var busy: Unreadable {
        Unreadable(answer: Self.text(503, "too many requests are under way; send it again later", ["retry-after": "1"]))
    }

    private static func text(_ status: Int, _ text: String, _ headers: [String: String] = [:]) -> IntakeAnswer {
        var answer = IntakeAnswer(status, text: text + "\n")
        answer.headers.merge(headers) { $1 }
        return answer
    }

    /// The whole body, in time.
    private func collect(_ request: Request, _ loan: ByteBudget.Loan) async throws -> [UInt8] {
        try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
            group.addTask {
                var body: [UInt8] = []
                for try await part in request.body {
                    guard body.count + part.readableBytes <= options.bodyBytesMax else { throw tooLarge }
                    guard loan.take(part.readableBytes) else { throw busy }
                    body.append(contentsOf: part.readableBytesView)
                }
                return body
            }
            group.addTask {
                try await Task.sleep(for: options.timeout)
                return nil
            }
            defer { group.cancelAll() }
            guard let body = try await group.next() ?? nil else {
                throw Unreadable(answer: Self.text(408, "the body did not come within \(options.timeout)"))
            }
            return body
        }
    }

    /// Of the client's certificate.
    private static func commonName(_ channel: any Channel) async throws -> String? {
        let certificate = try await channel.pipeline.handler(type: NIOSSLServerHandler.self).map { $0.peerCertificate }.get()
        guard let certificate else { return nil }
        return try Access.commonName(Certificate(derEncoded: certificate.toDERBytes()))
    }
}

/// Bytes of request bodies that are in memory.
private final class ByteBudget: Sendable {
    /// What one request has of it.
    final class Loan: Sendable {
        private let budget: ByteBudget
        private let taken = Mutex(0)

        init(_ budget: ByteBudget) { self.budget = budget }

        /// False where there is no more.
        func take(_ bytes: Int) -> Bool {
            taken.withLock { taken in
                let isTaken = budget.used.withLock { used in
                    // One request by itself is let in, however large it is.
                    guard used == taken || used + bytes <= budget.limit else { return false }
                    used += bytes
                    return true
                }
                if isTaken { taken += bytes }
                return isTaken
            }
        }

        func giveBack() {
            taken.withLock { taken in
                budget.used.withLock { $0 -= taken }
                taken = 0
            }
        }
    }
    private let used = Mutex(0)
    private let limit: Int

    init(_ limit: Int) { self.limit = limit }
}
