import TocsinAccess
import TocsinIntake
import TocsinWire

extension IntakeService {
    // MARK: PagerDuty

    func pagerDuty(_ request: IntakeRequest, isChange: Bool) async -> IntakeAnswer {
        guard request.method == "POST" else { return notAllowed("POST") }
        do throws(IntakeFailure) {
            guard request.body.count <= PagerDuty.bodyBytesMax else {
                let problem = "the event has \(request.body.count) bytes; at most \(PagerDuty.bodyBytesMax) are possible"
                return Self.invalid([problem], status: 413)
            }
            let body: JSON
            do throws(JSONProblem) { body = try JSON(request.body) } catch {
                return Self.invalid(["the body is no JSON: \(error)"])
            }
            let caller = try caller(request, token: PagerDuty.routingKey(body))
            let tool = PagerDuty(mapping: protocols.mapping(.pagerduty), service: Self.name(caller))
            switch isChange ? tool.change(body, now: clock()) : tool.event(body, now: clock()) {
            case .invalid(let errors): return Self.invalid(errors)
            case .accepted(let event, let key):
                if let event { try await publish([event], by: caller) }
                var answer: [(name: String, value: JSON)] = [
                    ("status", "success"), ("message", .string(isChange ? "Change event processed" : "Event processed")),
                ]
                if !isChange { answer.append(("dedup_key", .string(key))) }
                return IntakeAnswer(202, json: .object(answer))
            }
        } catch {
            let status: JSON = error.status == 400 ? "invalid event" : "error"
            var answer = IntakeAnswer(
                error.status, json: ["status": status, "message": .string(error.message), "errors": []])
            answer.headers.merge(error.headers) { $1 }
            return answer
        }
    }

    private static func invalid(_ errors: [String], status: Int = 400) -> IntakeAnswer {
        IntakeAnswer(
            status,
            json: [
                "status": "invalid event", "message": "Event object is invalid", "errors": .array(errors.map { .string($0) }),
            ])
    }

    /// Of who has a name; else empty.
    private static func name(_ caller: Caller) -> String { caller.name == CallerMetadata.anonymous ? "" : caller.name }

    // MARK: CloudEvents

    func cloudEvents(_ request: IntakeRequest) async -> IntakeAnswer {
        do throws(IntakeFailure) {
            switch request.method {
            case "OPTIONS":
                // The handshake of the webhook specification, section 4: whoever has a token may send, as fast as they like.
                guard let origin = request.headers["webhook-request-origin"] else { return notAllowed("POST, OPTIONS") }
                _ = try caller(request)
                return IntakeAnswer(
                    200, headers: ["webhook-allowed-origin": origin, "webhook-allowed-rate": "*", "allow": "POST, OPTIONS"])
            case "POST": break
            default: return notAllowed("POST, OPTIONS")
            }
            let caller = try caller(request)
            let tool = CloudEvents(mapping: protocols.mapping(.cloudevents), sender: Self.name(caller))
            let intake: Intake
            do throws(CloudEvents.Problem) {
                intake = try tool.events(
                    contentType: request.headers["content-type"] ?? "", headers: request.headers, body: request.body, now: clock()
                )
            } catch { return IntakeAnswer(error.status, json: ["error": .string(error.message)]) }
            try await publish(intake.events, by: caller)
            return IntakeAnswer(204)
        } catch {
            var answer = IntakeAnswer(error.status, json: ["error": .string(error.message)])
            answer.headers.merge(error.headers) { $1 }
            return answer
        }
    }

    // MARK: Nagios

    /// Passive results, one on each line, as Nagios takes them from its command file. What can be read is taken though the rest is
    /// not.
    func nagios(_ request: IntakeRequest) async -> IntakeAnswer {
        guard request.method == "POST" else { return notAllowed("POST") }
        do throws(IntakeFailure) {
            let caller = try caller(request)
            let (mapping, now) = (protocols.mapping(.nagios), clock())
            var intake = Intake()
            for (index, line) in request.body.split(separator: UInt8(ascii: "\n")).enumerated() {
                do throws(NagiosResult.Problem) {
                    let result = try NagiosResult(line: Array(line))
                    intake.events.append(mapping.event(.nagios, result.observation, now: now))
                } catch { intake.refused.append(.init(index: index, reason: error.description)) }
            }
            try await publish(intake.events, by: caller)
            guard !intake.refused.isEmpty else { return IntakeAnswer(200, text: "OK\n") }
            let lines = intake.refused.prefix(20).map { "line \($0.index + 1): \($0.reason)\n" }
            return IntakeAnswer(
                400, text: "\(intake.events.count) results are stored, \(intake.refused.count) are not:\n" + lines.joined())
        } catch {
            var answer = IntakeAnswer(error.status, text: error.message + "\n")
            answer.headers.merge(error.headers) { $1 }
            return answer
        }
    }

    // MARK: OpenTelemetry

    func logs(_ request: IntakeRequest) async -> IntakeAnswer {
        guard request.method == "POST" else { return notAllowed("POST") }
        let encoding = OTLPLogs.Encoding(contentType: request.headers["content-type"] ?? "")
        guard let encoding else {
            return IntakeAnswer(415, text: "send application/x-protobuf or application/json\n")
        }
        func status(_ status: Int, _ code: Int32, _ message: String, _ headers: [String: String] = [:]) -> IntakeAnswer {
            var answer = IntakeAnswer(status, headers: headers)
            answer.headers["content-type"] = encoding.contentType
            answer.body = OTLPLogs.status(code: code, message, encoding)
            return answer
        }
        do throws(IntakeFailure) {
            let caller = try caller(request)
            let tool = OTLPLogs(mapping: protocols.mapping(.otlp), minimumSeverity: protocols.minimumSeverity)
            let intake: Intake
            do throws(OTLPLogs.Unreadable) { intake = try tool.logs(request.body, encoding, now: clock()) } catch {
                return status(400, 3, error.message)
            }
            try await publish(intake.events, by: caller)
            var answer = IntakeAnswer(200)
            answer.headers["content-type"] = encoding.contentType
            answer.body = OTLPLogs.response(refused: intake.refused, encoding)
            return answer
        } catch {
            let code: Int32 =
                switch error.status {
                case 401: 16
                case 403: 7
                case 429: 8
                case 503: 14
                default: 3
                }
            return status(error.status, code, error.message, error.headers)
        }
    }
}
