// swift-tools-version: 6.2
import PackageDescription

/// Every warning in our own targets is an error; packages we depend on are not touched by it.
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error), .enableUpcomingFeature("ExistentialAny")]

let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let sqlite = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let yaml = Target.Dependency.product(name: "Yams", package: "Yams")

func ours(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
    name: "tocsin",
    products: [
        .executable(name: "tocsin", targets: ["tocsin"]),
        .library(name: "TocsinKit", targets: ["TocsinKit"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // C libraries, each wrapped by exactly one Swift target.
        .systemLibrary(name: "CZeroMQ"),
        .systemLibrary(name: "CCurl"),
        .target(name: "CCRC32C"),

        // The broker.
        ours("TocsinWire", []),
        ours("TocsinProto", [protobuf]),
        ours("TocsinTransport", ["CZeroMQ", "TocsinWire"]),
        ours("TocsinJournal", ["CCRC32C", "TocsinWire"]),
        ours("TocsinCore", ["TocsinWire"]),
        ours("TocsinEngine", ["TocsinCore", "TocsinJournal", "TocsinProto", "TocsinWire", protobuf]),
        ours("TocsinHub", ["TocsinEngine", "TocsinTransport", "TocsinJournal", "TocsinProto", logging]),
        ours("TocsinSimulator", ["TocsinEngine", "TocsinJournal", "TocsinProto", "TocsinWire"]),

        // What clients and workers are written with.
        ours("TocsinKit", ["TocsinTransport", "TocsinJournal", "TocsinProto", "TocsinWire", protobuf, logging]),

        // The incident domain and the roles.
        ours("TocsinDomain", []),
        ours("TocsinDetection", ["TocsinKit", "TocsinDomain", "TocsinProto", "CCurl", crypto, logging]),
        ours("TocsinTriage", ["TocsinKit", "TocsinDomain", "TocsinProto", crypto, logging]),
        ours("TocsinArchive", ["TocsinKit", "TocsinDomain", "TocsinProto", sqlite, logging]),
        ours("TocsinResponse", ["TocsinKit", "TocsinDomain", "TocsinProto", "CCurl", logging]),

        // Executables. Only `tocsin` is shipped.
        .executableTarget(
            name: "tocsin",
            dependencies: [
                "TocsinHub", "TocsinKit", "TocsinDetection", "TocsinTriage", "TocsinArchive", "TocsinResponse", "TocsinDomain",
                "TocsinProto", arguments, yaml, logging,
            ], swiftSettings: strict),
        .executableTarget(name: "tocsin-sim", dependencies: ["TocsinSimulator", arguments], swiftSettings: strict),
        .executableTarget(name: "tocsin-bench", dependencies: ["TocsinKit", arguments], swiftSettings: strict),

        tests("TocsinWireTests", ["TocsinWire", "TocsinProto"]),
        tests("TocsinJournalTests", ["TocsinJournal"]),
        tests("TocsinCoreTests", ["TocsinCore"]),
        tests("TocsinHubTests", ["TocsinHub", "TocsinKit", "TocsinTransport", "TocsinProto"]),
        tests("TocsinSimulatorTests", ["TocsinSimulator"]),
        tests("TocsinDomainTests", ["TocsinDomain"]),
        tests("TocsinDetectionTests", ["TocsinDetection"]),
        tests("TocsinTriageTests", ["TocsinTriage"]),
        tests("TocsinArchiveTests", ["TocsinArchive"]),
        tests("TocsinResponseTests", ["TocsinResponse"]),
        tests("EndToEndTests", ["TocsinProto"]),
    ]
)
