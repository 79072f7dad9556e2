import TestSupport
import Testing

@testable import TocsinIntake

@Suite("Syslog messages")
struct SyslogMessageTests {
    private func message(_ text: String) -> SyslogMessage { SyslogMessage(Array(text.utf8)) }

    @Test("a message of RFC 5424 is taken apart")
    func rfc5424() throws {
        let seen = message(
            "<165>1 2003-10-11T22:14:15.003Z example.com evnts 8710 ID47 [a@1 x=\"3\" y=\"q\\\"b\\\\s\\]\"][b z=\"\"] \u{FEFF}Ein Öl\n"
        )
        #expect(seen.form == .rfc5424 && seen.isWellFormed)
        #expect(seen.facilityName == "local4" && seen.severity == .notice)
        #expect(seen.time == 1_065_910_455_003 && seen.host == "example.com" && seen.app == "evnts")
        #expect(seen.process == "8710" && seen.messageID == "ID47" && seen.text == "Ein Öl")
        #expect(
            seen.elements == [
                .init(id: "a@1", parameters: [("x", "3"), ("y", "q\"b\\s]")]), .init(id: "b", parameters: [("z", "")]),
            ])
        let least = message("<0>1 - - - - - -")
        #expect(least.isWellFormed && least.severity == .emergency && least.facilityName == "kern" && least.time == nil)
        #expect(least.host.isEmpty && least.text.isEmpty)
    }

    @Test(
        "times of RFC 3339 are milliseconds since 1970",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59.999999Z", 951_868_799_999),
            ("2003-08-24T05:14:15.000003-07:00", 1_061_727_255_000), ("2024-12-31T23:59:59.9+05:30", 1_735_669_799_900),
        ])
    func times(text: String, expected: UInt64) { #expect(message("<1>1 \(text) - - - - -").time == expected) }

    @Test(
        "what breaks a rule of RFC 5424 keeps its text and is not well-formed",
        arguments: [
            "<1>1 - - - - - [x y=\"]\"] lost?", "<1>1 - - - - - [x y=\"a] lost?", "<1>1 - - - - - [x][x] lost?",
            "<1>1 - - - - - lost?", "<1>1 2003-09-31T22:14:16Z - - - - - lost?", "<1>1 - - - - - [x y=\"\\n\"] lost?",
            "<192>1 - - - - - - lost?", "<01>1 - - - - - - lost?", "<1>0 - - - - - - lost?", "lost?", "<lost?",
        ])
    func malformed(text: String) {
        let seen = message(text)
        #expect(!seen.isWellFormed)
        #expect(seen.text.hasSuffix("lost?"))
    }

    @Test("bytes behind a mark that are no UTF-8 are replaced, and said to be malformed; without a mark any bytes may be")
    func encodings() {
        let start = Array("<1>1 - - - - - - ".utf8)
        let marked = SyslogMessage(start + [0xEF, 0xBB, 0xBF, 0x61, 0xFF])
        #expect(marked.text == "a\u{FFFD}" && !marked.isWellFormed)
        let bare = SyslogMessage(start + [0x61, 0xFF])
        #expect(bare.text == "a\u{FFFD}" && bare.isWellFormed)
    }

    struct Seen: Sendable {
        var text: String
        var host: String
        var app: String
        var process = ""
        var id = ""
        var rest: String
        var isWellFormed = false
        var time = ""
    }

    @Test(
        "what is really sent as BSD syslog is understood",
        arguments: [
            Seen(
                text: "<34>Oct 11 22:14:15 mymachine su: 'su root' failed", host: "mymachine", app: "su",
                rest: "'su root' failed", isWellFormed: true, time: "Oct 11 22:14:15"),
            Seen(
                text: "<13>Aug  4 05:34:00 h /usr/sbin/cron[12]: (root) CMD", host: "h", app: "/usr/sbin/cron", process: "12",
                rest: "(root) CMD", isWellFormed: true, time: "Aug  4 05:34:00"),
            // rsyslog's RSYSLOG_ForwardFormat
            Seen(
                text: "<13>2003-08-24T05:14:15.000003-07:00 host app-1.x[9]: text", host: "host", app: "app-1.x", process: "9",
                rest: "text", time: "2003-08-24T05:14:15.000003-07:00"),
            // To the machine's own socket, no host is named.
            Seen(text: "<13>Nov 28 09:00:00 root: text", host: "", app: "root", rest: "text", time: "Nov 28 09:00:00"),
            Seen(text: "<13>app[3]: text", host: "", app: "app", process: "3", rest: "text"),
            Seen(
                text: "<189>45: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: Configured", host: "", app: "SYS",
                id: "SYS-5-CONFIG_I", rest: "Configured", time: "Mar  1 18:46:11.123 UTC"),
            Seen(
                text: "<187>22: rtr1: Mar  1 2020 18:46:11: %LINK-3-UPDOWN: Interface Gi0/1", host: "rtr1", app: "LINK",
                id: "LINK-3-UPDOWN", rest: "Interface Gi0/1", time: "Mar  1 2020 18:46:11"),
            Seen(
                text: "<166>%ASA-6-302013: Built outbound", host: "", app: "ASA", id: "ASA-6-302013", rest: "Built outbound"),
            Seen(text: "<13>just words, no tag", host: "", app: "", rest: "just words, no tag"),
            Seen(
                text:
                    "<14>Sep 17 16:37:25 WIN-5 MSWinEventLog\t1\tSecurity\t68\tFri Sep 17 16:37:25 2021\t4608\tAuditing\tN/A\tN/A\tx\ty",
                host: "WIN-5", app: "Auditing", id: "4608",
                rest: "\t1\tSecurity\t68\tFri Sep 17 16:37:25 2021\t4608\tAuditing\tN/A\tN/A\tx\ty", isWellFormed: true,
                time: "Sep 17 16:37:25"),
        ])
    func bsd(expected: Seen) {
        let seen = message(expected.text)
        #expect(seen.host == expected.host && seen.app == expected.app && seen.process == expected.process)
        #expect(seen.messageID == expected.id && seen.text == expected.rest && seen.timeText == expected.time)
        #expect(seen.isWellFormed == expected.isWellFormed, "\(seen)")
    }

    @Test("any bytes give a message that ends as they do, in one way only")
    func anyBytes() {
        var random = SplitMix64.seeded()
        let seeds = [
            "<165>1 2003-10-11T22:14:15.003Z h a 1 ID [a x=\"3\"] text", "<34>Oct 11 22:14:15 h su[1]: text",
            "<187>22: rtr1: Mar  1 2020 18:46:11: %LINK-3-UPDOWN: I", "<14>Sep 17 16:37:25 W MSWinEventLog\t1\tS\t6\tF\t4\tA",
        ].map { Array($0.utf8) }
        let alphabet = Array("<>0123[]\"\\= -:.%*\tTZ\n\u{FEFF}ö".utf8) + [0xFF]
        for _ in 0..<20_000 {
            var bytes = seeds[random.below(seeds.count)]
            for _ in 0..<1 + random.below(4) {
                let at = random.below(bytes.count)
                switch random.below(3) {
                case 0: bytes[at] = alphabet[random.below(alphabet.count)]
                case 1: bytes.insert(alphabet[random.below(alphabet.count)], at: at)
                default: bytes.remove(at: at)
                }
            }
            let seen = SyslogMessage(bytes)
            #expect(seen == SyslogMessage(bytes) && seen.facility <= 23)
            let whole = String(decoding: bytes, as: UTF8.self)
            let shown = seen.text.hasPrefix("\u{FEFF}") ? String(seen.text.unicodeScalars.dropFirst()) : seen.text
            let end = whole.unicodeScalars.reversed().drop { ["\n", "\r", "\0"].contains($0) }
            #expect(end.starts(with: shown.unicodeScalars.reversed()), "\(bytes)")
        }
    }
}
