# make demo and make test need nothing but Python 3.11 and Java 17; everything else is set up here, once.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SEQUENCE := $(VENV)/.sequence
TRINO := $(VENV)/.trino
AIRFLOW := .venv-airflow
AIRFLOW_READY := $(AIRFLOW)/.ready
TERRAFORM := $(or $(shell command -v terraform),$(BIN)/terraform)
# uv takes a third of pip's time. It does not read pip's configuration: where a mirror stands there alone, pip installs.
install = $(BIN)/uv pip install --quiet --python $(1)/bin/python --require-hashes -r $(2) \
  || $(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(2)

.DEFAULT_GOAL := help
.PHONY: help setup sequence terraform airflow demo live-demo platform-demo notebooks cluster history test test-fast test-long test-trino guarantees wheel check lock dictionary clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(READY) ## Make the environment and fetch the jars (cached; seconds the second time)

$(READY): requirements-uv.lock requirements.lock setup.py conf/jars.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11, or run make PYTHON=/path/to/python3.11" >&2; exit 4; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	$(call install,$(VENV),requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/smallcaps doctor
	@$(BIN)/smallcaps jars >/dev/null
	@touch $(READY)

platform-demo: $(READY) $(TERRAFORM) $(AIRFLOW_READY) ## Run the daily DAG for three sessions on a cluster, S3, Airflow and Terraform of this machine
	@mkdir -p lake/platform
	$(BIN)/python -m smallcaps.platform.demo lake/platform

notebooks: $(READY) ## Run the notebooks on the demo's lake, in Jupyter; pages in lake/notebooks
	@test -n "$$SMALLCAPS_LAKE" -o -d lake/gold/events || { echo "There is no lake to look at: run make demo first" >&2; exit 2; }
	$(BIN)/python notebooks/render.py lake/notebooks event_study explore_events microstructure_of_an_event train_and_compare_models

cluster: $(READY) ## Run a Spark cluster on this machine until interrupted: a master and two workers
	$(BIN)/smallcaps cluster

history: $(READY) ## Show what Spark did in jobs that have ended, until interrupted
	$(BIN)/smallcaps history

demo: $(READY) ## Run the main job on the sample and say where the report is
	$(BIN)/smallcaps demo

live-demo: $(READY) ## Replay a simulated session through Kafka: alerts as they come, then parity and recall
	$(BIN)/smallcaps live demo

$(SEQUENCE): requirements-sequence.lock $(READY)
	$(call install,$(VENV),requirements-sequence.lock)
	@touch $(SEQUENCE)

sequence: $(SEQUENCE) ## Add what sequence models need: PyTorch with its CUDA packages, 5 GB

$(BIN)/terraform: terraform/terraform.lock $(READY)
	$(BIN)/python terraform/install.py $(BIN)

terraform: $(TERRAFORM) ## Fetch the pinned Terraform, unless there is one on the path

$(AIRFLOW_READY): requirements-airflow.lock $(READY)
	@test -x $(AIRFLOW)/bin/python || $(PYTHON) -m venv $(AIRFLOW)
	$(call install,$(AIRFLOW),requirements-airflow.lock)
	@touch $(AIRFLOW_READY)

airflow: $(READY) $(AIRFLOW_READY) ## Run Airflow with the DAGs on 127.0.0.1:8080 until interrupted
	PATH="$(CURDIR)/$(BIN):$$PATH" $(AIRFLOW)/bin/python airflow/local.py lake/airflow

test: $(SEQUENCE) $(TERRAFORM) $(AIRFLOW_READY) ## Run all tests
	$(BIN)/python -m pytest --numprocesses=2

test-fast: $(SEQUENCE) $(TERRAFORM) $(AIRFLOW_READY) ## Run the tests that take seconds
	$(BIN)/python -m pytest -m "not slow and not long and not trino"

test-long: $(SEQUENCE) $(TERRAFORM) $(AIRFLOW_READY) ## Run the tests that take too long for every run
	$(BIN)/python -m pytest -m long

$(TRINO): requirements-trino.lock tests/trino/install.py $(READY)
	$(call install,$(VENV),requirements-trino.lock)
	$(BIN)/python tests/trino/install.py $(VENV)/trino
	@touch $(TRINO)

test-trino: $(TRINO) ## Have a real Trino, the engine of Athena's family, read what the product writes (fetches 0.8 GB once)
	$(BIN)/python -m pytest -m trino

guarantees: $(SEQUENCE) ## Hold at full size what the tests hold at a smaller one
	$(BIN)/python -m pytest -m guarantee --full-size

wheel: $(READY) ## Build the wheel into dist/, for the image (Dockerfile) or an environment that is packed for a cluster
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir=dist .

check: $(READY) ## Style, bandit's rules, types, rooms, secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	git ls-files -z | xargs -0 -r $(BIN)/detect-secrets-hook --baseline .secrets.baseline

lock: $(READY) ## Pin again what requirements.in asks for
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --constraint requirements.lock requirements.in --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --constraint requirements.lock requirements-sequence.in --output-file requirements-sequence.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --constraint requirements.lock requirements-trino.in --output-file requirements-trino.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  requirements-airflow.in --output-file requirements-airflow.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  requirements-uv.in --output-file requirements-uv.lock

dictionary: $(READY) ## Write the data dictionary, what Terraform knows of the tables and Airflow of sessions again
	$(BIN)/smallcaps tables --markdown > docs/data-dictionary.md
	$(BIN)/smallcaps tables --glue > terraform/lake.json
	$(BIN)/python airflow/closures.py > airflow/dags/closures.json

clean: ## Remove the environment, the demo's lake and caches of tools
	rm -rf $(VENV) $(AIRFLOW) lake build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
