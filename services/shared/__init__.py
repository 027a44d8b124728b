"""The one place for what two or more rooms need. It knows no room."""
