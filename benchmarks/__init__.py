"""One script a claim. Each prints medians, and ratios that were measured in the same run."""
