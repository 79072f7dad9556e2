/// A name with `*` (any text, also none) and `?` (one character). The whole name must match; case matters. Time is at
/// most the product of the lengths.
struct ServiceGlob: Sendable {
    private let pattern: [Character]

    init(_ pattern: String) { self.pattern = Array(pattern) }

    func matches(_ name: String) -> Bool {
        let name = Array(name)
        var place = 0
        var read = 0
        // Where to go on when what follows the last `*` fails: the `*` takes one character more.
        var star: (place: Int, read: Int)?
        while read < name.count {
            if place < pattern.count, pattern[place] == "*" {
                star = (place, read)
                place += 1
            } else if place < pattern.count, pattern[place] == "?" || pattern[place] == name[read] {
                place += 1
                read += 1
            } else if let last = star {
                star = (last.place, last.read + 1)
                place = last.place + 1
                read = last.read + 1
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == "*" }
    }
}
