"""One certificate authority for a cluster, and what it signs, by the openssl of this machine."""

import dataclasses
import json
import pathlib

from cluster import shell

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: pathlib.Path
    key: pathlib.Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Signs into ``folder``, for a cluster whose API server is at ``server``."""

    folder: pathlib.Path
    server: str

    @property
    def pair(self) -> Pair:
        return self._pair("ca")

    def client(self, name: str, *, user: str, group: str = "") -> Pair:
        """A certificate that Kubernetes takes for ``user`` in ``group``."""
        return self._signed(name, subject=(f"/O={group}" if group else "") + f"/CN={user}", usage="clientAuth")

    def serving(self, name: str, *, names: list[str]) -> Pair:
        """A certificate for these names, each written as ``DNS:name`` or ``IP:address``."""
        return self._signed(name, subject=f"/CN={name}", usage="serverAuth", names=names)

    def service_accounts(self) -> Pair:
        """A key that signs tokens; its "certificate" is the public key."""
        pair = self._pair("service-accounts")
        shell.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pair.key)
        shell.run("openssl", "pkey", "-in", pair.key, "-pubout", "-out", pair.certificate)
        return pair

    def kubeconfig(self, name: str, *, user: str, group: str = "") -> pathlib.Path:
        """A kubeconfig with a new certificate of ``user``."""
        pair = self.client(name, user=user, group=group)
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(_kubeconfig(server=self.server, authority=self.pair, user=pair), indent=1))
        return path

    def _signed(self, name: str, *, subject: str, usage: str, names: list[str] | None = None) -> Pair:
        pair = self._pair(name)
        extensions = ["basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={usage}"]
        extensions += [f"subjectAltName={','.join(names)}"] if names else []
        added = [word for extension in extensions for word in ("-addext", extension)]
        signer = ["-CA", self.pair.certificate, "-CAkey", self.pair.key]
        shell.run("openssl", "req", "-x509", *signer, *_KEY, "-subj", subject, *added, *_out(pair))
        return pair

    def _pair(self, name: str) -> Pair:
        return Pair(certificate=self.folder / f"{name}.crt", key=self.folder / f"{name}.key")


def authority(folder: pathlib.Path, *, server: str) -> Authority:
    """A new one."""
    folder.mkdir(parents=True, mode=0o700)
    made = Authority(folder=folder, server=server)
    shell.run("openssl", "req", "-x509", *_KEY, "-subj", "/CN=browserpool test cluster", *_out(made.pair))
    return made


def _out(pair: Pair) -> list[str | pathlib.Path]:
    return ["-keyout", pair.key, "-out", pair.certificate]


def _kubeconfig(*, server: str, authority: Pair, user: Pair) -> dict[str, object]:
    cluster = {"server": server, "certificate-authority": str(authority.certificate)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "browserpool",
        "clusters": [{"name": "browserpool", "cluster": cluster}],
        "users": [{"name": "user", "user": {"client-certificate": str(user.certificate), "client-key": str(user.key)}}],
        "contexts": [{"name": "browserpool", "context": {"cluster": "browserpool", "user": "user"}}],
    }
