import TestSupport
import Testing
import TocsinText

/// Goal: an index finds what tells the same fault, says why, and does not depend on how texts came into it. Method: texts as
/// alerts and incidents have them; then random histories of changes, compared with an index made of what is left.
@Suite struct TextIndexTests {
    private static let incidents: [TextIndex.Text] = [
        .init(
            title: "Checkout cannot reach payments-db", labels: ["checkout", "payments-db"],
            body: "Connections to the database time out since the failover. The pool is exhausted."),
        .init(title: "Disk of web-3 is filling up", labels: ["web"], body: "/var/log has 2 % left, logrotate did not run."),
        .init(title: "Certificate of api.example.com ends in 3 days", labels: ["api"], body: "Renewal failed: DNS challenge."),
        .init(
            title: "NullPointerException in OrderService.cancelOrder", labels: ["orders"],
            body: "java.lang.NullPointerException at com.shop.OrderService.cancelOrder, customers see error 500"),
        .init(title: "Nightly backup of payments-db failed", labels: ["payments-db"], body: "No space left on the backup disk."),
    ]

    private static func index(_ texts: [TextIndex.Text]) -> TextIndex {
        var index = TextIndex(capacity: 100)
        for (id, text) in texts.enumerated() { index.put(UInt64(id), text) }
        return index
    }

    @Test(
        "What tells the same in other words is found first",
        arguments: [
            ("payments database: connection pool exhausted, timeouts after failover", 0),
            ("web-3: disk almost full, logs not rotated", 1),
            ("TLS certificate for the API not renewed", 2), ("cancelling an order fails with a null pointer exception", 3),
            ("backup of the payments database did not succeed", 4),
        ] as [(String, UInt64)])
    func sameFault(pair: (String, UInt64)) {
        let hits = Self.index(Self.incidents).similar(to: .init(title: pair.0))
        #expect(hits.first?.id == pair.1, "\(hits)")
    }

    @Test("The same text has score 1, another less, one without a common term is not found")
    func scores() {
        let index = Self.index(Self.incidents)
        for (id, text) in Self.incidents.enumerated() {
            let hits = index.similar(to: text)
            #expect(hits.first?.id == UInt64(id))
            #expect(abs((hits.first?.score ?? 0) - 1) < 0.001)
            #expect(hits.dropFirst().allSatisfy { $0.score > 0 && $0.score < 0.5 })
        }
        #expect(index.similar(to: .init(title: "helicopter")).isEmpty)
        #expect(index.similar(to: .init(title: "the of and")).isEmpty)
        #expect(index.similar(to: .init(title: "")).isEmpty)
        #expect(TextIndex(capacity: 1).similar(to: .init(title: "disk")).isEmpty)
    }

    @Test("The terms that said most are told as the query spells them, a name instead of its parts")
    func sharedTerms() {
        let index = Self.index(Self.incidents)
        let hit = index.similar(
            to: .init(title: "orders: NullPointerException on 12345678 when customers pay")
        ).first
        #expect(hit?.id == 3)
        #expect(hit?.sharedTerms.contains("NullPointerException") == true, "\(String(describing: hit))")
        #expect(hit?.sharedTerms.contains("Pointer") == false)
        #expect(hit?.sharedTerms.contains("customers") == true)
    }

    @Test("A title says more than a body, and equal texts come in order of their ids")
    func order() {
        var index = TextIndex(capacity: 10)
        index.put(7, .init(title: "router lost power", body: "no light at all in the rack"))
        index.put(3, .init(title: "no light at all in the rack", body: "router lost power"))
        index.put(5, .init(title: "router lost power", body: "no light at all in the rack"))
        #expect(index.similar(to: .init(title: "router without power")).map(\.id) == [5, 7, 3])
        #expect(index.similar(to: .init(title: "router without power"), limit: 2).map(\.id) == [5, 7])
        #expect(index.similar(to: .init(title: "router"), limit: 0).isEmpty)
    }

    @Test("What may not be shown is not found, and takes the place of nothing")
    func hidden() {
        var index = TextIndex(capacity: 5000)
        for id in 0..<5000 { index.put(UInt64(id), .init(title: "queue of mails is long", body: "host \(id)")) }
        #expect(index.similar(to: .init(title: "mails in the queue"), limit: 3) { $0 >= 4998 }.map(\.id) == [4998, 4999])
        #expect(index.similar(to: .init(title: "mails in the queue")) { _ in false }.isEmpty)
    }

    @Test("What is taken out leaves nothing, what is replaced is as new")
    func removal() {
        var index = Self.index(Self.incidents)
        index.remove(3)
        index.remove(99)
        index.put(1, .init(title: "Printer on fire"))
        #expect(index.count == 4)
        #expect(!index.contains(3))
        #expect(index.similar(to: .init(title: "NullPointerException OrderService logrotate")).isEmpty)
        #expect(index.similar(to: .init(title: "fire")).map(\.id) == [1])
    }

    @Test("A full index lets go of the lowest id, and takes none that is lower")
    func capacity() {
        var index = TextIndex(capacity: 2)
        for id in [4, 9, 6, 1] as [UInt64] { index.put(id, .init(title: "disk \(id)")) }
        #expect(index.similar(to: .init(title: "disk")).map(\.id).sorted() == [6, 9])
        index.put(6, .init(title: "disk"))
        #expect(index.count == 2)
    }

    @Test("What is found depends on the texts only, not on the changes that led to them")
    func history() {
        var random = SplitMix64.seeded()
        let words = [
            "disk", "full", "payments", "db", "timeout", "OrderService", "checkout", "node_exporter", "500", "dns", "lost",
        ]
        func text() -> TextIndex.Text {
            func some(_ most: Int) -> String {
                (0..<random.below(most + 1)).map { _ in words[random.below(words.count)] }.joined(separator: " ")
            }
            return .init(title: some(4), labels: [some(1)], body: some(30))
        }
        for _ in 0..<20 {
            var texts: [UInt64: TextIndex.Text] = [:]
            var index = TextIndex(capacity: 100)
            for _ in 0..<200 {
                let id = UInt64(random.below(60))
                if random.chance(0.3) {
                    index.remove(id)
                    texts[id] = nil
                } else {
                    let text = text()
                    index.put(id, text)
                    texts[id] = text
                }
            }
            var fresh = TextIndex(capacity: 60)
            for id in texts.keys.sorted().reversed() { fresh.put(id, texts[id] ?? .init(title: "")) }
            #expect(index.count == texts.count)
            for _ in 0..<10 {
                let query = text()
                let limit = 1 + random.below(70)
                #expect(index.similar(to: query, limit: limit) == fresh.similar(to: query, limit: limit))
            }
            for id in texts.keys { index.remove(id) }
            #expect(index.count == 0)
            #expect(index.similar(to: text()).isEmpty)
        }
    }

    @Test("No bytes are an error, and lengths are bounded")
    func hostile() {
        var random = SplitMix64.seeded()
        var index = TextIndex(capacity: 50)
        for id in 0..<60 {
            let title = String(decoding: random.bytes(upTo: 300), as: UTF8.self)
            let body = String(decoding: random.bytes(upTo: 3000), as: UTF8.self)
            index.put(UInt64(id), .init(title: title, labels: [title], body: body))
            for hit in index.similar(to: .init(title: body, body: title)) { #expect((0...1).contains(hit.score)) }
        }
        index.put(1000, .init(title: "short", body: String(repeating: "word ", count: 300) + "beyond"))
        #expect(index.similar(to: .init(title: "beyond")).isEmpty)
    }
}
