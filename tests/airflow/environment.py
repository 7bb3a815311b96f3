"""Where Airflow and its environment are."""

from tests.conftest import REPOSITORY

AIRFLOW = REPOSITORY / "airflow"
AIRFLOW_PYTHON = REPOSITORY / ".venv-airflow" / "bin" / "python"
