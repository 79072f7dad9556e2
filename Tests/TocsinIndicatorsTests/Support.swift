import Foundation
import TestSupport

@testable import TocsinIndicators

/// A set of values whose types are found out.
func makeSet(_ values: [String], falsePositives: [FalsePositiveList] = []) -> IndicatorSet {
    IndicatorSet(
        values.compactMap { value in
            IndicatorSource.value(Array(value.utf8)[...]).map {
                Indicator(id: value, type: $0.type, value: $0.value, source: "test")
            }
        }, falsePositives: falsePositives, version: "test")
}

/// What of a text a set has, as `id=observed`.
func found(_ text: String, in set: IndicatorSet, at time: UInt64? = nil) -> [String] {
    var scanner = IndicatorScanner()
    return scanner.matches(summary: text, at: time, in: set).filter { $0.outcome == .matched }
        .map { "\($0.indicator.id)=\($0.observed)" }
}

/// All observables of a text, as `type value`.
func observables(_ text: String) -> [String] {
    var reader = ObservableReader()
    var found: [String] = []
    Array(text.utf8).withUnsafeBufferPointer { bytes in
        _ = reader.read(bytes) { observable in
            switch observable {
            case .address(let address): found.append("\(address.type) \(address.text)")
            case .text(let type, let bytes): found.append("\(type) \(String(decoding: bytes, as: UTF8.self))")
            }
            return true
        }
    }
    return found
}

extension TemporaryFolder {
    /// Writes a file and returns its path.
    @discardableResult
    func write(_ name: String, _ content: String) throws -> String {
        let file = "\(path)/\(name)"
        // By renaming, as those who are careful do.
        try Data(content.utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
        return file
    }
}
