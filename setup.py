"""Packaging. The core install stays small; each part of the platform brings its own extra."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

CORE = [
    "delta-spark==4.3.1",
    "deltalake>=1.6,<2",
    "exchange-calendars>=4.13,<5",
    "jinja2>=3.1",
    "numpy>=2,<3",
    "pandas>=2.3,<3",
    "pyarrow>=22,<26",
    "pydantic-settings>=2.12,<3",
    "pydantic>=2.12,<3",
    "pyspark==4.1.1",
    "pyyaml>=6",
    "rich>=14",
    "scipy>=1.15",
    "typer>=0.20",
    "urllib3>=2.6,<3",
    "websockets>=14",
]
EXTRAS = {
    "models": ["matplotlib>=3.9", "mlflow>=3.10,<4", "optuna>=4", "scikit-learn>=1.7", "xgboost-cpu>=3.1,<4"],
    "models-gpu": ["matplotlib>=3.9", "mlflow>=3.10,<4", "optuna>=4", "scikit-learn>=1.7", "xgboost>=3.1,<4"],
    "sequence": ["torch>=2.6,<3"],
    "report": ["plotly>=6"],
    "quality": ["great-expectations>=1.9,<2"],
    "aws": ["boto3>=1.40"],
    "simulator": ["fastapi>=0.115", "uvicorn>=0.40"],
    "streaming": ["confluent-kafka>=2.6,<3", "starlette>=0.46", "uvicorn>=0.40"],
    "dev": [
        "chispa>=0.11",
        "cryptography>=46",
        "duckdb>=1.4",
        "hypothesis>=6.140",
        "import-linter>=2.5",
        "jsonschema>=4.23",
        "ipykernel>=7",
        "massive==2.9.1",
        "moto[s3,server]>=5.1",
        "mypy>=1.18",
        "nbclient>=0.10",
        "nbconvert>=7.16",
        "pandas-stubs",
        "polars>=1.30",
        "polygon-api-client==1.16.3",
        "psutil>=7",
        "pytest>=8",
        "pytest-xdist>=3.8",
        "ruff>=0.13",
        "types-PyYAML",
        "types-psutil",
    ],
}
EXTRAS["all"] = [
    need for extra in ("models", "report", "quality", "aws", "simulator", "streaming") for need in EXTRAS[extra]
]

setup(
    name="smallcaps",
    version="0.1.0",
    description="Finds, studies and models extraordinary moves in US small-cap stocks, on Spark and Delta Lake.",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["smallcaps", "smallcaps.*"]),
    package_data={"smallcaps": ["**/*.csv", "**/*.html", "**/*.css", "**/*.scala", "py.typed"]},
    data_files=[("share/smallcaps/conf", glob("conf/*"))],
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["smallcaps=smallcaps.cli.app:main"]},
)
