import FoundationEssentials
import Glibc
import TocsinPosix
import TocsinSystem
import Yams

/// Reads `tocsin.yaml`. Blocks on the file: not for Swift's cooperative threads.
public enum ConfigurationLoader {
    /// The file that is used if it is there and no other is named.
    public static let defaultFile = "tocsin.yaml"
    /// Larger files are refused.
    public static let bytesMax = 4 << 20

    /// Reads `file`, or the default file if there is one, or nothing; then `overrides` (by key, such as `log.level`) win
    /// over the file, and the file over the defaults.
    ///
    /// - Throws: `ConfigurationError` with everything that is wrong.
    public static func load(
        file: String?, overrides: [String: Override] = [:], workingFolder: String = currentFolder()
    ) throws(ConfigurationError) -> Configuration {
        let path = Paths.absolute(file ?? defaultFile, under: workingFolder)
        guard let text = try read(path, shownAs: file ?? defaultFile, isRequired: file != nil) else {
            return try parse("", file: nil, path: nil, overrides: overrides, workingFolder: workingFolder)
        }
        return try parse(
            text, file: file ?? defaultFile, path: path, overrides: overrides, workingFolder: workingFolder)
    }

    /// Reads `text` as if it were in the file at `path`, called `file` in problems.
    public static func parse(
        _ text: String, file: String?, path: String?, overrides: [String: Override] = [:], workingFolder: String
    ) throws(ConfigurationError) -> Configuration {
        let node = try compose(text, file: file)
        return try read(node, file: file, path: path, overrides: overrides, workingFolder: workingFolder) {
            Schema.read($0, file: path)
        }
    }

    /// What `body` reads of the file; it asks for every key there may be.
    static func read<Value>(
        _ node: Node?, file: String?, path: String?, overrides: [String: Override] = [:], workingFolder: String,
        _ body: (Section) -> Value
    ) throws(ConfigurationError) -> Value {
        let document = Document(
            file: file, folder: path.map(Paths.folder) ?? workingFolder, workingFolder: workingFolder,
            overrides: overrides, isExplaining: false)
        let root = Section(document, path: "", node: node)
        let value = body(root)
        root.finish()
        guard document.problems.isEmpty else { throw ConfigurationError(ordered(document.problems, mainFile: file)) }
        return value
    }

    /// Every key there is, with its type, default and purpose.
    public static func explain() -> [Setting] {
        let document = Document(file: nil, folder: ".", workingFolder: ".", overrides: [:], isExplaining: true)
        _ = Schema.read(Section(document, path: "", node: nil), file: nil)
        return document.settings
    }

    public static func currentFolder() -> String { FileManager.default.currentDirectoryPath }

    /// In the order of the file, then of those it names; what is not about a place in one comes first.
    private static func ordered(_ problems: [Problem], mainFile: String?) -> [Problem] {
        func place(_ problem: Problem) -> (other: Int, Position) {
            guard case .file(let name, let position?) = problem.source else { return (0, Position(line: 0, column: 0)) }
            return (name == mainFile ? 0 : 1, position)
        }
        return problems.enumerated().sorted { a, b in
            let (first, second) = (place(a.element), place(b.element))
            return first == second ? a.offset < b.offset : first < second
        }.map(\.element)
    }

    /// The content of the YAML file at `path`, called `name` in problems; nil if it is empty.
    static func node(of path: String, shownAs name: String) throws(ConfigurationError) -> Node? {
        try compose(try read(path, shownAs: name, isRequired: true) ?? "", file: name)
    }

    private static func read(
        _ path: String, shownAs name: String, isRequired: Bool
    ) throws(ConfigurationError) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT && !isRequired { return nil }
            throw failure(name, "cannot be read: \(String(cString: strerror(errno)))")
        }
        guard status.st_size <= bytesMax else {
            throw failure(name, "has \(status.st_size) bytes; at most \(SizeText.format(bytesMax)) are read")
        }
        let bytes: [UInt8]
        do { bytes = try WholeFile.read(path, limit: bytesMax) ?? [] } catch {
            throw failure(
                name, "cannot be read: " + (error.code == 0 ? "\(error)" : String(cString: strerror(error.code))))
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw failure(name, "is not UTF-8 text")
        }
        return text
    }

    private static func failure(_ name: String, _ message: String) -> ConfigurationError {
        ConfigurationError([Problem(.file(name, nil), message)])
    }

    private static func compose(_ text: String, file: String?) throws(ConfigurationError) -> Node? {
        do {
            return try Yams.compose(yaml: text, .default, .default, .utf8)
        } catch let error as YamlError {
            throw ConfigurationError([problem(error, in: text, file: file ?? defaultFile)])
        } catch {
            throw failure(file ?? defaultFile, "cannot be read as YAML: \(error)")
        }
    }

    private static func problem(_ error: YamlError, in text: String, file: String) -> Problem {
        func at(_ mark: Mark, _ message: String) -> Problem {
            Problem(.file(file, Position(line: mark.line, column: mark.column)), message)
        }
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let before = context.map { "\($0.text) that began in line \($0.mark.line), " } ?? ""
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let line = lines.indices.contains(mark.line - 1) ? lines[mark.line - 1] : ""
            let hint = line.drop { $0 == " " }.first == "\t" ? "; indent with spaces, not with tabs" : ""
            return at(mark, "not valid YAML: \(before)\(problem)\(hint)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.map { "\"\($0.prefix(60))\"" }.joined(separator: ", ")
            return at(context.mark, "the key \(keys) is there more than once; keep one")
        case .reader(let problem, let offset, _, _):
            return Problem(
                .file(file, nil), "not valid YAML: \(problem)" + (offset.map { " at character \($0)" } ?? ""))
        case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded:
            return Problem(.file(file, nil), "cannot be read as YAML: \(error)")
        }
    }
}
