import FoundationEssentials
import SwiftProtobuf
import TocsinWire

/// OpenTelemetry's logs as OTLP/HTTP carries them, made into events: one for each log record that is bad enough.
///
/// | event | of the log record |
/// |---|---|
/// | source | the resource's `service.name` |
/// | service | the resource's `service.name` |
/// | summary | the body, if it is text; else its `event_name`, else the body as JSON |
/// | severity_hint | by `severity_number`: critical from 21 on, major from 17, minor from 13, else info; without one, `severity_text` |
/// | dedup_key | none: triage makes a fingerprint |
/// | observed_at | `time_unix_nano`, else `observed_time_unix_nano` |
/// | labels | the resource's attributes, and the scope's name as `scope` |
/// | details | the record's attributes, `trace_id`, `span_id`, `severity_text`; the body if it is not text |
public struct OTLPLogs: Sendable {
    public enum Encoding: Sendable, Equatable {
        case protobuf
        case json

        /// Nil for a type that OTLP does not have.
        public init?(contentType: String) {
            switch contentType.split(separator: ";").first.map({ $0.trimmed.lowercased() }) {
            case "application/x-protobuf": self = .protobuf
            case "application/json": self = .json
            default: return nil
            }
        }

        public var contentType: String {
            switch self {
            case .protobuf: "application/x-protobuf"
            case .json: "application/json"
            }
        }
    }
    /// The whole body cannot be decoded.
    public struct Unreadable: Error, Sendable, Equatable {
        public var message: String
    }
    public var mapping: Mapping
    /// Records of a lower severity number are accepted and make no event; those without a number do.
    public var minimumSeverity: Int

    public init(mapping: Mapping, minimumSeverity: Int = 17) {
        self.mapping = mapping
        self.minimumSeverity = minimumSeverity
    }

    /// The body of `POST /v1/logs`, not compressed.
    public func logs(_ body: [UInt8], _ encoding: Encoding, now: UInt64) throws(Unreadable) -> Intake {
        let request: Opentelemetry_Logs_ExportLogsServiceRequest
        do {
            switch encoding {
            case .protobuf: request = try .init(serializedBytes: body)
            case .json:
                var options = JSONDecodingOptions()
                options.ignoreUnknownFields = true
                request = try .init(jsonUTF8Bytes: body, options: options)
            }
        } catch { throw Unreadable(message: "the body is no ExportLogsServiceRequest: \(error)") }
        var intake = Intake()
        var index = 0
        for resource in request.resourceLogs {
            let resourceLabels = Self.attributes(resource.resource.attributes)
            for scope in resource.scopeLogs {
                for record in scope.logRecords {
                    defer { index += 1 }
                    if !(0...24).contains(record.severityNumber) {
                        let reason = "record \(index): severity_number \(record.severityNumber) is not 0 to 24"
                        intake.refused.append(.init(index: index, reason: reason))
                        continue
                    }
                    if record.severityNumber != 0, Int(record.severityNumber) < minimumSeverity { continue }
                    intake.events.append(
                        mapping.event(.otlp, observation(record, resourceLabels, scope.scope.name, encoding), now: now))
                }
            }
        }
        return intake
    }

    private func observation(
        _ record: Opentelemetry_Logs_LogRecord, _ resource: [String: String], _ scope: String, _ encoding: Encoding
    ) -> Observation {
        var observation = Observation()
        observation.source = resource["service.name"] ?? ""
        observation.labels = resource
        if !scope.isEmpty { observation.labels["scope"] = scope }
        observation.details = Self.attributes(record.attributes)
        for (name, id) in [("trace_id", record.traceID), ("span_id", record.spanID)] where !id.isEmpty {
            // JSON has them in hexadecimal digits, which protobuf's JSON takes for base64: undone here.
            observation.details[name] = encoding == .json ? id.base64EncodedString() : Array(id).hexadecimal
        }
        if !record.severityText.isEmpty { observation.details["severity_text"] = record.severityText }
        observation.severity =
            switch record.severityNumber {
            case 21...: "critical"
            case 17...20: "major"
            case 13...16: "minor"
            case 1...12: "info"
            default: record.severityText
            }
        if case .stringValue(let text)? = record.body.value {
            observation.summary = text
        } else if record.hasBody {
            observation.details["body"] = Self.json(record.body, depth: 0).text
        }
        if observation.summary.isEmpty { observation.summary = record.eventName }
        if observation.summary.isEmpty { observation.summary = observation.details["body"] ?? "a log record without a body" }
        if !record.eventName.isEmpty { observation.details["event_name"] = record.eventName }
        let nanoseconds = record.timeUnixNano == 0 ? record.observedTimeUnixNano : record.timeUnixNano
        observation.observedAt = nanoseconds / 1_000_000
        return observation
    }

    private static func attributes(_ pairs: [Opentelemetry_Logs_KeyValue]) -> [String: String] {
        Dictionary(pairs.map { ($0.key, json($0.value, depth: 0).plain) }) { $1 }
    }

    private static func json(_ value: Opentelemetry_Logs_AnyValue, depth: Int) -> JSON {
        guard depth < 16 else { return "…" }
        switch value.value {
        case .stringValue(let text): return .string(text)
        case .boolValue(let value): return .bool(value)
        case .intValue(let value): return .integer(value)
        case .doubleValue(let value): return value.isFinite ? .number("\(value)") : .string("\(value)")
        case .arrayValue(let array): return .array(array.values.map { json($0, depth: depth + 1) })
        case .kvlistValue(let list): return .object(list.values.map { ($0.key, json($0.value, depth: depth + 1)) })
        case .bytesValue(let data): return .string(data.base64EncodedString())
        case nil: return .null
        }
    }

    // MARK: Answers

    /// `ExportLogsServiceResponse`: empty unless records were refused.
    public static func response(refused: [Intake.Refusal], _ encoding: Encoding) -> [UInt8] {
        if encoding == .json {
            guard let first = refused.first else { return Array("{}".utf8) }
            let partial: JSON = ["rejectedLogRecords": .string("\(refused.count)"), "errorMessage": .string(first.reason)]
            return Array(JSON.object([("partialSuccess", partial)]).text.utf8)
        }
        var response = Opentelemetry_Logs_ExportLogsServiceResponse()
        if let first = refused.first {
            response.partialSuccess.rejectedLogRecords = Int64(refused.count)
            response.partialSuccess.errorMessage = first.reason
        }
        return encoded(response)
    }

    /// `google.rpc.Status`.
    public static func status(code: Int32, _ message: String, _ encoding: Encoding) -> [UInt8] {
        if encoding == .json { return Array((["code": .integer(code), "message": .string(message)] as JSON).text.utf8) }
        return encoded(
            Opentelemetry_Logs_Status.with {
                $0.code = code
                $0.message = message
            })
    }

    /// Nothing in these messages can fail to be encoded; if it did, an empty answer is a right one.
    private static func encoded(_ message: some SwiftProtobuf.Message) -> [UInt8] {
        do { return try message.serializedBytes() } catch { return [] }
    }
}
