import Glibc
import TestSupport
import Testing
import TocsinPosix
import TocsinSystem

/// Real commands, so that what is tested is the system's behaviour and not a picture of it.
@Suite(.timeLimit(.minutes(3)))
struct SubprocessTests {
    let pool = BlockingPool(threads: 4)

    private func sh(
        _ script: String, timeout: Duration = .seconds(10), stdin: String = "", environment: [String: String] = [:],
        grace: Duration = .seconds(2)
    ) async throws -> Subprocess.Result {
        try await Subprocess.run(
            ["sh", "-c", script], environment: environment, stdin: Array(stdin.utf8), timeout: timeout, killGrace: grace,
            pool: pool)
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private func isAlive(_ pid: pid_t) -> Bool { kill(pid, 0) == 0 }

    @Test("exit code, both outputs, standard input and environment arrive")
    func outputs() async throws {
        let result = try await sh(
            "cat; echo \"$TOCSIN_X\"; echo bad >&2; exit 3", stdin: "hello ", environment: ["TOCSIN_X": "y z"])
        #expect(result.exit == 3)
        #expect(result.signal == nil)
        #expect(text(result.stdout) == "hello y z\n")
        #expect(text(result.stderr) == "bad\n")
        #expect(!result.timedOut && !result.succeeded)
    }

    @Test("a program that does not exist is named")
    func missing() async throws {
        let error = await #expect(throws: SubprocessError.self) {
            try await Subprocess.run(["no-such-program-here"], timeout: .seconds(1), pool: pool)
        }
        #expect(error?.description.contains("no-such-program-here") == true)
        await #expect(throws: SubprocessError.self) { try await Subprocess.run([], timeout: .seconds(1), pool: pool) }
    }

    @Test("output past the limit is read, so that the child does not block, and dropped")
    func bounded() async throws {
        let result = try await sh("head -c 3000000 /dev/zero; echo end >&2")
        #expect(result.exit == 0)
        #expect(result.stdout.count == 64 << 10)
        #expect(text(result.stderr) == "end\n")
    }

    @Test("input larger than a pipe reaches a child that answers as it reads; a child that reads none is no error")
    func largeInput() async throws {
        let big = String(repeating: "0123456789abcdef", count: 60_000)
        #expect(text(try await sh("wc -c", stdin: big).stdout).contains("960000"))
        #expect(try await sh("exit 0", stdin: big).exit == 0)
    }

    @Test("a signal is told apart from an exit code")
    func signalled() async throws {
        let result = try await sh("kill -9 $$")
        #expect(result.exit == nil)
        #expect(result.signal == 9)
    }

    @Test("past its time the whole group is killed, grandchildren that ignore SIGTERM included")
    func timeoutKillsGrandchildren() async throws {
        // Whoever waits for the command itself waits longer than the suite may take; so with the others below.
        let result = try await sh(
            "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & sleep 600", timeout: .milliseconds(400),
            grace: .milliseconds(300))
        #expect(result.timedOut)
        let pid = try #require(pid_t(text(result.stdout).split(separator: "\n").first.map(String.init) ?? ""))
        // It is init's to reap; a zombie still answers to kill(pid, 0), so ask for its state.
        #expect(await eventually { !isAlive(pid) || isZombie(pid) })
    }

    private func isZombie(_ pid: pid_t) -> Bool {
        guard let file = fopen("/proc/\(pid)/stat", "r") else { return true }
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 512)
        guard fgets(&buffer, 512, file) != nil else { return true }
        let line = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return line.contains(") Z ")
    }

    @Test("what a command leaves in the background lives on and does not hold the result back")
    func background() async throws {
        let result = try await sh("sleep 600 & echo $!")
        #expect(!result.timedOut)
        let pid = try #require(pid_t(text(result.stdout).split(separator: "\n").first.map(String.init) ?? ""))
        #expect(isAlive(pid))
        kill(pid, SIGKILL)
    }

    @Test("cancellation kills the child at once")
    func cancellation() async throws {
        let task = Task { try await sh("sleep 600") }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    /// Other tests of the process open and close descriptors at the same time, so only those of these commands count: the
    /// child tells which pipes it was given, by the system's names for them, which no two have in common.
    @Test("no descriptor leaks into the child, none stays open here")
    func descriptors() async throws {
        for _ in 0..<20 {
            // `ls` reads the folder by one more; `exec`, so that the shell's own do not count.
            #expect(text(try await sh("exec ls /proc/self/fd").stdout) == "0\n1\n2\n3\n")
            let named = try await sh("exec readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2", stdin: "x")
            let pipes = Set(text(named.stdout).split(separator: "\n").map(String.init))
            try #require(pipes.count == 3 && pipes.allSatisfy { $0.hasPrefix("pipe:") }, "\(pipes)")
            let left = openPipes().intersection(pipes)
            #expect(left == [])
        }
    }

    private func openPipes() -> Set<String> {
        var pipes: Set<String> = []
        var buffer = [CChar](repeating: 0, count: 64)
        for name in Folder.names("/proc/self/fd") ?? [] {
            let count = readlink("/proc/self/fd/\(name)", &buffer, buffer.count)
            let target = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if target.hasPrefix("pipe:") { pipes.insert(target) }
        }
        return pipes
    }

    @Test("fifty commands at once on four threads all answer")
    func many() async throws {
        let sum = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<50 { group.addTask { Int(try await sh("exit \(number)").exit ?? -1) } }
            return try await group.reduce(0, +)
        }
        #expect(sum == 49 * 50 / 2)
    }

    @Test("a pool whose queue is full says so")
    func full() async throws {
        let small = BlockingPool(threads: 1, queue: 1)
        let held = Task { try await small.run { while !$0.isSet { usleep(1000) } } }
        let waiting = Task { try await small.run { while !$0.isSet { usleep(1000) } } }
        let refused = await eventually {
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await small.run { while !$0.isSet { usleep(1000) } } }
                    group.addTask {
                        try await Task.sleep(for: .milliseconds(20))
                        throw CancellationError()
                    }
                    try await group.next()
                    group.cancelAll()
                }
                return false
            } catch { return error is BlockingPoolError }
        }
        #expect(refused)
        held.cancel()
        waiting.cancel()
        _ = await (held.result, waiting.result)
    }
}
