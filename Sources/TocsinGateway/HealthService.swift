import GRPCCore

/// Says how the gateway and the services behind it are.
struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
    /// Full names of the services that are known.
    let services: [String]
    let source: @Sendable (String) async -> ServiceHealth
    /// How often `watch` looks.
    let interval: Duration

    private func status(of service: String) async -> Grpc_Health_V1_HealthCheckResponse.ServingStatus {
        switch await source(service) {
        case .serving: .serving
        case .notServing: .notServing
        case .unknown: .serviceUnknown
        }
    }

    func check(
        request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthCheckResponse {
        let status = await status(of: request.service)
        guard status != .serviceUnknown else {
            throw RPCError(code: .notFound, message: "nobody knows a service \"\(request.service.prefix(200))\"")
        }
        return .with { $0.status = status }
    }

    func list(
        request: Grpc_Health_V1_HealthListRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthListResponse {
        var response = Grpc_Health_V1_HealthListResponse()
        for service in [""] + services {
            let status = await status(of: service)
            response.statuses[service] = .with { $0.status = status }
        }
        return response
    }

    func watch(
        request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>,
        context: ServerContext
    ) async throws {
        var told: Grpc_Health_V1_HealthCheckResponse.ServingStatus?
        while !context.cancellation.isCancelled {
            let now = await status(of: request.service)
            if now != told {
                try await response.write(.with { $0.status = now })
                told = now
            }
            try await Task.sleep(for: interval)
        }
    }
}
