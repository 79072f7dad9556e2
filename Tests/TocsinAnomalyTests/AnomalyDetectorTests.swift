import Testing
import TocsinAnomaly

@Suite struct AnomalyDetectorTests {
    @Test("What is no number is said to be unusable, with no score")
    func unusable() {
        var detector = AnomalyDetector()
        for value in [Double.nan, .infinity, -.infinity] {
            let assessment = detector.observe(value, at: 0)
            #expect(assessment.reason == .unusable)
            #expect(assessment.score == 0)
        }
    }
}
