"""The embedded data sets: pseudo-subjects from a template, and volumes made up from label maps."""
