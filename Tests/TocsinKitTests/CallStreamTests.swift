import TestSupport
import Testing
import TocsinProto
import TocsinWire

@testable import TocsinKit

/// Goal: both ends of a call keep the protocol's rules whatever their tasks do. Method: the stream alone; the test is the thread.
@Suite("Stream of a call", .timeLimit(.minutes(1))) struct CallStreamTests {
    private struct Missing: Error { var what: String }

    private func caller(holdsBack: Bool = false) throws -> CallStream {
        let stream = CallStream(id: 7, method: "a.B/C", deadline: .max, holdsBack: holdsBack, mailbox: try Mailbox())
        try stream.begin([])
        return stream
    }

    private func served() throws -> CallStream {
        CallStream(
            id: Limits.servedCallID + 1, method: "a.B/C", deadline: .max, holdsBack: false, mailbox: try Mailbox())
    }

    private func frame(_ sizes: [Int]) -> Bytes {
        var bytes: [UInt8] = []
        for size in sizes { LengthPrefixed.append([UInt8](repeating: 3, count: size), to: &bytes) }
        return Bytes(bytes)
    }

    @Test("what is written before it is sent goes into one frame; the half-close goes once, and nothing can follow it")
    func outgoing() async throws {
        let stream = try caller(holdsBack: true)
        #expect(!stream.isReady)
        try await stream.write([1])
        try await stream.write([])
        #expect(!stream.isReady)
        stream.finish()
        #expect(stream.isReady)
        let outgoing = try #require(stream.takeOutgoing())
        #expect(outgoing.opening?.isEmpty == true && outgoing.count == 2 && outgoing.isLast)
        #expect(outgoing.messages?.array == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0])
        let after = try #require(stream.takeOutgoing())
        #expect(after.opening == nil && after.count == 0 && !after.isLast)
        await #expect(throws: CallStream.Ended.self) { try await stream.write([2]) }
    }

    @Test("a writer waits when the window is used up, and goes on with what is given")
    func window() async throws {
        let stream = try caller()
        let size = 100_000
        let written = Gate(pieces: 100)
        let writing = Task {
            for _ in 0..<5 {
                try await stream.write([UInt8](repeating: 1, count: size))
                _ = try await written.enter(deadline: .max)
            }
        }
        // Three begin while some of 262,144 is left.
        #expect(await eventually { written.counts.underWay == 3 })
        #expect(stream.takeOutgoing()?.count == 3)
        #expect(written.counts.underWay == 3)
        let spent = 3 * (size + LengthPrefixed.prefixSize) + Limits.callFrameOverhead
        stream.addRoom(spent - Limits.callWindow)
        #expect(written.counts.underWay == 3, "the window is just empty")
        stream.addRoom(1)
        #expect(await eventually { written.counts.underWay == 4 })
        #expect(stream.takeOutgoing()?.count == 1)
        stream.cancel()
        await #expect(throws: CallStream.Ended.self) { try await writing.value }
    }

    @Test("a reader gets headers, messages and the tail in order, then nothing; more than the window is refused")
    func incoming() async throws {
        let stream = try caller()
        #expect(stream.receive(headers: [.with { $0.key = "a" }], messages: frame([1, 2]), tail: .with { $0.code = 5 }))
        #expect(stream.receive(messages: frame([9])), "what comes after the end is dropped")
        guard case .headers(let headers)? = try await stream.next() else { throw Missing(what: "no headers") }
        #expect(headers.map(\.key) == ["a"])
        guard case .messages(let bytes)? = try await stream.next() else { throw Missing(what: "no messages") }
        var messages = CallMessages(bytes)
        #expect(try messages.next() == [3] && messages.next() == [3, 3] && messages.next() == nil)
        guard case .tail(let tail)? = try await stream.next() else { throw Missing(what: "no tail") }
        #expect(tail.code == 5)
        #expect(try await stream.next() == nil)
        let flooded = try caller()
        #expect(flooded.receive(messages: frame([Limits.callWindow])))
        #expect(!flooded.receive(messages: frame([1])))
    }

    @Test("a task that waits to read or to write ends when it is cancelled, and the stream can still be used")
    func cancelled() async throws {
        let stream = try caller()
        let reading = Task { try await stream.next() }
        reading.cancel()
        await #expect(throws: CancellationError.self) { try await reading.value }
        #expect(stream.receive(headers: []))
        guard case .headers? = try await stream.next() else { throw Missing(what: "no headers") }
        let cancelled = Task { try await stream.next() }
        stream.cancel()
        guard case .tail(let tail)? = try await cancelled.value else { throw Missing(what: "no tail") }
        #expect(tail.code == 1)
    }

    @Test("a server reads until the half-close; when its caller is gone, reading, writing and its task hear of it")
    func server() async throws {
        let stream = try served()
        #expect(stream.receive(messages: frame([1]), isLast: true))
        guard case .messages? = try await stream.next() else { throw Missing(what: "no messages") }
        #expect(try await stream.next() == nil)
        try stream.write(headers: [])
        stream.finish(.init())
        let outgoing = try #require(stream.takeOutgoing())
        #expect(outgoing.headers != nil && outgoing.tail != nil)
        let gone = try served()
        let heard = Gate(pieces: 2)
        gone.onCancel { Task { try await heard.enter(deadline: .max) } }
        let reading = Task { try await gone.next() }
        gone.cancelled()
        await #expect(throws: CallStream.Ended.self) { try await reading.value }
        await #expect(throws: CallStream.Ended.self) { try await gone.write([1]) }
        #expect(gone.takeOutgoing() == nil)
        #expect(await eventually { heard.counts.underWay == 1 })
    }
}
