"""Training: one loop for every stage, resumable at any step."""
