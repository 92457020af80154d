"""What must be known of a data set before figures measured on it can be believed."""
