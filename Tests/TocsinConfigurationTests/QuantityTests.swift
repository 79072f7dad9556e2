import Testing

@testable import TocsinConfiguration

@Suite("Durations and sizes as text")
struct QuantityTests {
    @Test(
        "a duration is read in each unit and as a sum",
        arguments: [
            ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000), ("1m30s", 90_000),
            ("0s", 0),
        ])
    func durations(text: String, milliseconds: Int) {
        #expect(DurationText.parse(text) == .milliseconds(milliseconds))
    }

    @Test(
        "what is no duration, or could mean two, is refused",
        arguments: ["", "10", "s", "10 s", "-5s", "1.5s", "5M", "10sec", "٣s", "99999999999999999999s", "9999999999d"])
    func notDurations(text: String) {
        #expect(DurationText.parse(text) == nil)
    }

    @Test("every duration is shown as a text that means the same")
    func durationsRoundTrip() {
        // Steps that visit every unit and their neighbours.
        for milliseconds in stride(from: 0, through: 200_000_000, by: 86_399) {
            let duration = Duration.milliseconds(milliseconds)
            #expect(DurationText.parse(DurationText.format(duration)) == duration)
        }
        #expect(DurationText.format(.seconds(90)) == "1m30s")
    }

    @Test(
        "a size is read in binary and decimal units and as bare bytes",
        arguments: [
            ("4096", 4096), ("512KiB", 512 << 10), ("64MiB", 64 << 20), ("64 MiB", 64 << 20), ("2GiB", 2 << 30),
            ("10MB", 10_000_000),
        ])
    func sizes(text: String, bytes: Int) {
        #expect(SizeText.parse(text) == bytes)
        #expect(SizeText.parse(SizeText.format(bytes)) == bytes)
    }

    @Test("what is no size is refused", arguments: ["", "MiB", "-1", "1.5GiB", "64mib", "9223372036854775807KiB"])
    func notSizes(text: String) {
        #expect(SizeText.parse(text) == nil)
    }
}
