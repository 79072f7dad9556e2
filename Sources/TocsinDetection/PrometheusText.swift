/// The text that Prometheus scrapes: exposition format 0.0.4, and of OpenMetrics 1.0 what it has in common.
enum PrometheusText {
    /// The samples, at most `limit`, and how many lines could not be read, or are of a series with longer names and values than a
    /// series may have. Comments, types and exemplars are left out.
    static func samples(_ bytes: [UInt8], limit: Int) -> (samples: [Sample], malformed: Int) {
        var samples: [Sample] = []
        var malformed = 0
        var start = bytes.startIndex
        while start < bytes.endIndex, samples.count < limit {
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.endIndex
            var reader = TextReader(bytes[start..<end])
            start = min(end + 1, bytes.endIndex)
            reader.skipSpace()
            guard let first = reader.next, first != UInt8(ascii: "#") else { continue }
            if let sample = sample(&reader) { samples.append(sample) } else { malformed += 1 }
        }
        return (samples, malformed)
    }

    /// `name{label="value",...} value [milliseconds]`
    private static func sample(_ reader: inout TextReader) -> Sample? {
        let name = reader.take { TextReader.isName($0) }
        guard !name.isEmpty, name.utf8.count <= Series.nameBytes else { return nil }
        var labels: [Series.Label] = []
        if reader.skip("{") {
            while !reader.skip("}") {
                let label = reader.take { TextReader.isName($0) }
                guard !label.isEmpty, reader.skip("="), let value = reader.quoted(), labels.count < Series.labelsMax,
                    label.utf8.count <= Series.nameBytes, value.utf8.count <= Series.valueBytes
                else { return nil }
                labels.append(Series.Label(name: label, value: value))
                reader.skipSpace()
                guard reader.skip(",") || reader.next == UInt8(ascii: "}") else { return nil }
            }
        }
        guard let value = number(reader.take { !TextReader.isSpace($0) }) else { return nil }
        // Times are not used: what is scraped is now.
        return Sample(series: Series(name, labels), value: value)
    }

    static func number(_ text: String) -> Double? {
        switch text {
        case "NaN", "Nan", "nan": .nan
        case "+Inf", "Inf": .infinity
        case "-Inf": -.infinity
        default: Double(text)
        }
    }
}
