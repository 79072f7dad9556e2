import Testing
import TocsinIntake

@Suite("JSON is read strictly and written so that it is read back") struct JSONTests {
    @Test(
        "a text is read and written as it was",
        arguments: [
            "null", "true", "[]", "{}", "[1,-0.5e+10,\"a\",{\"b\":[false]}]", "\"\\\"\\\\\\n\\u0001é€😀\"", "12345678901234567890",
        ])
    func roundTrip(text: String) throws { #expect(try JSON(Array(text.utf8)).text == text) }

    @Test("escapes are what they stand for; a half of a surrogate pair stands for nothing") func escapes() throws {
        let text = #""\/\b\f\r\t\u00e9\ud83d\ude00\ud83dx""#
        #expect(try JSON(Array(text.utf8)) == .string("/\u{8}\u{C}\r\té😀\u{FFFD}x"))
    }

    @Test(
        "what is no JSON is refused",
        arguments: [
            "", " ", "nul", "01", "1.", "-", "1e", "[1,]", "[1", "{\"a\"}", "{\"a\":1,}", "{a:1}", "\"a", "\"\\x\"",
            "\"\\u12g4\"", "1 2",
            "\"\u{1}\"", "[1]]",
        ])
    func problems(text: String) {
        #expect(throws: JSONProblem.self) { try JSON(Array(text.utf8)) }
    }

    @Test("nesting is bounded, and bytes that are no UTF-8 do no harm") func bounds() throws {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: JSONProblem.self) { try JSON(Array(deep.utf8)) }
        #expect(try JSON([0x22, 0xFF, 0x22]) == .string("\u{FFFD}"))
    }

    @Test("of members with one name the last counts") func members() throws {
        let value = try JSON(Array(#"{"a":1,"a":2}"#.utf8))
        #expect(value["a"] == .number("2"))
        #expect(value["b"] == nil)
    }
}

@Suite("Times are read as RFC 3339 has them") struct TimestampTests {
    @Test(
        "a time is so many milliseconds since 1970",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2026-11-28T09:04:30.123Z", 1_795_856_670_123),
            ("2000-02-29T23:59:59.9999Z", 951_868_799_999),
            ("2026-11-28T10:04:30.123+01:00", 1_795_856_670_123), ("2026-11-27t23:34:30.1230009-09:30", 1_795_856_670_123),
            ("0001-01-01T00:00:00Z", 0),
        ] as [(String, UInt64)])
    func times(text: String, milliseconds: UInt64) { #expect(Timestamp.parse(text) == milliseconds) }

    @Test(
        "what is no time is none",
        arguments: ["", "2026-11-28", "2026-13-01T00:00:00Z", "2026-11-28T09:04:30", "2026-11-28T09:04:30.Z"])
    func problems(text: String) { #expect(Timestamp.parse(text) == nil) }

    @Test("what is written is read back") func roundTrip() {
        #expect(Timestamp.text(1_795_856_670_123) == "2026-11-28T09:04:30.123Z")
        for day in stride(from: UInt64(0), to: 80_000, by: 13) {
            let time = day * 86_400_000 + day * 977
            #expect(Timestamp.parse(Timestamp.text(time)) == time)
        }
    }
}
