import FoundationEssentials
import SwiftProtobuf

/// The files of proto/ as protobuf describes them: what the reflection service tells.
struct Descriptors: Sendable {
    /// Serialized, by name.
    private var files: [String: [UInt8]] = [:]
    /// Names of the files that a file imports.
    private var imports: [String: [String]] = [:]
    /// File of each service, method, message, field, enum and enum value, by full name.
    private var symbols: [String: String] = [:]
    /// Full names, in order.
    private(set) var services: [String] = []

    /// The files this version was built with.
    ///
    /// - Throws: if they cannot be read, which a test rules out.
    static func built() throws -> Descriptors {
        guard let bytes = Data(base64Encoded: builtDescriptorSet, options: .ignoreUnknownCharacters) else {
            throw DescriptorError.notBase64
        }
        return try Descriptors(Google_Protobuf_FileDescriptorSet(serializedBytes: Array(bytes)))
    }

    enum DescriptorError: Error { case notBase64 }

    init(_ set: Google_Protobuf_FileDescriptorSet) throws {
        for file in set.file {
            files[file.name] = try file.serializedBytes()
            imports[file.name] = file.dependency
            let package = file.package
            for message in file.messageType { add(message, in: package, file.name) }
            for type in file.enumType { add(type, in: package, file.name) }
            for service in file.service {
                let name = "\(package).\(service.name)"
                services.append(name)
                symbols[name] = file.name
                for method in service.method { symbols["\(name).\(method.name)"] = file.name }
            }
        }
        services.sort()
    }

    private mutating func add(_ message: Google_Protobuf_DescriptorProto, in scope: String, _ file: String) {
        let name = "\(scope).\(message.name)"
        symbols[name] = file
        for field in message.field { symbols["\(name).\(field.name)"] = file }
        for nested in message.nestedType { add(nested, in: name, file) }
        for type in message.enumType { add(type, in: name, file) }
    }

    private mutating func add(_ type: Google_Protobuf_EnumDescriptorProto, in scope: String, _ file: String) {
        symbols["\(scope).\(type.name)"] = file
        // Values belong to the scope around their enum.
        for value in type.value { symbols["\(scope).\(value.name)"] = file }
    }

    /// A file and all that it imports, itself first; nil: there is no such file.
    func file(named name: String) -> [[UInt8]]? {
        guard files[name] != nil else { return nil }
        var names = [name]
        var next = 0
        while next < names.count {
            for needed in imports[names[next]] ?? [] where !names.contains(needed) { names.append(needed) }
            next += 1
        }
        return names.compactMap { files[$0] }
    }

    /// The file that declares a symbol, with what it imports.
    func file(declaring symbol: String) -> [[UInt8]]? { symbols[symbol].flatMap { file(named: $0) } }
}
