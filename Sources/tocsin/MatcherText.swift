import TocsinPolicy
import TocsinProto

/// Matchers as they are typed.
enum MatcherText {
    /// - Throws: `Failure` that names the one that is none.
    static func read(_ texts: [String]) throws -> [Tocsin_V1_LabelMatcher] {
        try texts.map { text in
            do throws(Matcher.Problem) {
                return try Matcher(parsing: text).message
            } catch {
                throw Failure(
                    .usage, "\"\(text)\": \(error); write name=value, name!=value, name=~expression or name!~expression")
            }
        }
    }
}
