"""TLS credentials for gRPC."""

import grpc

from odds_service.certificates import Certificates, Tls


def credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return TLS credentials that follow the files: each handshake uses the files of its time."""
    used = certificates.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        latest = certificates.current()
        if latest is used:
            return None
        used = latest
        return _configuration(latest)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        changed,  # type: ignore[arg-type]  # the stubs forget None, for unchanged
        require_client_authentication=certificates.wants_client_certificates,
    )


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(tls.key, tls.certificate)], root_certificates=tls.authority
    )
