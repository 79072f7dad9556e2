import Foundation

/// The files of Tests/Golden. They are never made anew: see the README there.
public enum GoldenFiles {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden")

    /// Names of the files in `folder`, without `.bin`.
    public static func names(in folder: String) throws -> Set<String> {
        let files = try FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path)
        return Set(files.map { $0.hasSuffix(".bin") ? String($0.dropLast(4)) : $0 })
    }

    /// Content of `folder`/`name`.bin.
    public static func bytes(_ folder: String, _ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: root.appending(path: "\(folder)/\(name).bin")))
    }
}
