"""GitHub's API, spoken as the orchestration App."""
