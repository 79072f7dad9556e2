import TestSupport
import Testing
import TocsinText

/// Goal: the terms of a text are those that a reader would compare by, and no bytes break that. Method: texts in the form that
/// alerts have, compared by the spelling in the text; then random bytes.
@Suite struct TextTermsTests {
    /// As they stand in the text.
    private func spellings(_ text: String, _ kind: TextTerms.Kind? = nil) -> [String] {
        let bytes = Array(text.utf8)
        return TextTerms(text).terms.filter { kind == nil || $0.kind == kind }.map {
            String(decoding: bytes[$0.range], as: UTF8.self)
        }
    }

    private func hashes(_ text: String) -> [UInt64] { TextTerms(text).terms.map(\.hash) }

    @Test("Names give their parts and then themselves; function words give nothing")
    func names() {
        #expect(spellings("The org.eclipse.jdt plugin") == ["org", "eclipse", "jdt", "org.eclipse.jdt", "plugin"])
        #expect(
            spellings("NullPointerException in HTTPServer") == [
                "Null", "Pointer", "Exception", "NullPointerException", "HTTP", "Server", "HTTPServer",
            ])
        #expect(spellings("node_load15 is read-only.") == ["node", "load15", "node_load15", "read", "only", "read-only"])
        #expect(spellings("disk not down_") == ["disk", "not", "down"])
        #expect(spellings("VMs can't start") == ["VMs", "start"])
    }

    @Test(
        "Plurals, verbs and case make no difference",
        arguments: [
            ("Failed", "failing"), ("errors", "Error"), ("memories", "memory"), ("stopped", "stops"), ("create", "Created"),
            ("caching", "caches"), ("node_down", "NODE_DOWN"), ("processes", "process"),
        ])
    func folding(pair: (String, String)) {
        #expect(hashes(pair.0) == hashes(pair.1))
        #expect(!hashes(pair.0).isEmpty)
    }

    @Test(
        "Words that differ are told apart",
        arguments: [
            ("status", "state"), ("string", "str"), ("speed", "spend"), ("access", "acces"), ("443", "80"),
            ("node_down", "nodedown"),
        ])
    func distinction(pair: (String, String)) { #expect(hashes(pair.0) != hashes(pair.1)) }

    @Test("Long numbers are one term, and so are identifiers; short numbers are themselves")
    func classes() {
        #expect(hashes("1234567") == hashes("7654321"))
        #expect(hashes("404") != hashes("503"))
        #expect(hashes("3f9c2ab41d") == hashes("00ff17e2c9"))
        #expect(spellings("503 T1059 3f9c2ab41d", .number) == ["503"])
        #expect(spellings("503 T1059 3f9c2ab41d", .word) == ["T1059"])
        #expect(spellings("10.1.2.3:8080") == ["10", "1", "2", "3", "8080"])
    }

    @Test("Hashes are the same in every process and release")
    func stability() { #expect(hashes("disks") == [0x3C7D_2FAF_2542_6267]) }

    @Test("What is beyond the bounds is not looked at")
    func bounds() {
        let parts = String(repeating: "ab.", count: TextTerms.bytesMax)
        #expect(TextTerms(parts).terms.count == TextTerms.termsMax)
        let far = String(repeating: " ", count: TextTerms.bytesMax) + "disk"
        #expect(TextTerms(far).terms.isEmpty)
        let long = String(repeating: "a", count: TextTerms.termBytesMax)
        #expect(hashes(long + "b") == hashes(long + "c"))
    }

    @Test("Any bytes give terms in order that lie within them, and the same ones again")
    func anyBytes() {
        var random = SplitMix64.seeded()
        var terms = TextTerms()
        for _ in 0..<2000 {
            let alphabet: [UInt8] = Array("aZ9_.-'é \u{0}\u{FF}".utf8) + [0xC3, 0xFF]
            let bytes = (0..<random.below(200)).map { _ in alphabet[random.below(alphabet.count)] }
            terms.read(bytes.span)
            let first = terms.terms
            for term in first { #expect(!term.range.isEmpty && term.range.upperBound <= bytes.count) }
            for (one, next) in zip(first, first.dropFirst()) { #expect(one.range.upperBound <= next.range.upperBound) }
            terms.read(bytes.span)
            #expect(terms.terms == first)
        }
    }
}
