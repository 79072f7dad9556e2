import Testing
import TocsinTemplates

@Suite struct TemplateMinerTests {
    private func mined(_ lines: [String], limits: TemplateMiner.Limits = .init()) -> (miner: TemplateMiner, ids: [Int]) {
        var miner = TemplateMiner(limits: limits)
        let ids = lines.map { line in miner.add(Array(line.utf8).span) }
        return (miner, ids)
    }

    private func texts(_ lines: [String]) -> [String] {
        var miner = mined(lines).miner
        return miner.templates().map(\.text)
    }

    @Test(
        "What is a parameter by its form is one in the first line already",
        arguments: [
            ("took 12 ms for 1.5 MB", "took <*> for <*>"),
            ("from 10.0.0.1:80 to [fe80::a:b:c:d] via ab:cd:ef:ab:cd:ef", "from <*> to [<*>] via <*>"),
            ("id 70c1714b-c11b-4c88-b300-239afe1f5ff8 is 0xffab", "id <*> is <*>"),
            ("reading /etc/a.conf, C:\\Windows\\x.dll and https://example.org/a?b=c", "reading <*> and <*>"),
            ("login of alice@example.org at db.example.org:5432", "login of <*> at <*>"),
            ("since Mon Jul 10 03:55:15 2006 running", "since <*> running"),
            ("blocks 1, 2, 3 and <5", "blocks <*> and <*>"),
            ("call f() and f(1)", "call f(<*>) and f(<*>)"),
            ("cache parity......................0", "cache parity......................<*>"),
            ("uid=0 name= ok", "uid=<*> name= ok"),
            ("read/write of the disk failed.", "read/write of the disk failed"),
        ])
    func parametersByForm(line: String, template: String) {
        #expect(texts([line]) == [template])
    }

    @Test("A word that varies is a parameter once there are more of them than a program would have, not before")
    func parametersByCount() {
        let users = ["alice", "bob", "carol", "dave", "erin"]
        #expect(texts(users.map { "session opened for user \($0) by cron" }) == ["session opened for user <*> by cron"])
        #expect(texts(["disk is full", "disk is slow"]) == ["disk is full", "disk is slow"])
    }

    @Test("States in capitals, participles and whole phrases stay what they are")
    func wordsOfTheProgram() {
        let states = ["NEW", "READY", "RUNNING", "BLOCKED", "STOPPED", "DONE"].map { "task 5 is now \($0) again" }
        #expect(texts(states).count == 6)
        let verbs = ["started", "stopped", "paused", "resumed", "deleted"].map { "instance of the machine \($0) again" }
        #expect(texts(verbs).count == 5)
        let phrases = [
            "illegal instruction", "imprecise exception", "privileged operation", "unknown trap", "debug stop",
        ].map { "program interrupt while reading: \($0) seen" }
        #expect(texts(phrases).count == 5)
    }

    @Test("Identifiers given before it was known that they mean the same are resolved afterwards, also those merged for good")
    func aliases() {
        let names = (0..<500).map { String(decoding: [$0 / 26, $0 % 26].map { UInt8(ascii: "a") + UInt8($0) }, as: UTF8.self) }
        var (miner, ids) = mined(names.map { "password of user \($0) was changed" })
        #expect(Set(ids).count > 1)
        #expect(ids.allSatisfy { miner.template(of: $0) == ids[0] })
        let templates = miner.templates()
        #expect(templates.map(\.text) == ["password of user <*> was changed"])
        #expect(templates.map(\.lines) == [500])
        let late = miner.add(Array("password of user zacharias was changed".utf8).span)
        #expect(late == ids[0])
    }

    @Test("A template learnt as text takes its lines in, whatever stands in its parameters")
    func learning() {
        var miner = TemplateMiner()
        let known = miner.learn("password of user <*> was changed at <*>")
        let ids = ["anna", "u17"].map { user in
            miner.add(Array("Jun 14 15:16:01 host app[1]: password of user \(user) was changed at 12:00".utf8).span)
        }
        #expect(ids == [known, known])
        #expect(miner.templates().map(\.lines) == [2])
    }

    @Test("However many different messages come, a bounded number is kept, the latest among them; others have no template")
    func bounds() {
        var limits = TemplateMiner.Limits()
        limits.messages = 64
        // Each of another length and order of delimiters, so that none are of one template.
        let lines = (0..<1000).map { number in
            "x" + String(number, radix: 2).map { $0 == "1" ? "=!" : "?!" }.joined()
        }
        var (miner, ids) = mined(lines, limits: limits)
        #expect(miner.templates().count <= 64)
        #expect(miner.forgotten > 0)
        #expect(miner.template(of: ids[0]) == nil)
        #expect(miner.template(of: ids[999]) == ids[999])
    }

    @Test("Bytes that are no text, empty lines and lines of any length are taken, and long ones are looked at up to a bound")
    func anyBytes() {
        var miner = TemplateMiner()
        _ = miner.add([UInt8]().span)
        _ = miner.add([0, 0xFF, 0xC0, 0x0A, 0x80].span)
        let long = [UInt8](repeating: UInt8(ascii: "a"), count: 10 << 20)
        let words = Array(String(repeating: "ab ", count: 100_000).utf8)
        #expect(miner.add(long.span) != miner.add(words.span))
        #expect(miner.lines == 4)
        #expect(miner.templates().allSatisfy { $0.text.utf8.count <= 4096 })
    }
}
