"""What workflow runs call: JSON in and out, known by GitHub's token of the run."""
