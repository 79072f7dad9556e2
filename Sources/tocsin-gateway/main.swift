import Glibc
import TocsinProgram
import TocsinSupervision

// As in tocsin: the mask is inherited by every thread that is started from here on.
Signals.block()
if !SupervisedProcess.attach() { exit(ExitCodes.interrupted.rawValue) }
Task.detached { await GatewayCommand.runToEnd(GatewayCommand.explain) }
Signals.serve()
