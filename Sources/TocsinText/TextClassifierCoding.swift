/// A classifier as bytes, whole: what is decoded predicts and learns on as what was encoded would.
///
/// Numbers are little-endian; V is an unsigned LEB128 number of at most five bytes; places and identities ascend, and each is
/// written as its distance from the one before, minus 1.
///
/// | size | field |
/// |---|---|
/// | 7 | `TocsinC` |
/// | 1 | version, 1 |
/// | 8 | examples learnt |
/// | 8 | state of the generator |
/// | 2 | labels, then of each: length (1), its UTF-8, bias (4, IEEE 754), sum of squares (4) |
/// | 16 × (V, V) | calibration: predictions and right ones of each bin |
/// | V | features with a document count, then of each: place (V), count (V) |
/// | V | weights, then of each: place (V), weight (4), sum of squares (4) |
/// | V | kept examples, then of each: label (V), features (V), their identities (V each) |
/// | 8 | digest of all before |
extension TextClassifier {
    public static let encodedBytesMax = 64 << 20
    private static let magic = Array("TocsinC".utf8) + [1]

    /// Of the encoding, in hexadecimal: two classifiers with one digest are the same. Costs what encoding does.
    public var digest: String {
        let digits = String(TextTerms.hash(content()), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    public func encoded() -> [UInt8] {
        var writer = ByteWriter(bytes: content())
        writer.write(TextTerms.hash(writer.bytes))
        return writer.bytes
    }

    private func content() -> [UInt8] {
        var writer = ByteWriter(bytes: Self.magic)
        writer.write(UInt64(exampleCount))
        writer.write(random)
        writer.write(UInt16(labels.count))
        for (index, label) in labels.enumerated() {
            writer.write(UInt8(label.utf8.count))
            writer.bytes += label.utf8
            writer.write(biases[index].bitPattern)
            writer.write(biasSquares[index].bitPattern)
        }
        for bin in calibration.bins {
            writer.writeVariable(bin.predictions)
            writer.writeVariable(bin.right)
        }
        writeSparse(documents.indices.filter { documents[$0] > 0 }, to: &writer) { place, writer in
            writer.writeVariable(documents[place])
        }
        // The others were never moved.
        writeSparse(weights.indices.filter { squares[$0] != Self.initialSquare || weights[$0] != 0 }, to: &writer) {
            place, writer in
            writer.write(weights[place].bitPattern)
            writer.write(squares[place].bitPattern)
        }
        writer.writeVariable(UInt32(examples.count))
        for example in examples {
            writer.writeVariable(UInt32(example.label))
            writeSparse(example.identities.map { Int($0) }, to: &writer) { _, _ in }
        }
        return writer.bytes
    }

    private func writeSparse(_ places: [Int], to writer: inout ByteWriter, _ write: (Int, inout ByteWriter) -> Void) {
        writer.writeVariable(UInt32(places.count))
        var next = 0
        for place in places {
            writer.writeVariable(UInt32(place - next))
            next = place + 1
            write(place, &writer)
        }
    }

    /// - Throws: for bytes that no classifier of this version gave.
    public init(decoding bytes: [UInt8]) throws(TextClassifierError) {
        guard bytes.count <= Self.encodedBytesMax else {
            throw TextClassifierError("\(bytes.count) bytes; a classifier has at most \(Self.encodedBytesMax)")
        }
        guard bytes.starts(with: Self.magic.dropLast()) else { throw TextClassifierError("the bytes are no classifier") }
        guard bytes.starts(with: Self.magic) else {
            throw TextClassifierError(
                "the classifier is not of version \(Self.magic[7]); let this release learn it again from the archive")
        }
        var tail = ByteReader(bytes: bytes[max(Self.magic.count, bytes.count - 8)...])
        guard try tail.read(UInt64.self) == TextTerms.hash(Array(bytes.dropLast(8))) else {
            throw TextClassifierError("the digest does not fit the bytes; the file is damaged or cut off")
        }
        self.init()
        var reader = ByteReader(bytes: bytes.dropLast(8).dropFirst(Self.magic.count))
        exampleCount = Int(try reader.read(UInt64.self, atMost: UInt64(UInt32.max)))
        random = try reader.read(UInt64.self)
        for _ in 0..<(try reader.read(UInt16.self, atMost: UInt16(Self.labelsMax))) { try readLabel(&reader) }
        try readCalibration(&reader)
        try readModel(&reader)
        guard reader.isAtEnd else { throw reader.error("more bytes follow than belong to it") }
    }

    private mutating func readLabel(_ reader: inout ByteReader) throws(TextClassifierError) {
        let bytes = try reader.readBytes(Int(try reader.read(UInt8.self, atMost: UInt8(Self.labelBytesMax))))
        guard let label = String(validating: bytes, as: UTF8.self), !label.isEmpty, !labels.contains(label) else {
            throw reader.error("a label is empty, no UTF-8 or there twice")
        }
        labels.append(label)
        biases.append(try reader.readFloat())
        biasSquares.append(try reader.readSquare())
    }

    private mutating func readCalibration(_ reader: inout ByteReader) throws(TextClassifierError) {
        var bins: [ConfidenceCalibration.Bin] = []
        for _ in 0..<ConfidenceCalibration.binCount {
            let predictions = try reader.readVariable(atMost: .max)
            bins.append(ConfidenceCalibration.Bin(predictions: predictions, right: try reader.readVariable(atMost: .max)))
        }
        guard let calibration = ConfidenceCalibration(bins: bins) else { throw reader.error("the calibration is impossible") }
        self.calibration = calibration
    }

    private mutating func readModel(_ reader: inout ByteReader) throws(TextClassifierError) {
        for _ in 0..<(try reader.beginPlaces(atMost: documents.count)) {
            let place = try reader.readPlace(below: documents.count)
            documents[place] = try reader.readVariable(atMost: .max / 2)
        }
        for _ in 0..<(try reader.beginPlaces(atMost: weights.count)) {
            let place = try reader.readPlace(below: weights.count)
            weights[place] = try reader.readFloat()
            squares[place] = try reader.readSquare()
        }
        let count = try reader.readVariable(atMost: UInt32(min(Self.examplesMax, exampleCount)))
        guard count == min(Self.examplesMax, exampleCount) else { throw reader.error("kept examples are missing") }
        for _ in 0..<count {
            let label = Int(try reader.readVariable(atMost: .max))
            guard labels.indices.contains(label) else { throw reader.error("an example has label \(label), which there is not") }
            var identities: [UInt32] = []
            for _ in 0..<(try reader.beginPlaces(atMost: TextFeatures.countMax)) {
                identities.append(UInt32(try reader.readPlace(below: 1 << 32)))
            }
            examples.append(Example(identities: identities, label: label))
        }
    }
}

private struct ByteWriter {
    var bytes: [UInt8]

    mutating func write(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }

    mutating func writeVariable(_ value: UInt32) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(value))
    }
}

private struct ByteReader {
    /// What was not read.
    var bytes: ArraySlice<UInt8>
    /// The least that the next place can be.
    private var next = 0

    init(bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    var isAtEnd: Bool { bytes.isEmpty }

    func error(_ what: String) -> TextClassifierError { TextClassifierError("at byte \(bytes.startIndex): \(what)") }

    mutating func readBytes(_ count: Int) throws(TextClassifierError) -> ArraySlice<UInt8> {
        guard count <= bytes.count else { throw error("\(count) bytes are needed, \(bytes.count) are left") }
        defer { bytes = bytes.dropFirst(count) }
        return bytes.prefix(count)
    }

    mutating func read<T: FixedWidthInteger & UnsignedInteger>(
        _ type: T.Type, atMost most: T = .max
    ) throws(TextClassifierError) -> T {
        var value: T = 0
        for (index, byte) in try readBytes(T.bitWidth / 8).enumerated() { value |= T(byte) << (8 * index) }
        guard value <= most else { throw error("\(value) where at most \(most) can be") }
        return value
    }

    mutating func readVariable(atMost most: UInt32) throws(TextClassifierError) -> UInt32 {
        var value: UInt64 = 0
        for shift in stride(from: 0, through: 28, by: 7) {
            guard let byte = bytes.popFirst() else { throw error("the bytes end within a number") }
            value |= UInt64(byte & 0x7F) << UInt64(shift)
            guard byte < 0x80 else { continue }
            guard value <= UInt64(most) else { throw error("\(value) where at most \(most) can be") }
            return UInt32(value)
        }
        throw error("a number has more than five bytes")
    }

    mutating func readFloat() throws(TextClassifierError) -> Float {
        let value = Float(bitPattern: try read(UInt32.self))
        guard abs(value) <= 1e6 else { throw error("\(value) is no weight") }
        return value
    }

    mutating func readSquare() throws(TextClassifierError) -> Float {
        let value = Float(bitPattern: try read(UInt32.self))
        guard value >= TextClassifier.initialSquare, value <= 1e12 else { throw error("\(value) is no sum of squares") }
        return value
    }

    /// Reads how many places follow.
    mutating func beginPlaces(atMost most: Int) throws(TextClassifierError) -> Int {
        next = 0
        return Int(try readVariable(atMost: UInt32(most)))
    }

    mutating func readPlace(below end: Int) throws(TextClassifierError) -> Int {
        let place = next + Int(try readVariable(atMost: .max))
        guard place < end else { throw error("place \(place) where all are below \(end)") }
        next = place + 1
        return place
    }
}
