import TocsinDomain
import Yams

/// One key of the configuration: what it is for, and what it is set to here.
public struct Setting: Sendable, Equatable {
    /// `detectors[0].checks[2].interval`; in the list of all keys `detectors[].checks[].interval`.
    public var key: String
    /// `duration`, `text`, `list of filter`, ...
    public var type: String
    /// In effect; in the list of all keys the default, or `required`.
    public var value: String
    public var source: Source
    /// One sentence.
    public var documentation: String
    /// Holds what should not be shown to everybody (a webhook's address, the headers of a request).
    public var isSecret: Bool
}

/// A value from a flag or the environment, as it was written.
public struct Override: Sendable {
    public var text: String
    public var source: Source

    public init(_ text: String, from source: Source) {
        self.text = text
        self.source = source
    }
}

/// What is shared while one configuration is read: what came from outside the file, and what was found. One thread.
final class Document {
    /// As shown to people; nil without a file.
    let file: String?
    /// Relative paths in the file are under this folder; those of flags and environment under `workingFolder`.
    let folder: String
    let workingFolder: String
    let overrides: [String: Override]
    /// Reads nothing: every key is visited once, with its default, to list them all.
    let isExplaining: Bool
    private(set) var problems: [Problem] = []
    private(set) var settings: [Setting] = []
    private static let problemsMax = 1000
    private static let settingsMax = 200_000

    init(file: String?, folder: String, workingFolder: String, overrides: [String: Override], isExplaining: Bool) {
        self.file = file
        self.folder = folder
        self.workingFolder = workingFolder
        self.overrides = overrides
        self.isExplaining = isExplaining
    }

    func source(_ position: Position?) -> Source { file.map { .file($0, position) } ?? .default }

    func report(_ source: Source, _ message: String) {
        if !isExplaining && problems.count < Self.problemsMax { problems.append(Problem(source, message)) }
    }

    /// What another file of the same configuration said, after what this one said.
    func absorb(_ other: Document) {
        for problem in other.problems where problems.count < Self.problemsMax { problems.append(problem) }
        other.settings.forEach(note)
    }

    func note(_ setting: Setting) {
        // YAML aliases can make a small file mean very much.
        if settings.count < Self.settingsMax { settings.append(setting) }
    }
}

extension Node {
    var position: Position? { mark.map { Position(line: $0.line, column: $0.column) } }

    /// Nothing was written: `key:`, `~` or `null`.
    var isAbsent: Bool {
        guard case .scalar(let scalar) = self, scalar.style == .plain || scalar.style == .any else { return false }
        return ["", "~", "null"].contains(scalar.string)
    }

    /// What it is, for "expected …, found …".
    var kind: String {
        switch self {
        case .scalar(let scalar): "\"\(scalar.string.prefix(60))\""
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }
}

/// Reads one mapping of the file. Each key that exists is asked for once, with its default and what it is for, so that
/// reading, showing, explaining and refusing unknown keys all follow from the same lines.
final class Section {
    let document: Document
    let path: String
    let source: Source
    private var nodes: [(key: String, position: Position?, value: Node)] = []
    private var known: [String] = []

    /// `node` nil: nothing is set. Whatever is not a mapping is reported and read as an empty one.
    init(_ document: Document, path: String, node: Node?) {
        self.document = document
        self.path = path
        source = document.source(node?.position)
        guard let node, !node.isAbsent else { return }
        guard case .mapping(let mapping) = node else {
            document.report(source, "\(Self.name(path)): expected keys and values, found \(node.kind)")
            return
        }
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key else {
                document.report(
                    document.source(key.position), "\(Self.name(path)): a key must be a word, found \(key.kind)")
                continue
            }
            nodes.append((scalar.string, key.position, value))
        }
    }

    private static func name(_ path: String) -> String { path.isEmpty ? "the file" : path }

    func path(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    private func take(_ key: String) -> (position: Position?, value: Node)? {
        known.append(key)
        guard let found = nodes.first(where: { $0.key == key }), !found.value.isAbsent else { return nil }
        return (found.position, found.value)
    }

    /// Whether the file sets `key`.
    func has(_ key: String) -> Bool { nodes.contains { $0.key == key && !$0.value.isAbsent } }

    /// Reports what is wrong with the section as a whole.
    func report(_ message: String) { document.report(source, path.isEmpty ? message : "\(path): \(message)") }

    /// Reports what is wrong with the value of `key`.
    func report(_ key: String, _ message: String) {
        let position = nodes.first { $0.key == key }?.value.position
        let place = document.overrides[path(of: key)]?.source ?? position.map { document.source($0) } ?? source
        document.report(place, "\(path(of: key)): \(message)")
    }

    /// Refuses every key that was not asked for.
    func finish() {
        for node in nodes where !known.contains(node.key) {
            let place = path.isEmpty ? "" : " in \(path)"
            let hint =
                Suggestion.closest(to: node.key, in: known).map { "did you mean \"\($0)\"?" }
                ?? "the keys here are " + known.joined(separator: ", ")
            document.report(document.source(node.position), "unknown key \"\(node.key.prefix(60))\"\(place); \(hint)")
        }
    }

    // MARK: Single values

    private func resolve<Value>(_ key: String, _ type: Scalar<Value>) -> (value: Value, source: Source)? {
        let node = take(key)
        if let override = document.overrides[path(of: key)] {
            if let value = type.parse(override.text) { return (value, override.source) }
            complain(override.source, key, type, found: "\"\(override.text.prefix(60))\"", text: override.text)
            return nil
        }
        guard let node, let value = parse(node.value, type, key) else { return nil }
        return (value, document.source(node.value.position))
    }

    private func parse<Value>(_ node: Node, _ type: Scalar<Value>, _ key: String) -> Value? {
        guard case .scalar(let scalar) = node else {
            complain(document.source(node.position), key, type, found: node.kind, text: nil)
            return nil
        }
        if let value = type.parse(scalar.string) { return value }
        complain(document.source(node.position), key, type, found: node.kind, text: scalar.string)
        return nil
    }

    private func complain<Value>(_ source: Source, _ key: String, _ type: Scalar<Value>, found: String, text: String?) {
        let guess = text.flatMap { Suggestion.closest(to: $0, in: type.words) }
        let hint = guess.map { "; did you mean \"\($0)\"?" } ?? ""
        document.report(source, "\(path(of: key)): expected \(type.expected), found \(found)\(hint)")
    }

    private func note(_ key: String, _ type: String, _ value: String, _ source: Source, _ doc: String, secret: Bool) {
        document.note(
            Setting(
                key: path(of: key), type: type, value: value.isEmpty ? "\"\"" : value, source: source,
                documentation: doc, isSecret: secret))
    }

    /// The value of `key`, or its default.
    func read<Value>(
        _ key: String, _ type: Scalar<Value>, default fallback: Value, _ doc: String, secret: Bool = false
    ) -> Value {
        let found = resolve(key, type)
        let value = found?.value ?? fallback
        note(key, type.name, type.format(value), found?.source ?? .default, doc, secret: secret && found != nil)
        return value
    }

    /// The value of `key`, or nil; `absent` says in words what that means.
    func read<Value>(
        _ key: String, _ type: Scalar<Value>, absent: String, _ doc: String, secret: Bool = false
    ) -> Value? {
        let found = resolve(key, type)
        note(
            key, type.name, found.map { type.format($0.value) } ?? absent, found?.source ?? .default, doc,
            secret: secret && found != nil)
        return found?.value
    }

    /// The value of `key`, which must be set; without it a problem is reported and `placeholder` returned.
    func require<Value>(
        _ key: String, _ type: Scalar<Value>, placeholder: Value, _ doc: String, secret: Bool = false
    ) -> Value {
        let isSet = has(key)
        let found = resolve(key, type)
        if found == nil && !isSet { report("\"\(key)\" is missing; expected \(type.expected)") }
        note(
            key, type.name, found.map { type.format($0.value) } ?? "required", found?.source ?? .default, doc,
            secret: secret && found != nil)
        return found?.value ?? placeholder
    }

    /// A path. Relative ones in the file are under the file's folder, others under the working folder.
    func path(_ key: String, default fallback: String, _ doc: String) -> String {
        let found = resolve(key, .word)
        let isOutside = document.overrides[path(of: key)] != nil
        let value = Paths.absolute(
            found?.value ?? fallback, under: isOutside ? document.workingFolder : document.folder)
        let shown = document.isExplaining ? fallback : value
        note(key, "path", shown, found?.source ?? .default, doc, secret: false)
        return value
    }

    /// Paths, each as `path` reads one.
    func paths(_ key: String, _ doc: String) -> [String] {
        list(key, .word, default: [], doc).map { Paths.absolute($0, under: document.folder) }
    }

    // MARK: Lists and tables of values

    /// A list of values, or its default.
    func list<Value>(
        _ key: String, _ type: Scalar<Value>, default fallback: [Value] = [], _ doc: String, secret: Bool = false
    ) -> [Value] {
        list(key, type, absent: "[" + fallback.map(type.format).joined(separator: ", ") + "]", doc, secret: secret)
            ?? fallback
    }

    /// A list of values, or nil; `absent` says in words what that means.
    func list<Value>(
        _ key: String, _ type: Scalar<Value>, absent: String, _ doc: String, secret: Bool = false
    ) -> [Value]? {
        var values: [Value]?
        var origin = Source.default
        if let node = take(key) {
            if case .sequence(let sequence) = node.value {
                values = sequence.enumerated().compactMap { parse($0.element, type, "\(key)[\($0.offset)]") }
                origin = document.source(node.value.position)
            } else {
                document.report(
                    document.source(node.value.position),
                    "\(path(of: key)): expected a list, found \(node.value.kind); write [a, b]")
            }
        }
        let shown = values.map { "[" + $0.map(type.format).joined(separator: ", ") + "]" } ?? absent
        note(key, "list of \(type.name)", shown, origin, doc, secret: secret && values != nil)
        return values
    }

    /// Names chosen by the user, each with a value.
    func table<Value>(_ key: String, _ type: Scalar<Value>, _ doc: String, secret: Bool = false) -> [String: Value] {
        var values: [String: Value] = [:]
        var origin = Source.default
        if let node = take(key) {
            if case .mapping(let mapping) = node.value {
                origin = document.source(node.value.position)
                for (name, value) in mapping {
                    guard case .scalar(let scalar) = name else { continue }
                    if let value = parse(value, type, "\(key).\(scalar.string)") { values[scalar.string] = value }
                }
            } else {
                document.report(
                    document.source(node.value.position),
                    "\(path(of: key)): expected names and values, found \(node.value.kind); write {name: value}")
            }
        }
        let pairs = values.sorted { $0.key < $1.key }.map { "\($0.key): \(type.format($0.value))" }
        note(
            key, "table of \(type.name)", "{" + pairs.joined(separator: ", ") + "}", origin, doc,
            secret: secret && !values.isEmpty)
        return values
    }

    // MARK: Sections within

    /// The section `key`, empty if it is not there.
    func section<Value>(_ key: String, _ read: (Section) -> Value) -> Value {
        let section = Section(document, path: path(of: key), node: take(key)?.value)
        let value = read(section)
        section.finish()
        return value
    }

    /// The section `key`, in its place or in a file of its own that `key` names.
    func sectionOrFile<Value>(_ key: String, _ doc: String, _ read: (Section) -> Value) -> Value {
        let isNamed: Bool = nodes.contains { node in
            guard node.key == key, case .scalar = node.value else { return false }
            return !node.value.isAbsent
        }
        guard isNamed || document.overrides[path(of: key)] != nil else {
            note(key, "path", "the keys below", .default, doc, secret: false)
            return section(key, read)
        }
        let file = path(key, default: "", doc)
        let shown = Paths.relative(file, to: document.workingFolder)
        let other = Document(
            file: shown, folder: Paths.folder(of: file), workingFolder: document.workingFolder, overrides: document.overrides,
            isExplaining: document.isExplaining)
        var node: Node?
        do throws(ConfigurationError) { node = try ConfigurationLoader.node(of: file, shownAs: shown) } catch {
            for problem in error.problems {
                // A file that is not there is wrong where it is named.
                if case .file(_, nil) = problem.source {
                    report(key, "\(shown) \(problem.message)")
                } else {
                    other.report(problem.source, problem.message)
                }
            }
        }
        let section = Section(other, path: path(of: key), node: node)
        let value = read(section)
        section.finish()
        document.absorb(other)
        return value
    }

    /// The section `key`, or nil if it is not there. When explaining, it is there.
    func optional<Value>(_ key: String, _ read: (Section) -> Value) -> Value? {
        if has(key) || document.isExplaining { return section(key, read) }
        known.append(key)
        return nil
    }

    /// A list of sections, or nil if the key is not there; `absent` says in words what that means.
    func sections<Value>(
        _ key: String, absent: String = "[]", _ doc: String, _ read: (Section) -> Value
    ) -> [Value]? {
        let node = take(key)
        if document.isExplaining || node == nil { note(key, "list", absent, .default, doc, secret: false) }
        if document.isExplaining {
            _ = read(Section(document, path: path(of: key) + "[]", node: nil))
            return nil
        }
        guard let node else { return nil }
        guard case .sequence(let sequence) = node.value else {
            document.report(
                document.source(node.value.position),
                "\(path(of: key)): expected a list, found \(node.value.kind); begin each element with \"- \"")
            return []
        }
        return sequence.enumerated().map { index, element in
            let section = Section(document, path: "\(path(of: key))[\(index)]", node: element)
            let value = read(section)
            section.finish()
            return value
        }
    }

    /// Sections under names chosen by the user.
    func named<Value>(_ key: String, _ doc: String, _ read: (Section) -> Value) -> [String: Value] {
        let node = take(key)
        if document.isExplaining || node == nil { note(key, "table", "{}", .default, doc, secret: false) }
        if document.isExplaining {
            _ = read(Section(document, path: path(of: key) + ".NAME", node: nil))
            return [:]
        }
        guard let node else { return [:] }
        guard case .mapping(let mapping) = node.value else {
            document.report(
                document.source(node.value.position), "\(path(of: key)): expected names, found \(node.value.kind)")
            return [:]
        }
        var values: [String: Value] = [:]
        for (name, element) in mapping {
            guard case .scalar(let scalar) = name else { continue }
            let section = Section(document, path: "\(path(of: key)).\(scalar.string)", node: element)
            values[scalar.string] = read(section)
            section.finish()
        }
        return values
    }
}

enum Paths {
    /// `path` itself if it is absolute, else under `folder`; `.` and doubled slashes at the joint are dropped.
    static func absolute(_ path: String, under folder: String) -> String {
        if path.hasPrefix("/") { return path }
        var rest = path[...]
        while rest.hasPrefix("./") { rest = rest.dropFirst(2) }
        let base = folder.hasSuffix("/") ? String(folder.dropLast()) : folder
        return rest == "." || rest.isEmpty ? base : "\(base)/\(rest)"
    }

    /// `path` without `folder` at its front, if it is under it.
    static func relative(_ path: String, to folder: String) -> String {
        let prefix = folder.hasSuffix("/") ? folder : folder + "/"
        return path.hasPrefix(prefix) && path.count > prefix.count ? String(path.dropFirst(prefix.count)) : path
    }

    /// The folder a file is in.
    static func folder(of file: String) -> String {
        guard let slash = file.lastIndex(of: "/") else { return "." }
        return slash == file.startIndex ? "/" : String(file[..<slash])
    }
}
