import TestSupport
import Testing

@testable import TocsinIntake

@Suite("Messages and lines on a stream")
struct MessageFramerTests {
    private func frames(_ text: String, longest: Int = 100) -> [String] {
        var framer = MessageFramer(longest: longest)
        let frames = framer.feed(Array(text.utf8)) + [framer.finish()].compactMap { $0 }
        return frames.map { String(decoding: $0.bytes, as: UTF8.self) + ($0.missing > 0 ? " -\($0.missing)" : "") }
    }

    @Test("counted messages, lines, and both on one stream")
    func framings() {
        #expect(frames("5 <1>ab3 <2>") == ["<1>ab", "<2>"])
        #expect(frames("<1>ab\n<2>c\r\n\n<3>d\0<4>") == ["<1>ab", "<2>c\r", "<3>d", "<4>"])
        #expect(frames("8 <1>a\nb\n\n<2>c\n4 <3>d") == ["<1>a\nb\n\n", "<2>c", "<3>d"])
    }

    @Test("what is no count is a line, and nothing is lost of it")
    func noCounts() {
        #expect(frames("12a <1>b\n0 <2>c\n1234567890 <3>d\n") == ["12a <1>b", "0 <2>c", "1234567890 <3>d"])
    }

    @Test("where only lines are, a digit is no count")
    func onlyLines() {
        var framer = MessageFramer(longest: 100, countsAllowed: false)
        #expect(framer.feed(Array("5 <1>ab\n".utf8)).map(\.bytes) == [Array("5 <1>ab".utf8)])
    }

    @Test("what is too long is cut, and what is cut is counted; the next message is whole")
    func tooLong() {
        #expect(frames("20 0123456789abcdefghij3 <2>", longest: 10) == ["0123456789 -10", "<2>"])
        #expect(frames("<123456789abcdefghij\n<2>\n", longest: 10) == ["<123456789 -10", "<2>"])
    }

    @Test("a stream that ends within a message gives what there is")
    func endsWithin() {
        #expect(frames("10 <1>ab") == ["<1>ab -5"])
        #expect(frames("<1>ab") == ["<1>ab"])
        #expect(frames("10") == ["10"])
        #expect(frames("10 ") == [])
        #expect(frames("") == [])
    }

    @Test("however the stream is divided, the messages are the same, and what is held is bounded")
    func division() {
        var random = SplitMix64.seeded()
        let alphabet = Array("<1>0123 a\n\0\r".utf8)
        for _ in 0..<2000 {
            let bytes = (0..<random.below(200)).map { _ in alphabet[random.below(alphabet.count)] }
            var whole = MessageFramer(longest: 20)
            let expected = whole.feed(bytes) + [whole.finish()].compactMap { $0 }
            var divided = MessageFramer(longest: 20)
            var seen: [MessageFramer.Frame] = []
            var at = 0
            while at < bytes.count {
                let end = min(bytes.count, at + 1 + random.below(8))
                seen += divided.feed(Array(bytes[at..<end]))
                at = end
            }
            seen += [divided.finish()].compactMap { $0 }
            #expect(seen == expected, "\(bytes)")
            #expect(seen.allSatisfy { $0.bytes.count <= 20 && !$0.bytes.isEmpty })
        }
    }
}
