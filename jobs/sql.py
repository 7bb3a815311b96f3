"""A query of the lake: spark-submit --jars "$(smallcaps jars)" jobs/sql.py "SELECT …" --format csv"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["sql", *sys.argv[1:]]))
