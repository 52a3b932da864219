"""The tests, by what they prove; see CONTRIBUTING.md."""
