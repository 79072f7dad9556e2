// swift-tools-version: 6.2
import PackageDescription

/// Every warning in our own targets is an error; packages we depend on are not touched by it.
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error), .enableUpcomingFeature("ExistentialAny")]

let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let sqlite = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let sqliteLibrary = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let grpc = Target.Dependency.product(name: "GRPCCore", package: "grpc-swift-2")
let grpcProtobuf = Target.Dependency.product(name: "GRPCProtobuf", package: "grpc-swift-protobuf")
let grpcHTTP2 = Target.Dependency.product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport")
let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let certificates = Target.Dependency.product(name: "X509", package: "swift-certificates")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTLS = Target.Dependency.product(name: "HummingbirdTLS", package: "hummingbird")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let yaml = Target.Dependency.product(name: "Yams", package: "Yams")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")

func ours(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

let package = Package(
    name: "tocsin",
    products: [
        .executable(name: "tocsin", targets: ["tocsin"]),
        .executable(name: "tocsin-gateway", targets: ["tocsin-gateway"]),
        .library(name: "TocsinKit", targets: ["TocsinKit"]),
        .library(name: "GRPCZeroMQTransport", targets: ["GRPCZeroMQTransport"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // C libraries, each wrapped by exactly one Swift target.
        .systemLibrary(name: "CZeroMQ"),
        .systemLibrary(name: "CCurl"),
        .systemLibrary(name: "CZlib"),
        .systemLibrary(name: "CLinux"),
        .target(name: "CCRC32C"),

        // The broker.
        ours("TocsinPosix", ["CLinux"]),
        ours("TocsinWire", []),
        // Who may do what: roles and rules, nothing of keys.
        ours("TocsinAccess", ["TocsinWire"]),
        ours("TocsinProto", [protobuf]),
        ours("TocsinTransport", ["CZeroMQ", "TocsinPosix", "TocsinWire"]),
        // Key files, and the folder of those that are let in.
        ours("TocsinKeys", ["TocsinAccess", "TocsinTransport", "TocsinPosix", "TocsinWire"]),
        ours("TocsinJournal", ["CCRC32C", "TocsinPosix", "TocsinWire", deque]),
        ours("TocsinCore", ["TocsinWire", deque, heap]),
        ours("TocsinEngine", ["TocsinAccess", "TocsinCore", "TocsinJournal", "TocsinProto", "TocsinWire", protobuf, deque]),
        ours(
            "TocsinHub",
            [
                "TocsinAccess", "TocsinKeys", "TocsinEngine", "TocsinCore", "TocsinTransport", "TocsinJournal", "TocsinProto",
                "TocsinPosix", "TocsinWire", logging,
            ]),
        ours("TocsinSimulator", ["TocsinEngine", "TocsinCore", "TocsinJournal", "TocsinProto", "TocsinWire", protobuf]),

        // What clients and workers are written with.
        ours(
            "TocsinKit",
            [
                "TocsinKeys", "TocsinTransport", "TocsinJournal", "TocsinProto", "TocsinPosix", "TocsinWire", protobuf, logging,
                deque,
            ]),

        // The stubs of our services; apart from TocsinProto, so that the hub needs no gRPC.
        .target(name: "TocsinServices", dependencies: ["TocsinProto", "TocsinWire", grpc, grpcProtobuf, protobuf]),
        // gRPC over the hub: transports for grpc-swift-2.
        ours("GRPCZeroMQTransport", ["TocsinKit", "TocsinProto", "TocsinWire", grpc, logging]),
        // Publishing and consuming for gRPC clients.
        ours(
            "TocsinMessaging",
            ["TocsinAccess", "TocsinKit", "GRPCZeroMQTransport", "TocsinServices", "TocsinProto", "TocsinWire", grpc]),
        // gRPC over HTTP/2: apart from all else, because NIO and TLS are most of what it links.
        ours(
            "TocsinGateway",
            ["TocsinAccess", "TocsinWire", grpc, grpcProtobuf, grpcHTTP2, nioTLS, certificates, protobuf, crypto]),

        // Servers for foreign tools: what they say is published, and they are answered once it is on the hub's disk.
        ours(
            "TocsinIntakeServer",
            [
                "TocsinAccess", "TocsinEvents", "TocsinGateway", "TocsinIntake", "TocsinKit", "TocsinPolicy", "TocsinProto",
                "TocsinWire",
                "CZlib",
                hummingbird, hummingbirdCore, hummingbirdTLS, httpTypes, lifecycle, nio, nioTLS, certificates, crypto, logging,
                protobuf,
            ]),

        // What roles need of the operating system: subprocesses, HTTP requests, threads for blocking work.
        ours("TocsinSystem", ["TocsinPosix", "CCurl", "CLinux"]),

        // Listeners for tools that speak by sockets of their own.
        ours(
            "TocsinIntakeSockets",
            ["TocsinGateway", "TocsinIntake", "TocsinPosix", "TocsinProto", nio, nioPosix, nioTLS, protobuf, logging]),

        // The incident domain and the roles.
        ours("TocsinDomain", []),
        // Time zones of the IANA database, and windows that come again by the clocks of one.
        ours("TocsinCalendar", ["TocsinDomain", "TocsinPosix"]),
        // How an event travels: the same from detectors and from intake.
        ours("TocsinEvents", ["TocsinDomain", "TocsinKit", "TocsinProto", "TocsinWire", crypto]),
        // What foreign tools say, made into events: pure.
        ours("TocsinIntake", ["TocsinProto", "TocsinDomain", "TocsinPolicy", "TocsinWire", crypto, deque, protobuf]),
        // Threat intelligence: what others know to be bad, looked for in events.
        ours(
            "TocsinIndicators",
            ["TocsinDomain", "TocsinIntake", "TocsinPolicy", "TocsinPosix", "TocsinProto", "CLinux", crypto]),
        // What is constant in log lines and what varies.
        ours("TocsinTemplates", []),
        // What is learnt from texts: a classifier, and an index of similar ones.
        ours("TocsinText", [heap]),
        ours("TocsinAnomaly", []),
        ours(
            "TocsinDetection",
            [
                "TocsinAnomaly", "TocsinEvents", "TocsinKit", "TocsinDomain", "TocsinPosix", "TocsinProto", "TocsinSystem",
                "TocsinTemplates",
                "TocsinWire",
                "CLinux", crypto, logging,
            ]),
        // How what is reported is judged: rules, services, routes; pure.
        ours("TocsinPolicy", ["TocsinCalendar", "TocsinDomain", "TocsinProto", "TocsinText", "TocsinWire", crypto]),
        ours(
            "TocsinTriage",
            ["TocsinIndicators", "TocsinKit", "TocsinPolicy", "TocsinPosix", "TocsinProto", "TocsinWire", logging]),
        ours(
            "TocsinArchive",
            [
                "TocsinKit", "GRPCZeroMQTransport", "TocsinServices", "TocsinDomain", "TocsinPolicy", "TocsinPosix",
                "TocsinProto",
                "TocsinSystem", "TocsinText", "TocsinWire", crypto, grpc, sqlite, sqliteLibrary, logging, deque,
            ]),
        // Triage and an archiver by a virtual clock, to try policies out.
        ours("TocsinReplay", ["TocsinArchive", "TocsinDomain", "TocsinIndicators", "TocsinPolicy", "TocsinProto", protobuf]),
        ours(
            "TocsinResponse", ["TocsinKit", "TocsinDomain", "TocsinPosix", "TocsinProto", "TocsinSystem", "TocsinWire", logging]),

        // One YAML file made into the values of every role; and the processes of one machine kept running.
        ours(
            "TocsinConfiguration",
            [
                "TocsinAccess", "TocsinKeys", "TocsinHub", "TocsinEngine", "TocsinCore", "TocsinJournal", "TocsinPosix",
                "TocsinArchive", "TocsinCalendar", "TocsinDetection", "TocsinPolicy", "TocsinReplay", "TocsinTriage",
                "TocsinResponse", "TocsinDomain", "TocsinIntake", "TocsinSystem", "TocsinWire", yaml,
            ]),
        ours("TocsinSupervision", ["TocsinSystem", "TocsinPosix", "CLinux"]),

        // What the executables have in common: options, log, signals, exit codes, output.
        ours("TocsinProgram", ["TocsinConfiguration", "TocsinPosix", "TocsinSystem", arguments, logging]),

        // Executables. Only `tocsin` and `tocsin-gateway` are shipped.
        .executableTarget(
            name: "tocsin",
            dependencies: [
                "TocsinProgram", "TocsinConfiguration", "TocsinSupervision", "TocsinHub", "TocsinEngine", "TocsinCore",
                "TocsinJournal", "TocsinPosix",
                "TocsinAccess", "TocsinKeys", "TocsinKit", "TocsinDetection", "TocsinPolicy", "TocsinTriage", "TocsinArchive",
                "TocsinIndicators", "TocsinIntake", "TocsinReplay", "TocsinResponse", "TocsinText",
                "TocsinDomain",
                "TocsinProto", "TocsinTransport", "TocsinSystem", "TocsinWire", "GRPCZeroMQTransport", "TocsinServices", grpc,
                arguments, logging, protobuf,
            ], swiftSettings: strict),
        .executableTarget(
            name: "tocsin-gateway",
            dependencies: [
                "TocsinProgram", "TocsinConfiguration", "TocsinAccess", "TocsinKeys", "TocsinGateway", "TocsinIntake",
                "TocsinIntakeServer", "TocsinIntakeSockets", "TocsinMessaging",
                "TocsinServices", "GRPCZeroMQTransport", "TocsinKit",
                "TocsinPosix", "TocsinProto", "TocsinSupervision", "TocsinWire", arguments, crypto, grpc, logging,
            ], swiftSettings: strict),
        .executableTarget(
            name: "tocsin-sim", dependencies: ["TocsinSimulator", "TocsinPosix", arguments], swiftSettings: strict),
        // The README has it.
        .executableTarget(name: "tocsin-example", dependencies: ["TocsinKit", "TocsinProto", logging], swiftSettings: strict),
        // For tools/conform.
        .executableTarget(
            name: "tocsin-conform-worker", dependencies: ["TocsinKit", "GRPCZeroMQTransport", "TocsinProto", grpc, logging],
            swiftSettings: strict),
        .executableTarget(
            name: "tocsin-evaluate",
            dependencies: ["TocsinAnomaly", "TocsinDomain", "TocsinTemplates", "TocsinText", "CZlib", arguments],
            swiftSettings: strict),
        .executableTarget(name: "tocsin-fuzz", dependencies: ["TocsinSimulator"], swiftSettings: strict),
        .executableTarget(
            name: "tocsin-bench",
            dependencies: [
                "TocsinConfiguration", "TocsinEvents", "TocsinIndicators", "TocsinKeys", "TocsinKit", "GRPCZeroMQTransport",
                "TocsinPolicy",
                "TocsinProto", "TocsinServices", "TocsinText", "TocsinWire", "TocsinSystem", "CLinux", grpc, arguments, logging,
            ],
            swiftSettings: strict),

        .target(name: "TestSupport", dependencies: ["TocsinJournal"], path: "Tests/TestSupport", swiftSettings: strict),
        // gRPC's interoperability cases for any transport.
        .target(
            name: "InteropSuite", dependencies: [grpc, grpcProtobuf, protobuf], path: "Tests/InteropSuite",
            exclude: ["interop.proto"]),
        tests("TocsinWireTests", ["TocsinWire", "TocsinProto", protobuf]),
        tests("TocsinAccessTests", ["TocsinAccess", "TocsinWire"]),
        tests("TocsinJournalTests", ["TocsinJournal", "TocsinWire"]),
        tests("TocsinCoreTests", ["TocsinCore", "TocsinWire"]),
        tests(
            "TocsinEngineTests",
            ["TocsinAccess", "TocsinEngine", "TocsinCore", "TocsinJournal", "TocsinProto", "TocsinWire", protobuf]),
        tests(
            "TocsinHubTests",
            [
                "TocsinHub", "TocsinAccess", "TocsinKeys", "TocsinKit", "GRPCZeroMQTransport", "TocsinServices", "TocsinCore",
                "TocsinTransport", "TocsinPosix", "TocsinProto", "TocsinWire", grpc, protobuf, logging,
            ]),
        tests("TocsinKitTests", ["TocsinKit", "TocsinHub", "TocsinProto", "TocsinWire", protobuf, logging]),
        tests(
            "GRPCZeroMQTransportTests",
            [
                "GRPCZeroMQTransport", "TocsinAccess", "TocsinGateway", "TocsinMessaging", "TocsinServices", "InteropSuite",
                "TocsinHub",
                "TocsinKit", "TocsinProto", "TocsinWire", grpc, grpcHTTP2, certificates, crypto, logging,
            ]),
        tests("TocsinSimulatorTests", ["TocsinSimulator"]),
        tests("TocsinSystemTests", ["TocsinSystem", "TocsinPosix"]),
        tests("TocsinDomainTests", ["TocsinDomain"]),
        tests("TocsinCalendarTests", ["TocsinCalendar", "TocsinDomain"]),
        tests("TocsinIntakeTests", ["TocsinIntake", "TocsinPolicy", "TocsinProto"]),
        tests(
            "TocsinIntakeSocketsTests", ["TocsinIntakeSockets", "TocsinIntake", "TocsinProto", nio, nioPosix, protobuf, logging]),
        tests(
            "TocsinIntakeServerTests",
            [
                "TocsinIntakeServer", "TocsinIntake", "TocsinAccess", "TocsinGateway", "TocsinKit", "TocsinProto", "TocsinWire",
                crypto, logging,
            ]),
        tests("TocsinIndicatorsTests", ["TocsinIndicators", "TocsinPolicy", "TocsinProto"]),
        tests("TocsinAnomalyTests", ["TocsinAnomaly", "tocsin-evaluate"]),
        tests("TocsinTemplatesTests", ["TocsinTemplates"]),
        tests("TocsinTextTests", ["TocsinText", "tocsin-evaluate"]),
        tests(
            "TocsinDetectionTests",
            ["TocsinDetection", "TocsinKit", "TocsinPosix", "TocsinProto", "TocsinSystem", "TocsinWire", logging]),
        tests(
            "TocsinPolicyTests",
            ["TocsinCalendar", "TocsinPolicy", "TocsinDomain", "TocsinProto", "TocsinText", "TocsinWire", crypto]),
        tests("TocsinReplayTests", ["TocsinReplay", "TocsinArchive", "TocsinConfiguration", "TocsinPolicy"]),
        tests("TocsinTriageTests", ["TocsinTriage", "TocsinKit", "TocsinPolicy", "TocsinProto", "TocsinWire"]),
        tests(
            "TocsinArchiveTests",
            [
                "TocsinArchive", "TocsinCalendar", "TocsinHub", "TocsinKit", "TocsinPolicy", "TocsinPosix", "GRPCZeroMQTransport",
                "TocsinServices", "TocsinDomain",
                "TocsinProto",
                "TocsinWire", grpc, protobuf, sqlite, logging,
            ]),
        tests(
            "TocsinResponseTests",
            [
                "TocsinResponse", "TocsinHub", "TocsinKit", "GRPCZeroMQTransport", "TocsinServices", "TocsinDomain",
                "TocsinProto",
                "TocsinSystem", "TocsinWire", grpc, logging,
            ]),
        tests(
            "TocsinConfigurationTests",
            [
                "TocsinAccess", "TocsinConfiguration", "TocsinArchive", "TocsinDetection", "TocsinIntake", "TocsinPolicy",
                "TocsinTriage",
                "TocsinResponse", "TocsinDomain",
            ]),
        tests("TocsinSupervisionTests", ["TocsinSupervision"]),
        tests("TocsinCommandTests", ["tocsin", "TocsinProgram", "TocsinConfiguration"]),
        // The executables are not linked; they are there so that they are built before they are run.
        tests(
            "EndToEndTests",
            [
                "tocsin", "tocsin-bench", "TocsinSystem", "TocsinKit", "GRPCZeroMQTransport", "TocsinServices", "TocsinProto",
                grpc,
                logging,
            ]),
    ]
)
