"""Compares dbminer with other tools on the same texts: `make bench`, or with `--help`.

Worker processes import this file as well, hence it loads nothing by itself.
"""

if __name__ == "__main__":
    from peer_driver import main

    main()
