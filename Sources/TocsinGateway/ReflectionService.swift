import GRPCCore
import SwiftProtobuf

/// Tells tools what services there are and what their messages look like: those of proto/, wherever they are served.
struct Reflection: Sendable {
    let descriptors: Descriptors

    func answer(_ request: Grpc_Reflection_V1_ServerReflectionRequest) -> Grpc_Reflection_V1_ServerReflectionResponse {
        var response = Grpc_Reflection_V1_ServerReflectionResponse()
        response.validHost = request.host
        response.originalRequest = request
        switch request.messageRequest {
        case .listServices:
            response.listServicesResponse.service = descriptors.services.map { name in .with { $0.name = name } }
        case .fileByFilename(let name): give(descriptors.file(named: name), "file \"\(name)\"", &response)
        case .fileContainingSymbol(let name): give(descriptors.file(declaring: name), "symbol \"\(name)\"", &response)
        case .fileContainingExtension(let asked):
            give(nil, "extension \(asked.extensionNumber) of \"\(asked.containingType)\"", &response)
        case .allExtensionNumbersOfType(let name):
            if descriptors.file(declaring: name) != nil {
                response.allExtensionNumbersResponse.baseTypeName = name
            } else {
                give(nil, "message \"\(name)\"", &response)
            }
        case nil:
            response.errorResponse.errorCode = Int32(Status.Code.invalidArgument.rawValue)
            response.errorResponse.errorMessage = "the question is empty"
        }
        return response
    }

    private func give(
        _ files: [[UInt8]]?, _ what: String, _ response: inout Grpc_Reflection_V1_ServerReflectionResponse
    ) {
        if let files {
            response.fileDescriptorResponse.fileDescriptorProto = files.map { .init($0) }
        } else {
            response.errorResponse.errorCode = Int32(Status.Code.notFound.rawValue)
            response.errorResponse.errorMessage = "the gateway does not know the \(what.prefix(300))"
        }
    }
}

struct ReflectionService: Grpc_Reflection_V1_ServerReflection.SimpleServiceProtocol {
    let reflection: Reflection

    func serverReflectionInfo(
        request: RPCAsyncSequence<Grpc_Reflection_V1_ServerReflectionRequest, any Error>,
        response: RPCWriter<Grpc_Reflection_V1_ServerReflectionResponse>, context: ServerContext
    ) async throws {
        for try await question in request { try await response.write(reflection.answer(question)) }
    }
}

/// The older version, whose messages are the same but for the package.
struct OldReflectionService: Grpc_Reflection_V1alpha_ServerReflection.SimpleServiceProtocol {
    let reflection: Reflection

    func serverReflectionInfo(
        request: RPCAsyncSequence<Grpc_Reflection_V1alpha_ServerReflectionRequest, any Error>,
        response: RPCWriter<Grpc_Reflection_V1alpha_ServerReflectionResponse>, context: ServerContext
    ) async throws {
        for try await question in request {
            let bytes: [UInt8] = try question.serializedBytes()
            let answer: [UInt8] = try reflection.answer(.init(serializedBytes: bytes)).serializedBytes()
            try await response.write(.init(serializedBytes: answer))
        }
    }
}
