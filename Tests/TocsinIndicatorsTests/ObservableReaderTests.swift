import Testing

@testable import TocsinIndicators

/// What is found in text, and what is not.
@Suite struct ObservableReaderTests {
    @Test(
        "observables are found in what people and programs write",
        arguments: [
            ("connection from 192.0.2.7 refused", ["ipv4 192.0.2.7"]),
            ("192.0.2.7:8080, then [192.0.2.8].", ["ipv4 192.0.2.7", "ipv4 192.0.2.8"]),
            ("src=192.0.2.7;dst=198.51.100.9", ["ipv4 192.0.2.7", "ipv4 198.51.100.9"]),
            ("{\"ip\":\"192.0.2.7\"}", ["ipv4 192.0.2.7"]),
            ("ip:192.0.2.7", ["ipv4 192.0.2.7"]),
            ("from 2001:DB8::1: closed", ["ipv6 2001:db8::1"]),
            ("https://[2001:db8::1]:8443/", ["url https://[2001:db8::1]:8443/", "ipv6 2001:db8::1"]),
            ("::ffff:192.0.2.7", ["ipv4 192.0.2.7"]),
            ("fe80::1%eth0", ["ipv6 fe80::1"]),
            ("lookup of A.Evil.Example.", ["domain a.evil.example"]),
            ("evil.example:443", ["domain evil.example"]),
            ("mail from <Bob@Evil.Example>", ["email bob@evil.example", "domain evil.example"]),
            ("root@192.0.2.7", ["ipv4 192.0.2.7"]),
            (
                "GET http://Evil.Example:80/a%7Eb?q=1#top HTTP/1.1",
                ["url http://evil.example/a~b?q=1", "domain evil.example"]
            ),
            ("(see https://evil.example/x).", ["url https://evil.example/x", "domain evil.example"]),
            ("url=https://u:p@evil.example", ["url https://evil.example/", "domain evil.example"]),
            ("{\"u\":\"http:\\/\\/evil.example\\/x\"}", ["url http://evil.example/x", "domain evil.example"]),
            ("evil.example/x", ["url //evil.example/x", "domain evil.example"]),
            ("md5 D41D8CD98F00B204E9800998ECF8427E", ["md5 d41d8cd98f00b204e9800998ecf8427e"]),
            (
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                ["sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
            ),
            ("hxxp://evil[.]example/x", ["url http://evil.example/x", "domain evil.example"]),
            ("hXXps[:]//a(dot)evil{.}example", ["url https://a.evil.example/", "domain a.evil.example"]),
            ("hxxp[://]evil[dot]example/", ["url http://evil.example/", "domain evil.example"]),
            ("192[.]0[.]2[.]7 and 192.0.2\\.8", ["ipv4 192.0.2.7", "ipv4 192.0.2.8"]),
            ("bob[at]evil[.]example", ["email bob@evil.example", "domain evil.example"]),
        ])
    func finds(text: String, expected: [String]) { #expect(observables(text) == expected) }

    @Test(
        "what only looks like one is let be",
        arguments: [
            "sshd[1234]: Failed password", "at 12:31:46", "version 1.2.3", "1.2.3.4.5", "256.1.1.1", "00:11:22:33:44:55", "",
            ".", "::", "://", "http://", "[.]", "((((", "a..b", "@", "x@", "deadbeef", "100%", "-.-", "http:// x", "[://]",
        ])
    func letsBe(text: String) { #expect(observables(text).filter { $0 != "ipv6 ::" } == []) }

    @Test("what touches the end of a text that is cut is left out: it may go on")
    func cut() {
        var reader = ObservableReader()
        var found = 0
        Array("192.0.2.7 evil.example".utf8).withUnsafeBufferPointer { bytes in
            _ = reader.read(bytes, isCut: true) { _ in
                found += 1
                return true
            }
        }
        #expect(found == 1)
    }

    @Test("values of lists may have been made harmless")
    func listValues() {
        func value(_ text: String) -> String? {
            IndicatorSource.value(Array(text.utf8)[...]).map { "\($0.type) \($0.value)" }
        }
        #expect(value("198[.]51[.]100[.]0/24") == "ipv4 198.51.100.0/24")
        #expect(value("198.51.100.77/24") == "ipv4 198.51.100.0/24")
        #expect(value("::ffff:198.51.100.0/120") == "ipv4 198.51.100.0/24")
        #expect(value("2001:db8:0::/32") == "ipv6 2001:db8::/32")
        #expect(value("0.0.0.0/0") == "ipv4 0.0.0.0/0")
        #expect(value("hxxps://evil[.]example") == "url https://evil.example/")
        #expect(value("hxxp[://]evil[.]example/x") == "url http://evil.example/x")
        #expect(value("evil.example/login") == "url //evil.example/login")
        #expect(value("evil.example.") == "domain evil.example")
        for wrong in [
            "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/", "a b", "localhost", "x,evil.example", "evil.example,1", "/x", "abcdef",
        ] {
            #expect(value(wrong) == nil, "\(wrong)")
        }
    }
}
