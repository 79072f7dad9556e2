"""Who a program is to the hub: the file that `tocsin keys new` makes."""

from __future__ import annotations

import dataclasses
import os
import stat


@dataclasses.dataclass(frozen=True)
class Identity:
    """A key pair (CURVE, in Z85), the hub's public key, and where the hub is. Give it wherever an endpoint is taken."""

    name: str
    hub: str
    hub_public_key: str
    public_key: str
    secret_key: str = dataclasses.field(repr=False)

    @classmethod
    def load(cls, path: str, hub: str | None = None) -> Identity:
        """Reads a key file; `hub` in place of the endpoint it names.

        Raises ValueError for a file that is not well-formed or that others can read, OSError if it cannot be read.
        """
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & 0o077:
            raise ValueError(f"{path} can be used by others (mode {mode:04o}); run: chmod 600 {path}")
        values = {}
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                line = line.strip()
                if not line or line.startswith("#"):
                    continue
                name, colon, value = line.partition(":")
                value = value.strip()
                if not colon:
                    raise ValueError(f'{path}:{number}: not a line of the form "name: value"')
                if len(value) >= 2 and value[0] == value[-1] == "'":
                    value = value[1:-1]
                values[name.strip()] = value
        for key in ("name", "hub_public_key", "public_key", "secret_key"):
            if not values.get(key):
                raise ValueError(f'{path}: "{key}" is missing')
        endpoint = hub or values.get("hub")
        if not endpoint:
            raise ValueError(f"{path} does not say where the hub is; set TOCSIN_ENDPOINT")
        return cls(values["name"], endpoint, values["hub_public_key"], values["public_key"], values["secret_key"])


def default_hub() -> str | Identity:
    """Where the hub is, unless it is said: as TOCSIN_IDENTITY (a key file) and TOCSIN_ENDPOINT say, else the hub of
    `tocsin up` in this folder."""
    endpoint, path = os.environ.get("TOCSIN_ENDPOINT"), os.environ.get("TOCSIN_IDENTITY")
    if path and not (endpoint and not endpoint.startswith("tcp://")):
        return Identity.load(path, endpoint)
    return endpoint or "ipc://tocsin-data/hub.sock"
