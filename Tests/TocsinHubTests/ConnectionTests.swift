import Foundation
import Glibc
import TestSupport
import Testing
import TocsinHub
import TocsinKit
import TocsinProto

/// A TCP connection to a hub on loopback that says part of a greeting and no more.
private final class HalfOpen {
    private let descriptor: Int32

    init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0)
        let greeting: [UInt8] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F]
        try #require(send(descriptor, greeting, greeting.count, Int32(MSG_NOSIGNAL)) == greeting.count)
    }

    deinit { close(descriptor) }

    /// The hub has ended it. What it said is dropped.
    var isEnded: Bool {
        var bytes = [UInt8](repeating: 0, count: 256)
        while true {
            let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
            if count > 0 { continue }
            return count == 0 || (errno != EAGAIN && errno != EINTR)
        }
    }
}

@Suite("Connections that never become peers", .timeLimit(.minutes(1))) struct ConnectionTests {
    private struct Setup {
        let folder: TemporaryFolder
        let run: HubRun
        let port: UInt16
        let client: Client
    }

    private func setUp(_ change: (inout HubOptions) -> Void) async throws -> Setup {
        let folder = try TemporaryFolder()
        var options = HubOptions(directory: folder.path + "/hub")
        options.allowsPlainTCP = true
        options.endpoints = ["tcp://127.0.0.1:*"]
        options.engine.journal.segmentBytes = 1 << 20
        change(&options)
        let run = try await HubRun(options)
        let endpoint = try #require(run.hub.endpoints.first)
        let port = try #require(endpoint.split(separator: ":").last.flatMap { UInt16($0) })
        let client = try Client(ClientOptions(endpoint: endpoint, name: "honest", role: "test"), logger: quiet)
        try await client.ready(within: .seconds(20))
        try await client.pool("p", "event.>")
        return Setup(folder: folder, run: run, port: port, client: client)
    }

    @Test("one that does not finish its handshake in time is ended, and who is welcome stays")
    func handshake() async throws {
        let setup = try await setUp { $0.handshakeMilliseconds = 200 }
        let stranger = try HalfOpen(port: setup.port)
        #expect(await eventually(seconds: 20) { stranger.isEnded })
        try await setup.client.publish(messages(1...1))
        await setup.client.close()
        try await setup.run.stop()
    }

    @Test("of more than may be without a session the oldest are ended, and who is welcome stays on the connection it has")
    func excess() async throws {
        let setup = try await setUp {
            $0.handshakeMilliseconds = 60_000
            $0.connectionsMax = 32
        }
        let before = try #require(try await setup.client.status().peers.first?.connectedMs)
        // An eighth may be without a session. Those of one look are equally old.
        let first = try (0..<32).map { _ in try HalfOpen(port: setup.port) }
        #expect(await eventually(seconds: 20) { first.count(where: \.isEnded) == 28 })
        let second = try (0..<32).map { _ in try HalfOpen(port: setup.port) }
        #expect(await eventually(seconds: 20) { first.allSatisfy(\.isEnded) && second.count(where: \.isEnded) == 28 })
        let status = try await setup.client.status()
        #expect(status.peers.map(\.name) == ["honest"] && status.peers.first?.connectedMs ?? 0 > before)
        try await setup.client.publish(messages(1...1))
        await setup.client.close()
        try await setup.run.stop()
    }
}
