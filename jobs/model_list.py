"""The registered models: spark-submit --jars "$(smallcaps jars)" jobs/model_list.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["model", "list", *sys.argv[1:]]))
