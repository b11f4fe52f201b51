// swift-tools-version: 6.1
import PackageDescription

// The floors of Sources/README.md: a target depends only on floors below its own. Tests/TidyTests reads the imports and holds this file to it.

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .unsafeFlags(["-warnings-as-errors"]),
]

// What the simulations of the tests spend their time in is optimised in debug builds, too: thirty days of a million placements take a minute then instead of an hour.
let fast = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

func package(_ product: String, of package: String) -> Target.Dependency { .product(name: product, package: package) }

let argumentParser = package("ArgumentParser", of: "swift-argument-parser")
let crypto = package("Crypto", of: "swift-crypto")
let cryptoExtras = package("CryptoExtras", of: "swift-crypto")
let grdb = package("GRDB", of: "GRDB.swift")
let heap = package("HeapModule", of: "swift-collections")
let httpTypes = package("HTTPTypes", of: "swift-http-types")
let hummingbird = package("Hummingbird", of: "hummingbird")
let hummingbirdCore = package("HummingbirdCore", of: "hummingbird")
let lifecycle = package("ServiceLifecycle", of: "swift-service-lifecycle")
let logging = package("Logging", of: "swift-log")
let nio = package("NIOCore", of: "swift-nio")
let nioPosix = package("NIOPosix", of: "swift-nio")
let unixSignals = package("UnixSignals", of: "swift-service-lifecycle")
let asn1 = package("SwiftASN1", of: "swift-asn1")
let yams = package("Yams", of: "Yams")

let floor0: [Target] = [
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CRabbitMQ", pkgConfig: "librabbitmq", providers: [.apt(["librabbitmq-dev"])]),
    .systemLibrary(name: "CSSH2", pkgConfig: "libssh2", providers: [.apt(["libssh2-1-dev"])]),
]

let floor1: [Target] = [
    .target(name: "ForecacheModel", swiftSettings: fast),
    .target(name: "StrictYAML", dependencies: [yams], swiftSettings: strict),
]

let floor2: [Target] = [
    .target(name: "Inspection", dependencies: ["ForecacheModel", crypto], swiftSettings: strict),
    .target(name: "Inventory", dependencies: ["ForecacheModel", "StrictYAML"], swiftSettings: strict),
    .target(name: "Notifications", dependencies: ["ForecacheModel"], swiftSettings: strict),
    .target(name: "Planning", dependencies: ["ForecacheModel", crypto], swiftSettings: fast),
    .target(name: "Rules", dependencies: ["ForecacheModel", "StrictYAML"], swiftSettings: strict),
    .target(name: "Signatures", dependencies: ["ForecacheModel", asn1, crypto], swiftSettings: strict),
]

let floor3: [Target] = [
    .target(
        name: "Engine", dependencies: ["ForecacheModel", "Inspection", "Notifications", "Planning", "Rules", "Signatures", logging],
        swiftSettings: fast
    )
]

let nodeParts = [
    "common", "container", "convert", "copy", "digest", "directory", "fetch", "follower", "growing", "image", "listing", "lock", "publish",
    "read", "receive", "release", "streams", "supervise", "survey", "sweep", "touch", "transfer",
]

let floor4: [Target] = [
    .target(name: "OpenStackAPI", dependencies: ["CCurl", "Engine", "ForecacheModel", "StrictYAML", logging], swiftSettings: strict),
    .target(name: "RabbitMQSource", dependencies: ["CRabbitMQ", "Engine", "ForecacheModel", logging], swiftSettings: strict),
    .target(name: "SQLiteLedger", dependencies: ["Engine", "ForecacheModel", "Planning", grdb], swiftSettings: strict),
    .target(
        name: "SSHFleet",
        dependencies: ["CSSH2", "Engine", "ForecacheModel", "Planning", crypto, cryptoExtras, heap, logging],
        resources: nodeParts.map { .embedInCode("Node/\($0).sh") }, swiftSettings: strict),
    .target(
        name: "StatusServer",
        dependencies: ["Engine", "ForecacheModel", httpTypes, hummingbird, hummingbirdCore, lifecycle, logging, nio, nioPosix],
        swiftSettings: strict),
]

let floor5: [Target] = [
    .target(
        name: "Daemon",
        dependencies: [
            "Engine", "ForecacheModel", "Inspection", "Inventory", "Notifications", "OpenStackAPI", "Planning", "RabbitMQSource", "Rules",
            "SQLiteLedger", "SSHFleet", "Signatures", "StatusServer", "StrictYAML", crypto, lifecycle, logging, unixSignals,
        ],
        swiftSettings: strict)
]

let floor6: [Target] = [
    .executableTarget(
        name: "forecache",
        dependencies: ["Daemon", "Engine", "ForecacheModel", "Planning", "Rules", "StrictYAML", argumentParser, logging, unixSignals],
        swiftSettings: strict),
    .executableTarget(
        name: "forecache-bench",
        dependencies: [
            "Engine", "ForecacheModel", "Planning", "RabbitMQSource", "Rules", "SQLiteLedger", "SSHFleet", "StrictYAML", argumentParser,
            crypto, logging, unixSignals,
        ],
        resources: [.embedInCode("oslo_listener.py"), .embedInCode("delaying_relay.py"), .embedInCode("one_image_cloud.py")],
        swiftSettings: strict),
]

let side: [Target] = [
    .target(name: "ForecacheTestSupport", dependencies: ["Engine", "ForecacheModel", "Planning", logging], swiftSettings: fast)
]

let tests: [Target] = [
    .testTarget(name: "TidyTests", swiftSettings: strict),
    .testTarget(name: "StrictYAMLTests", dependencies: ["StrictYAML"], swiftSettings: strict),
    .testTarget(
        name: "InspectionTests", dependencies: ["ForecacheModel", "ForecacheTestSupport", "Inspection", crypto], swiftSettings: strict),
    .testTarget(
        name: "InventoryTests", dependencies: ["ForecacheModel", "Inventory", "StrictYAML"], exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
        name: "NotificationsTests", dependencies: ["ForecacheModel", "ForecacheTestSupport", "Notifications"],
        resources: [.copy("Fixtures")], swiftSettings: strict
    ),
    .testTarget(name: "PlanningTests", dependencies: ["ForecacheModel", "ForecacheTestSupport", "Planning"], swiftSettings: strict),
    .testTarget(
        name: "RulesTests", dependencies: ["ForecacheModel", "ForecacheTestSupport", "Rules", "StrictYAML"], swiftSettings: strict),
    .testTarget(
        name: "EngineTests",
        dependencies: [
            "Engine", "ForecacheModel", "ForecacheTestSupport", "Notifications", "Planning", "Rules", "Signatures", "SQLiteLedger",
            "StrictYAML",
            logging,
        ],
        swiftSettings: strict),
    .testTarget(name: "SignaturesTests", dependencies: ["ForecacheModel", "Signatures"], swiftSettings: strict),
    .testTarget(
        name: "OpenStackAPITests", dependencies: ["Engine", "ForecacheModel", "ForecacheTestSupport", "OpenStackAPI", logging],
        exclude: ["fault_server.py"], swiftSettings: strict),
    .testTarget(
        name: "SQLiteLedgerTests", dependencies: ["Engine", "ForecacheModel", "ForecacheTestSupport", "Planning", "SQLiteLedger", grdb],
        swiftSettings: strict),
    .testTarget(
        name: "SSHFleetTests", dependencies: ["Engine", "ForecacheModel", "ForecacheTestSupport", "Planning", "SSHFleet", logging],
        swiftSettings: strict),
    .testTarget(
        name: "StatusServerTests",
        dependencies: ["Engine", "ForecacheModel", "ForecacheTestSupport", "SQLiteLedger", "StatusServer", lifecycle, logging],
        swiftSettings: strict),
    .testTarget(
        name: "DaemonTests",
        dependencies: [
            "Daemon", "Engine", "ForecacheModel", "ForecacheTestSupport", "Planning", "Rules", "SQLiteLedger", "StrictYAML", logging,
        ],
        swiftSettings: strict),
    // The built program, without any server: FORECACHE_BINARY, else the one beside the tests.
    .testTarget(name: "CommandTests", dependencies: ["forecache"], swiftSettings: strict),
    // Against the real servers of deploy/lab: Tests/run starts them.
    .testTarget(name: "EndToEndTests", dependencies: ["ForecacheTestSupport"], exclude: ["faulty_line.py"], swiftSettings: strict),
    .testTarget(
        name: "OpenStackLabTests", dependencies: ["Engine", "ForecacheModel", "ForecacheTestSupport", "OpenStackAPI", logging],
        swiftSettings: strict),
    .testTarget(
        name: "RabbitMQSourceTests", dependencies: ["Engine", "ForecacheModel", "ForecacheTestSupport", "RabbitMQSource", logging],
        swiftSettings: strict),
    .testTarget(
        name: "SSHFleetLabTests",
        dependencies: ["Engine", "ForecacheModel", "ForecacheTestSupport", "Planning", "SSHFleet", crypto, logging],
        swiftSettings: strict),
]

let package = Package(
    name: "forecache",
    products: [
        .executable(name: "forecache", targets: ["forecache"]),
        .executable(name: "forecache-bench", targets: ["forecache-bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: floor0 + floor1 + floor2 + floor3 + floor4 + floor5 + floor6 + side + tests,
    swiftLanguageModes: [.v6]
)
