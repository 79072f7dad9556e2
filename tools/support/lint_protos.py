"""The rules of our protos, after buf's STANDARD and COMMENTS categories; prints what breaks them, exit code 1 if anything does.

Packages end with a version and are folders; names are in their usual case; an enum's values have its name before them and begin
with UNSPECIFIED; each method has a request and a response named after it that no other has; numbers that are left out are
reserved; every service, method, message, field, oneof, enum and value has a comment before it.
"""

import os
import re
import subprocess
import sys

from google.protobuf import descriptor_pb2

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")
SNAKE, PASCAL, UPPER = (re.compile(pattern) for pattern in
                        (r"[a-z][a-z0-9]*(_[a-z0-9]+)*", r"[A-Z][A-Za-z0-9]*", r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*"))


def described():
    """Our files as protoc describes them, with their comments."""
    names = [os.path.relpath(os.path.join(folder, name), PROTO) for folder, _, files in os.walk(os.path.join(PROTO, "tocsin"))
             for name in sorted(files) if name.endswith(".proto")]
    result = subprocess.run(["protoc", "-I", PROTO, "--include_source_info", "--descriptor_set_out=/dev/stdout", *names],
                            check=True, stdout=subprocess.PIPE)
    return descriptor_pb2.FileDescriptorSet.FromString(result.stdout).file


class Lint:
    def __init__(self, file):
        self.file, self.problems, self.types = file, [], []
        self.places = {tuple(place.path): place for place in file.source_code_info.location}

    def problem(self, path, text):
        place = self.places.get(tuple(path))
        line = place.span[0] + 1 if place else 1
        self.problems.append(f"proto/{self.file.name}:{line}: {text}")

    def named(self, path, kind, name, pattern):
        if not pattern.fullmatch(name):
            self.problem(path, f"{kind} {name} is not in its usual case")
        place = self.places.get(tuple(path))
        if not (place and place.leading_comments.strip()):
            self.problem(path, f"{kind} {name} has no comment before it")

    def run(self):
        package, folder = self.file.package, os.path.dirname(self.file.name)
        if not re.search(r"\.v[0-9]+$", package) or package.replace(".", "/") != folder:
            self.problem((), f"package {package} has no version, or is not the folder {folder}")
        for index, message in enumerate(self.file.message_type):
            self.message((4, index), message)
        for index, enum in enumerate(self.file.enum_type):
            self.enum((5, index), enum)
        for index, service in enumerate(self.file.service):
            self.service((6, index), service)
        return self.problems

    def message(self, path, message):
        if message.options.map_entry:
            return
        self.named(path, "message", message.name, PASCAL)
        numbers = set()
        for index, field in enumerate(message.field):
            self.named((*path, 2, index), f"{message.name}'s field", field.name, SNAKE)
            numbers.add(field.number)
        for index, oneof in enumerate(message.oneof_decl):
            self.named((*path, 8, index), f"{message.name}'s oneof", oneof.name, SNAKE)
        for gap in message.reserved_range:
            numbers.update(range(gap.start, gap.end))
        missing = set(range(1, max(numbers, default=0))) - numbers
        if missing:
            self.problem(path, f"message {message.name} leaves out {sorted(missing)}; reserve them")
        for index, nested in enumerate(message.nested_type):
            self.message((*path, 3, index), nested)
        for index, enum in enumerate(message.enum_type):
            self.enum((*path, 4, index), enum)

    def enum(self, path, enum):
        self.named(path, "enum", enum.name, PASCAL)
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
        for index, value in enumerate(enum.value):
            self.named((*path, 2, index), f"{enum.name}'s value", value.name, UPPER)
            if not value.name.startswith(prefix):
                self.problem((*path, 2, index), f"value {value.name} does not begin with {prefix}")
            if (value.number == 0) != (value.name == prefix + "UNSPECIFIED"):
                self.problem((*path, 2, index), f"value 0 of {enum.name}, and no other, is {prefix}UNSPECIFIED")

    def service(self, path, service):
        self.named(path, "service", service.name, PASCAL)
        for index, method in enumerate(service.method):
            here = (*path, 2, index)
            self.named(here, f"{service.name}'s method", method.name, PASCAL)
            for kind, type in (("Request", method.input_type), ("Response", method.output_type)):
                if type.rsplit(".", 1)[1] != method.name + kind:
                    self.problem(here, f"{method.name} has {type}; it should be {method.name}{kind}")
                self.types.append((type, here))


def main():
    problems, users = [], {}
    for file in described():
        lint = Lint(file)
        problems += lint.run()
        for type, path in lint.types:
            users.setdefault(type, []).append((lint, path))
    for type, places in users.items():
        if len(places) > 1:
            problems += [f"proto/{lint.file.name}: {type} is of more than one method" for lint, _ in places]
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(1 if problems else 0)


main()
