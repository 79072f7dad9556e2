import Glibc
import TocsinSimulator

// tools/fuzz builds this with libFuzzer, which then drives it; any other build runs inputs once. Not shipped.
//
//   tocsin-fuzz --write-seeds FOLDER      writes the inputs to begin with to FOLDER/TARGET
//   tocsin-fuzz TARGET FILE…              runs these inputs
//
// With libFuzzer it takes libFuzzer's arguments, and the target from TOCSIN_FUZZ_TARGET.

#if TOCSIN_LIBFUZZER
    private typealias RunOne = @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt

    @_silgen_name("LLVMFuzzerRunDriver")
    private func runDriver(
        _ argc: UnsafeMutablePointer<CInt>,
        _ argv: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>, _ one: RunOne
    ) -> CInt

    /// One for each target: libFuzzer calls a C function, which has no other way to know.
    private let entries: [FuzzTarget: RunOne] = [
        .wire: { runOne(.wire, $0, $1) },
        .folder: { runOne(.folder, $0, $1) },
        .records: { runOne(.records, $0, $1) },
    ]

    private func runOne(_ target: FuzzTarget, _ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
        do {
            try target.run(UnsafeRawBufferPointer(start: bytes, count: count))
            return 0
        } catch {
            say("VIOLATION of \(error.rule): \(error)")
            abort()
        }
    }
#endif

private func say(_ text: String) {
    let line = Array((text + "\n").utf8)
    _ = write(STDERR_FILENO, line, line.count)
}

private func fail(_ text: String, _ code: CInt = 1) -> Never {
    say(text)
    exit(code)
}

private func contents(of path: String) -> [UInt8] {
    guard let file = fopen(path, "rb") else { fail("cannot read \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { return bytes }
        bytes += buffer[..<count]
    }
}

private func save(_ bytes: [UInt8], to path: String) {
    guard let file = fopen(path, "wb"), fwrite(bytes, 1, bytes.count, file) == bytes.count, fclose(file) == 0 else {
        fail("cannot write \(path)")
    }
}

private func writeSeeds(_ folder: String) throws {
    for target in FuzzTarget.allCases {
        mkdir(folder, 0o755)
        mkdir("\(folder)/\(target.rawValue)", 0o755)
        for seed in try target.seeds() { save(seed.bytes, to: "\(folder)/\(target.rawValue)/seed-\(seed.name)") }
    }
}

private let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.count == 2, arguments[0] == "--write-seeds" {
    try writeSeeds(arguments[1])
    exit(0)
}
#if TOCSIN_LIBFUZZER
    // Not an argument: libFuzzer starts this program again with those it knows.
    guard let name = getenv("TOCSIN_FUZZ_TARGET"), let target = FuzzTarget(rawValue: String(cString: name)) else {
        fail("TOCSIN_FUZZ_TARGET is not one of \(FuzzTarget.allCases.map(\.rawValue))", 64)
    }
    var count = CommandLine.argc
    var values = CommandLine.unsafeArgv
    guard let entry = entries[target] else { fail("no entry for \(target)") }
    exit(runDriver(&count, &values, entry))
#else
    guard let target = arguments.first.flatMap(FuzzTarget.init(rawValue:)), arguments.count > 1 else {
        let targets = FuzzTarget.allCases.map(\.rawValue).joined(separator: "|")
        fail("usage: tocsin-fuzz --write-seeds FOLDER, or tocsin-fuzz \(targets) FILE…", 64)
    }
    for path in arguments.dropFirst() {
        do {
            try contents(of: path).withUnsafeBytes { try target.run($0) }
        } catch {
            fail("\(path): \(error)")
        }
    }
    print("\(arguments.count - 1) passed, 0 failed")
#endif
