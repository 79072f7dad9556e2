import Glibc
import Testing

@testable import TocsinPosix

@Suite("Open descriptors") struct DescriptorTests {
    @Test("every one that is open is among the candidates, whether few or many were open before", arguments: [0, 1 << 20])
    func candidates(about count: Int) throws {
        let opened = (0..<8).map { _ in open("/dev/null", O_RDONLY | O_CLOEXEC) }
        // Far above all others, as where many were open once.
        let far = fcntl(opened[0], F_DUPFD_CLOEXEC, 900)
        defer { for descriptor in opened + [far] { close(descriptor) } }
        try #require(far >= 900)
        let candidates = Set(Descriptors.candidates(about: count))
        #expect(candidates.isSuperset(of: opened + [far]))
        #expect(candidates.allSatisfy { $0 > 2 })
        // Of few expected ones those alone that are there.
        if count == 0 { #expect(candidates.count < 900) }
    }
}
