"""The worker that tools/conform tests for the Python package; `tools/conform --help` says what it must do."""

import os
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python"))
sys.dont_write_bytecode = True
import tocsin


class Raw:
    """Messages are any bytes."""

    @staticmethod
    def FromString(data):
        return data


def main(endpoint):
    hub = tocsin.Client(endpoint, "conform-python", "worker")
    publisher = tocsin.Publisher(hub)
    server = tocsin.Server(hub, "conform.v1.Conformance")

    def handle(delivery):
        payload = delivery.envelope.payload
        if payload == b"retry":
            raise tocsin.Retry("conform retry", after=1.5)
        if payload == b"reject":
            raise tocsin.Reject("conform reject")
        if payload == b"slow":
            time.sleep(2)
        if payload == b"publish":
            publisher.publish("conformed.message", payload, id=delivery.envelope.id)

    def trailer(context):
        context.trailing_metadata = [(key, value) for key, value in context.metadata if key == "conform-trailer"]

    @server.stream("Echo", Raw)
    def echo(requests, context):
        trailer(context)
        yield from requests

    @server.stream("Fail", Raw)
    def fail(requests, context):
        raise tocsin.CallError(tocsin.Code.FAILED_PRECONDITION, "conform")

    @server.stream("Wait", Raw)
    def wait(requests, context):
        while not context.is_cancelled:
            time.sleep(0.05)
        return []

    @server.stream("Flood", Raw)
    def flood(requests, context):
        while True:
            yield bytes(1000)

    with hub:
        tocsin.run(tocsin.Worker(hub, "conform", handle, filters=["conform.>"], credit=4, threads=4), server)


if __name__ == "__main__":
    main(os.environ["TOCSIN_ENDPOINT"])
