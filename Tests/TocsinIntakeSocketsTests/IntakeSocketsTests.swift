import NIOCore
import TestSupport
import Testing
import TocsinIntake
import TocsinIntakeSockets
import TocsinProto

@Suite("Listeners for syslog, Riemann and Nagios", .timeLimit(.minutes(1)))
struct IntakeSocketsTests {
    @Test("syslog by TCP in both framings and by UDP becomes events, those that are alike with their count")
    func syslog() async throws {
        let sink = TestSink()
        try await withSockets(sink) {
            $0.syslog = (.loopback, SyslogPolicy())
        } _: { ports in
            try await send(
                ["<3>1 - h a - - - fi", "rst\n24 <3>1 - h a - - - sec", "ond\n<3>1 - h a - - - third"], to: ports["syslog tcp"])
            #expect(await eventually { sink.events.count == 3 })
            #expect(sink.events.map(\.summary) == ["first", "second", "third"])
            #expect(sink.events.allSatisfy { $0.details["sender"] == "127.0.0.1" })
            for _ in 0..<5 { try await sendDatagram(Array("<3>Oct 11 22:14:15 h su[1]: failed".utf8), to: ports["syslog udp"]) }
            try await sendDatagram(Array("<3>Oct 11 22:14:15 h su[1]: other".utf8), to: ports["syslog udp"])
            #expect(await eventually { sink.events.count == 5 })
            try await send(["<7>1 - h a - - - debug\n"], to: ports["syslog tcp"])
        }
        #expect(sink.events.count == 6 && sink.count == 9, "the end brings the counts")
    }

    @Test("while the hub does not take events no more is read from a stream, and nothing is lost")
    func backPressure() async throws {
        let sink = TestSink()
        sink.close()
        let chunks = 400
        // Long lines, so that few of them fill whatever buffers there are.
        let line = "<3>1 - h a - - - " + String(repeating: "x", count: 16_000) + "\n"
        let lines = 4
        try await withSockets(sink) {
            $0.syslog = (.loopback, SyslogPolicy())
            $0.syslog?.policy.collapseMs = 0
        } _: { ports in
            let written = Shared(0)
            try await withConnection(ports["syslog tcp"]) { _, write in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for _ in 0..<chunks {
                            try await write(Array(String(repeating: line, count: lines).utf8))
                            written.change { $0 += 1 }
                        }
                    }
                    // Nothing was written any more at a hundred looks.
                    var (last, same) = (-1, 0)
                    #expect(
                        await eventually {
                            let now = written.value
                            same = sink.offers == 1 && now > 0 && now == last ? same + 1 : 0
                            last = now
                            return same > 100
                        })
                    #expect(written.value < chunks, "all of it was read")
                    sink.open()
                    try await group.waitForAll()
                }
            }
            // Each is an event of its own here.
            #expect(await eventually(seconds: 30) { sink.events.count == chunks * lines })
        }
        #expect(sink.events.count == chunks * lines)
    }

    @Test("a hub that is away is waited for, and what it refuses for good is left out")
    func retries() async throws {
        let sink = TestSink()
        sink.answer(.unavailable(retryAfter: .seconds(1), reason: "away"))
        try await withSockets(sink) {
            $0.syslog = (.loopback, SyslogPolicy())
            $0.nagios = (.loopback, .standard(.nagios))
        } _: { ports in
            try await send(["<3>1 - h a - - - one\n"], to: ports["syslog tcp"])
            #expect(await eventually { sink.offers >= 2 })
            sink.answer(nil)
            #expect(await eventually { sink.events.map(\.summary) == ["one"] })
            sink.answer(.refused(index: 0, reason: "wrong"))
            let before = sink.offers
            try await send(["PROCESS_HOST_CHECK_RESULT;h;1;two\n"], to: ports["nagios tcp"])
            #expect(await eventually { sink.offers > before })
            sink.answer(nil)
            try await send(["no result\n[1700000000] PROCESS_SERVICE_CHECK_RESULT;h;s;2;three"], to: ports["nagios tcp"])
            #expect(await eventually { sink.events.map(\.summary) == ["one", "three"] })
        }
    }

    // MARK: Riemann

    private func event(_ state: String, _ service: String = "s") -> Riemann_Event {
        .with {
            $0.host = "h"
            $0.service = service
            $0.state = state
        }
    }

    private func framed(_ message: Riemann_Msg) throws -> [UInt8] { RiemannFramer.framed(try message.serializedBytes()) }

    @Test("Riemann's requests are answered in order, and not before the hub has their events")
    func riemann() async throws {
        let sink = TestSink()
        sink.close()
        try await withSockets(sink) {
            $0.riemann = (.loopback, RiemannPolicy())
        } _: { ports in
            try await withConnection(ports["riemann tcp"]) { inbound, write in
                let requests = try [
                    framed(.with { $0.events = [event("critical")] }), RiemannFramer.framed([0xFF, 0xFF]),
                    framed(.with { $0.query.string = "state = \"critical\"" }), framed(.with { $0.query.string = "what" }),
                ]
                try await write(requests.flatMap { $0 })
                let answered = Shared(false)
                try await withThrowingTaskGroup(of: [Riemann_Msg].self) { group in
                    group.addTask {
                        var framer = RiemannFramer(longest: 1 << 20)
                        var answers: [Riemann_Msg] = []
                        for try await bytes in inbound {
                            answered.change { $0 = true }
                            answers += try framer.feed(Array(bytes.readableBytesView)).messages.map {
                                try Riemann_Msg(serializedBytes: $0)
                            }
                            if answers.count == 4 { break }
                        }
                        return answers
                    }
                    #expect(await eventually { sink.offers == 1 })
                    #expect(!answered.value)
                    sink.open()
                    let answers = try #require(try await group.next())
                    #expect(answers.map(\.ok) == [true, false, true, false])
                    #expect(answers[1].error.contains("no Msg") && answers[2].events.map(\.service) == ["s"])
                }
            }
            try await sendDatagram(
                try Riemann_Msg.with { $0.events = [event("warning", "d")] }.serializedBytes(), to: ports["riemann udp"])
            #expect(await eventually { sink.events.map(\.service) == ["s", "d"] })
        }
    }

    @Test("what the hub does not take in time is answered so, and can be said again; what is too long ends the connection")
    func riemannRefusals() async throws {
        let sink = TestSink()
        sink.answer(.unavailable(retryAfter: .seconds(1), reason: "away"))
        try await withSockets(sink) {
            $0.riemann = (.loopback, RiemannPolicy())
            $0.riemann?.sockets.patience = .milliseconds(20)
            $0.riemann?.sockets.longest = 1000
        } _: { ports in
            try await withConnection(ports["riemann tcp"]) { inbound, write in
                var answers = inbound.makeAsyncIterator()
                var framer = RiemannFramer(longest: 1 << 20)
                func ask(_ bytes: [UInt8]) async throws -> Riemann_Msg? {
                    try await write(bytes)
                    while let bytes = try await answers.next() {
                        if let answer = framer.feed(Array(bytes.readableBytesView)).messages.first {
                            return try Riemann_Msg(serializedBytes: answer)
                        }
                    }
                    return nil
                }
                let ok = try framed(.with { $0.events = [event("ok")] })
                let refused = try #require(try await ask(ok))
                #expect(!refused.ok && refused.error.contains("not stored"))
                sink.answer(nil)
                #expect(try await ask(ok)?.ok == true)
                #expect(sink.events.map(\.kind) == [.resolve])
                let tooLong = try #require(try await ask([0, 0, 4, 0] + Array(repeating: 0, count: 100)))
                #expect(!tooLong.ok && tooLong.error.contains("1024 bytes"))
                #expect(try await answers.next() == nil)
            }
        }
    }

    // MARK: Bounds

    @Test("whoever is not allowed is not listened to, and more connections than are allowed are closed")
    func strangers() async throws {
        let sink = TestSink()
        try await withSockets(sink) {
            $0.syslog = (.loopback, SyslogPolicy())
            $0.syslog?.sockets.allowed = []
            $0.nagios = (.loopback, .standard(.nagios))
            $0.nagios?.sockets.connections = 1
        } _: { ports in
            try await withConnection(ports["syslog tcp"]) { inbound, _ in
                for try await _ in inbound {}
            }
            try await sendDatagram(Array("<3>stranger".utf8), to: ports["syslog udp"])
            let line = "PROCESS_HOST_CHECK_RESULT;h;1;"
            try await withConnection(ports["nagios tcp"]) { _, write in
                try await write(Array((line + "first\n").utf8))
                #expect(await eventually { sink.events.map(\.summary) == ["first"] })
                try await withConnection(ports["nagios tcp"]) { inbound, _ in
                    for try await _ in inbound {}
                }
                try await write(Array((line + "second\n").utf8))
                #expect(await eventually { sink.events.map(\.summary) == ["first", "second"] })
            }
        }
        #expect(sink.events.map(\.summary) == ["first", "second"])
    }

    @Test("a connection on which nothing comes is closed")
    func idle() async throws {
        try await withSockets(TestSink()) {
            $0.syslog = (.loopback, SyslogPolicy())
            $0.syslog?.sockets.idle = .milliseconds(50)
        } _: { ports in
            try await withConnection(ports["syslog tcp"]) { inbound, _ in
                for try await _ in inbound {}
            }
        }
    }

    @Test("an address that cannot be had is named")
    func taken() async throws {
        try await withSockets(TestSink()) {
            $0.syslog = (.loopback, SyslogPolicy())
        } _: { ports in
            await #expect {
                try await withSockets(TestSink()) {
                    $0.nagios = (.loopback, .standard(.nagios))
                    $0.nagios?.sockets.tcp?.port = ports["syslog tcp"] ?? 0
                } _: { _ in
                }
            } throws: { "\($0)".contains("nagios") && "\($0)".contains("tcp") }
        }
    }
}
