import TocsinProto

/// CloudEvents 1.0 over HTTP, made into events.
///
/// | event | of the CloudEvent |
/// |---|---|
/// | id | of `source` and `id`, which identify it: the same one again is stored once |
/// | kind | resolve where the extension or the member of `data` called `status` or `state` says resolved, ok or closed |
/// | source, observed_at | `source`, `time` |
/// | service | extension `service`, else `source`; with `dedupkey` not the source but who sends it, so that sources share a key |
/// | summary | `summary`, `message`, `title` or `description` of `data`; else type and subject |
/// | severity_hint | extension `severity`, else `severity` of `data` |
/// | dedup_key | extension `dedupkey`; else `source`, `subject` and `type` together |
/// | labels | all attributes but id, time, specversion, datacontenttype and dataschema |
/// | details | `id`, the members of `data` that is an object, else `data` |
public struct CloudEvents: Sendable {
    /// What the body or the headers are, where they are no CloudEvents.
    public struct Problem: Error, Sendable, Equatable {
        /// 400, or 415 for a type that is not understood.
        public var status: Int
        public var message: String
    }
    public var mapping: Mapping
    /// Who sends; empty: the mapping's service.
    public var sender: String

    public init(mapping: Mapping, sender: String = "") {
        self.mapping = mapping
        self.sender = sender
    }

    /// One request. `headers` are those of the request, names in lower case.
    public func events(contentType: String, headers: [String: String], body: [UInt8], now: UInt64) throws(Problem) -> Intake {
        let type = contentType.split(separator: ";").first.map { $0.trimmed.lowercased() } ?? ""
        if type == "application/cloudevents-batch+json" {
            guard let values = try json(body).array else { throw Problem(status: 400, message: "a batch must be a JSON array") }
            var intake = Intake()
            for (index, value) in values.enumerated() {
                do throws(Problem) { intake.events.append(try structured(value, now: now)) } catch {
                    // A batch is one request with one answer: nothing of it is taken.
                    throw Problem(status: error.status, message: "event \(index) of the batch: \(error.message)")
                }
            }
            return intake
        }
        if type == "application/cloudevents+json" { return Intake(events: [try structured(try json(body), now: now)]) }
        if type.hasPrefix("application/cloudevents") {
            throw Problem(status: 415, message: "\(type.cut(to: 128)) is not understood; send application/cloudevents+json")
        }
        return Intake(events: [try binary(type, headers, body, now: now)])
    }

    private func json(_ body: [UInt8]) throws(Problem) -> JSON {
        do { return try JSON(body) } catch { throw Problem(status: 400, message: "the body is no JSON: \(error)") }
    }

    private func structured(_ value: JSON, now: UInt64) throws(Problem) -> Tocsin_V1_Event {
        guard let members = value.object else { throw Problem(status: 400, message: "a CloudEvent must be a JSON object") }
        var attributes: [String: String] = [:]
        var data = JSON.null
        for (name, value) in members {
            switch name {
            case "data": data = value
            case "data_base64": data = .object([(name: "data_base64", value: value)])
            default: if !value.isNull { attributes[name] = value.plain }
            }
        }
        return try event(attributes, data, now: now)
    }

    private func binary(
        _ type: String, _ headers: [String: String], _ body: [UInt8], now: UInt64
    ) throws(Problem) -> Tocsin_V1_Event {
        var attributes: [String: String] = [:]
        for (name, value) in headers where name.hasPrefix("ce-") {
            attributes[String(name.dropFirst(3))] = Self.decoded(value)
        }
        guard !attributes.isEmpty else {
            throw Problem(
                status: 415,
                message: "neither headers ce-… nor a content type of CloudEvents: this is no CloudEvent")
        }
        if !type.isEmpty { attributes["datacontenttype"] = type }
        let isJSON = type == "application/json" || type.hasSuffix("+json")
        let data: JSON = body.isEmpty ? .null : isJSON ? try json(body) : .string(String(decoding: body, as: UTF8.self))
        return try event(attributes, data, now: now)
    }

    private func event(_ attributes: [String: String], _ data: JSON, now: UInt64) throws(Problem) -> Tocsin_V1_Event {
        for name in ["id", "source", "specversion", "type"] where (attributes[name] ?? "").isEmpty {
            throw Problem(status: 400, message: "the attribute \(name) is missing; it must be a string that is not empty")
        }
        guard attributes["specversion"] == "1.0" else {
            let version = attributes["specversion"]?.cut(to: 16) ?? ""
            throw Problem(status: 400, message: "specversion is \(version); 1.0 is understood")
        }
        let (id, source, type) = (attributes["id"] ?? "", attributes["source"] ?? "", attributes["type"] ?? "")
        var observation = Observation()
        observation.id = EventID.of(["cloudevents", source, id])
        observation.source = source
        if let time = attributes["time"] {
            guard let milliseconds = Timestamp.parse(time) else {
                throw Problem(status: 400, message: "time is \(time.cut(to: 40)), which is no time as RFC 3339 has it")
            }
            observation.observedAt = milliseconds
        }
        observation.severity = attributes["severity"] ?? data["severity"]?.plain ?? ""
        observation.dedupKey =
            attributes["dedupkey"] ?? EventID.of([source, attributes["subject"] ?? "", type])
        let state = attributes["status"] ?? attributes["state"] ?? data["status"]?.string ?? data["state"]?.string ?? ""
        observation.kind = ["resolved", "ok", "closed"].contains(state.lowercased()) ? .resolve : .trigger
        for name in ["summary", "message", "title", "description"] where observation.summary.isEmpty {
            observation.summary = data[name]?.string ?? ""
        }
        if observation.summary.isEmpty {
            observation.summary = attributes["subject"].map { "\(type): \($0)" } ?? type
        }
        for (name, value) in attributes
        where !["id", "time", "specversion", "datacontenttype", "dataschema"].contains(name) {
            observation.labels[name] = value
        }
        observation.details["id"] = id
        for (name, value) in data.object ?? [] where !value.isNull { observation.details[name] = value.plain }
        if data.object == nil, !data.isNull { observation.details["data"] = data.plain }
        var mapping = mapping
        if attributes["dedupkey"] != nil {
            mapping.serviceLabels.removeAll { $0 == "source" }
            if !sender.isEmpty { mapping.service = sender }
        }
        return mapping.event(.cloudevents, observation, now: now)
    }

    /// Percent-encoding undone, as headers of the binary mode have it; what is no such encoding stays.
    static func decoded(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
        return PercentEncoding.decoded(text)
    }
}

/// `%41` for `A`.
public enum PercentEncoding {
    /// With `%XX` as the bytes they stand for. What is no such sequence stays; bytes that are no UTF-8 become U+FFFD.
    public static func decoded(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String {
        let bytes = Array(text.utf8)
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = digit(bytes[index + 1]),
                let low = digit(bytes[index + 2])
            {
                output.append(high << 4 | low)
                index += 3
            } else {
                output.append(plusIsSpace && bytes[index] == UInt8(ascii: "+") ? UInt8(ascii: " ") : bytes[index])
                index += 1
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(Unicode.Scalar(byte)).hexDigitValue.map { UInt8($0) }
    }
}

extension StringProtocol {
    /// Without spaces and tabs at both ends.
    var trimmed: Substring {
        var text = Substring(self)
        while let first = text.first, first == " " || first == "\t" { text = text.dropFirst() }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        return text
    }
}
