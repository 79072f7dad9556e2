import TocsinWire

extension ResponderConfiguration {
    /// What is wrong with it, one sentence each; empty if nothing is.
    public var problems: [String] {
        var problems: [String] = []
        if name.isEmpty { problems.append("the responder has no name") }
        if directory.isEmpty { problems.append("the responder has no directory for its ledger") }
        if !(1...256).contains(parallelism) { problems.append("parallelism \(parallelism) is not in 1 to 256") }
        if !(.seconds(1) ... .seconds(86_400)).contains(visibility) {
            problems.append("the visibility time must be 1 s to 1 day")
        }
        if !(.zero ... .seconds(3600)).contains(stopGrace) { problems.append("stop_grace must be 0 s to 1 hour") }
        problems += Self.nameProblems(runbooks.map(\.name), "runbook")
        problems += Self.nameProblems(notifications.map(\.name), "notification")
        for runbook in runbooks {
            problems += runbook.problems(visibility: visibility).map { "runbook \"\(runbook.name)\": \($0)" }
        }
        for target in notifications {
            problems += target.problems(visibility: visibility).map { "notification \"\(target.name)\": \($0)" }
        }
        return problems
    }

    private static func nameProblems(_ names: [String], _ what: String) -> [String] {
        var seen: Set<String> = []
        return names.compactMap { name in
            if let problem = Check.name(name, what) { return problem }
            return seen.insert(name).inserted ? nil : "two \(what)s are named \"\(name)\""
        }
    }
}

extension Runbook {
    fileprivate static let stepsMax = 32

    fileprivate func problems(visibility: Duration) -> [String] {
        var problems = Check.verbs(match.verbs, refused: ReportVerb.allCases)
        if !(1...Self.stepsMax).contains(steps.count) {
            problems.append("it has \(steps.count) steps; 1 to \(Self.stepsMax) are possible")
        }
        for (number, step) in steps.enumerated() {
            problems += step.problems.map { "step \(number + 1) \"\(step.name)\": \($0)" }
        }
        if let verify { problems += verify.problems.map { "verify: \($0)" } }
        // Only with numbers that make sense can the sum be made.
        if problems.isEmpty, longestRun + Lease.reserve > visibility {
            problems.append(
                "a run may take \(longestRun.milliseconds / 1000) s, with timeouts, waits and verification; "
                    + "together with \(Lease.reserve.milliseconds / 1000) s for its reports that is more than the visibility time of "
                    + "\(visibility.milliseconds / 1000) s. Shorten it, or lengthen the visibility time of the pool")
        }
        return problems
    }
}

extension RunbookStep {
    fileprivate var problems: [String] {
        var problems = [Check.name(name, "step"), Check.command(command), Check.timeout(timeout)].compactMap(\.self)
        for name in environment.keys.sorted() where name.isEmpty || name.utf8.contains(where: { $0 == 0 || $0 == 0x3D }) {
            problems.append("\"\(name)\" cannot be the name of an environment variable")
        }
        for (name, value) in environment where value.utf8.contains(0) {
            problems.append("the environment variable \(name) has a NUL byte in it")
        }
        return problems
    }
}

extension Verification {
    fileprivate var problems: [String] {
        var problems = [Check.timeout(timeout)].compactMap(\.self)
        if !(1...1000).contains(attempts) { problems.append("attempts \(attempts) is not in 1 to 1000") }
        if !(.zero...Check.longestTime).contains(interval) { problems.append("the interval must be 0 s to 1 day") }
        switch probe {
        case .command(let command): problems += [Check.command(command)].compactMap(\.self)
        case .http(let url, let expectStatus):
            problems += [Check.url(url)].compactMap(\.self)
            if expectStatus.isEmpty { problems.append("no status is expected; give at least one") }
            if let range = expectStatus.first(where: { $0.lowerBound < 100 || $0.upperBound > 599 }) {
                problems.append("status \(range.lowerBound) to \(range.upperBound) is not in 100 to 599")
            }
        }
        return problems
    }
}

extension NotificationTarget {
    fileprivate func problems(visibility: Duration) -> [String] {
        // A notification about a notification would never end.
        var problems = Check.verbs(verbs, refused: [.notified, .notificationFailed])
        problems += [Check.timeout(timeout)].compactMap(\.self)
        if !(1...20).contains(attempts) { problems.append("attempts \(attempts) is not in 1 to 20") }
        if !(.zero...Check.longestTime).contains(backoff) { problems.append("the backoff must be 0 s to 1 day") }
        switch channel {
        case .command(let command): problems += [Check.command(command)].compactMap(\.self)
        case .webhook(let url, let headers):
            problems += [Check.url(url)].compactMap(\.self)
            for (name, value) in headers.sorted(by: { $0.key < $1.key }) { problems += Check.header(name, value) }
        }
        if problems.isEmpty, longest + Lease.reserve > visibility {
            problems.append(
                "its attempts may take \(longest.milliseconds / 1000) s; with \(Lease.reserve.milliseconds / 1000) s for "
                    + "the report that is more than the visibility time of \(visibility.milliseconds / 1000) s")
        }
        return problems
    }
}

/// What is wrong with one value. Values that may be secret (URLs, header values) are not repeated.
private enum Check {
    static let longestTime = Duration.seconds(86_400)

    static func name(_ name: String, _ what: String) -> String? {
        guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) || what == "step",
            !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else { return "the name \"\(name.prefix(64))\" of a \(what) is empty, over 64 bytes long or has spaces in it" }
        return nil
    }

    static func command(_ command: [String]) -> String? {
        guard let program = command.first, !program.isEmpty else { return "the command is empty" }
        return command.contains { $0.utf8.contains(0) } ? "an argument of \"\(program)\" has a NUL byte in it" : nil
    }

    static func timeout(_ timeout: Duration) -> String? {
        timeout > .zero && timeout <= longestTime ? nil : "the timeout must be more than 0 s and at most 1 day"
    }

    static func verbs(_ verbs: [String], refused: [ReportVerb]) -> [String] {
        if verbs.isEmpty { return ["no verb is given; without one nothing ever matches"] }
        return verbs.compactMap { verb in
            guard ReportVerb(rawValue: verb).map(refused.contains) != true else {
                return "the verb \"\(verb)\" is what it brings about itself; it would never end"
            }
            return Subject.token(verb) == verb ? nil : "\"\(verb)\" is not a verb; verbs are like \"opened\""
        }
    }

    static func url(_ url: String) -> String? {
        let lower = url.lowercased()
        guard let scheme = ["http://", "https://"].first(where: lower.hasPrefix), url.utf8.count > scheme.utf8.count,
            url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return "its URL is not an http or https URL" }
        return nil
    }

    static func header(_ name: String, _ value: String) -> [String] {
        var problems: [String] = []
        if name.isEmpty || !name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3A }) {
            problems.append("\"\(name)\" cannot be the name of a header")
        }
        if value.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }) {
            problems.append("the header \(name) has a control character in it")
        }
        if ["idempotency-key", "content-length"].contains(name.lowercased()) {
            problems.append("the header \(name) is set by the responder itself")
        }
        return problems
    }
}
