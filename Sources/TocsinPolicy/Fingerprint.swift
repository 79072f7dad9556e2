import Crypto
import TocsinProto

/// Makes the identity of an alert: the first 128 bits of a SHA-256, in hex. It is made of what a resolve shares with its
/// trigger, so never of kind, severity hint, details or times; and of the drill flag, so that a drill never touches a real
/// alert. Every part is prefixed by its length: no two different identities have the same bytes.
struct FingerprintMaker: Sendable {
    private var scratch: [UInt8] = []

    /// Service, source, masked summary and all labels.
    static let defaultFields: [FingerprintField] = [.service, .source, .summary, .labels]

    /// From the dedup key where the event has one, else from `fields` and `group`.
    mutating func fingerprint(of event: Tocsin_V1_Event, fields: [FingerprintField], group: String) -> String {
        scratch.removeAll(keepingCapacity: true)
        scratch.append(event.drill ? 1 : 0)
        if !event.dedupKey.isEmpty {
            add("key", event.service)
            add("", event.dedupKey)
        } else {
            add("by", group)
            for field in fields { add(field, of: event) }
        }
        return Self.hex(SHA256.hash(data: scratch), bytes: 16)
    }

    /// An id that is the same whenever the same events are merged: 128 bits of SHA-256 over fingerprint, kind and sorted
    /// event ids, in hex.
    mutating func updateID(fingerprint: String, isResolve: Bool, eventIDs: [String]) -> String {
        scratch.removeAll(keepingCapacity: true)
        add(isResolve ? "resolve" : "trigger", fingerprint)
        for id in eventIDs.sorted() { add("", id) }
        return Self.hex(SHA256.hash(data: scratch), bytes: 16)
    }

    private mutating func add(_ field: FingerprintField, of event: Tocsin_V1_Event) {
        switch field {
        case .service: add("service", event.service)
        case .source: add("source", event.source)
        case .summary: add("summary", masking: event.summary)
        case .labels:
            let labels = event.labels.filter { !$0.value.isEmpty }.sorted { $0.key < $1.key }
            add("labels", String(labels.count))
            for (name, value) in labels { add(name, value) }
        case .label(let name):
            add("label", name)
            add("", event.labels[name] ?? "")
        }
    }

    private mutating func add(_ name: String, _ value: String) {
        add(name)
        add(value)
    }

    private mutating func add(_ text: String) {
        addLength(text.utf8.count)
        scratch.append(contentsOf: text.utf8)
    }

    private mutating func add(_ name: String, masking summary: String) {
        add(name)
        let place = scratch.count
        addLength(0)
        let start = scratch.count
        SummaryMask.append(summary, to: &scratch)
        // How long it is once masked is known only now.
        let length = UInt32(clamping: scratch.count - start)
        for index in 0..<4 { scratch[place + index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
    }

    private mutating func addLength(_ length: Int) {
        withUnsafeBytes(of: UInt32(clamping: length).littleEndian) { scratch.append(contentsOf: $0) }
    }

    private static func hex(_ digest: some Sequence<UInt8>, bytes: Int) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(unsafeUninitializedCapacity: bytes * 2) { buffer in
            var count = 0
            for byte in digest.prefix(bytes) {
                buffer[count] = digits[Int(byte >> 4)]
                buffer[count + 1] = digits[Int(byte & 15)]
                count += 2
            }
            return count
        }
    }
}

/// Replaces what changes between two sayings of the same thing (numbers, addresses, identifiers, times) by `#`.
enum SummaryMask {
    /// What is beyond does not count.
    static let bytesMax = 1024

    static func masked(_ summary: String) -> String {
        var bytes: [UInt8] = []
        append(summary, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    static func append(_ summary: String, to output: inout [UInt8]) {
        var summary = summary
        summary.withUTF8 { append(UnsafeBufferPointer(rebasing: $0.prefix(bytesMax)), to: &output) }
    }

    private static let mark = UInt8(ascii: "#")

    private static func append(_ text: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
        let start = output.count
        var offset = 0
        while offset < text.count {
            guard isAlphanumeric(text[offset]) else {
                output.append(text[offset])
                offset += 1
                continue
            }
            if isUUID(text, at: offset) {
                mask(&output, from: start)
                offset += 36
                continue
            }
            var end = offset + 1
            while end < text.count, isAlphanumeric(text[end]) { end += 1 }
            if isIdentifier(text[offset..<end]) {
                mask(&output, from: start)
            } else {
                // A word with digits in it ("web12", "512MB"): only they change.
                while offset < end {
                    if isDigit(text[offset]) {
                        mask(&output, from: start)
                        while offset < end, isDigit(text[offset]) { offset += 1 }
                    } else {
                        output.append(text[offset])
                        offset += 1
                    }
                }
            }
            offset = end
        }
    }

    /// Adds a mark. One that follows another, with only a joint between them, becomes part of it: an address, a version or
    /// a time is one mark, however many parts it has. So does a sign.
    private static func mask(_ output: inout [UInt8], from start: Int) {
        if output.count - start >= 2, isJoint(output[output.count - 1]), output[output.count - 2] == mark {
            output.removeLast()
            return
        }
        if output.count > start, output[output.count - 1] == mark { return }
        let signFollows =
            output.count > start && output[output.count - 1] == UInt8(ascii: "-")
            && (output.count - start == 1 || !isAlphanumeric(output[output.count - 2]))
        if signFollows { output.removeLast() }
        output.append(mark)
    }

    private static func isJoint(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: ","), UInt8(ascii: "-"), UInt8(ascii: "/"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    private static func isHex(_ byte: UInt8) -> Bool { isDigit(byte) || (byte | 0x20) &- UInt8(ascii: "a") < 6 }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        isDigit(byte) || (byte | 0x20) &- UInt8(ascii: "a") < 26
    }

    /// A run of letters and digits that is a number as a whole: decimal, `0x…`, or at least six hex digits with a digit
    /// among them.
    private static func isIdentifier(_ run: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        var digits = 0
        for byte in run where isDigit(byte) { digits += 1 }
        if digits == 0 { return false }
        if digits == run.count { return true }
        if run.count > 2, run[run.startIndex] == UInt8(ascii: "0"), run[run.startIndex + 1] | 0x20 == UInt8(ascii: "x") {
            return run.dropFirst(2).allSatisfy(isHex)
        }
        return run.count >= 6 && run.allSatisfy(isHex)
    }

    private static func isUUID(_ text: UnsafeBufferPointer<UInt8>, at offset: Int) -> Bool {
        guard text.count - offset >= 36, text[offset + 8] == UInt8(ascii: "-") else { return false }
        if offset > 0, isAlphanumeric(text[offset - 1]) { return false }
        for index in 0..<36 {
            let byte = text[offset + index]
            let isHyphen = index == 8 || index == 13 || index == 18 || index == 23
            guard isHyphen ? byte == UInt8(ascii: "-") : isHex(byte) else { return false }
        }
        return text.count - offset == 36 || !isAlphanumeric(text[offset + 36])
    }
}
