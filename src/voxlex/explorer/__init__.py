"""The explorer: a local web page that shows a run and its scans, and lets one play with the vocabulary.

It calls the functions that the commands call. Nothing below it knows of it. The page itself is built from `explorer/`
at the top of the repository, and lies built in `page/`.
"""
