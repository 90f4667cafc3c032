"""Times every stage of the pipeline over one generated day: `make bench`, or with `--help`.

Worker processes import this file as well, hence it loads nothing by itself.
"""

if __name__ == "__main__":
    from driver import main

    main()
