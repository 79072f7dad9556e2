extension Schema {
    private static let defaultGateway = SocketAddress(host: "127.0.0.1", port: 7118)

    static func readGateway(_ section: Section) -> GatewaySettings {
        let before = section.document.problems.count
        let listen = section.read(
            "listen", .address, default: defaultGateway, "Where it serves gRPC over HTTP/2: an address in numbers, and a port.")
        let tls = section.optional("tls") { section in
            GatewaySettings.TLS(
                certificate: pem(section, "certificate", "File with the certificate, and those up to the root, in PEM."),
                key: pem(section, "key", "File with its key, in PEM; keep it readable for the gateway alone."),
                clientRoots: section.has("client_roots") || section.document.isExplaining
                    ? section.path(
                        "client_roots", default: "none",
                        "File with root certificates, in PEM. With it every client must show a certificate of theirs.") : nil)
        }
        let clients =
            section.sections("clients", absent: "everybody who reaches it", "Who may call, and what.", client) ?? []
        let settings = GatewaySettings(listen: listen, tls: tls, clients: clients)
        // What is wrong with a single value has been reported already, with its place.
        if section.document.problems.count == before { settings.problems.forEach(section.report) }
        return settings
    }

    private static func pem(_ section: Section, _ key: String, _ doc: String) -> String {
        if !section.has(key), !section.document.isExplaining { section.report("\"\(key)\" is missing; give a file") }
        return section.path(key, default: "required", doc)
    }

    private static func client(_ section: Section) -> GatewaySettings.Client {
        let name = section.require("name", .word, placeholder: "", "Who it is, for the log and the workers.")
        let token = section.read(
            "token_sha256", .sha256, absent: "not used",
            "SHA-256 of its token, in hex, as `tocsin-gateway token` prints it: the token itself is kept nowhere.")
        let certificate = section.read(
            "certificate", .word, absent: "not used", "Common name of its certificate.")
        if (token == nil) == (certificate == nil) { section.report("give one of token_sha256 and certificate") }
        return GatewaySettings.Client(
            name: name, tokenHash: token, certificate: certificate,
            methods: section.list(
                "methods", .word, default: ["*"], "What it may call: package.Service/Method, package.Service/*, or *."))
    }
}
