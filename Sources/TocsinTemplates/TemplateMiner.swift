/// Finds the templates of log lines as they come: what the program wrote, and where it put in what varies.
///
/// Each line gets an identifier at once. Which lines are of one template is found from all that were seen, so that it may be
/// known only later that two identifiers mean the same: `template(of:)` says at any time which template an identifier stands
/// for now. The same lines in the same order give the same templates.
///
/// Everything is bounded (`Limits`): what was not seen for longest is forgotten first. Of a line, 4 KiB and 128 tokens behind
/// its header are looked at. Not thread safe; used by one thread at a time. A line costs time in proportion to its length.
///
/// Sources of the ideas: the division by places and the number of words there is that of IPLoM and Brain, that templates grow
/// with each line that of Drain; parameters that are told by their form are masked by most of them.
public struct TemplateMiner: Sendable {
    /// Bounds of what is kept.
    public struct Limits: Sendable {
        /// Messages that differ in more than the parameters which are told by their form.
        public var messages = 16_384
        /// Messages of one template; when there are more, its parameters are taken as known and the messages become one.
        public var messagesInTemplate = 64
        /// Identifiers that became one with another and are still known.
        public var aliases = 131_072
        /// Bytes of the text of a template.
        public var textBytes = 2048
        public init() {}
    }

    /// What lines have in common.
    public struct Template: Sendable, Equatable {
        /// Of the oldest message in it.
        public var id: Int
        /// A line without its header, `<*>` in place of each parameter.
        public var text: String
        /// Lines so far.
        public var lines: Int
    }

    private struct Message {
        var element: TemplateTree.Element
        var signature: UInt64
        var skeleton: UInt64
        var text: [UInt8]
        /// Of the tokens, in `text`.
        var ranges: [Range<Int>]
        var lines = 0
        /// The number of the line that it was last.
        var lastLine = 0
        /// Identifies the template.
        var template: Int
    }

    /// The messages with one skeleton.
    private struct Group {
        /// Their identifiers.
        var members: [Int] = []
        /// Those that stand for several.
        var merged: [Int] = []
        /// How many members there were when it was divided into templates; -1 if it must be anew.
        var dividedCount = 0
    }

    private let limits: Limits
    private let tree = TemplateTree()
    private var header = LineHeader()
    private var scanner = LineScanner()
    private var messages: [Int: Message] = [:]
    /// Identifiers by signature: of every message, and of lines that a merged one stands for.
    private var known: [UInt64: Int] = [:]
    private var seen: [UInt64: Int] = [:]
    private var groups: [UInt64: Group] = [:]
    /// What an identifier was merged into.
    private var aliases: [Int: Int] = [:]
    /// The identifier that the next message will have, if it is a new one: those of all before are lower.
    public private(set) var nextID = 0
    /// Lines so far.
    public private(set) var lines = 0
    /// Messages that were forgotten because there were too many.
    public private(set) var forgotten = 0

    public init(limits: Limits = Limits()) {
        self.limits = limits
    }

    // MARK: Lines

    /// Takes in a line, without its line ending, and returns the identifier of its message.
    public mutating func add(_ line: Span<UInt8>) -> Int {
        scanner.scan(line, from: header.end(of: line))
        lines += 1
        let old = knownMessage()
        let id = old ?? newMessage(line)
        messages[id]?.lines += 1
        messages[id]?.lastLine = lines
        if old == nil { divideIfGrown(scanner.skeleton) }
        return id
    }

    /// Takes in the text of a template that was found before, and returns the identifier that lines of it will have.
    public mutating func learn(_ text: String) -> Int {
        let bytes = Array(text.utf8)
        scanner.scan(bytes.span, from: 0)
        if let id = knownMessage() { return id }
        let id = newMessage(bytes.span)
        guard let message = messages[id] else { return id }
        let parameters = message.element.identities.indices.filter {
            message.element.identities[$0] == Token.parameter
        }
        messages[id]?.element.parameters = Set(parameters)
        groups[message.skeleton]?.merged.append(id)
        return id
    }

    /// The message that was scanned, if it was seen before or is one of those that were merged.
    private mutating func knownMessage() -> Int? {
        if let id = known[scanner.signature] { return id }
        if let id = seen[scanner.signature], messages[id] != nil { return id }
        guard let group = groups[scanner.skeleton], let id = group.merged.first(where: stands) else { return nil }
        if seen.count >= limits.messages { seen.removeAll(keepingCapacity: true) }
        seen[scanner.signature] = id
        return id
    }

    /// Whether the merged message stands for that which was scanned.
    private func stands(_ id: Int) -> Bool {
        guard let element = messages[id]?.element, element.identities.count == scanner.tokens.count else { return false }
        return element.identities.indices.allSatisfy {
            element.identities[$0] == scanner.tokens[$0].identity || element.parameters.contains($0)
        }
    }

    private mutating func newMessage(_ line: Span<UInt8>) -> Int {
        if messages.count >= limits.messages { forget() }
        let id = nextID
        nextID += 1
        let start = scanner.tokens.first.map { Int($0.start) } ?? line.count
        let forms = scanner.tokens.map { token in
            token.identity < Token.wordsBegin ? WordForm() : WordForm(line, Int(token.start), Int(token.end))
        }
        let element = TemplateTree.Element(identities: scanner.tokens.map(\.identity), forms: forms)
        messages[id] = Message(
            element: element, signature: scanner.signature, skeleton: scanner.skeleton,
            text: (start..<min(line.count, start + limits.textBytes)).map { line[$0] },
            ranges: scanner.tokens.map { Int($0.start) - start..<Int($0.end) - start }, template: id)
        known[scanner.signature] = id
        groups[scanner.skeleton, default: Group()].members.append(id)
        return id
    }

    /// Drops the quarter of the messages that was not seen for longest.
    private mutating func forget() {
        let oldest = messages.map { (line: $0.value.lastLine, id: $0.key) }.sorted { ($0.line, $0.id) < ($1.line, $1.id) }
        for (_, id) in oldest.prefix(max(1, limits.messages / 4)) {
            guard let message = messages.removeValue(forKey: id) else { continue }
            known[message.signature] = nil
            forgotten += 1
            groups[message.skeleton]?.members.removeAll { $0 == id }
            groups[message.skeleton]?.merged.removeAll { $0 == id }
            groups[message.skeleton]?.dividedCount = -1
            if groups[message.skeleton]?.members.isEmpty == true { groups[message.skeleton] = nil }
        }
    }

    // MARK: Templates

    /// The identifier of the template that an identifier stands for now; nil if it was forgotten.
    public mutating func template(of id: Int) -> Int? {
        var id = id
        while let other = aliases[id] { id = other }
        guard let message = messages[id] else { return nil }
        divideIfChanged(message.skeleton)
        // The division may have merged it.
        while let other = aliases[id] { id = other }
        return messages[id]?.template
    }

    /// All templates, oldest first.
    public mutating func templates() -> [Template] {
        for skeleton in groups.keys.sorted() { divideIfChanged(skeleton) }
        return Set(messages.values.map(\.template)).sorted().compactMap(describe)
    }

    /// The template with an identifier that `template(of:)` gave; nil if it was forgotten.
    public func describe(_ template: Int) -> Template? {
        guard let message = messages[template] else { return nil }
        let members = (groups[message.skeleton]?.members ?? []).compactMap { messages[$0] }.filter { $0.template == template }
        return Template(
            id: template, text: Self.text(message, TemplateTree.parameters(of: members.map(\.element))),
            lines: members.reduce(0) { $0 + $1.lines })
    }

    private mutating func divideIfChanged(_ skeleton: UInt64) {
        guard let group = groups[skeleton], group.dividedCount != group.members.count else { return }
        divide(skeleton)
    }

    /// Often enough that messages of one template become one in time, seldom enough that a message costs little.
    private mutating func divideIfGrown(_ skeleton: UInt64) {
        guard let group = groups[skeleton], group.members.count > group.dividedCount + max(16, group.dividedCount / 4)
        else { return }
        divide(skeleton)
    }

    private mutating func divide(_ skeleton: UInt64) {
        guard var group = groups[skeleton] else { return }
        group.members.sort()
        let members = group.members
        let elements = members.compactMap { messages[$0]?.element }
        for leaf in tree.divide(elements) {
            let ids = leaf.map { members[$0] }.sorted()
            for id in ids { messages[id]?.template = ids[0] }
            if ids.count > limits.messagesInTemplate {
                merge(ids, TemplateTree.parameters(of: leaf.map { elements[$0] }), &group)
            }
        }
        group.dividedCount = group.members.count
        groups[skeleton] = group
    }

    /// Has the first of the messages stand for all.
    private mutating func merge(_ ids: [Int], _ parameters: Set<Int>, _ group: inout Group) {
        guard var all = messages[ids[0]] else { return }
        for id in ids.dropFirst() {
            guard let message = messages.removeValue(forKey: id) else { continue }
            known[message.signature] = nil
            aliases[id] = ids[0]
            all.lines += message.lines
            all.lastLine = max(all.lastLine, message.lastLine)
        }
        all.element.parameters.formUnion(parameters)
        for place in parameters { all.element.identities[place] = Token.parameter }
        messages[ids[0]] = all
        let gone = Set(ids.dropFirst())
        group.members.removeAll { gone.contains($0) }
        group.merged.removeAll { gone.contains($0) || $0 == ids[0] }
        group.merged.append(ids[0])
        if aliases.count > limits.aliases {
            for id in aliases.keys.sorted().prefix(limits.aliases / 2) { aliases[id] = nil }
        }
    }

    private static func text(_ message: Message, _ parameters: Set<Int>) -> String {
        var bytes: [UInt8] = []
        var at = 0
        for (place, range) in message.ranges.enumerated() where range.upperBound <= message.text.count {
            bytes += message.text[at..<range.lowerBound]
            let isParameter = message.element.identities[place] == Token.parameter || parameters.contains(place)
            bytes += isParameter ? Array("<*>".utf8) : Array(message.text[range])
            at = range.upperBound
        }
        if message.ranges.last?.upperBound ?? 0 > at { bytes += Array("…".utf8) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
