"""Room: the platform as its users meet it, on one machine: the servers around the jobs, and what a demo does with them.

It is of a checkout: it needs `airflow/`, `terraform/` and their programs, which `make platform-demo` sets up.
"""
