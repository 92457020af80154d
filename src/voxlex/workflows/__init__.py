"""The tasks of the command line as functions, one file each. They return results and print nothing."""
