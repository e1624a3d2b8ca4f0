"""A configuration: its models, how a file of it is read, and what is wrong with one."""
