import Glibc
import TocsinProgram
import TocsinSupervision

// Before anything else: the mask is inherited by every thread that is started from here on.
Signals.block()
// On the main thread, because the system forgets the request when the thread that made it ends.
if !SupervisedProcess.attach() { exit(ExitCodes.interrupted.rawValue) }
Task.detached { await Tocsin.runToEnd { Failure($0).map { ($0.code, $0.message) } } }
// The main thread waits for signals. Left to the runtime it would sleep with all of them unblocked, and the first one would
// end the process unasked.
Signals.serve()
