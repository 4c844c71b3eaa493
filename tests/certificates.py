"""Certificates that vouch for themselves, for servers of the tests."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def self_signed(name: x509.GeneralName) -> tuple[bytes, bytes]:
    """A private key and a certificate for `name`, good for a day, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server of the tests")])
    now = datetime.now(UTC).replace(tzinfo=None)  # the builder compares without zones
    draft = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now)
    draft = draft.not_valid_after(now + timedelta(days=1))
    certificate = draft.add_extension(x509.SubjectAlternativeName([name]), critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return plain, certificate.public_bytes(pem)
