import ArgumentParser
import Crypto
import GRPCCore
import GRPCZeroMQTransport
import Glibc
import TocsinAccess
import TocsinConfiguration
import TocsinGateway
import TocsinIntakeServer
import TocsinIntakeSockets
import TocsinKeys
import TocsinKit
import TocsinMessaging
import TocsinProgram
import TocsinSupervision
import TocsinWire

/// The gateway's command line.
struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tocsin-gateway",
        abstract: "gRPC over HTTP/2 for everything behind the hub, and HTTP for foreign tools.",
        discussion: """
            Every service that a worker serves is reached through it by any gRPC client; reflection and health are the \
            gateway's own. It reads the section gateway of the configuration that tocsin reads. Without a section it serves \
            everybody on this machine, and nobody else.
            """,
        subcommands: [RunCommand.self, TokenCommand.self], defaultSubcommand: RunCommand.self)

    /// Nil for what ArgumentParser reports itself.
    static func explain(_ error: any Error) -> (code: ExitCodes, message: String)? {
        guard let error = error as? ConfigurationError else { return nil }
        return (.configuration, "the configuration has problems:\n\(error.description)")
    }
}

/// Serves until a signal asks for the end.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Serve. This is what it does by default.")

    @Option(help: "The name of this process, in logs and in the hub's status.")
    var name = "gateway"
    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try await options.load()
        let settings = configuration.gateway
        let logger = configuration.log.logger(process: name)
        var session = ClientOptions(
            endpoint: configuration.endpoint, identity: configuration.identity, name: name, role: "gateway",
            software: "tocsin-gateway", publishTimeout: .seconds(10))
        let client = try Client(session, logger: logger)
        let upstream = HubClientTransport(client)
        let health = ServiceRegistry(client)
        session.role = "client"
        let messaging: [any RegistrableRPCService] = [
            PublisherService(client),
            SubscriberService { [session] caller throws(ClientError) in
                var session = session
                session.name = "\(name)/\(caller)"
                return try Client(session, logger: logger)
            },
        ]
        if let key = settings.tls?.key {
            do { try GuardedFile.check(key, .secret) } catch {
                logger.error("the gateway cannot use its key: \(error)")
                await client.close()
                throw ExitCode(ExitCodes.cannotStart.rawValue)
            }
        }
        for warning in settings.warnings {
            logger.warning("\(warning)", metadata: ["address": "\(settings.listen)"])
        }
        let refusals = Refusals { report in
            logger.warning(
                "refused a call",
                metadata: [
                    "caller": "\(report.last.caller ?? "unknown")", "method": "\(report.last.method.prefix(256))",
                    "unauthenticated_since_start": "\(report.counts.unauthenticated)",
                    "denied_since_start": "\(report.counts.denied)",
                ])
        }
        let sink = HubSink(client)
        let intake = HTTPIntake(client, sink, health, settings, refusals: refusals, logger: logger)
        let sockets: IntakeSockets
        do throws(IntakeSockets.Problem) {
            sockets = try await IntakeSockets(IntakeSockets.Options(settings), sink: sink, logger: logger)
        } catch {
            logger.error("the gateway cannot serve: \(error)")
            await client.close()
            throw ExitCode(ExitCodes.cannotStart.rawValue)
        }
        let listening = Task { await sockets.run() }
        let gateway = try Gateway(
            GatewayOptions(settings), upstream: upstream, services: messaging, refusals: refusals
        ) { await health.health(of: $0) }
        Signals.onStop {
            logger.info("stopping: calls that are open go on, new ones are not taken")
            gateway.beginGracefulShutdown()
            intake?.server.beginGracefulShutdown()
            listening.cancel()
        }
        do {
            try await withThrowingTaskGroup(of: Void.self) { serving in
                serving.addTask { try await gateway.serve() }
                serving.addTask { try await intake?.run() }
                let port = try await gateway.port
                let http = try await intake?.server.port
                SupervisedProcess.sayReady()
                logger.info(
                    "the gateway is ready",
                    metadata: [
                        "address": "\(settings.listen.host):\(port)", "tls": "\(settings.tls != nil)",
                        "http": "\(settings.http.flatMap { settings in http.map { "\(settings.listen.host):\($0)" } } ?? "none")",
                        "clients": "\(settings.clients.isEmpty ? "everybody" : "\(settings.clients.count)")",
                    ])
                for place in sockets.listening { logger.info("listening", metadata: ["for": "\(place)"]) }
                // The first of them to fail ends the other.
                while try await serving.next() != nil {}
            }
        } catch {
            listening.cancel()
            await client.close()
            let places = [settings.listen, settings.http?.listen].compactMap { $0?.description }.joined(separator: " and ")
            logger.error("the gateway cannot serve at \(places): \(error)")
            throw ExitCode(ExitCodes.cannotStart.rawValue)
        }
        upstream.beginGracefulShutdown()
        await listening.value
        await client.close()
    }
}

extension GatewayOptions.TLS {
    init(_ settings: GatewaySettings.TLS) {
        self.init(certificate: settings.certificate, key: settings.key, clientRoots: settings.clientRoots)
    }
}

extension GatewayOptions {
    init(_ settings: GatewaySettings) {
        self.init(
            host: settings.listen.host, port: settings.listen.port,
            tls: settings.tls.map(TLS.init),
            grants: settings.clients.flatMap { client in
                let token = client.tokenHash.map { Access.Grant.Proof.token($0) }
                let certificate = client.certificate.map { Access.Grant.Proof.certificate($0) }
                return [token, certificate].compactMap { proof in
                    proof.map { Access.Grant(name: client.name, proof: $0, permissions: client.permissions) }
                }
            })
    }
}

/// Makes a token for a client.
struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make a token for a client, and what the configuration is to know of it.",
        discussion: """
            The token goes to standard output, for the client; it cannot be had again. The lines for the configuration, which \
            hold only its hash, go to standard error.
            """)

    @Argument(help: "Who is to have it.")
    var client: String

    @Option(help: "What it is for: \(Role.allCases.map(\.rawValue).joined(separator: ", ")).")
    var role = Role.operator

    @Flag(help: "Make one of 32 characters, which PagerDuty's clients can send as their routing key.")
    var routingKey = false

    func run() {
        var random = SystemRandomNumberGenerator()
        let bytes = (0..<(routingKey ? 16 : 32)).map { _ in UInt8.random(in: 0...255, using: &random) }
        let token = routingKey ? bytes.hexadecimal : "tocsin_" + bytes.hexadecimal
        let hash = SHA256.hash(data: Array(token.utf8)).hexadecimal
        Terminal.say("gateway:\n  clients:\n    - name: \(client.printable)")
        Terminal.say("      token_sha256: \(hash)\n      role: \(role.rawValue)")
        Terminal.print(token)
    }
}

extension Role: ExpressibleByArgument {}
