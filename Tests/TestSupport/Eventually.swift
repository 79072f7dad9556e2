/// Waits until `condition` holds, at most `seconds`; false if it never did. While other tests have all processors the time
/// passes and nothing is tried, so it ends only after many tries too.
public func eventually(seconds: Int = 10, _ condition: () async throws -> Bool) async rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    var tries = 0
    while tries < 1000 || ContinuousClock.now < deadline {
        if try await condition() { return true }
        tries += 1
        do { try await Task.sleep(for: .milliseconds(1)) } catch { return false }
    }
    return false
}
