"""Pure decisions: no I/O, no clock. Times, seeds and settings are arguments."""
