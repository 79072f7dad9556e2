/// What is to happen, by time and then in the order it was put in: a binary heap.
struct Schedule {
    private struct Item {
        var time: UInt64
        var order: UInt64
        var action: () -> Void
    }
    private var items: [Item] = []
    private var nextOrder: UInt64 = 0

    private func comesFirst(_ a: Int, _ b: Int) -> Bool {
        (items[a].time, items[a].order) < (items[b].time, items[b].order)
    }

    mutating func add(at time: UInt64, _ action: @escaping () -> Void) {
        items.append(Item(time: time, order: nextOrder, action: action))
        nextOrder += 1
        var child = items.count - 1
        while child > 0, comesFirst(child, (child - 1) / 2) {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> (time: UInt64, action: () -> Void)? {
        guard let first = items.first else { return nil }
        items.swapAt(0, items.count - 1)
        items.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && comesFirst(child, least) { least = child }
            if least == parent { return (first.time, first.action) }
            items.swapAt(parent, least)
            parent = least
        }
    }
}
