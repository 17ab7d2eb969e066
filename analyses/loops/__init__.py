"""Any looped model in commands and pages: found by name, run on inputs of its task, and shown by position and step."""
