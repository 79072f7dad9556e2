import Foundation
import Testing
import TocsinSimulator

/// Goal: what a fuzzer has found stays mended. Method: every input of the corpus once; `tools/fuzz` makes new ones from them.
@Suite("Fuzzing corpus", .timeLimit(.minutes(5)), .serialized) struct CorpusTests {
    private static let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Corpus")

    @Test("no input of the corpus breaks a promise", arguments: FuzzTarget.allCases)
    func replay(_ target: FuzzTarget) async throws {
        let folder = Self.corpus.appending(path: target.rawValue)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        try #require(names.count >= 20)
        for name in names {
            let input = try Data(contentsOf: folder.appending(path: name))
            let violation = await onThread { Self.violation(target, input) }
            if let violation {
                let again = "tools/fuzz --repeat Tests/Corpus/\(target.rawValue)/\(name)"
                Issue.record("\(violation.rule): \(violation); again: \(again)")
            }
        }
    }

    @Test("an input is a program that does the same each time, and the inputs to begin with break no promise")
    func seeds() async throws {
        for target in FuzzTarget.allCases {
            let seeds = try target.seeds()
            #expect(try seeds.elementsEqual(target.seeds(), by: ==))
            for seed in seeds {
                let violation = await onThread { Self.violation(target, Data(seed.bytes)) }
                #expect(violation == nil, "\(target) \(seed.name)")
            }
        }
    }

    private static func violation(_ target: FuzzTarget, _ input: Data) -> Violation? {
        do {
            try input.withUnsafeBytes { try target.run($0) }
            return nil
        } catch { return error as? Violation }
    }
}
