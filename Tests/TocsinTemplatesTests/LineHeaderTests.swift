import Testing

@testable import TocsinTemplates

@Suite struct LineHeaderTests {
    @Test(
        "The message begins behind time stamps, levels, numbers, host and component, in whatever order a program writes them",
        arguments: [
            ("[Sun Dec 04 04:47:44 2005] [notice] ", "workerEnv.init() ok /etc/httpd/conf"),
            ("- 1117838570 2005.06.03 R02-M1-C:J12 2005-06-03-15.42.50.675872 R02-M1 RAS KERNEL INFO ", "63543 exceptions"),
            ("081109 203615 148 INFO dfs.DataNode$PacketResponder: ", "PacketResponder 1 for block blk_38 terminating"),
            ("2015-10-18 18:01:47,978 INFO [main] org.apache.v2.app.MRAppMaster: ", "ERROR IN CONTACTING RM."),
            ("Jun 14 15:16:01 combo sshd(pam_unix)[19939]: ", "check pass; user unknown"),
            ("Jun 14 15:16:01 combo syslogd 1.4.1: ", "restart."),
            ("2015-07-29 17:41:44,747 - INFO  [Peer[id=1]/0:0:0:2181:Fast@774] - ", "FOLLOWING - LEADER ELECTION TOOK - 49"),
            ("2026-01-31T04:30:30.123456Z node-7 app[12]: ", "error: connection from 10.0.0.1 at 12:30:01"),
            ("03-17 16:13:38.811  1702  2395 D WindowManager: ", "opening app"),
            ("20171223-22:15:29:606|Step_LSC|30002312|", "onStandStepChanged 3579"),
            ("2016-09-28 04:30:30, Info   ", "Loaded Servicing Stack"),
            ("[10.30 16:49:06] chrome.exe *64 - ", "example.org:5070 open through proxy"),
            ("10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] ", "\"GET /x.gif HTTP/1.0\" 200 2326"),
            ("", "Server listening on port 80"),
            ("", "restart at 12:30:01 by admin"),
            ("", "error: nothing at 2026-01-31 12:30:01"),
            ("", ""),
        ])
    func messageBegins(header: String, message: String) {
        let line = Array((header + message).utf8)
        var reader = LineHeader()
        #expect(reader.end(of: line.span) == header.utf8.count)
    }
}
