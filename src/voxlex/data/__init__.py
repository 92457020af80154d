"""A source of scans to a prepared data set, divided so that nothing leaks, and the data sets made up or fetched."""
