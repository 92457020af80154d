"""The road from a source to a result, a file for each thing that a person asks for."""
