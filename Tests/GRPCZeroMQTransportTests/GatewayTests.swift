import Crypto
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCZeroMQTransport
import InteropSuite
import SwiftASN1
import Synchronization
import TestSupport
import Testing
import TocsinAccess
import TocsinKit
import X509

@testable import TocsinGateway

typealias AnyHTTP = HTTP2ClientTransport.Posix
typealias HTTPClient = GRPCClient<AnyHTTP>

/// A gateway before a hub whose worker serves `InteropService`, and a client over HTTP/2.
private func withGateway(
    _ options: GatewayOptions = GatewayOptions(host: "127.0.0.1", port: 0),
    _ security: HTTP2ClientTransport.Posix.TransportSecurity = .plaintext,
    _ body: @escaping @Sendable (HTTPClient) async throws -> Void
) async throws {
    let world = try await World()
    try await world.with { _, served in
        try await withGateway(options, security, upstream: served.caller, services: [], body)
    }
    try await world.stop()
}

/// A gateway that reaches a hub by `upstream`, and a client over HTTP/2.
func withGateway(
    _ options: GatewayOptions = GatewayOptions(host: "127.0.0.1", port: 0),
    _ security: HTTP2ClientTransport.Posix.TransportSecurity = .plaintext, upstream: TocsinKit.Client,
    services: [any RegistrableRPCService], _ body: @escaping @Sendable (GRPCClient<AnyHTTP>) async throws -> Void
) async throws {
    let gateway = try Gateway(options, upstream: HubClientTransport(upstream), services: services) { service in
        service.isEmpty || service == "tocsin.interop.v1.TestService" ? .serving : .unknown
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await gateway.serve() }
        let port = try await gateway.port
        let client = GRPCClient(
            transport: try .http2NIOPosix(target: .ipv4(address: "127.0.0.1", port: port), transportSecurity: security))
        group.addTask { try await client.runConnections() }
        do { try await body(client) } catch {
            group.cancelAll()
            throw error
        }
        client.beginGracefulShutdown()
        gateway.beginGracefulShutdown()
        try await group.waitForAll()
    }
}

/// Raw bytes as messages.
private struct Raw: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

/// The code of a unary call; nil: OK.
func code(
    _ client: HTTPClient, _ method: String, _ metadata: Metadata = [:], _ message: [UInt8] = []
) async throws -> RPCError.Code? {
    let slash = try #require(method.lastIndex(of: "/"))
    let descriptor = MethodDescriptor(
        fullyQualifiedService: String(method[..<slash]), method: String(method[method.index(after: slash)...]))
    do {
        return try await client.unary(
            request: ClientRequest(message: message, metadata: metadata), descriptor: descriptor, serializer: Raw(),
            deserializer: Raw(), options: .defaults
        ) { response in
            do {
                _ = try response.message
                return nil
            } catch let error as RPCError { return error.code }
        }
    } catch let error as RPCError { return error.code }
}

@Suite("gRPC interoperability cases through the gateway and the hub", .timeLimit(.minutes(3))) struct GatewayInteropTests {
    @Test("case", arguments: InteropCase.allCases)
    func run(_ interop: InteropCase) async throws { try await withGateway { client in try await interop.run(client) } }
}

@Suite("Gateway", .timeLimit(.minutes(3))) struct GatewayTests {
    private static let empty = "tocsin.interop.v1.TestService/EmptyCall"

    private static func grant(_ name: String, _ token: String, _ methods: [String]) -> Access.Grant {
        Access.Grant(
            name: name, proof: .token(Array(SHA256.hash(data: Array(token.utf8)))),
            permissions: Permissions(call: NameRules(methods)))
    }

    @Test("a call needs a token that is known and may make it; health needs none, reflection does")
    func tokens() async throws {
        let options = GatewayOptions(
            host: "127.0.0.1", port: 0,
            grants: [
                Self.grant("all", "secret-1", ["*"]), Self.grant("some", "secret-2", ["tocsin.interop.v1.Other/*", "a.B/C"]),
            ])
        try await withGateway(options) { (client) async throws -> Void in
            #expect(try await code(client, Self.empty) == .unauthenticated)
            #expect(try await code(client, Self.empty, ["authorization": "Bearer wrong"]) == .unauthenticated)
            #expect(try await code(client, Self.empty, ["authorization": "Basic secret-1"]) == .unauthenticated)
            #expect(try await code(client, Self.empty, ["authorization": "bearer secret-1"]) == nil)
            #expect(try await code(client, Self.empty, ["authorization": "Bearer secret-2"]) == .permissionDenied)
            #expect(try await code(client, "grpc.health.v1.Health/Check") == nil)
            let reflection = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            #expect(try await code(client, reflection) == .unauthenticated)
            #expect(try await code(client, reflection, ["authorization": "Bearer secret-1"]) == nil)
        }
    }

    @Test("a worker is told who calls, and never the token; a client cannot say it is somebody else")
    func caller() async throws {
        let access = Access([Self.grant("deployer", "secret", ["*"])])
        let method = MethodDescriptor(fullyQualifiedService: "a.B", method: "C")
        let caller = try access.authenticate(
            ["authorization": "Bearer secret", "tocsin-caller": "root"], commonName: nil, method)
        #expect(caller.name == "deployer")
        #expect(throws: RPCError.self) { try access.authenticate(["tocsin-caller": "deployer"], commonName: "deployer", method) }
    }

    @Test("timeouts are read as gRPC over HTTP/2 writes them")
    func timeouts() throws {
        func read(_ text: String) throws -> Duration? {
            var metadata: Metadata = ["grpc-timeout": .string(text)]
            defer { #expect(metadata.isEmpty) }
            return try Forwarding<HubClientTransport>.timeout(&metadata)
        }
        #expect(try read("1H") == .seconds(3600))
        #expect(try read("2M") == .seconds(120))
        #expect(try read("3S") == .seconds(3))
        #expect(try read("4m") == .milliseconds(4))
        #expect(try read("5u") == .microseconds(5))
        #expect(try read("99999999n") == .nanoseconds(99_999_999))
        for bad in ["", "5", "S", "-1S", "100000000S", "1x", "1.5S"] {
            var metadata: Metadata = ["grpc-timeout": .string(bad)]
            #expect(throws: RPCError.self, "\(bad)") { try Forwarding<HubClientTransport>.timeout(&metadata) }
        }
    }

    @Test("reflection lists the services and gives every file with what it imports, and of what is not there that it is not")
    func reflection() async throws {
        let reflection = Reflection(descriptors: try Descriptors.built())
        let listed = reflection.answer(.with { $0.listServices = "*" }).listServicesResponse.service.map(\.name)
        #expect(listed.contains("tocsin.v1.IncidentService") && listed.contains("grpc.health.v1.Health"))
        for service in listed {
            let files = reflection.answer(.with { $0.fileContainingSymbol = service }).fileDescriptorResponse.fileDescriptorProto
            #expect(!files.isEmpty, "\(service)")
        }
        let unknown = reflection.answer(.with { $0.fileContainingSymbol = "no.Such" })
        #expect(unknown.errorResponse.errorCode == 5)
        #expect(reflection.answer(.init()).errorResponse.errorCode == 3)
    }

    @Test("health says what is served, and NOT_FOUND of what nobody knows")
    func health() async throws {
        try await withGateway { client in
            let name = "tocsin.interop.v1.TestService"
            let known = try Grpc_Health_V1_HealthCheckRequest.with { $0.service = name }.serializedBytes() as [UInt8]
            let unknown = try Grpc_Health_V1_HealthCheckRequest.with { $0.service = "no.Such" }.serializedBytes() as [UInt8]
            #expect(try await code(client, "grpc.health.v1.Health/Check", [:], known) == nil)
            #expect(try await code(client, "grpc.health.v1.Health/Check", [:], unknown) == .notFound)
        }
    }

    @Test("over TLS a client certificate says who calls; without one, or with one of another root, there is no call")
    func certificates() async throws {
        let folder = try TemporaryFolder()
        let ours = try Authority("ours")
        let theirs = try Authority("theirs")
        let server = try ours.issue("localhost", in: folder.path, "server")
        let roots = folder.path + "/roots.pem"
        try ours.certificate.serializeAsPEM().pemString.write(toFile: roots, atomically: true, encoding: .utf8)
        let options = GatewayOptions(
            host: "127.0.0.1", port: 0,
            tls: .init(certificate: server.certificate, key: server.key, clientRoots: roots),
            grants: [
                .init(
                    name: "sensor", proof: .certificate("sensor-1"),
                    permissions: Permissions(call: NameRules(["tocsin.interop.v1.TestService/*"])))
            ])
        for (authority, name, expected) in [
            (ours, "sensor-1", nil), (ours, "sensor-2", RPCError.Code.unauthenticated), (theirs, "sensor-1", .unavailable),
        ] {
            let client = try authority.issue(name, in: folder.path, "client-\(name)-\(authority.name)")
            let security = HTTP2ClientTransport.Posix.TransportSecurity.mTLS(
                certificateChain: [.file(path: client.certificate, format: .pem)],
                privateKey: .file(path: client.key, format: .pem)
            ) { config in
                config.trustRoots = .certificates([.file(path: roots, format: .pem)])
                config.serverCertificateVerification = .noHostnameVerification
            }
            try await withGateway(options, security) { (grpc) async throws -> Void in
                var options = CallOptions.defaults
                options.timeout = .seconds(5)
                #expect(try await code(grpc, Self.empty) == expected, "\(authority.name) \(name)")
            }
        }
    }
}

/// A root that issues certificates.
private struct Authority {
    let name: String
    let key = P256.Signing.PrivateKey()
    let certificate: Certificate

    init(_ name: String) throws {
        self.name = name
        certificate = try Self.make(
            name, key.publicKey, name, key, isRoot: true)
    }

    /// Files in PEM.
    func issue(_ common: String, in folder: String, _ file: String) throws -> (certificate: String, key: String) {
        let own = P256.Signing.PrivateKey()
        let issued = try Self.make(common, own.publicKey, name, key, isRoot: false)
        let paths = (certificate: "\(folder)/\(file).pem", key: "\(folder)/\(file).key.pem")
        try issued.serializeAsPEM().pemString.write(toFile: paths.certificate, atomically: true, encoding: .utf8)
        try own.pemRepresentation.write(toFile: paths.key, atomically: true, encoding: .utf8)
        return paths
    }

    private static func make(
        _ subject: String, _ key: P256.Signing.PublicKey, _ issuer: String, _ signer: P256.Signing.PrivateKey, isRoot: Bool
    ) throws -> Certificate {
        try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key), notValidBefore: .now - 3600, notValidAfter: .now + 3600,
            issuer: DistinguishedName { CommonName(issuer) }, subject: DistinguishedName { CommonName(subject) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                if isRoot { Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil)) }
            }, issuerPrivateKey: .init(signer))
    }
}
