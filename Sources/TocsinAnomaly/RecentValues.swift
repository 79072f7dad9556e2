/// The last values of a series, in order of arrival and of size.
struct RecentValues: Sendable, Equatable {
    static let capacity = 448

    private var arrived: [Double] = []
    private var sorted: [Double] = []
    private var oldest = 0

    init() {
        arrived.reserveCapacity(Self.capacity)
        sorted.reserveCapacity(Self.capacity)
    }

    /// Nil before there are values.
    var median: Double? { sorted.isEmpty ? nil : sorted[sorted.count / 2] }

    /// Without the hundredth of the values at each end.
    var range: ClosedRange<Double>? {
        guard !sorted.isEmpty else { return nil }
        let left = sorted.count / 100
        return sorted[left]...sorted[sorted.count - 1 - left]
    }

    /// The share of the values that are below `value`, 0...1; of equal ones half.
    func rank(of value: Double) -> Double {
        sorted.isEmpty ? 0.5 : Double(place(of: value) { $0 < $1 } + place(of: value) { $0 <= $1 }) / Double(2 * sorted.count)
    }

    /// The newest value takes the place of the oldest. O(capacity), of memory moved.
    mutating func append(_ value: Double) {
        if arrived.count < Self.capacity {
            arrived.append(value)
        } else {
            sorted.remove(at: place(of: arrived[oldest]) { $0 < $1 })
            arrived[oldest] = value
            oldest = (oldest + 1) % Self.capacity
        }
        sorted.insert(value, at: place(of: value) { $0 < $1 })
    }

    private func place(of value: Double, where isBefore: (Double, Double) -> Bool) -> Int {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if isBefore(sorted[middle], value) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
