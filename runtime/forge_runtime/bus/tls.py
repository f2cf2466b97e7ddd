"""TLS to the bus: servers are checked by authority, host name and date; we show a certificate where we have one."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from forge_runtime.settings import BadSettings


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Without `authority` the machine's own are trusted; `certificate` and `key` are ours."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Of the files as they are now; BadSettings if they cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as error:
            raise BadSettings(f"{self.authority} holds no certificates: {_reason(error)}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None and self.key is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, password=_no_password)
            except (OSError, ssl.SSLError, _PasswordNeeded) as error:
                raise BadSettings(
                    f"{self.certificate} and {self.key} cannot be used together: {_reason(error)}"
                ) from error
        return context

    def explain(self, error: BaseException) -> str | None:
        """What a failed handshake means to whoever runs this; None if that is not what failed."""
        if isinstance(error, ssl.SSLCertVerificationError):
            trusted = "this machine's authorities" if self.authority is None else self.authority
            return f"the server's certificate does not do: {error.verify_message.rstrip('.')} (trusted: {trusted})"
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            alert = (error.reason or "").rpartition("ALERT_")[2].replace("_", " ").lower()
            shown = "we show none" if self.certificate is None else self.certificate
            return f"the server does not take our certificate: {alert} ({shown})"
        return None


class _PasswordNeeded(Exception):
    """Without a callback that raises it OpenSSL would ask at the terminal."""


def _no_password() -> str:
    raise _PasswordNeeded("the key is encrypted")


def _reason(error: BaseException) -> str:
    """OpenSSL's own words without its numbers."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error)
