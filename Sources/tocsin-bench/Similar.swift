import ArgumentParser
import Glibc
import TocsinText

/// Looks for similar incidents in an index of made-up ones.
struct Similar: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Finds similar incidents in an index of made-up ones.",
        discussion: "Titles have 10 words and bodies 40, some words in many texts and most in few.")

    @Option(help: "Incidents in the index.") var count = 100_000
    @Option(help: "Incidents that are looked for, one after another.") var queries = 2000

    func run() throws {
        var writer = Writer()
        let before = try Self.residentBytes()
        var index = TextIndex(capacity: count)
        for number in 0..<count { index.put(UInt64(number), writer.incident()) }
        let bytes = (try Self.residentBytes() - before) / max(1, count)
        var times: [UInt64] = []
        var found = 0
        for _ in 0..<queries {
            let (title, body) = (writer.words(10), writer.words(40))
            let incident = TextIndex.Text(title: title, labels: [writer.service()], body: body)
            let began = Self.processorTime()
            found += index.similar(to: incident).count
            times.append(Self.processorTime() - began)
        }
        times.sort()
        report("{\"count\": \(index.count), \"found\": \(found), \"bytes\": \(bytes)\(percentiles(of: times))}")
    }

    /// Nanoseconds of a processor that this thread had: finding waits for nothing, so what else runs does not count.
    private static func processorTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Of this process in memory; the second figure of /proc/self/statm, in pages.
    private static func residentBytes() throws -> Int {
        let file = open("/proc/self/statm", O_RDONLY)
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 256)
        let count = read(file, &text, text.count)
        let fields = String(decoding: text.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else {
            throw ValidationError("/proc/self/statm is not as expected")
        }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }
}

/// Makes up incidents, the same in every run.
private struct Writer {
    private var state: UInt64 = 1
    private let vocabulary: [String]
    /// Of the words up to each: the word of rank r is told in proportion to 1 / (r + 10), as in texts without function words.
    private let frequencies: [Double]

    init() {
        let syllables = ["ba", "co", "du", "fe", "gi", "ka", "lo", "mu", "ne", "pi", "ra", "so", "tu", "ve", "xi", "zo"]
        vocabulary = (0..<30_000).map { number in
            stride(from: 0, to: 20, by: 4).map { syllables[(number &* 40_503) >> $0 & 15] }.joined()
        }
        var sum = 0.0
        frequencies = vocabulary.indices.map { rank in
            sum += 1 / Double(rank + 10)
            return sum
        }
    }

    mutating func incident() -> TextIndex.Text {
        TextIndex.Text(title: words(10), labels: [service()], body: words(40))
    }

    mutating func service() -> String { "service-\(next() % 500)" }

    mutating func words(_ count: Int) -> String { (0..<count).map { _ in word() }.joined(separator: " ") }

    private mutating func word() -> String {
        let place = Double(next() >> 11) * 0x1p-53 * frequencies[frequencies.count - 1]
        var (low, high) = (0, frequencies.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if frequencies[middle] < place { low = middle + 1 } else { high = middle }
        }
        return vocabulary[low]
    }

    /// SplitMix64.
    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
