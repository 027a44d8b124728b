"""Pure decisions of the entrance: no I/O, no clock."""
