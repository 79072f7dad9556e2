/// Words that say by themselves what they are. Compared in lower case, and at most 8 bytes long.
enum Words {
    /// The bytes as one number, letters in lower case; 0 if there are more than 8.
    static func packed(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> UInt64 {
        guard end - start <= 8 else { return 0 }
        var value: UInt64 = 0
        for index in start..<end {
            let byte = line[index]
            value = value << 8 | UInt64((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
        }
        return value
    }

    private static func set(_ words: String) -> Set<UInt64> {
        Set(words.split(separator: " ").map { $0.utf8.reduce(0) { $0 << 8 | UInt64($1) } })
    }

    /// Of log levels.
    static let levels = set(
        "trace verbose debug fine finer finest config info notice warn warning error err crit critical fatal severe alert emerg panic failure"
    )

    /// Particles of the language, which are never the value of a parameter.
    static let particles = set(
        """
        a an the of to in on at by for from with and or not no is are was were be been has have had will can cannot could this \
        that it its as if than too when while after before into out up down off over under
        """)

    /// What a name often follows.
    static let introducing = set(
        """
        for from user username account group host hostname node client server domain name named called id uid by device file folder dir \
        service process session job task module package class
        """)

    private static let calendar = set("jan feb mar apr may jun jul aug sep oct nov dec mon tue wed thu fri sat sun")
    private static let sizes = set("b kb mb gb tb pb kib mib gib tib ns us ms s sec")
    private static let values = set("true false null nil none root")

    /// A month or a day of the week, as dates have them.
    static func isCalendar(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        end - start == 3 && (0x41...0x5A).contains(line[start]) && calendar.contains(packed(line, start, end))
    }

    /// A unit of size or time, part of the number it follows.
    static func isUnit(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        end - start <= 3 && sizes.contains(packed(line, start, end))
    }

    /// Written where a value would stand.
    static func isValue(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        (3...5).contains(end - start) && values.contains(packed(line, start, end))
    }

    /// A particle or a participle.
    static func isProse(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        if end - start >= 5 {
            switch (line[end - 3], line[end - 2], line[end - 1]) {
            case (_, UInt8(ascii: "e"), UInt8(ascii: "d")), (UInt8(ascii: "i"), UInt8(ascii: "n"), UInt8(ascii: "g")): return true
            default: break
            }
        }
        return particles.contains(packed(line, start, end))
    }
}
