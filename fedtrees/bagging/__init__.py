"""Trees that silos grow by themselves: joined round by round, or passed on from silo to silo."""
