"""Archives: scans as small files, from which each can be read by itself.

A reader should begin with `format`, which has the bytes of an archive, and `record`, which has those of a scan.
`tables` and `coders` turn codes into bytes; the integer arithmetic is in `kernels`, which `compiling` makes fast.
"""
