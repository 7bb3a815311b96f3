"""The tables, or one of them: spark-submit --jars "$(smallcaps jars)" jobs/tables.py [NAME]"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["tables", *sys.argv[1:]]))
