import Crypto
import TocsinDomain
package import TocsinKit
package import TocsinProto
import TocsinWire

extension Message {
    /// An event as detectors and intake publish it.
    ///
    /// **Which events wait for each other.** The hub gives the messages of one key to the workers one at a time, each only after
    /// the one before is settled: that keeps a resolve behind its trigger, and costs a round trip for each message. So the key
    /// is the event's dedup key; an event without one has no key, and goes to whichever worker is free.
    ///
    /// - Throws: as `Message` does, for what no message can be made of.
    package init(event: Tocsin_V1_Event, subject: String) throws {
        try self.init(
            event, id: Array(event.id.utf8), subject: subject,
            severity: WireSeverity(rawValue: Severity(hint: event.severityHint).rawValue) ?? .major,
            key: Self.key(event.dedupKey))
    }

    /// The text, or, where that is longer than a key may be, its SHA-256.
    private static func key(_ text: String) -> String {
        text.utf8.count <= Limits.keyBytes ? text : SHA256.hash(data: Array(text.utf8)).hexadecimal
    }
}
