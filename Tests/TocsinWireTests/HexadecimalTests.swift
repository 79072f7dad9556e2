import Testing
import TocsinWire

@Suite("Bytes as text") struct HexadecimalTests {
    @Test("two lower-case digits a byte; an id is shown as it is only where it is plain text")
    func text() {
        #expect([UInt8]().hexadecimal == "")
        #expect((UInt8.min...UInt8.max).hexadecimal.count == 512)
        #expect([UInt8]([0, 9, 0xA, 0x7F, 0xFF]).hexadecimal == "00090a7fff")
        #expect(Array("inc-1!~".utf8).idText == "inc-1!~")
        #expect(Array("a b".utf8).idText == "612062")
        #expect([UInt8]([0x41, 0x7F]).idText == "417f")
    }

    @Test("digits in either case are read back; anything else is nothing")
    func read() {
        #expect([UInt8](hexadecimal: "00090a7fFF") == [0, 9, 0xA, 0x7F, 0xFF])
        #expect([UInt8](hexadecimal: "") == [])
        for text in ["0", "0g", " 00", "0x00", "００", "00\n"] { #expect([UInt8](hexadecimal: text) == nil, "\(text)") }
        let all = [UInt8](UInt8.min...UInt8.max)
        #expect([UInt8](hexadecimal: all.hexadecimal) == all)
    }
}
