"""A broker that asks for TLS and a password, with certificates made for it."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smallcaps.config import KafkaSettings, Settings
from smallcaps.streaming.broker import Broker

USER, PASSWORD = "desk", 'a "quoted" \\ word; #1'
PROPERTIES = {
    "listeners": "SASL_SSL",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
    "inter.broker.listener.name": "SASL_SSL",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
}
_MODULES = "org.apache.kafka.common.security"
_PEM = serialization.Encoding.PEM


def authority(folder: Path, name: str) -> tuple[Path, ec.EllipticCurvePrivateKey]:
    """A certificate that signs others, as PEM, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(name, key, name, key, is_authority=True)
    file = folder / f"{name}.pem"
    file.write_bytes(certificate.public_bytes(_PEM))
    return file, key


def server_key(folder: Path, name: str, signer: ec.EllipticCurvePrivateKey) -> Path:
    """A key for 127.0.0.1 with its certificate, signed, as Kafka's server takes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate("127.0.0.1", key, name, signer, is_authority=False)
    secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(secret + certificate.public_bytes(_PEM))
    return file


def secured_broker(folder: Path, settings: Settings) -> Broker:
    """A broker whose one listener is SASL_SSL: PLAIN for USER; users of SCRAM can be made."""
    folder.mkdir(exist_ok=True)
    certificate, key = authority(folder, "authority")
    login = f'{_MODULES}.plain.PlainLoginModule required username="{USER}" password={_quoted(PASSWORD)}'
    properties = PROPERTIES | {
        "ssl.keystore.location": str(server_key(folder, "authority", key)),
        "ssl.truststore.location": str(certificate),
        "listener.name.sasl_ssl.plain.sasl.jaas.config": _property(f"{login} user_{USER}={_quoted(PASSWORD)};"),
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
    }
    kafka = KafkaSettings(
        servers="127.0.0.1:0",
        prefix="desk.",
        protocol="SASL_SSL",
        mechanism="PLAIN",
        authority=str(certificate),
        replication=1,
    )
    return Broker(folder / "broker", settings.cache, kafka=kafka, properties=properties)


def _quoted(word: str) -> str:
    """A word as JAAS wants it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _property(value: str) -> str:
    """A value as a file of Java's properties wants it."""
    return value.replace("\\", "\\\\")


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, is_authority: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    subject, issued_by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        address = x509.IPAddress(IPv4Address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256())
