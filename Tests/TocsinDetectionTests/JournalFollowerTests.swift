import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import TocsinKit
import TocsinProto
import TocsinSystem

@testable import TocsinDetection

/// Goal: every entry of systemd's journal becomes one event, also after restarts. Method: a script in place of journalctl, which
/// knows the options that are used and prints entries of a file.
@Suite("Following the journal", .timeLimit(.minutes(1)))
struct JournalFollowerTests {
    private let folder: TemporaryFolder
    private let pool = BlockingPool(threads: 2)

    init() throws {
        folder = try TemporaryFolder()
        try Data(
            """
            #!/bin/sh
            cd \(folder.path)
            after= lines=
            for word; do
                case $word in
                --after-cursor=*) after=${word#*=} ;;
                --lines=*) lines=${word#*=} ;;
                esac
            done
            echo "$*" > arguments
            if [ -e broken ]; then echo "journal is corrupt" >&2; exit 1; fi
            if [ -n "$lines" ]; then
                tail -n "$lines" entries
            elif [ -n "$after" ]; then
                awk -v cursor="$after" 'isAfter; index($0, cursor) { isAfter = 1 }' entries
            else
                cat entries
            fi

            """.utf8
        ).write(to: URL(filePath: program))
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: program)
        try write([])
    }

    private var program: String { folder.path + "/journalctl" }

    private func write(_ messages: [String]) throws {
        let entries = messages.enumerated().map { number, message in
            "{\"__CURSOR\": \"s=1;i=\(number)\", \"MESSAGE\": \(message), \"_SYSTEMD_UNIT\": \"ssh.service\", \"SYSLOG_IDENTIFIER\": [\"sshd\", \"x\"]}\n"
        }
        try Data(entries.joined().utf8).write(to: URL(filePath: folder.path + "/entries"))
    }

    private func follower(fromStart: Bool = false, program: String? = nil) throws -> JournalFollower {
        let log = LogCheck(.journal(units: ["ssh.service"]), fromStart: fromStart)
        return try JournalFollower(
            units: ["ssh.service"], detector: "d", spoolDirectory: folder.path,
            check: Check(name: "j", service: "login", kind: .log(log)), log: log, logger: quiet,
            program: program ?? self.program)
    }

    private func drain(_ follower: JournalFollower) async throws -> [Message] {
        var messages: [Message] = []
        while true {
            let batch = try await follower.next(pool: pool)
            messages += batch.events
            if batch.atEnd { return messages }
        }
    }

    @Test("entries are events with their unit, text or not; one too long to be shown is said to be there")
    func entries() async throws {
        try write(["\"old\""])
        let journal = try follower()
        #expect(try await drain(journal).isEmpty)
        try write(["\"old\"", "\"a \\\"new\\\" one\"", "[98, 97, 100, 255]", "null", "[[111, 107], [111]]"])
        let events = try LogWorld.events(try await drain(journal))
        #expect(events.map(\.summary) == ["a \"new\" one", "bad\u{FFFD}", "(a message too long to be shown)", "ok"])
        #expect(events.allSatisfy { $0.labels["unit"] == "ssh.service" && $0.details["identifier"] == "sshd" })
        #expect(events.map { $0.details["truncated"] } == [nil, nil, "true", nil])
        let arguments = try String(contentsOf: URL(filePath: folder.path + "/arguments"), encoding: .utf8)
        #expect(arguments == "--quiet --no-pager --output=json --unit=ssh.service --after-cursor=s=1;i=0\n")
    }

    @Test("a restart goes on where the cursor was saved; what is read again has the same ids")
    func restart() async throws {
        try write(["\"a\"", "\"b\""])
        let first = try follower(fromStart: true)
        #expect(try LogWorld.summaries(try await drain(first)) == ["a", "b"])
        try await first.save(pool: pool)
        try write(["\"a\"", "\"b\"", "\"c\""])
        let unsaved = try await drain(try follower())
        #expect(try LogWorld.summaries(unsaved) == ["c"])
        #expect(try await drain(try follower()).map(\.id) == unsaved.map(\.id))
    }

    @Test("without journalctl there is a sentence about it; what it complains about is passed on, and is no end")
    func failures() async throws {
        #expect(throws: ConfigurationProblem.self) { () throws -> Void in _ = try follower(program: "no-such-journalctl") }
        try write(["\"a\""])
        let journal = try follower(fromStart: true)
        try Data().write(to: URL(filePath: folder.path + "/broken"))
        let error = await #expect(throws: StateFileError.self) { () async throws -> Void in
            _ = try await drain(journal)
        }
        #expect(error?.description.contains("journal is corrupt") == true)
        try FileManager.default.removeItem(atPath: folder.path + "/broken")
        #expect(try LogWorld.summaries(try await drain(journal)) == ["a"])
    }
}
