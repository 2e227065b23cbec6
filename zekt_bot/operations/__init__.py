"""What people and GitHub's news do: every public operation decides, then writes with its audit."""
