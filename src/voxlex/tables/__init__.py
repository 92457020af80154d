"""Tables of scans: facts about scans from their paths and from tables of people."""
