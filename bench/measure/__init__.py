"""Measures one call: time, memory, instructions, kernel launches, and the least time that the machine needs."""
