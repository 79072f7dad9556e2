import Testing
import TocsinIntake

@Suite("Networks of addresses")
struct AddressNetworkTests {
    @Test("the first bits decide, IPv4 within IPv6 is IPv4, and other families are not within")
    func contains() throws {
        let network = try #require(AddressNetwork(address: [10, 1, 192, 0], bits: 18))
        #expect(network.contains([10, 1, 192, 1]) && network.contains([10, 1, 255, 255]))
        #expect(!network.contains([10, 1, 191, 255]) && !network.contains([10, 2, 192, 1]))
        #expect(network.contains([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 1, 200, 3]))
        #expect(!network.contains([10, 1, 192, 0] + Array(repeating: 0, count: 12)) && !network.contains([]))
        let all = try #require(AddressNetwork(address: [0, 0, 0, 0], bits: 0))
        #expect(all.contains([255, 1, 2, 3]))
        #expect(AddressNetwork.loopback.contains { $0.contains([127, 0, 0, 1]) })
        #expect(AddressNetwork.loopback.contains { $0.contains(Array(repeating: 0, count: 15) + [1]) })
        #expect(!AddressNetwork.loopback.contains { $0.contains([192, 0, 2, 1]) })
    }

    @Test("what is no network is none")
    func none() {
        #expect(AddressNetwork(address: [1, 2, 3], bits: 8) == nil && AddressNetwork(address: [1, 2, 3, 4], bits: 33) == nil)
        #expect(AddressNetwork(address: [1, 2, 3, 4], bits: -1) == nil)
    }
}
