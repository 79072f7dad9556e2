import Testing
import TocsinAccess
import TocsinWire

struct PermissionsTests {
    @Test(arguments: [
        (">", "a.b", true), (">", ">", true), ("a.>", "a.b", true), ("a.>", "a.>", true), ("a.>", "a.*", true),
        ("a.>", "a.b.>", true), ("a.>", "a", false), ("a.>", ">", false), ("a.*", "a.b", true), ("a.*", "a.>", false),
        ("a.b", "a.*", false), ("*.b", "a.b", true), ("*", "a.b", false), ("a.>", "*.b", false), ("*.*.>", "a.b.>", true),
        ("*.*.>", "a.>", false),
    ]) func whatAFilterCovers(_ one: String, _ other: String, _ expected: Bool) throws {
        #expect(try SubjectFilter(one).covers(SubjectFilter(other)) == expected)
    }

    /// Whatever is covered is matched.
    @Test func coveringIsMatchingMore() throws {
        let tokens = ["a", "b", "*"]
        var filters: [String] = [">"]
        for first in tokens {
            filters += [first, "\(first).>"]
            for second in tokens { filters += ["\(first).\(second)", "\(first).\(second).>"] }
        }
        var subjects: [String] = []
        var longest = [""]
        for _ in 0..<4 {
            longest = longest.flatMap { start in ["a", "b", "c"].map { start.isEmpty ? $0 : "\(start).\($0)" } }
            subjects += longest
        }
        for one in try filters.map({ try SubjectFilter($0) }) {
            for other in try filters.map({ try SubjectFilter($0) }) {
                let isSubset = subjects.allSatisfy { !other.matches($0) || one.matches($0) }
                #expect(one.covers(other) == isSubset, "\(one) covers \(other)")
            }
        }
    }

    @Test func rulesTakeBack() throws {
        let rules = try SubjectRules(["incident.>", "!incident.need-to-know.>"])
        #expect(rules.allows("incident.opened.shop"))
        #expect(!rules.allows("incident.need-to-know.opened.shop"))
        #expect(!rules.allows("event.a"))
        #expect(rules.covers(try SubjectFilter("incident.*.shop")))
        #expect(!rules.covers(try SubjectFilter(">")))
        #expect(!rules.isEverything && SubjectRules.all.isEverything)
        #expect(throws: WireError.self) { try SubjectRules(["a..b"]) }
    }

    @Test func names() {
        #expect(NameRules(["tocsin.v1.IncidentService/*"]).allows("tocsin.v1.IncidentService/GetIncident"))
        #expect(!NameRules(["tocsin.v1.IncidentService/*"]).allows("tocsin.v1.IncidentServices/GetIncident"))
        #expect(!NameRules.none.allows("x") && NameRules.all.allows("x"))
    }

    @Test(arguments: Role.allCases) func aRoleIsWellFormed(_ role: Role) { #expect(role.permissions != Permissions()) }
}
