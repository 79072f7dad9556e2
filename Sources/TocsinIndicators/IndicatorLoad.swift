import Crypto
import Glibc
public import TocsinPolicy
import TocsinPosix

/// All that the files of one configuration gave at one time.
public struct IndicatorLoad: Sendable {
    public let set: IndicatorSet
    /// Of each file that was read, in the order of the configuration; of a folder by name.
    public let reports: [IndicatorReport]
    /// Files that are not in the set, and why.
    public let problems: [IndicatorProblem]

    /// Bounds of what is read.
    public static let fileBytesMax = 256 << 20
    public static let filesMax = 1000
    /// What is read of a folder.
    private static let endings = [".json", ".txt", ".list"]

    /// Of no files.
    init() { (set, reports, problems) = (.empty, [], []) }

    /// Reads the files. Blocking: for a thread of its own or a `BlockingPool`.
    public init(_ policy: IndicatorPolicy) {
        var work = Work(minimumConfidence: policy.minimumConfidence)
        let (paths, problems) = Self.paths(policy)
        work.problems = problems
        for (path, purpose) in paths { work.read(path, purpose) }
        (set, reports, self.problems) = work.finish()
    }

    /// Changes whenever a file does, or a folder's files.
    static func stamp(_ policy: IndicatorPolicy) -> [String] {
        paths(policy).paths.map { path, _ in
            var status = stat()
            guard stat(path, &status) == 0 else { return "\(path) \(errno)" }
            func text(_ time: timespec) -> String { "\(time.tv_sec).\(time.tv_nsec)" }
            return "\(path) \(status.st_dev) \(status.st_ino) \(status.st_size) \(text(status.st_mtim)) \(text(status.st_ctim))"
        }
    }

    private static func paths(
        _ policy: IndicatorPolicy
    ) -> (paths: [(String, IndicatorSource.Purpose)], problems: [IndicatorProblem]) {
        var paths: [(String, IndicatorSource.Purpose)] = []
        var problems: [IndicatorProblem] = []
        let named =
            policy.files.map { ($0, IndicatorSource.Purpose.indicators) }
            + policy.falsePositives.map { ($0, .falsePositives) }
        for (path, purpose) in named {
            var status = stat()
            guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                paths.append((path, purpose))
                continue
            }
            guard let names = Folder.names(path) else {
                problems.append(IndicatorProblem("\(path) cannot be read: \(errorText(errno))"))
                continue
            }
            for name in names.sorted() where !name.hasPrefix(".") && endings.contains(where: name.hasSuffix) {
                paths.append((path.hasSuffix("/") ? path + name : "\(path)/\(name)", purpose))
            }
        }
        if paths.count > filesMax {
            problems.append(IndicatorProblem("\(paths.count) files of indicators are too many; at most \(filesMax) are read"))
        }
        return (Array(paths.prefix(filesMax)), problems)
    }

    /// A load in progress.
    private struct Work {
        let minimumConfidence: UInt8
        var problems: [IndicatorProblem] = []
        private var sources: [IndicatorSource] = []
        private var values = 0
        private var digest = SHA256()

        init(minimumConfidence: UInt8) {
            self.minimumConfidence = minimumConfidence
            digest.update(data: [minimumConfidence])
        }

        mutating func read(_ path: String, _ purpose: IndicatorSource.Purpose) {
            do {
                guard let bytes = try WholeFile.read(path, limit: IndicatorLoad.fileBytesMax) else {
                    throw IndicatorProblem("\(path) is not there")
                }
                let source = try IndicatorSource(bytes, path: path, purpose: purpose)
                values += source.indicators.count + source.report.falsePositives
                guard values <= IndicatorSet.countMax else {
                    throw IndicatorProblem("with \(path) there are more than \(IndicatorSet.countMax) values; name fewer files")
                }
                sources.append(source)
                let name = path.split(separator: "/").last.map(String.init) ?? path
                digest.update(data: Array("\(purpose) \(name.utf8.count) \(name) \(bytes.count) ".utf8))
                digest.update(data: bytes)
            } catch {
                problems.append(error as? IndicatorProblem ?? IndicatorProblem("\(error)"))
            }
        }

        consuming func finish() -> (IndicatorSet, [IndicatorReport], [IndicatorProblem]) {
            var versions: [String: UInt64] = [:]
            for source in sources { versions.merge(source.versions) { max($0, $1) } }
            var indicators: [Indicator] = []
            indicators.reserveCapacity(sources.reduce(0) { $0 + $1.indicators.count })
            struct Key: Hashable {
                var id: String
                var value: String
            }
            var seen: Set<Key> = []
            for index in sources.indices {
                sources[index].choose { indicator, modified in
                    if let modified, modified < versions[indicator.id] ?? 0 {
                        return "a version of an indicator that has a later one"
                    }
                    if let confidence = indicator.confidence, confidence < minimumConfidence {
                        return "confidence below \(minimumConfidence)"
                    }
                    guard seen.insert(Key(id: indicator.id, value: indicator.value)).inserted else { return "the same once more" }
                    indicators.append(indicator)
                    return nil
                }
            }
            var lists: [FalsePositiveList] = []
            var sourceOfList: [Int] = []
            for (index, source) in sources.enumerated() {
                for list in source.falsePositives {
                    lists.append(list)
                    sourceOfList.append(index)
                }
            }
            let version = digest.finalize().prefix(8).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            let set = IndicatorSet(indicators, falsePositives: lists, version: version) { list, reason in
                sources[sourceOfList[list]].skip(falsePositive: reason)
            }
            return (set, sources.map(\.report), problems)
        }
    }
}
