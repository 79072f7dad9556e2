import Glibc

/// A NULL-terminated array of C strings.
package final class CStrings {
    package let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    package init(_ strings: [String]) {
        count = strings.count
        pointers = .allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { pointers[index] = strdup(string) }
        pointers[strings.count] = nil
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}

/// How every child is started: in a process group of its own, with no signal blocked or ignored.
package final class SpawnAttributes {
    package let pointer: UnsafeMutablePointer<posix_spawnattr_t>

    package init() {
        pointer = .allocate(capacity: 1)
        posix_spawnattr_init(pointer)
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(pointer, &none)
        posix_spawnattr_setsigdefault(pointer, &all)
        posix_spawnattr_setpgroup(pointer, 0)
        posix_spawnattr_setflags(pointer, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    }

    deinit {
        posix_spawnattr_destroy(pointer)
        pointer.deallocate()
    }
}

/// This process's environment with `changes` over it, as `NAME=value`.
package func mergedEnvironment(_ changes: [String: String]) -> [String] {
    var result: [String] = []
    var entry = environ
    while let text = entry.pointee {
        let variable = String(cString: text)
        let name = variable.prefix { $0 != "=" }
        if changes[String(name)] == nil { result.append(variable) }
        entry += 1
    }
    return result + changes.map { "\($0.key)=\($0.value)" }
}
